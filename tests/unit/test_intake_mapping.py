"""From a payload to a request: paths, values, and what is said when a field cannot be made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.rules.loader import load_rules
from control_plane.domain.intake import EventMeaning, IntakeRules, IntakeSource, request_of
from control_plane.domain.intake_errors import DeliveryUnreadable, MappingFailed
from control_plane.domain.json_paths import NOTHING, JsonPath, Several
from control_plane.domain.payloads import event_of, glance
from tests.signed import ACCOUNT, as_bytes, docusign, envelope_of, signing, with_accounts

RULES = load_rules(Path(__file__).parents[2] / "rules").intake
DOCUSIGN = RULES.sources["docusign"]
SIGNING = RULES.sources["signing"]


def mapped(payload: dict[str, Any], source: IntakeSource = DOCUSIGN) -> dict[str, Any]:
    event = event_of(source, as_bytes(payload))
    return request_of(source, event.payload, event.envelope_id)


def test_the_shipped_rules_make_a_request_of_an_envelope() -> None:
    assert mapped(docusign(Uptime="99.9")) == {
        "contract": {
            "provider": "docusign", "envelope_id": envelope_of(), "contract_id": "C-2026-0001",
            "signed_at": "2026-11-20T14:03:00Z", "subscription": "enterprise", "mode": "A",
            "seats": 120, "sla_uptime_min": "99.9",
        },
        "company": {"legal_name": "Dainese S.p.A.", "domain": "c1.example.com", "country": "IT",
                    "time_zone": "Europe/Rome"},
        "contacts": [{"role": "it_admin", "name": "Ida Admin", "email": "ida@dainese.com",
                      "locale": "it"}],
        "requirements": {
            "residency": {"zone": "eu", "regions": ["eu-west-1"], "strict": False}, "cloud": "aws",
        },
    }  # fmt: skip


def test_the_shipped_rules_make_a_request_of_a_generic_payload() -> None:
    found = mapped(signing(), SIGNING)
    assert found["contract"]["provider"] == "signing"
    assert found["contract"]["seats"] == 120
    assert found["requirements"]["residency"]["regions"] == ["eu-west-1"]
    assert found["contacts"] == [{"role": "it_admin", "name": "Ida", "email": "ida@example.com"}]


@pytest.mark.parametrize(("changes", "field", "found"), [
    ({"Contract number": None}, "contract.contract_id", "nothing"),
    ({"Contract number": "  "}, "contract.contract_id", "nothing"),
    ({"Legal entity": None}, "company.legal_name", "nothing"),
    ({"Domain": ""}, "company.domain", "nothing"),
    ({"Country": None}, "company.country", "nothing"),
    ({"Plan": None}, "contract.subscription", "nothing"),
    ({"Plan": "Gold"}, "contract.subscription", "the text 'Gold', which is none of"),
    ({"Seats": "1.200"}, "contract.seats", "the text '1.200', not a whole number"),
    ({"Only these regions": "perhaps"}, "requirements.residency.strict", "neither yes nor no"),
    ({"IT admin e-mail": None}, "contacts.it_admin.email", "though the contact has other fields"),
    ({"IT admin": ""}, "contacts.it_admin.name", "though the contact has other fields"),
])  # fmt: skip
def test_a_field_that_cannot_be_made_is_named(
    changes: dict[str, Any], field: str, found: str
) -> None:
    with pytest.raises(MappingFailed, match="cannot be made") as refused:
        mapped(docusign(**changes))
    assert refused.value.data["field"] == field
    assert found in refused.value.data["found"]
    assert refused.value.data["source_path"] in refused.value.message


def test_what_names_a_person_is_not_repeated() -> None:
    payload = docusign()
    fields = payload["data"]["envelopeSummary"]["customFields"]["textCustomFields"]
    (admin,) = (field for field in fields if field["name"] == "IT admin")
    admin["value"] = ["Ida Admin"]
    with pytest.raises(MappingFailed) as refused:
        mapped(payload)
    assert "Ida" not in refused.value.message


def test_what_is_not_filled_in_and_not_needed_is_left_out() -> None:
    nobody = {"IT admin": None, "IT admin e-mail": None, "Language": None}
    found = mapped(docusign(**nobody, Seats="", Regions=None, Delivery=None))
    assert "contacts" not in found
    assert "seats" not in found["contract"]
    assert "mode" not in found["contract"]
    assert found["requirements"]["residency"] == {"zone": "eu", "strict": False}


def test_a_field_that_the_envelope_has_twice_is_ambiguous() -> None:
    payload = docusign()
    fields = payload["data"]["envelopeSummary"]["customFields"]["textCustomFields"]
    fields.append({"name": "Legal entity", "value": "Another S.r.l."})
    with pytest.raises(MappingFailed, match="holds 2 values"):
        mapped(payload)


@pytest.mark.parametrize("spelling", [
    envelope_of().upper(), f" {envelope_of()} ", f"{{{envelope_of()}}}",
    envelope_of().replace("-", ""),
    f"\t{envelope_of().upper()}",
])  # fmt: skip
def test_an_envelope_has_one_spelling(spelling: str) -> None:
    payload = docusign()
    payload["data"]["envelopeId"] = spelling
    assert event_of(DOCUSIGN, as_bytes(payload)).envelope_id == envelope_of()


def test_an_attempt_of_the_provider_has_the_key_of_the_one_before() -> None:
    first, again = (glance(DOCUSIGN, as_bytes(docusign(retry=retry))) for retry in (0, 7))
    assert first == again
    assert (first.account, first.envelope_id) == (ACCOUNT, envelope_of())
    assert first.event == "envelope-completed"


@pytest.mark.parametrize("other", [
    docusign(2), docusign(event="envelope-voided"), docusign(Seats="121"),
])  # fmt: skip
def test_other_content_has_another_key(other: dict[str, Any]) -> None:
    first = glance(DOCUSIGN, as_bytes(docusign()))
    assert glance(DOCUSIGN, as_bytes(other)).dedupe_key != first.dedupe_key


def test_an_aggregate_message_is_read_like_a_single_one() -> None:
    single = docusign()
    aggregate = {
        **single["data"]["envelopeSummary"],
        "sender": {"accountId": ACCOUNT, "email": "sales@vendor.example"},
    }
    event = event_of(DOCUSIGN, as_bytes(aggregate))
    assert (event.name, event.account) == ("envelope-completed", ACCOUNT)
    assert mapped(aggregate) == mapped(single)


@pytest.mark.parametrize("body", [
    b"", b"{", b"null", b"7", b"[]", b"\xff\xfe", b'{"event": 1}', b'{"a": 1, "a": 2}',
    as_bytes([docusign()]), as_bytes({"event": "envelope-completed"}),
    as_bytes({"event": "envelope-completed", "data": {"envelopeId": envelope_of()}}),
    as_bytes({"event": "envelope-completed", "data": []}), b"[" * 200_000,
    b'{"event": "\\ud800", "data": {}}', b'{"n": ' + b"9" * 10_000 + b"}",
])  # fmt: skip
def test_a_body_that_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(DeliveryUnreadable):
        event_of(DOCUSIGN, body)
    assert glance(DOCUSIGN, body).dedupe_key == glance(DOCUSIGN, body).dedupe_key


@pytest.mark.parametrize("depth", range(100, 2100, 100))
def test_content_of_any_depth_can_be_looked_at(depth: int) -> None:
    body = b'{"event": "envelope-completed", "x": ' + b"[" * depth + b"]" * depth + b"}"
    assert glance(DOCUSIGN, body).dedupe_key


def test_an_event_that_no_rule_names_asks_for_nothing() -> None:
    assert DOCUSIGN.meaning("envelope-completed") is EventMeaning.SIGNED
    assert DOCUSIGN.meaning("recipient-finish-later") is EventMeaning.IGNORED


def test_accounts_of_the_shipped_rules_are_nobodys() -> None:
    assert DOCUSIGN.accounts == ()
    rules: IntakeRules = with_accounts(RULES, ACCOUNT)
    assert rules.sources["docusign"] == replace(DOCUSIGN, accounts=(ACCOUNT,))


VALUE = {"a": {"b c": [{"name": "x.y", "v": 1}, {"name": "z", "v": None}, 7]}, "d.e": True}


@pytest.mark.parametrize(("text", "found"), [
    ("a", VALUE["a"]), ("a.b c[name=x.y].v", 1), ('a.b c[name="x.y"].v', 1), ("a.b c[1].v", None),
    ("a.b c[2]", 7), ("a.b c[3]", NOTHING), ("a.none.more", NOTHING), ('"d.e"', True),
    ("a.b c.name", NOTHING), ("a[0]", NOTHING), ("a.b c[v=1].name", NOTHING),
])  # fmt: skip
def test_a_path_finds_what_it_names(text: str, found: Any) -> None:
    assert JsonPath.read(text).of(VALUE) == found


def test_a_path_that_means_several_items_says_so() -> None:
    with pytest.raises(Several):
        JsonPath.read("a[k=1]").of({"a": [{"k": "1"}, {"k": "1"}]})


@pytest.mark.parametrize("text", [
    "", ".", "a..b", ".a", "a.", "[0]", "a[", "a[]", "a[-1]", "a[x]", "a[=1]", 'a."b', "a]b",
    "a b.[c]",
    "a[0]b", "a[*]",
])  # fmt: skip
def test_a_path_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="path"):
        JsonPath.read(text)
