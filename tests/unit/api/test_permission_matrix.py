"""Who may call which route: route x role x tenant, for every route of the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from control_plane.adapters.postgres import EmbeddedPostgres
from control_plane.domain.actor import Role
from tests.storage import opened
from tests.unit.api.scene import Api, Scene, comparable, is_problem
from tests.world import World

AUTOMATION, OPS, ARCHITECT, AUDITOR, PLATFORM_AUDITOR, ADMIN = Role
TENANT_READERS: Final = {AUTOMATION, OPS, ARCHITECT, AUDITOR, ADMIN}
RUN_READERS: Final = {*TENANT_READERS, PLATFORM_AUDITOR}
APPROVAL_READERS: Final = {OPS, ADMIN, AUDITOR, PLATFORM_AUDITOR}
HUB_READERS: Final = {ADMIN, OPS, PLATFORM_AUDITOR, ARCHITECT}
ACCOUNT_READERS: Final = {ADMIN, OPS, PLATFORM_AUDITOR}
BUNDLE_READERS: Final = {ARCHITECT, AUDITOR, ADMIN, OPS}
MESSAGE_READERS: Final = {OPS, ARCHITECT, ADMIN}
DELIVERY_READERS: Final = {AUTOMATION, OPS, ADMIN, PLATFORM_AUDITOR}
KEEPERS: Final = {AUDITOR, ADMIN}  # of personal values of a log
STEP_EDITORS: Final = {AUTOMATION, ARCHITECT, ADMIN}
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
    ("POST", "/v1/tenants/{key}/changes"): {AUTOMATION, ADMIN},
    ("POST", "/v1/tenants/{key}/mode"): {ARCHITECT, ADMIN},
    ("GET", "/v1/tenants/{key}/mode"): TENANT_READERS,
    ("GET", "/v1/tenants/{key}/mode/manifest"): {OPS, ADMIN, ARCHITECT, AUDITOR},
    ("POST", "/v1/tenants/{key}/mode/first-copy"): {OPS, ADMIN, ARCHITECT},
    ("POST", "/v1/tenants/{key}/mode/database-dump"): {OPS, ADMIN, ARCHITECT},
    ("POST", "/v1/tenants/{key}/mode/import-report"): {OPS, ADMIN, ARCHITECT},
    ("GET", "/v1/tenants/{key}/amendments"): TENANT_READERS,
    ("GET", "/v1/tenants/{key}/journeys"): TENANT_READERS,
    ("GET", "/v1/tenants/{key}/events"): TENANT_READERS,
    ("POST", "/v1/hubs/{hub_id}/changes"): {ADMIN},
    ("POST", "/v1/hubs/{hub_id}/slice-updates"): {ADMIN},
    ("GET", "/v1/queue"): {OPS, ADMIN, PLATFORM_AUDITOR},
    ("POST", "/v1/queue/pause"): {OPS, ADMIN},
    ("POST", "/v1/queue/resume"): {OPS, ADMIN},
    ("POST", "/v1/tenants/{key}/holds"): {OPS, ADMIN},
    ("GET", "/v1/tenants/{key}/holds"): TENANT_READERS,
    ("POST", "/v1/hubs/{hub_id}/holds"): {OPS, ADMIN},
    ("GET", "/v1/hubs/{hub_id}/holds"): HUB_READERS,
    ("GET", "/v1/holds/{hold_id}"): RUN_READERS,
    ("POST", "/v1/holds/{hold_id}/release"): {OPS, ADMIN},
    ("POST", "/v1/tenants/{key}/removal"): {OPS, ADMIN},
    ("GET", "/v1/tenants/{key}/removal"): TENANT_READERS,
    ("POST", "/v1/tenants/{key}/removal/export-acknowledgement"): {OPS, ADMIN, ARCHITECT},
    ("POST", "/v1/tenants/{key}/removal/export-waiver"): {ADMIN},
    ("POST", "/v1/tenants/{key}/removal/customer-attestation"): {OPS, ADMIN, ARCHITECT},
    ("GET", "/v1/tenants/{key}/removal/certificate"): TENANT_READERS,
    ("POST", "/v1/tenants/{key}/retention"): {OPS, ADMIN},
    ("POST", "/v1/hubs/{hub_id}/removal"): {ADMIN},
    ("GET", "/v1/hubs/{hub_id}/removal"): HUB_READERS,
    ("POST", "/v1/hubs/{hub_id}/removal/export-acknowledgement"): {OPS, ADMIN, ARCHITECT},
    ("POST", "/v1/hubs/{hub_id}/removal/export-waiver"): {ADMIN},
    ("GET", "/v1/hubs/{hub_id}/removal/certificate"): HUB_READERS,
    ("GET", "/v1/sagas/{saga_id}"): RUN_READERS,
    ("POST", "/v1/sagas/{saga_id}/retry"): {OPS, ADMIN, ARCHITECT},  # by its kind
    ("POST", "/v1/sagas/{saga_id}/withdraw"): {OPS, ADMIN, ARCHITECT},  # by its kind
    ("POST", "/v1/tenants/{key}/drift-checks"): {OPS, ADMIN},
    ("GET", "/v1/tenants/{key}/findings"): TENANT_READERS,
    ("POST", "/v1/tenants/{key}/drift/decisions"): {OPS, ADMIN},
    ("GET", "/v1/tenants/{key}/residency"): TENANT_READERS,
    ("POST", "/v1/hubs/{hub_id}/drift-checks"): {OPS, ADMIN},
    ("GET", "/v1/hubs/{hub_id}/drift"): HUB_READERS,
    ("GET", "/v1/findings"): TENANT_READERS,
    ("GET", "/v1/findings/{finding_id}"): TENANT_READERS,
    ("GET", "/v1/findings/{finding_id}/decisions"): TENANT_READERS,
    ("POST", "/v1/findings/{finding_id}/decision"): {OPS, ADMIN},
    ("POST", "/v1/drift-sweeps"): {OPS, ADMIN},
    ("GET", "/v1/drift-sweeps"): ACCOUNT_READERS,
    ("GET", "/v1/drift-sweeps/{sweep_id}"): ACCOUNT_READERS,
    ("POST", "/v1/hubs"): {ADMIN},
    ("GET", "/v1/hubs"): HUB_READERS,
    ("GET", "/v1/hubs/{hub_id}"): HUB_READERS,
    ("POST", "/v1/accounts"): {ADMIN},
    ("GET", "/v1/accounts"): ACCOUNT_READERS,
    ("GET", "/v1/accounts/{account_id}"): ACCOUNT_READERS,
    ("PATCH", "/v1/accounts/{account_id}"): {ADMIN},
    ("DELETE", "/v1/accounts/{account_id}"): {ADMIN},
    ("GET", "/v1/runs"): RUN_READERS,
    ("GET", "/v1/runs/{run_id}"): RUN_READERS,
    ("GET", "/v1/runs/{run_id}/plan"): RUN_READERS,
    ("GET", "/v1/runs/{run_id}/plan/comparison"): RUN_READERS,
    ("GET", "/v1/runs/{run_id}/events"): RUN_READERS,
    ("POST", "/v1/runs/{run_id}/cancel"): {OPS, ADMIN},
    ("POST", "/v1/runs/{run_id}/retry"): {OPS, ADMIN},
    ("GET", "/v1/approvals"): APPROVAL_READERS,
    ("GET", "/v1/approvals/{approval_id}"): APPROVAL_READERS,
    ("POST", "/v1/approvals/{approval_id}/decisions"): {OPS},
    ("POST", "/v1/approvals/{approval_id}/withdrawal"): {OPS},
    ("GET", "/v1/bundles"): BUNDLE_READERS,
    ("GET", "/v1/bundles/{bundle_id}"): BUNDLE_READERS,
    ("PATCH", "/v1/bundles/{bundle_id}"): {ARCHITECT},
    ("POST", "/v1/bundles/{bundle_id}/accept"): {ARCHITECT},
    ("POST", "/v1/bundles/{bundle_id}/build"): {ARCHITECT},
    ("POST", "/v1/bundles/{bundle_id}/hand-over"): {ARCHITECT},
    ("GET", "/v1/bundles/{bundle_id}/links"): BUNDLE_READERS,
    ("POST", "/v1/bundles/{bundle_id}/links/{link_id}/revoke"): {ARCHITECT},
    ("POST", "/v1/bundles/{bundle_id}/receipts"): {ARCHITECT},
    ("GET", "/v1/bundles/{bundle_id}/archive"): BUNDLE_READERS,
    ("GET", "/v1/tenants/{key}/audit/events"): {AUDITOR},
    ("GET", "/v1/tenants/{key}/audit/checkpoint"): {AUDITOR},
    ("GET", "/v1/tenants/{key}/audit/proof"): {AUDITOR},
    ("GET", "/v1/audit/platform/events"): {PLATFORM_AUDITOR},
    ("GET", "/v1/audit/platform/checkpoint"): {PLATFORM_AUDITOR},
    ("GET", "/v1/audit/platform/proof"): {PLATFORM_AUDITOR},
    ("GET", "/v1/audit/{tree}/dossier"): {AUDITOR},
    ("GET", "/v1/tenants/{key}/audit/status"): {AUDITOR},
    ("GET", "/v1/audit/platform/status"): {PLATFORM_AUDITOR},
    ("GET", "/v1/audit/status"): {PLATFORM_AUDITOR},
    ("GET", "/v1/audit/{tree}/quarantine"): {PLATFORM_AUDITOR, ADMIN},
    ("POST", "/v1/audit/{tree}/quarantine/release"): {ADMIN},
    ("GET", "/v1/audit/trees"): {PLATFORM_AUDITOR},
    ("GET", "/audit/{tree}/{path}"): {AUDITOR},
    ("POST", "/v1/intake/{source}"): ANYBODY,
    ("GET", "/v1/messages"): TENANT_READERS,
    ("GET", "/v1/messages/{message_id}"): TENANT_READERS,
    ("GET", "/v1/messages/{message_id}/preview"): MESSAGE_READERS,
    ("POST", "/v1/messages/{message_id}/send-again"): MESSAGE_READERS,
    ("POST", "/v1/messages/{message_id}/cancel"): MESSAGE_READERS,
    ("GET", "/v1/approver-keys"): {OPS, ADMIN, AUDITOR, PLATFORM_AUDITOR},
    ("GET", "/v1/approver-keys/terms"): {OPS, ADMIN},
    ("GET", "/v1/approver-keys/{approver_key_id}"): {OPS, ADMIN, AUDITOR, PLATFORM_AUDITOR},
    ("POST", "/v1/approver-keys"): {OPS, ADMIN},
    ("POST", "/v1/approver-keys/{approver_key_id}/confirmation"): {OPS, ADMIN},
    ("POST", "/v1/approver-keys/{approver_key_id}/revocation"): {OPS, ADMIN},
    ("GET", "/v1/suppressions"): {*MESSAGE_READERS, PLATFORM_AUDITOR},
    ("POST", "/v1/suppressions"): {OPS, ADMIN},
    ("POST", "/v1/suppressions/{suppression_id}/lift"): {OPS, ADMIN},
    ("GET", "/v1/tenants/{key}/journey"): TENANT_READERS,
    ("GET", "/v1/tenants/{key}/timeline"): TENANT_READERS,
    ("GET", "/v1/standing"): TENANT_READERS,
    ("GET", "/v1/journeys"): TENANT_READERS,
    ("GET", "/v1/journeys/{journey_id}"): TENANT_READERS,
    ("POST", "/v1/journeys/{journey_id}/steps/{step}/retry"): {OPS, ADMIN},
    ("POST", "/v1/journeys/{journey_id}/steps/{step}/skip"): {OPS, ADMIN},
    ("POST", "/v1/journeys/{journey_id}/steps/{step}/done"): {OPS, ADMIN},
    ("POST", "/v1/journeys/{journey_id}/cancel"): {OPS, ADMIN},
    ("GET", "/v1/tasks"): TENANT_READERS,
    ("GET", "/v1/tasks/{task_id}"): TENANT_READERS,
    ("POST", "/v1/tasks/{task_id}/done"): {OPS, ADMIN},
    ("POST", "/v1/tasks/{task_id}/reassign"): {OPS, ADMIN},
    ("GET", "/v1/deliveries"): DELIVERY_READERS,
    ("GET", "/v1/deliveries/{delivery_id}"): DELIVERY_READERS,
    ("GET", "/v1/deliveries/{delivery_id}/content"): {AUTOMATION, ADMIN},
    ("POST", "/v1/deliveries/{delivery_id}/replay"): {AUTOMATION, OPS, ADMIN},
    ("POST", "/v1/deliveries/{delivery_id}/decision"): {OPS, ADMIN},
    ("POST", "/v1/intake/{source}/look"): {AUTOMATION, OPS, ADMIN},
    ("GET", "/v1/intake-findings"): DELIVERY_READERS,
    ("POST", "/v1/intake-findings/{intake_finding_id}/settle"): {OPS, ADMIN},
    ("GET", "/v1/event-types"): DELIVERY_READERS,
    ("GET", "/v1/event-subscriptions"): DELIVERY_READERS,
    ("GET", "/v1/event-subscriptions/{subscription_id}"): DELIVERY_READERS,
    ("GET", "/v1/event-subscriptions/{subscription_id}/deliveries"): DELIVERY_READERS,
    ("POST", "/v1/event-subscriptions"): {ADMIN},
    ("PATCH", "/v1/event-subscriptions/{subscription_id}"): {ADMIN},
    ("DELETE", "/v1/event-subscriptions/{subscription_id}"): {ADMIN},
    ("POST", "/v1/event-subscriptions/{subscription_id}/rotate"): {ADMIN},
    ("POST", "/v1/event-subscriptions/{subscription_id}/resume"): {ADMIN},
    ("POST", "/v1/event-subscriptions/{subscription_id}/test"): {OPS, ADMIN},
    ("POST", "/v1/event-subscriptions/{subscription_id}/replay"): {OPS, ADMIN},
    ("POST", "/v1/event-subscriptions/{subscription_id}/deliveries/{sent_id}/replay"): {OPS, ADMIN},
    ("GET", "/v1/tenants/{key}/onboarding/steps"): {AUTOMATION, ARCHITECT, ADMIN, OPS},
    ("GET", "/v1/tenants/{key}/onboarding/steps/{step_key}"): {AUTOMATION, ARCHITECT, ADMIN, OPS},
    ("PUT", "/v1/tenants/{key}/onboarding/steps/{step_key}"): STEP_EDITORS,
    ("POST", "/v1/tenants/{key}/onboarding/steps/{step_key}/complete"): STEP_EDITORS,
    ("POST", "/v1/tenants/{key}/onboarding/steps/{step_key}/reopen"): STEP_EDITORS,
    ("GET", "/v1/tenants/{key}/onboarding-link"): TENANT_READERS,
    ("POST", "/v1/tenants/{key}/onboarding-link"): {AUTOMATION, OPS, ADMIN},
    ("DELETE", "/v1/tenants/{key}/onboarding-link"): {AUTOMATION, OPS, ADMIN},
    ("GET", "/v1/people"): {AUTOMATION, OPS, ARCHITECT, ADMIN, PLATFORM_AUDITOR},
    ("GET", "/v1/tenants/{key}/people"): TENANT_READERS,
    ("POST", "/v1/tenants/{key}/people"): {ARCHITECT, ADMIN},
    ("GET", "/v1/meetings"): TENANT_READERS,
    ("GET", "/v1/meetings/{meeting_id}"): TENANT_READERS,
    ("POST", "/v1/meetings/{meeting_id}/move"): {ARCHITECT, ADMIN},
    ("POST", "/v1/meetings/{meeting_id}/cancel"): {ARCHITECT, ADMIN},
    ("POST", "/v1/audit/{tree}/disclosures"): {AUDITOR},
    ("POST", "/v1/audit/{tree}/grants"): {AUDITOR},
    ("GET", "/v1/audit/{tree}/grants"): KEEPERS,
    ("GET", "/v1/audit/{tree}/grants/{grant_id}"): KEEPERS,
    ("POST", "/v1/audit/{tree}/grants/{grant_id}/confirm"): KEEPERS,
    ("POST", "/v1/audit/{tree}/erasures"): KEEPERS,
    ("GET", "/v1/audit/{tree}/erasures"): KEEPERS,
    ("GET", "/v1/audit/{tree}/erasures/{erasure_id}"): KEEPERS,
    ("POST", "/v1/audit/{tree}/erasures/{erasure_id}/confirm"): KEEPERS,
    ("GET", "/healthz"): ANYBODY,
    ("GET", "/readyz"): ANYBODY,
    ("GET", "/metrics"): ANYBODY,
}
GUARDED: Final = [pair for pair, roles in TABLE.items() if roles]
OF_NO_TENANT: Final = [  # reached with the ids of a Hub, its run and its approval
    (method, path)
    for method, path in GUARDED
    if re.search(r"\{(hub|run|approval|finding|sweep)_id\}", path)
    # nothing is being removed, so that these find nothing whatever the token
    and (method, path.rpartition("/")[2]) not in {("GET", "removal"), ("GET", "certificate")}
]
OF_TENANTS: Final = [
    (method, path)
    for method, path in GUARDED
    if "{" in path
    and not re.search(r"\{((hub|account|finding|sweep|suppression|approver_key)_id|source)\}", path)
]
LISTS: Final = ["/v1/provisioning-requests", "/v1/tenants", "/v1/runs", "/v1/approvals",
                "/v1/bundles", "/v1/findings", "/v1/deliveries", "/v1/intake-findings",
                "/v1/messages",
                "/v1/meetings"]  # fmt: skip


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


SIGNED: Final = ("POST", "/v1/intake/{source}")  # opened by a signature, test_intake_over_http.py
OPEN: Final = [pair for pair, roles in TABLE.items() if not roles and pair != SIGNED]


@pytest.mark.parametrize("pair", OPEN, ids=_named)
def test_open_routes_need_no_token(shown: Scene, pair: tuple[str, str]) -> None:
    assert shown.ask(*pair, None).status_code == 200


@pytest.mark.requirement("J-053")
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
        answer = shown.ask("GET", path, role)
        assert answer.status_code == 200, answer.text
        everything = answer.json()["items"]
        assert everything
        for tenants in ((), ("ten_01JD3ZK4Q0V8X2M6N7P9R5T1WY",)):
            token = shown.api.token(role, tenants=tenants)
            answer = shown.ask("GET", path, token)
            assert answer.status_code == 200, answer.text
            items = answer.json()["items"]
            if role in {ADMIN, PLATFORM_AUDITOR}:  # they see what belongs to no tenant
                items = [item for item in items if item.get("tenant_id", "") is not None]
            assert items == []


def test_a_tenants_token_sees_exactly_its_tenant(shown: Scene) -> None:
    tenant_id = shown.ids["key"]
    token = shown.api.token(AUDITOR, tenants=(tenant_id,))
    assert [item["id"] for item in shown.ask("GET", "/v1/tenants", token).json()["items"]] == [
        tenant_id
    ]
    slug = shown.ask("GET", "/v1/tenants/{key}", token).json()["slug"]
    assert shown.api.call("GET", f"/v1/tenants/{slug}", token).json()["id"] == tenant_id


@pytest.mark.parametrize("role", sorted(ACCOUNT_READERS - {ADMIN, PLATFORM_AUDITOR}))
def test_the_account_pool_belongs_to_no_tenant(shown: Scene, role: Role) -> None:
    token = shown.api.token(role, tenants=(shown.ids["key"],))
    assert shown.ask("GET", "/v1/accounts", token).json()["items"] == []
    assert shown.ask("GET", "/v1/accounts/{account_id}", token).status_code == 404
    assert shown.ask("GET", "/v1/accounts/{account_id}", role).status_code == 200


def test_a_look_at_another_tenants_thing_leaves_an_event(scene: Scene) -> None:
    token = scene.api.token(OPS, tenants=("ten_01JD3ZK4Q0V8X2M6N7P9R5T1WY",))
    _, events = scene.api.events(lambda: scene.ask("GET", "/v1/runs/{run_id}", token))
    assert events == ["authz.denied:denied"]
    assert scene.world.events()[-1].tree == "platform"


@pytest.fixture(scope="module")
def hub(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: EmbeddedPostgres,
    first_scene: Scene,
) -> Iterator[tuple[Scene, dict[str, str]]]:
    """A scene with a Hub whose plan waits for a decision, and the ids of what belongs to it."""
    folder = tmp_path_factory.mktemp("hub")
    with opened(postgres_server, first_scene.world.storage.database.name, folder) as storage:
        scene = Scene(World(storage, like=first_scene.world), folder, like=first_scene)
        scene.api.created("/v1/hubs", ADMIN, {"region": "eu-west-1", "cell": "c9"})
        scene.world.work()
        with scene.world.core.uow() as uow:
            (found,) = uow.hubs.find(cell="c9")
            (approval,) = uow.approvals.find(tenant_id=None, status="waiting")
        ids = {"hub_id": found.id, "run_id": approval.run_id, "approval_id": approval.id}
        yield scene, {**scene.ids, **ids}


@pytest.mark.parametrize("pair", OF_NO_TENANT, ids=_named)
@pytest.mark.parametrize("tenants", [(), ("ten_01JD3ZK4Q0V8X2M6N7P9R5T1WY",), ("platform",)])
def test_what_belongs_to_no_tenant_takes_a_platform_scope(
    hub: tuple[Scene, dict[str, str]], pair: tuple[str, str], tenants: tuple[str, ...]
) -> None:
    scene, ids = hub
    for role in Role:
        token = scene.api.token(role, tenants=tenants)
        found = scene.ask(*pair, token, ids=ids)
        if role in {ADMIN, PLATFORM_AUDITOR}:
            allowed = role in TABLE[pair]
            assert (found.status_code not in {401, 403, 404}) == allowed, (role, found.text)
            continue
        missing = scene.ask(*pair, token, ids=scene.missing)
        assert comparable(found) == comparable(missing), role
        if role in TABLE[pair]:
            is_problem(found, 404, "not_found")


@pytest.mark.parametrize("path", ["/v1/hubs", "/v1/runs", "/v1/approvals"])
def test_lists_hold_what_belongs_to_no_tenant_for_a_platform_scope_alone(
    hub: tuple[Scene, dict[str, str]], path: str
) -> None:
    scene, ids = hub
    wanted = {"/v1/hubs": "hub_id", "/v1/runs": "run_id", "/v1/approvals": "approval_id"}[path]
    for role in TABLE["GET", path]:
        for tenants in (("*",), (), (scene.ids["key"],)):
            token = scene.api.token(role, tenants=tenants)
            listed = {item["id"] for item in scene.ask("GET", path, token).json()["items"]}
            if "*" in tenants or (role in {ADMIN, PLATFORM_AUDITOR} and path == "/v1/hubs"):
                assert ids[wanted] in listed, (role, tenants)
            elif role not in {ADMIN, PLATFORM_AUDITOR}:
                assert ids[wanted] not in listed, (role, tenants)


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
