"""Whatever can be tagged says whose it is, and no tag changes from run to run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from policies.catalog import CATALOG
from policies.model import Finding, Parameters, Resource, Rule, undecided, violated


def check(resources: Sequence[Resource], parameters: Parameters) -> Iterator[Finding]:
    """Yield missing tags, tags with another value than the deployment's, and forbidden ones."""
    for resource in resources:
        facts = CATALOG.get(resource.kind)
        if facts is not None and facts.taggable:
            yield from _tags(resource, parameters)


def _tags(resource: Resource, parameters: Parameters) -> Iterator[Finding]:
    if resource.tags is None:
        yield undecided(resource, "tags", "Set the tags to literal values.")
        return
    missing = []
    for key in sorted({*parameters.required_tags, *parameters.tag_values}):
        wanted = parameters.tag_values.get(key)
        present = resource.tags.get(key)
        if f"tags.{key}" in resource.unknown:
            yield undecided(resource, f"tags.{key}", "Set the tag to a literal value.")
        elif not present:
            missing.append(key)
        elif wanted is not None and present != wanted:
            yield violated(
                resource,
                f"has another {key} than its deployment",
                f"Set the tag {key} to {wanted}.",
                f"tags.{key}",
            )
    if missing:
        names = ", ".join(missing)
        yield violated(
            resource,
            f"has no tag {names}",
            "Add it to the default tags of the provider or to the resource.",
            "tags",
        )
    for key in parameters.forbidden_tags:
        if key in resource.tags:
            yield violated(
                resource,
                f"has the tag {key}, which changes from run to run",
                "Remove it; the audit log links a resource to its run.",
                f"tags.{key}",
            )


RULE: Final = Rule(id="missing_tags", title="Every resource is tagged with its owner", check=check)
