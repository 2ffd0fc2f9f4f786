"""What the API answers about decisions on findings, sweeps, and where everything is."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from api.schemas.views import FindingView, View
from control_plane.domain.actor import Actor
from control_plane.domain.engine import Place
from control_plane.domain.finding_decision import FindingDecision, Verdict
from control_plane.domain.residence import Promise
from control_plane.domain.sweep import SweepOutcome
from control_plane.services.findings import Decided
from control_plane.services.residences import DeploymentResidence, TenantResidence
from control_plane.services.sweeps import SweepDetails


class FindingDecisionView(View):
    """One person's decision on a finding; `run_id` is the run that carries it out."""

    id: str
    finding_id: str
    verdict: Verdict
    value_digest: str
    until: datetime | None
    run_id: str | None
    reason: str
    decided_by: str
    decided_at: datetime

    @classmethod
    def of(cls, decision: FindingDecision) -> Self:
        """Return the view of a decision."""
        return cls.like(decision)


class DecidedView(View):
    """What was decided: the findings as they are now, and the run that adopts or reverts."""

    findings: list[FindingView]
    decisions: list[FindingDecisionView]
    run_id: str | None

    @classmethod
    def of(cls, decided: Decided, reader: Actor) -> Self:
        """Return the view of what was decided for whom it is shown to."""
        return cls(
            findings=[FindingView.of(each, reader) for each in decided.findings],
            decisions=[FindingDecisionView.of(each) for each in decided.decisions],
            run_id=decided.run_id,
        )


class SweepView(View):
    """A sweep: its looks come within `minutes`; how many deployments by what their look found."""

    id: str
    requested_by: str
    requested_at: datetime
    minutes: int
    deployments: int
    waiting: int
    outcomes: dict[SweepOutcome, int]

    @classmethod
    def of(cls, details: SweepDetails) -> Self:
        """Return the view of a sweep; each outcome is named, also those of none."""
        outcomes = {each: details.progress.outcomes.get(each, 0) for each in SweepOutcome}
        return cls.like(
            details.sweep,
            deployments=details.progress.deployments,
            waiting=details.progress.waiting,
            outcomes=outcomes,
        )


class PlaceView(View):
    """Where something is; `of` is what a copy is of, `ok` whether it was promised to be there."""

    subject: str
    type: str
    what: str
    region: str
    of: str
    ok: bool | None

    @classmethod
    def where(cls, place: Place, promise: Promise) -> Self:
        """Return the view of a place, judged by what was promised then."""
        allowed = {"global", *promise.allowed}
        ok = place.region in allowed if promise.is_stated else None
        return cls.like(place, ok=ok)


class DeploymentResidenceView(View):
    """Where one deployment is, as evidence: `digest` is that of what was found."""

    deployment_id: str
    stack: str
    region: str
    verdict: str
    evidence_id: str | None
    digest: str | None
    unanswered: str
    first_seen_by: str | None
    first_seen_at: datetime | None
    last_seen_by: str | None
    last_seen_at: datetime | None
    searched_at: datetime | None
    places: list[PlaceView]

    @classmethod
    def of(cls, found: DeploymentResidence) -> Self:
        """Return the view of where a deployment is."""
        have, at = found.residence, found.deployment
        return cls(
            deployment_id=at.id,
            stack=at.stack,
            region=at.region,
            verdict=found.verdict,
            evidence_id=have.id if have else None,
            digest=have.digest if have else None,
            unanswered=have.unanswered if have else "",
            first_seen_by=have.first_seen_by if have else None,
            first_seen_at=have.first_seen_at if have else None,
            last_seen_by=have.last_seen_by if have else None,
            last_seen_at=have.last_seen_at if have else None,
            searched_at=have.searched_at if have else None,
            places=[PlaceView.where(each, have.promise) for each in have.places] if have else [],
        )


class ResidencyView(View):
    """What was promised to a tenant, where its deployments are, and what is out of place."""

    tenant_id: str
    promise: dict[str, Any]
    summary: str
    deployments: list[DeploymentResidenceView]
    misplaced: list[FindingView]

    @classmethod
    def of(cls, found: TenantResidence, reader: Actor) -> Self:
        """Return the view of where a tenant is for whom it is shown to."""
        return cls(
            tenant_id=found.tenant.id,
            promise=found.promise.to_document(),
            summary=found.summary,
            deployments=[DeploymentResidenceView.of(each) for each in found.deployments],
            misplaced=[FindingView.of(each, reader) for each in found.misplaced],
        )
