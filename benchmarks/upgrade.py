"""An upgrade from A to B with a thousand objects: how long its tenant cannot write.

Of the dedicated Hub that was built, some resources are read again as before an approved apply.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

import boto3

from benchmarks.figures import Figure, median_and_range
from benchmarks.site import REGION, Site, request_body
from control_plane.domain.actor import Role
from control_plane.ports.engine import EngineEvent
from control_plane.workflows.calling import reading_call

_OBJECTS = 1000
_ITEMS = 200
_CHANGED = 20  # objects that are written while the copy runs
_RESOURCES = 45  # that are looked at again
_LOOKS = 5
_POLL_SECONDS = 0.2
_SECONDS = 900.0


def measure(site: Site) -> list[Figure]:
    """Upgrade one tenant, whose application writes until it is frozen."""
    site.hub()
    architect = site.api("sam", Role.SOLUTIONS_ARCHITECT)
    made = site.automation.post("/v1/provisioning-requests", request_body("upgraded"))
    tenant = f"/v1/tenants/{made['tenant']['id']}"
    while site.ops.get(tenant)["status"] != "ready":
        time.sleep(_POLL_SECONDS)
    (slice_,) = site.ops.get(f"{tenant}/outputs")["items"]
    stores = _Stores(site, slice_["outputs"])
    stores.fill(range(_OBJECTS))
    body = {"change_to": "B", "upgrade": True, "amendment": "AM-1", "reason": "bench"}
    started = time.perf_counter()
    architect.post(f"{tenant}/mode", body)
    found = _followed(site, tenant, stores)
    steps = {step["name"]: step for step in found["steps"]}
    frozen = float(found["frozen_seconds"])
    copied = found["equal"]["object"]["count"]
    if copied != _OBJECTS:
        raise SystemExit(f"{copied} objects were copied")
    return [
        Figure(name="freeze of an upgrade with 1,000 objects", value=frozen, unit="s", target=20,
               detail=f"{_ITEMS} items, {_CHANGED} objects changed after the copy"),
        Figure(name="the copy before the freeze", value=_seconds(steps["copy"]), unit="s"),
        Figure(name="upgrade, request to switch", value=time.perf_counter() - started, unit="s"),
        _looked_again(site, steps["build"]["run_id"]),
    ]  # fmt: skip


class _Stores:
    """A slice's stores as its application uses them."""

    def __init__(self, site: Site, outputs: dict[str, Any]) -> None:
        endpoint = site.running.environment["TENANTPLANE_SANDBOX_URL"]
        keys: Any = dict.fromkeys(("aws_access_key_id", "aws_secret_access_key"), "testing")
        session: Any = boto3.Session(region_name=REGION, **keys)
        self._s3 = session.client("s3", endpoint_url=endpoint)
        self._dynamodb = session.client("dynamodb", endpoint_url=endpoint)
        self._outputs = outputs

    def fill(self, numbers: range) -> None:
        """Write objects of four kilobytes each, and the items."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.put, numbers))
        for number in range(_ITEMS):
            key = {"pk": {"S": f"{self._outputs['leading_key']}#{number}"}, "sk": {"S": "x"}}
            self._dynamodb.put_item(TableName=self._outputs["table_name"], Item=key)

    def put(self, number: int) -> None:
        """Write one object, other than before."""
        content = f"{number} {time.time_ns()} ".encode() * 128
        key = f"{self._outputs['data_prefix']}{number:04}"
        self._s3.put_object(Bucket=self._outputs["data_bucket"], Key=key, Body=content)


def _followed(site: Site, tenant: str, stores: _Stores) -> dict[str, Any]:
    """Approve the plan of the dedicated Hub, and wait for the switch."""
    end, has_changed = time.monotonic() + _SECONDS, False
    while time.monotonic() < end:
        found: dict[str, Any] = site.ops.get(f"{tenant}/mode")
        if found["status"] == "stuck":
            raise SystemExit(f"the upgrade is stuck: {found['error']}")
        if found["frozen_seconds"] is not None:
            return found
        if found["step"] == "build":
            _approve(site, found)
        elif found["step"] == "copy" and not has_changed:
            has_changed = True
            for number in range(_CHANGED):
                stores.put(number)
        time.sleep(_POLL_SECONDS)
    raise SystemExit("the upgrade does not come to its switch")


def _approve(site: Site, found: dict[str, Any]) -> None:
    (step,) = [each for each in found["steps"] if each["name"] == "build"]
    run = site.ops.get(f"/v1/runs/{step['run_id']}") if step["run_id"] else {}
    if run.get("status") != "awaiting_approval":
        return
    approval = site.ops.get(f"/v1/approvals/{run['approval_id']}")
    body = {"decision": "approve", "plan_digest": approval["plan_digest"], "reason": "bench"}
    site.ops.post(f"/v1/approvals/{approval['id']}/decisions", body)


def _looked_again(site: Site, run_id: str) -> Figure:
    """Measure the look at what an approved plan touches, before it is applied."""
    core = site.worker_parts().core
    with core.act() as act:
        run = act.uow.runs.need(run_id)
        plan = act.uow.plans.need(str(run.plan_id))
        call = reading_call(act, act.uow.deployments.need(run.deployment_id), "bench.compare")
    urns = [each.urn for each in plan.operations if each.type.startswith("aws:")]
    seconds: list[float] = []

    def listen(events: Sequence[EngineEvent]) -> None:
        bodies = (body for kind, body in events if kind == "phase")
        seconds.extend(each["seconds"] for each in bodies if "seconds" in each)

    for number in range(_LOOKS):
        again = replace(call, call_id=f"bench.compare.{number}", scope=tuple(urns[:_RESOURCES]))
        if found := core.engine.compare(again, on_events=listen):
            raise SystemExit(f"the cloud differs from what was applied: {found}")
    if len(seconds) != _LOOKS or len(urns) < _RESOURCES:
        raise SystemExit(f"{len(seconds)} looks at {len(urns)} resources")
    return Figure(
        name=f"look at {_RESOURCES} resources before an approved apply",
        value=statistics.median(seconds), unit="s", target=1.5, detail=median_and_range(seconds),
    )  # fmt: skip


def _seconds(step: dict[str, Any]) -> float:
    begun, ended = (datetime.fromisoformat(step[name]) for name in ("started_at", "ended_at"))
    return (ended - begun).total_seconds()
