"""Posting to intake: a signature opens it and nothing else; no content comes out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

import httpx
import pytest

from control_plane.domain.actor import Role
from control_plane.domain.errors import Unavailable
from tests.signed import (
    as_bytes,
    docusign,
    docusign_headers,
    envelope_of,
    signing,
    webhook_headers,
)
from tests.statements import counted_statements
from tests.unit.api.scene import Scene, is_problem

PATH = "/v1/intake/docusign"
DELIVERY = "/v1/deliveries/{delivery_id}"


def post(
    scene: Scene, body: bytes, path: str = PATH, who: Role | None = None, **headers: str
) -> httpx.Response:
    given = headers or docusign_headers(body)
    return scene.api.call(
        "POST", path, who, content=body, headers={"Content-Type": "application/json", **given}
    )


def test_what_is_signed_is_stored_and_answered_with_an_id(scene: Scene) -> None:
    body = as_bytes(docusign(50))
    answer, events = scene.api.events(lambda: post(scene, body))
    assert answer.status_code == 202
    assert answer.json().keys() == {"delivery_id"}
    assert events == ["delivery.received:completed"]
    again, events = scene.api.events(lambda: post(scene, as_bytes(docusign(50, retry=3))))
    assert (again.json(), events) == (answer.json(), [])
    found = scene.ask("GET", DELIVERY, Role.OPS_APPROVER, ids=answer.json()).json()
    assert (found["status"], found["times_received"]) == ("received", 2)
    assert found["envelope_id"] == envelope_of(50)
    scene.world.work()
    found = scene.ask("GET", DELIVERY, Role.OPS_APPROVER, ids=answer.json()).json()
    assert (found["status"], found["allowed_actions"]) == ("accepted", [])
    assert "Dainese" not in str(found)
    assert "ida@" not in str(found)


def test_a_token_is_no_signature(scene: Scene) -> None:
    body = as_bytes(docusign(51))
    for role in (None, *Role):
        answer = post(scene, body, who=role, **{"x-docusign-signature-1": "AAAA"})
        is_problem(answer, 401, "signature_invalid")
        assert answer.headers["www-authenticate"] == "Signature"


@pytest.mark.parametrize("change", [
    lambda body: body + b" ", lambda body: body.replace(b"120", b"121"), lambda _: b"",
])  # fmt: skip
def test_an_altered_body_is_refused(shown: Scene, change: Any) -> None:
    body = as_bytes(docusign(52))
    answer, events = shown.api.events(lambda: post(shown, change(body), **docusign_headers(body)))
    is_problem(answer, 401, "signature_invalid")
    assert events == ["delivery.denied:denied"]
    assert shown.world.events()[-1].data["code"] == "signature_invalid"


def test_an_unknown_source_does_not_exist(shown: Scene) -> None:
    is_problem(post(shown, as_bytes(docusign()), "/v1/intake/adobe"), 404, "not_found")


def test_a_body_that_is_too_large_is_not_read(shown: Scene) -> None:
    is_problem(post(shown, b"x" * (256 * 1024 + 1)), 413, "body_too_large")


def test_without_a_database_the_provider_is_asked_to_come_again(scene: Scene) -> None:
    def unavailable() -> NoReturn:
        raise Unavailable("the database is unavailable")

    core = scene.api.shared.core
    scene.api.shared.core = replace(core, uow=unavailable)
    answer = post(scene, as_bytes(docusign(54)))
    is_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "2"
    unsigned = post(scene, as_bytes(docusign(54)), **{"x-docusign-signature-1": "AAAA"})
    is_problem(unsigned, 503, "unavailable")
    scene.api.shared.core = core
    assert post(scene, as_bytes(docusign(54))).status_code == 202


def test_a_receipt_takes_three_statements_and_a_repetition_one(scene: Scene) -> None:
    for retry, statements in ((0, 3), (1, 1)):
        body = as_bytes(docusign(55, retry=retry))
        with counted_statements() as asked:
            assert post(scene, body).status_code == 202
        assert len(asked) == statements, asked


def test_without_the_log_the_provider_is_asked_to_come_again(scene: Scene) -> None:
    with scene.world.storage.without_log():
        answer = post(scene, as_bytes(docusign(53)))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert len(scene.world.rows("delivery")) == 1


def test_a_standard_webhook_is_taken_too(scene: Scene) -> None:
    body = as_bytes(signing())
    headers = webhook_headers(body, scene.world.clock.now())
    assert post(scene, body, "/v1/intake/signing", **headers).status_code == 202
    stale = {**headers, "webhook-timestamp": "1700000000"}
    is_problem(post(scene, body, "/v1/intake/signing", **stale), 401, "signature_invalid")


def test_a_delivery_that_waits_says_why_and_what_may_be_done(shown: Scene) -> None:
    found = shown.ask("GET", DELIVERY, Role.OPS_APPROVER).json()
    assert found["status"] == "held"
    assert found["error"]["code"] == "company_has_tenant"
    assert found["allowed_actions"] == ["replay", "accept_additional", "dismiss"]
    machine = shown.ask("GET", DELIVERY, Role.AUTOMATION).json()
    assert machine["allowed_actions"] == ["replay"]
    assert shown.ask("GET", DELIVERY, Role.PLATFORM_AUDITOR).json()["allowed_actions"] == []


def test_the_content_is_that_which_was_posted(scene: Scene) -> None:
    path = f"{DELIVERY}/content"
    answer, events = scene.api.events(lambda: scene.ask("GET", path, Role.PLATFORM_ADMIN))
    body = as_bytes(docusign(901, Domain="customer1.example.com")).decode()
    assert (answer.json()["encoding"], answer.json()["content"]) == ("utf-8", body)
    assert events == ["delivery.read:completed"]


def test_lists_are_filtered(scene: Scene) -> None:
    def ids(query: str) -> list[str]:
        answer = scene.api.call("GET", f"/v1/deliveries?{query}", Role.OPS_APPROVER)
        return [item["id"] for item in answer.json()["items"]]

    here = scene.ids["delivery_id"]
    assert ids("status=held") == ids(f"envelope_id={envelope_of(901).upper()}") == [here]
    assert ids("source=signing") == ids("status=accepted") == []
