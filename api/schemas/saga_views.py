"""What the API answers about sagas, removals among them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from api.schemas.views import View
from control_plane.domain.actor import Actor
from control_plane.domain.finding import Finding
from control_plane.domain.hub import Hub
from control_plane.domain.removal import RemovalDecision, RemovalTopic, RemovalWord
from control_plane.domain.saga import SagaKind, SagaStatus, StepOutcome
from control_plane.domain.tenant import WaitingOn
from control_plane.services import sagas
from control_plane.services.removals import Removal, RemovalPreview
from control_plane.services.sagas import SagaProgress


class SagaStepView(View):
    """A step as it is declared, and the last attempt of it; `started_at` is null before."""

    position: int
    name: str
    does: str
    says: str
    run_id: str | None
    started_at: datetime | None
    ended_at: datetime | None
    outcome: StepOutcome | None
    result: dict[str, Any]
    error: dict[str, Any] | None


class SagaView(View):
    """Something that takes several steps: where it stands, and what it waits for."""

    id: str
    tenant_id: str | None
    hub_id: str | None
    kind: SagaKind
    status: SagaStatus
    step: str
    position: int
    of: int
    is_undoing: bool
    reason: str
    requested_by: str
    waits_for: str | None
    waiting_on: WaitingOn | None
    due_at: datetime | None
    error: dict[str, Any] | None
    started_at: datetime
    ended_at: datetime | None
    steps: list[SagaStepView]
    allowed_actions: list[str]
    next_action: str

    @classmethod
    def fields_of(cls, progress: SagaProgress, reader: Actor) -> dict[str, Any]:
        """Return the values of a view of a saga for whom it is shown to."""
        actions = sagas.allowed_actions(progress, reader)
        return {
            "position": progress.position,
            "of": len(progress.declared),
            "steps": _steps(progress),
            "allowed_actions": actions,
            "next_action": sagas.next_action(progress),
            "waits_for": progress.waits_for,
            "waiting_on": progress.waits_on,
        }

    @classmethod
    def of_progress(cls, progress: SagaProgress, reader: Actor) -> Self:
        """Return the view of a saga for whom it is shown to."""
        return cls.like(progress.saga, **cls.fields_of(progress, reader))


def _steps(progress: SagaProgress) -> list[SagaStepView]:
    attempts = progress.attempts
    found = []
    for position, step in enumerate(progress.declared, 1):
        last = attempts.get(step.name)
        found.append(
            SagaStepView(
                position=position,
                name=step.name,
                does=str(step.does),
                says=step.says,
                run_id=last.run_id if last else None,
                started_at=last.started_at if last else None,
                ended_at=last.ended_at if last else None,
                outcome=last.outcome if last else None,
                result=dict(last.result) if last else {},
                error=dict(last.error) if last and last.error else None,
            )
        )
    return found


class RemainingView(View):
    """What was removed and has to stay until a date; `gone_at` is set once it is gone."""

    what: str
    type: str
    arn: str
    until: str | None
    why: str
    last_seen_at: datetime
    gone_at: datetime | None

    @classmethod
    def of(cls, finding: Finding) -> Self:
        """Return the view of what remains."""
        expected: Mapping[str, Any] = finding.expected or {}
        return cls(
            what=finding.subject,
            type=finding.type,
            arn=str((finding.actual or {}).get("arn", "")),
            until=expected.get("until"),
            why=str(expected.get("why", "")),
            last_seen_at=finding.last_seen_at,
            gone_at=finding.closed_at,
        )


class RemovalDecisionView(View):
    """What a person said in a removal."""

    topic: RemovalTopic
    word: RemovalWord
    digest: str | None
    counts: dict[str, int]
    by: str
    reason: str
    evidence: dict[str, Any]
    decided_at: datetime

    @classmethod
    def of(cls, decision: RemovalDecision) -> Self:
        """Return the view of what somebody said."""
        return cls.like(
            decision,
            by=decision.actor_id,
            counts=dict(decision.counts),
            evidence=dict(decision.evidence),
        )


class StoreView(View):
    """What was counted of a data store; `items` is null where nobody can count."""

    name: str
    type: str
    data_class: str
    items: int | None
    bytes: int | None
    countable: bool
    detail: str


class RemovalView(SagaView):
    """The removal of a tenant or of a Hub."""

    unprotect: list[str]
    stores: list[StoreView]
    decisions: list[RemovalDecisionView]
    remaining: list[RemainingView]
    account_retired: str | None
    certificate: str | None

    @classmethod
    def of_removal(cls, removal: Removal, reader: Actor) -> Self:
        """Return the view of a removal for whom it is shown to."""
        data = removal.progress.saga.data
        names = StoreView.model_fields.keys()
        return cls.like(
            removal.progress.saga,
            **cls.fields_of(removal.progress, reader),
            unprotect=list(data.get("unprotect", ())),
            stores=[
                StoreView(**{name: each[name] for name in names}) for each in data.get("stores", ())
            ],
            decisions=[RemovalDecisionView.of(each) for each in removal.decisions],
            remaining=[RemainingView.of(each) for each in removal.remaining],
            account_retired=data.get("account"),
            certificate=removal.certificate.digest if removal.certificate else None,
        )


class DoomedView(View):
    """A resource that a removal destroys; `says` what that destroys for good, and leaves."""

    name: str
    type: str
    protected: bool
    says: str


class ObstacleView(View):
    """What a removal would be refused for now."""

    code: str
    message: str
    remedy: str
    data: dict[str, Any]


class RemovalPreviewView(View):
    """What a removal would come to. What cannot be undone comes first in `resources`."""

    tenant_id: str | None
    hub_id: str | None
    stack: str | None
    resources: list[DoomedView]
    unprotect: list[str]
    obstacles: list[ObstacleView]
    summary: str

    @classmethod
    def of(cls, preview: RemovalPreview) -> Self:
        """Return the view of a dry run."""
        is_hub = isinstance(preview.owner, Hub)
        lost = sum(bool(each.says) for each in preview.resources)
        number = len(preview.obstacles)
        obstacles = f"{number or 'No'} obstacle{'' if number == 1 else 's'}"
        return cls(
            tenant_id=None if is_hub else preview.owner.id,
            hub_id=preview.owner.id if is_hub else None,
            stack=preview.deployment.stack if preview.deployment is not None else None,
            resources=[DoomedView.like(each) for each in preview.resources],
            unprotect=list(preview.unprotect),
            obstacles=[
                ObstacleView(
                    code=each.code, message=each.message, remedy=each.remedy, data=dict(each.data)
                )
                for each in preview.obstacles
            ],
            summary=(
                f"{len(preview.resources)} resources would be destroyed; {lost} of them hold what "
                f"cannot be made again. {obstacles}."
            ),
        )
