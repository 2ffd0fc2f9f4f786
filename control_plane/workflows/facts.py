"""From rows to the facts that decide what a run does next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.approval_rules import Terms
from control_plane.domain.deployment import Deployment
from control_plane.domain.errors import DomainError
from control_plane.domain.kinds import KINDS
from control_plane.domain.next_step import (
    ApprovalFact,
    ErrorFact,
    EvidenceFact,
    PlanFact,
    RunFacts,
)
from control_plane.domain.plan import CLOUD, Plan
from control_plane.domain.risk import kinds_of
from control_plane.domain.run import BlockedOn, Run, RunStatus
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act
from control_plane.workflows.holding import hold_fact


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """What lets a run call nothing for now."""

    on: BlockedOn
    error: DomainError


@dataclass(kw_only=True)
class Findings:
    """What a turn found out that is in no row: it holds for this turn alone.

    ``said`` is the engine's own account of an apply that failed, {code, message, data}.
    """

    obstacle: Obstacle | None = None
    error: DomainError | None = None
    said: Mapping[str, Any] | None = None
    was_canceled: bool = False

    @property
    def error_fact(self) -> ErrorFact:
        """How the last engine call of the turn ended, if not well."""
        if self.was_canceled:
            return ErrorFact.CANCELED
        if self.said is not None:
            return ErrorFact.FINAL
        if self.error is None:
            return ErrorFact.NONE
        return ErrorFact.TRANSIENT if self.error.transient else ErrorFact.FINAL


def facts_of(
    act: Act,
    run: Run,
    deployment: Deployment,
    findings: Findings,
    *,
    remaining: PlanFact | None = None,
    moved: bool = False,
) -> RunFacts:
    """Return the facts of a run.

    ``remaining`` and ``moved`` are what a fresh preview in the engine's call showed of an apply.
    """
    plan = act.uow.plans.get(run.plan_id) if run.plan_id else None
    evidence = act.uow.evidence.get(run.evidence_id) if run.evidence_id else None
    return RunFacts(
        status=run.status,
        looks=KINDS[run.kind].looks,
        drafts=KINDS[run.kind].drafts,
        blocked_on=run.blocked_on,
        superseded=_is_superseded(act.uow, run),
        cancel_requested=run.cancel_requested,
        worn_out=run.deaths >= act.core.limits.deaths or run.failures >= act.core.limits.failures,
        settled=not deployment.is_unsettled and not must_read_cloud(act.uow, run),
        plan=remaining if remaining is not None else _plan_fact(plan),
        violated=plan is not None and not plan.evaluation.ok,
        approval=_approval_fact(act, run, deployment, plan),
        late=_is_late(act, run),
        moved=moved,
        hold=hold_fact(act.uow, run, deployment),
        obstacle=findings.obstacle.on if findings.obstacle else None,
        error=findings.error_fact,
        evidence=EvidenceFact.NONE
        if evidence is None
        else EvidenceFact.HELD
        if evidence.ok
        else EvidenceFact.FAILED,
    )


def _plan_fact(plan: Plan | None) -> PlanFact:
    if plan is None:
        return PlanFact.NONE
    return PlanFact.EMPTY if plan.is_empty else PlanFact.CHANGES


def run_before(uow: UnitOfWork, run: Run) -> Run | None:
    """Return the run that a run supersedes or repeats, else the one before it.

    Runs that change nothing do not count.
    """
    if run.number == 1:
        return None
    named = run.supersedes or run.retry_of
    if named is not None:
        return uow.runs.get(named)
    return uow.queries.run_before(run.deployment_id, run.number)


def must_read_cloud(uow: UnitOfWork, run: Run) -> bool:
    """Tell whether the state is to be brought to what the cloud has before the run plans over it.

    The run before found the cloud to differ from the state, or what the cloud has is adopted.
    Settling leaves the state's digest.
    """
    if run.status is not RunStatus.PLANNING or run.plan_id or run.state_before:
        return False
    if run.scope is not None:  # what is reverted is read by the plan itself
        return run.scope.adopts
    before = run_before(uow, run)
    error = before.error if before is not None else None
    return error is not None and CLOUD in (error.get("data") or {}).get("parts", ())


def _is_superseded(uow: UnitOfWork, run: Run) -> bool:
    newest = uow.queries.newest_run(run.deployment_id)
    return newest is not None and newest.number > run.number


def _approval_fact(act: Act, run: Run, deployment: Deployment, plan: Plan | None) -> ApprovalFact:
    if run.approval_id is None:
        needed = terms_of(act, run, deployment, plan).needed
        return ApprovalFact.MISSING if needed else ApprovalFact.NOT_NEEDED
    approval = act.uow.approvals.get(run.approval_id)
    if approval is None:
        return ApprovalFact.WAITING
    if approval.status is ApprovalStatus.CONSUMED:
        return ApprovalFact.GIVEN
    if approval.status is not ApprovalStatus.APPROVED:
        return ApprovalFact.WAITING
    return ApprovalFact.GIVEN if approval.is_due(act.now()) else ApprovalFact.NOT_DUE


def terms_of(act: Act, run: Run, deployment: Deployment, plan: Plan | None) -> Terms:
    """Return what the approval rules ask for the plan of a run."""
    rules = act.core.rules.approvals
    if plan is None:
        return rules.terms(deployment.kind, run.kind)
    return rules.terms(
        deployment.kind, run.kind, kinds_of(plan.risks),
        operations=plan.operations, outputs=plan.outputs,
    )  # fmt: skip


def _is_late(act: Act, run: Run) -> bool:
    """Tell whether the time to start the apply, or to resume it, has passed; the last instant
    counts."""
    now = act.now()
    if run.started_at is not None:
        return run.status is RunStatus.APPLYING and (
            now >= run.started_at + act.core.rules.approvals.resumes_within
        )
    approval = act.uow.approvals.get(run.approval_id) if run.approval_id else None
    return approval is not None and now >= approval.expires_at
