"""What callers write differently is one thing; what cannot be is refused by name, in a sentence."""

from __future__ import annotations

import itertools
from dataclasses import fields
from typing import Any, Final

import pytest

from api.schemas import requests as bodies
from control_plane.domain.actor import Role
from control_plane.domain.facts import CONTRACT_FACTS, Facts
from tests.unit.api.scene import Api, Scene, is_problem
from tests.world import request_body

PATH: Final = "/v1/provisioning-requests"
CRM: Final = Role.AUTOMATION
GUID: Final = "7c9e6679-7425-40de-944b-e07fc1f90a"
_numbers = itertools.count(5000)


def _body(path: str, value: Any, mode: str | None = "A") -> dict[str, Any]:
    body = request_body(mode, next(_numbers))
    *parents, name = path.split(".")
    place: Any = body
    for parent in parents:
        place = place[int(parent)] if parent.isdigit() else place[parent]
    place[name] = value
    return body


def _accepted(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = api.created(PATH, CRM, body)
    return found


# --- one identity ----------------------------------------------------------------------------
@pytest.mark.parametrize("provider", ["docusign", "DocuSign", "docu-sign", "Docu Sign"])
def test_every_spelling_of_an_envelope_is_one_contract(shown: Scene, provider: str) -> None:
    number = next(_numbers)
    guid = f"{GUID}{number % 100:02d}"
    first = None
    for envelope in (
        guid, guid.upper(), f"{{{guid}}}", f" {guid}", f"{guid} ", guid.replace("-", ""),
        f"{{{guid.upper()}}}", f"{guid}\u200b",
    ):  # fmt: skip
        body = request_body("A", number)
        body["contract"].update(envelope_id=envelope, provider=provider)
        found = _accepted(shown.api, body)
        first = first or found["id"]
        assert found["id"] == first, envelope


def test_every_spelling_of_a_provider_is_one_contract(shown: Scene) -> None:
    number, found = next(_numbers), set()
    for provider in ("DocuSign", "docusign", "docu_sign", "DOCU SIGN"):
        body = request_body("A", number)
        body["contract"]["provider"] = provider
        found.add(_accepted(shown.api, body)["id"])
    assert len(found) == 1


def test_the_same_instant_and_domain_are_the_same_request(shown: Scene) -> None:
    number, found = next(_numbers), set()
    for signed, domain in (
        ("2026-11-20T14:03:00Z", "bücher.example"),
        ("2026-11-20t14:03:00.0000000z", "BÜCHER.example."),
        ("2026-11-20T15:03:00.00+01:00", "xn--bcher-kva.example"),
    ):
        body = request_body("A", number)
        body["contract"]["signed_at"] = signed
        body["company"]["domain"] = domain
        found.add(_accepted(shown.api, body)["id"])
    assert len(found) == 1


def test_a_second_tenant_of_a_company_is_refused_with_a_code(shown: Scene) -> None:
    first = _accepted(shown.api, _body("company.domain", "twice.example"))
    again = _body("company.domain", "TWICE.example.")
    problem = is_problem(shown.api.call("POST", PATH, CRM, json=again), 409, "company_has_tenant")
    assert problem["tenant_id"] == first["tenant"]["id"]
    assert "additional_tenant" in problem["remedy"]
    second = _accepted(shown.api, {**again, "additional_tenant": True})
    assert second["tenant"]["id"] != first["tenant"]["id"]
    same = _body("contract.contract_id", second["contract_id"])
    problem = is_problem(shown.api.call("POST", PATH, CRM, json=same), 409, "contract_already_used")
    assert problem["tenant_id"] == second["tenant"]["id"]


# --- what is taken ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "value", "kept"),
    [
        ("company.legal_name", "Acme\u00a0Widgets\u3000S.p.A.", "Acme Widgets S.p.A."),
        ("company.legal_name", "\tAcme\u200b Widgets\u200f", "Acme Widgets"),
        ("company.domain", "пример.рф", "xn--e1afmkfd.xn--p1ai"),
        ("company.domain", "example.XN--P1AI", "example.xn--p1ai"),
        ("company.domain", "example.xn--fiqs8s", "example.xn--fiqs8s"),
        ("company.domain", "例え.中国", "xn--r8jz45g.xn--fiqs8s"),
        ("company.domain", "Example.ORG.", "example.org"),
    ],
)
def test_what_a_company_writes_has_one_spelling(
    shown: Scene, path: str, value: str, kept: str
) -> None:
    tenant = _accepted(shown.api, _body(path, value))["tenant"]
    assert tenant[path.rpartition(".")[2]] == kept


