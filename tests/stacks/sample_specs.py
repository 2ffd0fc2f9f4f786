"""Specs of a shared Hub, of slices of it and of a dedicated Hub."""

from __future__ import annotations

from typing import Any

ACCOUNT = "123456789012"
DEDICATED = "dep_01J0000000000000000000000B"
REGION = "eu-west-1"
RETENTION = {"log_days": 365, "noncurrent_days": 90, "key_deletion_days": 30}


def owner(
    tenant: str, short: str, *, mode: str, deployment: str = "dep_01J0000000000000000000000A"
) -> dict[str, Any]:
    """Return whose resources they are."""
    return {
        "tenant": tenant,
        "mode": mode,
        "environment": "production",
        "deployment": deployment,
        "short": short,
    }


def hub(**changes: Any) -> dict[str, Any]:
    """Return the spec of a shared Hub."""
    return {
        "schema_version": 1,
        "owner": owner("platform", "hub-a-k3m9x2", mode="A"),
        "region": REGION,
        "account_id": ACCOUNT,
        "cell": "a",
        "network": {
            "cidr": "10.64.0.0/16",
            "zones": [f"{REGION}a", f"{REGION}b"],
            "client_cidrs": ["10.20.0.0/16"],
        },
        "retention": RETENTION,
    } | changes


def hub_outputs(**changes: Any) -> dict[str, Any]:
    """Return what such a Hub says of itself once it exists."""
    short = "hub-a-k3m9x2"
    return {
        "vpc_id": "vpc-0123456789abcdef0",
        "private_subnet_ids": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        "app_security_group_id": "sg-0123456789abcdef0",
        "data_bucket": f"{short}-data-{ACCOUNT}",
        "data_bucket_arn": f"arn:aws:s3:::{short}-data-{ACCOUNT}",
        "table_name": f"{short}-hub",
        "table_arn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{short}-hub",
        "data_key_arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000001",
        "logs_key_arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000002",
        "boundary_arn": f"arn:aws:iam::{ACCOUNT}:policy/{short}-boundary",
        "log_group_prefix": f"/tenantplane/{short}",
    } | changes


def slice_of(outputs: dict[str, Any], tenant: str, short: str) -> dict[str, Any]:
    """Return the spec of the slice of ``tenant`` in the Hub with these outputs."""
    return {
        "schema_version": 1,
        "owner": owner(tenant, short, mode="A", deployment=f"dep_{short}"),
        "region": REGION,
        "account_id": ACCOUNT,
        "hub": outputs | {"hub_id": "hub_01J0000000000000000000000A"},
        "retention": RETENTION,
    }


def dedicated(**changes: Any) -> dict[str, Any]:
    """Return the spec of a dedicated Hub."""
    return {
        "schema_version": 1,
        "owner": owner("dainese", "dainese-q7w2e4", mode="B", deployment=DEDICATED),
        "region": REGION,
        "account_id": ACCOUNT,
        "network": {
            "cidr": "10.80.0.0/16",
            "zones": [f"{REGION}a", f"{REGION}b", f"{REGION}c"],
            "client_cidrs": ["10.20.0.0/16"],
        },
        "database": {
            "engine_version": "16.4",
            "instance_class": "db.t4g.medium",
            "storage_gb": 50,
            "multi_az": True,
            "backup_days": 14,
        },
        "retention": RETENTION,
    } | changes


PROGRAMS: dict[str, dict[str, Any]] = {
    "mode_a.hub": hub(),
    "mode_a.slice": slice_of(hub_outputs(), "acme", "acme-a1b2c3"),
    "mode_b": dedicated(),
}
