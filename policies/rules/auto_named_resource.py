"""Every physical name is explicit: one that a tool invents is another one at the next preview."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from policies.catalog import CATALOG
from policies.model import UNKNOWN, Finding, Parameters, Resource, Rule, undecided, violated

_PREFIXES: Final = ("bucket_prefix", "identifier_prefix", "name_prefix")
_REMEDY: Final = "Set a name composed from the deployment's short name."


def check(resources: Sequence[Resource], parameters: Parameters) -> Iterator[Finding]:  # noqa: ARG001 - every rule takes both
    """Yield resources whose name is missing, made by a tool, or not known."""
    for resource in resources:
        facts = CATALOG.get(resource.kind)
        for path in facts.names if facts else ():
            value = resource.value(path)
            if value is UNKNOWN:
                yield undecided(resource, path, _REMEDY)
            elif not value:
                yield violated(
                    resource, f"has no {path}, so a tool would generate one", _REMEDY, path
                )
            elif resource.auto_named:
                yield violated(resource, f"has a {path} that a tool generated", _REMEDY, path)
        if facts and facts.names:
            yield from _prefixes(resource, facts.names[0])


def _prefixes(resource: Resource, name: str) -> Iterator[Finding]:
    """Yield prefixes of names. Terraform shows one that is left out as unknown beside a name."""
    is_named = isinstance(resource.value(name), str)
    for path in _PREFIXES:
        prefix = resource.value(path)
        if prefix and not (prefix is UNKNOWN and is_named):
            yield violated(
                resource, f"has a {path}, from which a tool generates the name", _REMEDY, path
            )


RULE: Final = Rule(id="auto_named_resource", title="Every physical name is explicit", check=check)
