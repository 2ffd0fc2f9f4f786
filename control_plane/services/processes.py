"""Which workers run, and which schema the database has, in the platform's log."""

from __future__ import annotations

from typing import Final, Literal

from control_plane.domain.rules import LoadedDocument
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record

_SCHEMA: Final = "database schema"  # its row among those of the rules documents


def record_schema(act: Act, revision: str) -> bool:
    """Record that the database was upgraded to ``revision``, if that is not known yet.

    The first worker of a release does it: who may migrate may not write the log. Returns whether
    it was recorded. Raises ``AuditUnavailable``.
    """
    act.uow.serialize_on(_SCHEMA)
    known = next(iter(act.uow.documents.find(id=_SCHEMA)), None)
    if known is not None and known.digest == revision:
        return False
    put = act.uow.documents.add if known is None else act.uow.documents.save
    put(LoadedDocument(id=_SCHEMA, digest=revision, loaded_at=act.now()))
    record(
        act, "database.upgraded", tree=None,
        revision=revision, previous_revision=known.digest if known else None,
    )  # fmt: skip
    return True


def record_worker(
    act: Act,
    worker: str,
    became: Literal["worker.started", "worker.stopped"],
    *,
    code: str | None = None,
) -> None:
    """Record that a worker started or stopped; ``code`` says why when nobody asked it to."""
    record(act, became, tree=None, worker=worker, code=code)
