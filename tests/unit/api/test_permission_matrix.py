"""Who may call which route: route x role x tenant, for every route of the OpenAPI document."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from control_plane.domain.actor import Role
from tests.unit.api.scene import Api, Scene, comparable, is_problem

AUTOMATION, OPS, ARCHITECT, AUDITOR, PLATFORM_AUDITOR, ADMIN = Role
TENANT_READERS: Final = {AUTOMATION, OPS, ARCHITECT, AUDITOR, ADMIN}
RUN_READERS: Final = {*TENANT_READERS, PLATFORM_AUDITOR}
APPROVAL_READERS: Final = {OPS, ADMIN, AUDITOR, PLATFORM_AUDITOR}
HUB_READERS: Final = {ADMIN, OPS, PLATFORM_AUDITOR, ARCHITECT}
BUNDLE_READERS: Final = {ARCHITECT, AUDITOR, ADMIN, OPS}
ANYBODY: Final[set[Role]] = set()

# the golden table: a route that is not here, or is here in vain, fails; a change is a review item
TABLE: Final[dict[tuple[str, str], set[Role]]] = {
    ("POST", "/v1/provisioning-requests"): {AUTOMATION, ADMIN},
    ("GET", "/v1/provisioning-requests"): TENANT_READERS,
    ("GET", "/v1/provisioning-requests/{request_id}"): TENANT_READERS,
    ("POST", "/v1/mode-resolutions"): TENANT_READERS,
    ("GET", "/v1/tenants"): TENANT_READERS,
    ("GET", "/v1/tenants/{key}"): TENANT_READERS,
    ("GET", "/v1/tenants/{key}/outputs"): TENANT_READERS,
    ("POST", "/v1/tenants/{key}/mode-decision"): {ARCHITECT},
    ("POST", "/v1/hubs"): {ADMIN},
    ("GET", "/v1/hubs"): HUB_READERS,
    ("GET", "/v1/hubs/{hub_id}"): HUB_READERS,
    ("GET", "/v1/runs"): RUN_READERS,
    ("GET", "/v1/runs/{run_id}"): RUN_READERS,
    ("GET", "/v1/runs/{run_id}/plan"): RUN_READERS,
    ("GET", "/v1/runs/{run_id}/events"): RUN_READERS,
    ("POST", "/v1/runs/{run_id}/cancel"): {OPS, ADMIN},
    ("POST", "/v1/runs/{run_id}/retry"): {OPS, ADMIN},
    ("GET", "/v1/approvals"): APPROVAL_READERS,
    ("GET", "/v1/approvals/{approval_id}"): APPROVAL_READERS,
    ("POST", "/v1/approvals/{approval_id}/decisions"): {OPS},
    ("GET", "/v1/bundles"): BUNDLE_READERS,
    ("GET", "/v1/bundles/{bundle_id}"): BUNDLE_READERS,
    ("PATCH", "/v1/bundles/{bundle_id}"): {ARCHITECT},
    ("POST", "/v1/bundles/{bundle_id}/accept"): {ARCHITECT},
    ("POST", "/v1/bundles/{bundle_id}/build"): {ARCHITECT},
    ("POST", "/v1/bundles/{bundle_id}/hand-over"): {ARCHITECT},
    ("POST", "/v1/bundles/{bundle_id}/receipts"): {ARCHITECT},
    ("GET", "/v1/bundles/{bundle_id}/archive"): BUNDLE_READERS,
    ("GET", "/v1/tenants/{key}/audit/events"): {AUDITOR},
    ("GET", "/v1/tenants/{key}/audit/checkpoint"): {AUDITOR},
    ("GET", "/v1/tenants/{key}/audit/proof"): {AUDITOR},
    ("GET", "/v1/audit/platform/events"): {PLATFORM_AUDITOR},
    ("GET", "/v1/audit/platform/checkpoint"): {PLATFORM_AUDITOR},
    ("GET", "/v1/audit/platform/proof"): {PLATFORM_AUDITOR},
    ("GET", "/audit/{tree}/{path}"): {AUDITOR},
    ("GET", "/healthz"): ANYBODY,
    ("GET", "/readyz"): ANYBODY,
    ("GET", "/metrics"): ANYBODY,
}
GUARDED: Final = [pair for pair, roles in TABLE.items() if roles]
OF_TENANTS: Final = [
    (method, path) for method, path in GUARDED if "{" in path and "{hub_id}" not in path
]
LISTS: Final = ["/v1/provisioning-requests", "/v1/tenants", "/v1/runs", "/v1/approvals",
                "/v1/bundles"]  # fmt: skip


def _named(pair: tuple[str, str]) -> str:
    return " ".join(pair)


def test_every_route_of_the_document_is_in_the_table(api: Api) -> None:
    document = api.app.openapi()
    routes = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert routes == set(TABLE)


@pytest.mark.parametrize("pair", GUARDED, ids=_named)
def test_only_the_roles_of_the_table_pass(shown: Scene, pair: tuple[str, str]) -> None:
    method, path = pair
    nobody = shown.ask(method, path, None)
    is_problem(nobody, 401, "not_authenticated")
    assert nobody.headers["www-authenticate"] == "Bearer"
    for role in Role:
        answer = shown.ask(method, path, role)
        if role in TABLE[pair]:
            assert answer.status_code not in {401, 403, 422, 500}, (role, answer.text)
        else:
            assert answer.status_code == 403, (role, answer.text)
            assert answer.json()["code"] in {"not_allowed", "machine_may_not_decide"}


@pytest.mark.parametrize("pair", GUARDED, ids=_named)
def test_a_token_without_a_role_opens_nothing(shown: Scene, pair: tuple[str, str]) -> None:
    token = shown.api.issuer.mint("nobody", roles=[])
    assert shown.ask(*pair, token).status_code == 403


@pytest.mark.parametrize("pair", [p for p, roles in TABLE.items() if not roles], ids=_named)
def test_open_routes_need_no_token(shown: Scene, pair: tuple[str, str]) -> None:
    assert shown.ask(*pair, None).status_code == 200


@pytest.mark.parametrize("pair", OF_TENANTS, ids=_named)
def test_another_tenants_things_answer_as_what_does_not_exist(
    shown: Scene, pair: tuple[str, str]
) -> None:
    other = shown.conflict.tenant.id
    for role in Role:
        token = shown.api.token(role, tenants=(other,))
        foreign = shown.ask(*pair, token)
        missing = shown.ask(*pair, token, ids=shown.missing)
        assert comparable(foreign) == comparable(missing), role
        if role in TABLE[pair]:
            is_problem(foreign, 404, "not_found")
        assert foreign.status_code in {403, 404}


@pytest.mark.parametrize("path", LISTS)
def test_lists_hold_nothing_of_other_tenants(shown: Scene, path: str) -> None:
    for role in TABLE["GET", path]:
        everything = shown.ask("GET", path, role).json()["items"]
        assert everything
        for tenants in ((), ("ten_01JD3ZK4Q0V8X2M6N7P9R5T1WY",)):
            token = shown.api.token(role, tenants=tenants)
            assert shown.ask("GET", path, token).json() == {"items": [], "next_page_token": None}


def test_a_tenants_token_sees_exactly_its_tenant(shown: Scene) -> None:
    tenant_id = shown.ids["key"]
    token = shown.api.token(AUDITOR, tenants=(tenant_id,))
    assert [item["id"] for item in shown.ask("GET", "/v1/tenants", token).json()["items"]] == [
        tenant_id
    ]
    slug = shown.ask("GET", "/v1/tenants/{key}", token).json()["slug"]
    assert shown.api.call("GET", f"/v1/tenants/{slug}", token).json()["id"] == tenant_id


def test_a_look_at_another_tenants_thing_leaves_an_event(scene: Scene) -> None:
    token = scene.api.token(OPS, tenants=("ten_01JD3ZK4Q0V8X2M6N7P9R5T1WY",))
    _, events = scene.api.events(lambda: scene.ask("GET", "/v1/runs/{run_id}", token))
    assert events == ["authz.denied:denied"]
    assert scene.world.store.audit[-1].tree == "platform"


def test_the_tree_of_the_platform_is_no_tenants_business(shown: Scene) -> None:
    for path in ("/audit/platform/checkpoint", "/v1/tenants/platform/audit/events"):
        assert shown.api.call("GET", path, AUDITOR).status_code == 403
        assert shown.api.call("GET", path, PLATFORM_AUDITOR).status_code in {200, 404}


def test_the_table_of_roles_is_the_one_of_the_documentation() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
    for (method, path), roles in TABLE.items():
        row = next((line for line in text.splitlines() if f"`{method} {path}`" in line), None)
        assert row is not None, f"{method} {path} is not in docs/api.md"
        cell = row.split("|")[3].strip()
        assert {word.strip("` ") for word in cell.split(",") if word.strip()} == (
            {str(role) for role in roles} or {"anybody"}
        )
