"""When steps of a journey begin and are due, by the tenant's calendar and the vendor's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from control_plane.domain.calendars.business import JointCalendar
from control_plane.domain.calendars.due import JourneyClock
from control_plane.domain.calendars.rules import Place
from control_plane.domain.errors import InvalidInput
from control_plane.domain.journey import ENDED, Instant, Journey, JourneyStep
from control_plane.domain.playbook import Anchor, Time
from control_plane.domain.tenant import Tenant
from control_plane.workflows.core import Core


def clock_of(core: Core, tenant: Tenant, anchor: datetime, *, is_signing: bool) -> JourneyClock:
    """Return a tenant's time from an anchor; the cut-off of Day 0 is that of the signing."""
    rules = core.rules.calendars
    place = Place(zone=tenant.time_zone, country=tenant.country)
    customer = rules.customer_calendar(place, core.holidays)
    return JourneyClock(
        anchor=anchor,
        customer=customer,
        counting=JointCalendar((customer, rules.vendor_calendar(core.holidays))),
        tz_version=core.zones.version(tenant.time_zone),
        cut_off=rules.cut_off if is_signing else None,
    )


def day_number(core: Core, tenant: Tenant, journey: Journey, now: datetime) -> int:
    """Return which day of a journey it is by the customer's clocks."""
    signed = journey.anchors[str(Anchor.SIGNED)]
    return clock_of(core, tenant, signed, is_signing=True).day_number(now)


def instant_of(
    core: Core, tenant: Tenant, journey: Journey, steps: Mapping[str, JourneyStep]
) -> Instant:
    """Return what tells the instant of a time of the playbook: None while that is not known."""

    def instant(time: Time) -> datetime | None:
        if time.after is not None:
            before = steps[time.after]
            anchor = before.ended_at if before.status in ENDED else None
        else:
            anchor = journey.anchors.get(str(time.anchor))
        if anchor is None:
            return None
        clock = clock_of(core, tenant, anchor, is_signing=time.anchor is Anchor.SIGNED)
        try:
            return clock.due(time.due).instant
        except InvalidInput:  # no working time for years: nobody can say when
            return None

    return instant
