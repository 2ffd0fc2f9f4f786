"""The gate: what stands between what the engine would do and doing it.

The engine asks after its preview, in the same call. The gate stores what was found, asks
``next_step``, and commits before it answers, so that ``attempted`` is durable before anything is
called.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.audit import Stage
from control_plane.domain.deployment import Deployment, Desired
from control_plane.domain.kinds import KINDS
from control_plane.domain.next_step import PlanFact, StepKind, next_step
from control_plane.domain.plan import CLOUD, Plan, moved_parts, operations_outside
from control_plane.domain.run import BlockedOn, Run, RunStatus
from control_plane.ports.engine import EngineCall, EnginePlan, GateAnswer
from control_plane.workflows.calling import require_newest, write
from control_plane.workflows.core import Act, Core
from control_plane.workflows.facts import Findings, Obstacle, facts_of, terms_of
from control_plane.workflows.holding import hold_fact
from control_plane.workflows.moving import close_approval, move_run
from control_plane.workflows.owners import sync_owner
from control_plane.workflows.planning import keep_plan, plan_moved, present_parts
from control_plane.workflows.recording import record_run
from control_plane.workflows.removal_rules import refuse_at_the_gate
from control_plane.workflows.signed import require_signed

# what an interrupted apply leaves may differ in these; the rest binds as before
_RESUME_MAY_MOVE = frozenset({"operations", "state"})


class Gate:
    """Answers one engine call of a run."""

    def __init__(self, core: Core, call: EngineCall, findings: Findings) -> None:
        self._core = core
        self._call = call
        self._findings = findings

    def __call__(self, engine_plan: EnginePlan) -> GateAnswer:
        """Say whether to apply, to look alone, or to stop; the rows say why."""

        def answer(act: Act, run: Run, deployment: Deployment) -> GateAnswer:
            if run.status is RunStatus.PLANNING:
                return self._planned(act, run, engine_plan)
            return self._replanned(act, run, deployment, engine_plan)

        return write(self._core, self._call, answer)

    def _planned(self, act: Act, run: Run, engine_plan: EnginePlan) -> GateAnswer:
        """A first plan, in a call that may apply it at once."""
        run, deployment, plan = keep_plan(act, run, engine_plan)
        facts = facts_of(act, run, deployment, self._findings)
        step = next_step(facts)
        if step.kind is StepKind.APPROVE:
            run = approve_by_rule(act, run, deployment, plan)
            hold = hold_fact(act.uow, run, deployment)
            step = next_step(replace(facts, status=run.status, hold=hold))
        if step.kind is StepKind.APPLY:
            record_attempt(act, run, deployment, plan, self._call)
            return GateAnswer.PROCEED
        if step.kind is StepKind.VERIFY:
            begin_verifying(act, run)
            return GateAnswer.LOOK
        return GateAnswer.STOP

    def _replanned(
        self, act: Act, run: Run, deployment: Deployment, engine_plan: EnginePlan
    ) -> GateAnswer:
        """A fresh preview of a plan that was approved, or of what remains of it."""
        plan = act.uow.plans.get(run.plan_id) if run.plan_id else None
        if plan is None:  # canceled before it was planned
            return GateAnswer.STOP
        resumes = run.status is RunStatus.APPLYING
        moved = _moved(act, run, deployment, plan, engine_plan)
        remaining = None
        if resumes:
            remaining = PlanFact.EMPTY if engine_plan.is_empty else PlanFact.CHANGES
        facts = facts_of(
            act, run, deployment, self._findings, remaining=remaining, moved=bool(moved)
        )
        step = next_step(facts)
        if step.kind is StepKind.APPLY:
            if KINDS[run.kind].desired is Desired.ABSENT and not resumes:
                refuse_at_the_gate(act, deployment)
            require_signed(act, run, deployment, plan, engine_plan, resumes=resumes)
            close_approval(act, run, ApprovalStatus.CONSUMED)
            record_attempt(act, run, deployment, plan, self._call)
            return GateAnswer.PROCEED
        if step.kind is StepKind.VERIFY:
            begin_verifying(act, run)
            return GateAnswer.LOOK
        if moved:
            error = plan_moved(moved, engine_plan.differences)
            self._findings.obstacle = Obstacle(on=BlockedOn.STATE_MOVED, error=error)
        return GateAnswer.STOP


def _moved(
    act: Act,
    run: Run,
    deployment: Deployment,
    plan: Plan,
    engine_plan: EnginePlan,
) -> tuple[str, ...]:
    """Name the parts that are not what was approved; the cloud is one more than the digest has."""
    moved = moved_parts(plan.parts, present_parts(act, run, deployment, engine_plan))
    cloud = (CLOUD,) if engine_plan.differences else ()
    if run.status is not RunStatus.APPLYING:
        return (*moved, *cloud)
    rest = tuple(part for part in moved if part not in _RESUME_MAY_MOVE)
    outside = operations_outside(plan, engine_plan.operations, engine_plan.resources)
    return (*(rest or (("operations",) if outside else ())), *cloud)


def approve_by_rule(act: Act, run: Run, deployment: Deployment, plan: Plan) -> Run:
    """Approve a run that the rules let apply without a decision, and say by which rule."""
    terms = terms_of(act, run, deployment, plan)
    rule = terms.harmless.id if terms.harmless else terms.rule.id
    data = {"plan": plan.id, "plan_digest": plan.digest, "rule": rule}
    if terms.harmless:
        record_run(act, "approval.not_needed", run, targets=(("plan", plan.id),), **data)
    return move_run(act, run, RunStatus.APPROVED, action="run.approved", data=data)


def record_attempt(act: Act, run: Run, deployment: Deployment, plan: Plan, call: EngineCall) -> Run:
    """Record ``attempted``: durable before the engine touches anything."""
    now = act.now()
    act.uow.calls.save(require_newest(act.uow, call).until(now + act.core.limits.apply_life))
    act.uow.deployments.save(deployment.changed(now, is_unsettled=True))
    resumed = run.status is RunStatus.APPLYING
    data: dict[str, Any] = {
        "plan_digest": plan.digest, "call": call.call_id, "state_before": run.state_before,
        "resumed": resumed,
    }  # fmt: skip
    if not resumed:
        return move_run(
            act, run, RunStatus.APPLYING, action="run.apply",
            stage=Stage.ATTEMPTED, data=data, started_at=now,
        )  # fmt: skip
    record_run(act, "run.apply", run, stage=Stage.ATTEMPTED, attempt=run.attempt, **data)
    sync_owner(act, run.deployment_id, run=run)  # the run stays where it is, and moves no owner
    return run


def begin_verifying(act: Act, run: Run) -> Run:
    """Move a run with nothing left to apply to its verification."""
    if run.status is RunStatus.VERIFYING:
        return run
    return move_run(act, run, RunStatus.VERIFYING, action=None)
