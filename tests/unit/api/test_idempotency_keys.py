"""Repeating a creating request: the semantics of the Idempotency-Key header draft."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.canonical import canonical_json, digest
from tests.unit.api.scene import Api, Scene, is_problem
from tests.world import request_body

PATH = "/v1/provisioning-requests"
CRM = Role.AUTOMATION
CREATING = [
    "/v1/provisioning-requests",
    "/v1/hubs",
    "/v1/runs/{run_id}/retry",
    "/v1/approvals/{approval_id}/decisions",
    "/v1/approvals/{approval_id}/withdrawal",
    "/v1/bundles/{bundle_id}/hand-over",
    "/v1/bundles/{bundle_id}/receipts",
]
WHO = {"/v1/hubs": Role.PLATFORM_ADMIN, "/v1/provisioning-requests": CRM}


@pytest.mark.parametrize("path", CREATING)
@pytest.mark.parametrize("key", [None, "x" * 256, "tab\there"])
def test_a_creating_post_needs_a_key(shown: Scene, path: str, key: str | None) -> None:
    who = WHO.get(path, Role.OPS_APPROVER)
    answer, events = shown.api.events(lambda: shown.ask("POST", path, who, key=key))
    is_problem(answer, 400, "idempotency_key_missing")
    assert events == ["request.refused:denied"]


@pytest.mark.requirement("J-017")
def test_the_same_request_is_answered_the_same(api: Api) -> None:
    body = request_body("B")
    first = api.call("POST", PATH, CRM, json=body, key="one")
    assert first.status_code == 202
    assert "idempotency-replayed" not in first.headers
    assert first.headers["location"] == f"{PATH}/{first.json()['id']}"
    again, events = api.events(lambda: api.call("POST", PATH, CRM, json=body, key="one"))
    assert again.headers["idempotency-replayed"] == "true"
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert events == []
    assert len(api.world.rows("tenant")) == 1
    assert api.call("GET", again.headers["location"], CRM).json()["id"] == first.json()["id"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/hubs", {"region": "eu-west-1"}),
        ("/v1/accounts", {"account_id": "210987654321", "shared": True}),
        (PATH, request_body("C")),
    ],
)
def test_a_repetition_is_answered_byte_for_byte(api: Api, path: str, body: dict[str, Any]) -> None:
    who = WHO.get(path, Role.PLATFORM_ADMIN)
    first, again = (api.call("POST", path, who, json=body, key="one") for _ in range(2))
    assert first.status_code in {201, 202}, first.text
    assert (again.headers["idempotency-replayed"], again.content) == ("true", first.content)


@pytest.mark.requirement("J-017")
def test_a_key_with_another_body_is_refused(api: Api) -> None:
    api.call("POST", PATH, CRM, json=request_body("B"), key="one")
    other = api.call("POST", PATH, CRM, json=request_body("B", 2), key="one")
    is_problem(other, 422, "idempotency_key_reused")
    assert len(api.world.rows("tenant")) == 1


def test_spelling_and_order_of_a_body_are_no_other_body(api: Api) -> None:
    body = request_body("B")
    first = api.call("POST", PATH, CRM, json=body, key="one")
    turned = dict(reversed(list(body.items())))
    turned["contract"] = {**body["contract"], "signed_at": "2026-11-20T15:03:00+01:00"}
    again = api.call("POST", PATH, CRM, json=turned, key="one")
    assert again.json() == first.json()


def test_a_key_belongs_to_one_caller_and_one_route(api: Api) -> None:
    first = api.created("/v1/hubs", Role.PLATFORM_ADMIN, {"region": "eu-west-1"})
    assert first["region"] == "eu-west-1"
    one = api.call("POST", PATH, api.token(CRM, subject="one"), json=request_body(), key="same")
    two = api.call("POST", PATH, api.token(CRM, subject="two"), json=request_body("B", 2),
                   key="same")  # fmt: skip
    hub = api.call("POST", "/v1/hubs", api.token(Role.PLATFORM_ADMIN, subject="one"),
                   json={"region": "eu-west-1", "cell": "c9"}, key="same")  # fmt: skip
    assert [one.status_code, two.status_code, hub.status_code] == [202, 202, 202]


def test_a_refusal_is_not_kept_so_the_key_can_be_used_again(api: Api) -> None:
    wrong = request_body()
    wrong["requirements"]["residency"]["regions"] = ["eu-nowhere-1"]
    is_problem(api.call("POST", PATH, CRM, json=wrong, key="one"), 422, "unknown_region")
    del wrong["company"]
    is_problem(api.call("POST", PATH, CRM, json=wrong, key="one"), 422, "invalid_input")
    assert api.call("POST", PATH, CRM, json=request_body(), key="one").status_code == 202


def test_the_same_key_at_once_has_one_effect(api: Api) -> None:
    body, token = request_body("B"), api.token(CRM)
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: api.call("POST", PATH, token, json=body, key="one"), range(8))
        )
    assert {answer.status_code for answer in answers} == {202}
    assert len({canonical_json(answer.json()) for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert len(api.world.rows("tenant")) == 1
    assert api.world.actions().count("request.accepted:completed") == 1


def test_twenty_posts_of_one_contract_under_different_keys_make_one_tenant(api: Api) -> None:
    body, token = request_body("B"), api.token(CRM)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: api.call("POST", PATH, token, json=body), range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len({answer.json()["tenant"]["id"] for answer in answers}) == 1
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert len(api.world.rows("tenant")) == len(api.world.rows("run")) == 1
    assert api.world.actions().count("request.accepted:completed") == 1


def test_a_contract_with_other_facts_is_refused_and_names_its_request(api: Api) -> None:
    first = api.created(PATH, CRM, request_body("B"))
    changed = api.call("POST", PATH, CRM, json=request_body("B", dedicated_network=True))
    assert is_problem(changed, 409, "contract_already_used")["request_id"] == first["id"]


def _in_flight(api: Api, *, age: timedelta) -> None:
    """Leave the key ``one`` as a process leaves it that has not answered yet, or died."""
    api.call("POST", PATH, CRM, json=request_body("B"), key="one")
    (record,) = api.world.rows("idempotency_record").values()
    created = record.created_at - age
    held = replace(
        record, response_status=None, response_body=None, response_headers={},
        created_at=created, expires_at=created + timedelta(hours=48),
    )  # fmt: skip
    with api.world.core.uow() as uow:
        uow.idempotency.save(held)
        uow.commit()


def test_a_request_in_flight_for_too_long_is_a_conflict(api: Api) -> None:
    _in_flight(api, age=timedelta())
    answer = api.call("POST", PATH, CRM, json=request_body("B"), key="one")
    is_problem(answer, 409, "idempotency_key_in_flight")


def test_who_waits_for_a_request_that_is_refused_need_not_wait_long(api: Api) -> None:
    wrong, token = request_body(), api.token(CRM)
    wrong["requirements"]["residency"]["regions"] = ["eu-nowhere-1"]
    started = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(lambda _: api.call("POST", PATH, token, json=wrong, key="one"), range(6))
        )
    codes = {answer.json()["code"] for answer in answers}
    assert codes <= {"unknown_region", "idempotency_key_in_flight"}
    assert "unknown_region" in codes
    assert time.monotonic() - started < 4.5


def test_an_answer_that_died_with_its_process_is_completed(api: Api) -> None:
    _in_flight(api, age=timedelta(seconds=61))
    answer = api.call("POST", PATH, CRM, json=request_body("B"), key="one")
    assert answer.status_code == 202
    assert len(api.world.rows("tenant")) == 1


def test_a_download_link_is_shown_once(scene: Scene) -> None:
    scene.built_bundle()
    path = "/v1/bundles/{bundle_id}/hand-over"
    first = scene.ask("POST", path, Role.SOLUTIONS_ARCHITECT, key="one")
    assert first.status_code == 201, first.text
    url = first.json()["download_url"]
    again = scene.ask("POST", path, Role.SOLUTIONS_ARCHITECT, key="one")
    assert again.json() == {**first.json(), "download_url": None}
    secret = url.rsplit(".", 1)[1]
    kept = repr(scene.world.storage.everything()) + repr(scene.world.events())
    assert secret not in kept
    archive = scene.api.call("GET", url.removeprefix("http://localhost:8080"))
    assert archive.status_code == 200
    assert archive.headers["content-disposition"].startswith('attachment; filename="hub-')
    assert digest({}) != archive.headers["x-content-digest"]


@pytest.mark.parametrize(
    "token", ["", "x", "x.y", "lnk_00000000000000000000000000.secret", "ü.ü", "." * 100]
)
def test_a_link_that_nobody_gave_is_refused_alike(shown: Scene, token: str) -> None:
    scene = shown
    path = f"/v1/bundles/{scene.ids['bundle_id']}/archive"
    answer, events = scene.api.events(lambda: scene.api.call("GET", f"{path}?token={token}"))
    is_problem(answer, 404, "link_expired")
    assert events == ["link.refused:denied"]


def test_a_look_at_a_link_tells_the_same_and_is_not_counted(scene: Scene) -> None:
    bundle_id = scene.built_bundle()
    handed = scene.ask("POST", "/v1/bundles/{bundle_id}/hand-over", Role.SOLUTIONS_ARCHITECT)
    url = handed.json()["download_url"].removeprefix("http://localhost:8080")
    before = len(scene.world.events())
    looked = scene.api.call("HEAD", url)
    assert (looked.status_code, looked.content) == (200, b"")
    assert len(scene.world.events()) == before
    given = scene.api.call("GET", url)
    for name in ("content-length", "content-disposition", "x-content-digest"):
        assert looked.headers[name] == given.headers[name]
    (link,) = scene.api.call(
        "GET", f"/v1/bundles/{bundle_id}/links", Role.SOLUTIONS_ARCHITECT
    ).json()
    assert link["uses"] == 1
    assert (
        scene.api.call("HEAD", url + "x").status_code
        == scene.api.call("GET", url + "x").status_code
    )
