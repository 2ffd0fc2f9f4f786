"""A policy document can be read in the plan, whole: who approves must see who gets which rights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from policies.documents import documents_of, statements
from policies.model import UNKNOWN, Finding, Parameters, Resource, Rule, violated


def check(resources: Sequence[Resource], parameters: Parameters) -> Iterator[Finding]:  # noqa: ARG001 - every rule takes both
    """Yield policy documents that are not known or cannot be read."""
    for resource in resources:
        for path, document in documents_of(resource):
            if document is UNKNOWN:
                yield violated(
                    resource,
                    f"has a {path} that is not known before the apply",
                    "Compose ARNs from names, account and region, not from outputs of resources.",
                    path,
                )
                continue
            try:
                statements(document)
            except ValueError:
                yield violated(
                    resource,
                    f"has a {path} that is not a policy document",
                    "Set it to a JSON object with Version and Statement.",
                    path,
                )


RULE: Final = Rule(
    id="unknown_policy_document", title="Policy documents can be read in the plan", check=check
)
