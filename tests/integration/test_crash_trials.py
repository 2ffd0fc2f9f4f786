"""A short form of ``make crash-trials``, which kills as often as it is told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.crash_trials.trials import Counts, Trials

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_kills_lose_no_acknowledged_event_and_fork_no_log(tmp_path: Path) -> None:
    said: list[str] = []
    file = tmp_path / "trials.jsonl"
    counts = Trials(seed=7, count=25, file=file, say=said.append).run()
    assert (counts.lost, counts.doubled, counts.forks, counts.wrong) == (0, 0, 0, [])
    assert counts.trials == 25
    assert counts.acknowledged > 100
    assert {what for _, what in counts.struck} == {"process", "database"}
    assert len({phase for phase, _ in counts.struck}) == 4
    assert "25 trials struck" in counts.table()
    again = Trials(seed=7, count=25, file=file, say=said.append).run()
    assert again == counts  # what is in the file is not tried again
    assert len(said) == 1


def test_a_block_that_was_wrong_or_cut_off_is_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "trials.jsonl"
    struck = Counter({("sign", "process"): 1})
    good, bad = Counts(struck=struck), Counts(struck=struck, lost=1)
    assert Counts.from_json(good.to_json()) == good
    assert bad.is_good is False
    file.write_text('{"block": "7/0/1", "lo', encoding="utf-8")
    counts = Trials(seed=7, count=1, file=file, say=lambda _: None).run()
    assert counts.trials == 1
    assert file.read_text(encoding="utf-8").count("\n") == 1
