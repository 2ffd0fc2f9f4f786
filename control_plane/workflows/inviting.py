"""Meetings with a customer: a time in both parties' hours, and what calendars receive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Any, Final

from control_plane.domain.calendars.due import Due
from control_plane.domain.calendars.meeting import LONGEST, Attendee, Slot, Wish, first_meeting
from control_plane.domain.calendars.meeting import Meeting as Search
from control_plane.domain.calendars.moments import Span, moment_of, wall_of
from control_plane.domain.errors import InvalidInput
from control_plane.domain.invitation import (
    CANCEL,
    REQUEST,
    Invitation,
    Meeting,
    MeetingStatus,
    Participant,
)
from control_plane.domain.message import Recipient
from control_plane.domain.message_events import EVENTS, PERSONAS
from control_plane.domain.team import Person, TeamRole
from control_plane.domain.tenant import Tenant
from control_plane.ports.systems import CalendarPart
from control_plane.workflows.core import Act
from control_plane.workflows.customer_time import NOTICE, Window, kickoff_window, within_of
from control_plane.workflows.moving import as_json
from control_plane.workflows.outbox import in_one_line, post
from control_plane.workflows.recording import record
from control_plane.workflows.staffing import (
    Served,
    assigned,
    segment_of,
    take_turn,
)
from control_plane.workflows.step_actions import (
    ActInRows,
    ActionHandler,
    ActionOutcome,
    Asks,
    Did,
    DidFail,
    Given,
    NotNeeded,
)
from control_plane.workflows.tasks import open_task

CUSTOMER: Final = "the customer"
_ATTENDEES: Final = (
    "csm", "solutions_engineer", "executive_sponsor", "it_admin", "business_sponsor"
)  # fmt: skip
_ALTERNATIVES: Final = 3  # of a document that does not say it
_DAY: Final = timedelta(days=1)
_MOST_MINUTES: Final = LONGEST // timedelta(minutes=1)


# --- who ---------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Invited:
    """Who can be invited, and the roles for which there is nobody."""

    attendees: tuple[Participant, ...]
    missing: tuple[str, ...]
    people: tuple[Person, ...]  # those of the vendor

    @property
    def has_customer(self) -> bool:
        """Whether somebody of the customer is among them."""
        return any(each.person is None for each in self.attendees)


def whom(act: Act, customer: Served, roles: Sequence[str]) -> Invited:
    """Return who has the roles: assigned people of the vendor, and contacts of the customer.

    Somebody with two roles is invited once. A role that the customer's segment does not have is not
    missing.
    """
    found: dict[str, Participant] = {}
    people: dict[str, Person] = {}
    missing: list[str] = []
    of_segment = segment_of(act.core, customer).roles
    for role in roles:
        if role in set(TeamRole):
            if role not in of_segment:
                continue
            person = _assigned(act, customer.tenant, TeamRole(role))
            of_role = [] if person is None else [as_participant(person, role)]
            people |= {} if person is None else {person.key: person}
        else:
            of_role = list(_contacts(customer, role))
        if not of_role:
            missing.append(role)
        for each in of_role:
            address = each.email.casefold()
            known = found.get(address)
            roles_of = (*known.roles, role) if known else each.roles
            found[address] = replace(known or each, roles=tuple(dict.fromkeys(roles_of)))
    return Invited(
        attendees=tuple(found.values()), missing=tuple(missing), people=tuple(people.values())
    )


def _assigned(act: Act, tenant: Tenant, role: TeamRole) -> Person | None:
    found = assigned(act.uow, tenant, role)
    return act.core.rules.team.by_key.get(found.person_key) if found else None


def as_participant(person: Person, role: str) -> Participant:
    """Return somebody of the vendor as they are invited."""
    return Participant(
        key=role, roles=(role,), name=person.name, email=person.email, person=person.key
    )


def _contacts(customer: Served, role: str) -> Iterator[Participant]:
    of_role = [each for each in customer.contacts if each["role"] == role]
    for number, each in enumerate(of_role, 1):
        yield Participant(
            key=role if number == 1 else f"{role}_{number}",
            roles=(role,),
            name=in_one_line(each["name"]),
            email=each["email"],
            locale=each.get("locale"),
        )


# --- when --------------------------------------------------------------------------------------
def search(act: Act, window: Window, people: Sequence[Person], length: timedelta) -> Search:
    """Return the first time in everybody's hours at which nobody has something else."""
    busy = act.uow.staffing.busy([each.key for each in people], window.earliest)
    calendars = act.core.rules.calendars
    ours = tuple(
        Attendee(
            name=each.key,
            calendar=each.calendar(calendars, act.core.holidays),
            busy=(*busy.get(each.key, ()), *_away(each)),
        )
        for each in people
    )
    return first_meeting(Wish(
        earliest=window.earliest, latest=window.latest, length=length,
        attendees=(Attendee(name=CUSTOMER, calendar=window.customer), *ours),
    ))  # fmt: skip