@pytest.mark.parametrize("locale", ["zh-Hant", "es-419", "fil", "pt_BR", "de-DE-1996", "it"])
def test_a_language_of_bcp_47_is_taken(shown: Scene, locale: str) -> None:
    assert _accepted(shown.api, _body("contacts.0.locale", locale))


@pytest.mark.parametrize("zone", ["us_gov", "eu_sovereign", "eu", "jp"])
def test_every_zone_of_the_regions_document_is_taken(shown: Scene, zone: str) -> None:
    residency = {"zone": zone, "regions": [], "strict": False}
    found = _accepted(shown.api, _body("requirements.residency", residency, mode=None))
    assert found["tenant"]["decision"]["zone"] == zone


def test_overlapping_networks_are_taken(shown: Scene) -> None:
    networks = ["10.0.0.0/8", "10.1.0.0/16", "203.0.113.7"]
    found = _accepted(shown.api, _body("requirements.ip_allow_list", networks, mode="B"))
    assert found["tenant"]["facts"]["ip_allow_list"] == [*networks[:2], "203.0.113.7/32"]


def test_a_dry_run_needs_no_key(shown: Scene) -> None:
    before = len(shown.world.rows("tenant"))
    body = request_body("A", next(_numbers))
    answer = shown.api.call("POST", f"{PATH}?dry_run=true", CRM, json=body, key=None)
    assert answer.status_code == 200, answer.text
    assert answer.json()["mode"] == "A"
    assert len(shown.world.rows("tenant")) == before
    for query in ("", "?dry_run=false"):
        missing = shown.api.call("POST", f"{PATH}{query}", CRM, json=body, key=None)
        is_problem(missing, 400, "idempotency_key_missing")


def test_a_dry_run_refuses_what_a_submission_would(shown: Scene) -> None:
    body = _body("contract.signed_at", "2030-01-01T00:00:00Z")
    answer = shown.api.call("POST", f"{PATH}?dry_run=true", CRM, json=body)
    assert is_problem(answer, 422, "invalid_input")["fields"][0]["field"] == "contract.signed_at"


# --- sentences -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("contract.seats", "9", "must be a whole number"),
        ("contract.seats", -1, "must be at least 0"),
        ("contract.mode", "D", "must be one of A, B, C"),
        ("contract.colour", "x", "is not a field of this request"),
        ("company.time_zone", "Mars", "must be an IANA time zone such as Europe/Rome"),
        ("company.country", "XX",
         "must be the ISO 3166-1 code of a country, two uppercase letters such as IT"),
        ("company", 7, "must be an object"),
        ("contacts", {}, "must be a list"),
        ("requirements.phone_sev1", "yes", "must be true or false"),
        ("requirements.residency.zone", "eu west", "must be a residency zone such as eu or us_gov"),
        ("environment", "Production",
         "must be 2 to 20 lower-case letters, digits and hyphens, such as production"),
    ],
)  # fmt: skip
def test_a_wrong_field_has_a_plain_sentence(
    shown: Scene, path: str, value: Any, words: str
) -> None:
    answer = shown.api.call("POST", PATH, CRM, json=_body(path, value))
    problem = is_problem(answer, 422, "invalid_input")
    assert problem["fields"] == [{"field": path, "reason": words}]
    assert problem["detail"] == f"{path}: {words}"


def test_a_long_list_of_values_is_cut(shown: Scene) -> None:
    answer = shown.api.call("GET", "/v1/runs?status=foo", Role.OPS_APPROVER)
    problem = is_problem(answer, 422, "invalid_input")
    assert problem["fields"][0]["reason"].startswith("must be one of requested, planning, ")
    assert problem["fields"][0]["reason"].endswith(" more (see /openapi.json)")


