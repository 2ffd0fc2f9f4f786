"""What workers do: a turn begins, an engine call goes to its next point, an accident happens.

The points are those at which the scripted engine can be held: before a plan, an apply, a look and a
settling read anything (``plan``, ``apply``, ``look``, ``settle``), when the gate has let an apply
through and the stack is locked (``change``), and when all of it is made and stored (``verify``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.next_step import (
    ACTIVE,
    ErrorFact,
    PlanFact,
    StepKind,
    next_step,
)
from control_plane.domain.run import BlockedOn, RunStatus
from tests.model.rows import (
    NOTHING_FOUND,
    Found,
    facts_of,
    in_rows,
    moved,
    put,
    shown,
    with_approval,
)
from tests.model.situation import (
    IDLE,
    Content,
    Evidence,
    Lock,
    Run,
    Scope,
    Situation,
    Tenant,
    Worker,
    after_one,
    left_to_do,
)

Action = tuple[str, ...]
Next = tuple[Action, Situation]
POINTS: Final = {StepKind.SETTLE: "settle", StepKind.APPLY: "apply", StepKind.VERIFY: "look"}


def acts_of_workers(scope: Scope, situation: Situation) -> Iterator[Next]:
    """Yield what workers may do next."""
    for number, worker in enumerate(situation.workers):
        if worker.point:
            yield ("continue", f"w{number}"), continued(scope, situation, number)
            continue
        for at, tenant in enumerate(situation.tenants):
            if any(other.owns and other.tenant == at for other in situation.workers):
                continue  # the queue gives out one turn of a deployment at a time
            for run, found in enumerate(tenant.runs):
                if found.waits:
                    begun_ = begun(scope, situation, number, at, run)
                    yield ("begin", f"w{number}", f"t{at}", f"r{run}"), begun_


def accidents(scope: Scope, situation: Situation) -> Iterator[Next]:
    """Yield what may befall a worker in the middle of a call."""
    if not situation.budget.accidents:
        return
    for number, worker in enumerate(situation.workers):
        if not worker.point:
            continue
        name, after = f"w{number}", situation.spend("accidents")
        yield ("crash", name), crashed(after, number)
        if worker.owns:
            yield ("cut_off", name), cut_off(after, number)
        if worker.point == "change" and is_newest(situation, number) and not worker.stopping:
            tenant = situation.tenants[worker.tenant]
            if left_to_do(tenant.content, tenant.runs[worker.run].spec) > 1:
                half = _changed(after, number, half=True)
                yield ("crash_halfway", name), crashed(half, number)
                yield ("engine_dies", name), engine_died(scope, half, number)
            yield ("crash_unheard", name), crashed(_changed(after, number), number)


def is_newest(situation: Situation, number: int) -> bool:
    """Tell whether the call of a worker still owns its stack."""
    return situation.tenants[situation.workers[number].tenant].call == number


# --- turns ---------------------------------------------------------------------------------------
def begun(scope: Scope, situation: Situation, number: int, at: int, run: int) -> Situation:
    """A worker takes a turn from the queue."""
    tenant = situation.tenants[at]
    taken = put(tenant, run, tenant.runs[run]._replace(waits=False))
    situation = situation.with_tenant(at, taken)
    if taken.runs[run].status not in ACTIVE:
        return situation
    worker = Worker(tenant=at, run=run, owns=True)
    return _go_on(scope, situation.with_worker(number, worker), number)


def _go_on(
    scope: Scope, situation: Situation, number: int, found: Found = NOTHING_FOUND
) -> Situation:
    """Take the steps in rows; the worker is at its next point then, or its turn has ended."""
    worker = situation.workers[number]
    situation, step = in_rows(scope, situation, worker.tenant, worker.run, found)
    tenant = situation.tenants[worker.tenant]
    if step is None:
        call = -1 if tenant.call == number else tenant.call
        situation = situation.with_tenant(worker.tenant, tenant._replace(call=call))
        return situation.with_worker(number, IDLE)
    asks = bool(scope.needed_for(tenant))
    point = POINTS.get(step, "plan" if asks else "apply")
    situation = situation.with_tenant(worker.tenant, tenant._replace(call=number))
    return situation.with_worker(number, worker._replace(point=point))


def continued(scope: Scope, situation: Situation, number: int) -> Situation:
    """An engine call goes to its next point, or to the end of its turn."""
    worker = situation.workers[number]
    if not is_newest(situation, number):
        return _stale(situation, number)
    tenant = situation.tenants[worker.tenant]
    if worker.point in {"plan", "apply", "look"} and (tenant.lock or tenant.content.pending):
        return _unfit(scope, situation, number)
    return _BY_POINT[worker.point](scope, situation, number)


def _stale(situation: Situation, number: int) -> Situation:
    """It is refused to write, and ends; an engine at work hears of it after its next operation."""
    worker = situation.workers[number]
    if worker.point == "change":
        tenant = situation.tenants[worker.tenant]
        run = tenant.runs[worker.run]
        if not worker.stopping:
            content = after_one(tenant.content, run.spec, interrupted=False)
            tenant = tenant._replace(stack=(content,))
        tenant = tenant._replace(lock=())
        situation = situation.with_tenant(worker.tenant, tenant)
    return situation.with_worker(number, IDLE)


def _unfit(scope: Scope, situation: Situation, number: int) -> Situation:
    """Somebody holds the stack, or an operation is pending: nothing is read."""
    at = situation.workers[number].tenant
    tenant = situation.tenants[at]
    if tenant.runs[situation.workers[number].run].looks:
        return _go_on(scope, situation, number, Found(error=ErrorFact.FINAL))
    situation = situation.with_tenant(at, tenant._replace(unsettled=True))
    obstacle = BlockedOn.FOREIGN_LOCK if tenant.lock else None
    return _go_on(scope, situation, number, Found(obstacle=obstacle))


# --- points --------------------------------------------------------------------------------------
def _planned(scope: Scope, situation: Situation, number: int) -> Situation:
    return _go_on(scope, _with_plan(situation, number), number)


def _with_plan(situation: Situation, number: int) -> Situation:
    at, run = situation.workers[number].tenant, situation.workers[number].run
    tenant = situation.tenants[at]
    found = tenant.runs[run]
    if found.status is not RunStatus.PLANNING:
        return situation
    plan = found._replace(plan=(tenant.content,), state_before=(tenant.content,))
    return situation.with_tenant(at, put(tenant, run, plan))


def _gate(scope: Scope, situation: Situation, number: int) -> Situation:
    """The engine has previewed, and asks whether to apply."""
    worker = situation.workers[number]
    at, run = worker.tenant, worker.run
    if worker.stopping:
        return _stopped(scope, situation, number)
    is_first = situation.tenants[at].runs[run].status is RunStatus.PLANNING
    if is_first:
        situation = _with_plan(situation, number)
    tenant = situation.tenants[at]
    if not tenant.runs[run].plan:
        return _go_on(scope, situation, number)
    parts = () if is_first else moved_parts(tenant, run)
    remaining = None
    if tenant.runs[run].status is RunStatus.APPLYING:
        is_done = not left_to_do(tenant.content, tenant.runs[run].spec)
        remaining = PlanFact.EMPTY if is_done else PlanFact.CHANGES
    facts = facts_of(scope, tenant, run, remaining=remaining, moved=bool(parts))
    step = next_step(facts)
    if is_first and step.kind is StepKind.APPROVE:
        tenant = put(tenant, run, moved(tenant.runs[run], RunStatus.APPROVED))
        step = next_step(facts_of(scope, tenant, run))
    situation = situation.with_tenant(at, tenant)
    if step.kind is StepKind.APPLY:
        return _attempted(situation, number)
    if step.kind is StepKind.VERIFY:
        if tenant.runs[run].status is not RunStatus.VERIFYING:
            tenant = put(tenant, run, moved(tenant.runs[run], RunStatus.VERIFYING))
        return _looked(scope, situation.with_tenant(at, tenant), number)
    obstacle = BlockedOn.STATE_MOVED if parts else None
    return _go_on(scope, situation, number, Found(obstacle=obstacle, by_cloud="cloud" in parts))


def moved_parts(tenant: Tenant, number: int) -> tuple[str, ...]:
    """Name what is not as it was planned; an apply's own changes do not count when it resumes."""
    run, content = tenant.runs[number], tenant.content
    is_resumed = run.status is RunStatus.APPLYING
    state = () if is_resumed or run.plan == (content,) else ("state",)
    touches = tenant.lost and content.spec != run.spec
    return (*state, *(("cloud",) if touches else ()))


