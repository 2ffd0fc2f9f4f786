"""The port ``InvitationWriter`` by the library ``icalendar`` (BSD-2), loaded when it is needed.

Times are written in UTC: each calendar shows them by its own clocks, and the object needs no zone
rules of ours.
"""

from __future__ import annotations

from typing import Final

from control_plane.domain.invitation import CANCEL, Invitation

PRODUCT: Final = "-//tenantplane//invitations//EN"


def write_invitation(invitation: Invitation) -> str:
    """Return the iCalendar object of an invitation, a change of one, or its end."""
    from icalendar import Calendar, Event, vCalAddress, vText  # noqa: PLC0415 - heavy, and rare

    meeting = invitation.meeting
    event = Event()
    event.add("uid", meeting.uid)
    event.add("sequence", meeting.sequence)
    event.add("dtstamp", invitation.stamped_at.replace(microsecond=0))
    event.add("dtstart", meeting.starts_at.replace(microsecond=0))
    event.add("dtend", meeting.ends_at.replace(microsecond=0))
    event.add("summary", meeting.title)
    event.add("status", "CANCELLED" if invitation.method == CANCEL else "CONFIRMED")
    event.add("transp", "OPAQUE")
    organizer = vCalAddress(f"mailto:{invitation.organizer_email}")
    organizer.params["cn"] = vText(_name(invitation.organizer_name))
    event["organizer"] = organizer
    for each in invitation.attendees:
        attendee = vCalAddress(f"mailto:{each.email}")
        attendee.params["cn"] = vText(_name(each.name))
        attendee.params["role"] = vText("REQ-PARTICIPANT")
        attendee.params["partstat"] = vText("NEEDS-ACTION")
        attendee.params["rsvp"] = vText("TRUE")
        event.add("attendee", attendee, encode=False)
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("method", invitation.method)
    calendar.add_component(event)
    content: bytes = calendar.to_ical()
    return content.decode()


def _name(text: str) -> str:
    """Return a name as a parameter can hold it: no control character and no double quote."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(plain.replace('"', "'").split())
