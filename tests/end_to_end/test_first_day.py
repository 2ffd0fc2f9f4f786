"""A Hub and one tenant of each mode, over HTTP, on the real engine; then a clean stop."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psutil
import pytest

from control_plane.bootstrap import Parts, read_settings
from control_plane.cli.inventory import tagged_resources
from control_plane.domain.actor import Role
from control_plane.domain.spec import PROGRAMS
from control_plane.ports.engine import EngineCall
from control_plane.workflows.placing import spec_of
from tests.end_to_end.installation import (
    REGION,
    SELDOM_SECONDS,
    Served,
    approve,
    ended,
    request_body,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.mark.requirement("J-023", "J-024")
def test_three_contracts_become_three_tenants(served: Served) -> None:
    automation = served.api("crm", Role.AUTOMATION)
    early = automation.post("/v1/provisioning-requests", request_body("A"))
    blocked = ended(served, early["run_id"])
    assert blocked["blocked_on"] == "hub_unavailable"

    hub = served.api("ada", Role.PLATFORM_ADMIN).post(
        "/v1/hubs", {"region": REGION, "cell": "c1", "capacity": 5}
    )
    approve(served, hub["run_id"])
    assert ended(served, hub["run_id"])["status"] == "applied"
    served.until(
        lambda: status(served, early) == "ready",
        "the waiting tenant went on by itself",
        pause=SELDOM_SECONDS,
    )

    dedicated = automation.post("/v1/provisioning-requests", request_body("B"))
    approve(served, dedicated["run_id"])
    assert ended(served, dedicated["run_id"])["status"] == "applied"
    bundle = automation.post("/v1/provisioning-requests", request_body("C"))
    assert bundle["tenant"]["waiting_on"] == "architect"

    endpoint = served.left()["sandbox_url"]
    counts = [
        len(tagged_resources(endpoint, REGION, found["tenant"]["slug"]))
        for found in (early, dedicated, bundle)
    ]
    assert counts[0] >= 5
    assert counts[1] >= 30
    assert counts[2] == 0
    assert planned_again(served) == {"hub": {"same"}, "slice": {"same"}, "dedicated": {"same"}}

    changed_by_a_plan_of_exactly_that(served, dedicated)

    children = served.descendants()
    assert served.stop() == 0
    assert served.written_elsewhere() == []
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive


def changed_by_a_plan_of_exactly_that(served: Served, dedicated: dict[str, Any]) -> None:
    """Change the allow list of a ready tenant; the engine opens that and does nothing else.

    A hold delays it: the approved plan is applied when that is released.
    """
    path = f"/v1/tenants/{dedicated['tenant']['id']}/changes"
    body = {"facts": {"ip_allow_list": ["203.0.113.0/24"]}, "reason": "a new office"}
    automation = served.api("crm", Role.AUTOMATION)
    assert automation.post(path, body, dry_run="true")["run_id"] is None
    found = automation.post(path, body)
    ops = served.api("otto", Role.OPS_APPROVER)
    body_of_hold = {"kind": "pause", "reason": "a demonstration of the customer"}
    hold = ops.post(f"/v1/tenants/{dedicated['tenant']['id']}/holds", body_of_hold)
    assert [each["path"] for each in found["spec"]] == ["network.client_cidrs"]
    approve(served, found["run_id"])
    held = ended(served, found["run_id"])
    assert (held["blocked_on"], held["next_action"], held["started_at"]) == ("hold", "wait", None)
    ops.post(f"/v1/holds/{hold['id']}/release", {"reason": "it is over"})
    assert ended(served, found["run_id"])["status"] == "applied"
    plan = automation.get(f"/v1/runs/{found['run_id']}/plan")
    changes = [(o["op"], o["name"]) for o in plan["operations"] if o["op"] != "same"]
    assert changes == [("create", "app-from-203.0.113.0-24")]
    assert status(served, dedicated) == "ready"
    again = automation.post(path, body)
    assert (again["needs_run"], again["run_id"]) == (False, None)


def planned_again(served: Served) -> dict[str, set[str]]:
    """Return what a preview of every stack would do, by the kind of its deployment."""
    parts = Parts(read_settings(home=served.home, **served.left()))
    with parts.core.uow() as uow:
        stacks = [
            (d, spec_of(uow, d, d.applied_spec).document, uow.salts.get(d.id))
            for d in uow.deployments.find()
            if d.state_digest is not None
        ]
    parts.app_engine.dispose()
    with closing(parts.engine) as engine:
        return {
            str(stack.kind): {
                str(operation.op)
                for operation in engine.plan(
                    EngineCall(
                        call_id=f"look.{number}",
                        run_id="look",
                        deployment_id=stack.id,
                        stack=stack.stack,
                        program=PROGRAMS[stack.kind],
                        spec=spec,
                        region=stack.region,
                        account_id=stack.account_id,
                        has_state=True,
                        salt=salt,
                    ),
                    on_events=lambda *_: None,
                ).operations
            }
            for number, (stack, spec, salt) in enumerate(stacks)
        }


def status(served: Served, found: dict[str, object]) -> str:
    tenant = found["tenant"]
    assert isinstance(tenant, dict)
    api = served.api("crm", Role.AUTOMATION)
    return str(api.get(f"/v1/tenants/{tenant['id']}")["status"])