def _away(person: Person) -> Iterator[Span]:
    for each in person.absences:
        start = datetime.combine(each.first, datetime.min.time())
        end = datetime.combine(each.last + _DAY, datetime.min.time())
        zone = person.place.zone
        yield Span(start=moment_of(start, zone), end=moment_of(end, zone))


def alternatives(
    act: Act,
    window: Window,
    people: Sequence[Person],
    length: timedelta,
    first: Slot | None,
    *,
    most: int,
) -> list[datetime]:
    """Return when they could meet after the limit, ``most`` times on days of their own."""
    found: list[datetime] = []
    slot = first
    while slot is not None and len(found) < most:
        found.append(slot.time.start)
        day = wall_of(slot.time.start, window.customer.zone).date() + _DAY
        start = moment_of(datetime.combine(day, datetime.min.time()), window.customer.zone)
        later = replace(window, earliest=start, latest=start)
        again = search(act, later, people, length)
        slot = again.slot or again.alternative
    return found


# --- telling -----------------------------------------------------------------------------------
def tell(
    act: Act,
    tenant: Tenant,
    meeting: Meeting,
    event: str,
    *,
    method: str = REQUEST,
    to: Sequence[Participant] | None = None,
) -> None:
    """Send each attendee, or those named, a mail with the meeting for their calendar."""
    name, address = parseaddr(act.core.rules.messages.sender)  # the sender of the mail
    for each in meeting.attendees if to is None else to:
        invitation = Invitation(
            method=method,
            meeting=meeting,
            # who is no longer invited is told of nobody else
            attendees=(each,) if method == CANCEL else meeting.attendees,
            organizer_name=name,
            organizer_email=address,
            stamped_at=act.now(),
        )
        post(
            act, tenant=tenant, event=event,
            persona=next((role for role in each.roles if role in PERSONAS), "owner"),
            recipient=Recipient(name=each.name, email=each.email, locale=each.locale),
            data={
                "title": meeting.title,
                "starts_at": in_utc(meeting.starts_at),
                "ends_at": in_utc(meeting.ends_at),
            },
            dedupe_key=f"{meeting.id}.{meeting.sequence}.{method.lower()}.{each.key}",
            cause=meeting.cause,
            calendar=CalendarPart(
                method=method, content=act.core.write_invitation(invitation)
            ),
        )  # fmt: skip


def in_utc(moment: datetime) -> str:
    """Return an instant as text, UTC."""
    return moment.isoformat().replace("+00:00", "Z")


def targets_of(meeting: Meeting) -> tuple[tuple[str, str], ...]:
    """Return what an event about a meeting is about."""
    return (("tenant", meeting.tenant_id), ("meeting", meeting.id))


def record_meeting(act: Act, action: str, meeting: Meeting, **data: Any) -> None:
    """Record what happened to a meeting, with its time."""
    record(
        act, action,
        tree=meeting.tenant_id, targets=targets_of(meeting), meeting=meeting.kind,
        sequence=meeting.sequence, starts_at=in_utc(meeting.starts_at),
        count=len(meeting.attendees), **data,
    )  # fmt: skip


# --- changing ----------------------------------------------------------------------------------
def standing(act: Act, tenant: Tenant, kind: str) -> Meeting | None:
    """Return the meeting of a kind that a tenant's people are invited to."""
    found = act.uow.meetings.find(tenant_id=tenant.id, kind=kind, status=MeetingStatus.INVITED)
    return next(iter(found), None)


def move(act: Act, tenant: Tenant, meeting: Meeting, starts_at: datetime) -> Meeting:
    """Move a meeting that is locked, and tell everybody."""
    moved = meeting.moved(starts_at, act.now())
    act.uow.meetings.save(moved)
    tell(act, tenant, moved, f"{moved.kind}.moved")
    return moved


