"""The phases of a run: plan, and apply what was planned.

Each phase may run again after a crash at any point: it looks at the run's row, which is the truth,
and goes on from there. Mode A plans and applies in one engine call; what needs a decision ends
after planning and goes on in ``apply_run`` when somebody decided.
"""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.audit import Stage
from control_plane.domain.errors import (
    Conflict,
    EngineFailed,
    EngineUnavailable,
    ForeignLock,
    InvalidInput,
)
from control_plane.domain.plan import is_empty
from control_plane.domain.run import TERMINAL_RUN, BlockedOn, Run, RunStatus
from control_plane.ports import EngineCall, EnginePlan, EngineResult, Happened
from control_plane.workflows import gates
from control_plane.workflows.core import WORKER, Core
from control_plane.workflows.finishing import finish
from control_plane.workflows.moving import (
    as_json,
    block_run,
    close_approval,
    expire_if_late,
    fail_run,
    locked_run,
    move_run,
    progress,
)
from control_plane.workflows.planning import ask_for_decision, fail_policy, keep_plan
from control_plane.workflows.preparing import prepare, register_call
from control_plane.workflows.recovery import recover

_WRITE_ATTEMPTS = 5
_APPLIES = frozenset({RunStatus.APPROVED, RunStatus.APPLYING, RunStatus.VERIFYING})


def plan_run(core: Core, run_id: str) -> None:
    """Phase: preview and policies; to the end when the approval rules ask for nobody."""
    with core.uow() as uow:
        run, deployment = locked_run(uow, run_id)
        if run.status is RunStatus.REQUESTED:
            run = move_run(
                core, uow, WORKER, run, RunStatus.PLANNING, action=None,
                started_at=run.started_at,
            )  # fmt: skip
            uow.commit()
    if run.status in _APPLIES:
        apply_run(core, run_id)
        return
    if run.status is not RunStatus.PLANNING:
        return
    try:
        call = prepare(core, WORKER, run_id)
        if call is None:
            return
        _end_earlier_calls(core, run, call)
        if core.rules.approvals.required(deployment.kind, run.kind):
            engine_plan = core.engine.plan(call, on_events=Listener(core, run_id))
            _decide_what_follows(core, run_id, engine_plan)
        else:
            gate = gates.AutomaticGate(core, run_id)
            result = core.engine.apply(
                call, gate=gate, saved_plan=None, on_events=Listener(core, run_id)
            )
            finish(core, run_id, result)
    except (EngineFailed, EngineUnavailable, ForeignLock, InvalidInput) as error:
        if _died(error) and _is_applying(core, run_id):
            apply_run(core, run_id)  # its process was killed after the gate: go on from there
        else:
            _engine_said_no(core, run_id, error)


def apply_run(core: Core, run_id: str) -> None:
    """Phase: compute the plan's parts again, and apply exactly the approved plan."""
    for _ in range(core.limits.engine_attempts):
        try:
            result = _apply_once(core, run_id)
        except (EngineFailed, EngineUnavailable, ForeignLock, InvalidInput) as error:
            if _died(error) and _is_applying(core, run_id):
                continue  # its process was killed: look at what it left, and go on
            _engine_said_no(core, run_id, error)
            return
        if result is not None:
            finish(core, run_id, result)
        return
    _engine_said_no(core, run_id, EngineFailed("the engine's process died again and again"))


def _apply_once(core: Core, run_id: str) -> EngineResult | None:
    with core.uow() as uow:
        run, deployment = locked_run(uow, run_id)
        if run.status not in _APPLIES:
            return None
        plan = uow.plans.get(run.plan_id or "")
        if plan is None or plan.saved_plan_ref is None:
            raise EngineFailed("the run has no plan to apply")
        if run.status is RunStatus.APPROVED and expire_if_late(core, uow, WORKER, run):
            uow.commit()
            return None
        call = register_call(core, uow, run, deployment)
        uow.commit()
    listener = Listener(core, run_id)
    if run.status is RunStatus.APPROVED:
        sealed = core.objects.get(plan.saved_plan_ref)
        saved = core.secrets.open(sealed, context=plan.id)
        gate = gates.ApprovedGate(core, run_id, plan)
        return core.engine.apply(call, gate=gate, saved_plan=saved, on_events=listener)
    if not recover(core, run_id, call, listener):
        return None
    return core.engine.apply(
        call, gate=gates.ResumeGate(core, run_id, plan), saved_plan=None, on_events=listener
    )


