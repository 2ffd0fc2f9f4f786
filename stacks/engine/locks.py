"""Whose the locks of a stack are, whether their holders live, and how one is taken.

The engine's lock is a file with host and process id that nothing ever renews or removes for a dead
holder. Whose it is follows from the processes that each call was recorded with, its marks; a lock
of a process of this host can be known to be dead, that of another host cannot.
"""

from __future__ import annotations

import os
import pwd
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from stacks.contract import Lock, Mark
from stacks.engine.backend import Backend
from stacks.engine.failures import locked_failure
from stacks.engine.processes import holds_since

HOLDER = {"id", "host", "pid", "user", "time"}
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)")


def known_locks(backend: Backend, *, marks: Sequence[Mark] = (), engine: str) -> tuple[Lock, ...]:
    """Return the stack's locks with the call that made each, and whether its process lives."""
    return tuple(_known(lock, marks, engine) for lock in backend.locks())


@contextmanager
def hold(backend: Backend) -> Iterator[None]:
    """Hold the stack's lock as the engine does: look, write, look again.

    Two that take it at once may both give up, never both succeed. Raises ``CallFailed`` when
    somebody else holds it.
    """
    _refuse(backend.locks())
    lock = Lock(
        id=str(uuid.uuid4()),
        host=os.uname().nodename,
        pid=os.getpid(),
        user=_user(),
        time=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    )
    backend.put_lock(lock)
    try:
        _refuse([other for other in backend.locks() if other.id != lock.id])
        yield
    finally:
        backend.break_lock(lock.id)


def _known(lock: Lock, marks: Sequence[Mark], engine: str) -> Lock:
    maker = next((m.call_id for m in marks if m.host == lock.host and lock.pid in m.pids), None)
    alive = None
    if lock.host == os.uname().nodename and lock.pid is not None:
        alive = holds_since(lock.pid, _time(lock.time), engine=engine)
    return lock.model_copy(update={"call_id": maker, "alive": alive})


def _refuse(locks: Sequence[Lock]) -> None:
    if locks:
        raise locked_failure([lock.model_dump(include=HOLDER) for lock in locks])


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user need not have a name
        return str(os.getuid())


def _time(text: str | None) -> datetime | None:
    """Read a time of the engine, whose fractions of a second have up to nine digits."""
    match = _TIME.fullmatch(text or "")
    return datetime.fromisoformat(match[1] + match[2]) if match else None
