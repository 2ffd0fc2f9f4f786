"""Bodies and addresses that cannot be right: one clear sentence, nothing lost, nothing broken."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.domain import spellings
from control_plane.domain.actor import Role
from tests.unit.api.scene import Api, Scene, is_problem
from tests.world import request_body

PATH: Final = "/v1/provisioning-requests"
CRM: Final = Role.AUTOMATION
SLUG: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
STACK: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\.[a-z][a-z0-9-]*\.[abc]")
EXTRA: Final = [
    "tenant_id",
    "status",
    "created_by",
    "approved_by",
    "role",
    "slug",
    "id",
    "__proto__",
]


def _set(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    *parents, name = path.split(".")
    place: Any = body
    for parent in parents:
        place = place[int(parent)] if parent.isdigit() else place[parent]
    if value is ...:
        del place[name]
    else:
        place[name] = value
    return body


WRONG: Final[list[tuple[str, Any]]] = [
    ("contract", ...),
    ("company", ...),
    ("contract", None),
    ("contract", []),
    ("contract.envelope_id", ...),
    ("contract.envelope_id", 7),
    ("contract.envelope_id", ""),
    ("contract.envelope_id", "   "),
    ("contract.envelope_id", "x" * 201),
    ("contract.provider", "docu/sign"),
    ("contract.provider", "---"),
    ("contract.provider", 7),
    ("contract.signed_at", "yesterday"),
    ("contract.signed_at", "2026-11-20T14:03:00"),
    ("contract.signed_at", 1763647380),
    ("contract.signed_at", "1763647380"),
    ("contract.signed_at", "0001-01-01T00:00:00+14:00"),
    ("contract.signed_at", "2026-02-30T00:00:00Z"),
    ("contract.signed_at", "2026-11-20T24:00:00Z"),
    ("contract.signed_at", "2026-11-20T12:00:60Z"),
    ("contract.signed_at", "2026-11-20T14:03:00+24:00"),
    ("contract.signed_at", "2026-11-20T14:03:00,5Z"),
    ("contract.signed_at", "2026-11-20"),
    ("contract.signed_at", "2030-01-01T00:00:00Z"),
    ("contract.signed_at", "2026-11-21T14:03:01Z"),
    ("contract.subscription", "gold"),
    ("contract.mode", "D"),
    ("contract.mode", "a"),
    ("contract.seats", "475"),
    ("contract.seats", True),
    ("contract.seats", -1),
    ("contract.seats", 10**15),
    ("contract.sla_uptime_min", 99),
    ("contract.sla_uptime_min", "99,9"),
    ("contract.sla_uptime_min", "999"),
    ("company.legal_name", ""),
    ("company.legal_name", "a\nb"),
    ("company.legal_name", "a\x1b[31mb"),
    ("company.legal_name", "\u202egnp.exe"),
    ("company.legal_name", "x" * 201),
    ("company.domain", "no dots"),
    ("company.domain", "-x.example"),
    ("company.domain", "example.com/../"),
    ("company.domain", "a." * 130 + "it"),
    ("company.domain", "example..com"),
    ("company.domain", "xn--.com"),
    ("company.domain", "192.0.2.1"),
    ("company.domain", "a_b.example"),
    ("contacts.0.locale", "italian-language-tag-without-end"),
    ("contacts.0.locale", "i"),
    ("contacts.0.locale", "it-"),
    ("company.country", "Italy"),
    ("company.country", "it"),
    ("company.country", "XX"),
    ("company.country", "UK"),
    ("company.time_zone", "Europe/Atlantis"),
    ("company.time_zone", "../../etc/passwd"),
    ("contacts", {}),
    ("contacts.0.email", "nobody"),
    ("contacts.0.email", "a@b\x1b.it"),
    ("contacts.0.role", "boss"),
    ("contacts", [request_body()["contacts"][0]] * 21),
    ("requirements.residency.regions", ["eu-nowhere-1"]),
    ("requirements.residency.regions", "eu-west-1"),
    ("requirements.residency.regions", ["eu-west-1; rm"]),
    ("requirements.residency.zone", "EU"),
    ("requirements.ip_allow_list", ["10.0.0.1/8"]),
    ("requirements.ip_allow_list", ["10.0.0.0/33"]),
    ("requirements.ip_allow_list", ["everybody"]),
    ("requirements.ip_allow_list", ["10.0.0.0/8"] * 101),
    ("requirements.ip_allow_list", [f"203.0.113.{n}/32" for n in range(61)]),
    ("requirements.ip_allow_list", ["0.0.0.0/0"]),
    ("requirements.ip_allow_list", ["10.0.0.0/7"]),
    ("requirements.ip_allow_list", ["10.0.0.0/254.0.0.0"]),
    ("requirements.ip_allow_list", ["2001:db8::/32"]),
    ("requirements.ip_allow_list", ["203.0.113.0/24", "2001:db8::1"]),
    ("requirements.ip_allow_list", ["::ffff:10.0.0.0/104"]),
    ("requirements.ip_allow_list", ["203.0.113.7", "203.0.113.7/32"]),
    ("requirements.ip_allow_list", ["203.0.113.0/24", "203.0.113.0/255.255.255.0"]),
    ("requirements.ip_allow_list", ["010.0.0.0/8"]),
    ("requirements.residency.zone", "eu west"),
    ("requirements.segment", "a\nb"),
    ("requirements.customer_managed_key", "yes"),
    ("requirements.customer_managed_key", 1),
    ("requirements.cloud", "moon"),
    ("environment", "Production"),
    ("environment", "--force"),
    ("environment", ""),
]


@pytest.mark.parametrize(("path", "value"), WRONG, ids=[f"{p}={str(v)[:30]!a}" for p, v in WRONG])
def test_a_value_that_cannot_be_right_is_refused_by_name(
    shown: Scene, path: str, value: Any
) -> None:
    body = _set(request_body("A", 900), path, value)
    before = len(shown.world.rows("tenant"))
    answer, events = shown.api.events(lambda: shown.api.call("POST", PATH, CRM, json=body))
    code = "unknown_region" if value == ["eu-nowhere-1"] else "invalid_input"
    content = is_problem(answer, 422, code)
    (first, *_) = content["fields"]
    assert first["field"] == path or first["field"].startswith(f"{path}."), content
    assert first["reason"], content
    assert not re.search("Value error|Extra inputs|String should|Input should", answer.text)
    assert events == ["request.refused:denied"]
    assert len(shown.world.rows("tenant")) == before


@pytest.mark.requirement("K-012")
@pytest.mark.parametrize("name", EXTRA)
@pytest.mark.parametrize("path", ["", "contract", "company", "contacts.0", "requirements"])
def test_unknown_fields_are_refused_everywhere(shown: Scene, path: str, name: str) -> None:
    where = f"{path}.{name}" if path else name
    body = _set(request_body("A", 901), where, "x")
    content = is_problem(shown.api.call("POST", PATH, CRM, json=body), 422, "invalid_input")
    assert content["fields"][0]["field"] == where


MUTATIONS: Final = [
    ("POST", "/v1/mode-resolutions", Role.AUDITOR),
    ("POST", "/v1/tenants/{key}/mode-decision", Role.SOLUTIONS_ARCHITECT),
    ("POST", "/v1/hubs", Role.PLATFORM_ADMIN),
    ("POST", "/v1/approvals/{approval_id}/decisions", Role.OPS_APPROVER),
    ("POST", "/v1/approvals/{approval_id}/withdrawal", Role.OPS_APPROVER),
    ("PATCH", "/v1/bundles/{bundle_id}", Role.SOLUTIONS_ARCHITECT),
    ("POST", "/v1/bundles/{bundle_id}/hand-over", Role.SOLUTIONS_ARCHITECT),
    ("POST", "/v1/bundles/{bundle_id}/receipts", Role.SOLUTIONS_ARCHITECT),
    ("POST", "/v1/provisioning-requests", Role.AUTOMATION),
]


@pytest.mark.parametrize(("method", "path", "who"), MUTATIONS, ids=[m[1] for m in MUTATIONS])
def test_every_body_is_closed_and_checked(shown: Scene, method: str, path: str, who: Role) -> None:
    good = shown.body(path)
    for name in ("status", "approved_by"):
        answer = shown.ask(method, path, who, json={**good, name: "x"})
        assert is_problem(answer, 422, "invalid_input")["fields"][0]["field"] == name
    for bad in ([], "text", 7, None, [good]):
        is_problem(shown.ask(method, path, who, json=bad), 422, "invalid_input")


@pytest.mark.parametrize(("method", "path", "who"), MUTATIONS, ids=[m[1] for m in MUTATIONS])
def test_a_body_that_is_no_json_is_unsupported(
    shown: Scene, method: str, path: str, who: Role
) -> None:
    content = json.dumps(shown.body(path)).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "text/json", "nonsense"):
        answer = shown.ask(
            method, path, who, json=None, content=content, headers={"Content-Type": kind}
        )
        is_problem(answer, 415, "unsupported_media_type")


BODIES: Final[dict[str, tuple[bytes, str]]] = {
    "cut short": (b'{"region": "eu-west-1"', "not valid JSON"),
    "empty": (b"", "is missing"),
    "only spaces": (b"  ", "not valid JSON"),
    "not UTF-8": (b'{"region": "\xff\xfe"}', "not UTF-8"),
    "UTF-16": ('{"region": "eu-west-1"}'.encode("utf-16"), "not UTF-8"),
    "NaN": (b'{"region": "eu-west-1", "capacity": NaN}', "fraction"),
    "infinity": (b'{"region": "eu-west-1", "capacity": -Infinity}', "fraction"),
    "a fraction": (b'{"region": "eu-west-1", "capacity": 1.5}', "fraction"),
    "an exponent": (b'{"region": "eu-west-1", "capacity": 1e2}', "fraction"),
    "2^53": (b'{"region": "eu-west-1", "capacity": 9007199254740992}', "2^53-1"),
    "endless digits": (b'{"capacity": ' + b"9" * 6000 + b"}", "2^53-1"),
    "NUL": (b'{"region": "eu-west-1", "cell": "c\\u00001"}', "NUL"),
    "NUL in a name": (b'{"region": "eu-west-1", "c\\u0000": 1}', "NUL"),
    "half a pair": (b'{"region": "eu-west-1", "cell": "\\ud800"}', "surrogate"),
    "half a pair in a name": (b'{"region": "eu-west-1", "\\udfff": 1}', "surrogate"),
    "a name that repeats": (b'{"region": "eu-west-1", "region": "us-east-1"}', "duplicate name"),
    "deep lists": (b"[" * 100 + b"]" * 100, "levels"),
    "deeper lists": (b"[" * 100_000 + b"]" * 100_000, "levels"),
    "deep objects": (b'{"a":' * 50 + b"1" + b"}" * 50, "levels"),
}


@pytest.mark.parametrize("kind", BODIES)
def test_json_that_cannot_be_kept_is_refused_in_a_sentence(shown: Scene, kind: str) -> None:
    content, words = BODIES[kind]
    answer, events = shown.api.events(
        lambda: shown.api.call(
            "POST", "/v1/hubs", Role.PLATFORM_ADMIN, content=content,
            headers={"Content-Type": "application/json"},
        )
    )  # fmt: skip
    assert words in is_problem(answer, 422, "invalid_input")["detail"]
    assert events == ["request.refused:denied"]


@pytest.mark.parametrize("query", ["stauts=waiting", "limit=5&Limit=6", "%C3%98=1", "=1"])
def test_a_query_parameter_that_there_is_not_is_refused(shown: Scene, query: str) -> None:
    for path in ("/v1/tenants", "/v1/runs", "/v1/approvals", "/v1/bundles"):
        content = is_problem(
            shown.api.call("GET", f"{path}?{query}", Role.OPS_APPROVER), 422, "invalid_input"
        )
        assert "query parameter" in content["detail"]
        assert content["detail"].isascii()
    is_problem(shown.api.call("GET", f"/v1/tenants?{query}", None), 401, "not_authenticated")


def test_who_has_no_token_learns_nothing_about_the_body(shown: Scene) -> None:
    for content in (b"{", b'{"x": NaN}', b"{}"):
        answer = shown.api.call("POST", "/v1/hubs", None, content=content)
        is_problem(answer, 401, "not_authenticated")


FREE: Final[list[Any]] = [
    1.5, 2**53, -(2**53), 10**400, float("nan"), "\ud800", "a\0b", {"a": {"b": [0.1]}},
    {"\0": 1}, json.loads("[" * 40 + "]" * 40),
]  # fmt: skip


@pytest.mark.parametrize("value", FREE, ids=lambda value: f"{str(value)[:20]!a}")
@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("POST", "/v1/tenants/{key}/mode-decision", "facts"),
        ("PATCH", "/v1/bundles/{bundle_id}", "inputs"),
        ("POST", "/v1/bundles/{bundle_id}/receipts", "receipt"),
    ],
)
def test_free_objects_hold_only_what_a_digest_can(
    shown: Scene, method: str, path: str, field: str, value: Any
) -> None:
    body = {**shown.body(path), field: {"seats": value}}
    answer = shown.ask(
        method, path, Role.SOLUTIONS_ARCHITECT, json=None, content=json.dumps(body).encode()
    )
    is_problem(answer, 422, "invalid_input")


HOSTILE: Final = [
    "--x", "-rf /", "$(x)", "`id`", "../x", "../../etc/passwd", "a;b", "a|b", "%00", "{{7*7}}",
    "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "' OR 1=1 --", "CON", "admin", "www",
    "...", "3M", "é", "株式会社", "İstanbul", "Ⅷ", "ﬁ", "a" * 200, "Δ", "🏭", "xn--80ak6aa92e",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_gives_a_clean_slug_and_stack_or_is_refused(shown: Scene, name: str) -> None:
    body = request_body("A", 2000 + HOSTILE.index(name))
    body["company"]["legal_name"] = name
    body["contract"]["envelope_id"] = name
    _is_clean_or_refused(shown.api, body)


def _is_clean_or_refused(api: Api, body: dict[str, Any]) -> None:
    answer = api.call("POST", PATH, CRM, json=body)
    if answer.status_code == 422:
        assert answer.json()["code"] == "invalid_input"
        return
    assert answer.status_code in {202, 409}, answer.text
    if answer.status_code == 409:
        assert answer.json()["code"] in {"contract_already_used", "company_has_tenant"}
        return
    tenant = answer.json()["tenant"]
    assert SLUG.fullmatch(tenant["slug"]), tenant["slug"]
    assert 3 <= len(tenant["slug"]) <= 40
    assert tenant["legal_name"] == spellings.name(body["company"]["legal_name"])
    outputs = api.call("GET", f"/v1/tenants/{tenant['id']}/outputs", CRM).json()["items"]
    for item in outputs:
        assert STACK.fullmatch(item["stack"]), item["stack"]


_companies = itertools.count(3000)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(name=st.text(max_size=60), envelope=st.text(min_size=1, max_size=30))
def test_any_name_gives_a_clean_slug_and_stack_or_is_refused(
    shown: Scene, name: str, envelope: str
) -> None:
    body = request_body("A", next(_companies))
    body["company"]["legal_name"] = name
    body["contract"]["envelope_id"] = envelope
    _is_clean_or_refused(shown.api, body)


ADDRESSES: Final = [
    ("/v1/runs/%00", 404), ("/v1/runs/a%0ab", 404), ("/v1/tenants/%ff%fe", 404),
    ("/v1/tenants/..%2f..%2fetc", 404), ("/v1/tenants/--x", 404), ("/v1/runs/" + "x" * 3000, 404),
    ("/v1/runs?tenant_id=%00", 422), ("/v1/runs?limit=0", 422), ("/v1/runs?limit=201", 422),
    ("/v1/runs?limit=ten", 422), ("/v1/runs?status=done", 422), ("/v1/runs?page_token=%00", 422),
    ("/v1/runs?page_token=" + "x" * 700, 422), ("/v1/runs?tenant_id=" + "x" * 50, 422),
    ("/v1/runs/x/events?after=-1", 422), ("/v1/runs/x/events?after=99999999999999999999", 422),
    ("/v2/runs", 404), ("/", 404), ("/v1/", 404), ("/v1/tenants/\N{SNOWMAN}", 404),
]  # fmt: skip


@pytest.mark.parametrize(("address", "status"), ADDRESSES, ids=[a[0][:40] for a in ADDRESSES])
def test_an_address_that_cannot_be_right_is_refused(
    shown: Scene, address: str, status: int
) -> None:
    code = {404: "not_found", 422: "invalid_input"}[status]
    is_problem(shown.api.call("GET", address, Role.OPS_APPROVER), status, code)


@pytest.mark.parametrize(
    "path",
    ["%2e%2e/%2e%2e/etc/passwd", "tile/%2e%2e/checkpoint", "tile/0/000/%2e%2e/x", "x" * 200,
     "TILE/0/000", "tile/0/1", "tile//000", "tile/0/000.p/"],
)  # fmt: skip
def test_a_tile_has_a_plain_path(shown: Scene, path: str) -> None:
    asked = len(shown.world.trail.asked)
    answer = shown.api.call("GET", f"/audit/{shown.ids['key']}/{path}", Role.AUDITOR)
    is_problem(answer, 404, "not_found")
    assert len(shown.world.trail.asked) == asked


@pytest.mark.parametrize(
    "path", ["checkpoint", "tile/0/000", "tile/entries/x001/x234/067.p/8", "tile/2/001.p/255"]
)
def test_a_tile_path_of_the_standard_is_taken(shown: Scene, path: str) -> None:
    answer = shown.api.call("GET", f"/audit/{shown.ids['key']}/{path}", Role.AUDITOR)
    assert shown.world.trail.asked[-1] == path  # whether there is one, the log says
    is_problem(answer, 404, "not_found")


@pytest.mark.parametrize("value", ["²", "9" * 400, "-1", "x", ""])
def test_a_last_event_id_that_is_no_number_is_as_none(shown: Scene, value: str) -> None:
    path = f"/v1/runs/{shown.slice_run_id}/events"
    headers: Any = {"Last-Event-ID": value.encode("latin-1")}
    answer = shown.api.call("GET", path, Role.OPS_APPROVER, headers=headers)
    assert answer.json()["items"][0]["seq"] == 1


_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(value=_JSON, place=st.sampled_from(["facts", "inputs", "receipt"]))
def test_no_free_object_breaks_a_route(shown: Scene, value: Any, place: str) -> None:
    routes = {
        "facts": ("POST", "/v1/tenants/{key}/mode-decision"),
        "inputs": ("PATCH", "/v1/bundles/{bundle_id}"),
        "receipt": ("POST", "/v1/bundles/{bundle_id}/receipts"),
    }
    method, path = routes[place]
    body = {**shown.body(path), place: value}
    ids = {**shown.ids, "key": shown.conflict.tenant.id}
    answer = shown.ask(method, path, Role.SOLUTIONS_ARCHITECT, ids=ids, json=body)
    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize(("capacity", "status"), [(900, 202), (901, 422), (0, 422)])
def test_a_hub_is_no_larger_than_the_roles_of_an_account(
    scene: Scene, capacity: int, status: int
) -> None:
    hub = {"region": "eu-west-1", "cell": "c9", "capacity": capacity}
    answer = scene.api.call("POST", "/v1/hubs", Role.PLATFORM_ADMIN, json=hub)
    assert answer.status_code == status, answer.text
