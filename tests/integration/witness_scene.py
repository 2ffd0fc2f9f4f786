"""A root log, witnesses of it, and who asks them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, select, text, update

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.addcheckpoint import MOST_OF_ANSWER
from control_plane.adapters.audit.cosigned import newest_root
from control_plane.adapters.audit.note import Checkpoint, VerifierKey, tree_origin
from control_plane.adapters.audit.trustpolicy import TrustPolicy, parse_policy
from control_plane.adapters.audit.witnessing import Round, Witnessing
from control_plane.adapters.db.audit_tables import (
    audit_checkpoint,
    audit_entry,
    audit_root_leaf,
    audit_witness,
)
from control_plane.adapters.db.roles import SEQUENCER
from control_plane.adapters.http_guard import GuardedHttp
from control_plane.domain.deployment import ROOT
from tests.integration.audit_world import HOST, OTHER, World
from tests.scripted_witness import ScriptedWitness

ORIGIN = tree_origin(HOST, ROOT)


class WitnessScene:
    """A root log, two witnesses and who asks them; ``clocks`` are what the latter looks at."""

    def __init__(self, world: World, quorum: str = "group both all w1 w2\nquorum both") -> None:
        self.world = world
        log = VerifierKey(name=ORIGIN, public_key=world.key.public_key)
        self.witnesses = [ScriptedWitness(name, log) for name in ("w1", "w2")]
        lines = [f"log {log}", *(item.line for item in self.witnesses), quorum]
        self.policy: TrustPolicy = parse_policy("\n".join([*lines, ""]).encode())
        self.engine = world.database.engine(SEQUENCER)
        self.now = 0.0
        self.later = timedelta()
        self.asks = self.asking()

    def asking(self, seconds: float = 5.0) -> Witnessing:
        """Return somebody who asks and knows nothing, as after a restart."""
        http = GuardedHttp(loopback=True, most_of_answer=MOST_OF_ANSWER, seconds=seconds)
        return Witnessing(
            self.engine, http, self.policy,
            clock=lambda: datetime.now(UTC) + self.later, monotonic=lambda: self.now,
        )  # fmt: skip

    def grow(self, count: int = 1) -> None:
        for _ in range(count):
            self.world.record(1)
            self.world.record(1, OTHER)
            assert self.world.settle()[0].error is None

    def round(self) -> Round:
        """Make a round in which nobody is asked too soon."""
        self.now += 3600
        return self.asks.round()

    def head(self, newest: Callable[[Connection], Any] = newest_root) -> Any:
        with self.world.auditor.connect() as connection:
            reading.limit_to(connection, [ROOT])
            return newest(connection)

    def faults(self) -> dict[str, str | None]:
        query = select(audit_witness.c.name, audit_witness.c.fault)
        with self.world.auditor.connect() as connection:
            return {row.name: row.fault for row in connection.execute(query)}

    def put_back(self, size: int) -> None:
        """Put the root log back to a size, as the database's administrator can."""

        def act(connection: Connection) -> None:
            for table, later in (
                (audit_checkpoint, audit_checkpoint.c.size > size),
                (audit_entry, audit_entry.c.idx >= size),
            ):
                connection.execute(delete(table).where(table.c.tenant_id == ROOT, later))
            connection.execute(delete(audit_root_leaf).where(audit_root_leaf.c.idx >= size))

        self._without_trigger(act)

    def rename(self, origin: str) -> None:
        """Let the newest head be of another log, signed with the same key."""
        head = self.head()
        root = base64.b64decode(head.note.split("\n")[2])
        note = Checkpoint(origin=origin, size=head.size, root=root).signed(self.world.key)
        changed = update(audit_checkpoint).where(
            audit_checkpoint.c.tenant_id == ROOT, audit_checkpoint.c.size == head.size
        )
        self._without_trigger(
            lambda c: c.execute(changed.values(note=note, cosigs=[], quorum_at=None))
        )

    def _without_trigger(self, act: Callable[[Connection], Any]) -> None:
        def whole(connection: Connection) -> None:
            for word in ("DISABLE", "ENABLE"):
                connection.execute(
                    text(f"ALTER TABLE audit_checkpoint {word} TRIGGER check_quorum")
                )
                if word == "DISABLE":
                    act(connection)

        self.world.database.attack(whole)
