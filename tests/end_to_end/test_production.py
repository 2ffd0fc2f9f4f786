"""A production installation from nothing: commands, separate processes, an identity provider.

`serve` has no part in it. The cloud is the emulated one, which such an installation allows as a
rehearsal that it announces.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from control_plane.domain.receipt import sample_receipt
from tests.end_to_end.installation import REGION, SELDOM_SECONDS, request_body
from tests.end_to_end.production import Production

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
ACCOUNT = "123456789012"
CUSTOMERS_ACCOUNT = "210987654321"
ENDS = {"applied", "no_changes", "errored", "policy_failed", "blocked", "canceled"}


@pytest.fixture
def production(tmp_path: Path, pulumi_cli: Path) -> Iterator[Production]:
    with ExitStack() as stack:
        made = Production(folder=tmp_path, cli=pulumi_cli, stack=stack)
        made.install()
        made.start()
        yield made


def test_a_hub_and_a_tenant_of_each_mode(production: Production) -> None:
    it_says_what_it_is(production)
    automation, admin = production.api("crm"), production.api("ada")

    hub = admin.post("/v1/hubs", {"region": REGION, "cell": "c1", "capacity": 5})
    assert reaches(production, hub["run_id"], {"blocked"})["blocked_on"] == "no_account"
    production.tenantctl(
        "account", "add", ACCOUNT, "--shared", settings=production.as_person("ada")
    )  # the run goes on by itself
    approve(production, hub["run_id"])
    assert reaches(production, hub["run_id"], ENDS)["status"] == "applied"

    shared = automation.post("/v1/provisioning-requests", request_body("A"))
    dedicated = automation.post("/v1/provisioning-requests", request_body("B"))
    customer = automation.post("/v1/provisioning-requests", request_body("C"))
    approve(production, dedicated["run_id"])
    for request in (shared, dedicated):
        assert reaches(production, request["run_id"], ENDS)["status"] == "applied"
    receipt_of_a_bundle(production, customer)
    for request in (shared, dedicated, customer):
        tenant = automation.get(f"/v1/tenants/{request['tenant']['id']}")
        assert tenant["status"] == "ready", tenant
    outputs = automation.get(f"/v1/tenants/{shared['tenant']['id']}/outputs")["items"][0]["outputs"]
    assert admin.get(f"/v1/hubs/{outputs['hub_id']}")["id"] == hub["id"]
    the_logs_verify(production, [r["tenant"]["id"] for r in (shared, dedicated, customer)])
    a_stack_is_opened_for_reading_alone_and_that_is_recorded(production, dedicated["tenant"])
    each_process_has_its_own_keys_alone(production)


def it_says_what_it_is(production: Production) -> None:
    answer = httpx.get(f"{production.url}/readyz", trust_env=False)
    assert (answer.status_code, answer.json()["status"]) == (200, "ready"), answer.text
    assert answer.json()["background"] == {
        "worker": "ok",
        "audit_verification": "ok",
        "audit_witnesses": "ok",
        "audit_quarantine": "ok",
        "rules": "ok",
        "systems": "ok",
        "queue": "ok",
    }
    assert "rehearsal" in answer.json()["notice"]
    assert answer.headers["tenantplane-rehearsal"] == "true"
    assert httpx.get(f"{production.url}/v1/tenants", trust_env=False).status_code == 401


def reaches(production: Production, run_id: str, statuses: set[str]) -> Any:
    ops = production.api("olga")

    def look() -> Any:
        run = ops.get(f"/v1/runs/{run_id}")
        return run if run["status"] in statuses else None

    return production.until(
        look, f"the run is {' or '.join(sorted(statuses))}", pause=SELDOM_SECONDS
    )


def approve(production: Production, run_id: str) -> None:
    waiting = {"awaiting_approval", "errored", "policy_failed"}
    run = reaches(production, run_id, waiting)
    assert run["status"] == "awaiting_approval", run["error"]
    ops = production.api("olga")
    approval = ops.get(f"/v1/approvals/{run['approval_id']}")
    body = {"decision": "approve", "plan_digest": approval["plan_digest"], "reason": "read it"}
    ops.post(f"/v1/approvals/{approval['id']}/decisions", body)


def receipt_of_a_bundle(production: Production, request: Any) -> None:
    """Build, hand over, download by the link and register what the customer's apply would say."""
    architect, path = production.api("sam"), f"/v1/bundles/{request['bundle_id']}"
    architect.post(f"{path}/accept")
    architect.patch(path, {"inputs": {"account_id": CUSTOMERS_ACCOUNT}})
    architect.post(f"{path}/build")

    def built() -> Any:
        bundle = architect.get(path)
        return bundle if bundle["status"] in {"built", "build_failed"} else None

    bundle = production.until(built, "the bundle is built", pause=SELDOM_SECONDS)
    assert bundle["status"] == "built", bundle
    person = {"recipient_name": "Mette Secure", "recipient_email": "mette@orsted.dk"}
    link = architect.post(f"{path}/hand-over", person)["download_url"]
    assert link.startswith("https://control.example.test/v1/bundles/")
    # a load balancer of the company would bring the request here
    at_the_api = link.replace("https://control.example.test", production.url)
    assert httpx.get(at_the_api, trust_env=False).content[:2] == b"\x1f\x8b"
    receipt = sample_receipt(bundle["inputs"], bundle["content_digest"])
    architect.post(f"{path}/receipts", {"receipt": receipt})


