"""The guard of a call: what ends the engine and removes the private folder when the runner dies.

It is forked before anything else is imported, waits at a pipe whose other end only the runner
holds, and does nothing until the pipe closes. A runner that ends normally says so first.

It is also the parent of what must outlive the runner, until the engine has ended: of the providers
that the runner has started, since one that ends while it creates something makes the engine believe
that nothing was created; and of the keeper, to which the engine says what it has done.

It is forked before the runner has its request, and has one thread. So it can fork the sandbox's
provider and the keeper, too, from what the parent of the runners has imported. Neither it nor a
provider has any secret of the call but those in the environment that the provider is given: what
the keeper is to know comes to it through a pipe of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never

CALL_FILE = ".call"  # written into a private folder by the runner that made it

_IN_ORDER = b"."
_CALL = b"!"
_START = b"+"
_KEEP = b"k"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FAILED = 70  # EX_SOFTWARE of sysexits.h


class Guard:
    """The runner's side: the process id of the guard, its pipe, and the one of the keeper."""

    def __init__(self, pid: int, pipe: int, keepers: int) -> None:
        self.pid = pid
        self._pipe = pipe
        self._keepers = keepers

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

    def start_keeper(self, order: Mapping[str, Any], announcement: Path) -> None:
        """Have the one keeper of the call started; what it announces enters a file. See ``keeper``.

        Raises ``OSError`` when the guard is gone.
        """
        self._order(_KEEP, announcement=str(announcement))
        os.write(self._keepers, json.dumps(order).encode() + b"\n")  # less than a pipe takes

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
    of_keeper, to_keeper = os.pipe()
    pid = os.fork()
    if pid:
        os.close(reading)
        os.close(of_keeper)
        return Guard(pid, writing, to_keeper)
    code = 1
    try:
        _watch(reading, of_keeper)
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


def _watch(reading: int, of_keeper: int) -> None:
    os.setsid()
    for number in _SIGNALS:
        signal.signal(number, _ignore)
    # The runner's ends of the protocol must close with the runner, whoever else lives. Standard
    # error stays: its end of file tells the parent of a dead runner that the guard is done.
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nothing, standard)
    for descriptor in range(3, 256):
        if descriptor not in (reading, of_keeper):
            with contextlib.suppress(OSError):
                os.close(descriptor)
    watch = _Watch(reading, of_keeper)
    with os.fdopen(reading, "rb") as orders:
        while kind := orders.read(1):
            if kind == _IN_ORDER:
                watch.end_in_order()
                return
            line = orders.readline()
            if not line.endswith(b"\n"):
                break  # the runner died at it
            watch.take(kind, json.loads(line))
    watch.end_what_is_left()


class _Watch:
    """What the guard knows of the call, and what it has started."""

    def __init__(self, orders: int, of_keeper: int) -> None:
        self._orders = orders
        self._of_keeper = of_keeper
        self._call: dict[str, Any] = {}
        self._providers: list[int] = []
        self._keepers: list[_Keeper] = []

    def take(self, kind: bytes, order: dict[str, Any]) -> None:
        if kind == _CALL:
            self._call = order
        elif kind == _START:
            self._providers.append(_start(order))
        elif kind == _KEEP:
            path = Path(order["announcement"])
            self._keepers.append(_keep(path, self._of_keeper, self._orders))

    def end_in_order(self) -> None:
        """End what the runner did not, such as what was ordered so late that it was not found."""
        for provider in self._providers:
            os.kill(provider, signal.SIGKILL)  # its number is its own until it is collected
            os.waitpid(provider, 0)
        for keeper in self._keepers:
            keeper.end()

    def end_what_is_left(self) -> None:
        """Do what a dead runner did not."""
        if not self._call:
            return
        from stacks.engine import processes  # noqa: PLC0415 - only this guard needs psutil

        call_id = self._call["call_id"]
        processes.end_marked(
            [call_id],
            engine=self._call["engine"],
            grace_seconds=self._call["stop_seconds"],
            spare=[keeper.pid for keeper in self._keepers],
        )
        for keeper in self._keepers:
            keeper.end()
        remove_folder(Path(self._call["folder"]), call_id)


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


@dataclass(frozen=True)
class _Keeper:
    """A keeper ends when its pipe is closed."""

    pid: int
    pipe: int

    def end(self) -> None:
        """Have it give the stack back, and wait for its end."""
        os.close(self.pipe)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _keep(announcement: Path, order: int, orders: int) -> _Keeper:
    """Fork the keeper, which reads what it is to keep from the pipe ``order``."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(reading)
        os.close(order)
        return _Keeper(pid, writing)
    code = _FAILED
    try:
        os.close(writing)
        os.close(orders)
        from stacks.engine.keeper import keep  # noqa: PLC0415 - imported by a warm parent

        keep(order, until=reading, announcement=announcement)
        code = 0
    finally:
        os._exit(code)
    raise AssertionError  # os._exit does not return


def _ignore(*_: object) -> None:
    """Outlive what is sent to the whole group."""
