"""What the API answers about the mode of a tenant."""

from __future__ import annotations

from typing import Any, Self

from api.schemas.saga_views import SagaView
from api.schemas.views import View
from control_plane.domain.actor import Actor
from control_plane.domain.mode_change import Way
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.services import data_handovers
from control_plane.services.mode_changes import ModeChange, Progress


class ModeChangeView(View):
    """What a confirmation or a change of a mode comes to; `saga_id` brings a change about."""

    tenant_id: str
    status: TenantStatus
    waiting_on: WaitingOn | None
    way: Way
    previous_mode: str | None
    mode: str
    summary: str
    decision: dict[str, Any]
    steps: list[str]
    saga_id: str | None

    @classmethod
    def of(cls, change: ModeChange) -> Self:
        """Return the view of a change, requested or not."""
        tenant = change.tenant
        return cls.like(
            change,
            tenant_id=tenant.id,
            status=tenant.status,
            waiting_on=tenant.waiting_on,
            decision=change.decision.to_document(),
            steps=list(change.steps),
        )


class MovedView(View):
    """How much of a kind of data was copied, of how much there was when it was counted."""

    kind: str
    count: int
    of: int
    size: int
    of_size: int


class HandedManifestView(View):
    """The manifest that an import report has to equal."""

    number: int
    digest: str
    totals: dict[str, Any]

    @classmethod
    def like_document(cls, found: dict[str, Any] | None) -> Self | None:
        """Return the view of a manifest as its saga has it."""
        if found is None:
            return None
        return cls(number=found["number"], digest=found["digest"], totals=found["totals"])


class ModeProgressView(SagaView):
    """The newest change of a tenant's mode, and how far its data is copied."""

    previous_mode: str
    mode: str
    amendment: str
    moved: list[MovedView]
    left_behind: dict[str, Any]
    equal: dict[str, Any]
    frozen_seconds: str | None
    manifest: HandedManifestView | None

    @classmethod
    def of_change(cls, found: Progress, reader: Actor) -> Self:
        """Return the view of a change for whom it is shown to."""
        data = found.progress.saga.data
        fields = cls.fields_of(found.progress, reader)
        return cls.like(
            found.progress.saga,
            **{
                **fields,
                "allowed_actions": [
                    *fields["allowed_actions"],
                    *data_handovers.allowed_actions(found.progress.saga, reader),
                ],
            },
            previous_mode=data["from"],
            mode=data["to"],
            amendment=data["amendment"],
            moved=[MovedView.like(each) for each in found.moved],
            left_behind=dict(found.result("survey").get("left_behind", {})),
            equal=dict(data.get("evidence", {})),
            frozen_seconds=found.result("switch").get("frozen_seconds"),
            manifest=HandedManifestView.like_document(data.get("manifest")),
        )
