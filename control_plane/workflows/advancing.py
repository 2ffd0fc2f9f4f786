"""The executor: reads the facts of a run, asks ``next_step``, performs the step, and asks again.

One turn is one phase of the durable queue, at least once. A process that dies leaves rows from
which the next turn continues; what it left on the stack is settled first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final

from control_plane.domain.audit import Stage
from control_plane.domain.calls import CallOutcome
from control_plane.domain.deployment import Deployment
from control_plane.domain.engine import Look
from control_plane.domain.errors import (
    Conflict,
    DomainError,
    EngineFailed,
    ForeignLock,
    HubUnavailable,
    NoAccount,
    StaleCall,
)
from control_plane.domain.kinds import KINDS
from control_plane.domain.next_step import Step, StepKind, Waker, next_step
from control_plane.domain.run import BlockedOn, Run, RunStatus
from control_plane.domain.timers import TimerKind
from control_plane.logging import get_logger
from control_plane.ports.engine import Applied, EngineCall, EnginePlan, EngineResult
from control_plane.workflows.calling import PATIENCE_SECONDS, Listener, patiently, write
from control_plane.workflows.core import Act, Core
from control_plane.workflows.ending import end_run, retry_later
from control_plane.workflows.facts import Findings, Obstacle, facts_of
from control_plane.workflows.gate import Gate, approve_by_rule, begin_verifying
from control_plane.workflows.holding import on_hold
from control_plane.workflows.moving import (
    as_json,
    block_run,
    locked_run,
    move_run,
    tell_interrupted,
)
from control_plane.workflows.opening import wait_for_opening
from control_plane.workflows.placing import place
from control_plane.workflows.planning import ask_for_decision, keep_plan
from control_plane.workflows.recording import record_run
from control_plane.workflows.settling import AGAIN_FOREIGN, settle
from control_plane.workflows.turn import Turn, begin_turn
from control_plane.workflows.verifying import keep_evidence, public_outputs

log = get_logger()
_ROWS_SECONDS: Final = 120.0  # that a step in rows waits for the database
_STEPS: Final = 40  # of one turn; more would be a loop
_UNSETTLED: Final = "pending_unresolved"  # the engine found what an interrupted call left


def advance_run(core: Core, run_id: str) -> None:
    """Phase: take a run as far as it goes; does nothing for one that waits or has ended."""
    turn = patiently(lambda: begin_turn(core, run_id), seconds=_ROWS_SECONDS)
    if turn is None:
        return
    try:
        for _ in range(_STEPS):
            step = _next_of_engine(turn)
            if step is None:
                return
            _call_engine(turn, _BY_ENGINE[step])
    except StaleCall as error:  # a newer call goes on with the run
        log.warning("call.stale", run=run_id, call=error.data.get("call"))
        return
    raise RuntimeError(f"{run_id} does not come to a wait or an end")


def _next_of_engine(turn: Turn) -> StepKind | None:
    """Do what changes rows alone; returns the engine's next step, None where the turn ends."""
    seconds = _ROWS_SECONDS if turn.found is None else PATIENCE_SECONDS
    try:
        return patiently(lambda: _in_rows(turn), seconds=seconds)
    except (StaleCall, Conflict):
        raise
    except DomainError as error:
        if turn.findings.error is not None:
            raise  # this cannot be stored either
        turn.findings, turn.found = Findings(error=error), None
        return _next_of_engine(turn)


def _in_rows(turn: Turn) -> StepKind | None:
    """Store what the engine found and take every step up to its next one, in one transaction.

    That one's call is registered with them; the turn's call is closed where the turn ends.
    """
    with turn.core.act() as act:
        run, deployment = turn.locked(act)
        if turn.found is not None:
            turn.found(act, run, deployment)
            run, deployment = locked_run(act.uow, run.id)
        step = next_step(facts_of(act, run, deployment, turn.findings))
        while step.kind not in _BY_ENGINE:
            if not _do_in_rows(act, turn.findings, run, deployment, step):
                break
            run, deployment = locked_run(act.uow, run.id)
            step = next_step(facts_of(act, run, deployment, turn.findings))
        call = None
        if step.kind in _BY_ENGINE:
            call = turn.engine_call(act, run, deployment)
        else:
            _leave(act, turn)
        if step.kind is StepKind.VERIFY:
            begin_verifying(act, run)
        act.uow.commit()
    turn.found = None
    turn.keep_call(call)
    return step.kind if call is not None else None


