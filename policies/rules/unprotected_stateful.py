"""What holds data cannot be deleted by one wrong step.

With Pulumi the resource is protected. Terraform's ``prevent_destroy`` is in no plan, so there the
guard of the type itself counts, where AWS has one; with Pulumi it counts as well. What is to be
removed next loses its protection first, by name: it is approved as a change of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from policies.catalog import CATALOG
from policies.model import UNKNOWN, Finding, Parameters, Resource, Rule, undecided, violated
from policies.resource_type import protected_name


def check(resources: Sequence[Resource], parameters: Parameters) -> Iterator[Finding]:
    """Yield stateful resources without protection, or with their own guard off."""
    for resource in resources:
        facts = CATALOG.get(resource.kind)
        if facts is None or not facts.must_be_protected:
            continue
        if protected_name(facts.token, resource.name) in parameters.unprotected:
            continue
        if resource.protected is False:
            yield violated(resource, "holds data and is not protected", "Protect it.")
        if facts.guard:
            yield from _guard(resource, facts.guard)
        if facts.disarmed:
            yield from _disarmed(resource, *facts.disarmed)


def _guard(resource: Resource, path: str) -> Iterator[Finding]:
    value = resource.value(path)
    if value is UNKNOWN:
        yield undecided(resource, path, "Set it to the literal value true.")
    elif value is not True:
        yield violated(resource, f"does not set {path}", f"Set {path} to true.", path)


def _disarmed(resource: Resource, path: str, wrong: object) -> Iterator[Finding]:
    """Yield a value that takes away the time or the care that AWS itself gives."""
    value = resource.value(path)
    if value is UNKNOWN:
        yield undecided(resource, path, "Set it to a literal value.")
    elif value is not None and value == wrong and isinstance(value, bool) == (wrong is True):
        yield violated(
            resource,
            f"would lose its data immediately when it is deleted ({path})",
            "Remove it.",
            path,
        )


RULE: Final = Rule(
    id="unprotected_stateful", title="What holds data is protected from deletion", check=check
)
