"""Looking at runs, canceling and retrying them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from control_plane.domain.actor import Role
from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.deployment import Deployment
from control_plane.domain.errors import DomainError, IllegalTransition, NotFound
from control_plane.domain.plan import Plan
from control_plane.domain.run import BlockedOn, Run, RunEvent, RunKind, RunStatus
from control_plane.ports import UnitOfWork
from control_plane.services.permission import READ_TENANTS, require_role, require_sight
from control_plane.services.starting import request_run
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.moving import close_approval, locked_run, move_run
from control_plane.workflows.recording import record, record_denied
from control_plane.workflows.recovery import resume_blocked

READERS = tuple(READ_TENANTS | {Role.PLATFORM_AUDITOR})
STEERERS = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
AT_ONCE = frozenset(
    {RunStatus.REQUESTED, RunStatus.AWAITING_APPROVAL, RunStatus.APPROVED, RunStatus.BLOCKED,
     RunStatus.PLANNING}
)  # fmt: skip
FAILED = frozenset(
    {RunStatus.ERRORED, RunStatus.CANCELED, RunStatus.EXPIRED, RunStatus.REJECTED,
     RunStatus.POLICY_FAILED}
)  # fmt: skip


def allowed_actions(run: Run) -> list[str]:
    """Return what may be asked of a run in its present status."""
    actions = []
    if run.status in AT_ONCE or (run.status is RunStatus.APPLYING and not run.cancel_requested):
        actions.append("cancel")
    if run.status in FAILED or _waits_for_retry(run):
        actions.append("retry")
    if run.status is RunStatus.AWAITING_APPROVAL:
        actions.append("decide")
    return actions


def _waits_for_retry(run: Run) -> bool:
    return run.status is RunStatus.BLOCKED and run.blocked_on is not BlockedOn.HUB_UNAVAILABLE


def cancel_run(core: Core, caller: Caller, run_id: str) -> Run:
    """Cancel a run: at once before it applies, else after the engine stopped where it is.

    Raises ``IllegalTransition`` for a run that is at its end.
    """
    return _steer(core, caller, run_id, "cancel")


def retry_run(core: Core, caller: Caller, run_id: str) -> Run:
    """Try again: a blocked run goes on or is planned anew, a failed one gets a new run.

    Returns the run that goes on. Raises ``IllegalTransition`` when there is nothing to retry.
    """
    return _steer(core, caller, run_id, "retry")


def _steer(core: Core, caller: Caller, run_id: str, wanted: str) -> Run:
    run = _visible(core, caller, run_id, act=f"runs.{wanted}")
    require_role(core, caller, *STEERERS, act=f"runs.{wanted}", tree=run.tenant_id)
    act = {"cancel": _cancel, "retry": _retry}[wanted]
    try:
        with core.uow() as uow:
            run, _ = locked_run(uow, run_id)
            if wanted not in allowed_actions(run):
                raise IllegalTransition(
                    f"a run that is {run.status} has nothing to {wanted}",
                    present_status=str(run.status),
                )
            run = act(core, uow, caller, run)
            uow.commit()
    except DomainError as error:
        record_denied(
            core, caller, "run.refused", error,
            tree=run.tenant_id, targets=(("run", run_id),), wanted=wanted,
        )  # fmt: skip
        raise
    return run


def _cancel(core: Core, uow: UnitOfWork, caller: Caller, run: Run) -> Run:
    if run.status in AT_ONCE:
        close_approval(core, uow, run, ApprovalStatus.CANCELED)
        return move_run(
            core, uow, caller, run, RunStatus.CANCELED, action="run.canceled",
            data={"during": str(run.status)}, cancel_requested=True,
        )  # fmt: skip
    asked = run.changed(core.clock.now(), cancel_requested=True)
    uow.runs.save(asked)
    record(
        core, uow, caller, "run.canceled",
        tree=run.tenant_id, targets=(("run", run.id),), run=run.id, during=str(run.status),
    )  # fmt: skip
    return asked


def _retry(core: Core, uow: UnitOfWork, caller: Caller, run: Run) -> Run:
    if run.status in FAILED:
        return _new_run(core, uow, caller, run)
    if run.blocked_on is BlockedOn.STATE_MOVED:
        fresh = _new_run(core, uow, caller, run)
        close_approval(core, uow, run, ApprovalStatus.SUPERSEDED)
        move_run(
            core, uow, caller, run, RunStatus.SUPERSEDED, action="run.superseded",
            data={"superseded_by": fresh.id},
        )  # fmt: skip
        return fresh
    status = resume_blocked(run)
    moved = move_run(
        core, uow, caller, run, status, action="run.retried",
        data={"blocked_on": str(run.blocked_on)}, attempt=run.attempt + 1, error=None,
    )  # fmt: skip
    phase = "plan_run" if status is RunStatus.REQUESTED else "apply_run"
    uow.queue.enqueue(phase, run.id, partition=run.deployment_id, attempt=moved.attempt)
    return moved


def _new_run(core: Core, uow: UnitOfWork, caller: Caller, run: Run) -> Run:
    deployment = uow.deployments.get(run.deployment_id)
    if deployment is None:
        raise NotFound("the deployment is gone")
    fresh = request_run(
        core, uow, caller, deployment, RunKind(run.kind), retry_of=run, supersedes=run
    )
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
        equals["tenant_id"] = caller.actor.tenants
    with core.uow() as uow:
        return uow.runs.page(limit=limit, before=before, **equals)


def deployments_of(core: Core, *found: Run) -> Mapping[str, Deployment]:
    """Return the deployments of runs that were read for a caller, by id."""
    ids = tuple({run.deployment_id for run in found})
    with core.uow() as uow:
        return {deployment.id: deployment for deployment in uow.deployments.find(id=ids)}


def events_after(core: Core, caller: Caller, run_id: str, seq: int) -> Sequence[RunEvent]:
    """Return a run's progress lines with numbers above ``seq``."""
    get_run(core, caller, run_id)
    return read_events(core, run_id, seq)


def read_events(core: Core, run_id: str, seq: int) -> Sequence[RunEvent]:
    """Return progress lines for a stream whose caller was checked when it opened."""
    with core.uow() as uow:
        return uow.run_events.after(run_id, seq)