def the_logs_verify(production: Production, tenants: list[str]) -> None:
    auditor = production.auditors()
    for tree in ("platform", *tenants):
        said = production.tenantctl(
            "audit", "verify", tree, "--public-key", str(production.public_key), "--json",
            settings=auditor,
        )  # fmt: skip
        assert json.loads(said)["trees"][0]["tree"] == tree, said
    events = production.api("audrey").get("/v1/audit/platform/events", limit=500)["items"]
    actions = [item["body"]["action"] for item in events]
    started = {"database.upgraded", "worker.started"}
    assert {"account.added", "run.unblocked", "hub.ready"} | started <= set(actions)


def a_stack_is_opened_for_reading_alone_and_that_is_recorded(
    production: Production, tenant: Any
) -> None:
    stack = production.api("crm").get(f"/v1/tenants/{tenant['id']}/outputs")["items"][0]["stack"]
    assert json.loads(production.pulumi("stack", "output", "--json", stack=stack))
    exported = json.loads(production.pulumi("stack", "export", stack=stack))
    assert len(exported["deployment"]["resources"]) > 40
    assert stack in production.pulumi("stack", "ls", stack=stack)
    refused = production.pulumi("refresh", "--yes", "--skip-preview", stack=stack, fails=True)
    assert "for reading alone" in refused
    path = f"/v1/tenants/{tenant['id']}/audit/events"

    def recorded() -> Any:
        found = production.api("audrey").get(path, action="stack.opened")["items"]
        return found[0]["body"] if found else None

    body = production.until(recorded, "the log names who opened the stack")
    assert body["data"] == {"stack": stack}
    assert body["actor"]["id"].startswith("local:")


def each_process_has_its_own_keys_alone(production: Production) -> None:
    """What an intruder finds in the folder of a process is what its role needs."""
    found = {
        role: sorted(path.name for path in (production.home(role) / "keys").iterdir())
        for role in ("api", "worker", "signer")
    }
    assert found == {
        "api": ["audit.key.pub", "onboarding.key", "page.key"],
        "worker": ["audit.key.pub", "bundle.key", "bundle.key.pub", "master.key", "onboarding.key"],
        "signer": ["audit.key", "audit.key.pub", "audit.signed"],
    }
    assert not (production.home("api") / "objects").exists()  # they are in the bucket
