"""Which rules are in force, in the platform's log."""

from __future__ import annotations

from typing import Final

from control_plane.domain.rules import LoadedDocument
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record

_TURN: Final = "rules-documents"


def record_rules(act: Act) -> tuple[str, ...]:
    """Record each rules document whose content is not the one recorded last; returns their names.

    Every process does it when it starts; the first one records. Raises ``AuditUnavailable``.
    """
    act.uow.serialize_on(_TURN)
    known = {document.id: document for document in act.uow.documents.find()}
    loaded = [
        LoadedDocument(id=file, digest=digest, loaded_at=act.now())
        for file, digest in sorted(act.core.rules.digests.items())
        if file not in known or known[file].digest != digest
    ]
    for document in loaded:
        put = act.uow.documents.save if document.id in known else act.uow.documents.add
        put(document)
        record(act, "rules.loaded", tree=None, document=document.id, digest=document.digest)
    return tuple(document.id for document in loaded)
