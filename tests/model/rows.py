"""What a turn does in rows: the model's facts, and the product's own table asked what follows.

``next_step``, the tables of moves, the kinds, ``outcome`` and ``tenant_status`` are the product's.
What follows from a step is written here once more, so that it can differ from the product.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from control_plane.domain import next_step as table
from control_plane.domain.approval import APPROVAL_TRANSITIONS, ApprovalStatus
from control_plane.domain.next_step import (
    ApprovalFact,
    ErrorFact,
    EvidenceFact,
    HoldFact,
    PlanFact,
    RunFacts,
    StepKind,
)
from control_plane.domain.owner_status import Holding, tenant_status
from control_plane.domain.run import TRANSITIONS_OF, BlockedOn, RunStatus
from control_plane.domain.transitions import move
from control_plane.workflows.holding import _HEEDS
from tests.model.situation import MODE_A, Content, Run, Scope, Situation, Tenant, left_to_do

_APPROVAL_OF: Final = {
    RunStatus.EXPIRED: ApprovalStatus.EXPIRED,
    RunStatus.SUPERSEDED: ApprovalStatus.SUPERSEDED,
    RunStatus.CANCELED: ApprovalStatus.CANCELED,
    RunStatus.ERRORED: ApprovalStatus.CANCELED,
}
_KEEP_ERROR: Final = {RunStatus.CANCELED, RunStatus.SUPERSEDED}
ENGINE: Final = {StepKind.SETTLE, StepKind.PLAN, StepKind.APPLY, StepKind.VERIFY}


class Found(NamedTuple):
    """What a turn ran into, in no row."""

    obstacle: BlockedOn | None = None
    error: ErrorFact = ErrorFact.NONE
    by_cloud: bool = False


NOTHING_FOUND: Final = Found()


def facts_of(
    scope: Scope,
    tenant: Tenant,
    number: int,
    found: Found = NOTHING_FOUND,
    *,
    remaining: PlanFact | None = None,
    moved: bool = False,
) -> RunFacts:
    """Return the facts of a run, as ``workflows/facts.py`` reads them from rows."""
    run = tenant.runs[number]
    return RunFacts(
        status=run.status,
        looks=run.looks,
        blocked_on=BlockedOn(run.blocked_on) if run.blocked_on else None,
        superseded=tenant.newest > number,
        cancel_requested=run.cancel,
        settled=not tenant.unsettled and not _must_read_cloud(tenant, run),
        plan=remaining if remaining is not None else _plan_fact(run),
        approval=_approval_fact(scope, tenant, run),
        late=run.late and (run.status is RunStatus.APPLYING if run.started else bool(run.approval)),
        moved=moved,
        hold=HoldFact(tenant.hold) if run.status in _HEEDS else HoldFact.NONE,
        obstacle=found.obstacle,
        error=found.error,
        evidence=EvidenceFact(run.evidence),
    )


def _must_read_cloud(tenant: Tenant, run: Run) -> bool:
    if run.status is not RunStatus.PLANNING or run.plan or run.state_before:
        return False
    return run.before >= 0 and tenant.runs[run.before].by_cloud


def _plan_fact(run: Run) -> PlanFact:
    if not run.plan:
        return PlanFact.NONE
    return PlanFact.CHANGES if left_to_do(run.plan[0], run.spec) else PlanFact.EMPTY


def _approval_fact(scope: Scope, tenant: Tenant, run: Run) -> ApprovalFact:
    if not run.approval:
        return ApprovalFact.MISSING if scope.needed_for(tenant) else ApprovalFact.NOT_NEEDED
    given = run.approval in {ApprovalStatus.APPROVED, ApprovalStatus.CONSUMED}
    return ApprovalFact.GIVEN if given else ApprovalFact.WAITING


# --- moves ---------------------------------------------------------------------------------------
def moved(run: Run, status: RunStatus, blocked_on: str = "") -> Run:
    """Return a run in another status, if the product's table has the move."""
    move(TRANSITIONS_OF[run.kind], run.status, status, subject="the model's run")
    came_from = str(run.status) if status is RunStatus.BLOCKED else ""
    quiet = run.quiet and status is RunStatus.BLOCKED
    return run._replace(status=status, blocked_on=blocked_on, blocked_from=came_from, quiet=quiet)


def with_approval(run: Run, status: ApprovalStatus) -> Run:
    """Return a run whose approval moved, if the product's table has the move."""
    present = ApprovalStatus(run.approval)
    move(APPROVAL_TRANSITIONS, present, status, subject="the model's approval")
    return run._replace(approval=str(status))


