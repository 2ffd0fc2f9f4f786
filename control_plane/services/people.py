"""People of the vendor: what they have to do, and for which tenants; assigned by somebody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from control_plane.domain.actor import Actor, Role
from control_plane.domain.assignment import Assignment
from control_plane.domain.calendars.moments import wall_of
from control_plane.domain.errors import InvalidInput
from control_plane.domain.staffing import Load
from control_plane.domain.team import Absence, Person, TeamRole
from control_plane.domain.tenant import Tenant
from control_plane.services.permission import require_role
from control_plane.services.tenants import get_tenant
from control_plane.workflows.core import Act
from control_plane.workflows.inviting import hand_meetings_over
from control_plane.workflows.recording import refused_as
from control_plane.workflows.staffing import assign, segment_of, served

# the team is not of one tenant, so an auditor of tenants does not read it
READERS: Final = (
    Role.AUTOMATION, Role.OPS_APPROVER, Role.SOLUTIONS_ARCHITECT, Role.PLATFORM_ADMIN,
    Role.PLATFORM_AUDITOR,
)  # fmt: skip
# there is no role of a lead of customer success: who settles modes assigns people too
ASSIGNERS: Final = (Role.SOLUTIONS_ARCHITECT, Role.PLATFORM_ADMIN)


@dataclass(frozen=True, kw_only=True)
class TeamMember:
    """Somebody of the team with what they have; ``absences`` are those that are not over."""

    person: Person
    load: Load
    absences: tuple[Absence, ...]


@dataclass(frozen=True, kw_only=True)
class Staff:
    """Who works for a tenant and who did, newest first, with the people who are in the team."""

    tenant: Tenant
    segment: str
    assignments: Sequence[Assignment]
    people: dict[str, Person]


def list_people(act: Act) -> list[TeamMember]:
    """Return everybody of the team document with load and absences, in its order."""
    require_role(act, *READERS, wanted="people.read")
    loads, now = act.uow.staffing.loads(), act.now()
    return [
        TeamMember(
            person=each,
            load=loads.get(each.key, Load()),
            absences=tuple(
                away for away in each.absences if away.last >= wall_of(now, each.place.zone).date()
            ),
        )
        for each in act.core.rules.team.people
    ]


def people_of_tenant(act: Act, key: str) -> Staff:
    """Return who works for a tenant, who did, and why it was them. Raises ``NotFound``."""
    return _staff(act, get_tenant(act, key))


def may_assign(act: Act, key: str) -> Tenant:
    """Return a tenant to which the caller may assign people. Raises ``NotFound``."""
    tenant = get_tenant(act, key)
    require_role(act, *ASSIGNERS, wanted="people.assign", tree=tenant.id)
    return tenant


def assign_person(
    act: Act, key: str, *, role: TeamRole, reason: str, person: str | None = None
) -> Staff:
    """Assign somebody to a tenant, instead of who has the role now, if anybody.

    Without ``person`` it is who has most capacity of those who fit. Who takes a role over is
    invited to the meetings that are to come. Raises ``PersonUnavailable``, and ``InvalidInput``
    for a person or role that the tenant cannot have.
    """
    tenant = may_assign(act, key)
    with refused_as(
        act, "people.refused",
        tree=tenant.id, targets=(("tenant", tenant.id),), wanted="assign", role=str(role),
    ):  # fmt: skip
        if not reason.strip():
            raise InvalidInput("a reason is required", field="reason")
        team = act.core.rules.team.by_key
        if person is not None and person not in team:
            raise InvalidInput(f"the team document has no person {person!r}", field="person")
        found = assign(act, served(act.uow, tenant), role, reason=reason.strip(), chosen=person)
        if found.previous_id is not None:
            hand_meetings_over(act, tenant, role, team[found.person_key])
        return _staff(act, tenant)


def allowed_actions(actor: Actor) -> list[str]:
    """Return what somebody may ask of the people of a tenant."""
    return ["assign"] if actor.has(*ASSIGNERS) else []


def _staff(act: Act, tenant: Tenant) -> Staff:
    found = act.uow.assignments.find(tenant_id=tenant.id)
    team = act.core.rules.team.by_key
    return Staff(
        tenant=tenant,
        segment=segment_of(act.core, served(act.uow, tenant)).key,
        assignments=found[::-1],
        people={
            each.person_key: team[each.person_key] for each in found if each.person_key in team
        },
    )
