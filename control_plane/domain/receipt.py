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


def sample_receipt(inputs: Mapping[str, Any], content_digest: str) -> dict[str, Any]:
    """Return a receipt as the apply of these inputs prints it, for trying things out.

    The ids that only an apply knows are made up: they end in zeros and a number.
    """
    made = {
        name: f"{beginning}00000000-0000-4000-8000-00000000000{number}"
        for number, (name, beginning) in enumerate(made_keys(inputs).items())
    }
    return {
        "schema_version": 1,
        "tenant": inputs["owner"]["tenant"],
        "environment": inputs["owner"]["environment"],
        "deployment": inputs["owner"]["deployment"],
        "account_id": inputs["account_id"],
        "region": inputs["region"],
        "module_set_version": "1.0.0",
        "content_digest": content_digest,
        "resources": {"vpc_id": "vpc-00000000000000000", **made, **fixed_resources(inputs)},
    }
