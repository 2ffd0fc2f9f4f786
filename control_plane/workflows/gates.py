"""Gates: what stands between what the engine would do and doing it.

The engine asks a gate after its preview, in the same call. A gate stores what it decides before it
answers, so that ``attempted`` is durable before anything is called.
"""

from __future__ import annotations

from typing import Any

from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.audit import Stage
from control_plane.domain.errors import PlanMoved
from control_plane.domain.plan import Plan, beyond, is_empty, moved_parts
from control_plane.domain.run import BlockedOn, Run, RunStatus
from control_plane.ports import EnginePlan, UnitOfWork
from control_plane.workflows.core import WORKER, Core
from control_plane.workflows.moving import (
    block_run,
    close_approval,
    expire_if_late,
    locked_run,
    move_run,
)
from control_plane.workflows.planning import ask_for_decision, fail_policy, keep_plan, present_parts
from control_plane.workflows.recording import record

# what an interrupted attempt leaves may differ in these; the rest binds as before
RESUME_MAY_MOVE = frozenset({"operations", "state"})


class AutomaticGate:
    """For what needs no decision: stores the plan, lets the policies judge, goes on."""

    def __init__(self, core: Core, run_id: str) -> None:
        self._core = core
        self._run_id = run_id

    def __call__(self, engine_plan: EnginePlan) -> bool:
        """Return whether to apply; the run's row says why not."""
        core = self._core
        with core.uow() as uow:
            run, deployment = locked_run(uow, self._run_id)
            if run.status is not RunStatus.PLANNING:
                return False  # canceled while the engine looked
            run, plan = keep_plan(core, uow, WORKER, run, engine_plan)
            rule = core.rules.approvals.required(
                deployment.kind, run.kind, irreversible=bool(plan.irreversible)
            )
            proceed = plan.evaluation["ok"] and not is_empty(plan.operations) and rule is None
            if not plan.evaluation["ok"]:
                fail_policy(core, uow, WORKER, run, plan)
            elif is_empty(plan.operations):
                move_run(
                    core, uow, WORKER, run, RunStatus.NO_CHANGES, action="run.no_changes",
                    data={"plan": plan.id, "plan_digest": plan.digest},
                )  # fmt: skip
            elif rule is not None:
                ask_for_decision(core, uow, WORKER, run, plan, rule)
            else:
                run = move_run(
                    core, uow, WORKER, run, RunStatus.APPROVED, action="run.approved",
                    data={
                        "plan": plan.id, "plan_digest": plan.digest, "rule": "no_decision_needed",
                    },
                )  # fmt: skip
                attempt(core, uow, run, plan, resumed=False)
            uow.commit()
        return bool(proceed)


class ApprovedGate:
    """For what a person approved: every part must be what was approved."""

    def __init__(self, core: Core, run_id: str, plan: Plan) -> None:
        self._core = core
        self._run_id = run_id
        self._plan = plan

    def __call__(self, engine_plan: EnginePlan) -> bool:
        """Return whether to apply; a part that moved is named and nothing is called."""
        core = self._core
        with core.uow() as uow:
            run, deployment = locked_run(uow, self._run_id)
            if run.status is not RunStatus.APPROVED or run.cancel_requested:
                return False
            if expire_if_late(core, uow, WORKER, run):
                uow.commit()
                return False
            moved = moved_parts(self._plan.parts, present_parts(core, deployment, engine_plan))
            if moved:
                refuse_moved(core, uow, run, moved)
                uow.commit()
                return False
            close_approval(core, uow, run, ApprovalStatus.CONSUMED)
            attempt(core, uow, run, self._plan, resumed=False)
            uow.commit()
        return True


class ResumeGate:
    """For an attempt that goes on: what remains must be inside the approved plan."""

    def __init__(self, core: Core, run_id: str, plan: Plan) -> None:
        self._core = core
        self._run_id = run_id
        self._plan = plan

    def __call__(self, engine_plan: EnginePlan) -> bool:
        """Return whether to go on under the same approval."""
        core = self._core
        outside = beyond(self._plan, engine_plan.operations, engine_plan.resources)
        with core.uow() as uow:
            run, deployment = locked_run(uow, self._run_id)
            if run.status not in {RunStatus.APPLYING, RunStatus.VERIFYING}:
                return False
            present = present_parts(core, deployment, engine_plan)
            moved = tuple(
                part
                for part in moved_parts(self._plan.parts, present)
                if part not in RESUME_MAY_MOVE
            )
            if outside or moved:
                refuse_moved(core, uow, run, moved or ("operations",))
                uow.commit()
                return False
            attempt(core, uow, run, self._plan, resumed=True)
            uow.commit()
        return True


def refuse_moved(core: Core, uow: UnitOfWork, run: Run, parts: tuple[str, ...]) -> None:
    """Block a run whose approved plan is no longer what would be applied."""
    close_approval(core, uow, run, ApprovalStatus.SUPERSEDED)
    error = PlanMoved(f"moved since the approval: {', '.join(parts)}", parts=list(parts))
    block_run(core, uow, WORKER, run, BlockedOn.STATE_MOVED, error, part=parts[0])


def attempt(core: Core, uow: UnitOfWork, run: Run, plan: Plan, *, resumed: bool) -> Run:
    """Record ``attempted``: durable before the engine touches anything."""
    data: dict[str, Any] = {
        "plan_digest": plan.digest,
        "call": run.call_ids[-1] if run.call_ids else None,
        "state_before": run.state_before,
        "resumed": resumed,
    }
    now = core.clock.now()
    if run.status is RunStatus.APPROVED:
        return move_run(
            core, uow, WORKER, run, RunStatus.APPLYING, action="run.apply",
            stage=Stage.ATTEMPTED, data={k: v for k, v in data.items() if v is not None},
            started_at=run.started_at or now,
        )  # fmt: skip
    record(
        core, uow, WORKER, "run.apply",
        tree=run.tenant_id, targets=(("run", run.id),), stage=Stage.ATTEMPTED, run=run.id,
        **data,
    )  # fmt: skip
    return run
