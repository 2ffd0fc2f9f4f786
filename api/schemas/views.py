"""What the API answers: only what its callers need, with what they may do next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from control_plane.domain.actor import Actor
from control_plane.domain.deployment import Account, Deployment, Position
from control_plane.domain.documents import Documented
from control_plane.domain.evidence import Evidence
from control_plane.domain.finding import Finding, FindingKind
from control_plane.domain.hold import HoldKind
from control_plane.domain.hub import HubStatus
from control_plane.domain.plan import Plan
from control_plane.domain.run import NEXT_ACTION, BlockedOn, Run, RunKind, RunStatus
from control_plane.domain.tenant import Tenant, TenantStatus, WaitingOn
from control_plane.domain.waiting import Waiting
from control_plane.ports.rows import Dependent
from control_plane.services import accounts
from control_plane.services import findings as finding_service
from control_plane.services import tenants as tenant_service
from control_plane.services.hubs import HubDetails
from control_plane.services.provisioning import Accepted
from control_plane.services.standing import Standing

T = TypeVar("T")


class View(BaseModel):
    """An immutable answer."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def like(cls, thing: object, **others: Any) -> Self:
        """Return the view of a thing: ``others``, and its attributes of the same names."""
        found = {name: getattr(thing, name) for name in cls.model_fields.keys() - others.keys()}
        return cls(**found, **others)


class Page(View, Generic[T]):
    """Some items, newest first; ``next_page_token`` is null at the end."""

    items: list[T]
    next_page_token: str | None = None


class TenantView(View):
    """A tenant and the status of its infrastructure."""

    id: str
    slug: str
    legal_name: str
    domain: str
    country: str
    time_zone: str
    mode: str | None
    region: str | None
    status: TenantStatus
    waiting_on: WaitingOn | None
    hold: bool
    holds: list[HoldKind]
    drifted: bool
    saga_id: str | None
    retention_until: datetime | None
    removed_at: datetime | None
    decision: dict[str, Any]
    facts: dict[str, Any]
    allowed_actions: list[str]
    run_id: str | None
    bundle_id: str | None
    error: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, tenant: Tenant, standing: Standing, reader: Actor) -> Self:
        """Return the view of a tenant and where it stands for whom it is shown to."""
        return cls.like(
            tenant,
            allowed_actions=tenant_service.allowed_actions(tenant, reader),
            run_id=standing.run_id,
            bundle_id=standing.bundle_id,
            holds=list(standing.holds),
            error=dict(standing.error) if standing.error else None,
        )


class RequestView(View):
    """A provisioning request, its tenant as it is now, and what it started."""

    id: str
    contract_id: str
    environment: str
    created_at: datetime
    tenant: TenantView
    run_id: str | None
    bundle_id: str | None

    @classmethod
    def of(cls, accepted: Accepted, reader: Actor) -> Self:
        """Return the view of an accepted request for whom it is shown to."""
        body = accepted.request.body
        return cls.like(
            accepted.request,
            contract_id=body["contract"]["contract_id"],
            environment=body["environment"],
            tenant=TenantView.of(accepted.tenant, accepted.standing, reader),
            run_id=accepted.run_id,
            bundle_id=accepted.bundle_id,
        )


class DecisionView(View):
    """What the mode resolver found."""

    outcome: str
    mode: str | None
    required_min: str
    bought: str
    region: str | None
    zone: str
    allowed_regions: list[str]
    placement: str
    reasons: list[dict[str, Any]]
    summary: str
    rules_digest: str
    input_digest: str
    provisional: bool


class DifferenceView(View):
    """One value in which the spec differs from the applied one; null where it has none."""

    path: str
    before: Any
    after: Any


class HubView(View):
    """A shared Hub."""

    id: str
    region: str
    cell: str
    capacity: int
    slices: int
    status: HubStatus
    hold: bool
    run_id: str | None
    version: str
    zones: int
    outdated_slices: int
    outputs: dict[str, Any]
    allowed_actions: list[str]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, found: HubDetails) -> Self:
        """Return the view of a Hub with its slices and its newest run."""
        return cls.like(
            found.hub,
            slices=found.slices,
            run_id=found.run_id,
            version=found.version,
            zones=found.zones,
            outdated_slices=found.outdated_slices,
            allowed_actions=list(found.allowed_actions),
        )


class AccountView(View):
    """An AWS account of the pool; its external id is never shown."""

    account_id: str
    role_arn: str | None
    has_external_id: bool
    shared: bool
    claimed_by: str | None
    served: str | None
    retired_at: datetime | None
    status: str
    created_at: datetime

    @classmethod
    def of(cls, account: Account) -> Self:
        """Return the view of an account."""
        return cls.like(
            account,
            has_external_id=account.external_id is not None,
            status=accounts.status_of(account),
        )