def test_every_invalid_input_names_its_fields_alike(shown: Scene) -> None:
    architect, ids = Role.SOLUTIONS_ARCHITECT, {**shown.ids, "key": shown.conflict.tenant.id}
    decision = "/v1/tenants/{key}/mode-decision"
    for answer, field in (
        (shown.api.call("POST", PATH, CRM, json=_body("requirements.residency", {"zone": "mars"})),
         "requirements.residency.zone"),
        (shown.api.call("POST", PATH, CRM, json=_body("requirements.ip_allow_list", ["::/0"])),
         "requirements.ip_allow_list.0"),
        (shown.api.call("POST", "/v1/mode-resolutions", CRM,
                        json={"subscription": "lite", "ip_allow_list": ["10.0.0.0/7"]}),
         "ip_allow_list.0"),
        (shown.ask("POST", decision, architect, ids=ids,
                   json={"facts": {"seats": 7}, "reason": "fewer"}), "facts.seats"),
        (shown.ask("POST", decision, architect, ids=ids,
                   json={"facts": {"ip_allow_list": ["x"]}, "reason": "typed"}),
         "facts.ip_allow_list.0"),
        (shown.ask("PATCH", "/v1/bundles/{bundle_id}", architect,
                   json={"inputs": {"region": "us-east-1"}}), "inputs.region"),
        (shown.api.call("GET", "/v1/runs?stauts=x", Role.OPS_APPROVER), "stauts"),
    ):  # fmt: skip
        problem = is_problem(answer, 422, "invalid_input")
        assert [item["field"] for item in problem["fields"]] == [field], problem
        assert "field" not in problem
        assert problem["fields"][0]["reason"]


def test_the_bodies_have_exactly_the_facts_of_the_domain() -> None:
    names = {item.name for item in fields(Facts)}
    assert set(bodies.Facts.model_fields) == names
    assert set(bodies.Requirements.model_fields) == names - set(CONTRACT_FACTS) - {"current_mode"}
    assert set(CONTRACT_FACTS.values()) <= set(bodies.Contract.model_fields)


# --- what was refused before -----------------------------------------------------------------
def _accepted_event(scene: Scene, body: dict[str, Any]) -> dict[str, Any]:
    before = len(scene.world.events())
    _accepted(scene.api, body)
    (event,) = (e for e in scene.world.events()[before:] if e.action == "request.accepted")
    return dict(event.data)


def test_an_acceptance_names_what_the_door_and_the_service_refused(shown: Scene) -> None:
    number = next(_numbers)
    right = request_body("A", number)
    right["contract"]["envelope_id"] = guid = f"{GUID}{number % 100:02d}"
    wrong = []
    for path, value, spelled in (
        ("company.country", "XX", guid.upper()),
        ("requirements.ip_allow_list", ["::/0"], guid),
        ("contract.seats", "many", f"{{{guid}}}"),
    ):
        body = _body(path, value)
        body["contract"].update(envelope_id=spelled, provider="DocuSign")
        before = len(shown.world.events())
        is_problem(shown.api.call("POST", PATH, CRM, json=body), 422, "invalid_input")
        (event,) = shown.world.events()[before:]
        assert (event.action, event.data["envelope_id"]) == ("request.refused", guid)
        wrong += [target for kind, target in event.targets if kind == "refusal"]
    assert len(wrong) == 3
    assert _accepted_event(shown, right)["earlier_requests"] == wrong


def test_a_refusal_of_somebody_else_or_of_nothing_known_is_not_of_the_contract(
    shown: Scene,
) -> None:
    number = next(_numbers)
    right = request_body("A", number)
    wrong = {**request_body("A", number), "environment": "X"}
    unread = {**wrong, "contract": {**wrong["contract"], "provider": "---"}}
    is_problem(shown.api.call("POST", PATH, Role.AUDITOR, json=wrong), 422, "invalid_input")
    for body in (unread, {"contract": 7}, {"contract": {"provider": 1}}, [], "text"):
        is_problem(shown.api.call("POST", PATH, CRM, json=body), 422, "invalid_input")
    dry = shown.api.call("POST", f"{PATH}?dry_run=true", CRM, json=wrong)
    is_problem(dry, 422, "invalid_input")
    assert _accepted_event(shown, right)["earlier_requests"] == []
