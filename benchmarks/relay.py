"""A distant server: ``python -m benchmarks.relay SECONDS TARGET ...``

Each target, ``HOST:PORT`` or the path of a socket, gets a port on loopback, and all are printed as
one line of JSON. What passes arrives ``SECONDS`` later in either direction, as over a longer line:
it is not made narrower. A process of its own, which ends when its standard input does.

Threads and not an event loop, whose timers are good to a millisecond at best.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

_HOST: Final = "127.0.0.1"
_READ: Final = 1 << 18


def main() -> None:
    """Pass on until the end of standard input."""
    seconds, listeners = float(sys.argv[1]), []
    for target in sys.argv[2:]:
        listeners.append(socket.create_server((_HOST, 0), backlog=128))
        _start(partial(_accept, listeners[-1], target, seconds))
    sys.stdout.write(json.dumps([each.getsockname()[1] for each in listeners]) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


@contextmanager
def relay(seconds: float, targets: Sequence[str]) -> Iterator[list[int]]:
    """Run a relay as a process, and return the ports by which its targets are reached."""
    command = [sys.executable, "-m", "benchmarks.relay", str(seconds), *targets]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdout is None:
            raise TypeError("it is a pipe")
        yield json.loads(process.stdout.readline())


def _accept(listener: socket.socket, target: str, seconds: float) -> None:
    while True:
        near, _ = listener.accept()
        try:
            far = _connect(target)
        except OSError:  # the caller sees what it would without a relay: a connection that ends
            near.close()
            continue
        for one, other in ((near, far), (far, near)):
            _start(partial(_pass_on, one, other, seconds))
        _at_once(near)


def _connect(target: str) -> socket.socket:
    if target.startswith("/"):
        far = socket.socket(socket.AF_UNIX)
        far.connect(target)
        return far
    host, _, port = target.rpartition(":")
    far = socket.create_connection((host, int(port)))
    _at_once(far)
    return far


def _pass_on(source: socket.socket, sink: socket.socket, seconds: float) -> None:
    """Write what another thread reads once its time has come; the end is passed on too."""
    under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
    _start(partial(_read, source, under_way, seconds))
    while True:
        due, content = under_way.get()
        time.sleep(max(due - time.monotonic(), 0.0))
        try:
            if content:
                sink.sendall(content)
                continue
            sink.shutdown(socket.SHUT_WR)
        except OSError:  # who should get it is gone: whoever sends it hears of that
            with contextlib.suppress(OSError):
                source.shutdown(socket.SHUT_RDWR)
        return


def _read(
    source: socket.socket, under_way: queue.SimpleQueue[tuple[float, bytes]], seconds: float
) -> None:
    content = b"."
    while content:
        try:
            content = source.recv(_READ)
        except OSError:
            content = b""
        under_way.put((time.monotonic() + seconds, content))


def _at_once(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _start(work: partial[None]) -> None:
    threading.Thread(target=work, daemon=True).start()


if __name__ == "__main__":
    main()
