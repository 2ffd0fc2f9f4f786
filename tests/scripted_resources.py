"""What the scripted engine makes of a spec: a few resources of real types, from plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from control_plane.domain.canonical import digest
from control_plane.domain.engine import Remaining, protected_name
from control_plane.ports import Json
from control_plane.ports.engine import EngineCall

REPLACING: Final = frozenset({"name"})  # inputs that no resource changes in place
SECRET: Final = "aws:secretsmanager/secret:Secret"
UNTIL: Final = "2027-01-31T00:00:00Z"
_KEPT: Final[Mapping[str, tuple[str, str]]] = {
    "aws:kms/key:Key": ("kms:key", "The key waits for its deletion."),
    SECRET: ("secretsmanager:secret", "The secret can be restored until then."),
}
_STATEFUL: Final = frozenset({"aws:kms/key:Key"})
_HUB_OUTPUTS: Final = (
    "vpc_id", "app_security_group_id", "data_bucket", "data_bucket_arn", "table_name",
    "table_arn", "data_key_arn", "logs_key_arn", "boundary_arn", "log_group_prefix",
)  # fmt: skip


def resources_of(call: EngineCall) -> list[dict[str, Any]]:
    """Return the resources that a call's spec asks for, in the order in which they are created.

    A key, a role with its policy, and one parameter per part of the spec, so that every change of
    a spec changes a resource. Each is {urn, type, name, inputs, protect}.
    """
    owner = dict(call.spec.get("owner") or {})
    short = str(owner.get("short", call.stack.replace(".", "-")))
    tags = {
        f"tenantplane:{name}": str(owner.get(name, "memory"))
        for name in ("tenant", "mode", "environment", "deployment")
    } | {"tenantplane:data-class": "internal", "tenantplane:managed-by": "tenantplane"}
    key = f"arn:aws:kms:{call.region}:{call.account_id}:key/{short}"
    found = [
        resource(
            call, "aws:kms/key:Key", "data",
            {"enableKeyRotation": True, "policy": _policy("kms:*", key), "tags": tags},
        ),
        resource(
            call, "aws:iam/role:Role", "app",
            {
                "name": f"{short}-app", "tags": tags, "assumeRolePolicy": _trust(),
                "permissionsBoundary": f"arn:aws:iam::{call.account_id}:policy/{short}-boundary",
            },
        ),
        resource(
            call, "aws:iam/rolePolicy:RolePolicy", "app",
            {
                "name": f"{short}-app", "role": f"{short}-app",
                "policy": _policy("s3:GetObject", f"arn:aws:s3:::data/tenants/{short}/*"),
            },
        ),
    ]  # fmt: skip
    for part, value in sorted(call.spec.items()):
        if part == "unprotect":  # it changes options alone
            continue
        inputs = {
            "name": f"/tenantplane/{short}/{part}",
            "type": "String",
            "value": digest(value),
            "tags": tags,
        }
        found.append(resource(call, "aws:ssm/parameter:Parameter", part, inputs))
    return found


def outputs_of(call: EngineCall) -> dict[str, Any]:
    """Return what the program of a call exports."""
    if call.program == "mode_a.hub":
        named: dict[str, Any] = {name: f"{call.stack}-{name}" for name in _HUB_OUTPUTS}
        zones = call.spec["network"]["zones"]
        subnets = [f"{call.stack}-subnet-{number}" for number, _ in enumerate(zones)]
        return named | {"private_subnet_ids": subnets}
    return {"region": call.region, "app_role_arn": f"arn:aws:iam::{call.account_id}:role/app"}


def resource(
    call: EngineCall, kind: str, name: str, inputs: Mapping[str, Any], *, protect: bool = False
) -> dict[str, Any]:
    """Return what a program of a call asks for."""
    is_kept = protected_name(kind, name) not in call.spec.get("unprotect", ())
    return {
        "urn": f"urn:pulumi:{call.stack}::tenantplane::{kind}::{name}",
        "type": kind,
        "name": name,
        "inputs": dict(inputs),
        "protect": is_kept and (protect or kind in _STATEFUL),
    }


def made(item: Json) -> dict[str, Any]:
    """Return a resource as the state holds it once the cloud has made it."""
    urn = str(item["urn"])
    outputs = dict(item["inputs"]) | {"id": digest(urn)[7:27], "arn": f"arn:memory:{urn}"}
    return {**item, "outputs": outputs}


def kept_after(item: Json) -> Remaining | None:
    """Return what AWS keeps for a time of a resource that is deleted."""
    found = _KEPT.get(str(item["type"]))
    if found is None:
        return None
    kind, why = found
    outputs: dict[str, Any] = item["outputs"]
    return Remaining(kind=kind, id=outputs["id"], arn=outputs["arn"], until=UNTIL, why=why)


def _policy(action: str, arn: str) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": arn}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, sort_keys=True)


def _trust() -> str:
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, sort_keys=True)
