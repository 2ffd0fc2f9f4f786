"""How long the signer rests: never while much waits, and not for others' load."""

from __future__ import annotations

from pathlib import Path

import pytest

from control_plane.adapters.audit.sequencer import Growth, joined
from control_plane.adapters.audit.signer_process import SignerConfig, TickReport, pause_after

CONFIG = SignerConfig(database_url="", key_path=Path("k"), journal_path=Path("j"), host="h")


@pytest.mark.parametrize(
    ("report", "is_busy", "seconds"),
    [
        (TickReport(), False, 0.5),
        (TickReport(sequenced=1, cpu_seconds=0.001), True, 0.1),
        (TickReport(sequenced=100, cpu_seconds=0.04), True, 0.32),
        (TickReport(sequenced=100, cpu_seconds=3.0), True, 0.5),
        (TickReport(sequenced=2000, cpu_seconds=3.0), True, 0.1),
        (TickReport(sequenced=8000, cpu_seconds=3.0, has_more=True), True, 0.0),
    ],
    ids=["at rest", "one event", "few, dear", "very dear", "many at once", "more wait"],
)
def test_the_pause_follows_what_a_tick_cost_and_what_waits(
    report: TickReport, is_busy: bool, seconds: float
) -> None:
    assert pause_after(CONFIG, report, is_busy=is_busy) == pytest.approx(seconds)


def test_steps_of_a_tree_are_joined_into_one() -> None:
    steps = [
        Growth(tree="a", old_size=0, new_size=3, last_leaf=b"1"),
        Growth(tree="b", old_size=7, new_size=8, last_leaf=b"2"),
        Growth(tree="a", old_size=3, new_size=5, last_leaf=b"3"),
    ]
    assert joined(steps) == [
        Growth(tree="a", old_size=0, new_size=5, last_leaf=b"3"),
        Growth(tree="b", old_size=7, new_size=8, last_leaf=b"2"),
    ]
    assert joined([]) == []