def _attempted(situation: Situation, number: int) -> Situation:
    """The gate lets it through: ``attempted`` is stored, and the engine takes the lock."""
    worker = situation.workers[number]
    tenant = situation.tenants[worker.tenant]
    run = tenant.runs[worker.run]
    if run.approval == ApprovalStatus.APPROVED:
        run = with_approval(run, ApprovalStatus.CONSUMED)
    if run.status is not RunStatus.APPLYING:
        run = moved(run, RunStatus.APPLYING)._replace(started=True, late=False)
    tenant = tenant._replace(unsettled=True, lock=(Lock(host=number),))
    tenant = put(tenant, worker.run, run._replace(is_open_effect=True))
    tenant = tenant._replace(row=shown(tenant))  # also where it is resumed, and does not move
    situation = situation.with_tenant(worker.tenant, tenant)
    return situation.with_worker(number, worker._replace(point="change"))


def _changed(situation: Situation, number: int, *, half: bool = False) -> Situation:
    """The engine changes the stack: all of it, and the lock is free; or half, and it dies."""
    worker = situation.workers[number]
    tenant = situation.tenants[worker.tenant]
    spec = tenant.runs[worker.run].spec
    if half:
        content = after_one(tenant.content, spec, interrupted=True)
        tenant = tenant._replace(stack=(content,))
    else:
        tenant = tenant._replace(stack=(Content(spec=spec),), lock=())
    return situation.with_tenant(worker.tenant, tenant)


