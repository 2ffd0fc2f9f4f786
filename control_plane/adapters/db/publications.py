"""The port ``Publications``; what publishes at a commit is in ``adapters/audit/telling.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, select, text, update
from sqlalchemy.dialects.postgresql import insert

from control_plane.adapters.db.event_tables import (
    event_subscription,
    event_turn,
    outgoing_event,
    sealing_key,
    tenant_event,
)
from control_plane.adapters.db.faults import translated
from control_plane.domain.public_events import PublicEvent
from control_plane.domain.subscription import SendStatus
from control_plane.ports.events import Attempt, Health, Outgoing, TenantEvent

TESTS: Final = "test"  # the tree of events that somebody asked for, so that nothing is before them

_CLAIM: Final = text("""
    UPDATE event_turn SET leased_until = :until WHERE subscription_id IN (
        SELECT t.subscription_id FROM event_turn t
            JOIN event_subscription s ON s.id = t.subscription_id
        WHERE s.status = 'active'
            AND (t.leased_until IS NULL OR t.leased_until <= :now)
            AND (t.retry_at IS NULL OR t.retry_at <= :now)
            AND EXISTS (
                SELECT FROM outgoing_event e WHERE e.subscription_id = t.subscription_id
                    AND e.status = 'pending' AND e.next_at <= :now
            )
        ORDER BY t.leased_until NULLS FIRST LIMIT :most FOR UPDATE OF t SKIP LOCKED
    )
    RETURNING subscription_id
""")
# what came after a failed event of its tenant waits as long as that one
_ALIGN: Final = text("""
    UPDATE outgoing_event e SET next_at = h.next_at
    FROM (
        SELECT DISTINCT ON (tree) tree, next_at FROM outgoing_event
        WHERE subscription_id = :id AND status = 'pending' ORDER BY tree, id
    ) h
    WHERE e.subscription_id = :id AND e.status = 'pending' AND e.tree = h.tree
        AND h.next_at > :now AND e.next_at < h.next_at
""")
_DUE: Final = text("""
    SELECT e.* FROM outgoing_event e
    WHERE e.subscription_id = :id AND e.status = 'pending' AND e.next_at <= :now
        AND NOT EXISTS (
            SELECT FROM outgoing_event b WHERE b.subscription_id = :id AND b.status = 'pending'
                AND b.tree = e.tree AND b.id < e.id AND b.next_at > :now
        )
    ORDER BY e.id LIMIT :most
""")
_FARES: Final = text("""
    UPDATE event_turn SET
        failures = CASE WHEN :failed THEN failures + 1 ELSE 0 END,
        failing_since = CASE WHEN :failed THEN coalesce(failing_since, :at) END,
        retry_at = CASE WHEN :failed AND :holds THEN CAST(:next_at AS timestamptz) END,
        last_success_at = CASE WHEN :failed THEN last_success_at ELSE :at END
    WHERE subscription_id = :id
    RETURNING retry_at, failures, failing_since, last_success_at
""")
_FORGET: Final = text("""
    WITH watched AS (
        DELETE FROM tenant_event WHERE (tenant_id, seq) IN (
            SELECT tenant_id, seq FROM tenant_event WHERE occurred_at < :before
            ORDER BY occurred_at LIMIT :most
        ) RETURNING 1
    ), sent AS (
        DELETE FROM outgoing_event WHERE id IN (
            SELECT id FROM outgoing_event WHERE occurred_at < :before
            ORDER BY occurred_at LIMIT :most
        ) RETURNING 1
    )
    SELECT greatest((SELECT count(*) FROM watched), (SELECT count(*) FROM sent))
