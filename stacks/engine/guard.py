"""The guard of a call: what ends the engine and removes the private folder when the runner dies.

It is forked before anything else is imported, waits at a pipe whose other end only the runner
holds, and does nothing until the pipe closes. A runner that ends normally says so first.

It is also the parent of the providers that the runner has started. A provider ends with its parent,
and one that ends while it creates something makes the engine believe that nothing was created. So
it must outlive the runner, until the engine has ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CALL_FILE = ".call"  # written into a private folder by the runner that made it

_IN_ORDER = b"."
_START = b"+"


class Guard:
    """The runner's side: the process id of the guard and the pipe that it listens at."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self._pipe = pipe

    def start_provider(
        self, executable: Path, environment: Mapping[str, str], folder: Path, output: Path
    ) -> None:
        """Have a provider started as the guard's child.

        Its output goes into a file, and its process id into one beside it, of the suffix ``.pid``:
        0 when it cannot be started.
        """
        order = {
            "executable": str(executable),
            "environment": dict(environment),
            "folder": str(folder),
            "output": str(output),
        }
        data = memoryview(_START + json.dumps(order).encode() + b"\n")
        with contextlib.suppress(OSError):  # without a guard the engine starts its own
            while data:
                data = data[os.write(self._pipe, data) :]

    def dismiss(self) -> None:
        """Tell the guard that the runner ends normally, and wait for its end."""
        with contextlib.suppress(OSError):
            os.write(self._pipe, _IN_ORDER)
            os.close(self._pipe)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def stand_guard(*, call_id: str, folder: Path, engine: str, stop_seconds: float) -> Guard:
    """Fork the guard of a call. Must run while this process has one thread."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(reading)
        return Guard(pid, writing)
    code = 1
    try:
        os.close(writing)
        _watch(reading, call_id, folder, engine, stop_seconds)
        code = 0
    finally:
        os._exit(code)  # never run what the runner registered for its own exit


def remove_folder(folder: Path, call_id: str) -> bool:
    """Remove the private folder of a call; a folder that is not this call's is left alone."""
    try:
        owner = (folder / CALL_FILE).read_text(encoding="utf-8")
    except OSError:
        return False
    if owner != call_id:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _watch(reading: int, call_id: str, folder: Path, engine: str, stop_seconds: float) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _ignore)  # a handler, which a child does not inherit
    # The runner's ends of the protocol must close with the runner, whoever else lives. Standard
    # error stays: its end of file tells the parent of a dead runner that the guard is done.
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nothing, standard)
    os.closerange(3, reading)
    os.closerange(reading + 1, 256)
    providers: list[subprocess.Popen[bytes]] = []
    with os.fdopen(reading, "rb") as orders:
        while order := orders.read(1):
            if order == _IN_ORDER:
                # also one that was ordered so late that the runner has not found it
                for provider in providers:
                    provider.kill()
                    provider.wait()
                return
            line = orders.readline()
            if order == _START and line.endswith(b"\n"):
                providers += _start(json.loads(line))
    from stacks.engine import processes  # noqa: PLC0415 - only a dead runner's guard needs psutil

    processes.end_marked([call_id], engine=engine, grace_seconds=stop_seconds)
    remove_folder(folder, call_id)


def _start(order: Mapping[str, Any]) -> list[subprocess.Popen[bytes]]:
    """Start a provider; an order that comes when the folder is removed already starts nothing."""
    output = Path(order["output"])
    started: list[subprocess.Popen[bytes]] = []
    with contextlib.suppress(OSError), output.open("wb") as out:
        started.append(
            subprocess.Popen(
                [order["executable"]],
                env=order["environment"],
                cwd=order["folder"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )
    with contextlib.suppress(OSError):
        pid = started[0].pid if started else 0
        output.with_suffix(".pid").write_text(str(pid), encoding="ascii")
    return started


def _ignore(*_: object) -> None:
    """Outlive what is sent to the whole group."""
