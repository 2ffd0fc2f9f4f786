"""Which phase is next, and whose it is then: one statement over DBOS's table of phases.

DBOS's own look at a queue with partitions takes them in random order, in a transaction for each, so
that who has a hundred runs waiting delays everybody. Here the owner is next who has waited longest
since a phase of theirs started, with the oldest phase of a deployment that is idle. Workers
take turns, so that each sees what the one before it claimed and every limit holds exactly.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Final

from sqlalchemy import Engine, text

from control_plane.adapters.db.listening import PHASES as PHASES_CHANNEL
from control_plane.adapters.db.timers import SqlTimers
from control_plane.adapters.dbos.queue import APPLICATION_VERSION, QUEUE, phase_and_subject
from control_plane.adapters.system import SystemClock
from control_plane.workflows import PHASES
from control_plane.workflows.moving import watch

# A worker that is suspended with its turn loses it.
_TURN: Final = text("""
    SELECT set_config('idle_in_transaction_session_timeout', '5s', true),
        pg_advisory_xact_lock(hashtextextended('tenantplane-claim', 0))
""")
# Who is not among the last starts was served longest ago. An index of DBOS finds those, another
# one the first phase of every partition.
_CLAIM: Final = text("""
    WITH started AS (
        SELECT coalesce(authenticated_user, queue_partition_key) AS owner, started_at_epoch_ms AS at
        FROM dbos.workflow_status WHERE started_at_epoch_ms IS NOT NULL
        ORDER BY started_at_epoch_ms DESC LIMIT 200
    ), served AS (
        SELECT owner, max(at) AS at FROM started GROUP BY owner
    ), running AS MATERIALIZED (
        SELECT queue_partition_key FROM dbos.workflow_status
        WHERE queue_name = :queue AND status = 'PENDING'
    ), first AS (
        SELECT DISTINCT ON (queue_partition_key) workflow_uuid, queue_partition_key, created_at,
            coalesce(authenticated_user, queue_partition_key) AS owner
        FROM dbos.workflow_status
        WHERE queue_name = :queue AND status = 'ENQUEUED' AND queue_partition_key IS NOT NULL
            AND application_version = :version AND name = ANY (:phases)
        ORDER BY queue_partition_key, priority, created_at, workflow_uuid
    ), next AS (
        SELECT workflow_uuid FROM first LEFT JOIN served USING (owner)
        WHERE NOT EXISTS (
            SELECT FROM running WHERE running.queue_partition_key = first.queue_partition_key
        ) AND (SELECT count(*) FROM running) < :globally
            AND NOT EXISTS (SELECT FROM public.queue_pause WHERE resumed_at IS NULL)
        ORDER BY served.at NULLS FIRST, first.created_at, workflow_uuid LIMIT 1
    ), now AS (
        SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms
    )
    UPDATE dbos.workflow_status AS phase
    SET status = 'PENDING', executor_id = :worker, owner_xid = :token,
        started_at_epoch_ms = now.ms, updated_at = now.ms,
        recovery_attempts = phase.recovery_attempts + 1
    FROM next, now
    WHERE phase.workflow_uuid = next.workflow_uuid AND phase.status = 'ENQUEUED'
    RETURNING phase.workflow_uuid
""")
_TAKE_BACK: Final = text("""
    UPDATE dbos.workflow_status
    SET status = 'ENQUEUED', owner_xid = NULL, started_at_epoch_ms = NULL,
        updated_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint
    WHERE status = 'PENDING' AND queue_name = :queue AND executor_id = :worker
        AND NOT coalesce(owner_xid = ANY (:tokens), false)
    RETURNING workflow_uuid
""")
_TELL: Final = text(f"NOTIFY {PHASES_CHANNEL}")


class Claims:
    """What one worker claims; ``engine`` needs a single connection."""

    def __init__(self, engine: Engine, worker_id: str, *, globally: int) -> None:
        """``globally`` is how many phases all workers do at a time."""
        self._engine = engine
        self._worker_id = worker_id
        self._globally = globally

    def claim(self) -> tuple[str, str] | None:
        """Claim the next phase; returns its id and the token of the claim, None without one."""
        token = str(uuid.uuid4())
        values = {
            "queue": QUEUE,
            "version": APPLICATION_VERSION,
            "phases": list(PHASES),  # one of another release would be claimed again and again
            "globally": self._globally,
            "worker": self._worker_id,
            "token": token,
        }
        with self._engine.begin() as connection:
            connection.execute(_TURN)
            claimed = connection.execute(_CLAIM, values).scalar_one_or_none()
            if claimed is None:
                return None
            phase, subject_id = phase_and_subject(str(claimed))
            watch(SqlTimers(connection), phase, subject_id, SystemClock().now())
        return str(claimed), token

    def take_back(self, worker_id: str, *, but: Collection[str] = ()) -> list[str]:
        """Enqueue again what a worker claimed, but for the claims with those tokens."""
        values = {"queue": QUEUE, "worker": worker_id, "tokens": list(but)}
        with self._engine.begin() as connection:
            taken = connection.execute(_TAKE_BACK, values).scalars().all()
            if taken:
                connection.execute(_TELL)
        return [str(phase) for phase in taken]

    def tell(self) -> None:
        """Let every worker look at the queue: a place is free."""
        with self._engine.begin() as connection:
            connection.execute(_TELL)
