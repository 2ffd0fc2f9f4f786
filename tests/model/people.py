"""What people and the world do: requests, decisions, holds, timers, drift, time that passes."""

from __future__ import annotations

from collections.abc import Iterator

from control_plane.domain.approval import ApprovalStatus, Decision, outcome
from control_plane.domain.deployment import Desired
from control_plane.domain.kinds import kind_between
from control_plane.domain.next_step import StepKind, next_step
from control_plane.domain.run import HOLDS_SLOT, BlockedOn, RunKind, RunStatus
from control_plane.domain.run_actions import Action, cell_of
from control_plane.domain.tenant import TenantStatus
from control_plane.services.tenants import CHANGEABLE_STATUS
from control_plane.workflows.requesting import _WAITING
from tests.model.rows import ended, facts_of, moved, put, shown, unblocked, with_approval
from tests.model.situation import MODE_B, Run, Scope, Situation, Tenant
from tests.model.workers import Next, is_newest


def acts_of_people(scope: Scope, situation: Situation) -> Iterator[Next]:
    """Yield what people, timers and the Hub may do next: what keeps runs moving."""
    if not situation.hub_is_ready:
        yield ("hub_ready",), _hub_ready(situation)
    for at, tenant in enumerate(situation.tenants):
        for action, after in _of_tenant(scope, situation, at, tenant):
            yield (*action[:1], f"t{at}", *action[1:]), after
    if not any(worker.point for worker in situation.workers):
        yield from _hours(situation)


def disturbances(scope: Scope, situation: Situation) -> Iterator[Next]:
    """Yield what nobody has to do: changes, looks, holds, cancels, drift, days that pass."""
    for at, tenant in enumerate(situation.tenants):
        for action, after in _disturbing(scope, situation, at, tenant):
            yield (*action[:1], f"t{at}", *action[1:]), after
    if situation.budget.days and not any(worker.point for worker in situation.workers):
        yield from _days(situation)


def _of_tenant(scope: Scope, situation: Situation, at: int, tenant: Tenant) -> Iterator[Next]:
    if not tenant.runs:
        yield ("submit",), _requested(scope, situation, at, before=-1)
        return
    newest = tenant.newest
    run = tenant.runs[newest]
    for who in _may_decide(scope, tenant, run):
        yield ("approve", who), _decided(scope, situation, at, who)
    if _may_retry(run):
        if run.has_ended or run.blocked_on == BlockedOn.STATE_MOVED:
            if newest + 1 - sum(each.looks for each in tenant.runs[:newest]) < scope.runs:
                yield ("retry",), _requested(scope, situation, at, before=newest)
        else:
            again = put(tenant, newest, unblocked(run, keeps_error=False))
            yield ("retry",), situation.with_tenant(at, again)
    if tenant.hold != "none":
        yield ("release",), _released(situation, at)
    for number, each in enumerate(tenant.runs):
        if each.blocked_on == BlockedOn.FOREIGN_LOCK:
            again = put(tenant, number, unblocked(each, keeps_error=True))
            yield ("timer", f"r{number}"), situation.with_tenant(at, again)
        if _expires(scope, tenant, number):
            gone = put(tenant, number, ended(each, RunStatus.EXPIRED))
            yield ("expire", f"r{number}"), situation.with_tenant(at, gone)


def _disturbing(scope: Scope, situation: Situation, at: int, tenant: Tenant) -> Iterator[Next]:
    left, newest = situation.budget, tenant.newest
    if newest < 0:
        return
    run = tenant.runs[newest]
    if left.changes and _may_change(tenant, run):
        needs_run = tenant.newest_spec > 0 and (run.has_ended or run.spec > 0)
        changed = situation.with_tenant(at, tenant._replace(facts=2)).spend("changes")
        if not needs_run:
            yield ("change",), changed
        elif sum(not each.looks for each in tenant.runs) < scope.runs:
            yield ("change",), _requested(scope, changed, at, before=-1)
    yield from _of_drift(situation, at, tenant, run)
    if left.holds and tenant.hold == "none":
        for applying in ("finishes", "stops"):
            held = situation.spend("holds").with_tenant(at, tenant._replace(hold=applying))
            yield ("hold", applying), held
    if left.rejects:
        for who in _may_decide(scope, tenant, run)[:1]:
            rejected = put(tenant, newest, _rejected(run))
            yield ("reject", who), situation.spend("rejects").with_tenant(at, rejected)
    if left.cancels and _may_cancel(run):
        yield ("cancel",), _canceled(situation.spend("cancels"), at, newest)


