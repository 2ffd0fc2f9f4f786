"""Going on after a dead attempt, under the approval it had.

What may be broken or cleared is only what is provably ours: processes that carry a call id of this
run, locks whose uuid this run recorded, interrupted creates that the cloud answers for. Anything
else blocks the run for an operator.
"""

from __future__ import annotations

from control_plane.domain.audit import Stage
from control_plane.domain.errors import ForeignLock, PendingUnresolved, PlanMoved
from control_plane.domain.run import BlockedOn, Run, RunStatus
from control_plane.ports import EngineCall, Leftovers, OnEvents, UnitOfWork
from control_plane.workflows.core import WORKER, Core
from control_plane.workflows.moving import block_run, locked_run
from control_plane.workflows.recording import record


def recover(core: Core, run_id: str, call: EngineCall, on_events: OnEvents) -> bool:
    """Make the stack fit to be applied again; returns False when the run is blocked now."""
    run = _read(core, run_id)
    ended = core.engine.clean_up(call, call_ids=run.call_ids, lock_ids=())
    left = core.engine.leftovers(call, known_locks=run.lock_ids)
    if not _may_go_on(core, run_id, left):
        return False
    ours = [lock["id"] for lock in left.locks if lock["ours"]]
    if ours:
        core.engine.clean_up(call, call_ids=(), lock_ids=ours)
    _record_clean_up(core, run_id, ended.get("ended_pids") or (), ours)
    if left.pending and not _resolve(core, run_id, call, on_events):
        return False
    with core.uow() as uow:
        run, _ = locked_run(uow, run_id)
        resumed = run.changed(core.clock.now(), attempt=run.attempt + 1)
        uow.runs.save(resumed)
        record(
            core, uow, WORKER, "run.resumed",
            tree=run.tenant_id, targets=(("run", run.id),), run=run.id,
            phase=str(run.status), call=call.call_id, state_digest=left.state_digest,
            ours=bool(ours), attempt=resumed.attempt,
        )  # fmt: skip
        uow.commit()
    return True


def _read(core: Core, run_id: str) -> Run:
    with core.uow() as uow:
        run, _ = locked_run(uow, run_id)
    return run


def _may_go_on(core: Core, run_id: str, left: Leftovers) -> bool:
    """Refuse when somebody else holds the stack, or wrote its state after us.

    A lock of ours that is still there proves that nobody wrote in between: every writer takes the
    lock first. Without it the state must be one that this run knows, or one that a call of this
    run wrote last, which the engine's own history tells.
    """
    with core.uow() as uow:
        run, _ = locked_run(uow, run_id)
        foreign = [lock for lock in left.locks if not lock["ours"]]
        held = any(lock["ours"] for lock in left.locks)
        known = {run.state_before, *run.states_written}
        if foreign:
            holder = str(foreign[0].get("holder") or "unknown")
            error = ForeignLock(f"the stack is locked by {holder}", holder=holder)
            block_run(core, uow, WORKER, run, BlockedOn.FOREIGN_LOCK, error)
        elif not held and left.state_digest not in known and left.written_by not in run.call_ids:
            moved = PlanMoved("the stack was changed by something that is no run", parts=["state"])
            block_run(core, uow, WORKER, run, BlockedOn.STATE_MOVED, moved, part="state")
        else:
            _remember_state(core, uow, run, left.state_digest)
            uow.commit()
            return True
        uow.commit()
    return False


def _remember_state(core: Core, uow: UnitOfWork, run: Run, state_digest: str | None) -> None:
    """Keep that this state is ours, before the lock that proves it is broken."""
    if state_digest is None or state_digest in {run.state_before, *run.states_written}:
        return
    known = (*run.states_written, state_digest)
    uow.runs.save(run.changed(core.clock.now(), states_written=known))


def _record_clean_up(
    core: Core, run_id: str, pids: tuple[int, ...] | list[int], locks: list[str]
) -> None:
    with core.uow() as uow:
        run, _ = locked_run(uow, run_id)
        if pids:
            record(
                core, uow, WORKER, "run.cleaned_up",
                tree=run.tenant_id, targets=(("run", run.id),), run=run.id,
                calls=list(run.call_ids), processes=len(pids), locks=locks,
            )  # fmt: skip
        for lock in locks:
            record(
                core, uow, WORKER, "lock.broken",
                tree=run.tenant_id, targets=(("run", run.id),), run=run.id, lock=lock,
            )  # fmt: skip
        uow.commit()


def _resolve(core: Core, run_id: str, call: EngineCall, on_events: OnEvents) -> bool:
    try:
        resolved = core.engine.resolve_pending(call, on_events=on_events)
    except PendingUnresolved as error:
        with core.uow() as uow:
            run, _ = locked_run(uow, run_id)
            block_run(core, uow, WORKER, run, BlockedOn.PENDING_UNRESOLVED, error)
            uow.commit()
        return False
    with core.uow() as uow:
        run, _ = locked_run(uow, run_id)
        record(
            core, uow, WORKER, "pending.resolved",
            tree=run.tenant_id, targets=(("run", run.id),), stage=Stage.COMPLETED, run=run.id,
            resources=[{key: str(value) for key, value in item.items()} for item in resolved],
        )  # fmt: skip
        uow.commit()
    return True


def resume_blocked(run: Run) -> RunStatus:
    """Return where a blocked run goes on: the phase it was blocked in."""
    if run.blocked_from in {RunStatus.APPROVED, RunStatus.APPLYING}:
        return run.blocked_from
    return RunStatus.REQUESTED
