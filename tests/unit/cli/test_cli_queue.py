"""The queue and the pause of one tenant at a terminal: shown, paused, resumed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from control_plane.cli.errors import HIDDEN, REFUSED, USAGE
from control_plane.domain.actor import Role
from tests.unit.cli.terminal import Terminal
from tests.workflows.deciding import OTTO, Site
from tests.workflows.test_change_windows import window

ADMIN, OPS, AUDITOR = Role.PLATFORM_ADMIN, Role.OPS_APPROVER, Role.PLATFORM_AUDITOR
REASON = ("--reason", "new disks")


def test_an_empty_queue_says_so(tenantctl: Terminal) -> None:
    page = tenantctl("queue", "show", who=OPS).out
    assert re.search(r"^paused +no$", page, re.MULTILINE)
    assert page.endswith("no run waits in it\n")
    found = tenantctl("queue", "show", "--json", who=OPS).json
    assert found == {"paused": False, "pause": None, "runs": [], "allowed_actions": ["pause"]}


def test_a_paused_queue_says_who_why_and_what_waits(tenantctl: Terminal) -> None:
    paused = tenantctl("queue", "pause", *REASON, who=OPS).out
    assert re.search(r"^paused +yes$", paused, re.MULTILINE)
    assert re.search(r"^reason +new disks$", paused, re.MULTILINE)
    assert re.search(r"^paused_by +some-ops_approver$", paused, re.MULTILINE)
    assert "to resume it: tenantctl queue resume --reason …" in paused
    made = tenantctl("hub", "create", "eu-west-1", "--json", who=ADMIN).json
    sentence = "the queue is paused: new disks (number 1 of 1 in the queue)"
    listed = tenantctl("queue", "show", who=OPS).out
    assert made["run_id"] in listed
    assert sentence in listed
    assert sentence in tenantctl("run", "show", made["run_id"], who=OPS).out
    assert sentence in tenantctl("run", "list", who=OPS).out
    (queued,) = tenantctl("queue", "show", "--json", who=OPS).json["runs"]
    assert queued["run_id"] == made["run_id"]
    assert (queued["waiting"]["reason"], queued["waiting"]["position"]) == ("queue_paused", 1)
    resumed = tenantctl("queue", "resume", "--reason", "they are in", "--json", who=ADMIN).json
    assert (resumed["paused"], resumed["pause"]) == (False, None)


def test_who_only_reads_is_offered_nothing(tenantctl: Terminal) -> None:
    tenantctl("queue", "pause", *REASON, who=OPS)
    page = tenantctl("queue", "show", who=AUDITOR).out
    assert re.search(r"^allowed_actions +-$", page, re.MULTILINE)
    assert "to resume it" not in page
    tenantctl("queue", "resume", *REASON, who=AUDITOR, code=HIDDEN)
    tenantctl("queue", "show", code=HIDDEN)


def test_what_cannot_be_steered_is_refused_in_a_sentence(tenantctl: Terminal) -> None:
    refused = tenantctl("queue", "resume", *REASON, who=OPS, code=REFUSED)
    assert "the queue is not paused" in refused.err
    tenantctl("queue", "pause", *REASON, who=OPS)
    refused = tenantctl("queue", "pause", *REASON, "--json", who=ADMIN, code=REFUSED)
    problem = json.loads(refused.err)
    assert problem["code"] == "illegal_transition"
    assert "paused already, by some-ops_approver" in problem["detail"]
    assert refused.out == ""
    tenantctl("queue", "resume", "--reason", " ", who=OPS, code=USAGE)
    tenantctl("queue", "pause", who=OPS, code=USAGE)
    tenantctl("queue", "stop", *REASON, who=OPS, code=USAGE)


def test_a_run_that_waits_for_its_window_says_when_it_opens(
    tenantctl: Terminal, tmp_path: Path
) -> None:
    site = Site(tenantctl.world)

    def change(content: dict[str, Any]) -> None:
        content["windows"] = {"office": window(site.world.clock.now(), hours=5)}
        content["rules"][0]["window"] = "office"

    site.follow(tmp_path / "rules", change)
    tenantctl.server.app.state.shared = tenantctl.server.shared(site.world)
    site.change()
    site.decide(OTTO)
    site.world.work()
    sentence = "waits for its change window, which opens at 2026-11-20 19:00 UTC"
    by_both = f"{sentence} (20:00 Europe/Rome)"
    assert by_both in tenantctl("run", "show", site.run_id, who=OPS).out
    assert by_both in tenantctl("run", "list", who=OPS).out
    assert by_both in tenantctl("queue", "show", who=OPS).out
    waiting = tenantctl("run", "show", site.run_id, "--json", who=OPS).json["waiting"]
    assert (waiting["reason"], waiting["until"]) == ("window", "2026-11-20T19:00:00Z")
    # the window passes unused, and nobody has looked for the next one yet
    site.world.clock.advance(hours=8)
    waiting = tenantctl("run", "show", site.run_id, "--json", who=OPS).json["waiting"]
    assert waiting["until"] == "2026-11-21T19:00:00Z"


def test_a_tenant_is_paused_and_resumed(tenantctl: Terminal) -> None:
    slug = tenantctl.submit("B")["tenant"]["slug"]
    paused = tenantctl("tenant", "pause", slug, *REASON, who=OPS).out
    assert re.search(r"^kind +pause$", paused, re.MULTILINE)
    assert f"to resume it: tenantctl tenant resume {slug} --reason …" in paused
    tenantctl("tenant", "pause", slug, *REASON, who=OPS)  # pauses add up; resuming ends all
    resumed = tenantctl("tenant", "resume", slug, "--reason", "done", "--json", who=ADMIN).json
    assert [each["kind"] for each in resumed] == ["pause", "pause"]
    assert all(each["released_at"] is not None for each in resumed)
    assert tenantctl("tenant", "show", slug, "--json").json["hold"] is False


def test_a_resumed_tenant_stays_held_by_what_is_no_pause(tenantctl: Terminal) -> None:
    slug = tenantctl.submit("B")["tenant"]["slug"]
    legal = tenantctl(
        "tenant", "hold", slug, "--kind", "legal", *REASON, "--json", who=OPS
    ).json  # fmt: skip
    refused = tenantctl("tenant", "resume", slug, *REASON, who=OPS, code=REFUSED)
    assert refused.err == f"this tenant is not paused; it has other holds: legal {legal['id']}\n"
    tenantctl("tenant", "pause", slug, *REASON, who=OPS)
    resumed = tenantctl("tenant", "resume", slug, *REASON, who=OPS).out
    assert "it stays held: legal" in resumed


def test_a_pause_that_cannot_be_says_why(tenantctl: Terminal) -> None:
    slug = tenantctl.submit("B")["tenant"]["slug"]
    refused = tenantctl("tenant", "resume", slug, *REASON, "--json", who=OPS, code=REFUSED)
    assert json.loads(refused.err) == {"detail": "this tenant is not paused"}
    tenantctl("tenant", "pause", slug, *REASON, code=HIDDEN)
    tenantctl("tenant", "pause", "nobody", *REASON, who=OPS, code=HIDDEN)
    tenantctl("tenant", "pause", "../hubs", *REASON, who=OPS, code=USAGE)
    tenantctl("tenant", "pause", slug, who=OPS, code=USAGE)
    tenantctl("tenant", "pause", slug, "--reason", " ", who=OPS, code=USAGE)
