"""Processes: finding, ending, adopting and marking them.

A call's processes carry ``TENANTPLANE_CALL_ID`` in their environment: the runner, its guard, the
engine and the providers, which inherit it. So they are found even after their parents have ended.
Standard library and psutil only.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import signal
import time
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path

import psutil

CALL_ID = "TENANTPLANE_CALL_ID"

_PR_SET_CHILD_SUBREAPER = 36
_POLL_SECONDS = 0.05
_SECOND_INTERRUPT_SECONDS = 5.0
_KILL_ROUNDS = 100
_CLOCK_SECONDS = 2.0  # the kernel counts the starts of processes in ticks since its own start
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.getenv.restype = ctypes.c_void_p


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose parents die (prctl(2)).

    Without it the providers of a killed engine would be out of reach: they sit in process groups
    of their own.
    """
    if _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def mark_this(call_id: str) -> None:
    """Carry the mark of a call from now on, as a process that was started for it does.

    What others read of the environment of a process is the memory that held it when it was started
    (proc(5)). The parent of the runners was started with blanks there.
    """
    place = _LIBC.getenv(CALL_ID.encode())
    room = len(ctypes.string_at(place)) if place else 0
    mark = call_id.encode().ljust(room)
    if len(mark) > room:
        raise ValueError("there is no room for the mark of the call")
    ctypes.memmove(place, mark, room)
    os.environ[CALL_ID] = call_id


def _mark_of(process: psutil.Process) -> str:
    return str(process.environ().get(CALL_ID, "")).strip()


def marked(call_ids: Collection[str], *, spare: Collection[int] = ()) -> list[psutil.Process]:
    """Return the living processes of the given calls, oldest first, except ``spare`` and this."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid() or process.pid in spare:
            continue
        # Gone meanwhile, or another user's: neither is a process of ours.
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if _mark_of(process) in call_ids:
                found.append(process)
    return sorted(found, key=lambda p: p.pid)


def end_marked(
    call_ids: Collection[str], *, engine: str, grace_seconds: float, spare: Collection[int] = ()
) -> list[int]:
    """End every process of the given calls; return the ids of those that were there.

    A runner that still lives is asked to stop; the engine of a dead one is interrupted once: the
    second time it gives up the steps in progress. Either gets ``grace_seconds`` to finish them, to
    have them recorded and to end its providers. Then the engine is interrupted again, and what is
    left is killed, repeatedly until a look finds nothing.
    """
    seen: set[int] = set()
    look = functools.partial(_look, call_ids, spare, seen)
    present = look()
    ours = {os.getpid(), *(p.pid for p in present)}
    runners = [p for p in present if _is_runner(p, ours)]
    for process in runners:
        _signal(process, signal.SIGTERM)
    if not runners:
        _interrupt(present, engine)
    if not _engine_ends(look, engine, grace_seconds):
        _interrupt(look(), engine)
        _engine_ends(look, engine, min(grace_seconds, _SECOND_INTERRUPT_SECONDS))
    for _ in range(_KILL_ROUNDS):
        present = look()
        if not present:
            break
        for process in present:
            _signal(process, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    return sorted(seen)


def end_descendants(*, spare: Collection[int] = ()) -> list[int]:
    """Kill every descendant of this process and reap those that are its children."""
    killed: set[int] = set()
    for _ in range(_KILL_ROUNDS):
        below = [
            p for p in psutil.Process().children(recursive=True) if p.pid not in spare and _lives(p)
        ]
        for process in below:
            killed.add(process.pid)
            _signal(process, signal.SIGKILL)
        reap(spare=spare)
        if not below:
            break
        time.sleep(0.01)
    return sorted(killed)


def reap(*, spare: Collection[int] = ()) -> None:
    """Collect the exit codes of adopted children that ended."""
    for child in psutil.Process().children():
        if child.pid in spare:
            continue
        with contextlib.suppress(psutil.Error, ChildProcessError):
            if child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)


def holds_since(pid: int, since: datetime | None, *, engine: str) -> bool:
    """Tell whether the process of this host that took a lock at ``since`` still exists.

    Numbers of processes are used again: who took the lock is not younger than the lock, and is an
    engine or carries the mark of a call.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if since is not None and process.create_time() > since.timestamp() + _CLOCK_SECONDS:
            return False
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True  # it exists, and that is all that may be known of it
    return _runs(process, engine) or _may_be_engine(process)


def _may_be_engine(process: psutil.Process) -> bool:
    try:
        return bool(_mark_of(process)) or process.name().startswith("pulumi")
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True  # another user's


def _look(
    call_ids: Collection[str], spare: Collection[int], seen: set[int]
) -> list[psutil.Process]:
    present = marked(call_ids, spare=spare)
    seen.update(p.pid for p in present)
    return present


def _interrupt(processes: Collection[psutil.Process], engine: str) -> None:
    for process in processes:
        if _runs(process, engine):
            _signal(process, signal.SIGINT)


def _engine_ends(look: Callable[[], list[psutil.Process]], engine: str, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while any(_runs(p, engine) for p in look()):
        if time.monotonic() >= end:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _is_runner(process: psutil.Process, ours: Collection[int]) -> bool:
    """Tell a runner from what it has forked: that has the same command, but a parent of ours."""
    try:
        command, parent = process.cmdline(), process.ppid()
    except psutil.Error:
        return False
    return parent not in ours and any(
        pair == ("-m", "stacks") for pair in itertools.pairwise(command)
    )


def _runs(process: psutil.Process, executable: str) -> bool:
    try:
        return Path(process.exe()).samefile(executable)
    except (psutil.Error, OSError):
        return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        process.send_signal(number)
