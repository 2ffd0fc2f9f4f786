"""Inputs as they will be once everything they wait for exists.

The provider skips what it cannot judge while a value next to it is unknown, so each resource is
judged twice: as it is in the first plan, and with values made up for what is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacks.contract import UNKNOWN
from tests.stacks.sample_specs import ACCOUNT, REGION

_KEY_ID = "00000000-0000-4000-8000-000000000001"
_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{_KEY_ID}"

_MADE_UP: Mapping[str, str] = {
    "bucket": "some-bucket-123456789012",
    "iamRoleArn": f"arn:aws:iam::{ACCOUNT}:role/some-role",
    "insecureValue": "some-value",
    "kmsKeyArn": _KEY,
    "kmsKeyId": _KEY,
    "kmsMasterKeyId": _KEY,
    "logDestination": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/tenantplane/some/flow",
    "masterUserSecretKmsKeyId": _KEY,
    "prefixListId": "pl-0123456789abcdef0",
    "referencedSecurityGroupId": "sg-0123456789abcdef1",
    "routeTableId": "rtb-0123456789abcdef0",
    "routeTableIds": "rtb-0123456789abcdef0",
    "securityGroupId": "sg-0123456789abcdef0",
    "securityGroupIds": "sg-0123456789abcdef0",
    "subnetId": "subnet-0123456789abcdef0",
    "subnetIds": "subnet-0123456789abcdef0",
    "targetKeyId": _KEY_ID,
    "vpcId": "vpc-0123456789abcdef0",
    "vpcSecurityGroupIds": "sg-0123456789abcdef0",
}


def settled(value: Any, field: str = "") -> Any:
    """Return ``value`` with something of the right form for all that is unknown in it.

    Raises ``KeyError`` for an unknown value in a field that has no such form here.
    """
    if value == UNKNOWN:
        return _MADE_UP[field]
    if isinstance(value, Mapping):
        return {key: settled(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [settled(inner, field) for inner in value]
    return value
