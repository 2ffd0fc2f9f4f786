"""Drift over HTTP: a look is requested, findings are read by pages, tenants found by the flag."""

from __future__ import annotations

from typing import Any

from control_plane.domain.actor import Role
from control_plane.domain.engine import Drift
from tests.unit.api.scene import Scene, is_problem

OPS, ADMIN = Role.OPS_APPROVER, Role.PLATFORM_ADMIN
CHECK, FINDINGS = "/v1/tenants/{key}/drift-checks", "/v1/tenants/{key}/findings"


def changed(path: str, **values: Any) -> Drift:
    return Drift(
        kind="changed", subject="urn:pulumi:a::tenantplane::aws:kms/key:Key::data",
        type="aws:kms/key:Key", path=path, **values,
    )  # fmt: skip


def found(scene: Scene, *drift: Drift) -> Any:
    """Look at the applied tenant, and return its open findings."""
    scene.world.engine.drift = drift
    asked = scene.ask("POST", CHECK, OPS)
    assert asked.status_code == 202, asked.text
    scene.world.work()
    run = scene.api.call("GET", asked.headers["location"], OPS).json()
    assert (run["kind"], run["status"]) == ("refresh", "no_changes")
    return scene.ask("GET", FINDINGS, OPS).json()["items"]


def test_a_look_is_a_run_that_is_watched_and_its_findings_are_read(scene: Scene) -> None:
    scene.world.approve(scene.ids["run_id"])
    secret = changed("policy", expected={"secret": True}, actual={"secret": True})
    items = found(scene, secret, changed("tags.a", expected="1"))
    assert [(each["path"], each["expected"], each["actual"]) for each in items] == [
        ("tags.a", "1", None), ("policy", {"secret": True}, {"secret": True})
    ]  # fmt: skip
    assert {(each["kind"], each["type"], each["closed_by"]) for each in items} == {
        ("changed", "aws:kms/key:Key", None)
    }
    tenant = scene.ask("GET", "/v1/tenants/{key}", OPS).json()
    assert (tenant["status"], tenant["drifted"], tenant["run_id"]) == (
        "ready", True, scene.ids["run_id"]
    )  # fmt: skip
    address = FINDINGS.format(**scene.ids)
    token = scene.api.token(OPS)
    first = scene.api.call("GET", f"{address}?limit=1", token).json()
    rest = scene.api.call(
        "GET", f"{address}?limit=1&page_token={first['next_page_token']}", token
    ).json()
    assert [*first["items"], *rest["items"]] == items


def test_what_is_put_back_is_listed_only_when_it_is_asked_for(scene: Scene) -> None:
    scene.world.approve(scene.ids["run_id"])
    (item,) = found(scene, changed("tags.a", expected="1"))
    assert found(scene) == []
    address = FINDINGS.format(**scene.ids)
    (closed,) = scene.api.call("GET", f"{address}?with_closed=true", OPS).json()["items"]
    assert (closed["id"], closed["closed_by"] is None) == (item["id"], False)
    is_problem(scene.api.call("GET", f"{address}?with_closed=maybe", OPS), 422, "invalid_input")


def test_tenants_are_listed_by_whether_they_have_drifted(scene: Scene) -> None:
    scene.world.approve(scene.ids["run_id"])
    found(scene, changed("tags.a", expected="1"))

    def listed(query: str) -> set[str]:
        items = scene.api.call("GET", f"/v1/tenants{query}", OPS).json()["items"]
        return {item["id"] for item in items}

    assert listed("?drifted=true") == {scene.ids["key"]}
    assert listed("?drifted=false") == listed("") - {scene.ids["key"]}


def test_a_look_is_offered_where_there_is_something_to_look_at(scene: Scene) -> None:
    def offered(role: Role) -> bool:
        tenant = scene.ask("GET", "/v1/tenants/{key}", role).json()
        return "check-drift" in tenant["allowed_actions"]

    assert not offered(OPS)
    is_problem(scene.ask("POST", CHECK, OPS), 409, "illegal_transition")
    scene.world.approve(scene.ids["run_id"])
    assert [offered(role) for role in (OPS, ADMIN, Role.AUTOMATION)] == [True, True, False]
    assert scene.ask("POST", CHECK, OPS).status_code == 202
