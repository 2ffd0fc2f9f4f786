"""Receipts as the apply of a bundle prints them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.domain.bundle import Bundle
from control_plane.domain.receipt import fixed_resources, made_keys


def receipt_of(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    """Return the receipt of a bundle's apply; ``changes`` replace its fields."""
    return {**receipt_of_inputs(bundle.inputs, str(bundle.content_digest)), **changes}


def receipt_of_inputs(inputs: Mapping[str, Any], content_digest: str) -> dict[str, Any]:
    """Return the receipt of the apply of these variables."""
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
        "resources": {"vpc_id": "vpc-0123456789abcdef0", **made, **fixed_resources(inputs)},
    }
