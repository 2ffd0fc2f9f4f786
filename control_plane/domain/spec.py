"""Specs: what a deployment should be, as plain JSON, from one place for all three modes.

Mode B's spec and Mode C's variables are made from the same ``Sizing``, so that both build the same
Hub. A spec holds references to secrets, never values, and nothing that changes from run to run.
The schemas are those under ``stacks/schemas``; ``ports.Specs`` validates against them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from control_plane.domain.deployment import PLATFORM, Deployment, DeploymentKind
from control_plane.domain.environment import LEAST_ZONES, Environment
from control_plane.domain.sizing import Sizing, sizing_for
from control_plane.domain.slug import short_name

PROGRAMS: Final[Mapping[DeploymentKind, str]] = {
    DeploymentKind.HUB: "mode_a.hub",
    DeploymentKind.SLICE: "mode_a.slice",
    DeploymentKind.DEDICATED: "mode_b",
}
MODES: Final[Mapping[DeploymentKind, str]] = {
    DeploymentKind.HUB: "A",
    DeploymentKind.SLICE: "A",
    DeploymentKind.DEDICATED: "B",
    DeploymentKind.CUSTOMER_RUN: "C",
}
HUB_CIDR: Final = "10.64.0.0/16"
DEDICATED_CIDR: Final = "10.80.0.0/16"
SPEC_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One value in which two specs differ; None where one does not have it."""

    path: str  # network.client_cidrs
    before: Any
    after: Any


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return in what two specs differ, by path; a list is one value."""
    found: list[Difference] = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            deeper = differences(old, new)
            found += (replace(each, path=f"{name}.{each.path}") for each in deeper)
        elif old != new:
            found.append(Difference(path=name, before=old, after=new))
    return tuple(found)


def _owner(deployment: Deployment, tenant_slug: str) -> dict[str, Any]:
    return {
        "tenant": tenant_slug,
        "mode": MODES[deployment.kind],
        "environment": deployment.environment,
        "deployment": deployment.id,
        "short": short_name(tenant_slug, deployment.id),
    }


def _retention(sizing: Sizing) -> dict[str, int]:
    return {
        "log_days": sizing.log_days,
        "noncurrent_days": sizing.noncurrent_days,
        "key_deletion_days": sizing.key_deletion_days,
    }


def _chosen(environment: Environment) -> dict[str, str]:
    """Return the version of a Hub as its spec names it, where one was chosen."""
    return {"version": environment.version} if environment.version is not None else {}


def _zones(zones: Sequence[str], environment: Environment) -> list[str]:
    return list(zones[: environment.zones or LEAST_ZONES])


def hub_spec(deployment: Deployment, *, cell: str, zones: Sequence[str]) -> dict[str, Any]:
    """Return the spec of a shared Hub; ``zones`` are the availability zones of its region."""
    environment = Environment.from_document(deployment.chosen)
    return {
        **_chosen(environment),
        "schema_version": SPEC_VERSION,
        "owner": _owner(deployment, PLATFORM) | {"short": short_name(f"hub-{cell}", deployment.id)},
        "region": deployment.region,
        "account_id": deployment.account_id,
        "cell": cell,
        "network": {
            "cidr": HUB_CIDR,
            "zones": _zones(zones, environment),
            "client_cidrs": [],
        },
        "retention": _retention(Sizing()),
    }


def slice_spec(
    deployment: Deployment, *, tenant_slug: str, hub_outputs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the spec of a Mode A slice; the outputs of its Hub are pinned in it."""
    transfer = {"transfer": dict(deployment.transfer)} if deployment.transfer else {}
    return {
        "schema_version": SPEC_VERSION,
        "owner": _owner(deployment, tenant_slug),
        "region": deployment.region,
        "account_id": deployment.account_id,
        "hub": {**hub_outputs, "hub_id": deployment.hub_id},
        "retention": _retention(Sizing()),
        **transfer,
    }


def dedicated_spec(
    deployment: Deployment,
    *,
    tenant_slug: str,
    sizing: Sizing,
    client_cidrs: Sequence[str],
    zones: Sequence[str],
) -> dict[str, Any]:
    """Return the spec of a Mode B dedicated Hub; ``zones`` are those of its region."""
    inherited = {"inherited": dict(deployment.inherited)} if deployment.inherited else {}
    transfer = {"transfer": dict(deployment.transfer)} if deployment.transfer else {}
    environment = Environment.from_document(deployment.chosen)
    return {
        **_chosen(environment),
        "schema_version": SPEC_VERSION,
        "owner": _owner(deployment, tenant_slug),
        "region": deployment.region,
        "account_id": deployment.account_id,
        "network": {
            "cidr": DEDICATED_CIDR,
            "zones": _zones(zones, environment),
            "client_cidrs": list(client_cidrs),
        },
        "database": {
            "engine_version": sizing.engine_version,
            "instance_class": sizing.instance_class,
            "storage_gb": sizing.storage_gb,
            "multi_az": sizing.multi_az,
            "backup_days": sizing.backup_days,
        },
        "retention": _retention(sizing),
        **inherited,
        **transfer,
    }


def bundle_variables(
    deployment: Deployment,
    *,
    tenant_slug: str,
    facts: Mapping[str, Any],
    zones: Sequence[str],
) -> dict[str, Any]:
    """Return the Terraform variables of Mode C, made of the same sizes as Mode B's spec.

    ``account_id`` is the customer's and empty until an architect fills it in.
    """
    spec = dedicated_spec(
        deployment,
        tenant_slug=tenant_slug,
        sizing=sizing_for(facts.get("seats")),
        client_cidrs=facts.get("ip_allow_list") or (),
        zones=zones,
    )
    owner = {name: spec["owner"][name] for name in ("tenant", "environment", "deployment", "short")}
    return {
        "schema_version": SPEC_VERSION,
        "owner": {**owner, "install_id": deployment.id[-6:].lower()},
        "account_id": "",
        "region": deployment.region,
        "network": {"mode": "create", **spec["network"]},
        "keys": {"mode": "create"},
        "permissions_boundary": {"mode": "create"},
        "database": spec["database"],
        "retention": spec["retention"],
        "uninstall": False,
    }
