"""Requests come before the verification of the logs that the API does beside them."""

from __future__ import annotations

import threading
import time

import pytest

from api.__main__ import LONGEST_PAUSE_SECONDS, let_requests_go_first
from api.edge import MAX_BODY, Traffic
from control_plane.domain.actor import Role
from tests.unit.api.scene import Scene


def _seconds(traffic: Traffic, *, worked: float = 0.0, stopping: bool = False) -> float:
    end = threading.Event()
    if stopping:
        end.set()
    started = time.monotonic()
    let_requests_go_first(worked, traffic, end)
    return time.monotonic() - started


def test_while_somebody_waits_for_an_answer_the_verification_pauses() -> None:
    assert _seconds(Traffic(waiting=1)) >= LONGEST_PAUSE_SECONDS - 0.1


def test_it_goes_on_once_nobody_waits() -> None:
    traffic = Traffic(waiting=1)
    threading.Timer(0.1, setattr, (traffic, "waiting", 0)).start()
    assert _seconds(traffic) < LONGEST_PAUSE_SECONDS / 2


def test_alone_it_takes_a_fifth_of_the_time() -> None:
    assert 0.04 <= _seconds(Traffic(), worked=0.01) < LONGEST_PAUSE_SECONDS / 2


def test_a_process_that_ends_does_not_pause() -> None:
    assert _seconds(Traffic(waiting=1), worked=10.0, stopping=True) < LONGEST_PAUSE_SECONDS / 2


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "/healthz", b""),
        ("GET", "/v1/hubs", b""),
        ("GET", "/nowhere", b""),
        ("GET", "/v1/runs/%00", b""),
        ("POST", "/v1/hubs", b"x" * (MAX_BODY + 1)),
    ],
)
def test_after_an_answer_nobody_waits(shown: Scene, method: str, path: str, content: bytes) -> None:
    shown.api.call(method, path, Role.PLATFORM_ADMIN, content=content)
    assert shown.api.shared.traffic.waiting == 0


def test_who_asked_waits_until_the_answer_begins(
    shown: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def ready() -> dict[str, str]:
        seen.append(shown.api.shared.traffic.waiting)
        return {}

    monkeypatch.setattr(shown.api.shared, "readiness", ready)
    shown.api.call("GET", "/readyz", Role.PLATFORM_ADMIN)
    assert seen == [1]
