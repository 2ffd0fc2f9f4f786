"""Only types that the rules know are used: a type that nobody reviewed is not considered
harmless."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from policies.catalog import CATALOG
from policies.model import Finding, Parameters, Resource, Rule, violated


def check(resources: Sequence[Resource], parameters: Parameters) -> Iterator[Finding]:  # noqa: ARG001 - every rule takes both
    """Yield resources of types that are not in the catalog."""
    for resource in resources:
        if resource.kind not in CATALOG:
            yield violated(
                resource,
                f"has the type {resource.kind}, which is unknown to the rules",
                "Add the type to policies/catalog.py, and check what each rule says about it.",
            )


RULE: Final = Rule(id="unknown_resource_type", title="Only known types are used", check=check)
