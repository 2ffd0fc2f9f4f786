"""Say what of the owner's documents works: ``python -m tools.requirements``.

Reads ``docs/requirements.csv``, one line for each requirement, and the tests that its lines name.
A line that says ``works`` names tests, and each of them carries the id of the line:
``@pytest.mark.requirement("J-014")``. Prints counts for each document; ``--open`` lists what is
open and what is only a port, the first priority first; ``--json`` prints for programs. Exit code 1
with what is wrong, on stderr.
"""

from __future__ import annotations

import argparse
import ast
import csv
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
TABLE: Final = Path("docs/requirements.csv")
WORKS: Final = "works"
PORT: Final = "port only"
OPEN: Final = "open"
STATES: Final = (WORKS, PORT, "document only", OPEN, "not software")
CLASSES: Final = ("CORE", "DAY0", "ONBOARDING", "LIFECYCLE")
PRIORITIES: Final = ("0", "1", "2", "3")
COLUMNS: Final = (
    "id", "seed", "title", "class", "priority", "state", "where", "test", "missing",
)  # fmt: skip
_AS_WRITTEN: Final = ("id", "seed", "title", "priority", "state", "missing")

# For each of the owner's documents: the letter of its ids, the last number, and the numbers that
# the table leaves out, since they are before a sale or not software.
SEEDS: Final[Mapping[str, tuple[str, int, frozenset[int]]]] = {
    "000": ("J", 113, frozenset(range(3, 14))),
    "001": ("F", 95, frozenset({12, 21, 54, 57, 73, 74, 88, 89, 90})),
    "002": ("P", 48, frozenset()),
    "003": ("W", 21, frozenset()),
    "004": ("K", 77, frozenset({19, 26, 49})),
}
# of id, class and priority of all lines, so that none gets another class or priority unnoticed
CLASSIFICATION: Final = "70566d2dc0167b9dc697c3c3cf87887108ccedfeaef039eb29959707429bfad7"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One requirement: what it asks for, how far it is, where, and which tests show it."""

    id: str
    seed: str
    title: str
    area: str
    priority: str
    state: str
    where: tuple[str, ...]
    test: tuple[str, ...]
    missing: str


def read(path: Path) -> list[Row]:
    """Return the lines of a table. Raises ``ValueError`` when its columns are others."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file, strict=True)
        if tuple(lines.fieldnames or ()) != COLUMNS:
            raise ValueError(f"the columns of {path.name} are not {','.join(COLUMNS)}")
        found = list(lines)
    if any(None in line or None in line.values() for line in found):
        raise ValueError(f"a line of {path.name} has not exactly {len(COLUMNS)} values")
    return [
        Row(
            area=line["class"],
            where=tuple(line["where"].split()),
            test=tuple(line["test"].split()),
            **{name: line[name] for name in _AS_WRITTEN},
        )
        for line in found
    ]