def _of_drift(situation: Situation, at: int, tenant: Tenant, run: Run) -> Iterator[Next]:
    left = situation.budget
    has_look = any(each.looks and not each.has_ended for each in tenant.runs)
    if left.looks and tenant.applied_spec and not has_look:
        yield ("look",), _look(situation.spend("looks"), at)
    if left.drifts and _may_drift(tenant, run):
        yield ("drift",), situation.spend("drifts").with_tenant(at, tenant._replace(lost=True))


# --- what may be asked for -----------------------------------------------------------------------
def _may_decide(scope: Scope, tenant: Tenant, run: Run) -> tuple[str, ...]:
    if run.status is not RunStatus.AWAITING_APPROVAL or run.late or tenant.mode != MODE_B:
        return ()
    return tuple(who for who in scope.people if who not in run.yes)


def _may_retry(run: Run) -> bool:
    return _is_offered(run, Action.RETRY)


def _may_cancel(run: Run) -> bool:
    return _is_offered(run, Action.CANCEL) and not run.cancel


def _is_offered(run: Run, action: Action) -> bool:
    blocked_on = BlockedOn(run.blocked_on) if run.blocked_on else None
    offers = cell_of(run.kind, run.status, blocked_on).offers
    return any(offer.action is action for offer in offers)


def _may_change(tenant: Tenant, run: Run) -> bool:
    at = run.blocked_from if run.status is RunStatus.BLOCKED else run.status
    is_there = TenantStatus(tenant.row[0]) in CHANGEABLE_STATUS
    return tenant.mode == MODE_B and tenant.facts == 1 and is_there and at not in HOLDS_SLOT


def _may_drift(tenant: Tenant, run: Run) -> bool:
    """Only between applies: what an interrupted one meets then is no part of the model."""
    at = run.blocked_from if run.status is RunStatus.BLOCKED else run.status
    content = tenant.content
    is_whole = content.spec > 0 and not (content.half or content.gone or content.pending)
    return is_whole and not tenant.lost and at not in HOLDS_SLOT and not tenant.lock


def _expires(scope: Scope, tenant: Tenant, number: int) -> bool:
    run = tenant.runs[number]
    if run.approval not in {ApprovalStatus.WAITING, ApprovalStatus.APPROVED}:
        return False
    step = next_step(facts_of(scope, tenant, number))
    return step.kind is StepKind.END and step.end is RunStatus.EXPIRED


# --- what follows --------------------------------------------------------------------------------
def _requested(scope: Scope, situation: Situation, at: int, *, before: int) -> Situation:
    """Add a run; those that wait for somebody give way at once. ``before``: what it repeats."""
    tenant = situation.tenants[at]
    newest = tenant.newest
    if before < 0 and newest >= 0 and not tenant.runs[newest].has_ended:
        before = newest
    kind = kind_between(Desired.PRESENT if tenant.applied_spec else None, Desired.PRESENT)
    last = len(tenant.runs) - 1
    fresh = Run(kind=kind, before=before if before >= 0 else last)
    runs = [
        ended(run, RunStatus.SUPERSEDED) if run.status in _WAITING else run for run in tenant.runs
    ]
    tenant = tenant._replace(runs=(*runs, fresh))
    return situation.with_tenant(at, tenant._replace(row=shown(tenant)))


