"""What is taken of an answer, and why not: one spelling, or a fault beside its field."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.adapters.rules.loader import load_rules
from control_plane.domain.onboarding_answers import Examined, examine
from control_plane.domain.onboarding_document import FaultCode
from control_plane.domain.onboarding_values import About
from control_plane.domain.saml_metadata import end_of_certificate, read_metadata
from tests.onboarding_answers import COMPANY, answers_to, certificate, metadata

RULES = load_rules(Path(__file__).parents[2] / "rules").onboarding
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
F = FaultCode


def found(step: str, mode: str = "A", allowed: set[str] | None = None, **answers: Any) -> Examined:
    about = About(
        domain=COMPANY, mode=mode, region="eu-west-1", now=NOW,
        known_regions=frozenset({"eu-west-1", "eu-central-1", "us-east-1"}),
        allowed_regions=frozenset(allowed) if allowed else None,
    )  # fmt: skip
    given = {**answers_to(step, mode=mode), **answers}
    wanted = {key: value for key, value in given.items() if value is not None}
    return examine(RULES, RULES.by_key[step], wanted, about)


def codes(examined: Examined) -> list[tuple[str, FaultCode]]:
    return [(each.key, each.code) for each in examined.faults]


def saml(text: str, **answers: Any) -> Examined:
    return found(
        "sso", protocol="saml", issuer=None, client_id=None, metadata=text, **answers
    )  # fmt: skip


# --- identity providers ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("issuer", "code"),
    [
        (f"https://login.{COMPANY}", None),
        ("https://acme.okta.com/oauth2/default", None),
        ("https://login.microsoftonline.com/3f2504e0-4f89-11d3-9a0c-0305e82c3301/v2.0", None),
        (f"http://login.{COMPANY}", F.URL),
        (f"https://login.{COMPANY}/?tenant=1", F.URL),
        (f"https://login.{COMPANY}/#a", F.URL),
        (f"https://user:password@login.{COMPANY}", F.URL),
        ("javascript:alert(1)", F.URL),
        ("https://2130706433/", F.URL),
        ("https://10.0.0.7/", F.NOT_PUBLIC),
        ("https://127.0.0.1/", F.NOT_PUBLIC),
        ("https://169.254.169.254/latest", F.NOT_PUBLIC),
        ("https://[::1]/", F.NOT_PUBLIC),
        ("https://[::ffff:10.0.0.1]/", F.NOT_PUBLIC),
        ("https://keycloak/", F.NOT_PUBLIC),
        ("https://idp.corp.internal/", F.NOT_PUBLIC),
        ("https://localhost/", F.NOT_PUBLIC),
        ("https://login.rival.example.org", F.OTHER_COMPANY),
        (f"https://{COMPANY}.evil.example.org", F.OTHER_COMPANY),
        (f"https://evil{COMPANY}", F.OTHER_COMPANY),
        ("https://okta.com.evil.example.org", F.OTHER_COMPANY),
    ],
)
def test_an_issuer_is_public_and_of_the_company(issuer: str, code: FaultCode | None) -> None:
    assert codes(found("sso", issuer=issuer)) == ([("issuer", code)] if code else [])


def test_another_domain_of_the_company_is_named_by_it() -> None:
    other = "https://login.group.example.org"
    assert codes(found("sso", issuer=other)) == [("issuer", F.OTHER_COMPANY)]
    assert codes(found("sso", issuer=other, email_domains=["Group.Example.org"])) == []
    says = found("sso", issuer=other).faults[0]
    assert says.sentence(RULES.faults) == (
        f"login.group.example.org does not belong to {COMPANY}. If it is yours, name its domain "
        "under “Other domains of your company”."
    )


def test_metadata_of_the_company_is_taken_as_it_is() -> None:
    text = metadata()
    examined = saml(text)
    assert examined.faults == ()
    assert examined.answers["metadata"] == text


def test_one_of_metadata_and_its_address_is_needed() -> None:
    assert codes(saml("")) == [("metadata", F.ONE_OF)]
    assert codes(saml("", metadata_url=f"https://idp.{COMPANY}/metadata")) == []
    assert codes(saml("", metadata_url="https://10.1.2.3/metadata")) == [
        ("metadata_url", F.NOT_PUBLIC)
    ]


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<html/>", F.NOT_METADATA),
        ("hello", F.NOT_METADATA),
        ("{}", F.NOT_METADATA),
        (metadata().replace("?>", f"?>{BOMB}", 1), F.NOT_METADATA),
        (metadata().replace("IDPSSODescriptor", "SPSSODescriptor"), F.NOT_METADATA),
        (metadata(entity=" "), F.NOT_METADATA),
        (f"<a>{'<b>' * 50}{'</b>' * 50}</a>", F.NOT_METADATA),
        (metadata() + " " * 130_000, F.TOO_LARGE),
        ("x" * 3_000_000, F.TOO_LARGE),
        (metadata(ends=()), F.NO_CERTIFICATE),
        (metadata(host="idp.rival.example.org"), F.OTHER_COMPANY),
        (metadata(entity="https://idp.rival.example.org/saml"), F.OTHER_COMPANY),
        (metadata(host="10.0.0.1"), F.NOT_PUBLIC),
        (metadata(ends=(NOW,)), F.CERTIFICATE_EXPIRED),
        (metadata(ends=(NOW + timedelta(days=1),) * 4), F.TOO_MANY_KEYS),
    ],
)
def test_other_metadata_is_refused_with_its_reason(text: str, code: FaultCode) -> None:
    assert codes(saml(text)) == [("metadata", code)]


def test_one_certificate_that_is_valid_is_enough() -> None:
    assert codes(saml(metadata(ends=(NOW - timedelta(days=9), NOW + timedelta(days=9))))) == []


def test_an_expired_certificate_is_named_with_its_day() -> None:
    (fault,) = saml(metadata(ends=(datetime(2026, 10, 1, tzinfo=UTC),))).faults
    assert "2026-10-01" in fault.sentence(RULES.faults, "de")


@pytest.mark.parametrize("year", [2027, 2049, 2050, 2099])  # both spellings of RFC 5280
def test_the_end_of_a_certificate_is_read(year: int) -> None:
    ends = datetime(year, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert end_of_certificate(base64.b64decode(certificate(ends))) == ends


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading_of_a_certificate(content: bytes) -> None:
    with pytest.raises(ValueError):
        end_of_certificate(b"0" + content)


@given(st.text(max_size=300))
def test_no_text_breaks_the_reading_of_metadata(text: str) -> None:
    with pytest.raises(ValueError):
        read_metadata(text)


# --- people and texts -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("email", "code"),
    [
        (f"ida@{COMPANY}", None),
        (f"ida@it.{COMPANY.upper()}", None),
        ("ida@example.org", F.OTHER_DOMAIN),
        (f"ida@not{COMPANY}", F.OTHER_DOMAIN),
        ("ida", F.EMAIL),
    ],
)
def test_the_address_of_the_it_admin_is_of_the_company(email: str, code: FaultCode | None) -> None:
    assert codes(found("verify_identity", email=email)) == ([("email", code)] if code else [])


def test_sentences_without_lines_name_none() -> None:
    (fault,) = found("verify_identity", email="ida").faults
    for language in ("en", "de", "it"):
        sentence = fault.sentence(RULES.faults, language)
        assert sentence.endswith("ida@example.com.")
        assert "line" not in sentence


@pytest.mark.parametrize("name", ["a\x00b", "\u202eadmI adI", "x" * 201, "a\nb"])
def test_a_name_that_nobody_could_read_is_refused(name: str) -> None:
    assert codes(found("verify_identity", name=name)) == [("name", F.TEXT)]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "=cmd|' /C calc'!A0", "{t.title}"])
def test_a_strange_name_is_kept_as_it_is(name: str) -> None:
    assert found("verify_identity", name=name).answers["name"] == name


def test_what_was_not_asked_is_refused_by_name() -> None:
    assert codes(found("verify_identity", admin=True)) == [("admin", F.UNKNOWN)]


def test_a_box_has_to_be_ticked_before_the_step_is_complete() -> None:
    examined = found("verify_identity", terms=False)
    assert codes(examined) == [("terms", F.ACCEPT)]
    assert examined.faults[0].is_unfinished
    assert examined.answers["terms"] is False


def test_a_disagreement_can_be_saved_and_not_completed() -> None:
    examined = found("confirm_tenant_and_mode", delivery_agreed="no", delivery_remark="Mode C")
    assert codes(examined) == [("delivery_agreed", F.NOT_AGREED)]
    assert examined.answers["delivery_remark"] == "Mode C"


# --- places and numbers ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("regions", "code"),
    [
        (["eu-west-1"], None),
        (["eu-west-1", "eu-west-9"], F.REGION),
        (["eu-west-1", "us-east-1"], F.REGION_OUTSIDE),
        (["eu-central-1"], F.OWN_REGION),
        (["eu-west-1", "EU-WEST-1"], F.TWICE),
        ([], F.REQUIRED),
    ],
)
def test_regions_are_known_promised_and_have_the_own_one(
    regions: list[str], code: FaultCode | None
) -> None:
    examined = found("residency_and_legal", allowed={"eu-west-1", "eu-central-1"}, regions=regions)
    assert codes(examined) == ([("regions", code)] if code else [])


@pytest.mark.parametrize(
    ("days", "code"),
    [(30, None), (3650, None), (29, F.NUMBER), (3651, F.NUMBER), ("ninety", F.NUMBER),
     (True, F.KIND), (1.5, F.KIND)],
)  # fmt: skip
def test_a_retention_is_a_whole_number_of_days(days: Any, code: FaultCode | None) -> None:
    examined = found("residency_and_legal", retention_days=days)
    assert codes(examined) == ([("retention_days", code)] if code else [])


@pytest.mark.parametrize(
    "network", ["0.0.0.0/0", "10.0.0.1/8", "::/0", "127.0.0.0/8", "10.0.0.0/7", "all"]
)
def test_a_network_that_cannot_be_let_in_is_named_by_its_line(network: str) -> None:
    (fault,) = found("network_and_hub", "B", networks=["203.0.113.0/24", network]).faults
    assert (fault.code, fault.given) == (F.NETWORK, {"line": 2})


def test_a_key_of_the_customer_is_named_by_its_arn() -> None:
    theirs = {"key_choice": "customer"}
    assert codes(found("network_and_hub", "B", **theirs)) == [("key_arn", F.REQUIRED)]
    arn = "arn:aws:kms:eu-west-1:123456789012:key/3f2504e0-4f89-11d3-9a0c-0305e82c3301"
    assert codes(found("network_and_hub", "B", **theirs, key_arn=arn)) == []
    assert codes(found("network_and_hub", "B", **theirs, key_arn="alias/x")) == [
        ("key_arn", F.KMS_KEY)
    ]


def test_the_hub_of_the_customer_is_reached_from_outside() -> None:
    assert codes(found("network_and_hub", "C", endpoint="https://192.168.1.1")) == [
        ("endpoint", F.NOT_PUBLIC)
    ]


# --- the pilot ------------------------------------------------------------------------------------
def cohort(size: int) -> list[str]:
    return [f"p{number}@{COMPANY}, Sales" for number in range(size)]


@pytest.mark.requirement("J-046")
@pytest.mark.parametrize(("size", "fits"), [(9, False), (10, True), (30, True), (31, False)])
def test_a_pilot_has_ten_to_thirty_people_or_a_reason(size: int, fits: bool) -> None:
    examined = found("pilot_cohort", people=cohort(size))
    assert codes(examined) == ([] if fits else [("people", F.COHORT_SIZE)])
    assert len(examined.answers["people"]) == size
    assert codes(found("pilot_cohort", people=cohort(size), size_reason="A small team.")) == []


@pytest.mark.requirement("J-047")
@pytest.mark.parametrize(
    "line", [f"x@{COMPANY}", f"x@{COMPANY}, Board", "x@example.org, Sales", "x, Sales", ", Sales"]
)
def test_everybody_is_of_the_company_and_has_one_archetype(line: str) -> None:
    (fault,) = found("pilot_cohort", people=[*cohort(10), line]).faults
    assert (fault.code, fault.given["line"]) == (F.COHORT_LINE, 11)


def test_nobody_is_in_the_pilot_twice() -> None:
    people = [*cohort(10), f"P1@{COMPANY}, Support"]
    assert codes(found("pilot_cohort", people=people)) == [("people", F.TWICE)]


@pytest.mark.requirement("J-047", "J-048")
@pytest.mark.parametrize(
    ("field", "count", "fits"),
    [("archetypes", 3, False), ("skills", 2, False), ("skills", 3, True), ("skills", 5, True),
     ("skills", 6, False)],
)  # fmt: skip
def test_archetypes_and_skills_are_few(field: str, count: int, fits: bool) -> None:
    names = ["Sales", "Support", *(f"n{number}" for number in range(count))][:count]
    examined = found("pilot_cohort", **{field: names})
    assert ((field, F.COUNT) in codes(examined)) is not fits
