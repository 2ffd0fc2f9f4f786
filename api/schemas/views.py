"""What the API answers: only what its callers need, with what they may do next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from control_plane.domain.actor import Actor
from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.deployment import Account, Deployment
from control_plane.domain.documents import Documented
from control_plane.domain.evidence import Evidence
from control_plane.domain.finding import Finding, FindingKind
from control_plane.domain.hub import Hub, HubStatus
from control_plane.domain.plan import Plan
from control_plane.domain.run import NEXT_ACTION, BlockedOn, Run, RunKind, RunStatus
from control_plane.domain.tenant import Tenant, TenantStatus, WaitingOn
from control_plane.services import findings as finding_service
from control_plane.services import tenants as tenant_service
from control_plane.services.approvals import ApprovalDetails
from control_plane.services.changes import Change
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
    drifted: bool
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


class ChangeView(View):
    """What a change of a tenant comes to."""

    tenant_id: str
    mode: str | None
    status: TenantStatus
    waiting_on: WaitingOn | None
    changed: list[str]
    spec: list[DifferenceView]
    needs_run: bool
    run_id: str | None
    supersedes: str | None
    summary: str

    @classmethod
    def of(cls, change: Change) -> Self:
        """Return the view of a change, made or not."""
        tenant = change.tenant
        return cls.like(
            change,
            tenant_id=tenant.id,
            mode=tenant.mode,
            status=tenant.status,
            waiting_on=tenant.waiting_on,
            changed=list(change.changed),
            spec=[DifferenceView.like(each) for each in change.spec],
        )


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
    outputs: dict[str, Any]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, hub: Hub, slices: int, run_id: str | None) -> Self:
        """Return the view of a Hub with the number of its slices and its newest run."""
        return cls.like(hub, slices=slices, run_id=run_id)


class AccountView(View):
    """An AWS account of the pool; its external id is never shown."""

    account_id: str
    role_arn: str | None
    has_external_id: bool
    shared: bool
    claimed_by: str | None
    created_at: datetime

    @classmethod
    def of(cls, account: Account) -> Self:
        """Return the view of an account."""
        return cls.like(account, has_external_id=account.external_id is not None)


class OutputsView(View):
    """What a tenant's deployments export, never secrets."""

    deployment_id: str
    environment: str
    mode_kind: str
    region: str
    account_id: str
    stack: str
    outputs: dict[str, Any]

    @classmethod
    def of(cls, deployment: Deployment) -> Self:
        """Return the view of a deployment's outputs."""
        return cls.like(deployment, deployment_id=deployment.id, mode_kind=str(deployment.kind))


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
    cancel_requested: bool
    checks: list[dict[str, Any]]
    error: dict[str, Any] | None
    allowed_actions: list[str]
    updated_at: datetime

    @classmethod
    def of(
        cls, run: Run, deployment: Deployment, evidence: Evidence | None, actions: list[str]
    ) -> Self:
        """Return the view of a run: its verification, and what the caller may ask of it."""
        return cls.like(
            run,
            stack=deployment.stack,
            scope=list(run.scope.urns) if run.scope is not None else [],
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


class ApprovalView(View):
    """A request for decisions: its subject, the requester, and the decisions."""

    id: str
    status: ApprovalStatus
    run_id: str
    tenant_id: str | None
    stack: str
    region: str
    account_id: str
    plan_id: str
    plan_digest: str
    summary: dict[str, int]
    irreversible: list[dict[str, Any]]
    tenant_slug: str | None
    legal_name: str | None
    mode: str | None
    mode_reason: str | None
    kind: RunKind
    requested_by: str
    on_behalf_of: str | None
    requested_at: datetime
    rule: str
    needed: int
    roles: list[str]
    expires_at: datetime
    barred: list[dict[str, str]]
    decisions: list[dict[str, Any]]
    allowed_actions: list[str]
    created_at: datetime

    @classmethod
    def of(cls, view: ApprovalDetails) -> Self:
        """Return the view of an approval."""
        tenant = view.tenant
        return cls.like(
            view.approval,
            stack=view.deployment.stack,
            region=view.deployment.region,
            account_id=view.deployment.account_id,
            summary=view.plan.summary,
            irreversible=documents(view.plan.irreversible),
            tenant_slug=tenant.slug if tenant else None,
            legal_name=tenant.legal_name if tenant else None,
            mode=tenant.mode if tenant else None,
            mode_reason=tenant.decision.get("summary") if tenant else None,
            kind=view.run.kind,
            requested_by=view.run.requested_by,
            on_behalf_of=view.run.on_behalf_of,
            requested_at=view.run.requested_at,
            barred=[{"subject": subject, "reason": reason} for subject, reason in view.barred],
            decisions=[
                {
                    "id": decision.id,
                    "decision": decision.decision,
                    "by": decision.actor_id,
                    "reason": decision.reason,
                    "plan_digest": decision.plan_digest,
                    "decided_at": decision.decided_at,
                }
                for decision in view.decisions
            ],
            allowed_actions=["decide"] if view.is_open else [],
        )


def documents(items: Sequence[Documented]) -> list[dict[str, Any]]:
    """Return values as JSON objects."""
    return [item.to_document() for item in items]