def call_off(act: Act, tenant: Tenant, meeting: Meeting) -> Meeting:
    """Call off a meeting that is locked; everybody gets a cancellation unless it is over."""
    canceled = meeting.canceled(act.now())
    act.uow.meetings.save(canceled)
    if canceled.ends_at > act.now():
        tell(act, tenant, canceled, f"{canceled.kind}.cancelled", method=CANCEL)
    return canceled


def hand_meetings_over(act: Act, tenant: Tenant, role: TeamRole, person: Person) -> None:
    """Invite who took a role over to the meetings that are to come, instead of who had it."""
    for found in act.uow.meetings.find(tenant_id=tenant.id, status=MeetingStatus.INVITED):
        meeting = act.uow.meetings.need(found.id, lock=True)
        before = next((each for each in meeting.attendees if str(role) in each.roles), None)
        if before is None or meeting.starts_at <= act.now() or before.person == person.key:
            continue
        others = tuple(each for each in meeting.attendees if each != before)
        left = tuple(each for each in before.roles if each != str(role))
        if left:  # who has another role stays invited for that
            others = (*others, replace(before, key=left[0], roles=left))
        kept = tuple(each for each in others if each.person != person.key)
        known = next((each for each in others if each.person == person.key), None)
        new = as_participant(person, str(role))
        if known is not None:
            new = replace(known, roles=(*known.roles, str(role)))
        changed = meeting.attended_by((*kept, new), act.now())
        act.uow.meetings.save(changed)
        tell(act, tenant, changed, f"{changed.kind}.invited")
        if not left:
            gone = replace(before, key=f"{before.key}.left")
            tell(act, tenant, changed, f"{changed.kind}.cancelled", method=CANCEL, to=(gone,))
        record_meeting(act, "meeting.changed", changed)


# --- actions of playbooks ----------------------------------------------------------------------
def _invite(act: Act, given: Given) -> ActionOutcome:
    asked = _asked(given)
    if isinstance(asked, DidFail):
        return asked
    take_turn(act)
    present = standing(act, given.tenant, asked.kind)
    if present is not None:
        return _invited(act, given, present)
    customer = Served(tenant=given.tenant, contract=given.contract, contacts=given.contacts)
    invited = whom(act, customer, asked.roles)
    if not invited.has_customer:
        return _asks_for_contacts(given, invited)
    anchor = given.journey.anchors.get("signed", given.contract.signed_at)
    window = kickoff_window(
        act.core, given.tenant, anchor, act.now(), within=asked.within, notice=asked.notice
    )
    found = search(act, window, invited.people, asked.length)
    if found.slot is None:
        return _asks_for_time(act, given, window, invited, asked, found)
    meeting = _new(act, given, asked.kind, found.slot.time, invited)
    act.uow.meetings.add(meeting)
    tell(act, given.tenant, meeting, f"{asked.kind}.invited")
    record_meeting(act, "meeting.invited", meeting, missing=list(meeting.missing))
    if meeting.missing and act.core.systems.mailer is not None:
        _open_task_of_missing(act, given, meeting)
    return _invited(act, given, meeting)


def _invited(act: Act, given: Given, meeting: Meeting) -> Did | Asks:
    """Return that all are invited; without mail a person does it."""
    if act.core.systems.mailer is not None:
        return Did(result=_result(meeting))
    at, zone = wall_of(meeting.starts_at, meeting.zone), meeting.zone
    roles = _words(role for each in meeting.attendees for role in each.roles)
    missing = f" Nobody is named as {_words(meeting.missing)}." if meeting.missing else ""
    return Asks(
        title="Invite everybody to the meeting",
        instructions=(
            f"This installation sends no mail. The {meeting.kind} of {given.tenant.slug} is on "
            f"{at:%Y-%m-%d %H:%M} ({zone}). Invite these yourself: {roles}.{missing} Then say so "
            "here."
        ),
        result=_result(meeting),
    )


def _words(roles: Iterable[str]) -> str:
    return ", ".join(role.replace("_", " ") for role in roles)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    kind: str
    length: timedelta
    roles: tuple[str, ...]
    within: Due
    notice: timedelta
    alternatives: int