def _look(situation: Situation, at: int) -> Situation:
    tenant = situation.tenants[at]
    fresh = Run(kind=RunKind.REFRESH, spec=tenant.applied_spec, before=len(tenant.runs) - 1)
    return situation.with_tenant(at, tenant._replace(runs=(*tenant.runs, fresh)))


def _decided(scope: Scope, situation: Situation, at: int, who: str) -> Situation:
    tenant = situation.tenants[at]
    number = tenant.newest
    run = tenant.runs[number]
    yes = tuple(sorted((*run.yes, who)))
    run = run._replace(yes=yes)
    if outcome(scope.needed, [_decision(each) for each in yes]) is ApprovalStatus.APPROVED:
        run = with_approval(run, ApprovalStatus.APPROVED)
        run = moved(run, RunStatus.APPROVED)._replace(waits=True)
    return situation.with_tenant(at, put(tenant, number, run))


def _decision(who: str) -> Decision:
    from tests.time_and_ids import START

    return Decision(
        id=who, approval_id="", decision="approve", plan_digest="", actor_id=who, person=who,
        actor_kind="user", reason="", decided_at=START,
    )  # fmt: skip


def _rejected(run: Run) -> Run:
    return moved(with_approval(run, ApprovalStatus.REJECTED), RunStatus.REJECTED)._replace(
        by_cloud=False
    )


def _canceled(situation: Situation, at: int, number: int) -> Situation:
    """At once before it applies; otherwise its engine is asked to stop."""
    tenant = situation.tenants[at]
    run = tenant.runs[number]._replace(cancel=True)
    if run.status is not RunStatus.APPLYING:
        return situation.with_tenant(at, put(tenant, number, ended(run, RunStatus.CANCELED)))
    situation = situation.with_tenant(at, put(tenant, number, run))
    for index, worker in enumerate(situation.workers):
        works_on_it = (worker.tenant, worker.run) == (at, number)
        if works_on_it and worker.point in {"apply", "change"} and is_newest(situation, index):
            situation = situation.with_worker(index, worker._replace(stopping=True))
    return situation


def _released(situation: Situation, at: int) -> Situation:
    tenant = _woken(situation.tenants[at]._replace(hold="none"), BlockedOn.HOLD)
    return situation.with_tenant(at, tenant)


def _woken(tenant: Tenant, on: BlockedOn) -> Tenant:
    for number, run in enumerate(tenant.runs):
        if run.blocked_on == on:
            tenant = put(tenant, number, unblocked(run, keeps_error=False))
    return tenant


def _hub_ready(situation: Situation) -> Situation:
    tenants = tuple(_woken(tenant, BlockedOn.HUB_UNAVAILABLE) for tenant in situation.tenants)
    return situation._replace(tenants=tenants, hub_is_ready=True)


# --- time ----------------------------------------------------------------------------------------
def _hours(situation: Situation) -> Iterator[Next]:
    """The deadline of every call passes; an engine that nobody sees has stopped by then."""
    if any(lock.dead and not lock.expired for each in situation.tenants for lock in each.lock):
        yield ("hours_pass",), _expired(situation)


def _days(situation: Situation) -> Iterator[Next]:
    """Approvals expire, and applies that were interrupted may not resume any more."""
    tenants = tuple(
        tenant._replace(runs=tuple(_aged(run) for run in tenant.runs))
        for tenant in situation.tenants
    )
    if tenants != situation.tenants:
        yield ("days_pass",), _expired(situation._replace(tenants=tenants).spend("days"))


def _aged(run: Run) -> Run:
    if run.has_ended or run.late:
        return run
    is_asked = run.approval in {ApprovalStatus.WAITING, ApprovalStatus.APPROVED}
    return run._replace(late=True) if is_asked or run.started else run


def _expired(situation: Situation) -> Situation:
    tenants = tuple(
        tenant._replace(lock=tuple(lock._replace(expired=True) for lock in tenant.lock))
        for tenant in situation.tenants
    )
    return situation._replace(tenants=tenants)
