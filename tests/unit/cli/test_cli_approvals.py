"""Deciding on the command line: risks, ticks by name, withdrawal, change windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from control_plane.domain.actor import Role
from tests.unit.cli.terminal import Terminal
from tests.workflows.deciding import OTTO, Site
from tests.workflows.test_change_windows import window

OPS = Role.OPS_APPROVER
REASON = ("--reason", "read it")
TABLE = "aws:dynamodb/table:Table"


@pytest.fixture
def site(tenantctl: Terminal) -> Site:
    """A plan that deletes two tables, and waits for two people."""
    site = Site(tenantctl.world)
    site.more = {(TABLE, "one"): {"name": "one"}, (TABLE, "two"): {"name": "two"}}
    site.change()
    site.world.approve(site.run_id)
    site.more = {}
    site.change()
    follow(tenantctl, site)
    return site


def follow(tenantctl: Terminal, site: Site) -> None:
    """Let the API have the engine and the rules of the site."""
    tenantctl.server.app.state.shared = tenantctl.server.shared(site.world)


def shown(tenantctl: Terminal, site: Site) -> dict[str, Any]:
    found: dict[str, Any] = tenantctl("approval", "show", site.approval.id, "--json", who=OPS).json
    return found


def test_the_page_says_what_is_risky_and_how_to_tick_it(tenantctl: Terminal, site: Site) -> None:
    page = tenantctl("approval", "show", site.approval.id, "--brief", who=OPS).out
    assert "RISK  irreversible  one: what it holds is deleted" in page
    assert "people who approve  0 of 2" in page
    assert "rules               dedicated, risky" in page
    ticks = "--acknowledge one --acknowledge two --reason"
    assert f"--digest {site.approval.plan_digest} {ticks}" in page
    found = shown(tenantctl, site)
    assert [each["item"] for each in found["irreversible"]] == ["one", "two"]
    assert {each["kind"] for each in found["risks"]} == {"irreversible"}
    assert found["allowed_actions"] == ["decide"]


def test_ticks_are_given_by_name_and_two_people_decide(tenantctl: Terminal, site: Site) -> None:
    given = ("approval", "approve", site.approval.id, "--digest", site.approval.plan_digest,
             *REASON)  # fmt: skip
    refused = tenantctl(*given, who=OPS, code=3)
    assert "not acknowledged: one, two" in refused.err
    assert "Acknowledge by name exactly" in refused.err
    refused = tenantctl(*given, "--acknowledge", "one", "--acknowledge", "x", who=OPS, code=3)
    assert "not acknowledged: two; nothing irreversible of the plan: x" in refused.err
    ticks = ("--acknowledge", "one", "--acknowledge", "two")
    first = tenantctl(*given, *ticks, who=OPS).out
    assert "nothing is applied until another person approves" in first
    site.decide(OTTO)
    site.world.work()
    assert site.run.status == "applied"
    found = shown(tenantctl, site)
    assert [len(each["acknowledged"]) for each in found["decisions"]] == [2, 2]


def test_an_approval_is_withdrawn_until_it_applies(tenantctl: Terminal, site: Site) -> None:
    ticks = ("--acknowledge", "one", "--acknowledge", "two")
    digest = ("--digest", site.approval.plan_digest)
    tenantctl("approval", "approve", site.approval.id, *digest, *ticks, *REASON, who=OPS)
    page = tenantctl("approval", "show", site.approval.id, "--brief", who=OPS).out
    assert f"tenantctl approval withdraw {site.approval.id} --reason" in page
    out = tenantctl("approval", "withdraw", site.approval.id, "--reason", "not sure", who=OPS).out
    assert "nothing is applied until 2 people approve" in out
    page = tenantctl("approval", "show", site.approval.id, "--brief", who=OPS).out
    assert "withdrawn   by some-ops_approver: not sure" in page
    assert shown(tenantctl, site)["allowed_actions"] == ["decide"]
    site.world.approve(site.run_id)
    late = tenantctl("approval", "withdraw", site.approval.id, *REASON, who=OPS, code=3)
    assert "what was approved has begun" in late.err
    assert "place a hold" in late.err


def test_a_window_is_shown_before_and_after_the_decision(
    tenantctl: Terminal, tmp_path: Path
) -> None:
    site = Site(tenantctl.world)

    def change(content: dict[str, Any]) -> None:
        content["windows"] = {"office": window(site.world.clock.now(), hours=5)}
        content["rules"][0]["window"] = "office"

    site.follow(tmp_path / "rules", change)
    follow(tenantctl, site)
    site.change()
    page = tenantctl("approval", "show", site.approval.id, "--brief", who=OPS).out
    assert "applies only inside the change windows: office" in page
    site.decide(OTTO)
    page = tenantctl("approval", "show", site.approval.id, "--brief", who=OPS).out
    assert "applies from 2026-11-20 19:00:00Z until 2026-11-20 21:00:00Z" in page
    site.world.work()
    with site.world.core.uow() as uow:
        kinds = [each.kind for each in uow.run_events.after(site.run_id, 0, limit=500)]
    assert "window" in kinds


def test_the_page_says_that_somebody_else_changed_the_state(
    tenantctl: Terminal, site: Site
) -> None:
    assert shown(tenantctl, site)["state_moved"] == {
        "when": None, "seen_at": None, "open_findings": 0
    }  # fmt: skip
    site.world.engine.touch(site.view().deployment.stack)
    site.world.clock.advance(hours=1)
    slug = site.world.tenant(site.tenant_id).slug
    tenantctl("tenant", "check-drift", slug, who=OPS)
    site.world.work()
    page = tenantctl("approval", "show", site.approval.id, "--brief", who=OPS).out
    assert "CHANGED BY SOMEBODY ELSE  the state was changed since this plan was made" in page
    site.world.clock.advance(hours=1)
    site.change()  # a plan over the state that somebody else wrote
    page = tenantctl("approval", "show", site.approval.id, "--brief", who=OPS).out
    assert "changed the state before this plan was made" in page


def test_what_is_over_was_changed_by_its_own_apply(tenantctl: Terminal, site: Site) -> None:
    site.world.approve(site.run_id)
    site.world.work()
    assert shown(tenantctl, site)["status"] == "consumed"
    assert shown(tenantctl, site)["state_moved"] is None
    page = tenantctl("approval", "show", site.approval.id, "--brief", who=OPS).out
    assert "CHANGED BY SOMEBODY ELSE" not in page
