"""The executor: reads the facts of a run, asks ``next_step``, performs the step, and asks again.

One turn is one phase of the durable queue, at least once. A process that dies leaves rows from
which the next turn continues; what it left on the stack is settled first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final

import structlog

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
from control_plane.domain.next_step import Step, StepKind, next_step
from control_plane.domain.run import BlockedOn, Run, RunStatus
from control_plane.domain.timers import TimerKind
from control_plane.ports.engine import Applied, EngineCall, EngineResult
from control_plane.workflows.calling import Listener, close_call, patiently, write
from control_plane.workflows.core import Act, Core
from control_plane.workflows.ending import end_run, retry_later
from control_plane.workflows.facts import Findings, Obstacle, facts_of
from control_plane.workflows.gate import Gate, approve_by_rule, begin_verifying
from control_plane.workflows.moving import as_json, block_run, locked_run, move_run
from control_plane.workflows.placing import place
from control_plane.workflows.planning import ask_for_decision, keep_plan
from control_plane.workflows.recording import record_run
from control_plane.workflows.settling import AGAIN_FOREIGN, settle
from control_plane.workflows.turn import Turn, begin_turn, leave_run
from control_plane.workflows.verifying import keep_evidence, public_outputs

log = structlog.get_logger()
_ROWS_SECONDS: Final = 120.0  # that a step in rows waits for the database
_STEPS: Final = 40  # of one turn; more would be a loop
# reasons of an EngineFailed that say nothing of the stack: a process ended before it could
_DEATHS: Final = frozenset({"runner_died", "engine_died", "provider_died"})
_UNSETTLED: Final = "pending_unresolved"  # the engine found what an interrupted call left


def advance_run(core: Core, run_id: str) -> None:
    """Phase: take a run as far as it goes; does nothing for one that waits or has ended."""
    turn = patiently(lambda: begin_turn(core, run_id), seconds=_ROWS_SECONDS)
    if turn is None:
        return
    try:
        for _ in range(_STEPS):
            if not _advance(turn):
                break
        else:
            raise RuntimeError(f"{run_id} does not come to a wait or an end")
        patiently(lambda: leave_run(turn))
    except StaleCall as error:  # a newer call goes on with the run
        log.warning("call.stale", run=run_id, call=error.data.get("call"))


def _advance(turn: Turn) -> bool:
    """Do one step; returns False when there is nothing more to do now."""
    try:
        step, continues = patiently(lambda: _in_rows(turn), seconds=_ROWS_SECONDS)
    except (StaleCall, Conflict):
        raise
    except DomainError as error:
        if turn.findings.error is not None:
            raise  # this cannot be stored either
        turn.findings = Findings(error=error)
        return True
    by_engine = _BY_ENGINE.get(step.kind)
    if by_engine is not None:
        _call_engine(turn, by_engine)
        return True
    if not continues:
        turn.drop_call(CallOutcome.ENDED)
    return continues


def _in_rows(turn: Turn) -> tuple[Step, bool]:
    """Find the next step and do it if it changes rows alone; tells whether more follows."""
    with turn.core.act() as act:
        run, deployment = turn.locked(act)
        step = next_step(facts_of(act, run, deployment, turn.findings))
        continues = _do_in_rows(act, turn.findings, run, deployment, step)
        act.uow.commit()
    return step, continues


def _do_in_rows(act: Act, findings: Findings, run: Run, deployment: Deployment, step: Step) -> bool:
    match step.kind:
        case StepKind.PLACE:
            return _place(act, run, deployment)
        case StepKind.APPROVE:
            approve_by_rule(act, run, act.uow.plans.need(run.plan_id))
            return True
        case StepKind.ASK:
            ask_for_decision(act, run, deployment)
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
    core = turn.core
    with core.act() as act:
        run, deployment = locked_run(act.uow, turn.run_id)
    if not core.rules.approvals.always_asks(deployment.kind, run.kind):
        _apply(turn, call, listener)
        return
    engine_plan = core.engine.plan(call, on_events=listener)

    def store(act: Act, run: Run, _: Deployment) -> None:
        if run.status is RunStatus.PLANNING:
            keep_plan(act, run, engine_plan)

    write(core, call, store)


def _apply(turn: Turn, call: EngineCall, listener: Listener) -> None:
    """Apply what the gate lets through; of an interrupted apply what remains."""
    core = turn.core
    result = core.engine.apply(
        call,
        gate=Gate(core, call, turn.findings),
        on_applied=lambda applied: write(core, call, partial(_keep_applied, applied)),
        on_events=listener,
    )
    if result.look is not None:
        write(core, call, partial(_keep_look, call, result.look))
    elif result.outcome in {"failed", "canceled"}:
        error = dict(result.error or {"code": "engine_failed", "message": "the engine failed"})
        write(core, call, partial(_keep_failure, result, error))
        turn.findings.said = error
        turn.findings.was_canceled = result.outcome == "canceled"


def _verify(turn: Turn, call: EngineCall, listener: Listener) -> None:
    def begin() -> None:
        with turn.core.act() as act:
            run, _ = turn.locked(act)
            begin_verifying(act, run)
            act.uow.commit()

    patiently(begin)
    look = turn.core.engine.look(call, on_events=listener)
    write(turn.core, call, partial(_keep_look, call, look))


_BY_ENGINE: Final[Mapping[StepKind, Callable[[Turn, EngineCall, Listener], None]]] = {
    StepKind.SETTLE: _settle,
    StepKind.PLAN: _plan,
    StepKind.APPLY: _apply,
    StepKind.VERIFY: _verify,
}


def _call_engine(turn: Turn, step: Callable[[Turn, EngineCall, Listener], None]) -> None:
    """Do a step with the turn's call; how it failed becomes a fact of the turn or of the rows."""
    turn.findings = Findings()
    listener: Listener | None = None
    try:
        call = turn.engine_call()
        listener = Listener(turn.core, call)
        step(turn, call, listener)
        listener.flush()
    except StaleCall:
        raise
    except ForeignLock as error:
        patiently(lambda: _unsettle(turn, look_again=AGAIN_FOREIGN))
        turn.findings.obstacle = Obstacle(on=BlockedOn.FOREIGN_LOCK, error=error)
    except DomainError as error:
        reason = error.data.get("reason") if isinstance(error, EngineFailed) else None
        if reason in _DEATHS:
            died = as_json(error)
            patiently(lambda: _count_death(turn, died))
        elif reason == _UNSETTLED:
            patiently(lambda: _unsettle(turn))
        elif reason == "canceled":
            turn.findings.was_canceled = True
        else:
            turn.findings.error = error


def _count_death(turn: Turn, error: Mapping[str, Any]) -> None:
    """A process of the call died: the next call of this turn looks at what it left."""
    with turn.core.act() as act:
        run, _ = turn.locked(act)
        if turn.call is not None:
            close_call(act, turn.call, CallOutcome.DIED)
        act.uow.runs.save(run.changed(act.now(), deaths=run.deaths + 1, error=error))
        act.uow.commit()
    turn.call = None


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
