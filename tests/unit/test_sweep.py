"""What the worker does every second: failures are told in full once, and then in short."""

from __future__ import annotations

from structlog.testing import capture_logs

from control_plane.domain.errors import Unavailable
from control_plane.worker import Sweep


class Due:
    """Something that is due and raises what it is given."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.done = 0

    def __call__(self) -> int:
        if self.error is not None:
            raise self.error
        self.done += 1
        return 1


def test_the_first_failure_of_a_kind_is_told_with_its_cause() -> None:
    first, second = Due(), Due()
    sweep = Sweep({"timers": first, "orphans": second})
    first.error = KeyError("x")
    with capture_logs() as logs:
        sweep()
        sweep()
        first.error = ValueError("y")
        sweep()
        first.error = None
        sweep()
        first.error = ValueError("y")
        sweep()
    assert [(each["sweep"], each["error"], each["exc_info"]) for each in logs] == [
        ("timers", "KeyError", True),
        ("timers", "KeyError", False),
        ("timers", "ValueError", True),
        ("timers", "ValueError", True),  # it had gone well meanwhile
    ]
    assert second.done == 5


def test_what_is_put_off_is_told_by_its_code() -> None:
    due = Due()
    due.error = Unavailable("the database is unreachable")
    with capture_logs() as logs:
        Sweep({"timers": due})()
    assert [(each["event"], each["code"]) for each in logs] == [("sweep.put_off", "unavailable")]
