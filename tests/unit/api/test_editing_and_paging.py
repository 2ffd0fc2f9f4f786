"""Editing what one has read, and walking through lists."""

from __future__ import annotations

import base64

import httpx
import pytest

from control_plane.domain.actor import Role
from tests.unit.api.scene import Api, Scene, is_problem

ARCHITECT, OPS, ADMIN = Role.SOLUTIONS_ARCHITECT, Role.OPS_APPROVER, Role.PLATFORM_ADMIN
LISTS = ["/v1/provisioning-requests", "/v1/tenants", "/v1/runs", "/v1/approvals", "/v1/bundles",
         "/v1/hubs"]  # fmt: skip


def _edit(scene: Scene, if_match: str | None, **inputs: object) -> httpx.Response:
    headers = {} if if_match is None else {"If-Match": if_match}
    path = f"/v1/bundles/{scene.ids['bundle_id']}"
    body = {"inputs": inputs or {"account_id": "210987654321"}}
    return scene.api.call("PATCH", path, ARCHITECT, json=body, headers=headers)


def test_an_edit_from_what_was_read_is_taken_and_moves_the_etag(scene: Scene) -> None:
    read = scene.ask("GET", "/v1/bundles/{bundle_id}", ARCHITECT)
    edited = _edit(scene, read.headers["etag"])
    assert edited.status_code == 200, edited.text
    assert edited.json()["inputs"]["account_id"] == "210987654321"
    assert edited.headers["etag"] != read.headers["etag"]
    again = scene.ask("GET", "/v1/bundles/{bundle_id}", ARCHITECT)
    assert again.headers["etag"] == edited.headers["etag"]
    is_problem(_edit(scene, read.headers["etag"]), 412, "precondition_failed")


def test_an_edit_without_a_version_is_refused(scene: Scene) -> None:
    answer, events = scene.api.events(lambda: _edit(scene, None))
    is_problem(answer, 428, "precondition_required")
    assert events == ["request.refused:denied"]


@pytest.mark.parametrize("value", ["*", '"x"', "²", '"9999999999"', '"-1"', "", '"1", "2"'])
def test_an_etag_that_is_none_of_the_item_is_refused(shown: Scene, value: str) -> None:
    answer = shown.api.call(
        "PATCH", f"/v1/bundles/{shown.ids['bundle_id']}", ARCHITECT,
        json={"inputs": {"account_id": "210987654321"}},
        headers={"If-Match": value.encode("latin-1")},  # type: ignore[dict-item]  # httpx takes bytes, which any client may send
    )  # fmt: skip
    is_problem(answer, 412, "precondition_failed")


def test_what_the_request_fixed_is_not_edited(scene: Scene) -> None:
    etag = scene.ask("GET", "/v1/bundles/{bundle_id}", ARCHITECT).headers["etag"]
    content = is_problem(_edit(scene, etag, region="us-east-1"), 422, "invalid_input")
    assert content["fields"][0]["field"] == "inputs.region"


@pytest.mark.parametrize("name", ["acount_id", "x" * 3000])
def test_a_null_for_a_field_that_there_is_not_is_refused(scene: Scene, name: str) -> None:
    etag = scene.ask("GET", "/v1/bundles/{bundle_id}", ARCHITECT).headers["etag"]
    answer, events = scene.api.events(lambda: _edit(scene, etag, **{name: None}))
    assert "is not a field of the inputs" in is_problem(answer, 422, "invalid_input")["detail"]
    assert events == ["bundle.refused:denied"]


def test_the_edit_of_a_built_bundle_answers_the_next_version(scene: Scene) -> None:
    scene.built_bundle()
    etag = scene.ask("GET", "/v1/bundles/{bundle_id}", ARCHITECT).headers["etag"]
    edited = _edit(scene, etag)
    assert edited.json()["id"] != scene.ids["bundle_id"]
    assert edited.json()["number"] == 2
    where = edited.headers["content-location"]
    assert scene.api.call("GET", where, ARCHITECT).json() == edited.json()
    old = scene.ask("GET", "/v1/bundles/{bundle_id}", ARCHITECT)
    assert old.json()["status"] == "superseded"


