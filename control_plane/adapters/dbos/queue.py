"""Enqueuing a phase in the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from control_plane.adapters.db.listening import PHASES as PHASES_CHANNEL
from control_plane.domain.waiting import QueueSpot
from control_plane.ports.rows import QueuePlace
from control_plane.workflows import PHASES

QUEUE: Final = "runs"
APPLICATION: Final = "tenantplane"
# A constant: an automatic one would strand waiting phases at every release. A phase's body is one
# step, so that there is no recorded sequence of steps which a release could break.
APPLICATION_VERSION: Final = "1"
SCHEMA: Final = "dbos"
# DBOS's own function for who enqueues without its library, and at commit a notice to every worker
_ENQUEUE: Final = text("""
    SELECT pg_notify(:channel, :id), dbos.enqueue_workflow(
        workflow_name => :phase, positional_args => ARRAY[CAST(:subject AS json)],
        workflow_id => :id, app_version => :version, application_name => :application,
        queue_name => :queue, queue_partition_key => :partition, authenticated_user => :owner
    )
""")
_WAKE: Final = text("SELECT pg_notify(:channel, '')")
_PLACES: Final[Mapping[str, QueuePlace]] = {
    "ENQUEUED": QueuePlace.WAITING,
    "DELAYED": QueuePlace.WAITING,
    "PENDING": QueuePlace.TAKEN,
}
# what a phase was given and what it gave lies in tables that refer to it without a foreign key
_FORGET: Final = """
    WITH ended AS (
        DELETE FROM dbos.workflow_status WHERE workflow_uuid IN (
            SELECT workflow_uuid FROM dbos.workflow_status
            WHERE status <> ALL (:waits) AND updated_at < :before
                AND created_at < :before  -- which follows, and has an index
            ORDER BY created_at LIMIT :limit
        )
        RETURNING workflow_uuid
    ), given AS (
        DELETE FROM dbos.workflow_input WHERE workflow_uuid IN (SELECT workflow_uuid FROM ended)
    ), gave AS (
        DELETE FROM dbos.workflow_output WHERE workflow_uuid IN (SELECT workflow_uuid FROM ended)
    ), steps AS (
        DELETE FROM dbos.operation_outputs WHERE workflow_uuid IN (SELECT workflow_uuid FROM ended)
    )
    SELECT count(*) FROM ended
"""


def workflow_id(phase: str, subject_id: str, attempt: int) -> str:
    """Return the id under which a phase is enqueued once."""
    return f"{phase}:{subject_id}:{attempt}"


def phase_and_subject(workflow_id: str) -> tuple[str, str]:
    """Return what ``workflow_id`` was made of, but for the attempt."""
    phase, _, rest = workflow_id.partition(":")
    return phase, rest.rpartition(":")[0]


class DbosQueue:
    """The port ``RunQueue`` on one connection: the only caller that enqueues.

    DBOS accepts an unknown phase or a missing partition silently and never runs it, so both are
    refused here.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def enqueue(
        self, phase: str, subject_id: str, *, partition: str, owner: str, attempt: int = 1
    ) -> None:
        """Enqueue a phase in the caller's transaction. Raises ``ValueError`` for an unknown one."""
        if phase not in PHASES or not partition or not owner or not subject_id:
            raise ValueError(f"not a phase with a partition and an owner: {phase!r}")
        self._connection.execute(
            _ENQUEUE,
            {
                "channel": PHASES_CHANNEL,
                "phase": phase,
                "queue": QUEUE,
                "subject": json.dumps(subject_id),
                "id": workflow_id(phase, subject_id, attempt),
                "version": APPLICATION_VERSION,
                "application": APPLICATION,
                "partition": partition,
                "owner": owner,
            },
        )

    def place(self, phase: str, subject_id: str, *, attempt: int) -> QueuePlace | None:
        """Return where this phase is; None if it has ended, or was never enqueued."""
        query = text("SELECT status FROM dbos.workflow_status WHERE workflow_uuid = :id")
        found = self._connection.execute(query, {"id": workflow_id(phase, subject_id, attempt)})
        return _PLACES.get(str(found.scalar_one_or_none()))

    def spots(self, phase: str, subjects: Mapping[str, int]) -> tuple[Mapping[str, QueueSpot], int]:
        """Return where the turns of subjects are in the queue, and how many workers live.

        ``subjects`` has the attempt of each. One that waits or is taken up has a spot.
        """
        from control_plane.adapters.dbos.spots import spots_of  # noqa: PLC0415 - refers to this one

        ids = {workflow_id(phase, subject, turn): subject for subject, turn in subjects.items()}
        found, workers = spots_of(self._connection, list(ids))
        return {ids[name]: spot for name, spot in found.items()}, workers

    def wake(self) -> None:
        """Let every worker look at the queue when the caller's transaction is committed."""
        self._connection.execute(_WAKE, {"channel": PHASES_CHANNEL})

    def forget(self, before: datetime, *, limit: int) -> int:
        """Delete what is kept of phases that ended before ``before``; returns how many."""
        milliseconds = int(before.timestamp() * 1000)
        gone = self._connection.execute(
            text(_FORGET), {"before": milliseconds, "waits": list(_PLACES), "limit": limit}
        )
        return int(gone.scalar_one())
