"""A tenant, then its Hub, removed over HTTP on the real engine; boto3 finds nothing afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.audit.certificate import verify_certificate
from control_plane.adapters.audit.keys import load_public_key
from control_plane.cli.client import Api
from control_plane.cli.inventory import tagged_resources
from control_plane.cli.refusing import Refused
from control_plane.domain.actor import Role
from tests.end_to_end.installation import (
    REGION,
    SELDOM_SECONDS,
    Served,
    approve,
    decide,
    ended,
    request_body,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
DECIDERS = ("olga", "petra")


def test_a_tenant_and_its_hub_are_removed_and_nothing_is_left(served: Served) -> None:
    ada = served.api("ada", Role.PLATFORM_ADMIN)
    hub = ada.post("/v1/hubs", {"region": REGION, "cell": "c1", "capacity": 5})
    approve(served, hub["run_id"])
    assert ended(served, hub["run_id"])["status"] == "applied"
    found = served.api("crm", Role.AUTOMATION).post("/v1/provisioning-requests", request_body("A"))
    assert ended(served, found["run_id"])["status"] == "applied"
    tenant, slug = found["tenant"]["id"], found["tenant"]["slug"]
    endpoint = served.left()["sandbox_url"]
    assert len(tagged_resources(endpoint, REGION, slug)) >= 5

    removal = removed(served, f"/v1/tenants/{tenant}/removal")
    assert ada.get(f"/v1/tenants/{tenant}")["status"] == "deprovisioned"
    kept = {each["arn"] for each in removal["remaining"]}
    assert set(tagged_resources(endpoint, REGION, slug)) <= kept
    assert {"certificate", "digest", "log"} == set(certificate_of(served, ada, tenant))

    removed(served, f"/v1/hubs/{hub['id']}/removal")
    assert ada.get(f"/v1/hubs/{hub['id']}")["status"] == "deprovisioned"


def removed(served: Served, path: str) -> dict[str, Any]:
    """Remove what a path names, deciding as two people, and return the removal at its end."""
    ada = served.api("ada", Role.PLATFORM_ADMIN)
    people = {name: served.api(name, Role.OPS_APPROVER) for name in DECIDERS}
    preview = ada.post(path, {"reason": "the contract ended"}, dry_run="true")
    assert preview["obstacles"] == []
    assert preview["resources"]
    body = {"reason": "the contract ended", "unprotect": preview["unprotect"]}
    ada.post(path, body)
    decided: set[tuple[str, str]] = set()

    def look() -> dict[str, Any] | None:
        present: dict[str, Any] = ada.get(path)
        assert present["status"] != "stuck", present["error"]
        if present["step"] == "export" and present["status"] == "waiting":
            ada.post(f"{path}/export-waiver", {"reason": "the data is a test's"})
        for step in present["steps"]:
            if step["run_id"] and step["outcome"] is None:
                approve_as(people, step["run_id"], decided)
        return present if present["step"] == "remaining" or present["ended_at"] else None

    found: dict[str, Any] = served.until(look, "the removal ends", pause=SELDOM_SECONDS)
    return found


def approve_as(people: dict[str, Api], run_id: str, decided: set[tuple[str, str]]) -> None:
    """Let each of two people approve a run that waits for decisions, once."""
    for name, ops in people.items():
        run = ops.get(f"/v1/runs/{run_id}")
        if run["status"] == "awaiting_approval" and (run_id, name) not in decided:
            approval = ops.get(f"/v1/approvals/{run['approval_id']}")
            decide(ops, approval)
            decided.add((run_id, name))


def certificate_of(served: Served, api: Api, tenant: str) -> dict[str, Any]:
    """Return the certificate of a tenant once it is signed; it verifies, and says what it did."""

    def look() -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = api.get(f"/v1/tenants/{tenant}/removal/certificate")
        except Refused:  # until a checkpoint covers it
            return None
        return found

    found: dict[str, Any] = served.until(look, "the certificate is signed", pause=SELDOM_SECONDS)
    (key,) = list(Path(served.home).rglob("audit.key.pub"))
    report = verify_certificate(json.loads(json.dumps(found)), [load_public_key(key)])
    assert [(check.name, check.detail) for check in report.checks if not check.ok] == []
    body = found["certificate"]
    assert body["removed"]["resources"] >= 5
    assert [each["by"] for each in body["removed"]["approved_by"]] == list(DECIDERS)
    assert {check["name"] for check in body["checks"] if check["ok"]} >= {
        "nothing_in_state", "nothing_by_tag", "nothing_by_name",
    }  # fmt: skip
    return found
