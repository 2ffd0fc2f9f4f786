"""Each command once, as the person it is for uses it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from control_plane.domain.actor import Role
from tests.unit.cli.terminal import Terminal
from tests.world import request_body

ADMIN, OPS, ARCHITECT = Role.PLATFORM_ADMIN, Role.OPS_APPROVER, Role.SOLUTIONS_ARCHITECT
REASON = ("--reason", "read it")


def test_a_dry_run_tells_the_mode_and_stores_nothing(tenantctl: Terminal) -> None:
    body = tenantctl.file(request_body("B"))
    assert tenantctl("request", "submit", body, "--dry-run", "--json").json["mode"] == "B"
    assert tenantctl("request", "list").out == "no requests\n"


def test_a_request_is_submitted_shown_and_listed(tenantctl: Terminal) -> None:
    found = tenantctl.submit("C")
    shown = tenantctl("request", "show", found["id"])
    assert found["bundle_id"] in shown.out
    listed = tenantctl("request", "list", "--json").json
    assert [item["id"] for item in listed] == [found["id"]]


def test_a_request_may_come_from_stdin_and_is_the_same_under_the_same_key(
    tenantctl: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stdin:
        def read(self) -> str:
            return json.dumps(request_body("C"))

    monkeypatch.setattr("sys.stdin", Stdin())
    first = tenantctl("request", "submit", "-", "--key", "key-of-crm", "--json").json
    again = tenantctl("request", "submit", "-", "--key", "key-of-crm", "--json").json
    assert first["id"] == again["id"]


def test_resolve_names_the_rules_that_fired(tenantctl: Terminal) -> None:
    facts = {"subscription": "enterprise", "contract_mode": "A", "dedicated_network": True}
    answer = tenantctl("request", "resolve", tenantctl.file(facts))
    assert "mode_conflict" in answer.out or "conflict" in answer.out
    reasons = tenantctl("request", "resolve", tenantctl.file(facts), "--json").json["reasons"]
    assert all(item["rule"] in answer.out for item in reasons)


def test_an_architect_decides_a_mode_that_is_in_conflict(tenantctl: Terminal) -> None:
    found = tenantctl.submit("A", data_must_stay_in_customer_cloud=True)
    slug = found["tenant"]["slug"]
    assert "mode_conflict" in tenantctl("tenant", "show", slug).out
    facts = tenantctl.file({"data_must_stay_in_customer_cloud": False})
    decided = tenantctl(
        "tenant", "decide-mode", slug, *REASON, "--facts", facts, "--json", who=ARCHITECT
    ).json
    assert decided["status"] != "mode_conflict"
    assert tenantctl("tenant", "list", "--status", "mode_conflict").out == "no tenants\n"


def _hub(tenantctl: Terminal) -> Any:
    made = tenantctl("hub", "create", "eu-west-1", "--capacity", "5", "--json", who=ADMIN).json
    tenantctl.world.work()
    run = tenantctl("run", "show", made["run_id"], "--json", who=OPS).json
    return made, run


def test_a_hub_is_planned_approved_by_its_digest_and_listed(tenantctl: Terminal) -> None:
    made, run = _hub(tenantctl)
    listed = tenantctl("approval", "list", "--status", "waiting", "--json", who=OPS).json
    assert [item["id"] for item in listed] == [run["approval_id"]]
    stack = "hub.eu-west-1.c1"
    assert stack in tenantctl("approval", "list", "--status", "waiting", who=OPS).out
    assert stack in tenantctl("run", "list", who=OPS).out
    shown = tenantctl("approval", "show", run["approval_id"], who=OPS).out
    assert f"stack       {stack}" in shown
    digest = listed[0]["plan_digest"]
    assert digest in tenantctl("run", "plan", made["run_id"], who=OPS).out
    assert f"approval approve {run['approval_id']} --digest {digest}" in shown
    assert f"some-{ADMIN} (" in shown  # who asked is barred, and the page says so
    tenantctl("approval", "approve", run["approval_id"], *REASON, "--digest", digest, who=OPS)
    with tenantctl.working():
        watched = tenantctl("run", "watch", made["run_id"], who=OPS).out.splitlines()
    assert watched[-1] == "applied"
    assert "ready" in tenantctl("hub", "list", who=ADMIN).out
    assert made["id"] in tenantctl("hub", "show", made["id"], who=ADMIN).out
    assert "read it" in tenantctl("approval", "show", run["approval_id"], who=OPS).out


def test_what_many_resources_have_in_common_is_said_once(tenantctl: Terminal) -> None:
    kind = "urn:pulumi:eu-west-1.c1::hub::aws:ec2/subnet:Subnet::"
    common = {"enforcement": "advisory", "rule": "residency", "remedy": "Look again."}
    tenantctl.world.policies.violations = [
        *({**common, "address": f"{kind}net-{n}", "reason": "is not known yet"} for n in (1, 2)),
        {**common, "address": f"{kind}net-3", "reason": "is elsewhere"},
    ]
    made, _ = _hub(tenantctl)
    lines = tenantctl("run", "plan", made["run_id"], who=OPS).out.splitlines()
    said = lines[
        lines.index("  advisory: residency  each of 2 resources is not known yet. Look again.") :
    ]
    assert said == [
        "  advisory: residency  each of 2 resources is not known yet. Look again.",
        "      aws:ec2/subnet:Subnet net-1",
        "      aws:ec2/subnet:Subnet net-2",
        "  advisory: residency  aws:ec2/subnet:Subnet net-3 is elsewhere. Look again.",
    ]


def test_a_watched_run_that_waits_says_what_to_do(tenantctl: Terminal) -> None:
    made, run = _hub(tenantctl)
    tenantctl("run", "cancel", made["run_id"], who=OPS)
    watched = tenantctl("run", "watch", made["run_id"], who=OPS, code=3).out
    assert f"tenantctl approval show {run['approval_id']}" in watched
    events = tenantctl("run", "watch", made["run_id"], "--json", who=OPS, code=3).out
    assert [json.loads(line)["seq"] for line in events.splitlines()] == list(
        range(1, len(events.splitlines()) + 1)
    )


def test_a_rejected_run_is_retried_as_a_new_one(tenantctl: Terminal) -> None:
    made, run = _hub(tenantctl)
    plan = tenantctl("run", "plan", made["run_id"], "--json", who=OPS).json
    tenantctl(
        "approval", "reject", run["approval_id"], *REASON, "--digest", plan["digest"], who=OPS
    )
    fresh = tenantctl("run", "retry", made["run_id"], "--json", who=OPS).json
    assert fresh["id"] != made["run_id"]
    listed = tenantctl("run", "list", "--json", who=OPS).json
    assert [item["id"] for item in listed] == [fresh["id"], made["run_id"]]
    assert [item["status"] for item in listed][1] == "rejected"


def test_runs_of_a_tenant_are_listed_by_its_slug(tenantctl: Terminal) -> None:
    tenantctl.world.ready_hub()
    found = tenantctl.submit("A")
    slug, run_id = found["tenant"]["slug"], found["run_id"]
    assert run_id in tenantctl("run", "list", "--tenant", slug).out
    assert tenantctl("run", "watch", run_id).out.splitlines()[-1] == "applied"
    outputs = tenantctl("tenant", "outputs", slug, "--json").json
    assert outputs[0]["stack"] in tenantctl("tenant", "outputs", slug).out


def test_a_bundle_goes_from_the_queue_to_the_receipt(tenantctl: Terminal) -> None:
    found = tenantctl.submit("C")
    bundle_id = found["bundle_id"]
    assert bundle_id in tenantctl("bundle", "list", who=ARCHITECT).out
    tenantctl("bundle", "accept", bundle_id, who=ARCHITECT)
    edit = tenantctl.file({"account_id": "210987654321"})
    edited = tenantctl("bundle", "edit", bundle_id, edit, "--json", who=ARCHITECT).json
    assert edited["inputs"]["account_id"] == "210987654321"
    with tenantctl.working():
        built = tenantctl("bundle", "build", bundle_id, "--json", who=ARCHITECT).json
    assert built["status"] == "built"
    shown = tenantctl("bundle", "show", bundle_id, who=ARCHITECT).out
    assert built["content_digest"] in shown
    handed = tenantctl(
        "bundle", "hand-over", bundle_id, "--name", "Mette", "--email", "m@orsted.dk", "--json",
        who=ARCHITECT,
    ).json  # fmt: skip
    assert handed["download_url"].startswith(tenantctl.url)
    folder = tenantctl.folder / "by-id"
    saved = tenantctl("bundle", "download", bundle_id, str(folder), "--json", who=ARCHITECT).json
    assert {item["file"] for item in saved} == {str(file) for file in folder.iterdir()}
    owner = edited["inputs"]["owner"]
    receipt = {
        "schema_version": 1, "tenant": owner["tenant"], "environment": owner["environment"],
        "deployment": owner["deployment"], "account_id": "210987654321",
        "region": edited["inputs"]["region"], "content_digest": built["content_digest"],
    }  # fmt: skip
    tenantctl("bundle", "receipt", bundle_id, tenantctl.file(receipt), who=ARCHITECT)
    assert tenantctl("tenant", "show", owner["tenant"], "--json").json["status"] == "ready"


def test_a_build_that_fails_ends_with_1_and_names_the_check(tenantctl: Terminal) -> None:
    bundle_id = tenantctl.submit("C")["bundle_id"]
    tenantctl("bundle", "accept", bundle_id, who=ARCHITECT)
    tenantctl.world.builder.failing_checks.add("validate")
    with tenantctl.working():
        answer = tenantctl("bundle", "build", bundle_id, who=ARCHITECT, code=1)
    assert "validate" in answer.out


def test_an_auditor_reads_events_of_a_tenant_by_slug(tenantctl: Terminal) -> None:
    found = tenantctl.submit("C")
    slug = found["tenant"]["slug"]
    listed = tenantctl("audit", "events", slug, "--json", who=Role.AUDITOR).json
    assert [item["idx"] for item in listed] == list(range(len(listed)))
    assert "request.accepted" in tenantctl("audit", "events", slug, who=Role.AUDITOR).out
    assert tenantctl("audit", "events", "platform", who=Role.AUDITOR, code=4).err
    limited = tenantctl("audit", "events", slug, "--limit", "1", who=Role.AUDITOR).out
    assert limited.endswith("more: --after 1\n")
