"""Commands about business days; they read the calendars document, and ask no API."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from control_plane import config
from control_plane.cli import output
from control_plane.cli.errors import USAGE
from control_plane.cli.refusing import Json, refuse
from control_plane.domain import spellings
from control_plane.domain.calendars.business import JointCalendar
from control_plane.domain.calendars.due import LARGEST, Due, DueUnit, JourneyClock
from control_plane.domain.calendars.moments import wall_of
from control_plane.domain.calendars.special import SEARCHED, special_days
from control_plane.domain.errors import InvalidInput

if TYPE_CHECKING:
    from control_plane.domain.calendars.business import BusinessCalendar
    from control_plane.domain.calendars.rules import CalendarRules

FIELDS: Final = ("day", "weekday", "kind", "until", "why")
DUE: Final = ("anchor", "day_zero", "rule", "due", "local=wall", "zone", "counted", "tz_version")
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_PLACE: Final = "IT, GB-ENG for a part of a country, US@America/New_York with a time zone"

calendar = typer.Typer(
    no_args_is_help=True,
    help="Business days: closed days of a country, when something is due.",
)


@calendar.command("days")
def list_days(
    place: Annotated[
        str | None, typer.Argument(help=f"{_PLACE} (default: the vendor's team).")
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", help="First day, such as 2026-12-01 (default: today).")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=200, help="Maximum number of days.")
    ] = 10,
    as_json: Json = False,
) -> None:
    """List closed days other than weekends, half days, and weekends that are worked."""
    now = datetime.now(UTC)
    found = _calendar(_rules(), place, now)
    start = wall_of(now, found.zone).date() if first is None else _day(first)
    listed = list(islice(special_days(found, start), limit))
    days = [
        {
            "day": each.day.isoformat(),
            "weekday": _WEEKDAYS[each.day.weekday()],
            "kind": each.kind,
            "until": each.until and each.until.isoformat("minutes"),
            "why": each.why,
        }
        for each in listed
    ]
    last = listed[-1].day if len(listed) == limit else start + SEARCHED
    warnings = found.warnings(start, last)
    if as_json:
        output.as_json_text({**_facts(found), "warnings": list(warnings), "days": days})
        return
    _warn(warnings)
    output.table(days, as_json=False, fields=FIELDS, empty="no special days within a year")


@calendar.command("due")
def show_due(
    anchor: Annotated[str, typer.Argument(help="Instant it counts from: 2026-12-04T16:00:00Z.")],
    place: Annotated[str, typer.Option("--customer", help=f"Where the customer is: {_PLACE}.")],
    amount: Annotated[int, typer.Option(help="How many units; negative ones are before.")] = 2,
    unit: Annotated[DueUnit, typer.Option(help="What is counted.")] = DueUnit.BUSINESS_DAY,
    others: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="Place of another party, instead of the vendor's team; may be repeated.",
        ),
    ] = None,
    is_alone: Annotated[
        bool, typer.Option("--alone", help="Count the customer's business days alone.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show when something is due: by default two business days of customer and vendor."""
    if is_alone and others:
        refuse("--alone and --with contradict each other", USAGE)
    moment = _instant(anchor)
    rules = _rules()
    parties = [_calendar(rules, place, moment)]
    if not is_alone:
        # the days of a country are the same in all its zones; the hours are not
        in_any = unit is not DueUnit.BUSINESS_HOUR
        parties += [_calendar(rules, each, moment, in_any=in_any) for each in others or (None,)]
    found, counted = _clock(rules, moment, parties), JointCalendar(tuple(parties))
    due = found.due(_rule(amount, unit))
    first, last = sorted((found.day_zero, due.wall.date()))
    shown = {
        "anchor": moment.isoformat().replace("+00:00", "Z"),
        "day_zero": found.day_zero.isoformat(),
        "rule": f"{amount} {unit}",
        "due": due.to_document()["instant"],
        **{key: value for key, value in due.to_document().items() if key != "instant"},
        "counted": [_facts(each)["place"] for each in parties],
        "warnings": list(counted.warnings(first, last)),
    }
    if not as_json:
        _warn(shown["warnings"])
        if not is_alone and not others:  # both may be in one country
            shown["counted"] = [
                f"{each} ({who})"
                for each, who in zip(shown["counted"], ("customer", "vendor"), strict=True)
            ]
    output.show(shown, as_json=as_json, fields=DUE)


