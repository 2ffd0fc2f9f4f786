"""What auditors see in the console: logs, events and their proofs, dossiers, the exposure clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from control_plane.domain.actor import Role
from control_plane.ports.stores import Exposure
from tests.unit.api.scene import Scene
from tests.unit.api.test_console_pages import HOSTILE, signed_in, text_of

LATE = Exposure(
    size=3, newest=9, witnessed_at=None, age=timedelta(hours=2), exposed=timedelta(minutes=45),
    problem="signed heads have waited 45 minutes for the quorum of witnesses",
)  # fmt: skip


def test_a_log_is_listed_from_a_number_and_by_action_with_stable_links(scene: Scene) -> None:
    tree = scene.ids["tree"]
    audrey = signed_in(scene.api, Role.AUDITOR, name="audrey")
    own = [each.body for each in scene.world.events() if each.tree == tree]
    whole = audrey.get(f"/console/audit?tree={tree}")
    assert whole.status_code == 200, whole.text
    assert audrey.seen[-1] == f"/console/audit/{tree}"
    assert f'/console/audit/{tree}/event?idx=0">{own[0]["action"]}</a>' in whole.text
    later = audrey.get(f"/console/audit/{tree}?after=1&action={own[0]['action']}")
    assert "event?idx=0" not in later.text
    wrong = audrey.get(f"/console/audit/{tree}?action=A%20b")
    assert wrong.status_code == 422
    assert own[-1]["action"] != "log.read"
    assert scene.world.events()[-1].body["action"] == "log.read"


def test_an_event_leads_to_its_run_and_shows_its_proof_once_it_is_signed(scene: Scene) -> None:
    tree = scene.ids["tree"]
    own = [each.body for each in scene.world.events() if each.tree == tree]
    idx = next(place for place, body in enumerate(own) if body.get("run"))
    audrey = signed_in(scene.api, Role.AUDITOR, name="audrey")
    page = audrey.get(f"/console/audit/{tree}/event?idx={idx}")
    assert f'href="/console/runs/{own[idx]["run"]}"' in page.text
    assert "No checkpoint covers this event yet." in text_of(page)
    scene.world.trail.note = "localhost/audit/x\n1\nAAAA\n"
    address = f"/console/audit/{tree}/event?idx={idx}"
    audrey.get(address)  # its reading is an event: what comes next within a minute is not
    said = text_of(audrey.get(address))
    proof = scene.api.call(
        "GET", f"/v1/tenants/{tree}/audit/proof?idx={idx}", scene.api.token(Role.AUDITOR)
    ).json()
    for expected in (proof["leaf"], *proof["hashes"], "localhost/audit/x"):
        assert expected in said
    assert audrey.get(f"/console/audit/{tree}/event?idx=99999").status_code == 404


def test_the_dossier_is_a_download_whose_export_is_an_event(scene: Scene) -> None:
    tree = scene.ids["tree"]
    found = signed_in(scene.api, Role.AUDITOR, name="audrey").ask(
        "GET", f"/console/audit/{tree}/dossier"
    )
    assert found.headers["content-type"] == "application/zip"
    assert found.content.startswith(b"PK")
    (event,) = [e for e in scene.world.events() if e.body["action"] == "log.exported"]
    assert event.tree == tree
    assert event.body["data"]["digest"] == found.headers["x-manifest-digest"]


def test_the_platforms_auditor_sees_the_clock_and_what_to_do_when_it_is_late(scene: Scene) -> None:
    scene.world.trail.clock = LATE
    otis = signed_in(scene.api, Role.PLATFORM_AUDITOR, name="otis")
    for path in ("/console", "/console/audit"):
        said = text_of(otis.get(path))
        assert "Signed heads have waited 45 minutes" in said
        assert "tenantctl audit status" in said
        assert "2 h ago" in said
        assert "3 of 9" in said
    scene.world.trail.clock = replace(LATE, exposed=timedelta(0), problem="")
    said = text_of(otis.get("/console"))
    assert "the quorum has seen every signed head" in said
    assert "tenantctl audit status" not in said
    assert "platform" in text_of(otis.get("/console/audit"))


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.OPS_APPROVER, Role.PLATFORM_ADMIN])
def test_nobody_else_sees_the_clock_or_the_names_of_logs(scene: Scene, role: Role) -> None:
    scene.world.trail.clock = LATE
    visitor = signed_in(scene.api, role, name="nora")
    for path in ("/console", "/console/audit"):
        page = visitor.get(path)
        assert page.status_code == 200
        assert "Exposure" not in text_of(page)
        assert scene.ids["tree"] not in page.text or path == "/console"


def test_what_an_address_says_is_text_and_nothing_else(scene: Scene) -> None:
    audrey = signed_in(scene.api, Role.AUDITOR, name="audrey")
    for path in ("/console/audit", f"/console/audit/{scene.ids['tree']}"):
        page = audrey.get(f"{path}?tree=%3Cimg%20src=x%3E&action=%3Cimg%20src=x%3E")
        assert "<img" not in page.text
        assert HOSTILE not in page.text
        assert page.status_code in {404, 422}
