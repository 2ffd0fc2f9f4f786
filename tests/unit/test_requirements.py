"""The table of requirements: it is in order here, and what is wrong with one is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tools import requirements
from tools.requirements import COLUMNS, ROOT, TABLE, Row, read, wrong

ROWS = read(ROOT / TABLE)
GOOD = next(row for row in ROWS if row.id == "J-029")
HALF = next(row for row in ROWS if row.id == "J-022")


def with_row(row: Row) -> Sequence[Row]:
    return [row if each.id == row.id else each for each in ROWS]


def test_the_table_is_in_order() -> None:
    assert wrong(ROWS, ROOT) == []
    assert len(ROWS) == 331


def test_no_line_vanishes_and_none_is_there_twice() -> None:
    assert wrong([row for row in ROWS if row.id != "J-014"], ROOT)[0] == "J-014 is missing"
    assert wrong([*ROWS, GOOD], ROOT)[0] == "J-029 is there 2 times"
    assert wrong([*ROWS, replace(HALF, id="J-999")], ROOT)[0] == (
        "J-999 is not one of the requirements"
    )


OTHER = "tests/unit/test_words.py::test_the_documents_are_read"
WRONG: dict[str, tuple[Row, str]] = {
    "another document": (replace(HALF, seed="001"), "J-022 is of document 000, not 001"),
    "another class": (replace(HALF, area="ONBOARDING"), "another class or priority"),
    "another priority": (replace(HALF, priority="3"), "another class or priority"),
    "a state that there is not": (replace(HALF, state="done"), "'done' is not a state"),
    "no title": (replace(HALF, title=" "), "J-022 has no title"),
    "works without a test": (replace(GOOD, test=()), "J-029 works and no test says so"),
    "works nowhere": (replace(GOOD, where=()), "J-029 is 'works' and says nowhere"),
    "works and misses": (replace(GOOD, missing="x"), "J-029 works and says what is missing"),
    "half of it": (replace(HALF, missing=""), "J-022 is 'open' and does not say what is missing"),
    "a place": (replace(HALF, where=("docs/none.md",)), "J-022 is in docs/none.md, which does not"),
    "a file": (replace(GOOD, test=("tests/none.py::test_x",)), "tests/none.py does not exist"),
    "no test": (replace(GOOD, test=("tools/requirements.py::main",)), "does not exist"),
    "a function": (
        replace(GOOD, test=("tests/unit/test_staffing.py::test_x",)),
        "tests/unit/test_staffing.py has no test test_x",
    ),
    "an unmarked test": (replace(GOOD, test=(OTHER,)), f"{OTHER} does not carry it"),
    "an unmarked file": (
        replace(GOOD, test=(OTHER.partition("::")[0],)),
        "no test of tests/unit/test_words.py carries it",
    ),
    "a mark that no line names": (
        replace(HALF, test=()), "test_a_slice_reaches_nothing_of_another carries J-022, whose line"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name: str) -> None:
    row, words = WRONG[name]
    assert any(words in each for each in wrong(with_row(row), ROOT)), wrong(with_row(row), ROOT)


@pytest.mark.parametrize(
    ("above", "decorators", "words"),
    [
        ("", "", "does not carry it"),
        ("", '@pytest.mark.requirement("J-029")\n', ""),
        ("", '@pytest.mark.requirement("J-029")\n@pytest.mark.skip(reason="x")\n', "is skipped"),
        ("", '@pytest.mark.requirement("J-029")\n@pytest.mark.xfail\n', "is skipped"),
        ("pytestmark = [pytest.mark.skip]\n", '@pytest.mark.requirement("J-029")\n', "is skipped"),
        ("", '@pytest.mark.requirement("X-1", "J-029")\n', "X-1, which is in no line"),
    ],
)
def test_a_test_is_read_with_its_marks(
    tmp_path: Path, above: str, decorators: str, words: str
) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(
        f"import pytest\n{above}{decorators}def test_a():\n    assert True\n"
    )
    row = replace(GOOD, test=("tests/test_a.py::test_a",), where=("tests",))
    found = [each for each in wrong([row], tmp_path) if "is missing" not in each]
    assert (words == "" and found == []) or any(words in each for each in found), found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,seed\n", "the columns of table.csv are not id,seed,title"),
        (f"{','.join(COLUMNS)}\nJ-001,000\n", "a line of table.csv has not exactly 9 values"),
        (f"{','.join(COLUMNS)}\n{','.join('123456789x')}\n", "has not exactly 9 values"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        read(tmp_path / "table.csv")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert requirements.main(arguments) == 0
    return capsys.readouterr().out


def test_it_is_counted_by_document_and_priority(capsys: pytest.CaptureFixture[str]) -> None:
    answer: dict[str, Any] = json.loads(printed(capsys, "--json"))
    (all_of_it,) = [
        each for each in answer["counts"] if (each["seed"], each["priority"]) == ("all", "all")
    ]
    assert all_of_it["works"] == sum(row.state == "works" for row in ROWS)
    assert all_of_it["rows"] == len(answer["rows"]) == len(ROWS)
    assert all_of_it["works_percent"] == round(100 * all_of_it["works"] / len(ROWS))
    assert f"all  {'all':>8}  {all_of_it['works']:>5}" in printed(capsys)
    assert printed(capsys, "--check") == ""


def test_what_is_open_is_listed_with_the_first_priority_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = printed(capsys, "--open").splitlines()
    assert [line[:2] for line in lines] == sorted(line[:2] for line in lines)
    assert len(lines) == sum(row.state in ("open", "port only") for row in ROWS)
    assert any(HALF.id in line and HALF.missing in line for line in lines)


def test_what_is_wrong_fails_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "CLASSIFICATION", "0" * 64)
    assert requirements.main(["--check"]) == 1
    assert "docs/requirements.csv: a line has another class or priority" in capsys.readouterr().err
