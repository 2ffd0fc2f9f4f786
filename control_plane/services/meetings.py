"""Meetings with customers: looked at, moved, called off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from control_plane.domain.actor import Actor, Role
from control_plane.domain.errors import IllegalTransition, InvalidInput
from control_plane.domain.invitation import Meeting, MeetingStatus
from control_plane.services.permission import READ_TENANTS, listed, require_role, visible
from control_plane.services.tenants import find_tenant
from control_plane.workflows.core import Act
from control_plane.workflows.inviting import (
    call_off,
    in_utc,
    move,
    record_meeting,
    targets_of,
)
from control_plane.workflows.recording import refused_as

CHANGERS: Final = (Role.SOLUTIONS_ARCHITECT, Role.PLATFORM_ADMIN)


def list_meetings(
    act: Act,
    *,
    limit: int,
    before: str | None,
    tenant: str | None = None,
    status: MeetingStatus | None = None,
) -> list[Meeting]:
    """Return meetings, newest first; of one tenant, by id or slug, if asked."""
    require_role(act, *READ_TENANTS, wanted="meetings.read")
    wanted = listed(act, status=status)
    if tenant is not None:
        found = find_tenant(act.uow, tenant)
        if found is None or not act.caller.actor.sees(found.id):
            return []
        wanted["tenant_id"] = found.id
    return act.uow.meetings.page(limit=limit, before=before, **wanted)


def get_meeting(act: Act, meeting_id: str) -> Meeting:
    """Return a meeting. Raises ``NotFound``."""
    require_role(act, *READ_TENANTS, wanted="meetings.read")
    return visible(act, act.uow.meetings.get(meeting_id), wanted="meetings.read")


def may_change(act: Act, meeting_id: str) -> Meeting:
    """Return a meeting that the caller's roles may change. Raises ``NotFound``, ``NotAllowed``."""
    found = visible(act, act.uow.meetings.get(meeting_id), wanted="meetings.change")
    require_role(act, *CHANGERS, wanted="meetings.change", tree=found.tenant_id)
    return found


def move_meeting(act: Act, meeting_id: str, *, starts_at: datetime, reason: str) -> Meeting:
    """Move a meeting to another time, as long as it was, and tell everybody who is invited.

    Raises ``InvalidInput`` for a time that has passed, ``IllegalTransition`` for a meeting that
    was called off or is over.
    """
    with _changing(act, meeting_id, "move", reason) as meeting:
        if starts_at <= act.now() or starts_at == meeting.starts_at:
            raise InvalidInput("must be another time that is to come", field="starts_at")
        tenant = act.uow.tenants.need(meeting.tenant_id)
        moved = move(act, tenant, meeting, starts_at)
        record_meeting(
            act, "meeting.moved", moved,
            personal={"reason": reason.strip()}, previous_start=in_utc(meeting.starts_at),
        )  # fmt: skip
        return moved


def cancel_meeting(act: Act, meeting_id: str, *, reason: str) -> Meeting:
    """Call a meeting off, and tell everybody who is invited. Raises ``IllegalTransition``."""
    with _changing(act, meeting_id, "cancel", reason) as meeting:
        tenant = act.uow.tenants.need(meeting.tenant_id)
        canceled = call_off(act, tenant, meeting)
        record_meeting(act, "meeting.canceled", canceled, personal={"reason": reason.strip()})
        return canceled


def allowed_actions(meeting: Meeting, actor: Actor, now: datetime) -> list[str]:
    """Return what somebody may ask of a meeting now."""
    is_ahead = meeting.status is MeetingStatus.INVITED and meeting.ends_at > now
    return ["move", "cancel"] if is_ahead and actor.has(*CHANGERS) else []


@contextmanager
def _changing(act: Act, meeting_id: str, wanted: str, reason: str) -> Iterator[Meeting]:
    """Yield a meeting that can be changed, locked; what is refused is recorded."""
    found = may_change(act, meeting_id)
    with refused_as(
        act, "meeting.refused", tree=found.tenant_id, targets=targets_of(found), wanted=wanted
    ):
        if not reason.strip():
            raise InvalidInput("a reason is required", field="reason")
        meeting = act.uow.meetings.need(meeting_id, lock=True)
        if meeting.status is not MeetingStatus.INVITED:
            raise IllegalTransition(
                "the meeting was called off", present_status=str(meeting.status)
            )
        if meeting.ends_at <= act.now():
            raise IllegalTransition("the meeting is over", present_status=str(meeting.status))
        yield meeting
