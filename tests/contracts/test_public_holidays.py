"""What the ports of business calendars promise: public holidays and rules of time zones."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import holidays
import pytest
import tzdata

from control_plane.adapters.public_holidays import LibraryHolidays
from control_plane.adapters.time_zones import (
    SystemTimeZones,
    is_zone,
    only_zone_of,
    zones_of,
)
from control_plane.adapters.time_zones import _version as _cached
from control_plane.domain.countries import COUNTRIES
from control_plane.domain.errors import InvalidInput
from control_plane.domain.subdivisions import SUBDIVISIONS
from control_plane.ports.calendars import PublicHolidays, TimeZones

PUBLIC: PublicHolidays = LibraryHolidays()
ZONES: TimeZones = SystemTimeZones()
NOW = datetime(2026, 12, 1, tzinfo=UTC)


# --- public holidays -------------------------------------------------------------------------
@pytest.mark.parametrize("country", sorted(COUNTRIES))
def test_every_country_has_a_year_with_working_days_and_the_librarys_answer(country: str) -> None:
    year = PUBLIC(country, None)(2026)
    assert year.is_known
    assert all(day.year == 2026 for day in (*year.rest, *year.closed, *year.worked))
    known = holidays.country_holidays(country, years=2026)
    for number in range(1, 366):
        day = date.fromordinal(date(2025, 12, 31).toordinal() + number)
        is_open = day in year.worked or (day not in year.rest and day not in year.closed)
        assert is_open == known.is_working_day(day), day


def test_names_are_english_whatever_the_locale_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "it")
    monkeypatch.setenv("LC_ALL", "it_IT.UTF-8")
    assert PUBLIC("IT", None)(2034).closed[date(2034, 12, 8)] == "Immaculate Conception"


def test_a_subdivision_has_days_of_its_own() -> None:
    easter_monday = date(2026, 4, 6)
    assert easter_monday not in PUBLIC("GB", None)(2026).closed
    assert easter_monday in PUBLIC("GB", "ENG")(2026).closed
    assert easter_monday not in PUBLIC("GB", "SCT")(2026).closed


@pytest.mark.parametrize(
    ("country", "subdivision", "year"),
    [("XX", None, 2026), ("UK", None, 2026), ("IT", "Atlantis", 2026), ("LK", None, 2027),
     ("IT", None, 2101), ("JP", None, 2100), ("IN", None, 2036)],
)  # fmt: skip
def test_what_nobody_knows_is_marked_and_has_a_free_weekend(
    country: str, subdivision: str | None, year: int
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = PUBLIC(country, subdivision)(year)
    assert not found.is_known
    first, after = date(year, 1, 1).toordinal(), date(year + 1, 1, 1).toordinal()
    days = map(date.fromordinal, range(first, after))
    assert {day for day in days if day.weekday() > 4} == found.rest


def test_the_last_years_that_are_known_are_complete() -> None:
    assert PUBLIC("LK", None)(2026).closed
    assert PUBLIC("IT", None)(2100).closed
    assert PUBLIC("IN", None)(2035).is_known


def test_threads_that_ask_at_once_have_the_same_answer() -> None:
    found: list[frozenset[date]] = []

    def ask() -> None:
        found.append(frozenset(PUBLIC("PT", None)(2031).closed))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_the_list_of_subdivisions_is_the_librarys() -> None:
    known = {
        country: tuple(sorted(set(getattr(holidays, country).subdivisions)))
        for country in COUNTRIES
    }
    assert {country: names for country, names in known.items() if names} == SUBDIVISIONS


def test_the_rules_of_a_process_and_a_calendar_without_questions_load_no_library() -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from control_plane.adapters.rules.loader import load_rules\n"
        "from control_plane.adapters.public_holidays import LibraryHolidays\n"
        "rules = load_rules(Path(sys.argv[1])).calendars\n"
        "rules.vendor_calendar(LibraryHolidays())\n"
        "print('holidays' in sys.modules)"
    )
    folder = Path(__file__).parents[2] / "rules"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.strip() == "False"


# --- time zones ------------------------------------------------------------------------------
@pytest.fixture
def search_path() -> Iterator[None]:
    before = zoneinfo.TZPATH
    yield
    zoneinfo.reset_tzpath(before)
    _cached.cache_clear()


def test_the_version_is_the_one_of_the_files_that_are_used(
    tmp_path: Path, search_path: None
) -> None:
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Rome").write_bytes(b"TZif of some machine")
    zoneinfo.reset_tzpath([str(tmp_path)])
    _cached.cache_clear()
    written_nowhere = ZONES.version("Europe/Rome")
    assert written_nowhere.startswith("sha256:")
    assert len(written_nowhere) == 19
    assert ZONES.version("Europe/Paris") == tzdata.IANA_VERSION  # only the package has it
    (tmp_path / "tzdata.zi").write_text("# version 2031c\nR a", encoding="utf-8")
    _cached.cache_clear()
    assert ZONES.version("Europe/Rome") == "2031c"
    (tmp_path / "tzdata.zi").write_bytes(b"\xff\xfe")
    _cached.cache_clear()
    assert ZONES.version("Europe/Rome") == written_nowhere


@pytest.mark.parametrize("name", ["Europe/Rome", "America/Argentina/Ushuaia", "UTC", "US/Pacific"])
def test_zones_are_known_by_name(name: str) -> None:
    assert is_zone(name)


@pytest.mark.parametrize(
    "name",
    ["Europe/Roma", "europe/rome", "", "/etc/passwd", "../Rome", "Europe", "right/Europe/Rome",
     "posix/Europe/Rome", "localtime", "Factory", "Europe/Rome\0", "Réunion"],
)  # fmt: skip
def test_what_is_not_a_zone_is_not_known(name: str) -> None:
    assert not is_zone(name)


def test_a_country_with_one_time_has_its_zone_and_others_have_to_be_named() -> None:
    assert only_zone_of("IT", NOW) == "Europe/Rome"
    assert only_zone_of("DE", NOW) == "Europe/Berlin"  # Busingen has the same time
    with pytest.raises(
        InvalidInput, match="of US differ: name one of America/New_York, America/Chicago, "
    ):
        only_zone_of("US", NOW)
    with pytest.raises(InvalidInput, match="No time zone of BV is known: name one"):
        only_zone_of("BV", NOW)
    for country in COUNTRIES:
        assert all(is_zone(zone) for zone in zones_of(country)), country
