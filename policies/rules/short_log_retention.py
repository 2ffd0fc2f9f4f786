"""Logs are kept for long enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from policies.model import UNKNOWN, Finding, Parameters, Resource, Rule, undecided, violated

_PATH: Final = "retention_in_days"


def check(resources: Sequence[Resource], parameters: Parameters) -> Iterator[Finding]:
    """Yield log groups that forget too early; without a retention they never forget."""
    least = parameters.log_retention_days_min
    for resource in resources:
        if resource.kind != "aws_cloudwatch_log_group":
            continue
        value = resource.value(_PATH)
        if value is UNKNOWN:
            yield undecided(resource, _PATH, "Use a literal number.")
        elif isinstance(value, int | float) and 0 < value < least:
            yield violated(
                resource, f"keeps its lines for {value:g} days", f"Keep them for {least}.", _PATH
            )


RULE: Final = Rule(id="short_log_retention", title="Logs are kept long enough", check=check)
