"""What a runner says on its standard error, in the log."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from structlog.testing import capture_logs

from control_plane.adapters.pulumi.runner_parent import Forked
from control_plane.adapters.pulumi.runner_process import RunnerProcess

SAYS = """
import sys
sys.stderr.write("first\\nerror: postgres://joe:hunter2@db/states?password=hunter3&x=1\\n")
"""


@contextmanager
def runner_of(program: str) -> Iterator[RunnerProcess]:
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        handle = os.pidfd_open(process.pid)
        forked = Forked(process.pid, process.stdin, process.stdout, process.stderr, handle)
        with RunnerProcess(forked) as runner:
            yield runner


def test_it_is_one_event_of_its_call_without_passwords() -> None:
    with runner_of(SAYS) as runner:
        assert runner.wait_for_guard(60)
    with capture_logs() as logs:
        runner.log_noise("run_1.1")
    (event,) = logs
    assert (event["event"], event["call"]) == ("runner.noise", "run_1.1")
    assert event["lines"] == [
        "first",
        "error: postgres://[secret]@db/states?password=[secret]&x=1",
    ]


def test_a_silent_one_is_no_event() -> None:
    with runner_of("") as runner:
        assert runner.wait_for_guard(60)
    with capture_logs() as logs:
        runner.log_noise("run_1.1")
    assert logs == []
