"""A part that ends by itself starts again, some times at most, and later each time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from control_plane.cli.children import LARGEST_LOG, RESTART_SECONDS, RESTARTS, Child, Restarts
from control_plane.domain.errors import Unavailable


def test_a_part_starts_again_five_times_with_longer_pauses() -> None:
    now = [0.0]
    restarts = Restarts(clock=lambda: now[0])
    pauses = []
    for _ in range(RESTARTS):
        pauses.append(restarts.note_end())
        now[0] += 10
    assert pauses == [0.0, 1.0, 2.0, 4.0, 8.0]
    assert restarts.note_end() is None


def test_what_ended_long_ago_does_not_count() -> None:
    now = [0.0]
    restarts = Restarts(clock=lambda: now[0])
    for _ in range(3 * RESTARTS):
        assert restarts.note_end() == 0.0
        now[0] += RESTART_SECONDS
    assert len(restarts) == 1


def child(folder: Path, code: str) -> Child:
    made = Child("part", [sys.executable, "-c", code], {}, folder / "part.log", folder)
    made.start()
    return made


def test_a_part_says_when_it_is_ready_and_ends_when_asked(tmp_path: Path) -> None:
    part = child(tmp_path, "import sys; print('here I am', flush=True); sys.stdin.read()")
    part.wait_until_ready(30)
    assert (part.line, part.has_ended()) == ("here I am", False)
    part.stop()
    assert part.has_ended()


def test_a_part_that_does_not_start_says_its_last_word(tmp_path: Path) -> None:
    part = child(tmp_path, "import sys; sys.exit('no such key')")
    with pytest.raises(Unavailable, match="part did not start: no such key"):
        part.wait_until_ready(30)


def test_a_part_that_says_nothing_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    part = child(tmp_path, "import sys; sys.stdin.read()")
    with pytest.raises(Unavailable, match="no output"):
        part.wait_until_ready(0.3)
    assert part.has_ended()


def test_a_log_that_somebody_deleted_ends_nothing(tmp_path: Path) -> None:
    part = child(tmp_path, "import sys; sys.stdin.read()")
    part.log.unlink()
    part.rotate_log()
    assert part.last_line() == "no output"
    part.stop()
    with pytest.raises(Unavailable, match="part did not start: no output"):
        part.wait_until_ready(0.1)


def test_a_long_log_begins_anew_and_the_one_before_it_is_kept(tmp_path: Path) -> None:
    part = child(
        tmp_path,
        "import sys\n"
        f"sys.stderr.write('x' * {LARGEST_LOG} + '\\n'); sys.stderr.flush()\n"
        "print('said', flush=True); sys.stdin.read()\n"
        "sys.stderr.write('the end\\n')",
    )
    part.wait_until_ready(30)
    part.rotate_log()
    part.rotate_log()
    assert (tmp_path / "part.log.1").stat().st_size == LARGEST_LOG + 1
    assert part.log.stat().st_size == 0
    stdin = part.process.stdin
    assert stdin is not None
    stdin.close()
    part.process.wait(30)
    assert part.log.read_bytes() == b"the end\n"
    part.stop()
