"""Which rules are in force, in the platform's log."""

from __future__ import annotations

from typing import Final

from control_plane.domain.actor import system
from control_plane.domain.rules import LoadedDocument
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.recording import record

_TURN: Final = "rules-documents"


def record_rules(core: Core, *, part: str) -> tuple[str, ...]:
    """Record each rules document whose content is not the one recorded last; returns their names.

    Every process does it when it starts, ``part`` being its role; the first one records.
    Raises ``AuditUnavailable``.
    """
    caller = Caller(actor=system(part))
    with core.uow() as uow:
        uow.serialize_on(_TURN)
        known = {document.id: document for document in uow.documents.find()}
        loaded = [
            LoadedDocument(id=file, digest=digest, loaded_at=core.clock.now())
            for file, digest in sorted(core.rules.digests.items())
            if file not in known or known[file].digest != digest
        ]
        for document in loaded:
            put = uow.documents.save if document.id in known else uow.documents.add
            put(document)
            record(
                core, uow, caller, "rules.loaded",
                tree=None, document=document.id, digest=document.digest,
            )  # fmt: skip
        uow.commit()
    return tuple(document.id for document in loaded)
