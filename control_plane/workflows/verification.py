"""The named checks after an apply; each has a test in which it fails.

The engine's own checks (``outputs_present``, ``answers_in_cloud``, ``plans_only_same``) come with
its result; here are those that need the rules, the other tenants and the audit log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.ports import EngineResult
from control_plane.workflows.core import Core
from control_plane.workflows.preparing import policy_scope

ENGINE_CHECKS = ("outputs_present", "answers_in_cloud", "plans_only_same")


def checks_after(core: Core, deployment: Deployment, result: EngineResult) -> list[dict[str, Any]]:
    """Return {name, ok, detail} of every check of the deployment's kind."""
    by_engine = {check["name"]: check for check in result.checks}
    checks = [
        dict(by_engine.get(name, _check(name, "the engine did not make this check")))
        for name in ENGINE_CHECKS
    ]
    with core.uow() as uow:
        where = policy_scope(uow, deployment)
    judged = core.policies.judge_state(result.resources, where)
    bad = [v for v in judged["violations"] if v["enforcement"] == "mandatory"]
    checks.append(
        _check("policies_hold", "; ".join(f"{v['rule']}: {v['address']}" for v in bad[:5]))
    )
    if deployment.kind is DeploymentKind.SLICE:
        checks.append(_check("isolation", "; ".join(leaks(deployment, result.resources))))
    tree = deployment.tenant_id
    checks.append(_check("audit_log_verifies", core.trail.first_fault(tree)))
    return checks


def _check(name: str, fault: str) -> dict[str, Any]:
    return {"name": name, "ok": not fault, "detail": fault}


def leaks(deployment: Deployment, resources: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the statements of a slice's roles that reach beyond the slice.

    A statement that allows something must name a resource that carries the slice's short name or
    one of its own key's ARNs, or bind a condition on it. A slice without a role fails: there would
    be nothing to check.
    """
    short = str(deployment.spec["owner"]["short"])
    own = {short, *_own_keys(resources)}
    faults: list[str] = []
    roles = 0
    for resource in resources:
        if resource["type"] != "aws:iam/rolePolicy:RolePolicy":
            continue
        roles += 1
        faults.extend(
            f"{resource['name']}: {statement.get('Sid', 'a statement')}"
            for statement in _statements(resource)
            if statement.get("Effect") == "Allow" and not _is_confined(statement, own)
        )
    return faults if roles else ["the slice has no role policy"]


def _own_keys(resources: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for resource in resources:
        if resource["type"] == "aws:kms/key:Key":
            for name in ("arn", "keyId"):
                value = resource.get("outputs", {}).get(name)
                if isinstance(value, str) and value:
                    yield value


def _statements(resource: Mapping[str, Any]) -> list[dict[str, Any]]:
    document = resource["inputs"].get("policy")
    if not isinstance(document, str):
        return [{"Effect": "Allow", "Sid": "unknown policy document", "Resource": "*"}]
    found = json.loads(document)["Statement"]
    return list(found) if isinstance(found, list) else [found]


def _is_confined(statement: Mapping[str, Any], own: set[str]) -> bool:
    named = statement.get("Resource", "*")
    texts = named if isinstance(named, list) else [named]
    if all(any(mark in str(text) for mark in own) for text in texts):
        return True
    condition = json.dumps(statement.get("Condition", {}))
    return any(mark in condition for mark in own)
