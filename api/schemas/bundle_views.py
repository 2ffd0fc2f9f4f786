"""What the API answers about bundles, hand-overs and receipts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from api.schemas.views import View, rows
from control_plane.domain.bundle import Bundle
from control_plane.services import bundles as bundle_service
from control_plane.services.bundles import HandedOver


class BundleView(View):
    """One version of a Mode C hand-over."""

    id: str
    tenant_id: str
    number: int
    status: str
    accepted_by: str | None
    inputs: dict[str, Any]
    rehearsal: str
    content_digest: str | None
    archive_name: str | None
    archive_digest: str | None
    files: list[str]
    checks: list[dict[str, Any]]
    error: dict[str, Any] | None
    expires_at: datetime | None
    allowed_actions: list[str]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """Return the view of a bundle."""
        return cls(
            id=bundle.id,
            tenant_id=bundle.tenant_id,
            number=bundle.number,
            status=str(bundle.status),
            accepted_by=bundle.accepted_by,
            inputs=dict(bundle.inputs),
            rehearsal=str(bundle.rehearsal),
            content_digest=bundle.content_digest,
            archive_name=bundle.archive_name,
            archive_digest=bundle.archive_digest,
            files=sorted(bundle.files),
            checks=rows(bundle.checks),
            error=dict(bundle.error) if bundle.error else None,
            expires_at=bundle.expires_at,
            allowed_actions=bundle_service.allowed_actions(bundle),
            created_at=bundle.created_at,
            updated_at=bundle.updated_at,
        )


class HandOverView(View):
    """A hand-over. ``download_url`` holds the link's secret and is shown this once."""

    bundle: BundleView
    handover_id: str
    recipient_name: str
    recipient_email: str
    link_id: str
    expires_at: datetime
    download_url: str | None

    @classmethod
    def of(cls, given: HandedOver, base_url: str) -> Self:
        """Return the view of a hand-over with its link."""
        return cls(
            bundle=BundleView.of(given.bundle),
            handover_id=given.handover.id,
            recipient_name=given.handover.recipient_name,
            recipient_email=given.handover.recipient_email,
            link_id=given.link.id,
            expires_at=given.link.expires_at,
            download_url=f"{base_url}/v1/bundles/{given.bundle.id}/archive?token={given.token}",
        )


class ReceiptView(View):
    """A registered receipt."""

    id: str
    bundle_id: str
    digest: str
    registered_at: datetime
