"""What holds data cannot be deleted by one wrong step.

With Pulumi the resource is protected. Terraform's ``prevent_destroy`` is in no plan, so there the
guard of the type itself counts, where AWS has one; with Pulumi it counts as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from policies.model import UNKNOWN, Finding, Parameters, Resource, Rule, undecided, violated

_GUARDS: Final = {
    "aws_db_instance": "deletion_protection",
    "aws_dynamodb_table": "deletion_protection_enabled",
}
# Values that take away the time or the care that AWS itself gives: they delete data at once.
_DISARMED: Final[dict[str, tuple[str, object]]] = {
    "aws_s3_bucket": ("force_destroy", True),
    "aws_secretsmanager_secret": ("recovery_window_in_days", 0),
}


def check(resources: Sequence[Resource], parameters: Parameters) -> Iterator[Finding]:
    """Yield stateful resources without protection, or with their own guard off."""
    for resource in resources:
        if resource.kind not in parameters.stateful_types:
            continue
        if resource.protected is False:
            yield violated(resource, "holds data and is not protected", "Protect it.")
        yield from _guard(resource)
        yield from _disarmed(resource)


def _guard(resource: Resource) -> Iterator[Finding]:
    path = _GUARDS.get(resource.kind)
    if path is None:
        return
    value = resource.value(path)
    if value is UNKNOWN:
        yield undecided(resource, path, "Set it to true in plain text.")
    elif value is not True:
        yield violated(resource, f"does not set {path}", f"Set {path} to true.", path)


def _disarmed(resource: Resource) -> Iterator[Finding]:
    if resource.kind not in _DISARMED:
        return
    path, wrong = _DISARMED[resource.kind]
    value = resource.value(path)
    if value is UNKNOWN:
        yield undecided(resource, path, "Set it in plain text.")
    elif value is not None and value == wrong and isinstance(value, bool) == (wrong is True):
        yield violated(
            resource,
            f"would lose its data at once when it is deleted ({path})",
            "Leave it out.",
            path,
        )


RULE: Final = Rule(
    id="unprotected_stateful", title="What holds data is protected from deletion", check=check
)
