"""Enqueuing a phase in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dbos import DBOSClient, DBOSPortableJSONSerializer
from sqlalchemy import Connection

from control_plane.workflows import PHASES

QUEUE: Final = "runs"
APPLICATION: Final = "tenantplane"
# A constant: an automatic one would strand waiting phases at every release. A phase's body is one
# step, so that there is no recorded sequence of steps which a release could break.
APPLICATION_VERSION: Final = "1"
SCHEMA: Final = "dbos"


def client(url: str) -> DBOSClient:
    """Return a client that enqueues; it connects when it is used first and never migrates."""
    return DBOSClient(
        system_database_url=url,
        dbos_system_schema=SCHEMA,
        application_name=APPLICATION,
        serializer=DBOSPortableJSONSerializer(),
        system_database_pool_size=1,
        lazy=True,
    )


def workflow_id(phase: str, subject_id: str, attempt: int) -> str:
    """Return the id under which a phase is enqueued once."""
    return f"{phase}:{subject_id}:{attempt}"


class DbosQueue:
    """The port ``RunQueue`` on one connection: the only caller that enqueues.

    DBOS accepts an unknown phase or a missing partition without a word and never runs it, so both
    are refused here.
    """

    def __init__(self, dbos: DBOSClient, connection: Connection) -> None:
        self._dbos = dbos
        self._connection = connection

    def enqueue(self, phase: str, subject_id: str, *, partition: str, attempt: int = 1) -> None:
        """Enqueue a phase in the caller's transaction. Raises ``ValueError`` for an unknown one."""
        if phase not in PHASES or not partition or not subject_id:
            raise ValueError(f"not a phase with a partition: {phase!r}")
        self._dbos.enqueue_in_transaction(
            self._connection,
            {
                "workflow_name": phase,
                "queue_name": QUEUE,
                "app_version": APPLICATION_VERSION,
                "workflow_id": workflow_id(phase, subject_id, attempt),
                "queue_partition_key": partition,
            },
            subject_id,
        )


def queue_factory(url: str) -> Callable[[Connection], DbosQueue]:
    """Return what makes the queue of a unit of work."""
    dbos = client(url)
    return lambda connection: DbosQueue(dbos, connection)
