"""The kickoff: a time in both parties' hours, and a mail that calendars understand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from control_plane.domain.errors import IllegalTransition, InvalidInput
from control_plane.domain.invitation import Meeting, MeetingStatus
from control_plane.domain.team import TeamRole
from control_plane.ports.systems import Systems
from control_plane.services import meetings, people
from control_plane.services.performing import perform
from control_plane.workflows.forgetting import forget_people
from control_plane.workflows.step_actions import Asks, Did, DidFail, NotNeeded
from tests.scripted_mailer import ScriptedMailer
from tests.workflows.served import ATTENDEES, CONTACTS, Served, away, parsed, utc, works
from tests.world import ADMIN, World

EVERYBODY = {
    "carla@team.example.com", "sara@team.example.com", "elio@example.com", "ida@example.com",
    "bea@example.com",
}  # fmt: skip


@pytest.fixture
def served(world: World) -> Served:
    world.core = replace(world.core, systems=Systems(mailer=ScriptedMailer()))
    return Served(world)


def meeting(served: Served) -> Meeting:
    (found,) = served.world.rows("meeting").values()
    assert isinstance(found, Meeting)
    return found


def signed(served: Served, at: str, **changes: Any) -> str:
    """Return a tenant with people, signed at an instant that is the present."""
    served.at(at)
    return served.staffed(contract={"signed_at": at}, **changes)


# --- the time ----------------------------------------------------------------------------------
@pytest.mark.requirement("J-035")
@pytest.mark.parametrize(("at", "starts", "limit"), [
    # Friday; 8 December is a holiday in Italy, so the limit is Wednesday, and Monday is free
    ("2026-12-04T10:00:00Z", "2026-12-07T08:00:00Z", "2026-12-09T17:00:00Z"),
    ("2026-12-24T10:00:00Z", "2026-12-28T08:00:00Z", "2026-12-29T17:00:00Z"),
    ("2026-12-31T10:00:00Z", "2027-01-04T08:00:00Z", "2027-01-05T17:00:00Z"),
    # clocks go forward on Sunday 29 March 2026 in Rome: nine is 07:00 in UTC afterwards
    ("2026-03-27T10:00:00Z", "2026-03-30T07:00:00Z", "2026-03-31T16:00:00Z"),
    # and back on 25 October
    ("2026-10-23T10:00:00Z", "2026-10-26T08:00:00Z", "2026-10-27T17:00:00Z"),
    # after the cut-off: Day 0 is Monday
    ("2026-11-20T16:30:00Z", "2026-11-24T08:00:00Z", "2026-11-25T17:00:00Z"),
])  # fmt: skip
def test_the_kickoff_is_within_two_business_days_of_both(
    served: Served, at: str, starts: str, limit: str
) -> None:
    tenant_id = signed(served, at)
    outcome = served.invite(tenant_id)
    assert isinstance(outcome, Did)
    found = meeting(served)
    assert found.starts_at == utc(starts)
    assert found.starts_at <= utc(limit)
    assert found.ends_at - found.starts_at == timedelta(hours=1)
    assert outcome.result["starts_at"] == starts


@pytest.mark.requirement("J-035")
def test_a_holiday_of_the_customer_moves_the_kickoff(served: Served) -> None:
    english = [{**each, "locale": "en"} for each in CONTACTS]
    served.changed("csm-1", **works("America/New_York", "US", "09:00", "18:00"))
    tenant_id = signed(
        served, "2026-11-25T10:00:00-05:00", contacts=english,
        company={"country": "US", "time_zone": "America/New_York"},
    )  # fmt: skip
    served.invite(tenant_id)
    # Thanksgiving is on the 26th; on Friday both work, the engineer in Rome too
    assert meeting(served).starts_at == utc("2026-11-27T14:00:00Z")


def test_who_has_another_meeting_or_is_away_is_not_invited_then(served: Served) -> None:
    served.changed("se-1", absences=away("2026-11-24", "2026-11-24"))
    first, second = signed(served, "2026-11-23T09:00:00Z"), served.staffed(
        2, contract={"signed_at": "2026-11-23T09:00:00Z"}
    )  # fmt: skip
    served.do(first, "people.release", role="solutions_engineer")
    perform(
        served.world.core, ADMIN, people.assign_person, first,
        role=TeamRole.SOLUTIONS_ENGINEER, person="se-1", reason="knows them",
    )  # fmt: skip
    served.invite(first)
    served.invite(second)
    starts = {each.tenant_id: each.starts_at for each in served.world.rows("meeting").values()}
    assert starts[first] == utc("2026-11-25T08:00:00Z")  # after the day on which se-1 is away
    assert starts[second] == utc("2026-11-24T08:00:00Z")  # with somebody else, on the first day


def test_two_who_invite_at_once_do_not_take_the_same_hour_of_somebody(served: Served) -> None:
    at = "2026-11-23T09:00:00Z"
    served.at(at)
    tenants = [served.staffed(number, contract={"signed_at": at}) for number in (1, 2, 3, 4)]
    with ThreadPoolExecutor(4) as pool:
        assert all(isinstance(each, Did) for each in pool.map(served.invite, tenants))
    starts = [each.starts_at for each in served.world.rows("meeting").values()]
    assert len(set(starts)) == 4


def test_without_common_hours_a_person_is_asked_with_the_reason(served: Served) -> None:
    served.changed("csm-1", **works("Pacific/Auckland", "NZ", "09:00", "17:00"))
    tenant_id = signed(served, "2026-11-23T09:00:00Z")
    perform(
        served.world.core, ADMIN, people.assign_person, tenant_id,
        role=TeamRole.CSM, person="csm-1", reason="nobody else",
    )  # fmt: skip
    outcome = served.invite(tenant_id)
    assert isinstance(outcome, Asks)
    assert outcome.result["reason"] == "no_common_hours"
    assert set(outcome.result["because_of"]) == {"the customer", "csm-1"}
    assert outcome.result["alternatives"] == []
    assert "There is none after that" in outcome.instructions
    assert not served.world.rows("meeting")
    assert not served.invitations()


def test_when_everybody_is_busy_the_nearest_times_are_named(served: Served) -> None:
    tenant_id = signed(served, "2026-11-23T09:00:00Z")
    served.changed("csm-1", absences=away("2026-11-24", "2026-11-27"))
    outcome = served.invite(tenant_id)
    assert isinstance(outcome, Asks)
    assert outcome.result["reason"] == "all_busy"
    assert outcome.result["alternatives"] == [
        "2026-11-30T08:00:00Z", "2026-12-01T08:00:00Z", "2026-12-02T08:00:00Z"
    ]  # fmt: skip
    assert "2026-11-30 09:00 (Europe/Rome)" in outcome.instructions


@pytest.mark.requirement("P-010")
def test_the_playbook_says_within_which_days_and_how_many_other_times(served: Served) -> None:
    tenant_id = signed(served, "2026-11-23T09:00:00Z")
    served.changed("csm-1", absences=away("2026-11-24", "2026-11-27"))
    one = served.invite(tenant_id, within={"amount": 3, "unit": "day"}, alternatives=1)
    assert isinstance(one, Asks)
    assert one.result["alternatives"] == ["2026-11-30T08:00:00Z"]
    none = served.invite(tenant_id, within={"amount": 3, "unit": "business_day"}, alternatives=0)
    assert isinstance(none, Asks)
    assert none.result["alternatives"] == []
    found = served.invite(tenant_id, within={"amount": 5, "unit": "business_day"})
    assert isinstance(found, Did)
    assert found.result["starts_at"] == "2026-11-30T08:00:00Z"


def test_the_playbook_says_how_long_before_a_meeting_people_are_invited(served: Served) -> None:
    tenant_id = signed(served, "2026-11-23T09:00:00Z")
    served.at("2026-11-24T08:00:00Z")
    outcome = served.invite(tenant_id, notice_hours=5)
    assert isinstance(outcome, Did)
    assert outcome.result["starts_at"] == "2026-11-24T13:00:00Z"


def test_who_is_away_on_a_day_that_the_playbook_names_is_not_assigned(served: Served) -> None:
    served.at("2026-11-23T09:00:00Z")
    served.changed("csm-1", absences=away("2026-11-27", "2026-11-27"))
    contract = {"signed_at": "2026-11-23T09:00:00Z"}
    first, second = (served.tenant(number, contract=contract) for number in (1, 2))
    soon = served.do(first, "people.assign", role="csm")
    assert isinstance(soon, Did)
    assert soon.result["person"] == "csm-1"
    week = {"amount": 5, "unit": "business_day"}
    later = served.do(second, "people.assign", role="csm", within=week)
    assert isinstance(later, Did)
    assert later.result["person"] != "csm-1"


def test_a_contract_that_comes_late_is_not_squeezed_in(served: Served) -> None:
    served.at("2026-12-10T09:00:00Z")
    outcome = served.invite(served.staffed(contract={"signed_at": "2026-11-20T14:03:00Z"}))
    assert isinstance(outcome, Asks)
    assert outcome.result["reason"] == "too_late"
    assert outcome.result["alternatives"][0] == "2026-12-10T11:00:00Z"


# --- the mail ----------------------------------------------------------------------------------
@pytest.mark.requirement("J-034", "K-023", "W-011")
def test_everybody_gets_one_mail_that_a_calendar_reads(served: Served) -> None:
    served.invite(signed(served, "2026-11-23T09:00:00Z"))
    found = served.invitations(event="kickoff.invited")
    assert {each.recipient_email for each in found} == EVERYBODY
    assert len(found) == 5
    for message in found:
        event = parsed(message)
        assert str(event["uid"]) == meeting(served).uid
        assert int(event["sequence"]) == 0
        assert event.decoded("dtstart") == utc("2026-11-24T08:00:00Z")
        assert event.decoded("dtend") == utc("2026-11-24T09:00:00Z")
        assert str(event["organizer"]) == "mailto:onboarding@tenantplane.example"
        assert str(event["status"]) == "CONFIRMED"
        assert str(event["summary"]) == "Kickoff: Dainese S.p.A."
        assert {str(each) for each in event["attendee"]} == {f"mailto:{one}" for one in EVERYBODY}
        assert {each.params["cn"] for each in event["attendee"]} >= {"Bea 'B' Ü", "Ida Admin"}
        assert {each.params["rsvp"] for each in event["attendee"]} == {"TRUE"}
    assert "DTSTART:20261124T080000Z" in str(found[0].calendar_content)
    assert max(map(len, str(found[0].calendar_content).encode().split(b"\r\n"))) <= 75


def test_who_has_two_roles_is_invited_once(served: Served) -> None:
    same = [
        {**CONTACTS[0]}, {**CONTACTS[1], "email": "ELIO@example.com"}, {**CONTACTS[2]}
    ]  # fmt: skip
    served.invite(signed(served, "2026-11-23T09:00:00Z", contacts=same))
    found = meeting(served)
    assert len(found.attendees) == 4
    assert found.missing == ()
    assert ("executive_sponsor", "it_admin") in [each.roles for each in found.attendees]


def test_an_invitation_that_is_asked_for_again_is_the_same(served: Served) -> None:
    tenant_id = signed(served, "2026-11-23T09:00:00Z")
    assert served.invite(tenant_id) == served.invite(tenant_id)
    assert len(served.invitations()) == 5


@pytest.mark.requirement("J-041")
def test_a_role_that_is_missing_is_said_and_the_others_are_invited(served: Served) -> None:
    outcome = served.invite(signed(served, "2026-11-23T09:00:00Z", contacts=CONTACTS[1:]))
    assert isinstance(outcome, Did)
    assert outcome.result["missing"] == ["executive_sponsor"]
    assert len(served.invitations()) == 4
    (task,) = served.world.rows("task").values()
    assert task.owner == "sales"
    assert "executive sponsor" in task.title


@pytest.mark.requirement("J-041")
def test_without_anybody_of_the_customer_sales_is_asked(served: Served) -> None:
    outcome = served.invite(signed(served, "2026-11-23T09:00:00Z", contacts=()))
    assert isinstance(outcome, Asks)
    assert outcome.owner == "sales"
    assert not served.invitations()


def test_without_mail_a_person_invites_to_the_meeting_that_was_found(served: Served) -> None:
    served.world.core = replace(served.world.core, systems=Systems())
    contacts = [each for each in CONTACTS if each["role"] != "business_sponsor"]
    tenant_id = signed(served, "2026-12-04T10:00:00Z", contacts=contacts)
    outcome = served.invite(tenant_id)
    assert isinstance(outcome, Asks)
    assert "2026-12-07 09:00 (Europe/Rome)" in outcome.instructions
    assert "csm, solutions engineer, executive sponsor, it admin." in outcome.instructions
    assert "Nobody is named as business sponsor." in outcome.instructions
    assert outcome.result["meeting"] == meeting(served).id
    assert served.invite(tenant_id) == outcome
    assert not served.world.rows("task")


def test_a_lite_customer_is_met_by_the_engineer_alone(served: Served) -> None:
    served.at("2026-11-23T09:00:00Z")
    tenant_id = served.staffed(
        contract={"subscription": "lite", "signed_at": "2026-11-23T09:00:00Z"}
    )
    served.invite(tenant_id)
    found = meeting(served)
    assert found.missing == ()
    assert [each.person for each in found.attendees if each.person] == ["se-1"]


@pytest.mark.parametrize(("changes", "field"), [
    ({"meeting": "lunch"}, "meeting"), ({"minutes": 0}, "minutes"), ({"minutes": 481}, "minutes"),
    ({"minutes": "60"}, "minutes"), ({"attendees": ["it_admim"]}, "attendees"),
])  # fmt: skip
def test_what_nobody_can_be_invited_to_fails(
    served: Served, changes: dict[str, Any], field: str
) -> None:
    outcome = served.invite(served.tenant(), **changes)
    assert isinstance(outcome, DidFail)
    assert outcome.error["data"]["field"] == field


# --- changes -----------------------------------------------------------------------------------
def changed(served: Served, do: Any, **given: Any) -> Meeting:
    found: Meeting = perform(
        served.world.core, ADMIN, do, meeting(served).id, reason="they asked", **given
    )
    return found


@pytest.mark.requirement("J-034")
def test_a_move_raises_the_sequence_of_the_same_meeting(served: Served) -> None:
    served.invite(signed(served, "2026-11-23T09:00:00Z"))
    uid, to = meeting(served).uid, utc("2026-11-25T14:00:00Z")
    changed(served, meetings.move_meeting, starts_at=to)
    found = served.invitations(event="kickoff.moved")
    assert {each.recipient_email for each in found} == EVERYBODY
    for message in found:
        event = parsed(message)
        assert message.calendar_method == "REQUEST"
        assert (str(event["uid"]), int(event["sequence"])) == (uid, 1)
        assert event.decoded("dtstart") == to
        assert event.decoded("dtend") == to + timedelta(hours=1)
    (event,) = served.actions("meeting.moved")
    assert event.data["previous_start"] == "2026-11-24T08:00:00Z"
    assert event.personal["reason"] == "they asked"
    changed(served, meetings.move_meeting, starts_at=to + timedelta(hours=1))
    assert meeting(served).sequence == 2


@pytest.mark.requirement("J-034")
def test_a_meeting_that_is_called_off_leaves_every_calendar(served: Served) -> None:
    tenant_id = signed(served, "2026-11-23T09:00:00Z")
    served.invite(tenant_id)
    changed(served, meetings.cancel_meeting)
    found = served.invitations(event="kickoff.cancelled")
    assert {each.recipient_email for each in found} == EVERYBODY
    for message in found:
        event = parsed(message)
        assert message.calendar_method == "CANCEL"
        assert (str(event["status"]), int(event["sequence"])) == ("CANCELLED", 1)
        assert str(event["attendee"]) == f"mailto:{message.recipient_email}"
    with pytest.raises(IllegalTransition):
        changed(served, meetings.cancel_meeting)
    with pytest.raises(IllegalTransition):
        changed(served, meetings.move_meeting, starts_at=utc("2026-11-26T08:00:00Z"))
    # and the step that invites can invite again, to another meeting
    assert isinstance(served.invite(tenant_id), Did)
    assert len(served.world.rows("meeting")) == 2


def test_the_step_that_takes_an_invitation_back_calls_it_off(served: Served) -> None:
    tenant_id = signed(served, "2026-11-23T09:00:00Z")
    served.invite(tenant_id)
    assert isinstance(served.do(tenant_id, "calendar.cancel", meeting="kickoff"), Did)
    assert meeting(served).status is MeetingStatus.CANCELED
    again = served.do(tenant_id, "calendar.cancel", meeting="kickoff")
    assert isinstance(again, NotNeeded)
    assert len(served.invitations(calendar_method="CANCEL")) == 5


@pytest.mark.parametrize("to", ["2026-11-23T08:59:00Z", "2026-11-24T08:00:00Z"])
def test_a_meeting_is_moved_to_another_time_that_is_to_come(served: Served, to: str) -> None:
    served.invite(signed(served, "2026-11-23T09:00:00Z"))
    with pytest.raises(InvalidInput):
        changed(served, meetings.move_meeting, starts_at=utc(to))
    assert served.world.actions()[-1] == "meeting.refused:denied"


def test_a_meeting_that_is_over_stays(served: Served) -> None:
    served.invite(signed(served, "2026-11-23T09:00:00Z"))
    served.at("2026-11-24T09:00:00Z")
    with pytest.raises(IllegalTransition, match="over"):
        changed(served, meetings.move_meeting, starts_at=datetime.max.replace(tzinfo=utc(
            "2026-11-24T09:00:00Z").tzinfo))  # fmt: skip


def test_who_takes_over_is_invited_and_who_leaves_is_told(served: Served) -> None:
    tenant_id = signed(served, "2026-11-23T09:00:00Z")
    served.invite(tenant_id)
    perform(
        served.world.core, ADMIN, people.assign_person, tenant_id,
        role=TeamRole.CSM, person="csm-3", reason="moved to another team",
    )  # fmt: skip
    found = meeting(served)
    assert {each.person for each in found.attendees if each.person} == {"csm-3", "se-1"}
    (gone,) = served.invitations(event="kickoff.cancelled")
    assert gone.recipient_email == "carla@team.example.com"
    new = [each for each in served.invitations() if parsed(each)["sequence"] == 1]
    asked = {each.recipient_email for each in new if each.calendar_method == "REQUEST"}
    assert asked == EVERYBODY - {"carla@team.example.com"} | {"casey@team.example.com"}


# --- rows --------------------------------------------------------------------------------------
@pytest.mark.parametrize(("change", "rule"), [
    ("uid = 'x'", "meeting_is_kept"),
    ("starts_at = starts_at - interval '1 hour'", "meeting_sequence_grows"),
    ("status = 'canceled'", "meeting_sequence_grows"),
    ("sequence = -1", "meeting_sequence_grows"),
    ("ends_at = starts_at, sequence = 1", "ck_meeting_ends_after_its_start"),
])  # fmt: skip
def test_a_meeting_changes_with_its_sequence(served: Served, change: str, rule: str) -> None:
    served.invite(signed(served, "2026-11-23T09:00:00Z"))
    with served.world.storage.unit_of_work() as uow, pytest.raises(DBAPIError) as refused:
        uow.connection.execute(text(f"UPDATE meeting SET {change}"))  # noqa: S608 - our words
    cause: Any = refused.value.orig
    assert cause.diag.constraint_name == rule


def test_a_removed_tenant_leaves_no_names_and_frees_people(served: Served) -> None:
    tenant_id = signed(served, "2026-11-23T09:00:00Z")
    served.invite(tenant_id)
    with served.world.core.act() as act:
        forget_people(act, act.uow.tenants.need(tenant_id))
        act.uow.commit()
    assert meeting(served).attendees == ()
    assert meeting(served).status is MeetingStatus.CANCELED
    assert len(served.invitations(calendar_method="CANCEL")) == 5
    assert all(not each.is_open and not each.reason
               for each in served.world.rows("assignment").values())  # fmt: skip
    (event,) = served.actions("people.erased")
    assert (event.data["assignments"], event.data["meetings"]) == (2, 1)
    with served.world.core.uow() as uow:
        assert uow.staffing.loads()["csm-1"].points == 0


def test_nobody_is_named_in_what_is_plain(served: Served) -> None:
    outcome = served.invite(signed(served, "2026-11-23T09:00:00Z"))
    assert ATTENDEES
    plain = str([event.data for event in served.world.events()]) + str(outcome)
    for name in ("Carla", "carla@", "Elio", "elio@", "Bea"):
        assert name not in plain
    assert "Carla" not in repr(meeting(served))
