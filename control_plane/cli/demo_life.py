"""What the demo shows after the births: a change, something done behind the product's back, and a
removal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from control_plane.cli import output
from control_plane.cli.client import ENDED
from control_plane.cli.inventory import session_of, tagged_resources
from control_plane.cli.plans import show_plan
from control_plane.cli.telling import say

if TYPE_CHECKING:
    from control_plane.cli.demo import Demo

SEATS: Final = 1500  # more than the smallest database is for
# what the plan of that change holds, and nothing else
_GROWS: Final = {
    "aws:rds/instance:Instance": {"instanceClass", "allocatedStorage"},
    "aws:cloudwatch/metricAlarm:MetricAlarm": {"threshold"},
}
_OPENED: Final = {
    "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
}  # fmt: skip


def change(demo: Demo, tenant: Mapping[str, Any]) -> None:
    """Let a tenant grow: the plan holds exactly what more seats need."""
    path = f"/v1/tenants/{tenant['id']}/changes"
    found = demo.api["admin"].post(path, {"facts": {"seats": SEATS}, "reason": "a bigger team"})
    for each in found["spec"]:
        say(f"  {each['path']}: {each['before']} -> {each['after']}")
    run_id, ops = found["run_id"], demo.api["ops"]
    demo.until(lambda: ops.get(f"/v1/runs/{run_id}"), {"awaiting_approval", *ENDED})
    plan = ops.get(f"/v1/runs/{run_id}/plan")
    show_plan(plan)
    demo.approve(run_id, shown=False)
    touched = {o["type"]: set(o["diffs"]) for o in plan["operations"] if o["op"] != "same"}
    if touched != _GROWS:
        demo.fault(f"the plan of the change holds {touched}")


def drift(demo: Demo, tenant: Mapping[str, Any], *, endpoint: str, region: str) -> None:
    """Open a group to the world with boto3, and let a look find it; then close it again."""
    ec2 = session_of(endpoint, region).client("ec2", endpoint_url=endpoint)
    owned = [{"Name": "tag:tenantplane:tenant", "Values": [tenant["slug"]]}]
    group = ec2.describe_security_groups(Filters=owned)["SecurityGroups"][0]["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[_OPENED])
    say(f"  somebody opens port 22 of {group} to the world, with boto3")
    found = _look(demo, tenant)
    for finding in found:
        says = finding["expected"] if finding["actual"] is None else finding["actual"]
        say(f"  found  {finding['kind']}  {finding['subject']}  {output.text(says)}")
    if [f["kind"] for f in found] != ["foreign"]:
        demo.fault(f"the look found {found}")
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[_OPENED])
    left = _look(demo, tenant)
    say(f"  they close it, and the next look finds {len(left) or 'nothing'}")
    if left or demo.api["ops"].get(f"/v1/tenants/{tenant['id']}")["drifted"]:
        demo.fault(f"the look still found {left}")


def remove(demo: Demo, tenant: Mapping[str, Any], *, endpoint: str, region: str) -> None:
    """Remove a tenant, approved by two people; boto3 finds nothing but what must remain."""
    ada, path = demo.api["admin"], f"/v1/tenants/{tenant['id']}/removal"
    would = ada.post(path, {"reason": "the contract ended"}, dry_run="true")
    say(f"  a dry run: {would['summary']}")
    ada.post(path, {"reason": "the contract ended", "unprotect": would["unprotect"]})
    followed: set[str] = set()

    def look() -> dict[str, Any]:
        found: dict[str, Any] = ada.get(path)
        for step in found["steps"]:
            if step["run_id"] and step["outcome"] is None and step["run_id"] not in followed:
                followed.add(step["run_id"])
                say(f"  {step['name']}: {step['says']}")
                demo.approve(step["run_id"], shown=False)
        if found["step"] == "export" and found["status"] == "waiting":
            ada.post(f"{path}/export-waiver", {"reason": "the demo keeps nothing"})
            say("  ada waives the export of the data that the slice holds")
        return found if found["step"] != "remaining" else found | {"status": "done"}

    found = demo.until(look, {"done", "stuck", "undone"})
    if found["status"] != "done":
        demo.fault(f"the removal is {found['status']}: {found['error']}")
    for each in found["remaining"]:
        say(f"  remains until {each['until']}  {each['what']}")
    left = set(tagged_resources(endpoint, region, tenant["slug"]))
    left -= {each["arn"] for each in found["remaining"]}
    say(f"  boto3 finds {len(left) or 'nothing'} of {tenant['slug']} beside that")
    if left:
        demo.fault(f"the removal has left {sorted(left)}")


def _look(demo: Demo, tenant: Mapping[str, Any]) -> list[dict[str, Any]]:
    path = f"/v1/tenants/{tenant['id']}"
    run_id = demo.api["ops"].post(f"{path}/drift-checks")["id"]
    demo.until(lambda: demo.api["ops"].get(f"/v1/runs/{run_id}"), set(ENDED))
    found: list[dict[str, Any]] = demo.api["ops"].get(f"{path}/findings")["items"]
    return found
