"""One spelling per value, and sentences for what has none."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.adapters.rules.loader import load_rules
from control_plane.domain import spellings
from control_plane.domain.countries import COUNTRIES

ROOT = Path(__file__).parents[2]
GUID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
NOON = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)


# --- instants --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-11-20T14:03:00Z", 0),
        ("2026-11-20t14:03:00z", 0),
        ("2026-11-20 14:03:00Z", 0),
        ("2026-11-20T14:03:00.0000000Z", 0),
        ("2026-11-20T14:03:00.5Z", 500_000),
        ("2026-11-20T14:03:00.1234567Z", 123_456),
        ("2026-11-20T14:03:00.123456999Z", 123_456),
        ("2026-11-20T15:03:00.1234567+01:00", 123_456),
        ("2026-11-20T14:03:00+00:00", 0),
        ("2026-11-20T14:03:00-00:00", 0),
        ("2026-11-20T08:33:00-05:30", 0),
        ("2026-11-21T14:02:00+23:59", 0),
    ],
)
def test_every_form_of_rfc_3339_is_an_instant(text: str, microsecond: int) -> None:
    assert spellings.instant(text) == NOON.replace(microsecond=microsecond)


@pytest.mark.parametrize(
    "text", ["2016-12-31T23:59:60Z", "2016-12-31T18:59:60.5-05:00", "2017-01-01T05:29:60+05:30"]
)
def test_a_leap_second_is_the_last_microsecond_before_it(text: str) -> None:
    assert spellings.instant(text) == datetime(2016, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "2026-11-20", "2026-11-20T14:03Z", "2026-11-20T14:03:00",
        "2026-11-20T14:03:00.Z", "2026-11-20T14:03:00,5Z", "2026-11-20T14:03:00+0100",
        "2026-11-20T14:03:00+24:00", "2026-11-20T14:03:00+01:60", "2026-11-20T24:00:00Z",
        "2026-02-29T00:00:00Z", "2026-11-20T14:03:61Z", "2026-11-20T14:03:60Z",
        "2026-11-20T23:59:60Z", "1989-12-31T00:00:00Z", "2201-01-01T00:00:00Z",
        "٢٠٢٦-11-20T14:03:00Z", "2026-11-20T14:03:00Z\n", " 2026-11-20T14:03:00Z",
    ],
)  # fmt: skip
def test_what_is_no_instant_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        spellings.instant(text)


@given(
    st.integers(662_688_000, 7_226_582_400).map(lambda at: datetime.fromtimestamp(at, UTC)),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_an_instant_is_the_same_in_every_offset(at: datetime, minutes: int) -> None:
    here = at.astimezone(timezone(timedelta(minutes=minutes)))
    assert spellings.instant(here.isoformat()) == at
    assert spellings.instant(at.isoformat().replace("+00:00", "z")) == at


# --- names -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("  Dainese S.p.A. ", "Dainese S.p.A."),
        ("Dainese\u00a0S.p.A.", "Dainese S.p.A."),
        ("株式会社\u3000サンプル", "株式会社 サンプル"),
        ("Dainese\tS.p.A.", "Dainese S.p.A."),
        ("Dainese  \u2009 S.p.A.", "Dainese S.p.A."),
        ("Dai\u200bnese", "Dainese"),
        ("\ufeffDainese", "Dainese"),
        ("Dainese\u200f", "Dainese"),
        ("Dai\u00adnese", "Dainese"),
        ("Mu\u0308ller", "Müller"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\u200dAcme\u200c", "Acme"),
    ],
)
def test_a_name_has_one_spelling(text: str, found: str) -> None:
    assert spellings.name(text) == found


@pytest.mark.parametrize(
    "text", ["", " ", "\u200b", "\u3000\u00a0", "\u200d", "a\nb", "a\x1b[31mb", "\u202egnp.exe",
             "a\u2028b", "a\u2066b", "x" * 201]
)  # fmt: skip
def test_what_cannot_be_read_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        spellings.name(text)


@given(st.text(max_size=40))
def test_the_spelling_of_a_name_stays(text: str) -> None:
    try:
        found = spellings.name(text)
    except ValueError:
        return
    assert spellings.name(found) == found


# --- ids of other systems --------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        GUID, GUID.upper(), f"{{{GUID}}}", f"({GUID})", f" {GUID}\t", GUID.replace("-", ""),
        f"{{{GUID.replace('-', '').upper()}}}", f"urn:uuid:{GUID}", f"URN:UUID:{GUID.upper()}",
        f"\ufeff{GUID}\u200b", f'"{GUID}"', f"[{GUID}]", f"<{GUID}>", f"{{urn:uuid:{GUID}}}",
        GUID.replace("-", "\u2011"), GUID.replace("-", "\u2013"), GUID.replace("-", " - "),
        GUID.translate({ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789"}),
        f"{{ {GUID} }}",
    ],
)  # fmt: skip
def test_every_spelling_of_a_guid_is_one(text: str) -> None:
    assert spellings.identifier(text) == GUID


@pytest.mark.parametrize("text", ["env-0001", "CBJCHBCAABAAx", "4f0c", f"{GUID}0", "-" * 36])
def test_other_ids_stay_as_they_are(text: str) -> None:
    assert spellings.identifier(text) == text


@pytest.mark.parametrize(
    "text", ["docusign", "DocuSign", "Docu Sign", "docu-sign", "DOCU_SIGN", "ＤｏｃｕＳｉｇｎ"]
)
def test_every_spelling_of_a_provider_is_one(text: str) -> None:
    assert spellings.provider(text) == "docusign"


@pytest.mark.parametrize("text", ["", "docu/sign", "1sign", "---", "x" * 41, "ドキュ"])
def test_what_is_no_provider(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        spellings.provider(text)


# --- the same forms everywhere ---------------------------------------------------------------
def test_specs_take_every_environment_and_cell_that_is_taken() -> None:
    schema = json.loads((ROOT / "stacks/schemas/spec_hub.schema.json").read_text("utf-8"))
    owner = schema["$defs"]["Owner"]["properties"]
    assert owner["environment"]["pattern"] == f"^{spellings.ENVIRONMENT}$"
    assert schema["properties"]["cell"]["pattern"] == f"^{spellings.CELL}$"


def test_every_zone_and_region_of_the_document_has_its_form() -> None:
    zones = load_rules(ROOT / "rules").regions.zones
    for zone in zones.values():
        assert spellings.form(zone.name, spellings.ZONE, "no zone")
        for region in zone.regions:
            assert spellings.form(region, spellings.REGION, "no region")


# --- codes -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("it", "it"), ("it-IT", "it-IT"), ("zh-Hant", "zh-Hant"), ("zh-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"), ("fil", "fil"), ("pt_BR", "pt-BR"), ("de-DE-1996", "de-DE-1996"),
        ("sl-rozaj-biske", "sl-rozaj-biske"), ("zh-yue-HK", "zh-yue-HK"), ("EN-us", "en-US"),
        ("en-US-u-islamcal", "en-US-u-islamcal"), ("de-x-acme", "de-x-acme"),
    ],
)  # fmt: skip
def test_a_language_tag_of_bcp_47_is_taken(text: str, found: str) -> None:
    assert spellings.language(text) == found


@pytest.mark.parametrize(
    "text", ["", "i", "italiano!", "it-", "-it", "it--IT", "i t", "ıt", "x" * 36]
)
def test_what_is_no_language_tag(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        spellings.language(text)


def test_a_country_is_one_of_iso_3166() -> None:
    assert len(COUNTRIES) == 249
    for code in ("IT", "GB", "TW", "AX"):
        assert spellings.country(code) == code
    for code in ("XX", "UK", "EU", "AN", "it", "ITA", ""):
        with pytest.raises(ValueError, match="ISO 3166"):
            spellings.country(code)


@pytest.mark.requirement("K-014")
@pytest.mark.parametrize(
    "text", ["ida@example.com", " ida@example.com ", "ida+x@bücher.de", "a@localhost"]
)
def test_an_address_is_taken(text: str) -> None:
    assert spellings.email(text) == text.strip()


@pytest.mark.requirement("K-014")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "nobody",
        "a@b\x1b.it",
        "a b@c.it",
        "a@b@c.it",
        "@c.it",
        "a@.it",
        "a@it.",
        f"{'x' * 65}@c.it",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        spellings.email(text)
