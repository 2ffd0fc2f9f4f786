"""People of the vendor and meetings: looked at, assigned, moved, called off."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import CallerDep, PagingDep, SharedDep, WriterDep
from api.schemas import people_views as views
from api.schemas import requests as bodies
from api.schemas.views import Page
from api.strict_json import StrictRoute
from control_plane.domain.invitation import MeetingStatus
from control_plane.services import meetings, people
from control_plane.services.performing import perform

router = APIRouter(prefix="/v1", tags=["people"], route_class=StrictRoute)


@router.get("/people")
def list_people(have: SharedDep, who: CallerDep) -> views.PeopleView:
    """List everybody of the team document, with load, capacity and absences."""
    found = perform(have.core, who, people.list_people)
    return views.PeopleView(items=[views.PersonView.of(each) for each in found])


@router.get("/tenants/{key}/people")
def people_of_tenant(have: SharedDep, who: CallerDep, key: str) -> views.StaffView:
    """Show who works for a tenant, who did, and why it was them."""
    found = perform(have.core, who, people.people_of_tenant, key)
    return views.StaffView.of(found, who.actor)


@router.post("/tenants/{key}/people")
def assign_person(
    have: SharedDep, who: WriterDep, key: str, body: views.PersonAssignment
) -> views.StaffView:
    """Assign somebody to a tenant, instead of who has the role now."""
    found = perform(
        have.core, who, people.assign_person, key,
        role=body.role, person=body.person, reason=body.reason,
    )  # fmt: skip
    return views.StaffView.of(found, who.actor)


@router.get("/meetings")
def list_meetings(
    have: SharedDep,
    who: CallerDep,
    page: PagingDep,
    tenant: Annotated[str | None, Query(max_length=60)] = None,
    status: MeetingStatus | None = None,
) -> Page[views.MeetingView]:
    """List meetings, newest first; of one tenant, by id or slug, or with a status if asked."""
    found = perform(
        have.core, who, meetings.list_meetings, limit=page.limit, before=page.before,
        tenant=tenant, status=status,
    )  # fmt: skip
    now = have.core.clock.now()
    items = [views.MeetingView.of(item, who.actor, now) for item in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.get("/meetings/{meeting_id}")
def get_meeting(have: SharedDep, who: CallerDep, meeting_id: str) -> views.MeetingView:
    """Show a meeting and who is invited."""
    found = perform(have.core, who, meetings.get_meeting, meeting_id)
    return views.MeetingView.of(found, who.actor, have.core.clock.now())


@router.post("/meetings/{meeting_id}/move")
def move_meeting(
    have: SharedDep, who: WriterDep, meeting_id: str, body: views.MeetingMove
) -> views.MeetingView:
    """Move a meeting to another time, and tell everybody who is invited."""
    found = perform(
        have.core, who, meetings.move_meeting, meeting_id,
        starts_at=body.starts_at, reason=body.reason,
    )  # fmt: skip
    return views.MeetingView.of(found, who.actor, have.core.clock.now())


@router.post("/meetings/{meeting_id}/cancel")
def cancel_meeting(
    have: SharedDep, who: WriterDep, meeting_id: str, body: bodies.Explained
) -> views.MeetingView:
    """Call a meeting off, and tell everybody who is invited."""
    found = perform(have.core, who, meetings.cancel_meeting, meeting_id, reason=body.reason)
    return views.MeetingView.of(found, who.actor, have.core.clock.now())
