"""Bodies and answers about data that is handed over to an account of the customer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field

from api.schemas.removal_requests import Digest
from api.schemas.requests import Body, Reason
from api.schemas.views import View
from control_plane.domain.handover import ImportReport
from control_plane.services.data_handovers import HandedManifest


class DatabaseDump(Body):
    """The digest of the database's dump that was made under the freeze."""

    dump_digest: Digest
    reason: Reason


class ImportBody(Body):
    """What ``python3 -m handover report`` of the bundle wrote."""

    report: Annotated[dict[str, Any], Field(max_length=40)]


class ImportReportView(View):
    """A report that equals the manifest."""

    id: str
    saga_id: str
    manifest_digest: str
    digest: str
    registered_by: str
    registered_at: datetime

    @classmethod
    def of(cls, report: ImportReport) -> Self:
        """Return the view of a report."""
        return cls.like(report)


class ManifestView(View):
    """The newest manifest of a hand-over: `file` is its text as it is handed over.

    `signature` is that of minisign over these bytes, `guide` the runbook with its commands.
    """

    name: str
    number: int
    digest: str
    file: str
    signature: str
    guide: str

    @classmethod
    def of(cls, found: HandedManifest) -> Self:
        """Return the view of a manifest."""
        made = found.manifest
        return cls(
            name=made.name,
            number=made.number,
            digest=made.digest,
            file=found.content.decode(),
            signature=found.signature.decode(),
            guide=found.guide.decode(),
        )
