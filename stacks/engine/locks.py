"""Whose the locks of a stack are, and whether their holders live."""

from __future__ import annotations

import os
from datetime import datetime

from stacks.contract import Lock
from stacks.engine.backend import Backend
from stacks.engine.processes import holds_since


def known_locks(backend: Backend, *, engine: str) -> tuple[Lock, ...]:
    """Return the stack's locks, and whether the process that holds each lives.

    That of another host cannot be seen.
    """
    return tuple(_known(lock, engine) for lock in backend.locks())


def _known(lock: Lock, engine: str) -> Lock:
    alive = None
    if lock.host == os.uname().nodename and lock.pid is not None and lock.time is not None:
        alive = holds_since(lock.pid, datetime.fromisoformat(lock.time), engine=engine)
    return lock.model_copy(update={"alive": alive})
