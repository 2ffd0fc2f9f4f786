"""Who of the vendor works for a tenant: assigned, taken over, released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain.assignment import Assignment, PersonUnavailable
from control_plane.domain.calendars.due import Due
from control_plane.domain.cause import Cause
from control_plane.domain.errors import InvalidInput
from control_plane.domain.staffing import Pick, Wanted, pick
from control_plane.domain.team import Segment, SegmentFacts, TeamRole
from control_plane.domain.tenant import Contract, Tenant
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act, Core
from control_plane.workflows.customer_time import WITHIN, kickoff_window, within_of
from control_plane.workflows.moving import as_json
from control_plane.workflows.recording import record
from control_plane.workflows.step_actions import (
    ActInRows,
    ActionHandler,
    ActionOutcome,
    Did,
    DidFail,
    Given,
    NotNeeded,
)
from control_plane.workflows.tasks import open_task

_TURN: Final = "staffing"  # who assigns or invites takes turns, so that loads and hours are true
_STRATEGIC: Final = "strategic"  # the fact `segment` of a request
# contacts whose language is the customer's, the first that is named
_SPEAKERS: Final = ("executive_sponsor", "business_sponsor", "it_admin")


@dataclass(frozen=True, kw_only=True)
class Served:
    """A tenant for whom people work, with what decides who."""

    tenant: Tenant
    contract: Contract
    contacts: tuple[Mapping[str, str], ...]


def served(uow: UnitOfWork, tenant: Tenant) -> Served:
    """Return a tenant with its contract and the contacts of its request."""
    requests = uow.requests.find(tenant_id=tenant.id)
    contacts = tuple(requests[-1].body.get("contacts") or ()) if requests else ()
    return Served(
        tenant=tenant, contract=uow.contracts.find(tenant_id=tenant.id)[-1], contacts=contacts
    )


def segment_of(core: Core, customer: Served) -> Segment:
    """Return the segment of a customer. The value of a contract is not known to us yet."""
    facts = customer.tenant.facts
    return core.rules.team.segment_of(
        SegmentFacts(
            subscription=str(facts.get("subscription") or customer.contract.subscription),
            seats=facts.get("seats", customer.contract.seats),
            is_strategic=str(facts.get("segment") or "").casefold() == _STRATEGIC,
            region=customer.tenant.region,
        )
    )


def language_of(customer: Served) -> str | None:
    """Return the language in which a customer is spoken to, None where nobody knows."""
    by_role = {each["role"]: each for each in reversed(customer.contacts)}
    for role in _SPEAKERS:
        locale = by_role.get(role, {}).get("locale")
        if locale:
            return locale.partition("-")[0].casefold()
    return None


# --- assigning ---------------------------------------------------------------------------------
def take_turn(act: Act) -> None:
    """Let nobody else assign or invite until this transaction ends."""
    act.uow.serialize_on(_TURN)


def assigned(uow: UnitOfWork, tenant: Tenant, role: TeamRole) -> Assignment | None:
    """Return who has a role of a tenant now."""
    return next(iter(uow.assignments.find(tenant_id=tenant.id, role=role, until=None)), None)


def assign(
    act: Act,
    customer: Served,
    role: TeamRole,
    *,
    reason: str,
    chosen: str | None = None,
    cause: Cause | None = None,
    within: Due = WITHIN,
) -> Assignment:
    """Assign somebody, or somebody else, and return that; never nobody.

    ``chosen`` names who; ``within`` are the days after Day 0 on which they must be there. Raises
    ``PersonUnavailable``, and ``InvalidInput`` for a role that the customer's segment does not
    have.
    """
    take_turn(act)
    segment = segment_of(act.core, customer)
    if role not in segment.roles:
        raise InvalidInput(f"the segment {segment.key} has no {role}", field="role")
    before = assigned(act.uow, customer.tenant, role)
    found = _pick(act, customer, role, segment, before, chosen, within)
    if chosen is not None and found.is_queue_owner:
        raise PersonUnavailable(_why_unavailable(found, role, chosen), person=chosen)
    if before is not None and found.person.key == before.person_key:
        raise PersonUnavailable(f"nobody else than {before.person_key} can be {role} now")
    if before is not None:
        act.uow.assignments.save(before.ended(act.caller.actor.id, reason, act.now()))
    assignment = Assignment(
        id=act.new_id("assignment"),
        tenant_id=customer.tenant.id,
        role=role,
        person_key=found.person.key,
        segment=segment.key,
        weight=found.weight,
        capacity=found.person.max_points,
        is_queue_owner=found.is_queue_owner,
        reason=reason,
        explanation=tuple(each.to_document() for each in found.candidates),
        cause=cause,
        previous_id=before.id if before else None,
        assigned_by=act.caller.actor.id,
        since=act.now(),
    )
    act.uow.assignments.add(assignment)
    record(
        act, "people.assigned",
        tree=customer.tenant.id, targets=targets_of(assignment), personal={"reason": reason},
        person=assignment.person_key, role=str(role), segment=segment.key,
        queue_owner=found.is_queue_owner, previous=before.person_key if before else None,
        cause=cause.key if cause else None,
    )  # fmt: skip
    if found.is_queue_owner:
        _say_exhausted(act, customer, assignment, found)
    return assignment


def _pick(
    act: Act,
    customer: Served,
    role: TeamRole,
    segment: Segment,
    before: Assignment | None,
    chosen: str | None,
    within: Due,
) -> Pick:
    rules, now = act.core.rules.team, act.now()
    window = kickoff_window(
        act.core, customer.tenant, customer.contract.signed_at, now, within=within
    )
    if window.latest < now:  # the kickoff was long ago: what counts is who is there now
        window = kickoff_window(act.core, customer.tenant, now, now, within=within)
    facts = customer.tenant.facts
    score = rules.complexity.score(
        customer.tenant.mode, integrations=0, has_migration=False,
        is_strict=bool((facts.get("residency") or {}).get("strict")),
    )  # fmt: skip
    wanted = Wanted(
        role=role,
        segment=segment,
        language=language_of(customer),
        mode=customer.tenant.mode,
        level=rules.complexity.level(score),
        customer=window.customer,
        first_day=window.day_zero,
        last_day=window.last_day,
        preferred=_preferred(act.uow, customer.tenant, role),
        besides=frozenset({before.person_key} if before else ()),
        chosen=chosen,
    )
    calendars = {
        each.key: each.calendar(act.core.rules.calendars, act.core.holidays)
        for each in rules.people
        if role in each.roles
    }
    return pick(rules, wanted, act.uow.staffing.loads(), calendars)


def _why_unavailable(found: Pick, role: TeamRole, chosen: str) -> str:
    reasons = {each.key: each.why_not for each in found.candidates}
    return f"{chosen} {reasons.get(chosen) or f'is not a {role}'}"


def _preferred(uow: UnitOfWork, tenant: Tenant, role: TeamRole) -> str | None:
    """Return who has the role at another tenant of the company, or had it last."""
    others = tuple(each.id for each in uow.tenants.find(domain=tenant.domain) if each != tenant)
    found = uow.assignments.find(tenant_id=others, role=role) if others else []
    newest = max(found, key=lambda each: (each.is_open, each.since, each.id), default=None)
    return newest.person_key if newest else None


def _say_exhausted(act: Act, customer: Served, assignment: Assignment, found: Pick) -> None:
    """Record that nobody could be assigned, and let the lead find somebody."""
    reasons = [f"{each.key}: {each.why_not}" for each in found.candidates]
    record(
        act, "staffing.exhausted",
        tree=customer.tenant.id, targets=targets_of(assignment),
        person=assignment.person_key, role=str(assignment.role), segment=assignment.segment,
        candidates=reasons,
    )  # fmt: skip
    slug = customer.tenant.slug
    open_task(
        act, owner="csm_lead",
        title=f"Find a {assignment.role} for {slug}",
        instructions=(
            f"Nobody had capacity ({'; '.join(reasons) or 'nobody has the role'}), so it is with "
            f"{assignment.person_key} for now. Assign somebody: tenantctl people assign {slug} "
            f"{assignment.role} --person KEY --reason …"
        ),
        about=("assignment", assignment.id), dedupe_key=f"{assignment.id}.exhausted",
        tenant_id=customer.tenant.id, cause=assignment.cause,
    )  # fmt: skip


# --- releasing ---------------------------------------------------------------------------------
def release(act: Act, assignment: Assignment, *, reason: str) -> Assignment:
    """End an assignment; its points are free again."""
    ended = assignment.ended(act.caller.actor.id, reason, act.now())
    act.uow.assignments.save(ended)
    record(
        act, "people.released",
        tree=assignment.tenant_id, targets=targets_of(assignment), personal={"reason": reason},
        person=assignment.person_key, role=str(assignment.role), segment=assignment.segment,
    )  # fmt: skip
    return ended


def release_everybody(act: Act, tenant: Tenant, *, reason: str) -> Sequence[Assignment]:
    """End every assignment of a tenant."""
    found = act.uow.assignments.find(tenant_id=tenant.id, until=None)
    return [release(act, each, reason=reason) for each in found]


def targets_of(assignment: Assignment) -> tuple[tuple[str, str], ...]:
    """Return what an event about an assignment is about."""
    return (("tenant", assignment.tenant_id), ("assignment", assignment.id))


# --- actions of playbooks ----------------------------------------------------------------------
def _assign(act: Act, given: Given) -> ActionOutcome:
    customer = Served(tenant=given.tenant, contract=given.contract, contacts=given.contacts)
    role = _role_of(given)
    if isinstance(role, DidFail):
        return role
    segment = segment_of(act.core, customer)
    if role not in segment.roles:
        return NotNeeded(why=f"customers of the segment {segment.key} have no {role}")
    take_turn(act)
    found = assigned(act.uow, given.tenant, role)
    if found is None:
        reason = f"step {given.step.key} of {given.cause.playbook}"
        within = within_of(given.declared.arguments)
        found = assign(act, customer, role, reason=reason, cause=given.cause, within=within)
    return Did(result=_result(found))


def _release(act: Act, given: Given) -> ActionOutcome:
    role = _role_of(given)
    if isinstance(role, DidFail):
        return role
    take_turn(act)
    found = assigned(act.uow, given.tenant, role)
    if found is None:
        return NotNeeded(why=f"nobody is {role} of this tenant")
    reason = f"step {given.step.key} of {given.cause.playbook} was taken back"
    return Did(result=_result(release(act, found, reason=reason)))


def _role_of(given: Given) -> TeamRole | DidFail:
    named = str(given.declared.arguments.get("role", ""))
    if named in set(TeamRole):
        return TeamRole(named)
    known = ", ".join(TeamRole)
    error = InvalidInput(f"{named!r} is not a role of the team: {known}", field="role")
    return DidFail(error=as_json(error))


def _result(found: Assignment) -> Mapping[str, Any]:
    return {
        "assignment": found.id, "person": found.person_key, "role": str(found.role),
        "segment": found.segment, "queue_owner": found.is_queue_owner,
    }  # fmt: skip


ACTIONS: Final[Mapping[str, ActionHandler]] = {
    "people.assign": ActInRows(_assign),
    "people.release": ActInRows(_release),
}
