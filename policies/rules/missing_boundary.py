"""Every role has a permissions boundary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from policies.model import UNKNOWN, Finding, Parameters, Resource, Rule, undecided, violated

_PATH: Final = "permissions_boundary"
_REMEDY: Final = "Set permissions_boundary to the ARN of the deployment's boundary policy."


def check(resources: Sequence[Resource], parameters: Parameters) -> Iterator[Finding]:  # noqa: ARG001 - every rule takes both
    """Yield roles without a boundary, or with one that is not known."""
    for resource in resources:
        if resource.kind != "aws_iam_role":
            continue
        value = resource.value(_PATH)
        if value is UNKNOWN:
            yield undecided(resource, _PATH, "Compose the ARN from account and name.")
        elif not value:
            yield violated(resource, "has no permissions boundary", _REMEDY, _PATH)


RULE: Final = Rule(id="missing_boundary", title="Every role has a boundary", check=check)