""")
_FRESH: Final[Mapping[str, Any]] = {
    "status": SendStatus.PENDING, "attempts": 0, "sent_at": None, "failure": None,
}  # fmt: skip


class SqlPublications:
    """The port ``Publications`` on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def watched(self, tenant_id: str, after: int, *, limit: int) -> Sequence[TenantEvent]:
        """Return what can be watched of a tenant after a number, in order."""
        table = tenant_event
        query = select(table).where(table.c.tenant_id == tenant_id, table.c.seq > after)
        with translated():
            rows = self._connection.execute(query.order_by(table.c.seq).limit(limit))
            return [TenantEvent(**row._mapping) for row in rows]

    def begin(self, subscription_id: str) -> None:
        """Begin to count how a new subscription fares."""
        with translated():
            self._connection.execute(
                event_turn.insert(), {"subscription_id": subscription_id, "failures": 0}
            )

    def remove(self, subscription_id: str) -> int:
        """Delete a subscription with everything that waits for it; returns how many events."""
        with translated():
            for table in (event_turn, outgoing_event):
                done = self._connection.execute(
                    delete(table).where(table.c.subscription_id == subscription_id)
                )
            self._connection.execute(
                delete(event_subscription).where(event_subscription.c.id == subscription_id)
            )
            return done.rowcount

    def test(self, subscription_id: str, event: PublicEvent, now: datetime) -> int:
        """Let an event go to one subscription at once, beside all others; returns its id."""
        row = {
            "subscription_id": subscription_id, "event_id": event.id, "name": event.name,
            "schema_version": event.version, "tree": TESTS, "sequence": 0,
            "occurred_at": event.time, "data": dict(event.data), "status": SendStatus.PENDING,
            "attempts": 0, "next_at": now,
        }  # fmt: skip
        with translated():
            added = outgoing_event.insert().values(row).returning(outgoing_event.c.id)
            found = self._connection.execute(added).scalar_one()
            self._connection.execute(_turn(subscription_id).values(retry_at=None))
        return int(found)

    def claim(self, now: datetime, *, until: datetime, limit: int) -> Sequence[str]:
        """Take subscriptions for which something is due; nobody else does until then."""
        with translated():
            given = {"now": now, "until": until, "most": limit}
            return list(self._connection.execute(_CLAIM, given).scalars())

    def release(self, subscription_id: str, now: datetime) -> None:
        """Give a claimed subscription back; what waits behind a failed event waits with it."""
        with translated():
            self._connection.execute(_ALIGN, {"id": subscription_id, "now": now})
            self._connection.execute(_turn(subscription_id).values(leased_until=now))

    def due(self, subscription_id: str, now: datetime, *, limit: int) -> Sequence[Outgoing]:
        """Return what is due, in order; nothing that comes after a failed one of its tenant."""
        query = _DUE.columns(*outgoing_event.columns)
        with translated():
            given = {"id": subscription_id, "now": now, "most": limit}
            return [_outgoing(row) for row in self._connection.execute(query, given)]

    def took(self, outgoing: Outgoing, attempt: Attempt) -> Health:
        """Keep how an attempt ended, and return how its subscription fares now."""
        failed = attempt.failure is not None
        status = SendStatus.SENT
        if failed:
            status = SendStatus.PENDING if attempt.next_at is not None else SendStatus.FAILED
        values = {
            "status": status, "attempts": outgoing.attempts + 1, "tried_at": attempt.at,
            "answer_code": attempt.answer_code, "failure": attempt.failure,
            "answer": attempt.answer, "sent_at": None if failed else attempt.at,
            "next_at": attempt.next_at or attempt.at,
        }  # fmt: skip
        given = {
            "id": outgoing.subscription_id, "failed": failed, "at": attempt.at,
            "holds": attempt.holds_all, "next_at": attempt.next_at,
        }  # fmt: skip
        of_it = update(outgoing_event).where(
            outgoing_event.c.id == outgoing.id, outgoing_event.c.status == SendStatus.PENDING
        )
        with translated():
            self._connection.execute(of_it.values(values))
            row = self._connection.execute(_FARES, given).one_or_none()
        return Health(**row._mapping) if row is not None else _WELL

    def wake(self, subscription_id: str) -> None:
        """Let everything that waits for a subscription be due now."""
        waits = update(outgoing_event).where(
            outgoing_event.c.subscription_id == subscription_id,
            outgoing_event.c.status == SendStatus.PENDING,
        )
        with translated():
            self._connection.execute(waits.values(next_at=outgoing_event.c.occurred_at))
            self._connection.execute(
                _turn(subscription_id).values(retry_at=None, failures=0, failing_since=None)
            )

    def health(self, subscription_ids: Sequence[str]) -> Mapping[str, Health]:
        """Return how subscriptions fare."""
        query = select(
            event_turn.c.subscription_id, event_turn.c.retry_at, event_turn.c.failures,
            event_turn.c.failing_since, event_turn.c.last_success_at,
        ).where(event_turn.c.subscription_id.in_(list(subscription_ids)))  # fmt: skip
        with translated():
            rows = self._connection.execute(query).all()
        return {
            row.subscription_id: Health(
                retry_at=row.retry_at, failures=row.failures, failing_since=row.failing_since,
                last_success_at=row.last_success_at,
            )
            for row in rows
        }  # fmt: skip

    def get(self, subscription_id: str, outgoing_id: int) -> Outgoing | None:
        """Return one event of a subscription."""
        query = select(outgoing_event).where(
            outgoing_event.c.id == outgoing_id,
            outgoing_event.c.subscription_id == subscription_id,
        )
        with translated():
            row = self._connection.execute(query).one_or_none()
        return _outgoing(row) if row is not None else None

    def page(
        self,
        subscription_id: str,
        *,
        limit: int,
        before: int | None,
        status: SendStatus | None = None,
    ) -> Sequence[Outgoing]:
        """Return events of a subscription, newest first."""
        table = outgoing_event
        query = select(table).where(table.c.subscription_id == subscription_id)
        if before is not None:
            query = query.where(table.c.id < before)
        if status is not None:
            query = query.where(table.c.status == status)
        with translated():
            rows = self._connection.execute(query.order_by(table.c.id.desc()).limit(limit))
            return [_outgoing(row) for row in rows]

    def replay(
        self, subscription_id: str, now: datetime, *, since: datetime | None = None,
        outgoing_id: int | None = None,
    ) -> int:  # fmt: skip
        """Let one event go out again, or all since a time; returns how many."""
        table = outgoing_event
        query = update(table).where(
            table.c.subscription_id == subscription_id, table.c.status != SendStatus.PENDING
        )
        if since is not None:
            query = query.where(table.c.occurred_at >= since)
        if outgoing_id is not None:
            query = query.where(table.c.id == outgoing_id)
        with translated():
            return self._connection.execute(query.values(**_FRESH, next_at=now)).rowcount

    def forget(self, before: datetime, *, limit: int) -> int:
        """Delete events from before a time, sent and watched ones; returns how many of either."""
        with translated():
            given = {"before": before, "most": limit}
            return int(self._connection.execute(_FORGET, given).scalar_one())

    def sealing_key(self) -> tuple[str, bytes] | None:
        """Return id and public key with which secrets are sealed for the workers."""
        newest = select(sealing_key).order_by(sealing_key.c.created_at.desc()).limit(1)
        with translated():
            row = self._connection.execute(newest).one_or_none()
        return (str(row.id), bytes(row.public)) if row is not None else None

    def keep_sealing_key(self, key_id: str, public: bytes, now: datetime) -> None:
        """Keep the key of the workers, if it is not known yet."""
        row = {"id": key_id, "public": public, "created_at": now}
        with translated():
            self._connection.execute(insert(sealing_key).on_conflict_do_nothing(), row)


_WELL: Final = Health(retry_at=None, failures=0, failing_since=None, last_success_at=None)


def _turn(subscription_id: str) -> Any:
    return update(event_turn).where(event_turn.c.subscription_id == subscription_id)


def _outgoing(row: Any) -> Outgoing:
    return Outgoing(**row._mapping)
