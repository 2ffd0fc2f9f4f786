"""What the tests of the audit log stand on: a database with its roles, a signer, an attacker."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, func, make_url, select, text

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.checkpoints import CheckpointPublisher
from control_plane.adapters.audit.keys import KeyFileSigner
from control_plane.adapters.audit.recorder import SqlAuditLog
from control_plane.adapters.audit.report import Report
from control_plane.adapters.audit.rootlog import RootLog
from control_plane.adapters.audit.sequencer import Sequencer
from control_plane.adapters.audit.signer_process import SignerLoop, TickReport
from control_plane.adapters.audit.signing import CheckpointSigner, SigningJournal
from control_plane.adapters.audit.verify import verify
from control_plane.adapters.db.audit_grants import audit_rights_sql
from control_plane.adapters.db.audit_tables import AUDIT_TABLES, audit_entry, audit_pending
from control_plane.adapters.db.engine import driver_url
from control_plane.adapters.db.metadata import metadata
from control_plane.adapters.db.roles import APP, AUDITOR, OWNER, SEQUENCER
from control_plane.adapters.db.root_grants import root_rights_sql
from control_plane.adapters.db.witness_grants import witness_rights_sql
from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.audit import AuditEvent, Stage, event_id
from control_plane.domain.canonical import digest
from control_plane.domain.deployment import ROOT
from control_plane.domain.ids import make_id

HOST = "localhost"
ACME = make_id("tenant", 1_800_000_000_000, b"acme......")
OTHER = make_id("tenant", 1_800_000_000_001, b"other.....")
PEOPLE = [Actor(id=f"u-{n}", kind=ActorKind.USER, roles=(Role.OPS_APPROVER,)) for n in range(3)]
RUNS = [make_id("run", 1_800_000_000_000 + n, bytes(10)) for n in range(4)]


def make_event(number: int, tree: str = ACME, **changes: Any) -> AuditEvent:
    facts: dict[str, Any] = {
        "id": make_id("event", 1_800_000_000_000 + number, secrets.token_bytes(10)),
        "tree": tree,
        "action": "decision.given",
        "stage": Stage.COMPLETED,
        "time": datetime.now(UTC),
        "actor": PEOPLE[number % 3],
        "targets": (("approval", f"apr_{number}"),),
        "run": RUNS[number % 4],
        "approval": {"plan_digest": digest(number), "approver": PEOPLE[number % 3].id},
        "data": {"approvals": number},
    }
    return AuditEvent(**{**facts, **changes})


@dataclass(frozen=True, kw_only=True)
class Database:
    """One database with the tables of the audit log, seen by each of its roles."""

    owner_url: str  # as libpq or as SQLAlchemy writes it

    def url(self, role: str) -> str:
        url = make_url(driver_url(self.owner_url)).set(username=role)
        return url.render_as_string(hide_password=False)

    def engine(self, role: str, **options: Any) -> Engine:
        return create_engine(self.url(role), **options)

    def create(self) -> None:
        engine = self.engine(OWNER, poolclass=NullPool)
        with engine.begin() as connection:
            metadata.create_all(connection, tables=AUDIT_TABLES)
            for _ in range(2):  # granting again is harmless
                for statement in audit_rights_sql() + root_rights_sql() + witness_rights_sql():
                    connection.exec_driver_sql(statement)
        engine.dispose()

    def attack(self, act: Callable[[Connection], Any]) -> Any:
        """Act as an administrator of the database: the owner, with row security out of the way."""
        engine = self.engine(OWNER, poolclass=NullPool)
        with engine.begin() as connection:
            for table in AUDIT_TABLES:
                connection.execute(text(f"ALTER TABLE {table.name} NO FORCE ROW LEVEL SECURITY"))
            result = act(connection)
            for table in AUDIT_TABLES:
                connection.execute(text(f"ALTER TABLE {table.name} FORCE ROW LEVEL SECURITY"))
        engine.dispose()
        return result

    def empty(self) -> None:
        names = ", ".join(table.name for table in AUDIT_TABLES)
        self.attack(lambda connection: connection.execute(text(f"TRUNCATE {names}")))


class World:
    """A signer over a database; everything it opens is closed by ``close``."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        key: KeyFileSigner | None = None,
        *,
        batch: int = 2000,
        has_root: bool = False,
    ) -> None:
        """``has_root`` says whether the signer keeps a root log, as it does in an installation."""
        self.has_root = has_root
        self.database = database
        self.batch = batch
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.key = key or KeyFileSigner.generate()
        self.journal_path = folder / "journal"
        self.app = database.engine(APP, pool_size=10)
        self.auditor = database.engine(AUDITOR)
        self._engine = database.engine(SEQUENCER)
        self._fresh = database.engine(SEQUENCER, poolclass=NullPool)
        self._number = 0
        self.open()

    def open(self) -> None:
        """Start the signer, as after a restart: nothing is left of it but its journal."""
        self.journal = SigningJournal(self.journal_path)
        self.signer = CheckpointSigner(self.key, self.journal)
        self.sequencer = Sequencer(self._engine, clock=self._now, batch=self.batch)
        self.publisher = CheckpointPublisher(self._engine, self._fresh, self.signer, host=HOST)
        root = RootLog(self._engine, self.signer, host=HOST, clock=self._now)
        self.loop = SignerLoop(
            self.sequencer, self.publisher, sweep_interval=0, root=root if self.has_root else None
        )

    def _now(self) -> datetime:
        return self.clock()  # a test may change it

    def restart(self) -> None:
        self.journal.close()
        self.open()

    def forget_connections(self) -> None:
        """Drop what the pools hold, as after the end of the server."""
        for engine in (self.app, self.auditor, self._engine, self._fresh):
            engine.dispose()

    def close(self) -> None:
        self.journal.close()
        for engine in (self.app, self.auditor, self._engine, self._fresh):
            engine.dispose()

    def record(self, count: int = 1, tree: str = ACME, **changes: Any) -> list[str]:
        """Record events, each in a transaction of its own, and return their ids."""
        ids = []
        for _ in range(count):
            self._number += 1
            event = make_event(self._number, tree, **changes)
            with self.app.begin() as connection:
                SqlAuditLog(connection).record(event)
            ids.append(event.id)
        return ids

    def settle(self) -> list[TickReport]:
        """Tick until nothing waits."""
        reports = [self.loop.tick()]
        while reports[-1].sequenced or reports[-1].error == "tree_moved":
            reports.append(self.loop.tick())
        return reports

    def grow(self, tree: str = ACME, size: int = 100, step: int = 10) -> list[str]:
        """Let a log grow to ``size``, a checkpoint every ``step``; returns the notes."""
        for _ in range(0, size, step):
            self.record(step, tree)
            assert self.settle()[0].error is None
        return self.notes(tree)

    def notes(self, tree: str = ACME) -> list[str]:
        query = text("SELECT note FROM audit_checkpoint WHERE tenant_id = :tree ORDER BY size")
        with self.auditor.connect() as connection:
            reading.limit_to(connection, [tree])
            return list(connection.execute(query, {"tree": tree}).scalars())

    def verify(
        self,
        trees: Sequence[str] | None = None,
        pins: Sequence[str] = (),
        keys: Sequence[bytes] | None = None,
    ) -> Report:
        """Verify as an auditor who has the public key."""
        return verify(
            self.auditor,
            host=HOST,
            trees=trees,
            pins=pins,
            public_keys=[self.key.public_key] if keys is None else keys,
        )

    def logged(self, tree: str | None = None) -> list[tuple[str, int, str]]:
        """Return (tree, idx, event id) of all events; the entries of the root log are none."""
        query = select(audit_entry.c.tenant_id, audit_entry.c.idx, audit_entry.c.event_id).where(
            audit_entry.c.tenant_id != ROOT
        )
        if tree is not None:
            query = query.where(audit_entry.c.tenant_id == tree)
        rows = self.database.attack(
            lambda connection: connection.execute(query.order_by("tenant_id", "idx")).all()
        )
        return [(row.tenant_id, row.idx, event_id(row.event_id)) for row in rows]

    def pending(self) -> int:
        with self.auditor.connect() as connection:
            reading.limit_to(connection, reading.ALL_TREES)
            query = select(func.count()).select_from(audit_pending)
            return int(connection.execute(query).scalar_one())


def verdicts(report: Report) -> set[str]:
    return {str(item.verdict) for tree in report.trees for item in tree.findings}


def in_parallel(count: int, act: Callable[[int], None]) -> None:
    """Run ``act`` in threads; the first error of any is raised."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            act(number)
        except BaseException as exc:  # noqa: BLE001 - it is raised in the main thread below
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


Row = Mapping[str, Any]
