"""Each command once, as the person it is for uses it."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from control_plane.cli.errors import HIDDEN, REFUSED, USAGE
from control_plane.domain.actor import Role
from control_plane.domain.engine import Drift
from control_plane.domain.receipt import sample_receipt
from tests.unit.cli.terminal import Terminal, run
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
    def submit() -> Any:
        typed = io.TextIOWrapper(io.BytesIO(json.dumps(request_body("C")).encode()))
        monkeypatch.setattr("sys.stdin", typed)
        return tenantctl("request", "submit", "-", "--key", "key-of-crm", "--json").json

    first, again = submit(), submit()
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


def test_a_change_is_shown_before_it_is_made(tenantctl: Terminal) -> None:
    slug = tenantctl.submit("B")["tenant"]["slug"]
    tenantctl.world.work()
    change = ("tenant", "change", slug, *REASON, "--facts", tenantctl.file({"seats": 2000}))
    dry = tenantctl(*change, "--dry-run", who=ADMIN).out
    assert re.search(r"database.storage_gb +50 +200", dry)
    assert len(tenantctl("run", "list", "--json", who=OPS).json) == 1
    made = tenantctl(*change, "--json", who=ADMIN).json
    assert made["run_id"] == tenantctl("run", "list", "--json", who=OPS).json[0]["id"]
    on_its_way = tenantctl(*change, who=ADMIN).out
    assert on_its_way.count(made["run_id"]) == 3  # as a field, in the summary, and to follow it


def test_drift_is_looked_for_and_shown_with_both_values(tenantctl: Terminal) -> None:
    made = tenantctl.submit("B")
    slug = made["tenant"]["slug"]
    tenantctl.world.work()
    tenantctl.world.approve(made["run_id"])
    assert tenantctl("tenant", "findings", slug).out == "no findings\n"
    tenantctl.world.engine.drift = (
        Drift(kind="changed", subject="urn:pulumi:a::tenantplane::aws:kms/key:Key::data",
              type="aws:kms/key:Key", path="tags.a", expected="1", actual="2"),
        Drift(kind="foreign", subject="ec2:security-group-rule sgr-1",
              type="ec2:security-group-rule", actual={"fromPort": 22}),
    )  # fmt: skip
    look = tenantctl("tenant", "check-drift", slug, "--json", who=OPS).json
    assert look["kind"] == "refresh"
    with tenantctl.working():
        assert "no_changes" in tenantctl("run", "watch", look["id"], who=OPS).out
    shown = tenantctl("tenant", "findings", slug).out
    assert re.search(r"changed +aws:kms/key:Key data +tags.a +1 +2 ", shown)
    assert re.search(r"foreign +ec2:security-group-rule sgr-1 +- +- +fromPort 22 ", shown)
    assert re.search(r"drifted +yes", tenantctl("tenant", "show", slug).out)
    assert slug in tenantctl("tenant", "list", "--drifted").out
    tenantctl.world.engine.drift = ()
    tenantctl("tenant", "check-drift", slug, who=OPS)
    tenantctl.world.work()
    assert tenantctl("tenant", "list", "--drifted").out == "no tenants\n"
    closed = tenantctl("tenant", "findings", slug, "--all", "--json").json
    assert [item["closed_by"] is None for item in closed] == [False, False]


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
    assert re.search(rf"stack +{re.escape(stack)}", shown)
    digest = listed[0]["plan_digest"]
    assert digest in tenantctl("run", "plan", made["run_id"], who=OPS).out
    assert f"approval approve {run['approval_id']} --digest {digest}" in shown
    assert f"some-{ADMIN} (" in shown  # who asked is barred, and the page says so
    tenantctl("approval", "approve", run["approval_id"], *REASON, "--digest", digest, who=OPS)
    with tenantctl.working():
        watched = tenantctl("run", "watch", made["run_id"], who=OPS).out.splitlines()
    assert "applied" in watched
    assert any(line.split()[:2] == ["policies_hold", "yes"] for line in watched)
    head, row = tenantctl("hub", "list", who=ADMIN).out.splitlines()
    assert "ready" in row
    assert (head.split()[-1], row.split()[-1]) == ("hold", "no")
    assert made["id"] in tenantctl("hub", "show", made["id"], who=ADMIN).out
    assert "read it" in tenantctl("approval", "show", run["approval_id"], who=OPS).out


def test_what_many_resources_have_in_common_is_said_once(tenantctl: Terminal) -> None:
    kind = "urn:pulumi:eu-west-1.c1::hub::aws:ec2/subnet:Subnet::"
    common = {"enforcement": "advisory", "rule": "residency", "remedy": "Look again."}
    tenantctl.world.policies.violations = [
        *(
            {**common, "address": f"{kind}net-{n}", "reason": "is not known yet",
             "path": f"zone-{n}", "verdict": "unknown"}
            for n in (1, 2)
        ),
        {**common, "address": f"{kind}net-3", "reason": "is elsewhere"},
    ]  # fmt: skip
    made, _ = _hub(tenantctl)
    lines = tenantctl("run", "plan", made["run_id"], who=OPS).out.splitlines()
    said = lines[
        lines.index("  advisory: residency  each of 2 resources is not known yet. Look again.") :
    ]
    assert said == [
        "  advisory: residency  each of 2 resources is not known yet. Look again.",
        "      aws:ec2/subnet:Subnet net-1 (zone-1)",
        "      aws:ec2/subnet:Subnet net-2 (zone-2)",
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
    assert "applied" in tenantctl("run", "watch", run_id).out.splitlines()
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
    receipt = sample_receipt(edited["inputs"], built["content_digest"])
    tenantctl("bundle", "receipt", bundle_id, tenantctl.file(receipt), who=ARCHITECT)
    assert tenantctl("tenant", "show", owner["tenant"], "--json").json["status"] == "ready"


def test_links_are_listed_and_one_is_revoked(tenantctl: Terminal) -> None:
    bundle_id = tenantctl.submit("C")["bundle_id"]
    tenantctl("bundle", "accept", bundle_id, who=ARCHITECT)
    assert tenantctl("bundle", "links", bundle_id, who=ARCHITECT).out == "no links\n"
    edit = tenantctl.file({"account_id": "210987654321"})
    tenantctl("bundle", "edit", bundle_id, edit, who=ARCHITECT)
    with tenantctl.working():
        tenantctl("bundle", "build", bundle_id, "--json", who=ARCHITECT)
    urls = [
        tenantctl(
            "bundle", "hand-over", bundle_id, "--name", name, "--email", f"{name}@orsted.dk",
            "--json", who=ARCHITECT,
        ).json["download_url"]
        for name in ("mette", "ole")
    ]  # fmt: skip
    listed = tenantctl("bundle", "links", bundle_id, who=ARCHITECT).out
    assert "mette@orsted.dk" in listed
    assert "ole@orsted.dk" in listed
    links = tenantctl("bundle", "links", bundle_id, "--json", who=ARCHITECT).json
    mettes = next(link["id"] for link in links if link["recipient_email"] == "mette@orsted.dk")
    revoked = tenantctl("bundle", "revoke-link", bundle_id, mettes, "--json", who=ARCHITECT).json
    assert (revoked["id"], revoked["revoked_at"] is None) == (mettes, False)
    tenantctl("bundle", "download", urls[0], str(tenantctl.folder / "mettes"), code=4)
    folder = tenantctl.folder / "oles"
    tenantctl("bundle", "download", urls[1], str(folder))
    assert list(folder.iterdir())
    unknown = "lnk_00000000000000000000000000"
    tenantctl("bundle", "revoke-link", bundle_id, unknown, who=ARCHITECT, code=4)


def test_the_key_of_bundles_is_shown_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTPLANE_HOME", str(tmp_path / "home"))
    assert run("bundle", "key").code != 0  # a fresh machine has none
    assert run("keys", "create").code == 0
    found = run("bundle", "key", "--json").json
    shown = run("bundle", "key")
    assert shown.code == 0
    assert found["key_id"] in shown.out
    assert found["public_key"] in shown.out
    named = base64.b64decode(found["public_key"])[2:10]  # minisign: "Ed", key id, key
    assert f"{int.from_bytes(named, 'little'):016X}" == found["key_id"]


@pytest.mark.parametrize("way", ["created", "existing"])
def test_an_example_of_inputs_is_taken_by_the_edit(tenantctl: Terminal, way: str) -> None:
    given = ["--existing"] if way == "existing" else []
    example = run("bundle", "inputs", "--example", *given).json
    assert run("bundle", "inputs").json["properties"].keys() >= example.keys()
    bundle_id = tenantctl.submit("C")["bundle_id"]
    tenantctl("bundle", "accept", bundle_id, who=ARCHITECT)
    edited = tenantctl(
        "bundle", "edit", bundle_id, tenantctl.file(example), "--json", who=ARCHITECT
    ).json
    assert edited["inputs"]["network"] == example["network"]
    schema = run("bundle", "inputs").json
    assert [
        error.message
        for error in Draft202012Validator(schema).iter_errors(edited["inputs"])
        if "content_digest" not in error.message
    ] == []  # the build adds that


def _handed_over(tenantctl: Terminal) -> dict[str, Any]:
    """Hand a bundle over and return the receipt of its apply."""
    bundle_id = tenantctl.submit("C")["bundle_id"]
    tenantctl("bundle", "accept", bundle_id, who=ARCHITECT)
    edit = tenantctl.file({"account_id": "210987654321"})
    tenantctl("bundle", "edit", bundle_id, edit, who=ARCHITECT)
    with tenantctl.working():
        built = tenantctl("bundle", "build", bundle_id, "--json", who=ARCHITECT).json
    tenantctl(
        "bundle", "hand-over", bundle_id, "--name", "Mette", "--email", "m@orsted.dk",
        who=ARCHITECT,
    )  # fmt: skip
    shown = tenantctl("bundle", "show", bundle_id, "--json", who=ARCHITECT).json
    receipt = sample_receipt(shown["inputs"], built["content_digest"])
    return {"bundle_id": bundle_id, "receipt": receipt}


def _wrapped(value: Any) -> dict[str, Any]:
    return {"sensitive": False, "type": ["object", {}], "value": value}


FORMS: Final[dict[str, Callable[[Any], bytes]]] = {
    "UTF-8": lambda receipt: json.dumps(receipt).encode(),
    "UTF-8 with a mark": lambda receipt: json.dumps(receipt).encode("utf-8-sig"),
    "UTF-16": lambda receipt: json.dumps(receipt).encode("utf-16"),
    "UTF-16, little end first": lambda receipt: json.dumps(receipt).encode("utf-16-le"),
    "UTF-16, big end first": lambda receipt: json.dumps(receipt).encode("utf-16-be"),
    "CRLF": lambda receipt: json.dumps(receipt, indent=1).replace("\n", "\r\n").encode(),
    "all outputs": lambda receipt: json.dumps(
        {"hub": _wrapped({"vpc_id": "vpc-1"}), "receipt": _wrapped(receipt)}
    ).encode(),
    "one output": lambda receipt: json.dumps(_wrapped(receipt)).encode(),
    "half a wrapper": lambda receipt: json.dumps({"value": receipt}).encode(),
    "under its name": lambda receipt: json.dumps({"receipt": receipt}).encode(),
    "all outputs in UTF-16": lambda receipt: json.dumps({"receipt": _wrapped(receipt)}).encode(
        "utf-16"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_receipt_is_read_in_every_form_that_terraform_and_shells_give(
    tenantctl: Terminal, form: str
) -> None:
    given = _handed_over(tenantctl)
    file = tenantctl.folder / "receipt.json"
    file.write_bytes(FORMS[form](given["receipt"]))
    tenantctl("bundle", "receipt", given["bundle_id"], str(file), who=ARCHITECT)
    shown = tenantctl("bundle", "show", given["bundle_id"], "--json", who=ARCHITECT).json
    assert shown["status"] == "applied"


@pytest.mark.parametrize(
    "content", [{}, {"value": None}, {"receipt": "x"}, {"hub": {"value": {"vpc_id": "vpc-1"}}}]
)
def test_what_is_no_receipt_is_refused_with_what_to_send(
    tenantctl: Terminal, content: dict[str, Any]
) -> None:
    file = tenantctl.file(content)
    refused = tenantctl("bundle", "receipt", "bnd_1", file, who=ARCHITECT, code=2)
    assert "Send what `terraform output -json receipt` prints." in refused.err


def test_a_build_that_fails_ends_with_1_and_names_the_check(tenantctl: Terminal) -> None:
    bundle_id = tenantctl.submit("C")["bundle_id"]
    tenantctl("bundle", "accept", bundle_id, who=ARCHITECT)
    edit = tenantctl.file({"account_id": "210987654321"})
    tenantctl("bundle", "edit", bundle_id, edit, who=ARCHITECT)
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


def test_what_an_event_lists_is_shown_line_by_line(tenantctl: Terminal) -> None:
    urn = "urn:pulumi:a::tenantplane::tenantplane:components:Data$aws:s3/bucket:Bucket::"
    tenantctl.world.policies.violations = [
        {"rule": rule, "enforcement": enforcement, "reason": "it is open", "remedy": "close it",
         "address": urn + name}
        for rule, enforcement, name in (
            ("public_exposure", "advisory", "one"), ("residency", "mandatory", "two")
        )
    ]  # fmt: skip
    slug = tenantctl.submit("B")["tenant"]["slug"]
    out = tenantctl("audit", "events", slug, "--action", "run.policy_evaluated",
                    who=Role.AUDITOR).out  # fmt: skip
    table, below = out.split("run.policy_evaluated: violations\n")
    assert "run.policy_evaluated: failed" in table
    assert "violations 2 (below)" in table
    assert "{" not in out
    assert below.splitlines() == [
        "    mandatory  residency  aws:s3/bucket:Bucket Data/two",
        "    advisory  public_exposure  aws:s3/bucket:Bucket Data/one",
    ]


def test_accounts_are_added_changed_and_removed(tenantctl: Terminal) -> None:
    number, role = "222233334444", "arn:aws:iam::222233334444:role/provision"
    secret = tenantctl.folder / "external-id"
    secret.write_text("vendor-7\n")
    given = ("--role-arn", role, "--external-id-file", str(secret))
    added = tenantctl("account", "add", number, *given, "--json", who=ADMIN).json
    assert added["has_external_id"]
    assert not added["shared"]
    again = tenantctl("account", "add", number, who=ADMIN, code=3)
    assert "change it with `tenantctl account update`" in again.err
    shared = tenantctl("account", "update", number, "--shared", "--json", who=ADMIN).json
    assert (shared["shared"], shared["role_arn"]) == (True, role)
    assert "--role-arn" in tenantctl("account", "update", number, who=ADMIN, code=2).err
    for command in (("list",), ("show", number)):
        shown = tenantctl("account", *command, "--json", who=OPS)
        assert number in shown.out
        assert "vendor-7" not in shown.out
    tenantctl("account", "remove", number, who=ADMIN)
    tenantctl("account", "remove", number, who=ADMIN, code=4)
    tenantctl("account", "add", number, who=OPS, code=4)


def test_an_account_with_deployments_stays(tenantctl: Terminal) -> None:
    tenantctl.submit("B")
    refused = tenantctl("account", "remove", "123456789012", who=ADMIN, code=3)
    assert "1 deployment is in account 123456789012" in refused.err


def test_a_refusal_is_json_where_json_was_asked_for(tenantctl: Terminal) -> None:
    refused = tenantctl("run", "show", "run_none", "--json", code=HIDDEN)
    problem = json.loads(refused.err)
    assert (problem["code"], problem["status"], refused.out) == ("not_found", 404, "")
    spelled = tenantctl("run", "show", "../x", "--json", code=USAGE)
    assert "../x" in json.loads(spelled.err)["detail"]
    assert not tenantctl("run", "show", "run_none", code=HIDDEN).err.startswith("{")


def test_a_tenant_is_shown_with_the_reasons_for_its_mode_and_what_to_do(
    tenantctl: Terminal,
) -> None:
    slug = tenantctl.submit("A", data_must_stay_in_customer_cloud=True)["tenant"]["slug"]
    shown = tenantctl("tenant", "show", slug).out
    reasons = tenantctl("tenant", "show", slug, "--json").json["decision"]["reasons"]
    assert reasons
    assert all(item["sentence"] in shown for item in reasons)
    step = f"tenantctl tenant decide-mode {slug}"
    assert step not in shown  # who asked may not decide
    assert step in tenantctl("tenant", "show", slug, who=ARCHITECT).out


def test_a_sample_receipt_closes_the_circle_on_this_machine(tenantctl: Terminal) -> None:
    bundle_id = _handed_over(tenantctl)["bundle_id"]
    sample = tenantctl("bundle", "sample-receipt", bundle_id, who=ARCHITECT).out
    file = tenantctl.file(json.loads(sample))
    tenantctl("bundle", "receipt", bundle_id, file, who=ARCHITECT)
    assert tenantctl("bundle", "show", bundle_id, "--json", who=ARCHITECT).json["status"] == (
        "applied"
    )
    waiting = tenantctl.submit("C", 2)["bundle_id"]
    refused = tenantctl("bundle", "sample-receipt", waiting, who=ARCHITECT, code=REFUSED)
    assert "is not built yet" in refused.err