def _applied(scope: Scope, situation: Situation, number: int) -> Situation:
    worker = situation.workers[number]
    if worker.stopping:
        return _stopped(scope, situation, number)
    situation = _changed(situation, number)
    tenant = situation.tenants[worker.tenant]
    run = tenant.runs[worker.run]
    if run.status is RunStatus.APPLYING:
        run = moved(run, RunStatus.VERIFYING)._replace(is_open_effect=False)
        run = _with_written(run, tenant.content)
        tenant = put(tenant._replace(known=tenant.stack, unsettled=False), worker.run, run)
    situation = situation.with_tenant(worker.tenant, tenant)
    return situation.with_worker(number, worker._replace(point="verify"))


def _stopped(scope: Scope, situation: Situation, number: int) -> Situation:
    """The engine stops before its next operation, as it was asked to."""
    worker = situation.workers[number]
    tenant = situation.tenants[worker.tenant]
    run = tenant.runs[worker.run]
    tenant = tenant._replace(lock=())
    if run.status is RunStatus.APPLYING:
        run = _with_written(run, tenant.content)._replace(is_open_effect=False)
        tenant = put(tenant, worker.run, run)._replace(unsettled=False)
    situation = situation.with_tenant(worker.tenant, tenant)
    return _go_on(scope, situation, number, Found(error=ErrorFact.CANCELED))


