"""What the API takes and answers about people of the vendor and meetings."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Self

from pydantic import Field

from api.schemas.requests import Body, Instant, Reason
from api.schemas.views import View
from control_plane.domain.actor import Actor
from control_plane.domain.assignment import Assignment
from control_plane.domain.invitation import Meeting, MeetingStatus
from control_plane.domain.team import Person, TeamRole
from control_plane.services import meetings, people


class PersonAssignment(Body):
    """Who is to have a role; without `person` it is who fits and has most capacity."""

    role: TeamRole
    person: Annotated[str, Field(max_length=40)] | None = None
    reason: Reason


class MeetingMove(Body):
    """When a meeting starts instead; it is as long as before."""

    starts_at: Instant
    reason: Reason


class AbsenceView(View):
    """Days on which somebody is unavailable; `last` is the last of them."""

    first: date
    last: date


class PersonView(View):
    """Somebody of the team with what they have: `points` of all roles, of at most `max_points`."""

    key: str
    name: str
    email: str
    roles: list[TeamRole]
    segments: list[str]
    languages: list[str]
    time_zone: str
    works_from: str
    works_to: str
    points: int
    max_points: int
    sponsored: int
    last_assigned_at: datetime | None
    level: int
    certifications: list[str]
    absences: list[AbsenceView]

    @classmethod
    def of(cls, member: people.TeamMember) -> Self:
        """Return the view of somebody of the team."""
        person = member.person
        return cls(
            key=person.key,
            name=person.name,
            email=person.email,
            roles=list(person.roles),
            segments=sorted(person.segments),
            languages=sorted(person.languages),
            time_zone=person.place.zone,
            works_from=f"{person.hours.start:%H:%M}",
            works_to=f"{person.hours.end:%H:%M}",
            points=member.load.points,
            max_points=person.max_points,
            sponsored=member.load.sponsored,
            last_assigned_at=member.load.last_at,
            level=person.level,
            certifications=sorted(person.certifications),
            absences=[AbsenceView(first=each.first, last=each.last) for each in member.absences],
        )


class PeopleView(View):
    """Everybody of the team."""

    items: list[PersonView]


class AssignmentView(View):
    """Somebody in a role; `candidates` has a word on everybody who could have been assigned.

    `name` and `email` are null for somebody who is no longer in the team document.
    """

    id: str
    role: TeamRole
    person: str
    name: str | None
    email: str | None
    segment: str
    weight: int
    is_queue_owner: bool
    reason: str
    previous_id: str | None
    assigned_by: str
    since: datetime
    until: datetime | None
    ended_by: str | None
    end_reason: str | None
    candidates: list[dict[str, Any]]

    @classmethod
    def of(cls, assignment: Assignment, person: Person | None) -> Self:
        """Return the view of an assignment of a person, if the team still has them."""
        return cls.like(
            assignment,
            person=assignment.person_key,
            name=person.name if person else None,
            email=person.email if person else None,
            candidates=[dict(each) for each in assignment.explanation],
        )


class StaffView(View):
    """Who works for a tenant (`assigned`) and who did (`former`), newest first."""

    tenant_id: str
    segment: str
    assigned: list[AssignmentView]
    former: list[AssignmentView]
    allowed_actions: list[str]

    @classmethod
    def of(cls, staff: people.Staff, reader: Actor) -> Self:
        """Return the view of a tenant's people for whom it is shown to."""
        shown = [
            AssignmentView.of(each, staff.people.get(each.person_key)) for each in staff.assignments
        ]
        return cls(
            tenant_id=staff.tenant.id,
            segment=staff.segment,
            assigned=[each for each in shown if each.until is None],
            former=[each for each in shown if each.until is not None],
            allowed_actions=people.allowed_actions(reader),
        )


class AttendeeView(View):
    """Somebody who is invited; `person` is the key of somebody of the vendor."""

    roles: list[str]
    name: str
    email: str
    person: str | None


class MeetingView(View):
    """A meeting; `missing` are roles for which nobody could be invited."""

    id: str
    tenant_id: str
    kind: str
    uid: str
    sequence: int
    status: MeetingStatus
    title: str
    starts_at: datetime
    ends_at: datetime
    zone: str
    attendees: list[AttendeeView]
    missing: list[str]
    created_at: datetime
    updated_at: datetime
    allowed_actions: list[str]

    @classmethod
    def of(cls, meeting: Meeting, reader: Actor, now: datetime) -> Self:
        """Return the view of a meeting for whom it is shown to."""
        attendees = [
            AttendeeView(roles=list(each.roles), name=each.name, email=each.email,
                         person=each.person)
            for each in meeting.attendees
        ]  # fmt: skip
        return cls.like(
            meeting,
            attendees=attendees,
            missing=list(meeting.missing),
            allowed_actions=meetings.allowed_actions(meeting, reader, now),
        )