class RetentionView(View):
    """The date before which nothing of a tenant is removed."""

    tenant_id: str
    retention_until: datetime | None


class OutputsView(View):
    """What a tenant's deployments export, never secrets."""

    deployment_id: str
    environment: str
    mode_kind: str
    region: str
    account_id: str
    stack: str
    position: Position
    outputs: dict[str, Any]

    @classmethod
    def of(cls, deployment: Deployment) -> Self:
        """Return the view of a deployment's outputs."""
        return cls.like(deployment, deployment_id=deployment.id, mode_kind=str(deployment.kind))


class WaitingView(View):
    """What a run waits for; ``position`` is among the ``length`` turns that wait in the queue."""

    reason: str
    sentence: str
    position: int | None
    length: int | None
    behind: str | None
    until: datetime | None


class DependentView(View):
    """A tenant with a slice on a Hub."""

    tenant_id: str
    slug: str


class RunView(View):
    """A run: one attempt of the engine on a deployment."""

    id: str
    tenant_id: str | None
    deployment_id: str
    stack: str
    kind: RunKind
    status: RunStatus
    attempt: int
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    blocked_on: BlockedOn | None
    next_action: str | None
    plan_id: str | None
    approval_id: str | None
    retry_of: str | None
    supersedes: str | None
    scope: list[str]
    cause: dict[str, Any] | None
    cancel_requested: bool
    checks: list[dict[str, Any]]
    error: dict[str, Any] | None
    waiting: WaitingView | None
    affected: list[DependentView]
    allowed_actions: list[str]
    updated_at: datetime

    @classmethod
    def of(
        cls,
        run: Run,
        deployment: Deployment,
        evidence: Evidence | None,
        actions: list[str],
        *,
        waiting: Waiting | None,
        affected: Sequence[Dependent],
    ) -> Self:
        """Return the view of a run: its verification, what it waits for, what may be asked of it.

        ``affected`` are the tenants on the Hub that it changes.
        """
        return cls.like(
            run,
            waiting=WaitingView.like(waiting) if waiting is not None else None,
            affected=[DependentView.like(each) for each in affected],
            stack=deployment.stack,
            scope=list(run.scope.urns) if run.scope is not None else [],
            cause=run.cause.to_document() if run.cause is not None else None,
            next_action=NEXT_ACTION[run.blocked_on] if run.blocked_on else None,
            checks=documents(evidence.checks) if evidence is not None else [],
            error=run.error or None,
            allowed_actions=actions,
        )


class RunEventView(View):
    """One line of a run's progress."""

    seq: int
    time: datetime
    kind: str
    body: dict[str, Any]


class PlanView(View):
    """What a run would change, with values: secrets masked, policy documents in full.

    ``irreversible`` first, then every operation; ``outputs`` are those of the stack that change,
    ``resources`` the inputs of every resource as it would be. ``replaces`` is the run whose plan
    this one takes the place of, see ``PlanComparisonView``.
    """

    id: str
    run_id: str
    digest: str
    parts: dict[str, str]
    summary: dict[str, int]
    irreversible: list[dict[str, Any]]
    operations: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    resources: list[dict[str, Any]]
    evaluation: dict[str, Any]
    risks: list[dict[str, Any]]
    replaces: str | None
    created_at: datetime

    @classmethod
    def of(cls, plan: Plan, replaced: Run | None) -> Self:
        """Return the view of a plan."""
        return cls.like(
            plan,
            irreversible=documents(plan.irreversible),
            operations=documents(plan.operations),
            outputs=documents(plan.outputs),
            resources=documents(plan.resources),
            evaluation=plan.evaluation.to_document(),
            risks=documents(plan.risks),
            replaces=replaced.id if replaced is not None else None,
        )


class FindingView(View):
    """One thing in which the cloud is not as it was applied; secrets are `{"secret": true}`.

    ``path`` is that of the property that changed, empty for the thing as a whole. ``expected`` was
    applied, ``actual`` was there when it was seen last; null where there is nothing. ``to_do`` says
    what is to be done about it.
    """

    id: str
    deployment_id: str
    tenant_id: str | None
    kind: FindingKind
    subject: str
    type: str
    path: str
    expected: Any
    actual: Any
    first_seen_by: str
    first_seen_at: datetime
    last_seen_by: str
    last_seen_at: datetime
    closed_by: str | None
    closed_at: datetime | None
    waived_until: datetime | None
    to_do: str
    allowed_actions: list[str]

    @classmethod
    def of(cls, finding: Finding, reader: Actor) -> Self:
        """Return the view of a finding for whom it is shown to."""
        return cls.like(
            finding,
            to_do=finding_service.to_do(finding),
            allowed_actions=finding_service.allowed_actions(finding, reader),
        )


def documents(items: Sequence[Documented]) -> list[dict[str, Any]]:
    """Return values as JSON objects."""
    return [item.to_document() for item in items]
