"""What the pages of the console show: home, and everything about a tenant."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from control_plane.domain.actor import Role
from tests.unit.api.scene import Api, Scene
from tests.unit.api.visitors import Visitor, fields_of

HOSTILE = "<img src=x onerror=alert(1)> =HYPERLINK(1)"


def signed_in(api: Api, role: Role, *, name: str = "olga") -> Visitor:
    visitor = Visitor(api)
    visitor.sign_in(role, name=name)
    return visitor


def text_of(page: Any) -> str:
    """Return what a page says, without its tags and with single blanks."""
    body = page.text.partition("<main")[2]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


@pytest.fixture
def tenant(shown: Scene) -> dict[str, Any]:
    """A tenant of Mode B whose plan waits for a decision."""
    (found,) = [
        each for each in shown.api.call(
            "GET", "/v1/tenants", shown.api.token(Role.OPS_APPROVER)
        ).json()["items"] if each["id"] == shown.ids["key"]
    ]  # fmt: skip
    return dict(found)


def test_home_names_what_waits_for_whom_and_where_tenants_stand(shown: Scene) -> None:
    said = text_of(signed_in(shown.api, Role.OPS_APPROVER).get("/console"))
    assert "Waits for you" in said
    assert "Decide on the plan of" in said
    assert "Where tenants stand" in said
    crm = text_of(signed_in(shown.api, Role.AUDITOR, name="audrey").get("/console"))
    assert "Decide on the plan of" not in crm
    assert "Where tenants stand" in crm


def test_home_of_a_role_without_tenants_says_what_it_is(shown: Scene) -> None:
    said = text_of(signed_in(shown.api, Role.PLATFORM_AUDITOR, name="otis").get("/console"))
    assert "Nothing waits for you." in said
    assert "Where tenants stand" not in said


def test_a_tenant_has_one_timeline_from_its_signature_and_what_belongs_to_it(
    shown: Scene, tenant: dict[str, Any]
) -> None:
    page = signed_in(shown.api, Role.OPS_APPROVER).get(f"/console/tenants/{tenant['id']}")
    assert page.status_code == 200
    said = text_of(page)
    for expected in (
        tenant["legal_name"], "Why this mode", "contract signed", "contract accepted",
        "From the signature to today", "What it has", "Not as it was applied", "Runs", "People",
    ):  # fmt: skip
        assert expected in said
    by_slug = signed_in(shown.api, Role.AUDITOR, name="audrey").get(
        f"/console/tenants/{tenant['slug']}"
    )
    assert text_of(by_slug).startswith(text_of(page)[:40])


def test_a_tenant_outside_the_token_and_one_that_is_none_are_not_found(shown: Scene) -> None:
    visitor = signed_in(shown.api, Role.OPS_APPROVER)
    page = visitor.get("/console/tenants/ten_none")
    assert page.status_code == 404
    assert "not found" in text_of(page).lower()
    other = signed_in(shown.api, Role.PLATFORM_AUDITOR, name="otis")
    assert other.get(f"/console/tenants/{shown.ids['key']}").status_code == 403


def test_what_people_typed_is_text_and_nothing_else(scene: Scene) -> None:
    hold = {"kind": "legal", "reason": HOSTILE}
    answer = scene.api.call(
        "POST",
        f"/v1/tenants/{scene.ids['key']}/holds",
        scene.api.token(Role.OPS_APPROVER),
        json=hold,
    )
    assert answer.status_code == 201, answer.text
    page = signed_in(scene.api, Role.OPS_APPROVER).get(f"/console/tenants/{scene.ids['key']}")
    assert "<img" not in page.text
    assert HOSTILE in text_of(page)


def test_the_timeline_of_the_api_is_that_of_the_page(shown: Scene, tenant: dict[str, Any]) -> None:
    token = shown.api.token(Role.AUTOMATION)
    items = shown.api.call("GET", f"/v1/tenants/{tenant['id']}/timeline", token).json()["items"]
    assert [each["at"] for each in items] == sorted((each["at"] for each in items), reverse=True)
    words = [each["what"] for each in items]
    assert "contract signed" in words
    said = text_of(signed_in(shown.api, Role.OPS_APPROVER).get(f"/console/tenants/{tenant['id']}"))
    for word in words:
        assert word.replace("_", " ") in said


def test_where_tenants_stand_is_counted_and_only_of_those_that_somebody_sees(shown: Scene) -> None:
    everybody = shown.api.call("GET", "/v1/standing", shown.api.token(Role.AUDITOR)).json()["items"]
    there = [each for each in shown.world.rows("tenant").values() if each.removed_at is None]
    assert sum(each["count"] for each in everybody) == len(there) > 1
    waits = [each["waiting_on"] is None for each in everybody]
    assert waits == sorted(waits)
    one = shown.api.token(Role.AUDITOR, tenants=(shown.ids["key"],))
    items = shown.api.call("GET", "/v1/standing", one).json()["items"]
    assert [each["count"] for each in items] == [1]


# --- operations -----------------------------------------------------------------------------------
OPERATIONS = "/console/operations"


def sent(visitor: Visitor, path: str, **fields: str) -> Any:
    """Send a form of the operations page."""
    page = visitor.get(OPERATIONS)
    mark = [each for each in fields_of(page) if each[0] == "csrf"]
    return visitor.post(f"{OPERATIONS}/{path}", [*mark, *fields.items()])


def test_operations_shows_parts_rules_and_settings_without_secrets(shown: Scene) -> None:
    said = text_of(signed_in(shown.api, Role.PLATFORM_AUDITOR, name="otis").get(OPERATIONS))
    for expected in (
        "identity", "No run waits", "mode_rules.yaml", "Settings of the API",
        "TENANTPLANE_HOME /srv/home Where files are.",
    ):  # fmt: skip
        assert expected in said
    assert signed_in(shown.api, Role.AUDITOR, name="audrey").get(OPERATIONS).status_code == 403


def test_the_queue_is_paused_and_resumed_with_a_reason(scene: Scene) -> None:
    visitor = signed_in(scene.api, Role.OPS_APPROVER)
    page = sent(visitor, "queue", action="pause", reason="a new version")
    assert page.status_code == 200
    assert "The queue is paused since" in text_of(page)
    again = sent(visitor, "queue", action="pause", reason="a new version")
    assert again.status_code == 409
    assert "paused already" in text_of(again)
    assert sent(visitor, "queue", action="resume", reason="").status_code == 422
    page = sent(visitor, "queue", action="resume", reason="it is there")
    assert "The queue is paused" not in text_of(page)
    assert [each.action for each in scene.world.events()][-1] == "queue.resumed"


def test_a_delivery_that_waits_is_dismissed_by_a_person(scene: Scene) -> None:
    visitor = signed_in(scene.api, Role.OPS_APPROVER)
    assert "Dismiss" in text_of(visitor.get(OPERATIONS))
    path = f"deliveries/{scene.ids['delivery_id']}"
    assert sent(visitor, path, action="burn", reason="why not").status_code == 422
    page = sent(visitor, path, action="dismiss", reason="a test of theirs")
    assert page.status_code == 200
    settled = scene.world.rows("delivery")[scene.ids["delivery_id"]]
    assert settled.status == "dismissed"


def test_a_form_without_its_mark_or_from_elsewhere_does_nothing(scene: Scene) -> None:
    visitor = signed_in(scene.api, Role.OPS_APPROVER)
    fields = [("action", "pause"), ("reason", "by nobody")]
    assert visitor.post(f"{OPERATIONS}/queue", fields).status_code == 409
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    marked = [*fields_of(visitor.get(OPERATIONS)), *fields]
    assert visitor.post(f"{OPERATIONS}/queue", marked, headers=elsewhere).status_code == 403
    assert not scene.world.rows("queue_pause")