def test_what_takes_time_says_where_to_look(scene: Scene) -> None:
    answer = scene.ask("POST", "/v1/bundles/{bundle_id}/build", ARCHITECT, json=None)
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/bundles/{scene.ids['bundle_id']}"
    hub = scene.ask("POST", "/v1/hubs", ADMIN)
    assert scene.api.call("GET", hub.headers["location"], ADMIN).json()["id"] == hub.json()["id"]


def _walk(api: Api, path: str, token: str, limit: int) -> list[list[str]]:
    pages, page_token = [], None
    while True:
        address = f"{path}?limit={limit}" + (f"&page_token={page_token}" if page_token else "")
        answer = api.call("GET", address, token)
        assert answer.status_code == 200, answer.text
        pages.append([item["id"] for item in answer.json()["items"]])
        page_token = answer.json()["next_page_token"]
        if page_token is None:
            return pages


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", [1, 2, 200])
def test_pages_cover_a_list_once_newest_first(shown: Scene, path: str, limit: int) -> None:
    token = shown.api.token(ADMIN)
    pages = _walk(shown.api, path, token, limit)
    found = [item for page in pages for item in page]
    assert all(len(page) <= limit for page in pages)
    assert found == sorted(found, reverse=True)
    assert len(found) == len(set(found)) > 0
    whole = shown.api.call("GET", path, token).json()["items"]
    assert found == [item["id"] for item in whole]


def _page_token(scene: Scene, path: str = "/v1/tenants?limit=1", who: str | None = None) -> str:
    answer = scene.api.call("GET", path, who or scene.api.token(ADMIN))
    return str(answer.json()["next_page_token"])


def test_a_page_token_holds_for_its_list_its_filters_and_its_caller_alone(shown: Scene) -> None:
    token = _page_token(shown)
    admin = shown.api.token(ADMIN)
    assert shown.api.call("GET", f"/v1/tenants?page_token={token}", admin).status_code == 200
    for address in ("/v1/runs?", "/v1/tenants?status=pending&", "/v1/hubs?"):
        answer = shown.api.call("GET", f"{address}page_token={token}", admin)
        is_problem(answer, 400, "invalid_page_token")
    other = shown.api.token(ADMIN, subject="somebody-else")
    answer = shown.api.call("GET", f"/v1/tenants?page_token={token}", other)
    is_problem(answer, 400, "invalid_page_token")


def _flipped(token: str, place: int) -> str:
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[place] ^= 1
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize("place", [0, 15, 16, 30, -1])
def test_a_changed_page_token_is_refused(shown: Scene, place: int) -> None:
    forged = _flipped(_page_token(shown), place)
    answer = shown.api.call("GET", f"/v1/tenants?page_token={forged}", ADMIN)
    is_problem(answer, 400, "invalid_page_token")


@pytest.mark.parametrize("token", ["", "x", "====", "%FF", "ü", "bnVsbA", "A" * 500])
def test_a_made_up_page_token_is_refused(shown: Scene, token: str) -> None:
    answer = shown.api.call("GET", f"/v1/tenants?page_token={token}", ADMIN)
    is_problem(answer, 400, "invalid_page_token")


def test_a_list_is_filtered_by_status_and_tenant(shown: Scene) -> None:
    tenant_id = shown.ids["key"]
    runs = shown.api.call("GET", f"/v1/runs?tenant_id={tenant_id}", ADMIN).json()["items"]
    assert [run["id"] for run in runs] == [shown.ids["run_id"]]
    waiting = shown.api.call("GET", "/v1/runs?status=awaiting_approval", ADMIN).json()["items"]
    assert [run["id"] for run in waiting] == [shown.ids["run_id"]]
    assert waiting[0]["allowed_actions"] == ["cancel"]  # an admin does not decide