def ended(run: Run, status: RunStatus) -> Run:
    """Return a run at its end, and its approval closed."""
    is_open = run.approval in {ApprovalStatus.WAITING, ApprovalStatus.APPROVED}
    if status in _APPROVAL_OF and is_open:
        run = with_approval(run, _APPROVAL_OF[status])
    return moved(run, status)._replace(
        by_cloud=run.by_cloud and status in _KEEP_ERROR, is_open_effect=False
    )


def unblocked(run: Run, *, keeps_error: bool) -> Run:
    """Return a blocked run where it was blocked, with its next turn in the queue."""
    by_cloud = run.by_cloud and keeps_error
    again = moved(run, RunStatus(run.blocked_from or RunStatus.REQUESTED))
    return again._replace(by_cloud=by_cloud, waits=True, quiet=keeps_error)


def put(tenant: Tenant, number: int, run: Run) -> Tenant:
    """Return a tenant with a run replaced; its row says what follows where the status changed.

    The deployment's other values are set before, as the product stores them.
    """
    has_moved = tenant.runs[number].status is not run.status
    tenant = tenant._replace(runs=(*tenant.runs[:number], run, *tenant.runs[number + 1 :]))
    return tenant._replace(row=shown(tenant)) if has_moved and not run.quiet else tenant


# --- a turn --------------------------------------------------------------------------------------
def in_rows(
    scope: Scope, situation: Situation, at: int, number: int, found: Found = NOTHING_FOUND
) -> tuple[Situation, StepKind | None]:
    """Take every step in rows up to the engine's next one; returns that, None where a turn ends."""
    while True:
        tenant = situation.tenants[at]
        step = table.next_step(facts_of(scope, tenant, number, found))
        run = tenant.runs[number]
        if step.kind in ENGINE:
            if step.kind is StepKind.VERIFY and run.status is not RunStatus.VERIFYING:
                tenant = put(tenant, number, moved(run, RunStatus.VERIFYING))
            return situation.with_tenant(at, tenant), step.kind
        run, goes_on = _stepped(situation, tenant, run, step, found)
        situation = situation.with_tenant(at, put(tenant, number, run))
        if not goes_on:
            return situation, None


def _stepped(
    situation: Situation, tenant: Tenant, run: Run, step: table.Step, found: Found
) -> tuple[Run, bool]:
    """Return a run after a step in rows, and whether its turn continues."""
    match step.kind:
        case StepKind.PLACE if tenant.mode == MODE_A and not situation.hub_is_ready:
            return moved(run, RunStatus.BLOCKED, str(BlockedOn.HUB_UNAVAILABLE)), False
        case StepKind.PLACE:
            return moved(run, RunStatus.PLANNING)._replace(spec=tenant.facts), True
        case StepKind.APPROVE:
            return moved(run, RunStatus.APPROVED), True
        case StepKind.ASK:
            asked = moved(run, RunStatus.AWAITING_APPROVAL)
            waiting = str(ApprovalStatus.WAITING)
            return asked._replace(approval=waiting, yes=(), late=False), False
        case StepKind.BLOCK:
            blocked = moved(run, RunStatus.BLOCKED, str(step.on or found.obstacle))
            return blocked._replace(by_cloud=found.by_cloud), False
        case StepKind.END:
            return ended(run, step.end or RunStatus.ERRORED), False
        case StepKind.WAIT | StepKind.DONE:
            return run, False
        case other:
            raise NotImplementedError(f"no scope of the model comes to {other}")


# --- what is shown of a tenant -------------------------------------------------------------------
def is_verified(tenant: Tenant) -> bool:
    """Tell whether evidence held for what the stack has now, or had until it was only read."""
    if tenant.unsettled or not tenant.evidence:
        return False
    (evidence,) = tenant.evidence
    if not evidence.ok or (evidence.content,) == tenant.known:
        return evidence.ok
    since = tenant.runs[evidence.run + 1 :]
    states: set[Content] = {content for run in since for content in run.written}
    is_ours = {evidence.content, *tenant.known} <= states
    return is_ours and not any(run.started for run in since)


def shown(tenant: Tenant) -> tuple[str, str]:
    """Return status of a tenant and whose turn it is, by the product's projection."""
    newest = tenant.newest
    run = (tenant.runs[newest].kind, tenant.runs[newest].status) if newest >= 0 else None
    holding = Holding(is_verified=is_verified(tenant), run=run)
    status, waiting = tenant_status(is_resolved=True, holdings=[holding] if run else [])
    return str(status), str(waiting or "")
