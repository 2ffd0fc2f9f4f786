"""Moving a run: status, owner and audit log change in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.domain.approval import APPROVAL_TRANSITIONS, ApprovalStatus
from control_plane.domain.audit import Stage
from control_plane.domain.deployment import Deployment
from control_plane.domain.errors import DomainError, NotFound
from control_plane.domain.run import NEXT_ACTION, BlockedOn, Run, RunEvent, RunStatus
from control_plane.domain.transitions import terminal
from control_plane.ports import Happened, UnitOfWork
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.owners import follow
from control_plane.workflows.recording import record

CLOSED_APPROVAL = terminal(APPROVAL_TRANSITIONS)


def locked_run(uow: UnitOfWork, run_id: str) -> tuple[Run, Deployment]:
    """Return a run, locked, with its deployment. Raises ``NotFound``."""
    run = uow.runs.get(run_id, lock=True)
    deployment = uow.deployments.get(run.deployment_id) if run else None
    if run is None or deployment is None:
        raise NotFound("there is no such run")
    return run, deployment


def move_run(
    core: Core,
    uow: UnitOfWork,
    caller: Caller,
    run: Run,
    status: RunStatus,
    *,
    action: str | None,
    stage: Stage = Stage.COMPLETED,
    approval: Mapping[str, str] | None = None,
    data: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Run:
    """Move a run, let its owner follow, record ``action`` and add a progress line.

    ``data`` goes into the audit event, ``changes`` into the run. Commits nothing.
    """
    now = core.clock.now()
    moved = run.moved(status, now, **changes)
    uow.runs.save(moved)
    if action is not None:
        record(
            core, uow, caller, action,
            tree=run.tenant_id, targets=(("run", run.id), ("deployment", run.deployment_id)),
            stage=stage, run=run.id, approval=approval,
            status=str(status), previous_status=str(run.status), attempt=moved.attempt,
            **(data or {}),
        )  # fmt: skip
    deployment = uow.deployments.get(run.deployment_id)
    if deployment is not None:
        follow(core, uow, caller, deployment, moved)
    progress(core, uow, run.id, ("status", {"status": str(status), **_why(moved)}))
    return moved


def _why(run: Run) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if run.blocked_on is not None:
        facts["blocked_on"] = str(run.blocked_on)
        facts["next_action"] = NEXT_ACTION[run.blocked_on]
    if run.error is not None:
        facts["error"] = dict(run.error)
    return facts


def progress(core: Core, uow: UnitOfWork, run_id: str, *events: Happened) -> None:
    """Add progress lines to a run."""
    now, last = core.clock.now(), uow.run_events.last_seq(run_id)
    uow.run_events.append(
        *(
            RunEvent(run_id=run_id, seq=seq, time=now, kind=kind, body=body)
            for seq, (kind, body) in enumerate(events, start=last + 1)
        )
    )


def block_run(
    core: Core,
    uow: UnitOfWork,
    caller: Caller,
    run: Run,
    blocked_on: BlockedOn,
    error: DomainError,
    *,
    part: str | None = None,
) -> Run:
    """Let a run wait for something named."""
    return move_run(
        core, uow, caller, run, RunStatus.BLOCKED,
        action="run.blocked", stage=Stage.COMPLETED,
        data={
            "blocked_on": str(blocked_on), "part": part, "code": error.code,
            "next_action": NEXT_ACTION[blocked_on],
        },
        blocked_on=blocked_on, error=as_json(error),
    )  # fmt: skip


def fail_run(
    core: Core, uow: UnitOfWork, caller: Caller, run: Run, error: Mapping[str, Any], *, phase: str
) -> Run:
    """End a run with an error and close its approval."""
    close_approval(core, uow, run, ApprovalStatus.CANCELED)
    return move_run(
        core, uow, caller, run, RunStatus.ERRORED,
        action="run.errored", stage=Stage.FAILED,
        data={"phase": phase, "code": str(error.get("code", "internal"))},
        error=error,
    )  # fmt: skip


def expire_if_late(core: Core, uow: UnitOfWork, caller: Caller, run: Run) -> bool:
    """Expire a run whose approval's life is over; the end of that life is exclusive."""
    approval = uow.approvals.get(run.approval_id, lock=True) if run.approval_id else None
    now = core.clock.now()
    if approval is None or now < approval.expires_at or approval.status in CLOSED_APPROVAL:
        return False
    uow.approvals.save(approval.moved(ApprovalStatus.EXPIRED, now))
    expires_at = approval.expires_at.isoformat()
    record(
        core, uow, caller, "approval.expired",
        tree=run.tenant_id, targets=(("approval", approval.id), ("run", run.id)), run=run.id,
        plan_digest=approval.plan_digest, expires_at=expires_at,
    )  # fmt: skip
    move_run(
        core, uow, caller, run, RunStatus.EXPIRED, action="run.expired",
        data={
            "plan": approval.plan_id, "plan_digest": approval.plan_digest,
            "expires_at": expires_at,
        },
    )  # fmt: skip
    return True


def close_approval(core: Core, uow: UnitOfWork, run: Run, status: ApprovalStatus) -> None:
    """Move the run's open approval, if it has one."""
    approval = uow.approvals.get(run.approval_id, lock=True) if run.approval_id else None
    if approval is not None and approval.status in {
        ApprovalStatus.WAITING,
        ApprovalStatus.APPROVED,
    }:
        uow.approvals.save(approval.moved(status, core.clock.now()))


def as_json(error: DomainError) -> dict[str, Any]:
    """Return an error as it is kept in a row and shown to people."""
    return {
        "code": error.code,
        "message": error.message,
        "remedy": error.remedy,
        "data": dict(error.data),
    }