def _looked(scope: Scope, situation: Situation, number: int) -> Situation:
    worker = situation.workers[number]
    tenant = situation.tenants[worker.tenant]
    if not tenant.stack:
        return _go_on(scope, situation, number, Found(error=ErrorFact.FINAL))
    run = tenant.runs[worker.run]
    if run.status is RunStatus.VERIFYING:
        ok = not tenant.lost
        if not run.looks:
            tenant = tenant._replace(
                evidence=(Evidence(ok=ok, content=tenant.content, run=worker.run),),
                known=tenant.stack,
                applied_spec=run.spec if ok else tenant.applied_spec,
                unsettled=not ok,
            )
        run = run._replace(evidence="held" if ok else "failed", is_open_effect=False)
        tenant = put(tenant, worker.run, run)._replace(finding=tenant.lost)
    return _go_on(scope, situation.with_tenant(worker.tenant, tenant), number)


def _settled(scope: Scope, situation: Situation, number: int) -> Situation:
    """Locks of dead engines are broken, what is pending is resolved, and the cloud is read."""
    worker = situation.workers[number]
    tenant = situation.tenants[worker.tenant]
    for lock in tenant.lock:
        may_break = lock.dead and (lock.host == number or lock.expired)
        if not may_break:
            held = Found(obstacle=BlockedOn.FOREIGN_LOCK)
            return _go_on(scope, situation, number, held)
    run = tenant.runs[worker.run]
    is_verifying = run.status is RunStatus.VERIFYING
    if tenant.stack:
        run = _with_written(run, tenant.content)
        gone = tenant.content.gone or tenant.lost
        tenant = tenant._replace(stack=(tenant.content._replace(pending=False, gone=gone),))
    tenant = tenant._replace(lock=(), lost=False)
    if is_verifying and left_to_do(tenant.content, run.spec):
        situation = situation.with_tenant(worker.tenant, put(tenant, worker.run, run))
        return _go_on(scope, situation, number, Found(obstacle=BlockedOn.STATE_MOVED))
    if tenant.stack:
        run = _with_written(run, tenant.content)
    if run.status is RunStatus.PLANNING:
        run = run._replace(state_before=tenant.stack)
    tenant = put(tenant, worker.run, run)._replace(unsettled=False, known=tenant.stack)
    return _go_on(scope, situation.with_tenant(worker.tenant, tenant), number)


def _with_written(run: Run, content: Content) -> Run:
    if content in run.written or (content,) == run.state_before:
        return run
    return run._replace(written=(*run.written, content))


_BY_POINT: Final = {
    "plan": _planned,
    "apply": _gate,
    "change": _applied,
    "verify": _looked,
    "look": _looked,
    "settle": _settled,
}


# --- accidents -----------------------------------------------------------------------------------
def crashed(situation: Situation, number: int) -> Situation:
    """A worker and its engine die where they are; the queue gives the turn out again."""
    worker = situation.workers[number]
    tenant = situation.tenants[worker.tenant]
    is_holder = worker.point == "change"
    lock = tuple(
        held._replace(dead=True) if held.host == number and is_holder else held
        for held in tenant.lock
    )
    situation = situation.with_tenant(worker.tenant, tenant._replace(lock=lock))
    if worker.owns:
        situation = _give_out_again(situation, worker)
    return situation.with_worker(number, IDLE)


def cut_off(situation: Situation, number: int) -> Situation:
    """The queue believes a worker gone, which works on."""
    worker = situation.workers[number]
    situation = _give_out_again(situation, worker)
    return situation.with_worker(number, worker._replace(owns=False))


def engine_died(scope: Scope, situation: Situation, number: int) -> Situation:
    """The engine's process alone dies: its turn looks at what it left, with a new call."""
    worker = situation.workers[number]
    tenant = situation.tenants[worker.tenant]
    lock = tuple(held._replace(dead=True) for held in tenant.lock)
    situation = situation.with_tenant(worker.tenant, tenant._replace(lock=lock))
    return _go_on(scope, situation, number)


def _give_out_again(situation: Situation, worker: Worker) -> Situation:
    tenant = situation.tenants[worker.tenant]
    again = put(tenant, worker.run, tenant.runs[worker.run]._replace(waits=True))
    return situation.with_tenant(worker.tenant, again)
