"""A request to end is heard, stays made, and may be made at any moment."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from control_plane.adapters.ending import EndRequest


@pytest.fixture
def end() -> Iterator[EndRequest]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    end = EndRequest()
    end.take_signals()
    yield end
    for number, handler in before.items():
        signal.signal(number, handler)


def test_nobody_asked() -> None:
    end = EndRequest()
    assert not end.wait(0.01)
    assert not end.is_made


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_and_the_request_stays(end: EndRequest, number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    assert end.wait(5)
    assert end.is_made
    assert end.wait(5)


def test_a_thread_ends_the_wait(end: EndRequest) -> None:
    threading.Timer(0.1, end.make).start()
    started = time.monotonic()
    assert end.wait(30)
    assert time.monotonic() - started < 20
