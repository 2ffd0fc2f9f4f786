"""What a removed tenant leaves of people: assignments end, and names are erased."""

from __future__ import annotations

from typing import Final

from control_plane.domain.invitation import MeetingStatus
from control_plane.domain.tenant import Tenant
from control_plane.workflows.core import Act
from control_plane.workflows.inviting import call_off, record_meeting
from control_plane.workflows.recording import record
from control_plane.workflows.staffing import release_everybody, take_turn

_REASON: Final = "the tenant was removed"


def forget_people(act: Act, tenant: Tenant) -> None:
    """End the assignments of a tenant, call its meetings off, and erase people from both.

    Those who are invited to what is still to come get a cancellation before that.
    """
    take_turn(act)
    release_everybody(act, tenant, reason=_REASON)
    assignments = meetings = 0
    for found in act.uow.meetings.find(tenant_id=tenant.id):
        meeting = act.uow.meetings.need(found.id, lock=True)
        if meeting.status is MeetingStatus.INVITED and meeting.ends_at > act.now():
            meeting = call_off(act, tenant, meeting)
            record_meeting(act, "meeting.canceled", meeting)
        if meeting.attendees:
            meetings += 1
            act.uow.meetings.save(meeting.erased(act.now()))
    for assignment in act.uow.assignments.find(tenant_id=tenant.id):
        if assignment.reason:
            assignments += 1
            act.uow.assignments.save(assignment.erased())
    if assignments or meetings:
        record(
            act, "people.erased",
            tree=tenant.id, targets=(("tenant", tenant.id),),
            assignments=assignments, meetings=meetings,
        )  # fmt: skip
