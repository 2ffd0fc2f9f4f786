"""Business days at a terminal, without an API."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from control_plane.cli.errors import USAGE
from tests.unit.cli.terminal import Answer, run
from tests.unit.cli.test_cli_imports import imported
from tests.world import SOURCE

SIGNED = "2026-11-25T10:00:00+01:00"


def calendar(*arguments: str) -> Answer:
    found = run("calendar", *arguments)
    assert found.code == 0, found.err
    return found


def test_the_next_closed_days_of_the_vendor_and_of_a_part_of_a_country() -> None:
    vendor = calendar("days", "--from", "2026-12-01", "--limit", "3").out.splitlines()
    assert [line.split() for line in vendor] == [
        ["day", "weekday", "kind", "until", "why"],
        ["2026-12-08", "Tue", "closed", "-", "Immaculate", "Conception"],
        ["2026-12-25", "Fri", "closed", "-", "Christmas", "Day"],
        ["2026-12-26", "Sat", "closed", "-", "Saint", "Stephen's", "Day"],
    ]
    england = calendar("days", "GB-ENG", "--from", "2026-04-01", "--limit", "2", "--json").json
    assert england["place"] == "GB-ENG"
    assert england["zone"] == "Europe/London"
    assert [each["day"] for each in england["days"]] == ["2026-04-03", "2026-04-06"]
    budapest = calendar("days", "HU", "--from", "2026-08-05", "--limit", "1", "--json").json
    assert budapest["days"] == [
        {"day": "2026-08-08", "weekday": "Sat", "kind": "worked", "until": None, "why": None}
    ]


def test_today_is_where_the_list_begins() -> None:
    found = calendar("days", "IT", "--json").json["days"]
    assert len(found) == 10
    assert found == sorted(found, key=lambda each: each["day"])


def test_half_days_of_the_document_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(SOURCE / "rules", tmp_path / "rules")
    file = folder / "calendars.yaml"
    own = 'places:\n  - {country: "IT", half_days: [{day: "12-24", until: "13:00"}]}\n'
    file.write_text(file.read_text("utf-8").replace("places:\n", own), encoding="utf-8")
    monkeypatch.setenv("TENANTPLANE_RULES_FOLDER", str(folder))
    found = calendar("days", "IT", "--from", "2026-12-20", "--limit", "1").out.splitlines()
    assert found[1].split() == ["2026-12-24", "Thu", "half_day", "13:00", "-"]
    file.write_text(file.read_text("utf-8").replace('"IT"', '"IX"'), encoding="utf-8")
    refused = run("calendar", "days", "IT")
    assert refused.code == USAGE
    assert "calendars.yaml is invalid at vendor.country (line " in refused.err


def test_two_business_days_of_customer_and_vendor_or_of_named_parties() -> None:
    with_vendor = calendar("due", SIGNED, "--customer", "US@America/New_York", "--json").json
    assert with_vendor["counted"] == ["US", "IT"]
    assert with_vendor["day_zero"] == "2026-11-25"
    assert with_vendor["wall"] == "2026-11-30T18:00:00"
    assert with_vendor["due"] == "2026-11-30T23:00:00Z"
    alone = calendar("due", SIGNED, "--customer", "IT", "--alone", "--json").json
    assert (alone["counted"], alone["wall"]) == (["IT"], "2026-11-27T18:00:00")
    # of which zone a country's days are does not matter
    joint = calendar("due", SIGNED, "--customer", "IT", "--with", "US").out
    assert "due         2026-11-30 17:00:00Z" in joint
    assert "local       2026-11-30T18:00:00" in joint
    assert "counted     IT, US" in joint
    both = calendar("due", SIGNED, "--customer", "IT").out
    assert "counted     IT (customer), IT (vendor)" in both


def test_hours_need_the_zone_of_every_party() -> None:
    hours = ("due", SIGNED, "--customer", "IT", "--amount", "4", "--unit", "business_hour")
    refused = run("calendar", *hours, "--with", "US")
    assert refused.code == USAGE
    assert "The clocks of US differ: name one of America/New_York, America/Chicago" in refused.err
    assert refused.err.endswith("Write US@ZONE.\n")
    found = calendar(*hours, "--with", "US@America/New_York", "--json").json
    assert found["wall"] == "2026-11-27T16:00:00"
    before = calendar("due", SIGNED, "--customer", "IT", "--amount", "-1", "--json").json
    assert before["wall"] == "2026-11-24T18:00:00"


def test_what_is_not_known_is_a_visible_warning() -> None:
    sentence = "The public holidays of LK are not known for 2027: they count as working days."
    shown = calendar("days", "LK", "--from", "2026-12-20")
    assert shown.err == f"warning: {sentence}\n"
    assert "Christmas Day" in shown.out
    as_json = calendar("days", "LK", "--from", "2026-12-20", "--json")
    assert as_json.err == ""
    assert as_json.json["warnings"] == [sentence]
    due = calendar("due", "2026-12-31T20:00:00Z", "--customer", "LK")
    assert due.err == f"warning: {sentence}\n"
    assert calendar("due", SIGNED, "--customer", "LK").err == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("days", "UK"), "did you mean 'GB'?"),
        (("days", "it"), "did you mean 'IT'?"),
        (("days", "GB-ENGL"), "unknown subdivision 'ENGL' of GB; did you mean 'ENG'?"),
        (("days", "IT@Europe/Roma"), "unknown time zone 'Europe/Roma'; did you mean"),
        (("days", "US"), "name one of America/New_York, America/Chicago"),
        (("days", "IT", "--from", "2026-02-30"), "2026-02-30 is not a day"),
        (("days", "IT", "--from", "9999-12-31"), "does not lie between 1990 and 2200"),
        (("due", "yesterday", "--customer", "IT"), "yesterday must be an instant such as"),
        (("due", SIGNED, "--customer", "IT", "--with", "US", "--alone"), "contradict each other"),
        (("due", SIGNED, "--customer", "IT", "--amount", "2501"), "--amount is at most 2500"),
        (("due", SIGNED, "--customer", "IT", "--unit", "week"), "'week' is not one of"),
        (("due", SIGNED), "Missing option '--customer'"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(
    arguments: tuple[str, ...], sentence: str
) -> None:
    refused = run("calendar", *arguments)
    assert refused.code == USAGE
    assert sentence in refused.err
    assert "Traceback" not in refused.err


def test_the_last_years_can_be_asked_for() -> None:
    found = calendar("days", "IT", "--from", "2200-12-31", "--json").json
    assert found["days"] == []
    assert len(found["warnings"]) == 1
    late = calendar("due", "2200-12-31T20:00:00Z", "--customer", "IT", "--amount", "2500", "--json")
    assert late.json["wall"].startswith("2210-")


def test_help_loads_no_holidays_and_a_command_no_database() -> None:
    assert "holidays" not in imported("calendar", "--help")
    found = imported("calendar", "days", "IT")
    assert "holidays" in found
    assert found & {"sqlalchemy", "psycopg", "boto3", "dbos", "grpc", "httpx"} == set()
