"""The end of a run, and its waits: what becomes of its approval, its error and its owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.audit import Stage
from control_plane.domain.deployment import Deployment, DeploymentKind, Desired
from control_plane.domain.errors import DomainError
from control_plane.domain.evaluation import Violation
from control_plane.domain.kinds import KINDS
from control_plane.domain.plan import Plan
from control_plane.domain.run import Run, RunStatus
from control_plane.domain.timers import TimerKind
from control_plane.workflows.core import Act
from control_plane.workflows.drift import end_look, set_next_look
from control_plane.workflows.editors import forget_editors
from control_plane.workflows.facts import Findings
from control_plane.workflows.leaving import what_is_left
from control_plane.workflows.moving import as_json, close_approval, move_run
from control_plane.workflows.placing import give_back
from control_plane.workflows.recording import record_run
from control_plane.workflows.verifying import failure_of
from control_plane.workflows.waking import wake_for_hub

# what becomes of the approval of a run that ends
_APPROVAL_OF: Final[Mapping[RunStatus, ApprovalStatus]] = {
    RunStatus.EXPIRED: ApprovalStatus.EXPIRED,
    RunStatus.SUPERSEDED: ApprovalStatus.SUPERSEDED,
    RunStatus.CANCELED: ApprovalStatus.CANCELED,
    RunStatus.ERRORED: ApprovalStatus.CANCELED,
}
# ends of a run that say why it was blocked, or waited
_KEEPS_ERROR: Final = frozenset({RunStatus.CANCELED, RunStatus.SUPERSEDED})
CANCELABLE_BEFORE_APPLY: Final = frozenset(
    {RunStatus.REQUESTED, RunStatus.AWAITING_APPROVAL, RunStatus.APPROVED, RunStatus.BLOCKED,
     RunStatus.PLANNING}
)  # fmt: skip
_FIRST_PAUSE: Final = timedelta(seconds=5)
_LONGEST_PAUSE: Final = timedelta(minutes=10)


def end_run(
    act: Act,
    run: Run,
    deployment: Deployment,
    status: RunStatus,
    findings: Findings,
) -> Run:
    """Bring a run to its end."""
    plan = act.uow.plans.get(run.plan_id) if run.plan_id else None
    successor = _successor(act, run) if status is RunStatus.SUPERSEDED else None
    if status in _APPROVAL_OF:
        extra: dict[str, Any] = {}
        if status is RunStatus.SUPERSEDED:
            extra["superseded_by"] = successor
        elif status is RunStatus.EXPIRED:
            approval = act.uow.approvals.get(run.approval_id) if run.approval_id else None
            extra["expires_at"] = approval.expires_at.isoformat() if approval else None
        close_approval(act, run, _APPROVAL_OF[status], **extra)
    act.uow.timers.cancel(TimerKind.RUN_WATCH, run.id)
    act.uow.timers.cancel(TimerKind.RUN_TURN, run.id)
    action, stage, data = _recorded(run, status, plan, successor)
    error = _error(act, run, status, plan, findings)
    if status is RunStatus.ERRORED:
        data |= {"phase": str(run.status), "code": str((error or {}).get("code", "internal"))}
    was = run.status
    run = move_run(
        act, run, status, action=action, stage=stage, data=data, error=error,
        is_working=False,
    )  # fmt: skip
    kind = KINDS[run.kind]
    done = status in {RunStatus.APPLIED, RunStatus.NO_CHANGES}
    if kind.looks:
        if not kind.drafts:
            end_look(act, run, deployment)
        return run
    forget_editors(act, run, deployment)
    if done and kind.desired is Desired.PRESENT:
        set_next_look(act, run.deployment_id, after=run.id)
    if kind.means[status].gives_back or was is RunStatus.REQUESTED:
        give_back(act, run, deployment)
    if done and deployment.kind is DeploymentKind.HUB:
        wake_for_hub(act, act.uow.hubs.need(deployment.hub_id))
    return run


def _successor(act: Act, run: Run) -> str | None:
    newest = act.uow.queries.newest_run(run.deployment_id)
    return newest.id if newest is not None and newest.number > run.number else None


def _recorded(
    run: Run, status: RunStatus, plan: Plan | None, successor: str | None
) -> tuple[str | None, Stage, dict[str, Any]]:
    named = {"plan": plan.id, "plan_digest": plan.digest} if plan is not None else {}
    match status:
        case RunStatus.NO_CHANGES:
            return "run.no_changes", Stage.COMPLETED, named
        case RunStatus.EXPIRED:
            return "run.expired", Stage.COMPLETED, named
        case RunStatus.SUPERSEDED:
            return "run.superseded", Stage.COMPLETED, {"superseded_by": successor}
        case RunStatus.CANCELED:
            return "run.canceled", Stage.COMPLETED, {"during": str(run.blocked_from or run.status)}
        case RunStatus.ERRORED:
            return "run.errored", Stage.FAILED, {}
        case _:  # applied and policy_failed have events of their own
            return None, Stage.COMPLETED, {}


def _error(
    act: Act,
    run: Run,
    status: RunStatus,
    plan: Plan | None,
    findings: Findings,
) -> Mapping[str, Any] | None:
    if status is RunStatus.POLICY_FAILED and plan is not None:
        mandatory = plan.evaluation.mandatory
        return {
            "code": "policy_violation",
            "message": _violations(mandatory),
            "remedy": mandatory[0].remedy,
            "data": plan.evaluation.summary(),
        }
    if status is RunStatus.CANCELED and run.started_at is not None and plan is not None:
        return what_is_left(act, run, plan)
    if status is not RunStatus.ERRORED:
        return run.error if status in _KEEPS_ERROR else None
    evidence = act.uow.evidence.get(run.evidence_id) if run.evidence_id else None
    if evidence is not None and not evidence.ok:
        return as_json(failure_of(evidence))
    if findings.said is not None:
        return findings.said
    if findings.error is not None:
        return as_json(findings.error)
    if run.failures >= act.core.limits.failures and run.error is not None:
        return run.error
    return as_json(
        DomainError("the process that worked on it crashed repeatedly; see the worker's log")
    )


def _violations(mandatory: Sequence[Violation]) -> str:
    first = mandatory[0].reason
    if len(mandatory) == 1:
        return f"a mandatory rule is violated: {first}"
    return f"{len(mandatory)} mandatory rules are violated; first: {first}"


def cancel(act: Act, run: Run, deployment: Deployment) -> Run:
    """Cancel a run that is locked: at once before it applies, else where the engine stops."""
    run = run.changed(act.now(), cancel_requested=True)
    act.uow.runs.save(run)
    if run.status is not RunStatus.APPLYING:
        return end_run(act, run, deployment, RunStatus.CANCELED, Findings())
    record_run(act, "run.canceled", run, stage=Stage.ATTEMPTED, during=str(run.status))
    return run


def retry_later(act: Act, run: Run, error: DomainError | None) -> Run:
    """Let a timer take the run up again, later each time; its status and approval stay."""
    now = act.now()
    pause = min(_FIRST_PAUSE * 2**run.failures, _LONGEST_PAUSE)
    run = run.changed(
        now,
        failures=run.failures + 1,
        is_working=False,
        error=as_json(error) if error is not None else run.error,
    )
    act.uow.runs.save(run)
    act.uow.timers.set(TimerKind.RUN_TURN, run.id, now + pause)
    act.uow.timers.cancel(TimerKind.RUN_WATCH, run.id)
    return run
