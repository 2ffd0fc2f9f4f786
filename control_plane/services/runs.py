"""Looking at runs, canceling and retrying them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from control_plane.domain.actor import ActorKind, Role
from control_plane.domain.audit import Stage
from control_plane.domain.deployment import Deployment
from control_plane.domain.errors import DomainError, IllegalTransition, NotFound, RunSuperseded
from control_plane.domain.evidence import Evidence
from control_plane.domain.plan import Plan
from control_plane.domain.run import TERMINAL_RUN, BlockedOn, Run, RunEvent, RunStatus
from control_plane.ports import UnitOfWork
from control_plane.services.permission import (
    READ_TENANTS,
    require_role,
    require_sight,
    visible_tenants,
)
from control_plane.services.starting import request_run
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.ending import end_run
from control_plane.workflows.facts import Findings
from control_plane.workflows.moving import locked_run, unblock
from control_plane.workflows.recording import record, record_denied

READERS = tuple(READ_TENANTS | {Role.PLATFORM_AUDITOR})
EVENTS_AT_ONCE = 500
RUN_OPERATORS = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
CANCELABLE_BEFORE_APPLY = frozenset(
    {RunStatus.REQUESTED, RunStatus.AWAITING_APPROVAL, RunStatus.APPROVED, RunStatus.BLOCKED,
     RunStatus.PLANNING}
)  # fmt: skip
FAILED = frozenset(
    {RunStatus.ERRORED, RunStatus.CANCELED, RunStatus.EXPIRED, RunStatus.REJECTED,
     RunStatus.POLICY_FAILED}
)  # fmt: skip
_WAYS_TO_SAY = {"cancel": "canceled", "retry": "retried"}


def allowed_actions(run: Run, caller: Caller | None = None, *, is_newest: bool = True) -> list[str]:
    """Return what may be asked of a run in its present status, by ``caller`` if one is given."""
    actions = []
    if run.status in CANCELABLE_BEFORE_APPLY or (
        run.status is RunStatus.APPLYING and not run.cancel_requested
    ):
        actions.append("cancel")
    if is_newest and (run.status in FAILED or _waits_for_retry(run)):
        actions.append("retry")
    if caller is not None and not caller.actor.has(*RUN_OPERATORS):
        actions = []
    if run.status is RunStatus.AWAITING_APPROVAL and _may_decide(run, caller):
        actions.append("decide")
    return actions


def _may_decide(run: Run, caller: Caller | None) -> bool:
    if caller is None:
        return True
    actor = caller.actor
    return (
        actor.kind is ActorKind.USER
        and actor.has(Role.OPS_APPROVER)
        and not set(actor.subjects) & set(run.requesters)
    )


def _waits_for_retry(run: Run) -> bool:
    return run.status is RunStatus.BLOCKED and run.blocked_on is not BlockedOn.HUB_UNAVAILABLE


def cancel_run(core: Core, caller: Caller, run_id: str) -> Run:
    """Cancel a run: at once before it applies, else after the engine stopped where it is.

    Raises ``IllegalTransition`` for a run that has ended or is being verified: then it is too late.
    """
    return _steer(core, caller, run_id, "cancel")


def retry_run(core: Core, caller: Caller, run_id: str) -> Run:
    """Try again: a blocked run goes on, or is planned anew; a failed one gets a new run.

    Returns the run that goes on. Raises ``RunSuperseded`` for any but the newest run of its
    deployment, ``IllegalTransition`` when there is nothing to retry.
    """
    return _steer(core, caller, run_id, "retry")


def _steer(core: Core, caller: Caller, run_id: str, wanted: str) -> Run:
    run = _visible(core, caller, run_id, act=f"runs.{wanted}")
    require_role(core, caller, *RUN_OPERATORS, act=f"runs.{wanted}", tree=run.tenant_id)
    act = {"cancel": _cancel, "retry": _retry}[wanted]
    try:
        with core.uow() as uow:
            run, deployment = locked_run(uow, run_id)
            if wanted not in allowed_actions(run):
                raise IllegalTransition(
                    f"the run is {run.status} and cannot be {_WAYS_TO_SAY[wanted]}",
                    present_status=str(run.status),
                )
            run = act(core, uow, caller, run, deployment)
            uow.commit()
    except DomainError as error:
        record_denied(
            core, caller, "run.refused", error,
            tree=run.tenant_id, targets=(("run", run_id),), wanted=wanted,
        )  # fmt: skip
        raise
    return run


def _cancel(core: Core, uow: UnitOfWork, caller: Caller, run: Run, deployment: Deployment) -> Run:
    run = run.changed(core.clock.now(), cancel_requested=True)
    uow.runs.save(run)
    if run.status in CANCELABLE_BEFORE_APPLY:
        return end_run(core, uow, run, deployment, RunStatus.CANCELED, Findings(), caller=caller)
    record(
        core, uow, caller, "run.canceled",
        tree=run.tenant_id, targets=(("run", run.id),), stage=Stage.ATTEMPTED, run=run.id,
        during=str(run.status),
    )  # fmt: skip
    return run


def _retry(core: Core, uow: UnitOfWork, caller: Caller, run: Run, deployment: Deployment) -> Run:
    newest = uow.queries.newest_run(run.deployment_id)
    if newest is not None and newest.id != run.id:
        raise RunSuperseded(
            f"{newest.id} is a newer run of the same deployment and is {newest.status}",
            newest=newest.id,
        )
    if run.status is RunStatus.BLOCKED and run.blocked_on is not BlockedOn.STATE_MOVED:
        run = run.changed(
            core.clock.now(),
            requesters=tuple(dict.fromkeys((*run.requesters, *caller.actor.subjects))),
        )
        uow.runs.save(run)
        return unblock(core, uow, caller, run, action="run.retried")
    fresh = request_run(core, uow, caller, deployment, retry_of=run)
    record(
        core, uow, caller, "run.retried",
        tree=run.tenant_id, targets=(("run", run.id),), run=run.id, new_run=fresh.id,
    )  # fmt: skip
    return fresh


def _visible(core: Core, caller: Caller, run_id: str, *, act: str) -> Run:
    with core.uow() as uow:
        run = uow.runs.get(run_id)
    if run is None:
        raise NotFound("there is no such thing")
    require_sight(core, caller, run.tenant_id, act=act)
    return run


def get_run(core: Core, caller: Caller, run_id: str) -> Run:
    """Return a run. Raises ``NotFound``."""
    require_role(core, caller, *READERS, act="runs.read")
    return _visible(core, caller, run_id, act="runs.read")


def get_plan(core: Core, caller: Caller, run_id: str) -> Plan:
    """Return the plan of a run. Raises ``NotFound`` while there is none."""
    run = get_run(core, caller, run_id)
    with core.uow() as uow:
        plan = uow.plans.get(run.plan_id) if run.plan_id else None
    if plan is None:
        raise NotFound("the run has no plan yet")
    return plan


def list_runs(
    core: Core,
    caller: Caller,
    *,
    limit: int,
    before: str | None,
    tenant_id: str | None,
    status: str | None,
) -> list[Run]:
    """Return runs the caller may see, newest first."""
    require_role(core, caller, *READERS, act="runs.read")
    equals: dict[str, object] = {"status": status} if status else {}
    if tenant_id is not None:
        require_sight(core, caller, tenant_id, act="runs.read")
        equals["tenant_id"] = tenant_id
    elif "*" not in caller.actor.tenants:
        equals["tenant_id"] = visible_tenants(caller)
    with core.uow() as uow:
        return uow.runs.page(limit=limit, before=before, **equals)


def deployments_of(core: Core, *found: Run) -> Mapping[str, Deployment]:
    """Return the deployments of runs that were read for a caller, by id."""
    ids = tuple({run.deployment_id for run in found})
    with core.uow() as uow:
        return {deployment.id: deployment for deployment in uow.deployments.find(id=ids)}


def evidence_of(core: Core, *found: Run) -> Mapping[str, Evidence]:
    """Return the evidence of runs that were read for a caller, by id."""
    ids = tuple({run.evidence_id for run in found if run.evidence_id})
    with core.uow() as uow:
        return {evidence.id: evidence for evidence in uow.evidence.find(id=ids)} if ids else {}


def events_after(core: Core, caller: Caller, run_id: str, seq: int) -> Sequence[RunEvent]:
    """Return a run's progress lines with numbers above ``seq``, ``EVENTS_AT_ONCE`` at most."""
    get_run(core, caller, run_id)
    return read_progress(core, run_id, seq)[1]


def read_progress(core: Core, run_id: str, seq: int) -> tuple[bool, Sequence[RunEvent]]:
    """Return whether a run has ended, and its next lines; the caller was checked before.

    A run that has ended gets no more lines, so that no lines and an end are the end.
    """
    with core.uow() as uow:
        run = uow.runs.get(run_id)
        events = uow.run_events.after(run_id, seq, limit=EVENTS_AT_ONCE)
    return run is None or run.status in TERMINAL_RUN, events
