"""The guard of a call: what ends the engine and removes the private folder when the runner dies.

It is forked before anything else is imported, waits at a pipe whose other end only the runner
holds, and does nothing until the pipe closes. A runner that ends normally says so first.

It is also the parent of the providers that the runner has started. A provider ends with its parent,
and one that ends while it creates something makes the engine believe that nothing was created. So
it must outlive the runner, until the engine has ended.

It is forked before the runner has its request, and has one thread. So it can fork the sandbox's
provider too, from what the parent of the runners has imported, and neither of them has any secret
of the call but those in the environment that the provider is given.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Never

CALL_FILE = ".call"  # written into a private folder by the runner that made it

_IN_ORDER = b"."
_CALL = b"!"
_START = b"+"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FAILED = 70  # EX_SOFTWARE of sysexits.h


class Guard:
    """The runner's side: the process id of the guard and the pipe that it listens at."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self._pipe = pipe

    def watch(self, *, call_id: str, folder: Path, engine: str, stop_seconds: float) -> None:
        """Say what is to be ended and removed when the runner dies; until then that is nothing.

        Raises ``OSError`` when the guard is gone.
        """
        self._order(
            _CALL,
            call_id=call_id,
            folder=str(folder),
            engine=engine,
            stop_seconds=stop_seconds,
        )

    def start_provider(
        self, executable: Path | None, environment: Mapping[str, str], folder: Path, output: Path
    ) -> None:
        """Have a provider started as the guard's child: the sandbox's, or an executable.

        Its output goes into a file, and its process id into one beside it, of the suffix ``.pid``.
        """
        with contextlib.suppress(OSError):  # without a guard the engine starts its own
            self._order(
                _START,
                executable=str(executable) if executable else None,
                environment=dict(environment),
                folder=str(folder),
                output=str(output),
            )

    def dismiss(self) -> None:
        """Tell the guard that the runner ends normally, and wait for its end."""
        with contextlib.suppress(OSError):
            os.write(self._pipe, _IN_ORDER)
            os.close(self._pipe)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _order(self, kind: bytes, **what: Any) -> None:
        data = memoryview(kind + json.dumps(what).encode() + b"\n")
        while data:
            data = data[os.write(self._pipe, data) :]


def stand_guard() -> Guard:
    """Fork the guard of a call. Must run while this process has one thread."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(reading)
        return Guard(pid, writing)
    code = 1
    try:
        os.close(writing)
        _watch(reading)
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


def _watch(reading: int) -> None:
    os.setsid()
    for number in _SIGNALS:
        signal.signal(number, _ignore)
    # The runner's ends of the protocol must close with the runner, whoever else lives. Standard
    # error stays: its end of file tells the parent of a dead runner that the guard is done.
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nothing, standard)
    os.closerange(3, reading)
    os.closerange(reading + 1, 256)
    call: dict[str, Any] = {}
    providers: list[int] = []
    with os.fdopen(reading, "rb") as orders:
        while kind := orders.read(1):
            if kind == _IN_ORDER:
                # also one that was ordered so late that the runner has not found it
                for provider in providers:
                    os.kill(provider, signal.SIGKILL)  # its number is its own until it is collected
                    os.waitpid(provider, 0)
                return
            line = orders.readline()
            if not line.endswith(b"\n"):
                break  # the runner died at it
            if kind == _CALL:
                call = json.loads(line)
            elif kind == _START:
                providers.append(_start(json.loads(line)))
    if not call:
        return
    from stacks.engine import processes  # noqa: PLC0415 - only a dead runner's guard needs psutil

    call_id = call["call_id"]
    processes.end_marked([call_id], engine=call["engine"], grace_seconds=call["stop_seconds"])
    remove_folder(Path(call["folder"]), call_id)


def _start(order: Mapping[str, Any]) -> int:
    """Start a provider; one that is ordered when the folder is removed already ends at once."""
    pid = os.fork()
    if pid == 0:
        _become_provider(order)
    with contextlib.suppress(OSError):
        Path(order["output"]).with_suffix(".pid").write_text(str(pid), encoding="ascii")
    return pid


def _become_provider(order: Mapping[str, Any]) -> Never:
    """Be a provider, which has of this process its mark, and of the sandbox's its imports."""
    code = _FAILED
    try:
        os.setsid()
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        for standard, descriptor in enumerate((nothing, output, nothing)):
            os.dup2(descriptor, standard)
        os.closerange(3, 256)
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        if executable := order["executable"]:
            os.execv(executable, [executable])  # noqa: S606 - what the engine would start as well
        from stacks.sandbox.provider import __main__ as sandbox  # noqa: PLC0415 - of a sandbox only

        code = sandbox.main([])
    finally:
        os._exit(code)


def _ignore(*_: object) -> None:
    """Outlive what is sent to the whole group."""