def _asked(given: Given) -> _Asked | DidFail:
    """Return what a step asks for, or why nobody can be invited to that."""
    arguments = given.declared.arguments
    kind, minutes = str(arguments.get("meeting")), arguments.get("minutes")
    roles = tuple(arguments.get("attendees") or _ATTENDEES)
    known = {*TeamRole, *PERSONAS}
    unknown = [each for each in roles if each not in known]
    if f"{kind}.invited" not in EVENTS:
        fault = InvalidInput(f"there is no message about a meeting {kind!r}", field="meeting")
    elif not isinstance(minutes, int) or not 0 < minutes <= _MOST_MINUTES:
        fault = InvalidInput(f"minutes are from 1 to {_MOST_MINUTES}", field="minutes")
    elif unknown:
        fault = InvalidInput(f"nobody is {unknown[0]!r}", field="attendees")
    else:
        hours = arguments.get("notice_hours")
        return _Asked(
            kind=kind,
            length=timedelta(minutes=minutes),
            roles=roles,
            within=within_of(arguments),
            notice=NOTICE if hours is None else timedelta(hours=hours),
            alternatives=arguments.get("alternatives", _ALTERNATIVES),
        )
    return DidFail(error=as_json(fault))


def _new(act: Act, given: Given, kind: str, time: Span, invited: Invited) -> Meeting:
    now, meeting_id = act.now(), act.new_id("meeting")
    return Meeting(
        id=meeting_id,
        tenant_id=given.tenant.id,
        kind=kind,
        uid=f"{meeting_id.lower()}@tenantplane.invalid",
        title=f"{kind.capitalize()}: {in_one_line(given.tenant.legal_name)}",
        starts_at=time.start,
        ends_at=time.end,
        zone=given.tenant.time_zone,
        attendees=invited.attendees,
        missing=invited.missing,
        cause=given.cause,
        created_at=now,
        updated_at=now,
    )


def _open_task_of_missing(act: Act, given: Given, meeting: Meeting) -> None:
    """Let sales name who could not be invited, since nobody has the role."""
    missing = " and ".join(each.replace("_", " ") for each in meeting.missing)
    open_task(
        act, owner="sales",
        title=f"Name the {missing} of {given.tenant.slug}",
        instructions=(
            "The invitation went to the others. Ask the customer who that is, and forward it."
        ),
        about=("meeting", meeting.id), dedupe_key=f"{meeting.id}.missing",
        tenant_id=given.tenant.id, cause=given.cause,
    )  # fmt: skip


def _asks_for_contacts(given: Given, invited: Invited) -> Asks:
    roles = " and ".join(each.replace("_", " ") for each in invited.missing)
    return Asks(
        title="Name somebody of the customer for the invitation",
        instructions=(
            f"The contract of {given.tenant.slug} names nobody who is {roles}, so nobody of the "
            "customer could be invited. Ask the customer, and invite them."
        ),
        result={"missing": list(invited.missing)},
        owner="sales",
    )


def _asks_for_time(
    act: Act, given: Given, window: Window, invited: Invited, asked: _Asked, found: Search
) -> Asks:
    times = alternatives(
        act, window, invited.people, asked.length, found.alternative, most=asked.alternatives
    )
    zone = given.tenant.time_zone
    shown = ", ".join(f"{wall_of(each, zone):%Y-%m-%d %H:%M} ({zone})" for each in times)
    limit = f"{wall_of(window.latest, zone):%Y-%m-%d %H:%M} ({zone})"
    later = f"The nearest times after that: {shown}." if times else "There is none after that."
    return Asks(
        title="Agree on a time for the meeting",
        instructions=(
            f"No time up to {limit} suits everybody. {found.sentence} {later} Agree on a time with "
            "the customer and invite everybody."
        ),
        result={
            "reason": str(found.reason), "because_of": list(found.because_of),
            "alternatives": [in_utc(each) for each in times],
        },
    )  # fmt: skip


def _cancel(act: Act, given: Given) -> ActionOutcome:
    found = standing(act, given.tenant, str(given.declared.arguments.get("meeting")))
    if found is None:
        return NotNeeded(why="nobody is invited to such a meeting")
    canceled = call_off(act, given.tenant, act.uow.meetings.need(found.id, lock=True))
    record_meeting(act, "meeting.canceled", canceled)
    return Did(result=_result(canceled))


def _result(meeting: Meeting) -> Mapping[str, Any]:
    return {
        "meeting": meeting.id, "starts_at": in_utc(meeting.starts_at),
        "ends_at": in_utc(meeting.ends_at), "zone": meeting.zone,
        "invited": [role for each in meeting.attendees for role in each.roles],
        "missing": list(meeting.missing),
    }  # fmt: skip


ACTIONS: Final[Mapping[str, ActionHandler]] = {
    "calendar.invite": ActInRows(_invite),
    "calendar.cancel": ActInRows(_cancel),
}
