"""The page of a run and the approval queue: what an approver reads, and what becomes of forms."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from control_plane.domain.actor import Role
from tests.unit.api.scene import Scene
from tests.unit.api.visitors import HERE, Visitor, fields_of


def signed_in(scene: Scene, role: Role, name: str) -> Visitor:
    visitor = Visitor(scene.api)
    visitor.sign_in(role, name=name)
    return visitor


def text_of(page: Any) -> str:
    body = page.text.partition("<main")[2]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def decided(visitor: Visitor, run_id: str, **fields: str) -> Any:
    """Send the form of a run's page as it is now."""
    path = f"/console/runs/{run_id}"
    hidden = fields_of(visitor.get(path), f"{path}/decision")
    return visitor.post(f"{path}/decision", [*hidden, *fields.items()])


def decisions_on(scene: Scene) -> list[Any]:
    found = scene.world.rows("decision").values()
    return [each for each in found if each.approval_id == scene.ids["approval_id"]]


def test_the_page_shows_the_plan_with_values_and_what_the_digest_covers(shown: Scene) -> None:
    run_id = shown.ids["run_id"]
    plan = shown.api.call("GET", f"/v1/runs/{run_id}/plan", Role.OPS_APPROVER).json()
    page = signed_in(shown, Role.OPS_APPROVER, "olga").get(f"/console/runs/{run_id}")
    assert page.status_code == 200
    said = text_of(page)
    assert plan["digest"] in said
    for name in plan["parts"]:
        assert name in said
    created = [each for each in plan["operations"] if each["op"] == "create"]
    real = [each for each in created if not each["type"].startswith(("pulumi:", "tenantplane:"))]
    assert real
    for each in real:
        assert each["name"] in said
    inputs = {each["urn"]: each["inputs"] for each in plan["resources"]}
    texts = [
        value for each in real for name, value in inputs[each["urn"]].items()
        if isinstance(value, str) and not name.startswith("__") and len(value) < 40
    ]  # fmt: skip
    assert texts
    assert all(" ".join(text.split()) in said for text in texts if "04da6b54" not in text)
    assert "Approve exactly this plan" in said


def test_who_asked_cannot_decide_and_is_told_why(shown: Scene) -> None:
    run_id = shown.ids["run_id"]
    said = text_of(signed_in(shown, Role.AUDITOR, "audrey").get(f"/console/runs/{run_id}"))
    assert "Approve exactly this plan" not in said
    assert "It takes the role ops_approver." in said
    queue = text_of(signed_in(shown, Role.AUDITOR, "audrey").get("/console/approvals"))
    assert "It takes the role ops_approver." in queue
    assert "can decide" in text_of(signed_in(shown, Role.OPS_APPROVER, "olga").get(
        "/console/approvals"))  # fmt: skip
    machine = signed_in(shown, Role.SOLUTIONS_ARCHITECT, "sam")
    assert machine.get("/console/approvals").status_code == 403


def test_an_approval_is_of_the_plan_on_the_page_and_given_once(scene: Scene) -> None:
    run_id = scene.ids["run_id"]
    visitor = signed_in(scene, Role.OPS_APPROVER, "olga")
    refused = decided(visitor, run_id, action="approve", reason="")
    assert refused.status_code == 422
    path = f"/console/runs/{run_id}/decision"
    mark = [each for each in fields_of(visitor.get(f"/console/runs/{run_id}"), path)
            if each[0] == "csrf"]  # fmt: skip
    other = [*mark, ("plan_digest", "sha256:" + "0" * 64), ("action", "approve"),
             ("reason", "I read another plan")]  # fmt: skip
    stale = visitor.post(path, other)
    assert stale.status_code == 409
    assert "I read another plan" in text_of(stale)  # nothing that was typed is lost
    page = decided(visitor, run_id, action="approve", reason="read it")
    assert page.status_code == 200
    assert "olga" in text_of(page)
    assert scene.world.run(run_id).status in {"approved", "applying", "applied"}
    again = visitor.post(path, [*mark, ("plan_digest", scene.plan_digest),
                                ("action", "approve"), ("reason", "read it twice")])  # fmt: skip
    assert again.status_code in {403, 409}
    assert len(decisions_on(scene)) == 1


def test_a_rejection_and_a_withdrawal_are_forms_too(scene: Scene) -> None:
    run_id = scene.ids["run_id"]
    visitor = signed_in(scene, Role.OPS_APPROVER, "olga")
    decided(visitor, run_id, action="approve", reason="read it")
    page = decided(visitor, run_id, action="withdraw", reason="too early")
    assert "withdrawn" in text_of(page)
    assert "too early" in text_of(page)
    page = decided(visitor, run_id, action="reject", reason="not this region")
    assert "rejected" in text_of(page)
    assert decided(visitor, run_id, action="burn", reason="x").status_code == 422


def test_forms_need_their_mark_and_a_session(scene: Scene) -> None:
    run_id = scene.ids["run_id"]
    visitor = signed_in(scene, Role.OPS_APPROVER, "olga")
    path = f"/console/runs/{run_id}"
    fields = [*fields_of(visitor.get(path), f"{path}/decision"), ("action", "approve"),
              ("reason", "read it")]  # fmt: skip
    elsewhere = visitor.post(f"{path}/decision", fields, headers={"Sec-Fetch-Site": "cross-site"})
    assert elsewhere.status_code == 403
    visitor.cookies.clear()
    expired = visitor.ask("POST", f"{path}/decision", fields=fields, headers=HERE)
    assert expired.status_code in {401, 409}
    assert "read it" in expired.text  # it is sent again after signing in
    assert decisions_on(scene) == []


@pytest.mark.parametrize("role", [Role.AUTOMATION, Role.PLATFORM_AUDITOR])
def test_a_run_of_a_tenant_is_seen_by_those_who_see_it_in_the_api(shown: Scene, role: Role) -> None:
    run_id = shown.ids["run_id"]
    status = shown.api.call("GET", f"/v1/runs/{run_id}", role).status_code
    if role is Role.AUTOMATION:  # machines have no session
        assert status == 200
        return
    page = signed_in(shown, role, "otis").get(f"/console/runs/{run_id}")
    assert page.status_code == status


def test_the_live_part_ends_with_the_run_and_is_the_part_of_the_page(scene: Scene) -> None:
    visitor = signed_in(scene, Role.OPS_APPROVER, "olga")
    run_id = scene.slice_run_id
    scene.world.work()
    answer = visitor.ask("GET", f"/console/runs/{run_id}/live")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("event: part\ndata: ")
    assert answer.text.rstrip().rpartition("\n\n")[2].startswith("event: end")
    shown = answer.text.partition("\n\n")[0].replace("data: ", "")
    assert 'class="badge good">applied' in shown
    assert visitor.ask("GET", "/console/runs/run_none/live").status_code == 404
