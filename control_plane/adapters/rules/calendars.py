"""From the calendars document to its rules: what no schema can say is refused here."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time
from typing import Any, Final, TypeVar

from control_plane.adapters.rules.documents import Document, nearest
from control_plane.adapters.time_zones import is_zone
from control_plane.domain.calendars.days import Marked
from control_plane.domain.calendars.rules import CalendarRules, Hours, OwnDays, Place
from control_plane.domain.change_window import WEEKDAYS
from control_plane.domain.countries import COUNTRIES
from control_plane.domain.subdivisions import SUBDIVISIONS

Entry = Mapping[str, Any]
Value = TypeVar("Value")
_DATE_LENGTH: Final = len("2026-12-24")
_YEAR: Final = "2024-"  # a leap year, to read the days of every year with
_OFTEN_WRONG: Final = {"UK": "GB", "EL": "GR"}


def parse_calendars(document: Document) -> CalendarRules:
    """Return the calendar rules.

    Raises ``SettingInvalid`` for an unknown time zone, country or subdivision, hours that end
    before they begin, a day that no year has or that is named twice, a half day out of its hours.
    """
    content = document.content
    vendor = content["vendor"]
    fault = zone_fault(vendor["time_zone"])
    if fault:
        raise document.refused("vendor.time_zone", fault)
    country, subdivision = _place(document, "vendor", vendor)
    hours = _hours(document, "vendor", vendor)
    return CalendarRules(
        digest=document.digest,
        cut_off=time.fromisoformat(content["cut_off"]),
        vendor=Place(zone=vendor["time_zone"], country=country, subdivision=subdivision),
        vendor_hours=hours,
        vendor_days=_days(document, "vendor", vendor, hours),
        customer_hours=_hours(document, "customer", content["customer"]),
        places=_places(document, content["places"]),
    )


def _places(document: Document, entries: Sequence[Entry]) -> dict[tuple[str, str | None], OwnDays]:
    found: dict[tuple[str, str | None], OwnDays] = {}
    for index, entry in enumerate(entries):
        where = f"places.{index}"
        place = _place(document, where, entry)
        if place in found:
            name = "-".join(filter(None, place))
            raise document.refused(where, f"{name} is there twice; name all its days in one entry")
        found[place] = _days(document, where, entry, None)
    return found


def country_fault(country: str) -> str:
    """Return why a text is not the code of a country, with the one that may be meant, or empty."""
    if country in COUNTRIES:
        return ""
    meant = _OFTEN_WRONG.get(country)
    hint = f"; did you mean {meant!r}?" if meant else nearest(country.upper(), COUNTRIES)
    return f"{country!r} is not the ISO 3166-1 code of a country{hint}"


def subdivision_fault(country: str, subdivision: str) -> str:
    """Return why a text is not a known part of a country, with what is known, or empty."""
    known = SUBDIVISIONS.get(country, ())
    if subdivision in known:
        return ""
    shown = f" (known: {', '.join(known)})" if known else f" ({country} has none)"
    hint = nearest(subdivision, known) or shown
    return f"unknown subdivision {subdivision!r} of {country}{hint}"


def zone_fault(zone: str) -> str:
    """Return why a text is not a time zone, with the one that may be meant, or empty."""
    if is_zone(zone):
        return ""
    return f"unknown time zone {zone!r}{nearest(zone, zoneinfo.available_timezones())}"


def _place(document: Document, where: str, entry: Entry) -> tuple[str, str | None]:
    country, subdivision = entry["country"], entry.get("subdivision")
    fault = country_fault(country)
    if fault:
        raise document.refused(f"{where}.country", fault)
    fault = "" if subdivision is None else subdivision_fault(country, subdivision)
    if fault:
        raise document.refused(f"{where}.subdivision", fault)
    return country, subdivision


def _hours(document: Document, where: str, entry: Entry) -> Hours:
    start, end = time.fromisoformat(entry["from"]), time.fromisoformat(entry["to"])
    if end <= start:
        reason = f"working hours end after their start, and {entry['to']} is not after"
        raise document.refused(f"{where}.to", f"{reason} {entry['from']}")
    return Hours(start=start, end=end)


def _days(document: Document, where: str, entry: Entry, hours: Hours | None) -> OwnDays:
    closed = _marked(document, f"{where}.closed", [
        (".day", each["day"], str(each["name"])) for each in entry.get("closed", ())
    ])  # fmt: skip
    opened = _marked(document, f"{where}.open", [("", on, True) for on in entry.get("open", ())])
    halves = [
        (".day", each["day"], time.fromisoformat(each["until"]))
        for each in entry.get("half_days", ())
    ]
    for index, (_, _, until) in enumerate(halves):
        if hours is not None and not hours.start < until < hours.end:
            reason = f"{until:%H:%M} is not within the working hours"
            raise document.refused(f"{where}.half_days.{index}.until", reason)
    for index, on in enumerate(entry.get("open", ())):
        if on in {each["day"] for each in entry.get("closed", ())}:
            raise document.refused(f"{where}.open.{index}", f"{on} is among the closed days, too")
    return OwnDays(
        weekend=_weekend(entry),
        closed=closed,
        open=opened,
        half_days=_marked(document, f"{where}.half_days", halves),
    )


def _weekend(entry: Entry) -> frozenset[int] | None:
    if "weekend" not in entry:
        return None
    return frozenset(WEEKDAYS.index(day) for day in entry["weekend"])


def _marked(
    document: Document, where: str, days: Sequence[tuple[str, str, Value]]
) -> Marked[Value]:
    seen: set[str] = set()
    for index, (key, on, _) in enumerate(days):
        at = f"{where}.{index}{key}"
        try:
            date.fromisoformat(_dated(on))
        except ValueError:
            raise document.refused(at, f"{on} is not a day of the calendar") from None
        if on in seen:
            raise document.refused(at, f"{on} is there twice")
        seen.add(on)
    return Marked(dates=dict(_of_dates(days)), yearly=dict(_of_years(days)))


def _of_dates(days: Sequence[tuple[str, str, Value]]) -> Iterator[tuple[date, Value]]:
    for _, on, value in days:
        if len(on) == _DATE_LENGTH:
            yield date.fromisoformat(on), value


def _of_years(days: Sequence[tuple[str, str, Value]]) -> Iterator[tuple[tuple[int, int], Value]]:
    for _, on, value in days:
        if len(on) < _DATE_LENGTH:
            day = date.fromisoformat(_dated(on))
            yield (day.month, day.day), value


def _dated(on: str) -> str:
    return on if len(on) == _DATE_LENGTH else _YEAR + on