def _leave(act: Act, turn: Turn) -> None:
    """Say that nobody works on the run."""
    turn.close_call(act, CallOutcome.ENDED)
    run = act.uow.runs.need(turn.run_id)
    if run.is_working:
        act.uow.runs.save(run.changed(act.now(), is_working=False))


def _do_in_rows(act: Act, findings: Findings, run: Run, deployment: Deployment, step: Step) -> bool:
    match step.kind:
        case StepKind.PLACE:
            return _place(act, run, deployment)
        case StepKind.APPROVE:
            approve_by_rule(act, run, deployment, act.uow.plans.need(run.plan_id))
            return True
        case StepKind.ASK:
            ask_for_decision(act, run, deployment)
        case StepKind.WAIT if Waker.WINDOW in step.wakers:
            wait_for_opening(act, run)
        case StepKind.BLOCK if step.on is BlockedOn.HOLD:
            block_run(act, run, BlockedOn.HOLD, on_hold(act.uow, deployment))
        case StepKind.BLOCK:
            if findings.obstacle is None:
                raise LookupError(run.id)
            block_run(act, run, findings.obstacle.on, findings.obstacle.error)
        case StepKind.RETRY_LATER:
            retry_later(act, run, findings.error)
        case StepKind.END:
            end_run(act, run, deployment, step.end or RunStatus.ERRORED, findings)
    return False


def _place(act: Act, run: Run, deployment: Deployment) -> bool:
    if KINDS[run.kind].drafts:
        move_run(act, run, RunStatus.PLANNING, action=None)
        return True
    if run.scope is not None and not run.scope.adopts:  # back to what was applied
        move_run(act, run, RunStatus.PLANNING, action=None, spec_number=deployment.applied_spec)
        return True
    try:
        deployment = place(act, run, deployment)
    except (HubUnavailable, NoAccount) as error:
        # in the transaction that saw no room: whoever makes room next sees this run wait
        block_run(act, run, BlockedOn(error.code), error)
        return False
    number = deployment.spec_number
    move_run(act, run, RunStatus.PLANNING, action=None, spec_number=number)
    return True


# --- steps that call the engine ----------------------------------------------------------------
def _settle(turn: Turn, call: EngineCall, listener: Listener) -> None:
    turn.findings.obstacle = settle(turn.core, call, listener)


def _plan(turn: Turn, call: EngineCall, listener: Listener) -> None:
    """Preview; in one call with the apply where the rules may let it apply at once."""
    if not turn.always_asks:
        _apply(turn, call, listener, is_planned=False)
        return
    turn.found = partial(_keep_plan, turn.core.engine.plan(call, on_events=listener))


def _apply(turn: Turn, call: EngineCall, listener: Listener, *, is_planned: bool = True) -> None:
    """Apply what the gate lets through; of an interrupted apply what remains.

    Of a plan that was made in an earlier call the cloud is asked whether it still holds.
    """
    core = turn.core
    result = core.engine.apply(
        call,
        gate=Gate(core, call, turn.findings),
        on_applied=lambda applied: write(core, call, partial(_keep_applied, applied)),
        on_events=listener,
        compares=is_planned,
    )
    if result.look is not None:
        turn.found = partial(_keep_look, call, result.look)
    elif result.outcome in {"failed", "canceled"}:
        error = dict(result.error or {"code": "engine_failed", "message": "the engine failed"})
        error.setdefault("remedy", EngineFailed.remedy)
        turn.found = partial(_keep_failure, result, error)
        turn.findings.said = error
        turn.findings.was_canceled = result.outcome == "canceled"


def _verify(turn: Turn, call: EngineCall, listener: Listener) -> None:
    turn.found = partial(_keep_look, call, turn.core.engine.look(call, on_events=listener))


_BY_ENGINE: Final[Mapping[StepKind, Callable[[Turn, EngineCall, Listener], None]]] = {
    StepKind.SETTLE: _settle,
    StepKind.PLAN: _plan,
    StepKind.APPLY: _apply,
    StepKind.VERIFY: _verify,
}