def _clock(
    rules: CalendarRules, anchor: datetime, parties: Sequence[BusinessCalendar]
) -> JourneyClock:
    from control_plane.adapters.time_zones import SystemTimeZones  # noqa: PLC0415 - as below

    return JourneyClock(
        anchor=anchor,
        customer=parties[0],
        counting=JointCalendar(tuple(parties)),
        tz_version=SystemTimeZones().version(parties[0].zone),
        cut_off=rules.cut_off,
    )


def _rules() -> CalendarRules:
    from control_plane.adapters.rules.calendars import parse_calendars  # noqa: PLC0415 - YAML
    from control_plane.adapters.rules.documents import (  # noqa: PLC0415 - as above
        found_folder,
        read_document,
    )

    return parse_calendars(read_document(found_folder(config.load().rules_folder), "calendars"))


def _calendar(
    rules: CalendarRules, place: str | None, now: datetime, *, in_any: bool = False
) -> BusinessCalendar:
    """Return the calendar of a place, or of the vendor's team without one.

    ``in_any`` takes any time zone of a country whose clocks differ, where none is named.
    """
    from control_plane.adapters.public_holidays import LibraryHolidays  # noqa: PLC0415 - as above
    from control_plane.adapters.rules.calendars import (  # noqa: PLC0415 - as above
        country_fault,
        subdivision_fault,
        zone_fault,
    )
    from control_plane.adapters.time_zones import only_zone_of, zones_of  # noqa: PLC0415 - as above
    from control_plane.domain.calendars.rules import Place  # noqa: PLC0415 - as above

    if place is None:
        return rules.vendor_calendar(LibraryHolidays())
    whole, _, zone = place.partition("@")
    country, _, part = whole.partition("-")
    fault = country_fault(country) or (subdivision_fault(country, part) if part else "")
    fault = fault or (zone_fault(zone) if zone else "")
    if fault:
        refuse(fault, USAGE)
    if not zone:
        try:
            zone = only_zone_of(country, now)
        except InvalidInput as error:
            known = zones_of(country)
            if not (in_any and known):
                refuse(f"{error.message} Write {whole}@ZONE.", USAGE)
            zone = known[0]
    there = Place(zone=zone, country=country, subdivision=part or None)
    return rules.customer_calendar(there, LibraryHolidays())


def _facts(found: BusinessCalendar) -> dict[str, Any]:
    return {
        "place": "-".join(filter(None, (found.country, found.subdivision))),
        "zone": found.zone,
        "workday_start": found.workday_start.isoformat("minutes"),
        "workday_end": found.workday_end.isoformat("minutes"),
    }


def _rule(amount: int, unit: DueUnit) -> Due:
    if abs(amount) > LARGEST[unit]:
        refuse(f"--amount is at most {LARGEST[unit]} for {unit}", USAGE)
    return Due(amount=amount, unit=unit)


def _instant(text: str) -> datetime:
    try:
        return spellings.instant(text)
    except ValueError as error:
        refuse(f"{text} {error}", USAGE)


def _day(text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        refuse(f"{text} is not a day such as 2026-12-01", USAGE)
    if not spellings.FIRST_YEAR <= found.year <= spellings.LAST_YEAR:
        refuse(f"{text} does not lie between 1990 and 2200", USAGE)
    return found


def _warn(warnings: Sequence[str]) -> None:
    for sentence in warnings:
        sys.stderr.write(f"warning: {sentence}\n")
