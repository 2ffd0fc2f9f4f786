"""A run takes few transactions of few statements: what a worker adds to the engine's time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from control_plane.domain.run import RunStatus
from control_plane.workflows import PHASES
from tests.statements import COMMIT, counted_statements
from tests.world import World

_NAMED: Final = re.compile(r"(?:INTO|UPDATE|FROM) (\w+)")
OF_A_REPORT: Final = 5  # is the call still the newest (and its process), does the run go on, lines
OF_A_RUN: Final = {
    "it is taken up": 5,
    "its place, its spec, its engine call": 23,  # of a first one the salt of its stack
    "the gate": 25,
    "what was applied": 13,
    "what was verified, and its end": 27,  # its findings, where it is, and its next look
}


def transactions(asked: Sequence[str]) -> list[list[str]]:
    """Return what was asked as verbs and tables, by the transactions that were committed."""
    found: list[list[str]] = [[]]
    for statement in asked:
        about = _NAMED.search(statement)
        verb = statement.split(maxsplit=1)[0]
        found[-1].append(f"{verb} {about.group(1)}" if about else verb)
        if statement == COMMIT:
            found.append([])
    assert found.pop() == []
    return found


def test_a_run_of_mode_a_takes_five_transactions_beside_the_reports_of_its_engine(
    world: World,
) -> None:
    world.ready_hub()
    run_id = world.submit("A").run_id or ""
    with counted_statements(commits=True) as asked:
        PHASES["advance_run"](world.core, run_id)
    assert world.run(run_id).status is RunStatus.APPLIED
    assert [statement for statement in asked if "SAVEPOINT" in statement] == []
    done = transactions(asked)
    reports = [each for each in done if each[0] == "SELECT engine_call"]
    own = [each for each in done if each not in reports]
    assert len(reports) > 1
    assert [each for each in reports if len(each) > OF_A_REPORT] == []
    assert len(own) == len(OF_A_RUN), own
    for (name, at_most), each in zip(OF_A_RUN.items(), own, strict=True):
        assert len(each) <= at_most, (name, each)
