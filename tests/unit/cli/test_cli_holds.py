"""Holds at a terminal: placed, listed, released."""

from __future__ import annotations

import re

from control_plane.cli.errors import HIDDEN, REFUSED, USAGE
from control_plane.domain.actor import Role
from tests.unit.cli.terminal import Terminal

ADMIN, OPS = Role.PLATFORM_ADMIN, Role.OPS_APPROVER
REASON = ("--reason", "a court asked for it")


def test_a_held_run_is_shown_with_what_it_waits_for_until_the_release(tenantctl: Terminal) -> None:
    submitted = tenantctl.submit("B")
    slug, run_id = submitted["tenant"]["slug"], submitted["run_id"]
    assert tenantctl("tenant", "holds", slug).out == "no holds\n"
    place = ("tenant", "hold", slug, "--kind", "legal", *REASON)
    placed = tenantctl(*place, "--applying", "stops", "--json", who=OPS).json
    assert (placed["kind"], placed["applying"], placed["released_at"]) == ("legal", "stops", None)
    assert re.search(r"hold +yes", tenantctl("tenant", "show", slug).out)
    run = tenantctl("run", "show", run_id, "--json", who=OPS).json
    approval = tenantctl("approval", "show", run["approval_id"], "--json", who=OPS).json
    digest = ("--digest", approval["plan_digest"])
    tenantctl("approval", "approve", run["approval_id"], *REASON, *digest, who=OPS)
    tenantctl.world.work()
    shown = tenantctl("run", "show", run_id, who=OPS).out
    assert re.search(r"blocked_on +hold\b", shown)
    assert re.search(r"next_action +wait\b", shown)
    listed = tenantctl("tenant", "holds", slug).out
    assert placed["id"] in listed
    assert "a court asked for it" in listed
    release = ("tenant", "release", placed["id"], "--reason", "it is settled")
    tenantctl(*release, who=OPS, code=HIDDEN)
    assert "it is settled" in tenantctl(*release, who=ADMIN).out
    tenantctl.world.work()
    assert tenantctl("run", "show", run_id, "--json", who=OPS).json["status"] == "applied"
    tenantctl(*release, who=ADMIN, code=REFUSED)


def test_a_list_says_which_kinds_of_holds_stand_on_whom(tenantctl: Terminal) -> None:
    held, paused, free = (tenantctl.submit("B", number)["tenant"]["slug"] for number in (1, 2, 3))
    for slug, kind in ((held, "safety"), (held, "legal"), (held, "legal"), (paused, "pause")):
        tenantctl("tenant", "hold", slug, "--kind", kind, *REASON, who=OPS)
    listed = tenantctl("tenant", "list").out
    assert re.search(rf"^{held} +B +eu-west-1 +\w+ +ops +legal, safety +ten_", listed, re.MULTILINE)
    assert re.search(rf"^{paused} +B +eu-west-1 +\w+ +ops +pause +ten_", listed, re.MULTILINE)
    assert re.search(rf"^{free} +B +eu-west-1 +\w+ +ops +- +ten_", listed, re.MULTILINE)
    assert re.search(r"^holds +legal, safety$", tenantctl("tenant", "show", held).out, re.MULTILINE)
    tenantctl("tenant", "resume", paused, *REASON, who=OPS)
    found = tenantctl("tenant", "list", "--json").json
    assert {each["slug"]: each["holds"] for each in found} == {
        held: ["legal", "safety"], paused: [], free: []
    }  # fmt: skip


def test_who_placed_a_legal_hold_is_refused_its_release(tenantctl: Terminal) -> None:
    slug = tenantctl.submit("B")["tenant"]["slug"]
    place = ("tenant", "hold", slug, "--kind", "compliance", *REASON, "--json")
    placed = tenantctl(*place, who=ADMIN).json
    assert placed["allowed_actions"] == []
    refused = tenantctl("tenant", "release", placed["id"], *REASON, who=ADMIN, code=REFUSED)
    assert "another person" in refused.err


def test_the_same_key_places_one_hold(tenantctl: Terminal) -> None:
    slug = tenantctl.submit("B")["tenant"]["slug"]
    place = ("tenant", "hold", slug, "--kind", "pause", *REASON, "--key", "of-ops", "--json")
    first, again = (tenantctl(*place, who=OPS).json for _ in range(2))
    assert first["id"] == again["id"]
    assert len(tenantctl("tenant", "holds", slug, "--json").json) == 1


def test_a_word_that_is_no_kind_is_a_fault_of_the_command(tenantctl: Terminal) -> None:
    slug = tenantctl.submit("B")["tenant"]["slug"]
    wrong = tenantctl("tenant", "hold", slug, "--kind", "moral", *REASON, who=OPS, code=USAGE)
    assert "kind" in wrong.err
    tenantctl("tenant", "hold", "nobody", "--kind", "pause", *REASON, who=OPS, code=HIDDEN)


def test_a_hub_is_held_and_released(tenantctl: Terminal) -> None:
    hub_id = tenantctl("hub", "create", "eu-west-1", "--json", who=ADMIN).json["id"]
    placed = tenantctl("hub", "hold", hub_id, "--kind", "safety", *REASON, "--json", who=OPS).json
    assert (placed["hub_id"], placed["tenant_id"]) == (hub_id, None)
    assert re.search(r"hold +yes", tenantctl("hub", "show", hub_id, who=OPS).out)
    assert placed["id"] in tenantctl("hub", "holds", hub_id, who=OPS).out
    tenantctl("hub", "release", placed["id"], "--reason", "it is settled", who=OPS)
    assert re.search(r"hold +no", tenantctl("hub", "show", hub_id, who=OPS).out)
