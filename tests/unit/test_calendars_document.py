"""The calendars document: what it says, and what is refused where it stands."""

from __future__ import annotations

import re
import shutil
from datetime import date, time
from pathlib import Path

import pytest

from control_plane.adapters.rules.loader import load_rules
from control_plane.domain.calendars.business import BusinessCalendar
from control_plane.domain.calendars.days import Marked
from control_plane.domain.calendars.rules import CalendarRules, Hours, OwnDays, Place
from control_plane.domain.errors import SettingInvalid
from tests.calendars import PUBLIC
from tests.world import SOURCE

VENDOR = 'vendor: {time_zone: Europe/Rome, country: "IT", from: "09:00", to: "18:00"}'
PLACES = '  - {country: "HK", weekend: [sat, sun]}'
ROME = Place(zone="Europe/Rome", country="IT")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(SOURCE / "rules", tmp_path / "rules")
    return tmp_path / "rules"


def change(folder: Path, old: str, new: str) -> list[str]:
    """Replace a text of the document once; returns its lines."""
    file = folder / "calendars.yaml"
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    return file.read_text("utf-8").splitlines()


def rules(folder: Path, places: str = PLACES, vendor: str = VENDOR) -> CalendarRules:
    change(folder, PLACES, places)
    change(folder, VENDOR, vendor)
    return load_rules(folder).calendars


# --- what it says ----------------------------------------------------------------------------
def test_the_shipped_document() -> None:
    loaded = load_rules(SOURCE / "rules")
    found = loaded.calendars
    assert found.cut_off == time(17)
    assert found.digest == loaded.digests["calendars.yaml"]
    vendor = found.vendor_calendar(PUBLIC)
    assert (vendor.zone, vendor.workday_start, vendor.workday_end) == (
        "Europe/Rome", time(9), time(18),
    )  # fmt: skip
    assert vendor.why_closed(date(2026, 12, 8)) == "Immaculate Conception"
    # by law one day a week is free in Hong Kong
    saturday = date(2026, 12, 5)
    there = Place(zone="Asia/Hong_Kong", country="HK")
    assert found.customer_calendar(there, PUBLIC).why_closed(saturday) == "weekend"
    assert saturday not in PUBLIC("HK", None)(2026).rest


def test_an_entry_may_say_everything_and_a_subdivision_counts_before_its_country(
    folder: Path,
) -> None:
    found = rules(folder, places=(
        '  - {country: "IT",\n'
        '     closed: [{day: "12-07", name: Bridge}, {day: "2026-08-14", name: Heat}],\n'
        '     open: ["2026-12-08"], half_days: [{day: "12-24", until: "13:00"}]}\n'
        '  - {country: "IT", subdivision: "MI", weekend: [fri, sat], open: ["12-07"],\n'
        '     closed: [{day: "2026-12-08", name: Closed in Milan}],\n'
        '     half_days: [{day: "12-24", until: "12:00"}]}'
    ))  # fmt: skip
    italy = found.customer_calendar(ROME, PUBLIC)
    assert italy.why_closed(date(2027, 12, 7)) == "Bridge"
    assert italy.why_closed(date(2026, 8, 14)) == "Heat"
    assert italy.why_closed(date(2026, 12, 8)) is None
    assert italy.closing(date(2026, 12, 24)) == time(13)
    milan = found.customer_calendar(
        Place(zone="Europe/Rome", country="IT", subdivision="MI"), PUBLIC
    )
    assert milan.why_closed(date(2026, 12, 8)) == "Closed in Milan"
    assert milan.why_closed(date(2027, 12, 5)) is None  # a Sunday
    assert milan.why_closed(date(2026, 12, 4)) == "weekend"
    assert milan.closing(date(2026, 12, 24)) == time(12)
    # Saint Ambrose is a public holiday of Milan, and this document opens it
    assert date(2026, 12, 7) in PUBLIC("IT", "MI")(2026).closed
    assert milan.why_closed(date(2026, 12, 7)) is None


def test_what_a_customer_states_counts_before_the_document(folder: Path) -> None:
    found = rules(folder, places='  - {country: "IT", half_days: [{day: "12-24", until: "13:00"}]}')
    own = OwnDays(
        weekend=frozenset({6}),
        closed=Marked(dates={date(2026, 12, 9): "Inventory"}),
        half_days=Marked(dates={date(2026, 12, 24): time(15)}),
    )
    stated = found.customer_calendar(
        ROME, PUBLIC, hours=Hours(start=time(8), end=time(16)), days=own
    )
    assert stated.why_closed(date(2026, 12, 5)) is None
    assert stated.why_closed(date(2026, 12, 9)) == "Inventory"
    assert stated.closing(date(2026, 12, 24)) == time(15)
    assert stated.closing(date(2027, 12, 24)) == time(13)
    # a half day that ends after the customer's hours is a whole day there
    early = found.customer_calendar(ROME, PUBLIC, hours=Hours(start=time(7), end=time(12)))
    assert early.closing(date(2026, 12, 24)) == time(12)


