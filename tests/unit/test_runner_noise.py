"""What a runner says on its standard error, in the log."""

from __future__ import annotations

import sys
from pathlib import Path

from structlog.testing import capture_logs

from control_plane.adapters.pulumi.runner_process import RunnerProcess

SAYS = """
import sys
sys.stderr.write("first\\nerror: postgres://joe:hunter2@db/states?password=hunter3&x=1\\n")
"""


def test_it_is_one_event_of_its_call_without_passwords(tmp_path: Path) -> None:
    with RunnerProcess([sys.executable, "-c", SAYS], cwd=tmp_path, environment={}) as runner:
        assert runner.wait_for_guard(60)
    with capture_logs() as logs:
        runner.log_noise("run_1.1")
    (event,) = logs
    assert (event["event"], event["call"]) == ("runner.noise", "run_1.1")
    assert event["lines"] == [
        "first",
        "error: postgres://[secret]@db/states?password=[secret]&x=1",
    ]


def test_a_silent_one_is_no_event(tmp_path: Path) -> None:
    with RunnerProcess([sys.executable, "-c", ""], cwd=tmp_path, environment={}) as runner:
        assert runner.wait_for_guard(60)
    with capture_logs() as logs:
        runner.log_noise("run_1.1")
    assert logs == []
