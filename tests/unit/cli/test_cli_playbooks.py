"""`tenantctl playbook`: a document is checked and shown without an installation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from control_plane.cli.app import invoke
from control_plane.cli.playbooks import said
from control_plane.domain.calendars.due import Due, DueUnit
from control_plane.domain.playbook import Anchor, Time

DAY_0 = Path(__file__).parents[3] / "rules" / "playbooks" / "day-0.yaml"


def test_a_valid_document_is_said_to_be_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["playbook", "check", str(DAY_0)]) == 0
    said_of_it = capsys.readouterr().out
    assert "day-0.yaml is valid: day-0, version 3" in said_of_it
    assert "18 steps, begins when contract.signed" in said_of_it


def test_a_wrong_document_is_refused_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(DAY_0.read_text("utf-8").replace("link.issue", "link.isue"), encoding="utf-8")
    assert invoke(["playbook", "check", str(wrong)]) == 2
    refused = capsys.readouterr()
    assert refused.out == ""
    assert "steps.2.action (line 26): there is no 'link.isue'; did you mean 'link.issue'?" in (
        refused.err
    )


def test_a_file_that_is_not_there_is_a_fault_of_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["playbook", "check", str(tmp_path / "none.yaml")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_the_steps_are_shown_with_what_they_need(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["playbook", "show", str(DAY_0), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    steps = {step["step"]: step for step in shown["steps"]}
    assert steps["kickoff_invitation"]["needs"] == "csm, engineer"
    assert steps["channel"]["when"] == "chat slack or teams"
    assert steps["kickoff"]["due"] == "2 business days after signed"
    assert invoke(["playbook", "show", str(DAY_0)]) == 0
    table = capsys.readouterr().out
    assert table.startswith("From the signature to the kickoff (day-0, version 3)\n")
    assert all(key in table for key in steps)


@pytest.mark.requirement("W-019")
def test_the_graph_has_every_step_and_every_need(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["playbook", "show", str(DAY_0), "--dot"]) == 0
    graph = capsys.readouterr().out
    assert graph.startswith('digraph "day-0" {')
    assert '"csm" -> "channel";' in graph
    assert graph.count("[shape=") == 18


@pytest.mark.parametrize(
    ("amount", "unit", "words"),
    [
        (1, DueUnit.ELAPSED_HOUR, "1 hour after signed"),
        (2, DueUnit.BUSINESS_DAY, "2 business days after signed"),
        (-90, DueUnit.DAY, "90 days before signed"),
    ],
)
def test_a_time_is_said_in_words(amount: int, unit: DueUnit, words: str) -> None:
    assert said(Time(anchor=Anchor.SIGNED, after=None, due=Due(amount=amount, unit=unit))) == words


def test_a_document_is_drawn_into_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "day-0.svg"
    assert invoke(["playbook", "draw", str(DAY_0), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 18 steps of day-0, version 3\n"
    assert out.read_text(encoding="utf-8").startswith("<svg ")
    assert invoke(["playbook", "draw", str(DAY_0), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == str(out)


def test_what_cannot_be_drawn_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, out = tmp_path / "wrong.yaml", tmp_path / "out.svg"
    wrong.write_text(DAY_0.read_text("utf-8").replace("link.issue", "link.isue"), encoding="utf-8")
    assert invoke(["playbook", "draw", str(wrong), "--out", str(out)]) == 2
    assert not out.exists()
    nowhere = tmp_path / "nowhere" / "out.svg"
    assert invoke(["playbook", "draw", str(DAY_0), "--out", str(nowhere)]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert invoke(["playbook", "draw", str(DAY_0)]) == 2
