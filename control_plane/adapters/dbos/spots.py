"""Where turns of runs are in the queue: one statement for however many are asked about.

The order is that of ``claiming.py``: who was served longest ago is next with the first phase of
each of their deployments; what an owner has beside that comes a round later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, text

from control_plane.adapters.db.faults import translated
from control_plane.adapters.dbos.liveness import living_workers
from control_plane.adapters.dbos.queue import APPLICATION_VERSION, QUEUE, phase_and_subject
from control_plane.domain.waiting import QueueSpot

_SPOTS: Final = text("""
    WITH started AS (
        SELECT coalesce(authenticated_user, queue_partition_key) AS owner, started_at_epoch_ms AS at
        FROM dbos.workflow_status WHERE started_at_epoch_ms IS NOT NULL
        ORDER BY started_at_epoch_ms DESC LIMIT 200
    ), served AS (
        SELECT owner, max(at) AS at FROM started GROUP BY owner
    ), running AS MATERIALIZED (
        SELECT workflow_uuid, queue_partition_key, executor_id FROM dbos.workflow_status
        WHERE queue_name = :queue AND status = 'PENDING'
    ), waiting AS (
        SELECT workflow_uuid, queue_partition_key, created_at,
            coalesce(authenticated_user, queue_partition_key) AS owner,
            row_number() OVER line AS turn, lag(workflow_uuid) OVER line AS before
        FROM dbos.workflow_status
        WHERE queue_name = :queue AND status = 'ENQUEUED' AND queue_partition_key IS NOT NULL
            AND application_version = :version
        WINDOW line AS (
            PARTITION BY queue_partition_key ORDER BY priority, created_at, workflow_uuid
        )
    ), rounds AS (
        SELECT waiting.*, row_number() OVER (
            PARTITION BY owner ORDER BY turn, created_at, workflow_uuid
        ) AS round FROM waiting
    ), placed AS (
        SELECT workflow_uuid, queue_partition_key, before, count(*) OVER () AS length,
            row_number() OVER (
                ORDER BY round, served.at NULLS FIRST, created_at, workflow_uuid
            ) AS position
        FROM rounds LEFT JOIN served USING (owner)
    )
    SELECT placed.workflow_uuid, position, length,
        coalesce(before, running.workflow_uuid) AS behind, NULL AS worker
    FROM placed LEFT JOIN running USING (queue_partition_key)
    WHERE placed.workflow_uuid = ANY (:phases)
    UNION ALL
    SELECT workflow_uuid, NULL, 0, NULL, executor_id FROM running
    WHERE workflow_uuid = ANY (:phases)
""")


def spots_of(connection: Connection, phases: Sequence[str]) -> tuple[Mapping[str, QueueSpot], int]:
    """Return where phases are in the queue, by id, and how many workers live."""
    if not phases:
        return {}, 0
    values = {"queue": QUEUE, "version": APPLICATION_VERSION, "phases": list(phases)}
    with translated():
        rows = connection.execute(_SPOTS, values).all()
        living = living_workers(connection) if rows else []
    return {
        str(row.workflow_uuid): QueueSpot(
            position=row.position,
            length=int(row.length),
            behind=phase_and_subject(str(row.behind))[1] if row.behind else None,
            worker=row.worker,
            worker_lives=row.worker is None or row.worker in living,
        )
        for row in rows
    }, len(living)
