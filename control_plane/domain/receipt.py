"""What a receipt of a Mode C apply must say: the names that the bundle itself fixes.

They are those of ``stacks/mode_c_modules/locals.tf``; a test compares them with a real plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_KEYS: Final = ("data_key_arn", "logs_key_arn", "secrets_key_arn")


def fixed_resources(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return what ``resources`` of a receipt must be, as far as a bundle's inputs fix it.

    The VPC and the keys are fixed when the customer brings them; those that the apply makes get
    ids that nobody knows before.
    """
    short, account = inputs["owner"]["short"], inputs["account_id"]
    found = {
        "app_role_arn": f"arn:aws:iam::{account}:role/{short}-app",
        "data_bucket": f"{short}-data-{account}",
        "database_id": f"{short}-db",
        "log_bucket": f"{short}-logs-{account}",
        "table_name": f"{short}-hub",
    }
    if inputs["network"]["mode"] == "existing":
        found["vpc_id"] = inputs["network"]["vpc_id"]
    if inputs["keys"]["mode"] == "existing":
        found |= {name: inputs["keys"][name] for name in _KEYS}
    return found


def made_keys(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return how the ARN of each key that the apply makes begins, by its name in a receipt."""
    if inputs["keys"]["mode"] == "existing":
        return {}
    return dict.fromkeys(_KEYS, f"arn:aws:kms:{inputs['region']}:{inputs['account_id']}:key/")
