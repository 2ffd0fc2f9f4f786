"""Holds over HTTP: where they are shown, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.domain.actor import Role
from tests.unit.api.scene import Scene, is_problem

OPS, ADMIN = Role.OPS_APPROVER, Role.PLATFORM_ADMIN
TENANT, HUB = "/v1/tenants/{key}", "/v1/hubs/{hub_id}"
RUN, HOLD = "/v1/runs/{run_id}", "/v1/holds/{hold_id}"


def placed(scene: Scene, path: str = TENANT, who: Role | str = OPS, **body: Any) -> Any:
    """Place a hold and return its view."""
    given = {"kind": "legal", "reason": "a court asked for it", **body}
    answer = scene.ask("POST", f"{path}/holds", who, json=given)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/holds/{answer.json()['id']}"
    return answer.json()


def release(scene: Scene, hold: Any, who: Role | str, reason: str = "it is settled") -> Any:
    ids = {**scene.ids, "hold_id": hold["id"]}
    return scene.ask("POST", f"{HOLD}/release", who, ids=ids, json={"reason": reason})


def test_a_hold_is_shown_with_its_tenant_and_with_the_run_that_waits(scene: Scene) -> None:
    hold = placed(scene)
    assert (hold["applying"], hold["tenant_id"], hold["hub_id"]) == (
        "finishes", scene.ids["key"], None
    )  # fmt: skip
    shown = scene.ask("GET", TENANT, OPS).json()
    assert shown["hold"] is True
    assert shown["allowed_actions"] == ["hold", "remove"]
    decision = "/v1/approvals/{approval_id}/decisions"
    assert scene.ask("POST", decision, OPS).status_code == 201
    scene.world.work()
    run = scene.ask("GET", RUN, OPS).json()
    assert (run["status"], run["blocked_on"], run["next_action"]) == ("blocked", "hold", "wait")
    assert run["allowed_actions"] == ["cancel"]
    assert (run["error"]["code"], run["error"]["data"]) == ("on_hold", {"holds": [hold["id"]]})
    is_problem(scene.ask("POST", f"{RUN}/retry", OPS), 409, "illegal_transition")
    assert release(scene, hold, ADMIN).json()["released_by"] == "some-platform_admin"
    scene.world.work()
    assert scene.ask("GET", RUN, OPS).json()["status"] == "applied"
    assert scene.ask("GET", TENANT, OPS).json()["hold"] is False
    (listed,) = scene.ask("GET", f"{TENANT}/holds", OPS).json()["items"]
    assert listed["release_reason"] == "it is settled"


def test_what_is_offered_of_a_hold_is_what_is_allowed(scene: Scene) -> None:
    hold = placed(scene, who=ADMIN)
    ids = {**scene.ids, "hold_id": hold["id"]}
    another = scene.api.token(ADMIN, subject="another")
    for who, code in ((OPS, "not_allowed"), (ADMIN, "needs_another_person"), (another, "")):
        offered = scene.ask("GET", HOLD, who, ids=ids).json()["allowed_actions"]
        answer = release(scene, hold, who)
        assert offered == ([] if code else ["release"])
        if code:
            is_problem(answer, 403, code)
        else:
            assert answer.status_code == 200
    is_problem(release(scene, hold, another), 409, "illegal_transition")


def test_a_hub_says_that_it_is_held(scene: Scene) -> None:
    hold = placed(scene, HUB, kind="safety")
    assert (hold["hub_id"], hold["tenant_id"]) == (scene.ids["hub_id"], None)
    assert scene.ask("GET", HUB, OPS).json()["hold"] is True
    assert [each["id"] for each in scene.ask("GET", f"{HUB}/holds", OPS).json()["items"]] == [
        hold["id"]
    ]
    assert release(scene, hold, OPS).status_code == 200
    assert scene.ask("GET", HUB, OPS).json()["hold"] is False


def test_a_hold_on_a_hub_is_no_tenant_s_business(scene: Scene) -> None:
    hold = placed(scene, HUB, kind="safety")
    ids = {**scene.ids, "hold_id": hold["id"]}
    limited = scene.api.token(OPS, tenants=(scene.ids["key"],))
    is_problem(scene.ask("GET", HOLD, limited, ids=ids), 404, "not_found")
    is_problem(release(scene, hold, limited), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "moral", "reason": "x"}, "kind"),
        ({"kind": "legal"}, "reason"),
        ({"kind": "legal", "reason": " "}, "reason"),
        ({"kind": "legal", "reason": "x", "applying": "maybe"}, "applying"),
        ({"kind": "legal", "reason": "x", "until": "2027-01-01"}, "until"),
    ],
)
def test_a_hold_that_is_no_hold_is_refused_by_its_field(
    shown: Scene, body: dict[str, Any], field: str
) -> None:
    answer = shown.ask("POST", f"{TENANT}/holds", OPS, json=body)
    assert is_problem(answer, 422, "invalid_input")["fields"][0]["field"] == field
