"""The port ``AuditReader``: the audit log as workflows and the API read it."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

from sqlalchemy import Connection, Engine

from control_plane.adapters.audit import exposure as exposing
from control_plane.adapters.audit import reading
from control_plane.adapters.audit.cosigned import newest_cosigned
from control_plane.adapters.audit.keys import KeyFileUnusable, load_public_keys
from control_plane.adapters.audit.tiles import HashesMissing
from control_plane.adapters.audit.trustpolicy import TrustPolicy
from control_plane.adapters.audit.watch import LogWatch
from control_plane.adapters.db.faults import translated
from control_plane.domain.deployment import PLATFORM, ROOT
from control_plane.domain.errors import AuditUnavailable, NotFound
from control_plane.ports.stores import Dossier, Exposure, Pressure

# The signer looks no more often, so nothing newer could be known by asking for each mutation.
PRESSURE_SECONDS: Final = 0.1
EXPOSED_LIMIT: Final = timedelta(minutes=15)


class SqlTrail:
    """Reads as the auditor role: row level security shows only the tree that is asked for."""

    def __init__(
        self,
        engine: Callable[[], Engine],
        *,
        host: str,
        public_key: Path,
        pressure_seconds: float = PRESSURE_SECONDS,
        policy: Callable[[], TrustPolicy | None] = lambda: None,
        exposed_limit: timedelta = EXPOSED_LIMIT,
    ) -> None:
        """``public_key`` is the signer's public key file: not the database's word for it.

        ``policy`` names the witnesses of the root log; a signed head that its quorum has not seen
        for longer than ``exposed_limit`` is a problem.

        ``engine`` gives connections of the auditor role; it is asked when something is read first.
        What ``pressure`` has found holds for ``pressure_seconds``.
        """
        self._pressure_seconds = pressure_seconds
        self._pressure: tuple[float, Pressure] | None = None
        self._engine = engine
        self._public_key = public_key
        self._key_fault = ""
        self._host = host
        self._policy = policy
        self._exposed_limit = exposed_limit
        self._watch = LogWatch(engine, host=host)
        self._served: dict[str, int] = {}  # by tree, the size that is marked already

    @contextmanager
    def _on(self, *trees: str) -> Iterator[Connection]:
        with translated(), self._engine().connect() as connection:
            reading.limit_to(connection, trees)
            yield connection

    def first_fault(self) -> str:
        """Return the first fault that ``look_on`` has found and that is there still, or ''."""
        return self._watch.first_fault() or self._key_fault

    def look_on(self, entries: int, pause: Callable[[float], object] = lambda _: None) -> None:
        """Verify at most ``entries`` more, from where the last look ended; never a whole log again.

        ``pause`` is called now and then with the seconds of work since it was called last.

        Without the signer's public key the database names the keys itself, which is a fault: then
        anyone who can write the database can sign it again.
        """
        keys = None
        try:
            keys = load_public_keys(self._public_key)
            self._key_fault = ""
        except KeyFileUnusable as error:
            self._key_fault = f"{error}: the logs are compared with keys from the database alone"
        self._watch.look_on(entries, keys, pause)

    def verify(self, tree: str) -> tuple[int, str]:
        """Verify a whole tree now; returns its entries and the first fault, or ''.

        By the signer's public key where this process has its file, else by that of the database.
        """
        from control_plane.adapters.audit.verify import verify  # noqa: PLC0415 - seldom

        try:
            keys = load_public_keys(self._public_key)
        except KeyFileUnusable:
            keys = None
        (found,) = verify(
            self._engine(), host=self._host, trees=[tree], public_keys=keys
        ).trees  # fmt: skip
        fault = next((f"{each.verdict}: {each.detail}" for each in found.findings), "")
        return found.entries, fault

    def pressure(self) -> Pressure:
        """Return what must wait for the logs now, or a moment ago."""
        known, asked = self._pressure, time.monotonic()
        if known is not None and asked - known[0] < self._pressure_seconds:
            return known[1]
        with translated(), self._engine().connect() as connection:
            found = reading.freshness(connection)
        pressure = Pressure(behind=found.problem() or "", held=found.held)
        self._pressure = (asked, pressure)
        return pressure

    def events(
        self, tree: str, *, after: int, limit: int, action: str | None
    ) -> Sequence[dict[str, Any]]:
        """Return {idx, leaf, header, body, is_covered} of entries with ``idx >= after``."""
        position = after - 1 if after > 0 else None
        with self._on(tree) as connection:
            found = reading.events_page(
                connection, tree, after=position, limit=limit, action=action
            )
        return [_as_json(event) for event in found]

    def checkpoint(self, tree: str) -> str | None:
        """Return the newest checkpoint note, or None.

        That of the root log is the newest that a quorum of witnesses cosigned, with their lines;
        without one, the newest that any cosigned, else the newest.
        """
        with self._on(tree) as connection:
            cosigned = newest_cosigned(connection) if tree == ROOT else None
            newest = cosigned or reading.newest_checkpoint(connection, tree)
            if newest is None:
                return None
            self._mark_served(connection, tree, newest.size)
        return newest.note if cosigned is None else cosigned.served()

    def exposure(self) -> Exposure | None:
        """Return the exposure clock, None where no quorum of witnesses is asked for."""
        policy = self._policy()
        if policy is None or not policy.has_quorum_rule:
            return None
        with self._on(ROOT) as connection:
            return exposing.exposure(connection, policy, self._exposed_limit)

    def witnesses(self) -> Sequence[dict[str, Any]]:
        """Return {name, key, is_asked, size, cosigned_at, fault, fault_since} of each witness."""
        policy = self._policy()
        if policy is None:
            return []
        with self._on(ROOT) as connection:
            return exposing.witness_statuses(connection, policy)

    def witness_problem(self) -> str:
        """Return what is wrong with the witnessing of the root log, or ''."""
        clock = self.exposure()
        return exposing.alarm(self.witnesses()) or ("" if clock is None else clock.problem)

    def statuses(self, tree: str | None, *, after: str, limit: int) -> Sequence[dict[str, Any]]:
        """Return how far a tree is, or those after a name: {tree, size, signed, in_root, …}."""
        clock = self.exposure()
        seen = reading.ALL_TREES if tree is None else [tree, ROOT]
        with self._on(*seen) as connection:
            return exposing.statuses(connection, clock, tree=tree, after=after, limit=limit)

    def dossier(
        self,
        tree: str,
        *,
        now: datetime,
        since: datetime | None,
        until: datetime | None,
        grant: str | None = None,
    ) -> Dossier:
        """Return the dossier of a tree in a file, with the values that a grant discloses.

        Raises ``AuditUnavailable`` for a log of the platform that lacks hashes, ``GrantNotValid``.
        """
        from control_plane.adapters.audit.dossier import (  # noqa: PLC0415 - seldom
            gathered,
            write_dossier,
        )

        snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        file = TemporaryFile()  # noqa: SIM115 - who asked for it closes it
        try:
            with translated(), self._engine().connect().execution_options(**snapshot) as connection:
                reading.limit_to(connection, [tree, PLATFORM, ROOT])
                extras = gathered(connection, tree, grant, policy=self._policy())
                written = write_dossier(
                    connection, file, tree,
                    host=self._host, now=now, since=since, until=until, extras=extras,
                )  # fmt: skip
            if written.size:
                with self._on(tree) as connection:
                    self._mark_served(connection, tree, written.size)
            file.seek(0)
        except BaseException as error:
            file.close()
            if isinstance(error, HashesMissing):
                raise AuditUnavailable("a log of the platform lacks hashes") from error
            raise
        return Dossier(
            file=file, size=written.size, entries=written.entries,
            manifest_digest=written.manifest_digest, values=len(extras.disclosures),
        )  # fmt: skip

    def _mark_served(self, connection: Connection, tree: str, size: int) -> None:
        """Note that somebody was given a checkpoint, before it is: it is kept longer then."""
        if self._served.get(tree) == size:
            return
        reading.mark_served(connection, tree, size)
        connection.commit()
        self._served[tree] = size

    def proof(self, tree: str, idx: int) -> dict[str, Any]:
        """Return an inclusion proof under the newest checkpoint. Raises ``NotFound``."""
        with self._on(tree) as connection:
            proof = reading.inclusion(connection, tree, idx)
            if proof is None:
                raise NotFound("no checkpoint covers this entry yet")
            self._mark_served(connection, tree, proof.size)
        return {
            "idx": proof.idx,
            "size": proof.size,
            "leaf": proof.leaf.hex(),
            "hashes": [base64.b64encode(item).decode() for item in proof.hashes],
            "checkpoint": proof.checkpoint.note,
        }

    def tile(self, tree: str, path: str) -> bytes:
        """Return the bytes of a tlog-tiles path. Raises ``NotFound``."""
        if path == "checkpoint":
            note = self.checkpoint(tree)
            if note is None:
                raise NotFound("tile not found")
            return note.encode()
        with self._on(tree) as connection:
            content = reading.tile(connection, tree, path)
        if content is None:
            raise NotFound("tile not found")
        return content


def _as_json(event: reading.LoggedEvent) -> dict[str, Any]:
    return {
        "idx": event.idx,
        "leaf": event.leaf.hex(),
        "header": dict(event.header),
        "body": dict(event.body) if event.body is not None else None,
        "is_covered": event.is_covered,
    }
