"""Settling a stack: what earlier calls of the deployment left is cleaned up and resolved.

What may be broken or cleared is only what is provably ours: processes that carry the mark of a call
of this deployment, locks that such a call took and whose process is gone, interrupted operations
that the cloud answers for. Anything else blocks the run, naming who holds the stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from control_plane.domain.calls import CallRecord
from control_plane.domain.deployment import Deployment, Desired
from control_plane.domain.engine import Drift, LockInfo, Resolved
from control_plane.domain.errors import EngineFailed, ForeignLock, PendingUnresolved, PlanMoved
from control_plane.domain.finding import OF_STATE
from control_plane.domain.plan import CLOUD
from control_plane.domain.resuming import changed_by_others, drift_beside
from control_plane.domain.run import TERMINAL_RUN, BlockedOn, Run, RunStatus
from control_plane.domain.timers import TimerKind
from control_plane.ports.engine import EngineCall, StackInspection
from control_plane.workflows.calling import CALLS_KEPT, Listener, write
from control_plane.workflows.core import Act, Core
from control_plane.workflows.drift import keep_findings, nothing
from control_plane.workflows.facts import Obstacle, must_read_cloud
from control_plane.workflows.moving import record_resumed
from control_plane.workflows.planning import plan_moved
from control_plane.workflows.recording import record_foreign_update, record_run

_AGAIN_OURS: Final = timedelta(seconds=30)  # a lock of ours is looked at again
AGAIN_FOREIGN: Final = timedelta(minutes=5)  # and somebody else's


def settle(core: Core, call: EngineCall, listener: Listener) -> Obstacle | None:
    """Make the stack fit to be used; returns what stands in the way instead.

    Raises what the engine raises.
    """
    with core.act() as act:
        calls = act.uow.queries.calls_of(call.deployment_id, limit=CALLS_KEPT)
        owners = {c.id: c for c in calls}
        run = act.uow.runs.need(call.run_id)
        is_verifying = run.status is RunStatus.VERIFYING
        reads = run.scope is None and must_read_cloud(act.uow, run)
    died = any(c.run_id == call.run_id and c.id != call.call_id and c.is_unanswered for c in calls)
    earlier = [c.id for c in calls if c.id != call.call_id and c.host == core.here.host]
    ended = core.engine.clean_up(call, end_calls=earlier, break_locks=())
    found = core.engine.inspect(call)
    held = [lock for lock in found.locks if not _may_break(lock, owners, core.clock.now())]
    if held:
        return write(core, call, partial(_held, held[0]))
    obstacle, is_ours = write(core, call, partial(_check_state, found, set(owners)))
    if obstacle is not None:
        return obstacle
    _break(core, call, found.locks, ended_pids=len(ended.ended_pids))
    if reads:
        _keep_what_differs(core, call, listener)
    obstacle = _changed_meanwhile(core, call, run, listener)
    if obstacle is not None:
        return obstacle
    try:
        within = run.scope.urns if run.scope is not None else ()
        resolved = core.engine.resolve(replace(call, scope=within), on_events=listener)
    except PendingUnresolved as error:
        write(core, call, _read)  # as far as it came
        return Obstacle(on=BlockedOn.PENDING_UNRESOLVED, error=error)
    after = core.engine.inspect(call)
    # A resolved state holds what the cloud has now, whatever was applied, so a look at the cloud
    # agrees with it. Whether it is as it should be, only a plan tells.
    is_moved = is_verifying and not core.engine.plan(call, on_events=listener).is_empty

    def store(act: Act, run: Run, _: Deployment) -> None:
        _record_resolved(act, run, resolved)
        is_resumed = died and run.status not in TERMINAL_RUN
        is_read = after.state_digest != found.state_digest and run.scope is None
        if is_read:
            _read(act, run, act.uow.deployments.need(run.deployment_id, lock=True))
        if not is_moved:
            _settled(act, run, call, after.state_digest, is_ours=is_ours, is_resumed=is_resumed)

    write(core, call, store)
    if not is_moved:
        return None
    why = PlanMoved("the cloud changed before it was verified", parts=["state"])
    return Obstacle(on=BlockedOn.STATE_MOVED, error=why)


def _break(core: Core, call: EngineCall, locks: Sequence[LockInfo], *, ended_pids: int) -> None:
    """Break locks that are ours, and record what was ended and broken."""
    if locks:
        core.engine.clean_up(call, end_calls=(), break_locks=[lock.id for lock in locks])
    if ended_pids or locks:
        write(core, call, partial(_record_clean_up, ended_pids, locks))


def _record_resolved(act: Act, run: Run, resolved: Sequence[Resolved]) -> None:
    if resolved:
        record_run(
            act, "pending.resolved", run,
            resources=[
                {"urn": r.urn, "type": r.type, "resolution": r.resolution, "proof": r.proof}
                for r in resolved
            ],
        )  # fmt: skip


def _keep_what_differs(core: Core, call: EngineCall, listener: Listener) -> None:
    """Keep as findings what the cloud has otherwise, before the state takes it over.

    Afterwards a look agrees with the state, also where the plan that takes it back is rejected.
    """
    present = replace(call, desired=Desired.PRESENT, known=(), everywhere=False)
    try:
        seen = core.engine.look(present, on_events=listener).drift
    except EngineFailed as error:
        if error.data.get("reason") != "pending_unresolved":
            raise
        return  # an interrupted call left something: what it changed is no drift

    def keep(act: Act, run: Run, _: Deployment) -> None:
        keep_findings(act, run, [each for each in seen if each.kind in OF_STATE], closes=nothing)

    write(core, call, keep)


def _changed_meanwhile(
    core: Core, call: EngineCall, run: Run, listener: Listener
) -> Obstacle | None:
    """Look at everything that exists, before the state takes over what the cloud has.

    What the interrupted apply touches stops it; what differs elsewhere is kept as findings.
    """
    if run.status is not RunStatus.APPLYING:
        return None
    with core.act() as act:
        plan = act.uow.plans.need(str(run.plan_id))
    every = tuple(sorted({operation.urn for operation in plan.operations}))
    seen = core.engine.compare(replace(call, scope=every), on_events=listener)
    beside, found = drift_beside(plan, seen), changed_by_others(plan, seen)
    if beside:
        write(core, call, partial(_keep_beside, beside))
    if not found:
        return None
    return Obstacle(on=BlockedOn.STATE_MOVED, error=plan_moved((CLOUD,), found))


def _keep_beside(seen: Sequence[Drift], act: Act, run: Run, _: Deployment) -> None:
    keep_findings(act, run, seen, closes=nothing)


def _read(act: Act, _: Run, deployment: Deployment) -> None:
    """Say that the state may have what nobody has decided on."""
    if not deployment.is_read:
        act.uow.deployments.save(deployment.changed(act.now(), is_read=True))


def _may_break(lock: LockInfo, owners: dict[str, CallRecord], now: datetime) -> bool:
    """Tell whether a lock is ours and the process that took it cannot write any more."""
    owner = owners.get(lock.call_id or "")
    if owner is None:
        return False
    if lock.alive is None:  # on another host: it has stopped its engine when its time is over
        return now >= owner.deadline_at
    return not lock.alive


def _held(lock: LockInfo, act: Act, run: Run, _: Deployment) -> Obstacle:
    holder = f"{lock.user or 'somebody'}@{lock.host or 'an unknown host'}"
    holder += f" (pid {lock.pid})" if lock.pid else ""
    ours = f", engine call {lock.call_id}" if lock.call_id else ""
    pause = _AGAIN_OURS if lock.call_id else AGAIN_FOREIGN
    act.uow.timers.set(TimerKind.RUN_TURN, run.id, act.now() + pause)
    error = ForeignLock(
        f"the stack is locked by {holder}{ours}",
        holder=holder, host=lock.host, pid=lock.pid, call=lock.call_id, lock=lock.id,
    )  # fmt: skip
    return Obstacle(on=BlockedOn.FOREIGN_LOCK, error=error)


def _check_state(
    found: StackInspection, ours: set[str], act: Act, run: Run, deployment: Deployment
) -> tuple[Obstacle | None, bool]:
    """Find out whether somebody else wrote the state since ours did, and tell whether it is ours.

    A lock of ours that is still there proves that nobody did: every writer takes the lock first.
    Without it the state must be one that our runs know, or one that a call of ours wrote last. A
    run that has not been approved plans from whatever is there, and the change is recorded.
    """
    known = {deployment.state_digest, run.state_before, *run.states_written}
    # the records of a removed stack were deleted by us
    is_forgotten = found.state_digest is None and deployment.removed_at is not None
    if found.locks or found.state_digest in known or found.written_by in ours or is_forgotten:
        _remember(act, run, found.state_digest)
        return None, True
    if run.status in {RunStatus.APPROVED, RunStatus.APPLYING, RunStatus.VERIFYING}:
        error = PlanMoved("the stack was changed by something other than a run", parts=["state"])
        return Obstacle(on=BlockedOn.STATE_MOVED, error=error), False
    record_foreign_update(act, run, deployment, found.state_digest)
    return None, False


def _remember(act: Act, run: Run, state_digest: str | None) -> None:
    """Keep that this state is ours, before the lock that proves it is broken."""
    if state_digest is None or state_digest in {run.state_before, *run.states_written}:
        return
    known = (*run.states_written, state_digest)
    act.uow.runs.save(run.changed(act.now(), states_written=known))


def _record_clean_up(
    processes: int, locks: Sequence[LockInfo], act: Act, run: Run, _: Deployment
) -> None:
    if processes:
        ids = [lock.id for lock in locks]
        record_run(act, "run.cleaned_up", run, processes=processes, locks=ids)
    for lock in locks:
        record_run(act, "lock.broken", run, lock=lock.id, call=lock.call_id)


def _settled(
    act: Act,
    run: Run,
    call: EngineCall,
    state_digest: str | None,
    *,
    is_ours: bool,
    is_resumed: bool,
) -> None:
    """Say that the stack is as our records say, and whether its run resumed after a death."""
    deployment = act.uow.deployments.need(run.deployment_id, lock=True)
    if is_ours:
        _remember(act, run, state_digest)
    if run.status is RunStatus.PLANNING:  # it has read the cloud, see ``must_read_cloud``
        run = act.uow.runs.need(run.id)
        act.uow.runs.save(run.changed(act.now(), state_before=state_digest))
    act.uow.deployments.save(
        deployment.changed(act.now(), is_unsettled=False, state_digest=state_digest)
    )
    found: dict[str, Any] = {
        "call": call.call_id, "state_digest": state_digest, "ours": is_ours
    }  # fmt: skip
    if is_resumed:
        run = act.uow.runs.need(run.id)
        act.uow.runs.save(run.changed(act.now(), error=None))  # what interrupted it is over
        record_resumed(act, run, **found)
    else:
        record_run(act, "stack.settled", run, **found)
