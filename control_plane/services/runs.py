"""Looking at runs, canceling and retrying them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from control_plane.domain.actor import Role
from control_plane.domain.approval import Approval, Decision
from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.domain.errors import IllegalTransition, NotFound, RunSuperseded
from control_plane.domain.evidence import Evidence
from control_plane.domain.kinds import KINDS
from control_plane.domain.plan import Plan
from control_plane.domain.plan_comparison import PlanComparison, compare
from control_plane.domain.run import TERMINAL_RUN, BlockedOn, Run, RunEvent, RunStatus
from control_plane.domain.run_actions import Action, cell_of
from control_plane.domain.tenant import Contract, Tenant
from control_plane.ports.rows import Dependent
from control_plane.services.approvals import open_to_caller
from control_plane.services.permission import (
    READ_TENANTS,
    listed,
    require_role,
    require_visibility,
    visible,
)
from control_plane.services.starting import request_run
from control_plane.services.waiting import approvals_of, given_on
from control_plane.workflows.core import Act
from control_plane.workflows.ending import cancel
from control_plane.workflows.moving import locked_run, unblock
from control_plane.workflows.planning import exclude_from_deciding
from control_plane.workflows.recording import record_run, refused_as

READERS = tuple(READ_TENANTS | {Role.PLATFORM_AUDITOR})
EVENTS_AT_ONCE = 500
RUN_OPERATORS = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
_WAYS_TO_SAY = {"cancel": "canceled", "retry": "retried"}


def allowed_actions(
    act: Act,
    *found: Run,
    approvals: Sequence[Approval] | None = None,
    given: Sequence[Decision] | None = None,
) -> Mapping[str, list[str]]:
    """Return what the caller may ask of runs that were read for it, by run id.

    ``approvals`` are those of the runs that wait for people, and ``given`` the decisions on these
    as ``given_on`` returns them, where they were read before.
    """
    newest = act.uow.queries.newest_runs([run.deployment_id for run in found])
    waiting = {run.approval_id for run in found if run.status is RunStatus.AWAITING_APPROVAL}
    known = approvals_of(act, found) if approvals is None else approvals
    asked = [each for each in known if each.id in waiting]
    decisions = given_on(act, asked) if given is None else given
    decidable = open_to_caller(act, asked, newest, decisions)
    operates = act.caller.actor.has(*RUN_OPERATORS)
    actions = {}
    for run in found:
        possible = _possible(run) if operates else []
        if run.id not in newest and "retry" in possible:
            possible.remove("retry")
        actions[run.id] = [*possible, *(["decide"] if run.approval_id in decidable else [])]
    return actions


def _possible(run: Run) -> list[str]:
    """Return how a run may be steered in its current status."""
    offers = cell_of(run.kind, run.status, run.blocked_on).offers
    if run.status is RunStatus.APPLYING and run.cancel_requested:
        offers = ()
    return [str(each.action) for each in offers if each.action is not Action.DECIDE]


def cancel_run(act: Act, run_id: str) -> Run:
    """Cancel a run: at once before it applies, else after the engine stopped where it is.

    Raises ``IllegalTransition`` for a run that has ended or is being verified: then it is too late.
    """
    return _steer(act, run_id, "cancel", cancel)


def retry_run(act: Act, run_id: str) -> Run:
    """Retry: a blocked run continues, or is planned again; a failed one gets a new run.

    Returns the run that continues. Raises ``RunSuperseded`` for any but the newest run of its
    deployment, ``IllegalTransition`` when there is nothing to retry.
    """
    return _steer(act, run_id, "retry", _retry)


def may_steer(act: Act, run_id: str, wanted: str) -> Run:
    """Return a run that the caller may cancel or retry. Raises ``NotFound``, ``NotAllowed``."""
    run = visible(act, act.uow.runs.get(run_id), wanted=f"runs.{wanted}")
    require_role(act, *RUN_OPERATORS, wanted=f"runs.{wanted}", tree=run.tenant_id)
    return run


def _steer(act: Act, run_id: str, wanted: str, steer: Callable[[Act, Run, Deployment], Run]) -> Run:
    run = may_steer(act, run_id, wanted)
    targets = (("run", run_id),)
    with refused_as(act, "run.refused", tree=run.tenant_id, targets=targets, wanted=wanted):
        run, deployment = locked_run(act.uow, run_id)
        if wanted == "cancel" and run.cancel_requested and run.status not in TERMINAL_RUN:
            raise IllegalTransition(
                f"the run is being canceled already: it is {run.status}",
                present_status=str(run.status),
            )
        if wanted not in _possible(run):
            raise IllegalTransition(
                f"the run cannot be {_WAYS_TO_SAY[wanted]}: it is {run.status}",
                present_status=str(run.status),
            )
        return steer(act, run, deployment)


def _retry(act: Act, run: Run, deployment: Deployment) -> Run:
    newest = act.uow.queries.newest_run(run.deployment_id)
    if newest is not None and newest.id != run.id:
        raise RunSuperseded(
            f"{newest.id} is a newer run of the same deployment and is {newest.status}",
            newest=newest.id,
        )
    if run.status is RunStatus.BLOCKED and run.blocked_on is not BlockedOn.STATE_MOVED:
        run = run.followed_by(act.caller.actor.subjects, act.now())
        act.uow.runs.save(run)
        exclude_from_deciding(act, run, act.caller.actor.subjects, "requester")
        return unblock(act, run, action="run.retried")
    desired = KINDS[run.kind].desired
    fresh = request_run(act, deployment, desired=desired, retry_of=run, scope=run.scope)
    record_run(act, "run.retried", run, new_run=fresh.id)
    return fresh


def get_run(act: Act, run_id: str) -> Run:
    """Return a run. Raises ``NotFound``."""
    require_role(act, *READERS, wanted="runs.read")
    return visible(act, act.uow.runs.get(run_id), wanted="runs.read")


def get_plan(act: Act, run_id: str) -> Plan:
    """Return the plan of a run. Raises ``NotFound`` while there is none."""
    run = get_run(act, run_id)
    plan = act.uow.plans.get(run.plan_id) if run.plan_id else None
    if plan is None:
        raise NotFound("the run has no plan yet")
    return plan


def replaced_run(act: Act, run_id: str) -> Run | None:
    """Return the run whose plan that of a run takes the place of, None where there is none.

    That is the one that it supersedes or repeats, or the next before that has a plan.
    """
    run: Run | None = get_run(act, run_id)
    while run is not None:
        named = run.supersedes or run.retry_of
        run = act.uow.runs.get(named) if named is not None else None
        if run is not None and run.plan_id is not None:
            return run
    return None


def compare_plans(act: Act, run_id: str) -> tuple[Run | None, PlanComparison]:
    """Return the run whose plan that of a run takes the place of, and how the two plans differ.

    Without such a run it is None, and the plan is compared with no plan. Raises ``NotFound`` while
    there is no plan.
    """
    plan = get_plan(act, run_id)
    earlier = replaced_run(act, run_id)
    older = act.uow.plans.need(earlier.plan_id) if earlier is not None else None
    return earlier, compare(older, plan)


def list_runs(
    act: Act,
    *,
    limit: int,
    before: str | None,
    tenant_id: str | None,
    status: str | None,
) -> list[Run]:
    """Return runs the caller may see, newest first."""
    require_role(act, *READERS, wanted="runs.read")
    equals = listed(act, status=status)
    if tenant_id is not None:
        require_visibility(act, tenant_id, wanted="runs.read")
        equals["tenant_id"] = tenant_id
    return act.uow.runs.page(limit=limit, before=before, **equals)


def deployments_of(act: Act, *found: Run) -> Mapping[str, Deployment]:
    """Return the deployments of runs that were read for a caller, by id."""
    ids = tuple({run.deployment_id for run in found})
    return {deployment.id: deployment for deployment in act.uow.deployments.find(id=ids)}


def owner_of(act: Act, run: Run) -> tuple[Tenant | None, Contract | None]:
    """Return whose a run is that was read for a caller, and their newest contract."""
    if run.tenant_id is None:
        return None, None
    found = act.uow.contracts.find(tenant_id=run.tenant_id)
    newest = max(found, key=lambda each: each.signed_at, default=None)
    return act.uow.tenants.need(run.tenant_id), newest


def affected_by(act: Act, *found: Deployment) -> Mapping[str, Sequence[Dependent]]:
    """Return the tenants on each Hub among deployments that were read for a caller, by its id."""
    hubs = {each.hub_id: each.id for each in found if each.kind is DeploymentKind.HUB}
    ids = [hub_id for hub_id in hubs if hub_id is not None]
    if not ids:
        return {}
    return {hubs[hub]: tenants for hub, tenants in act.uow.queries.dependents(ids).items()}


def evidence_of(act: Act, *found: Run) -> Mapping[str, Evidence]:
    """Return the evidence of runs that were read for a caller, by id."""
    ids = tuple({run.evidence_id for run in found if run.evidence_id})
    return {evidence.id: evidence for evidence in act.uow.evidence.find(id=ids)} if ids else {}


def events_after(act: Act, run_id: str, seq: int) -> Sequence[RunEvent]:
    """Return a run's progress lines with numbers above ``seq``, ``EVENTS_AT_ONCE`` at most."""
    get_run(act, run_id)
    return read_progress(act, run_id, seq)[1]


def read_progress(act: Act, run_id: str, seq: int) -> tuple[bool, Sequence[RunEvent]]:
    """Return whether a run has ended, and its next lines; the caller was checked before.

    A run that has ended gets no more lines, so that no lines and an end are the end.
    """
    run = act.uow.runs.get(run_id)
    events = act.uow.run_events.after(run_id, seq, limit=EVENTS_AT_ONCE)
    return run is None or run.status in TERMINAL_RUN, events