def _call_engine(turn: Turn, step: Callable[[Turn, EngineCall, Listener], None]) -> None:
    """Do a step with the turn's call; how it failed becomes a fact of the turn or of the rows."""
    turn.findings = Findings()
    call = turn.call
    if call is None:
        raise LookupError(turn.run_id)
    listener = Listener(turn.core, call)
    try:
        step(turn, call, listener)
        listener.flush()
    except StaleCall:
        raise
    except ForeignLock as error:
        if turn.looks:  # nothing of it waits for the lock, and the next look comes by itself
            turn.findings.error = error
            return
        patiently(lambda: _unsettle(turn, look_again=AGAIN_FOREIGN))
        turn.findings.obstacle = Obstacle(on=BlockedOn.FOREIGN_LOCK, error=error)
    except DomainError as error:
        reason = error.data.get("reason") if isinstance(error, EngineFailed) else None
        if isinstance(error, EngineFailed) and error.is_death:
            died = as_json(error)
            patiently(lambda: _count_death(turn, died))
        elif reason == _UNSETTLED and not turn.looks:
            patiently(lambda: _unsettle(turn))
        elif reason == "canceled":
            turn.findings.was_canceled = True
        else:
            turn.findings.error = error


def _count_death(turn: Turn, error: Mapping[str, Any]) -> None:
    """A process of the call died: the next call of this turn looks at what it left."""
    with turn.core.act() as act:
        run, _ = turn.locked(act)
        turn.close_call(act, CallOutcome.DIED)
        act.uow.runs.save(run.changed(act.now(), deaths=run.deaths + 1, error=error))
        tell_interrupted(act, run, str(error["message"]))
        act.uow.commit()
    turn.keep_call(None)


def _unsettle(turn: Turn, *, look_again: timedelta | None = None) -> None:
    with turn.core.act() as act:
        _, deployment = turn.locked(act)
        act.uow.deployments.save(deployment.changed(act.now(), is_unsettled=True))
        if look_again is not None:
            act.uow.timers.set(TimerKind.RUN_TURN, turn.run_id, act.now() + look_again)
        act.uow.commit()


# --- what an engine call did -------------------------------------------------------------------
def _keep_applied(applied: Applied, act: Act, run: Run, deployment: Deployment) -> None:
    """Store what an apply made, before anybody looks at it."""
    if run.status is not RunStatus.APPLYING:
        return
    now = act.now()
    run = run.changed(now, states_written=_with(run.states_written, applied.state_digest))
    act.uow.runs.save(run)
    act.uow.deployments.save(
        deployment.changed(
            now,
            outputs=public_outputs(applied),
            state_digest=applied.state_digest,
            is_unsettled=False,
        )
    )
    _record_apply(act, run, Stage.COMPLETED, applied.summary, applied.state_digest,
                  outputs=sorted(applied.outputs))  # fmt: skip
    begin_verifying(act, run)


def _keep_plan(plan: EnginePlan, act: Act, run: Run, _: Deployment) -> None:
    if run.status is RunStatus.PLANNING:
        keep_plan(act, run, plan)


def _keep_look(call: EngineCall, look: Look, act: Act, run: Run, _: Deployment) -> None:
    if run.status is RunStatus.VERIFYING:
        keep_evidence(act, run, call, look)


def _keep_failure(
    result: EngineResult, error: Mapping[str, Any], act: Act, run: Run, deployment: Deployment
) -> None:
    """Store how an apply failed; the stack is unsettled unless the engine called nothing."""
    if run.status is not RunStatus.APPLYING:
        return
    now = act.now()
    states = _with(run.states_written, result.state_digest)
    run = run.changed(now, states_written=states, error=error)
    act.uow.runs.save(run)
    act.uow.deployments.save(deployment.changed(now, is_unsettled=result.changed))
    _record_apply(act, run, Stage.FAILED, result.summary, result.state_digest,
                  code=str(error["code"]))  # fmt: skip


def _record_apply(
    act: Act,
    run: Run,
    stage: Stage,
    summary: Mapping[str, int],
    state_digest: str | None,
    **data: Any,
) -> None:
    plan = act.uow.plans.need(run.plan_id)
    record_run(
        act, "run.apply", run, targets=(("deployment", run.deployment_id),),
        stage=stage, plan_digest=plan.digest,
        summary={key.replace("-", "_"): n for key, n in summary.items()},
        state_digest=state_digest, **data,
    )  # fmt: skip


def _with(states: tuple[str, ...], state: str | None) -> tuple[str, ...]:
    return states if state is None or state in states else (*states, state)
