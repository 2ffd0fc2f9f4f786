"""What must hold in every situation, and of every step; each returns what is wrong, or nothing."""

from __future__ import annotations

from collections.abc import Iterator

from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.next_step import ACTIVE
from control_plane.domain.run import HOLDS_SLOT, NEXT_ACTION, BlockedOn, RunStatus
from control_plane.domain.tenant import TenantStatus
from tests.model.people import _expires, _may_decide
from tests.model.rows import is_verified
from tests.model.situation import Scope, Situation, Tenant
from tests.model.workers import moved_parts


def wrong_step(scope: Scope, before: Situation, after: Situation) -> Iterator[str]:
    """Look at a step: whatever begins to change a stack was approved, and nothing forbids it."""
    for number, worker in enumerate(after.workers):
        if worker.point != "change" or before.workers[number].point == "change":
            continue
        tenant = after.tenants[worker.tenant]
        run = tenant.runs[worker.run]
        had = before.tenants[worker.tenant].runs
        is_resumed = had[worker.run].status is RunStatus.APPLYING
        needed = scope.needed_for(tenant)
        forbidden = {
            "something is applied without the decisions that it needs": len(set(run.yes)) < needed,
            "something is applied whose approval is not consumed":
                needed and run.approval != ApprovalStatus.CONSUMED,
            "what is applied is not the plan that was made, or approved":
                not is_resumed and run.plan != (tenant.content,),
            "what is applied is not what people decided on":
                needed and moved_parts(tenant, worker.run),
            "something is applied under a hold":
                tenant.hold == "stops" or (tenant.hold == "finishes" and not is_resumed),
            "a superseded run applies": tenant.newest != worker.run,
            "a canceled run applies": run.cancel,
            "something is applied after its approval, or its resume, expired":
                had[worker.run].late,
        }  # fmt: skip
        yield from (what for what, is_so in forbidden.items() if is_so)


def wrong(scope: Scope, situation: Situation) -> Iterator[str]:
    """Look at one situation."""
    for at, tenant in enumerate(situation.tenants):
        applying = [
            number
            for number, worker in enumerate(situation.workers)
            if worker.point == "change" and worker.tenant == at
        ]
        if len(applying) > 1:
            yield "two engines change one stack"
        if sum(run.status in HOLDS_SLOT and not run.looks for run in tenant.runs) > 1:
            yield "two runs of a deployment apply"
        for number in applying:
            if not tenant.lock or tenant.lock[0].host != number or tenant.lock[0].dead:
                yield "an engine writes a state whose lock it does not hold"
        if any(run.has_ended and run.is_open_effect for run in tenant.runs):
            yield "a run has ended, and nothing says what became of its attempt"
        if tenant.row[0] == TenantStatus.READY and not is_verified(tenant):
            yield "a tenant is ready without evidence for the state that it has"
        for number in range(len(tenant.runs)):
            yield from _dead_end(scope, situation, at, tenant, number)


def _dead_end(
    scope: Scope, situation: Situation, at: int, tenant: Tenant, number: int
) -> Iterator[str]:
    """Look for a run that nobody can move."""
    run = tenant.runs[number]
    if run.has_ended:
        return
    is_worked_on = any((w.tenant, w.run) == (at, number) for w in situation.workers)
    if run.status in ACTIVE and not (run.waits or is_worked_on):
        yield f"a run that is {run.status} is neither in the queue nor worked on"
    elif run.status is RunStatus.AWAITING_APPROVAL:
        if not (_may_decide(scope, tenant, run) or _expires(scope, tenant, number)):
            yield "nobody can decide on a plan that waits, and it does not expire"
    elif run.status is RunStatus.BLOCKED:
        on = BlockedOn(run.blocked_on)
        if on not in NEXT_ACTION:
            yield f"a run is blocked on {on}, and there is no next action"
        if on is BlockedOn.HOLD and tenant.hold == "none":
            yield "a run waits for the release of a hold that does not stand"
        if on is BlockedOn.HUB_UNAVAILABLE and situation.hub_is_ready:
            yield "a run waits for a Hub that is ready"
        if number != tenant.newest and not run.looks:
            yield "a superseded run is blocked, and a retry of it is refused"
