"""What the API answers about bundles, hand-overs and receipts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from api.schemas.views import View
from control_plane.domain.bundle import Bundle, BundleStatus, Rehearsal
from control_plane.services import bundles as bundle_service
from control_plane.services.handovers import HandedOver, IssuedLink
from control_plane.workflows.core import Act, Core


class BundleView(View):
    """One version of a Mode C hand-over.

    ``warnings`` are sentences on inputs that are allowed but probably not intended, or near the end
    of their support.
    """

    id: str
    tenant_id: str
    number: int
    status: BundleStatus
    accepted_by: str | None
    inputs: dict[str, Any]
    rehearsal: Rehearsal
    content_digest: str | None
    archive_name: str | None
    archive_digest: str | None
    files: list[str]
    checks: list[dict[str, Any]]
    error: dict[str, Any] | None
    cause: dict[str, Any] | None
    warnings: list[str]
    handed_over_at: datetime | None
    expires_at: datetime | None
    allowed_actions: list[str]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, act: Act, *bundles: Bundle) -> list[Self]:
        """Return the views of bundles for whom they are shown to."""
        actions = bundle_service.allowed_actions(act, *bundles)
        return [cls._of(act.core, bundle, actions[bundle.id]) for bundle in bundles]

    @classmethod
    def _of(cls, core: Core, bundle: Bundle, actions: list[str]) -> Self:
        return cls.like(
            bundle,
            files=sorted(bundle.files),
            error=bundle.error or None,
            cause=bundle.cause.to_document() if bundle.cause is not None else None,
            warnings=list(bundle_service.warnings(core, bundle)),
            allowed_actions=actions,
        )


class HandOverView(View):
    """A hand-over. ``download_url`` holds the link's secret and is shown only once."""

    bundle: BundleView
    handover_id: str
    recipient_name: str
    recipient_email: str
    link_id: str
    expires_at: datetime
    download_url: str | None

    @classmethod
    def of(cls, act: Act, given: HandedOver, base_url: str) -> Self:
        """Return the view of a hand-over with its link for whom it is shown to."""
        return cls.like(
            given.handover,
            bundle=BundleView.of(act, given.bundle)[0],
            handover_id=given.handover.id,
            link_id=given.link.id,
            expires_at=given.link.expires_at,
            download_url=f"{base_url}/v1/bundles/{given.bundle.id}/archive?token={given.token}",
        )


class LinkView(View):
    """A download link without its secret, and whom it was made for."""

    id: str
    recipient_name: str
    recipient_email: str
    uses: int
    expires_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, issued: IssuedLink) -> Self:
        """Return the view of a link."""
        return cls.like(
            issued.link,
            recipient_name=issued.handover.recipient_name,
            recipient_email=issued.handover.recipient_email,
        )


class ReceiptView(View):
    """A registered receipt."""

    id: str
    bundle_id: str
    digest: str
    registered_at: datetime