def test_the_vendor_has_days_of_its_own(folder: Path) -> None:
    vendor = VENDOR[:-1] + ', closed: [{day: "08-14", name: Summer break}]}'
    calendar = rules(folder, vendor=vendor).vendor_calendar(PUBLIC)
    assert calendar.why_closed(date(2026, 8, 14)) == "Summer break"


def test_a_customer_without_a_country_works_from_monday_to_friday(folder: Path) -> None:
    found = load_rules(folder).calendars.customer_calendar(Place(zone="UTC"), PUBLIC)
    assert isinstance(found, BusinessCalendar)
    assert found.why_closed(date(2026, 12, 25)) is None
    assert found.why_closed(date(2026, 12, 26)) == "weekend"
    assert found.warnings(date(2026, 1, 1), date(2026, 1, 1))


# --- what is refused -------------------------------------------------------------------------
def vendor(**changes: str) -> str:
    facts = {"time_zone": "Europe/Rome", "country": '"IT"', "from": '"09:00"', "to": '"18:00"'}
    return (
        f"vendor: {{{', '.join(f'{key}: {value}' for key, value in {**facts, **changes}.items())}}}"
    )


def place(**changes: str) -> str:
    facts = {"country": '"IT"', **changes}
    return f"  - {{{', '.join(f'{key}: {value}' for key, value in facts.items())}}}"


OPEN = '["12-07"]'
WRONG = [
    (VENDOR, vendor(time_zone="Europe/Roma"), "vendor.time_zone", "did you mean 'Europe/Rome'?"),
    (VENDOR, vendor(time_zone="right/Europe/Rome"), "vendor.time_zone", "unknown time zone"),
    (VENDOR, vendor(country='"UK"'), "vendor.country", "did you mean 'GB'?"),
    (VENDOR, vendor(country='"it"'), "vendor.country", "did you mean 'IT'?"),
    (VENDOR, vendor(country='"Italy"'), "vendor.country", "is not the ISO 3166-1 code"),
    (VENDOR, vendor(country="NO"), "vendor.country", "write it in quotes"),
    (VENDOR, vendor(country='"GB"', subdivision='"ENGL"'), "vendor.subdivision", "mean 'ENG'?"),
    (VENDOR, vendor(country='"GB"', subdivision='"X"'), "vendor.subdivision",
     "(known: ENG, NIR, SCT, WLS)"),
    (VENDOR, vendor(country='"VA"', subdivision='"X"'), "vendor.subdivision", "(VA has none)"),
    (VENDOR, vendor(to='"09:00"'), "vendor.to", "is not after 09:00"),
    (VENDOR, vendor(to='"24:00"'), "vendor.to", "24:00"),
    (VENDOR, vendor(half_days='[{day: "12-24", until: "18:00"}]'), "vendor.half_days.0.until",
     "18:00 is not within the working hours"),
    (VENDOR, vendor(town="Milan"), "vendor", "town"),
    ('customer: {from: "09:00"', 'customer: {from: "19:00"', "customer.to", "is not after 19:00"),
    ('cut_off: "17:00"', "cut_off: 17:00", "cut_off", "is not of type 'string'"),
    (PLACES, place(), "places.0", "does not have enough properties"),
    (PLACES, place(weekend="[sunday]"), "places.0.weekend.0", "did you mean 'sun'?"),
    (PLACES, place(weekend="[mon, tue, wed, thu, fri, sat, sun]"), "places.0.weekend", "too long"),
    (PLACES, place(open='["02-30"]'), "places.0.open.0", "02-30 is not a day of the calendar"),
    (PLACES, place(open='["2027-02-29"]'), "places.0.open.0", "2027-02-29 is not a day"),
    (PLACES, place(open='["12-07", "12-07"]'), "places.0.open.1", "12-07 is there twice"),
    (PLACES, place(open=OPEN, closed='[{day: "12-07", name: Closed}]'), "places.0.open.0",
     "12-07 is among the closed days, too"),
    (PLACES, place(closed='[{day: "13-01", name: Closed}]'), "places.0.closed.0.day", "13-01"),
    (PLACES, place(closed="[{day: 2026-12-07, name: Closed}]"), "places.0.closed.0.day", "2026"),
    (PLACES, place(open=OPEN) + "\n" + place(weekend="[sun]"), "places.1", "IT is there twice"),
    (PLACES, place(subdivision='"MI"', open=OPEN) + "\n" + place(subdivision='"MI"', open=OPEN),
     "places.1", "IT-MI is there twice"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "where", "what"), WRONG)
def test_what_is_wrong_is_refused_with_line_and_reason(
    folder: Path, old: str, new: str, where: str, what: str
) -> None:
    lines = change(folder, old, new)
    with pytest.raises(SettingInvalid) as caught:
        load_rules(folder)
    message = caught.value.message
    assert f"calendars.yaml is invalid at {where} (line " in message
    assert what in message
    found = re.search(r"\(line (\d+)\)", message)
    assert found is not None
    assert new in lines[int(found[1]) - 1] or lines[int(found[1]) - 1] in new