def _decide_what_follows(core: Core, run_id: str, engine_plan: EnginePlan) -> None:
    with core.uow() as uow:
        run, deployment = locked_run(uow, run_id)
        if run.status is not RunStatus.PLANNING:
            return  # canceled while the engine looked
        run, plan = keep_plan(core, uow, WORKER, run, engine_plan)
        if not plan.evaluation["ok"]:
            fail_policy(core, uow, WORKER, run, plan)
        elif is_empty(plan.operations):
            move_run(
                core, uow, WORKER, run, RunStatus.NO_CHANGES, action="run.no_changes",
                data={"plan": plan.id, "plan_digest": plan.digest},
            )  # fmt: skip
        else:
            rule = core.rules.approvals.required(
                deployment.kind, run.kind, irreversible=bool(plan.irreversible)
            )
            if rule is None:
                raise LookupError("the approval rules changed while the run was planned")
            ask_for_decision(core, uow, WORKER, run, plan, rule)
        uow.commit()


def _end_earlier_calls(core: Core, run: Run, call: EngineCall) -> None:
    """End what a dead attempt of this run left running; a preview holds no lock."""
    if run.call_ids:
        core.engine.clean_up(call, call_ids=run.call_ids, lock_ids=())


def _died(error: Exception) -> bool:
    return isinstance(error, EngineFailed) and error.data.get("reason") == "runner_died"


def _is_applying(core: Core, run_id: str) -> bool:
    with core.uow() as uow:
        run = uow.runs.get(run_id)
    return run is not None and run.status in {RunStatus.APPLYING, RunStatus.VERIFYING}


def _engine_said_no(
    core: Core,
    run_id: str,
    error: EngineFailed | EngineUnavailable | ForeignLock | InvalidInput,
) -> None:
    with core.uow() as uow:
        run, _ = locked_run(uow, run_id)
        if run.status in TERMINAL_RUN or run.status is RunStatus.BLOCKED:
            return
        phase = str(run.status)
        if isinstance(error, ForeignLock) and run.status is not RunStatus.VERIFYING:
            block_run(core, uow, WORKER, run, BlockedOn.FOREIGN_LOCK, error)
        elif run.cancel_requested and error.data.get("reason") == "canceled":
            close_approval(core, uow, run, ApprovalStatus.CANCELED)
            move_run(
                core, uow, WORKER, run, RunStatus.CANCELED, action="run.canceled",
                stage=Stage.COMPLETED, data={"during": phase}, error=as_json(error),
            )  # fmt: skip
        else:
            fail_run(core, uow, WORKER, run, as_json(error), phase=phase)
        uow.commit()


class Listener:
    """Keeps the engine's progress: lines for people, and the locks that are ours."""

    def __init__(self, core: Core, run_id: str) -> None:
        self._core = core
        self._run_id = run_id

    def __call__(self, events: Sequence[Happened]) -> None:
        """Store lines; a lock enters the run's row before a resource is touched.

        Raises ``Conflict`` when others add lines at the same moment again and again.
        """
        for attempt in range(1, _WRITE_ATTEMPTS + 1):
            try:
                self._store(events)
            except Conflict:  # somebody canceled the run, say, which is a line too
                if attempt == _WRITE_ATTEMPTS:
                    raise
            else:
                return

    def _store(self, events: Sequence[Happened]) -> None:
        core = self._core
        locks = [str(body["id"]) for kind, body in events if kind == "lock"]
        with core.uow() as uow:
            if locks:
                run, _ = locked_run(uow, self._run_id)
                known = dict.fromkeys((*run.lock_ids, *locks))
                uow.runs.save(run.changed(core.clock.now(), lock_ids=tuple(known)))
            progress(core, uow, self._run_id, *events)
            uow.commit()