def classification(rows: Iterable[Row]) -> str:
    """Return the digest of what each line is, apart from how far it is."""
    lines = sorted(f"{row.id} {row.area} {row.priority}\n" for row in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def wrong(rows: Sequence[Row], root: Path) -> list[str]:
    """Return what is wrong with the lines and with the marks of the tests below ``root``."""
    found = [*_wrong_ids(rows), *(words for row in rows for words in _wrong_values(row, root))]
    marks = Marks(root)
    for row in rows:
        found.extend(_wrong_tests(row, marks))
    named = {row.id: set(row.test) for row in rows}
    for test, ids in marks.everywhere():
        for key in ids:
            if key not in named:
                found.append(f"{test} carries {key}, which is in no line")
            elif not named[key] & {test, test.partition("::")[0]}:
                found.append(f"{test} carries {key}, whose line does not name it")
    return found


def _wrong_ids(rows: Sequence[Row]) -> Iterator[str]:
    expected = {
        f"{letter}-{number:03}": seed
        for seed, (letter, last, left_out) in SEEDS.items()
        for number in range(1, last + 1)
        if number not in left_out
    }
    times = Counter(row.id for row in rows)
    yield from (f"{key} is missing" for key in expected if not times[key])
    yield from (f"{key} is there {count} times" for key, count in times.items() if count > 1)
    yield from (f"{key} is not one of the requirements" for key in times if key not in expected)
    yield from (
        f"{row.id} is of document {expected[row.id]}, not {row.seed}"
        for row in rows
        if expected.get(row.id, row.seed) != row.seed
    )
    if set(times) == set(expected) and classification(rows) != CLASSIFICATION:
        yield "a line has another class or priority than the requirements: see CLASSIFICATION"


def _wrong_values(row: Row, root: Path) -> Iterator[str]:
    for value, name, known in (
        (row.state, "state", STATES),
        (row.area, "class", CLASSES),
        (row.priority, "priority", PRIORITIES),
    ):
        if value not in known:
            yield f"{row.id}: {value!r} is not a {name}; it is one of {', '.join(known)}"
    if not row.title.strip():
        yield f"{row.id} has no title"
    if row.state not in (OPEN, "not software") and not row.where:
        yield f"{row.id} is {row.state!r} and says nowhere"
    if row.state == WORKS and row.missing:
        yield f"{row.id} works and says what is missing"
    if row.state != WORKS and not row.missing and (row.where or row.state != OPEN):
        yield f"{row.id} is {row.state!r} and does not say what is missing"
    for place in row.where:
        if not (root / place).exists():
            yield f"{row.id} is in {place}, which does not exist"


def _wrong_tests(row: Row, marks: Marks) -> Iterator[str]:
    if row.state == WORKS and not row.test:
        yield f"{row.id} works and no test says so"
    for test in row.test:
        path, _, function = test.partition("::")
        module = marks.of(path)
        if module is None:
            yield f"{row.id}: {path} does not exist"
        elif function and function not in module:
            yield f"{row.id}: {path} has no test {function}"
        elif function and module[function].skipped:
            yield f"{row.id}: {test} is skipped"
        elif function and row.id not in module[function].ids:
            yield f"{row.id}: {test} does not carry it"
        elif not function and not any(
            row.id in each.ids and not each.skipped for each in module.values()
        ):
            yield f"{row.id}: no test of {path} carries it"


@dataclass(frozen=True)
class Marked:
    """The ids that a test carries, and whether it never runs."""

    ids: frozenset[str]
    skipped: bool


class Marks:
    """The marks of tests, read without running or importing them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: dict[str, dict[str, Marked] | None] = {}

    def of(self, path: str) -> dict[str, Marked] | None:
        """Return the tests of a module by name; ``None`` for another file."""
        if path not in self._read:
            file = self._root / path
            good = path.startswith("tests/") and path.endswith(".py") and file.is_file()
            self._read[path] = _marked(ast.parse(file.read_text("utf-8"))) if good else None
        return self._read[path]

    def everywhere(self) -> Iterator[tuple[str, frozenset[str]]]:
        """Return every test that carries an id."""
        for file in sorted((self._root / "tests").rglob("test_*.py")):
            if "mark.requirement" in file.read_text("utf-8"):
                path = file.relative_to(self._root).as_posix()
                for name, marked in (self.of(path) or {}).items():
                    if marked.ids:
                        yield f"{path}::{name}", marked.ids


def _marked(tree: ast.Module) -> dict[str, Marked]:
    of_module = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and any(isinstance(each, ast.Name) and each.id == "pytestmark" for each in node.targets)
    ]
    return {
        node.name: Marked(
            frozenset(key for mark in node.decorator_list for key in _ids(mark)),
            any(_skips(mark) for mark in [*node.decorator_list, *of_module]),
        )
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


def _ids(mark: ast.expr) -> Iterator[str]:
    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.requirement":
        yield from (ast.literal_eval(key) for key in mark.args)


def _skips(mark: ast.expr) -> bool:
    """Return whether a mark takes a test out of every run; a condition may hold somewhere."""
    marks = ("pytest.mark.skip", "pytest.mark.xfail")
    return any(
        isinstance(node, ast.Attribute) and ast.unparse(node) in marks for node in ast.walk(mark)
    )


def counts(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return for each document and priority how many lines are in each state."""
    groups: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        for seed in (row.seed, "all"):
            for priority in (row.priority, "all"):
                groups.setdefault((seed, priority), Counter())[row.state] += 1
    return [
        {
            "seed": seed,
            "priority": priority,
            **{state: found[state] for state in STATES},
            "rows": found.total(),
            "works_percent": round(100 * found[WORKS] / found.total()),
        }
        for (seed, priority), found in sorted(
            groups.items(), key=lambda item: (item[0][0] == "all", item[0])
        )
    ]


def not_yet(rows: Iterable[Row]) -> list[Row]:
    """Return what is open or only a port, the first priority first."""
    found = [row for row in rows if row.state in (OPEN, PORT)]
    return sorted(found, key=lambda row: (row.priority, CLASSES.index(row.area), row.seed, row.id))


def _tables(rows: Sequence[Row]) -> str:
    heads = ("seed", "priority", *STATES, "rows", "works_percent")
    lines = [[str(head).replace("_percent", " %") for head in heads]]
    lines += [[str(group[head]) for head in heads] for group in counts(rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) + "\n"
        for line in lines
    )


def _listed(row: Row) -> str:
    rest = f": {row.missing}" if row.missing else ""
    return f"P{row.priority}  {row.id}  {row.area:10}  {row.state:9}  {row.title}{rest}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the table, then print it as it was asked for."""
    parser = argparse.ArgumentParser(prog="requirements", description=__doc__.partition("\n")[0])
    parser.add_argument("--open", action="store_true", help="list what is open, by priority")
    parser.add_argument("--json", action="store_true", help="print for programs")
    parser.add_argument("--check", action="store_true", help="print only what is wrong")
    chosen = parser.parse_args(arguments)
    try:
        rows = read(ROOT / TABLE)
    except (ValueError, csv.Error) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    problems = wrong(rows, ROOT)
    shown = not_yet(rows) if chosen.open else rows
    if chosen.json:
        lines = [asdict(row) for row in shown]
        answer = {"counts": counts(rows), "rows": lines, "wrong": problems}
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    elif not chosen.check:
        sys.stdout.write("".join(map(_listed, shown)) if chosen.open else _tables(rows))
    sys.stderr.write("".join(f"{TABLE}: {words}\n" for words in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
