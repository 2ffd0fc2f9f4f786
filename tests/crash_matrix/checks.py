"""What must hold after a crash: the cloud, the state, the tables and the log say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from control_plane.adapters.audit.verify import verify
from control_plane.adapters.db.engine import connect
from control_plane.adapters.db.roles import AUDITOR, DATABASE
from control_plane.cli.inventory import TAG, tagged_resources
from tests.crash_matrix.site import Site
from tests.end_to_end.installation import REGION
from tests.end_to_end.production import AUDIT_HOST

_OUTCOMES: Final = frozenset(
    {"run.apply:completed", "run.apply:failed", "run.verified:completed", "run.verified:failed",
     "run.canceled:completed", "run.expired:completed", "run.errored:failed",
     "run.superseded:completed"}
)  # fmt: skip
# what a removal has to leave for a time, and says so
_REMAINING: Final = (
    "SELECT actual ->> 'arn' AS arn FROM finding"
    " WHERE deployment_id = %s AND kind = 'remaining' AND closed_at IS NULL"
)


def wrong_after(site: Site, run_id: str, foreign: str) -> Iterator[str]:
    """Look at everything that a run and its deployment have left."""
    (run,) = site.rows("SELECT * FROM run WHERE id = %s", run_id)
    (deployment,) = site.rows("SELECT * FROM deployment WHERE id = %s", run["deployment_id"])
    yield from _cloud(site, deployment)
    yield from _tables(site, deployment)
    yield from _log(site, run)
    if site.foreign_locks() != [foreign]:
        yield "a lock of somebody else was touched"


def _cloud(site: Site, deployment: dict[str, Any]) -> Iterator[str]:
    """Compare what carries the owner's tag in the cloud with what the states of the owner have."""
    if deployment["tenant_id"] is None:
        own = site.rows("SELECT * FROM deployment WHERE tenant_id IS NULL")
        slug = "platform"
    else:
        own = site.rows("SELECT * FROM deployment WHERE tenant_id = %s", deployment["tenant_id"])
        (tenant,) = site.rows("SELECT slug FROM tenant WHERE id = %s", deployment["tenant_id"])
        slug = tenant["slug"]
    resources = [each for one in own for each in site.state(one)]
    remaining = {row["arn"] for one in own for row in site.rows(_REMAINING, one["id"])}
    known = {
        str(value)
        for each in resources
        for value in (each.get("id"), *_names(each.get("outputs") or {}))
        if value
    }
    found = _tagged(site, slug)
    for name in found:
        if name not in known and _last(name) not in known and name not in remaining:
            yield f"in the cloud and in no state: {name}"
    there = {*found, *map(_last, found), *_parameter_groups(site)}
    for each in resources:
        outputs = each.get("outputs") or {}
        is_tagged = TAG in (outputs.get("tagsAll") or {})
        if is_tagged and not there & {str(each.get("id")), *_names(outputs)}:
            yield f"in the state and not in the cloud: {each['urn']}"
    ids = [(each["type"], each["id"]) for each in resources if each.get("id")]
    doubles = {str(one) for one in ids if ids.count(one) > 1}
    if doubles:
        yield f"twice in the state: {sorted(doubles)}"


def _tagged(site: Site, slug: str) -> list[str]:
    """Return what exists with the owner's tag.

    Without the snapshots that RDS takes by itself, which carry the tags of their database, and what
    of EC2 is gone, whose tags the emulated cloud keeps.
    """
    found = [
        each.removeprefix("ssm:")
        for each in tagged_resources(site.cloud, REGION, slug)
        if ":snapshot:rds:" not in each
    ]
    asked = {_last(each).partition("-")[0] for each in found} & _IN_EC2.keys()
    there = {str(id_) for prefix in asked for id_ in _ids_in_ec2(site, prefix)}
    return [each for each in found if _last(each).partition("-")[0] not in asked
            or _last(each) in there]  # fmt: skip


