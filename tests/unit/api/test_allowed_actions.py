"""``allowed_actions``: nothing is offered that would answer 403 or 409."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.domain.actor import Role
from tests.unit.api.scene import Scene, is_problem

OPS, ADMIN = Role.OPS_APPROVER, Role.PLATFORM_ADMIN
RUN, APPROVAL = "/v1/runs/{run_id}", "/v1/approvals/{approval_id}"


def actions(scene: Scene, path: str, who: Role | str, run_id: str | None = None) -> list[str]:
    ids = {**scene.ids, "run_id": run_id or scene.ids["run_id"]}
    answer = scene.ask("GET", path, who, ids=ids)
    assert answer.status_code == 200, answer.text
    found: list[str] = answer.json()["allowed_actions"]
    listed = scene.api.call("GET", path.rsplit("/", 1)[0], who).json()["items"]
    (same,) = [item for item in listed if item["id"] == answer.json()["id"]]
    assert same["allowed_actions"] == found
    return found


def decision(scene: Scene, who: Role | str) -> Any:
    path = f"{APPROVAL}/decisions"
    return scene.ask("POST", path, who, json=scene.body(path))


@pytest.mark.parametrize("role", list(Role))
def test_who_may_not_do_it_is_not_offered_it(shown: Scene, role: Role) -> None:
    offered = {OPS: ["cancel", "decide"], ADMIN: ["cancel"]}.get(role, [])
    assert actions(shown, RUN, role) == offered
    if role in {OPS, ADMIN, Role.AUDITOR, Role.PLATFORM_AUDITOR}:
        assert actions(shown, APPROVAL, role) == [a for a in offered if a == "decide"]


def test_who_is_barred_is_not_offered_a_decision(scene: Scene) -> None:
    barred = scene.api.token(OPS, subject="crm")  # asked for it
    assert actions(scene, RUN, barred) == ["cancel"]
    assert actions(scene, APPROVAL, barred) == []
    assert decision(scene, barred).status_code == 403
    assert actions(scene, APPROVAL, OPS) == ["decide"]
    assert decision(scene, OPS).status_code == 201
    assert actions(scene, APPROVAL, OPS) == ["withdraw"]
    assert actions(scene, APPROVAL, scene.api.token(OPS, subject="another")) == []
    assert actions(scene, RUN, OPS) == ["cancel"]


def test_nobody_is_offered_a_decision_whose_time_is_over(scene: Scene) -> None:
    scene.world.clock.advance(hours=72)
    assert actions(scene, APPROVAL, OPS) == []
    assert actions(scene, RUN, OPS) == ["cancel"]
    is_problem(decision(scene, OPS), 409, "approval_expired")


def test_only_the_newest_run_is_offered_a_retry(scene: Scene) -> None:
    old = scene.ids["run_id"]
    assert scene.ask("POST", f"{RUN}/cancel", OPS).status_code == 200
    assert actions(scene, RUN, OPS) == ["retry"]
    fresh = scene.ask("POST", f"{RUN}/retry", OPS).json()
    assert fresh["allowed_actions"] == ["cancel"]
    assert actions(scene, RUN, OPS, old) == []
    is_problem(scene.ask("POST", f"{RUN}/retry", OPS), 409, "run_superseded")


def test_a_hub_names_its_newest_run(scene: Scene) -> None:
    created = scene.api.created("/v1/hubs", ADMIN, {"region": "eu-west-1", "cell": "c7",
                                                    "capacity": 3})  # fmt: skip
    hub = scene.api.call("GET", f"/v1/hubs/{created['id']}", ADMIN).json()
    assert hub["run_id"] == created["run_id"] is not None
    listed = scene.api.call("GET", "/v1/hubs", ADMIN).json()["items"]
    assert hub in listed
    assert all(each["run_id"] for each in listed)


@pytest.mark.parametrize("role", [Role.SOLUTIONS_ARCHITECT, ADMIN, Role.AUDITOR, OPS])
def test_what_only_an_architect_may_do_is_offered_to_no_other(scene: Scene, role: Role) -> None:
    is_architect = role is Role.SOLUTIONS_ARCHITECT
    assert bool(actions(scene, "/v1/bundles/{bundle_id}", role)) is is_architect
    asked = scene.ask("GET", "/v1/tenants/{key}", role, ids={"key": scene.conflict.tenant.id})
    places_holds = ["hold", "remove"] if role in {OPS, ADMIN} else []
    assert asked.json()["allowed_actions"] == (["mode-decision"] if is_architect else places_holds)
