"""Moving a run: status, owner, timers and audit log change in one transaction.

Locks are taken in one order everywhere: journey, task, saga, run, deployment, owner, then runs that
wait. An approval is locked by who has its run alone, so nobody waits for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.audit import Stage
from control_plane.domain.deployment import PLATFORM, Deployment
from control_plane.domain.errors import DomainError, NotFound
from control_plane.domain.run import (
    NEXT_ACTION,
    TERMINAL_RUN,
    BlockedOn,
    Run,
    RunKind,
    RunStatus,
)
from control_plane.domain.timers import TimerKind
from control_plane.ports.engine import EngineEvent
from control_plane.ports.rows import Timers, UnitOfWork
from control_plane.workflows.core import WORKER, Act
from control_plane.workflows.owners import sync_owner
from control_plane.workflows.recording import record, record_run, said_of

PHASE: Final = "advance_run"
DELIVERY_PHASE: Final = "take_delivery"
MESSAGE_PHASE: Final = "send_message"
_WATCH_AFTER: Final = timedelta(seconds=30)
_WATCHED: Final[Mapping[str, TimerKind]] = {
    PHASE: TimerKind.RUN_WATCH,
    DELIVERY_PHASE: TimerKind.DELIVERY_TURN,
    MESSAGE_PHASE: TimerKind.MESSAGE_TURN,
}


def locked_run(uow: UnitOfWork, run_id: str) -> tuple[Run, Deployment]:
    """Return a run, locked, with its deployment. Raises ``NotFound``."""
    run = uow.runs.get(run_id, lock=True)
    deployment = uow.deployments.get(run.deployment_id) if run else None
    if run is None or deployment is None:
        raise NotFound("run not found")
    return run, deployment


def add_run(
    act: Act, deployment: Deployment, kind: RunKind, *, spec_version: int, **given: Any
) -> Run:
    """Add a run of a deployment that is locked, with what is ``given``, and record the request.

    Who asks is the caller, if nothing else is given. The caller of this enqueues its first turn.
    """
    now, actor = act.now(), act.caller.actor
    by_caller = {"requested_by": actor.id, "requesters": actor.subjects}
    run = Run(
        id=act.new_id("run"),
        deployment_id=deployment.id,
        tenant_id=deployment.tenant_id,
        number=act.uow.queries.last_number(deployment.id) + 1,
        kind=kind,
        status=RunStatus.REQUESTED,
        on_behalf_of=actor.on_behalf_of,
        requested_at=now,
        updated_at=now,
        **{**by_caller, **given},
    )
    act.uow.runs.add(run)
    record_run(
        act, "run.requested", run, targets=(("deployment", deployment.id),),
        kind=str(kind), retry_of=run.retry_of, spec_version=spec_version, **said_of(run.cause),
    )  # fmt: skip
    return run


def enqueue(act: Act, run: Run, **changes: Any) -> Run:
    """Let a worker take the run's next turn, in the caller's transaction."""
    now = act.now()
    run = run.changed(now, turn=run.turn + 1, is_working=False, **changes)
    act.uow.runs.save(run)
    enqueue_present_turn(act, run)
    return run


def enqueue_present_turn(act: Act, run: Run) -> None:
    """Enqueue a run under the turn that it has; each turn is enqueued once."""
    act.uow.queue.enqueue(
        PHASE, run.id,
        partition=run.deployment_id, owner=run.tenant_id or PLATFORM, attempt=run.turn,
    )  # fmt: skip


def watch(timers: Timers, phase: str, subject_id: str, now: datetime) -> None:
    """Let what a worker takes up be looked for in the queue, in the transaction that claims it.

    Before that it is a row of the queue, which cannot get lost: what merely waits has no timer.
    """
    kind = _WATCHED.get(phase)
    if kind is not None:
        timers.set(kind, subject_id, now + _WATCH_AFTER)


def move_run(
    act: Act,
    run: Run,
    status: RunStatus,
    *,
    action: str | None,
    stage: Stage = Stage.COMPLETED,
    approval: Mapping[str, str] | None = None,
    data: Mapping[str, Any] | None = None,
    shows: bool = True,
    **changes: Any,
) -> Run:
    """Move a run, bring its owner's status up to date, record ``action``, add a progress line.

    ``data`` goes into the audit event, ``changes`` into the run. Without ``shows`` neither the
    owner nor who watches learns of it. Commits nothing.
    """
    now = act.now()
    moved = run.moved(status, now, **changes)
    act.uow.runs.save(moved)
    if status in TERMINAL_RUN:
        act.uow.timers.set(TimerKind.RUN_DETAILS, run.id, now + act.core.limits.details_life)
    if action is not None:
        record_run(
            act, action, run, targets=(("deployment", run.deployment_id),),
            stage=stage, approval=approval,
            status=str(status), previous_status=str(run.status), attempt=moved.attempt,
            **(data or {}),
        )  # fmt: skip
    if shows:
        progress(act, run.id, ("status", {"status": str(status), **_why(moved)}))
        sync_owner(act, run.deployment_id, run=moved)
    return moved


def _why(run: Run) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if run.blocked_on is not None:
        facts["blocked_on"] = str(run.blocked_on)
        facts["next_action"] = NEXT_ACTION[run.blocked_on]
    if run.error is not None and (run.status in TERMINAL_RUN or run.status is RunStatus.BLOCKED):
        facts["error"] = dict(run.error)
    return facts


def progress(act: Act, run_id: str, *events: EngineEvent) -> None:
    """Add progress lines to a run."""
    act.uow.run_events.append(run_id, act.now(), *events)


def tell_interrupted(act: Act, run: Run, why: str) -> None:
    """Tell who watches a run that a process of it died, so that silence has its reason."""
    progress(act, run.id, ("interrupted", {"phase": str(run.status), "message": why}))


def record_resumed(act: Act, run: Run, **data: Any) -> None:
    """Record, and tell who watches a run, that it resumed after its process had died."""
    resumed: dict[str, Any] = {"phase": str(run.status), "attempt": run.attempt}
    progress(act, run.id, ("resumed", resumed))
    record_run(act, "run.resumed", run, **resumed, **data)


def block_run(
    act: Act,
    run: Run,
    blocked_on: BlockedOn,
    error: DomainError,
) -> Run:
    """Let a run wait for something named; the same obstacle as before is recorded once."""
    parts = error.data.get("parts")
    moved = [str(each["urn"]) for each in error.data.get("differences", ())]
    is_known = run.error == as_json(error)
    return move_run(
        act, run, RunStatus.BLOCKED,
        action=None if is_known else "run.blocked", shows=not is_known,
        data={
            "blocked_on": str(blocked_on), "part": str(parts[0]) if parts else None,
            "code": error.code, "next_action": NEXT_ACTION[blocked_on],
            **({"resources": sorted(set(moved))} if moved else {}),
        },
        blocked_on=blocked_on, error=as_json(error),
    )  # fmt: skip


def unblock(act: Act, run: Run, *, action: str | None) -> Run:
    """Resume a blocked run where it was blocked. Without ``action`` it is only checked again, and
    keeps the error that says what it waits for.
    """
    status = run.blocked_from or RunStatus.REQUESTED
    moved = move_run(
        act, run, status, action=action,
        data={"blocked_on": str(run.blocked_on)}, error=None if action else run.error,
        shows=action is not None,
    )  # fmt: skip
    return enqueue(act, moved)


def close_approval(act: Act, run: Run, status: ApprovalStatus, **data: Any) -> None:
    """Move the run's open approval, if it has one, and record what became of it."""
    approval = act.uow.approvals.get(run.approval_id, lock=True) if run.approval_id else None
    if approval is None or approval.status not in {ApprovalStatus.WAITING, ApprovalStatus.APPROVED}:
        return
    act.uow.approvals.save(approval.moved(status, act.now()))
    act.uow.timers.cancel(TimerKind.APPROVAL_EXPIRY, approval.id)
    record(
        act.by(WORKER), _APPROVAL_ACTIONS[status],
        tree=run.tenant_id, targets=(("approval", approval.id), ("run", run.id)), run=run.id,
        plan_digest=approval.plan_digest, **data,
    )  # fmt: skip


_APPROVAL_ACTIONS: Final[Mapping[ApprovalStatus, str]] = {
    ApprovalStatus.CANCELED: "approval.canceled",
    ApprovalStatus.CONSUMED: "approval.consumed",
    ApprovalStatus.EXPIRED: "approval.expired",
    ApprovalStatus.SUPERSEDED: "approval.superseded",
}


def as_json(error: DomainError) -> dict[str, Any]:
    """Return an error as it is kept in a row and shown to people."""
    return {
        "code": error.code,
        "message": error.message,
        "remedy": error.remedy,
        "data": dict(error.data),
    }
