"""Whether the process that took a lock still exists, though numbers of processes are used again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from stacks.engine.processes import CALL_ID, holds_since

pytestmark = pytest.mark.timeout(60)

ENGINE = "/usr/bin/no-such-engine"


@contextmanager
def sleeping(*, marked: bool) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that waits, with the mark of a call or without one."""
    environ = {**os.environ, CALL_ID: "run_1.1"} if marked else dict(os.environ)
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(
        command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it is what it is by now
        yield process
        process.kill()


def later(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_a_marked_process_holds_what_was_taken_after_its_start() -> None:
    with sleeping(marked=True) as process:
        assert holds_since(process.pid, later(0), engine=ENGINE)
        assert holds_since(process.pid, None, engine=ENGINE)


def test_a_process_that_is_younger_than_the_lock_is_another_one() -> None:
    with sleeping(marked=True) as process:
        assert not holds_since(process.pid, later(-60), engine=ENGINE)


def test_a_process_that_is_neither_engine_nor_marked_is_another_one() -> None:
    with sleeping(marked=False) as process:
        assert not holds_since(process.pid, later(0), engine=ENGINE)
        assert holds_since(process.pid, later(0), engine=os.path.realpath(sys.executable))


def test_an_ended_process_holds_nothing() -> None:
    with sleeping(marked=True) as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not holds_since(process.pid, later(0), engine=ENGINE)  # not yet collected
    assert not holds_since(process.pid, later(0), engine=ENGINE)
