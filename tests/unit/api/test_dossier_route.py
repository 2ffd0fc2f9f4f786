"""The route of a dossier: who may, what is recorded, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.canonical import digest_bytes
from tests.unit.api.scene import Scene, is_problem


@pytest.mark.requirement("F-035")
def test_an_export_is_recorded_with_the_digest_that_binds_it(scene: Scene) -> None:
    address = f"/v1/audit/{scene.ids['tree']}/dossier?from=2026-01-01T00:00:00Z"
    answer, events = scene.api.events(lambda: scene.api.call("GET", address, Role.AUDITOR))
    assert (answer.status_code, events) == (200, ["log.exported:completed"])
    event = scene.world.events()[-1]
    assert event.tree == scene.ids["tree"]
    assert event.data["digest"] == answer.headers["X-Manifest-Digest"]
    assert event.data["digest"] == digest_bytes(answer.content)
    assert event.data["since"] == "2026-01-01T00:00:00.000000Z"


def test_the_platforms_log_is_exported_by_the_platforms_auditor(scene: Scene) -> None:
    is_problem(
        scene.api.call("GET", "/v1/audit/platform/dossier", Role.AUDITOR), 403, "not_allowed"
    )
    answer = scene.api.call("GET", "/v1/audit/platform/dossier", Role.PLATFORM_AUDITOR)
    assert answer.status_code == 200
    assert scene.world.events()[-1].tree == "platform"


def test_what_cannot_be_recorded_is_not_handed_out(scene: Scene) -> None:
    address = f"/v1/audit/{scene.ids['tree']}/dossier"
    with scene.world.storage.without_log():
        answer = scene.api.call("GET", address, Role.AUDITOR)
    is_problem(answer, 503, "audit_unavailable")


def test_a_range_that_ends_before_it_begins_is_refused(scene: Scene) -> None:
    bounds = "from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z"
    address = f"/v1/audit/{scene.ids['tree']}/dossier?{bounds}"
    is_problem(scene.api.call("GET", address, Role.AUDITOR), 422, "invalid_input")


def test_an_export_with_values_names_its_grant_and_no_other_log_has_it(scene: Scene) -> None:
    tree = scene.ids["tree"]
    grants = f"/v1/audit/{tree}/grants"
    asked = {"paths": ["contacts"], "reason": "the yearly audit"}
    made = scene.api.call("POST", grants, Role.AUDITOR, json=asked)
    grant = made.json()["id"]

    def export(log: str = tree, role: Role = Role.AUDITOR, name: str = grant) -> tuple[Any, Any]:
        address = f"/v1/audit/{log}/dossier?grant={name}"
        return scene.api.events(lambda: scene.api.call("GET", address, role))

    answer, events = export()
    problem = is_problem(answer, 409, "grant_not_valid")
    assert problem["present_status"] == "requested"
    assert events == ["disclosure.refused:denied"]
    scene.api.call("POST", f"{grants}/{grant}/confirm", Role.PLATFORM_ADMIN, json={"reason": "yes"})
    answer, events = export()
    assert (answer.status_code, events) == (200, ["log.exported:completed"])
    assert scene.world.events()[-1].data["grant"] == grant
    for refused in (export("platform", Role.PLATFORM_AUDITOR), export(name="dsg_0123")):
        is_problem(refused[0], 409, "grant_not_valid")
        assert refused[1] == ["disclosure.refused:denied"]
    assert export(name="nothing")[0].status_code == 422
