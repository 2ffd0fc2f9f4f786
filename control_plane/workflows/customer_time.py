"""A customer's working time, and the days on which its kickoff may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from control_plane.domain.calendars.business import BusinessCalendar, JointCalendar
from control_plane.domain.calendars.due import Due, DueUnit, JourneyClock
from control_plane.domain.calendars.moments import moment_of
from control_plane.domain.calendars.rules import Place
from control_plane.domain.tenant import Tenant
from control_plane.workflows.core import Core

# of a document that does not say it
WITHIN: Final = Due(amount=2, unit=DueUnit.BUSINESS_DAY)
NOTICE: Final = timedelta(hours=2)  # nobody is invited to a meeting that is about to begin


@dataclass(frozen=True, kw_only=True)
class Window:
    """When a kickoff may start: from ``earliest`` up to ``latest``; days by customer's clocks."""

    customer: BusinessCalendar
    day_zero: date
    last_day: date
    earliest: datetime
    latest: datetime


def customer_calendar(core: Core, tenant: Tenant) -> BusinessCalendar:
    """Return when a customer works."""
    place = Place(zone=tenant.time_zone, country=tenant.country or None)
    return core.rules.calendars.customer_calendar(place, core.holidays)


def within_of(arguments: Mapping[str, Any]) -> Due:
    """Return within what time a step's meeting has to be, as its playbook says."""
    given = arguments.get("within")
    return WITHIN if given is None else Due(amount=given["amount"], unit=DueUnit(given["unit"]))


def kickoff_window(
    core: Core,
    tenant: Tenant,
    anchor: datetime,
    now: datetime,
    *,
    within: Due = WITHIN,
    notice: timedelta = NOTICE,
) -> Window:
    """Return the time within the days after the Day 0 of an anchor; business days are of both.

    It begins on the day after Day 0, and not before people can have read the invitation.
    """
    calendars = core.rules.calendars
    customer = customer_calendar(core, tenant)
    vendor = calendars.vendor_calendar(core.holidays)
    clock = JourneyClock(
        anchor=anchor,
        customer=customer,
        counting=JointCalendar((customer, vendor)),
        tz_version="",  # of what is stored, and this is not
        cut_off=calendars.cut_off,
    )
    due = clock.due(within)
    after = datetime.combine(clock.day_zero + timedelta(days=1), time())
    return Window(
        customer=customer,
        day_zero=clock.day_zero,
        last_day=due.wall.date(),
        earliest=max(moment_of(after, customer.zone), now + notice),
        latest=due.instant,
    )
