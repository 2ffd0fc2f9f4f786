"""The two processes of a trial: one records events, one sequences and signs; either may be struck.

Both are forked, work on connections of their own, and leave with ``os._exit``.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, NullPool, event
from sqlalchemy.exc import SQLAlchemyError

from control_plane.adapters.audit.checkpoints import CheckpointPublisher
from control_plane.adapters.audit.keys import KeyFileSigner
from control_plane.adapters.audit.recorder import SqlAuditLog
from control_plane.adapters.audit.rootlog import RootLog
from control_plane.adapters.audit.sequencer import Sequencer
from control_plane.adapters.audit.signer_process import SignerLoop
from control_plane.adapters.audit.signing import CheckpointSigner, SigningJournal
from control_plane.adapters.db.roles import APP, SEQUENCER
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.errors import AuditUnavailable
from tests.integration.audit_world import ACME, HOST, OTHER, World, make_event

PHASES: Final = ("append", "sequence", "sign", "publish")
TREES: Final = (ACME, OTHER, PLATFORM)
_TICKS: Final = 4
_WRITES: Final = ("INSERT", "UPDATE", "DELETE")
# about as many points as a phase has, over all ticks; a number that is not reached is drawn again
_POINTS: Final = {"append": 16, "sequence": 40, "sign": 30, "publish": 30}


@dataclass(frozen=True, kw_only=True)
class Blow:
    """What is struck: the ``number``-th point of a phase; its process, or the whole database."""

    phase: str
    number: int
    is_database: bool

    @property
    def row(self) -> tuple[str, str]:
        """The line of the table that it counts in."""
        return self.phase, "database" if self.is_database else "process"

    @classmethod
    def drawn(cls, rng: random.Random) -> Blow:
        """Draw one: of seven, one stops the database."""
        phase = rng.choice(PHASES)
        number = rng.randint(1, _POINTS[phase])
        return cls(phase=phase, number=number, is_database=rng.randrange(7) == 0)


class Trigger:
    """Counts the points of the blow's phase, and strikes at its number."""

    def __init__(self, blow: Blow, database_pid: int, struck: int) -> None:
        """``struck`` is a descriptor to which a byte is written just before."""
        self._blow = blow
        self._database_pid = database_pid
        self._struck = struck
        self._left = blow.number

    def reached(self, phase: str) -> None:
        """Take a point."""
        if phase != self._blow.phase:
            return
        self._left -= 1
        if self._left:
            return
        os.write(self._struck, b"!")
        if self._blow.is_database:
            os.kill(self._database_pid, signal.SIGQUIT)  # what pg_ctl stop -m immediate sends
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, engine: Engine, phase: str | None) -> None:
        """Count statements, before and after each, and commits.

        Without a phase, reads are of the signature and writes of the publication.
        """

        def statement(_c: Any, _cursor: Any, text: str, *_: object) -> None:
            self.reached(phase or ("publish" if text.startswith(_WRITES) else "sign"))

        event.listen(engine, "before_cursor_execute", statement)
        event.listen(engine, "after_cursor_execute", statement)
        event.listen(engine, "commit", lambda _: self.reached(phase or "publish"))


class StruckKey:
    """A key at whose signatures the process may be struck: after the journal, before the note."""

    def __init__(self, key: KeyFileSigner, trigger: Trigger) -> None:
        self._key = key
        self._trigger = trigger
        self.public_key = key.public_key

    def sign(self, message: bytes) -> bytes:
        self._trigger.reached("sign")
        signature = self._key.sign(message)
        self._trigger.reached("sign")
        return signature


def forked(act: Callable[[], None]) -> int:
    """Run ``act`` in a child that leaves with 0, or 1 where it raises; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        act()
        code = 0
    finally:
        os._exit(code)


def record(world: World, seed: int, trigger: Trigger, told: int) -> None:
    """Record events in transactions of one to three; tell ids before (?) and after (+) a commit.

    It stops at the first that is not acknowledged, as when the database is gone.
    """
    rng = random.Random(seed)  # noqa: S311 - no secret
    engine = world.database.engine(APP, poolclass=NullPool)
    trigger.watch(engine, "append")
    for number in range(rng.randint(3, 8)):
        events = [make_event(number, rng.choice(TREES)) for _ in range(rng.randint(1, 3))]
        for item in events:
            os.write(told, f"?{item.id}\n".encode())
        try:
            with engine.begin() as connection:
                log = SqlAuditLog(connection)
                for item in events:
                    log.keep(item)
                log.write()
        except (AuditUnavailable, SQLAlchemyError):
            return
        for item in events:
            os.write(told, f"+{item.id}\n".encode())


def sign(world: World, trigger: Trigger, journal: Path) -> None:
    """Tick a few times, as the signer of an installation does, with a root log."""
    engines = [world.database.engine(SEQUENCER, poolclass=NullPool) for _ in range(2)]
    for engine, phase in zip(engines, ("sequence", None), strict=True):
        trigger.watch(engine, phase)
    with SigningJournal(journal) as opened:
        signer = CheckpointSigner(StruckKey(world.key, trigger), opened)
        loop = SignerLoop(
            Sequencer(engines[0], clock=world.clock, batch=world.batch),
            CheckpointPublisher(engines[1], engines[1], signer, host=HOST),
            sweep_interval=0,
            root=RootLog(engines[1], signer, host=HOST, clock=world.clock),
        )
        for _ in range(_TICKS):
            loop.tick()