# by what their ids begin with: the question, the list in its answer, and the id in it
_IN_EC2: Final[Mapping[str, tuple[str, str, str]]] = {
    "fl": ("describe_flow_logs", "FlowLogs", "FlowLogId"),
    "rtb": ("describe_route_tables", "RouteTables", "RouteTableId"),
    "sg": ("describe_security_groups", "SecurityGroups", "GroupId"),
    "sgr": ("describe_security_group_rules", "SecurityGroupRules", "SecurityGroupRuleId"),
    "subnet": ("describe_subnets", "Subnets", "SubnetId"),
    "vpc": ("describe_vpcs", "Vpcs", "VpcId"),
    "vpce": ("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
}


def _ids_in_ec2(site: Site, prefix: str) -> Iterator[Any]:
    question, answers, name = _IN_EC2[prefix]
    for page in site.client("ec2").get_paginator(question).paginate():
        for each in page[answers]:
            if each.get("State") != "deleted":
                yield each[name]


def _parameter_groups(site: Site) -> list[str]:
    """Return what the tagging service of the emulated cloud does not know."""
    found = site.client("rds").describe_db_parameter_groups()["DBParameterGroups"]
    return [str(each["DBParameterGroupName"]) for each in found]


def _names(outputs: dict[str, Any]) -> list[str]:
    return [str(outputs[name]) for name in ("arn", "name", "bucket") if outputs.get(name)]


def _last(name: str) -> str:
    return name.rpartition("/" if "/" in name else ":")[2]


def _tables(site: Site, deployment: dict[str, Any]) -> Iterator[str]:
    of = deployment["id"]
    for row in site.rows(
        "SELECT id FROM engine_call WHERE deployment_id = %s AND outcome IS NULL", of
    ):
        yield f"an engine call has not ended: {row['id']}"
    for row in site.rows(
        "SELECT id, status FROM run WHERE deployment_id = %s AND (ended_at IS NULL OR is_working)",
        of,
    ):
        yield f"a run has not ended: {row['id']} is {row['status']}"
    if deployment["is_unsettled"]:
        yield "the stack is not settled"
    for row in site.rows(
        "SELECT t.kind FROM timer t JOIN run ON run.id = t.subject"
        " WHERE run.deployment_id = %s AND t.kind IN ('run_turn', 'run_watch')",
        of,
    ):
        yield f"a timer of a run that has ended is left: {row['kind']}"
    for row in site.rows(
        "SELECT f.subject FROM finding f WHERE f.deployment_id = %s AND f.closed_at IS NULL"
        " AND f.kind <> 'remaining'",
        of,
    ):
        yield f"the product itself finds a difference: {row['subject']}"


def _log(site: Site, run: dict[str, Any]) -> Iterator[str]:
    tenant = run["tenant_id"]
    path = f"/v1/tenants/{tenant}/audit/events" if tenant else "/v1/audit/platform/events"
    items = site.patiently(lambda: site.api("audrey").get(path, limit=500))["items"]
    calls = {
        row["id"]
        for row in site.rows(
            "SELECT id FROM engine_call WHERE deployment_id = %s", run["deployment_id"]
        )
    }
    runs = {
        row["id"]
        for row in site.rows("SELECT id FROM run WHERE deployment_id = %s", run["deployment_id"])
    }
    is_open = ""
    for item in items:
        body = item["body"]
        if body.get("run") not in runs:
            continue
        name = f"{body['action']}:{body['stage']}"
        if name == "run.apply:attempted":
            is_open = body["run"]
        elif name in _OUTCOMES and body["run"] == is_open:
            is_open = ""
        if body["action"] == "lock.broken" and body["data"]["call"] not in calls:
            yield f"a lock was broken that no call of the deployment took: {body['data']}"
    if is_open:
        yield f"no event says what became of the last attempt of {is_open}"


def wrong_with_the_log(site: Site) -> Iterator[str]:
    """Verify the whole audit log, as an auditor does."""
    engine = connect(site.server.url(AUDITOR, DATABASE), name="auditor", connections=1)
    try:
        report = verify(engine, host=AUDIT_HOST)
    finally:
        engine.dispose()
    if report.exit_code != 0:
        yield f"the audit log does not verify: {report.to_text()}"
