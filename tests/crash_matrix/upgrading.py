"""Upgrades of the matrix: a slice with data is moved, and something is killed while it is copied.

A copy is no run and has no engine events; what counts is how many things are copied.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from control_plane.domain.run import RunStatus
from tests.crash_matrix.owners import approve, row_of, spare
from tests.crash_matrix.site import Site

OBJECTS: Final = 450
ITEMS: Final = 250
VICTIMS: Final = ("worker", "database", "api")
COPIED: Final = "SELECT count(*) FROM transferred WHERE saga_id = %s"
ENDED: Final = "SELECT step NOT IN ('copy', 'freeze', 'delta') FROM saga WHERE id = %s"
_SECONDS: Final = 420.0
_STOPS: Final = 4


def upgrade(site: Site) -> str:
    """Fill a slice, request its upgrade, lead it to the copy; returns the saga."""
    owner = spare(site, "A")
    (deployment,) = site.rows("SELECT * FROM deployment WHERE id = %s", owner.deployment)
    _fill(site, deployment["outputs"])
    body = {
        "change_to": "B", "upgrade": True, "amendment": f"AM-{next(site.companies)}",
        "reason": "the customer grows",
    }  # fmt: skip
    site.api("sam").post(f"{owner.path}/mode", body)
    deadline = time.monotonic() + _SECONDS
    while True:
        found = _led_on(site, f"{owner.path}/mode")
        if found["step"] not in {"prepare", "survey", "open", "build"}:
            return str(found["id"])
        assert found["status"] in {"working", "waiting"}, found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)  # soon, since the first copies are points too


def copied(site: Site, saga_id: str, stops: list[str], _: Callable[[Site], str]) -> list[str]:
    """Follow an upgrade until the new place is in use; returns what is wrong."""
    (saga,) = site.rows("SELECT * FROM saga WHERE id = %s", saga_id)
    path = f"/v1/tenants/{saga['tenant_id']}/mode"
    deadline = time.monotonic() + _SECONDS
    while True:
        found = _led_on(site, path)
        if found["step"] == "keep":
            break
        if found["status"] == "stuck":
            error = found["error"] or {}
            if len(stops) == _STOPS or not (error.get("code") and error.get("remedy")):
                return [f"it is stuck: {found}"]
            stops.append(f"stuck:{error['code']}")
            site.said.append(f"stuck: {error['message']}")
            site.patiently(lambda: site.api("ada").post(f"/v1/sagas/{saga_id}/retry"))
        if time.monotonic() > deadline:
            return [f"the upgrade comes to no end: {found}"]
        time.sleep(0.2)  # each look is a request
    counts = {kind: of["count"] for kind, of in found["equal"].items()}
    wrong = (
        []
        if counts == {"object": OBJECTS, "item": ITEMS, "secret": 0, "parameter": 0}
        else [f"it has copied {counts}"]
    )
    return wrong + _wrong_in_cloud(site, build_run(site, saga_id))


def build_run(site: Site, saga_id: str) -> str:
    """Return the run that built the new place."""
    (step,) = site.rows(
        "SELECT run_id FROM saga_step WHERE saga_id = %s AND name = 'build'", saga_id
    )
    return str(step["run_id"])


def _wrong_in_cloud(site: Site, run_id: str) -> list[str]:
    """Count what is in the new place by boto3."""
    (deployment,) = site.rows(
        "SELECT * FROM deployment WHERE id = %s", row_of(site, run_id)["deployment_id"]
    )
    out = deployment["outputs"]
    pages = site.client("s3").get_paginator("list_object_versions")
    keys = [
        each["Key"]
        for page in pages.paginate(Bucket=out["data_bucket"], Prefix=out["data_prefix"])
        for each in page.get("Versions", ())
    ]
    pages = site.client("dynamodb").get_paginator("scan")
    items = sum(page["Count"] for page in pages.paginate(TableName=out["table_name"]))
    if (len(set(keys)), items) == (OBJECTS, ITEMS):
        return []
    return [f"the new place has {len(set(keys))} objects and {items} items"]


def _fill(site: Site, out: dict[str, Any]) -> None:
    s3, dynamodb = site.client("s3"), site.client("dynamodb")
    for number in range(OBJECTS):
        key = f"{out['data_prefix']}reports/{number:03}.txt"
        s3.put_object(Bucket=out["data_bucket"], Key=key, Body=f"report {number}".encode())
    for number in range(ITEMS):
        item = {"pk": {"S": f"{out['leading_key']}#{number}"}, "sk": {"S": "x"}}
        dynamodb.put_item(TableName=out["table_name"], Item=item)


def _led_on(site: Site, path: str) -> dict[str, Any]:
    """Approve what waits in an upgrade; returns how far it is."""
    found: dict[str, Any] = site.patiently(lambda: site.api("ada").get(path))
    for each in found["steps"]:
        if each["run_id"] and each["outcome"] is None:
            run = row_of(site, each["run_id"])
            if run["status"] == RunStatus.AWAITING_APPROVAL:
                approve(site, run)
    return found
