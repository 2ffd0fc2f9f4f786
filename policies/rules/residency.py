"""Everything stays in the regions that the tenant's residency allows.

The region of a resource is that of its provider; besides, every region that an input names counts:
availability zones, replicas, endpoint services, hosts of AWS and ARNs, in policy documents too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from policies.catalog import CATALOG
from policies.model import Block, Finding, Parameters, Resource, Rule, undecided, violated

_REGION: Final = r"(?:af|ap|ca|cn|eu|eusc|il|me|mx|sa|us)(?:-[a-z]+)+-\d"
_NAMED: Final = (
    re.compile(rf"({_REGION})(?:(?:-[a-z]+-\d)?[a-z])?\Z"),  # a region or an availability zone
    re.compile(rf"arn:aws[a-z-]*:[a-z0-9-]+:({_REGION}):"),
    re.compile(rf"(?<![a-z0-9])com\.amazonaws\.(?:vpce\.)?({_REGION})\."),
    re.compile(rf"(?<![a-z0-9])({_REGION})\.(?:[a-z0-9-]+\.)*amazonaws\.com"),
)
# Words for people, and tags, may name any place.
_FREE_TEXT: Final = frozenset({"description", "tags", "tags_all", "alarm_description"})
_PLACES: Final = ("availability_zone", "availability_zones", "region", "replica.region_name")
_ZONE_ID: Final = "availability_zone_id"
_INDEX: Final = re.compile(r"\.\d+\b")
_REMEDY: Final = "Use a region allowed by the tenant's residency."


def check(resources: Sequence[Resource], parameters: Parameters) -> Iterator[Finding]:
    """Yield every place outside the allowed regions, and every place that is not known."""
    allowed = ", ".join(parameters.allowed_regions)
    for resource in resources:
        facts = CATALOG.get(resource.kind)
        if facts is None or facts.regional:
            if resource.region is None:
                yield undecided(resource, "region", "Set the provider's region to a literal value.")
            elif resource.region not in parameters.allowed_regions:
                yield violated(
                    resource,
                    f"is created in {resource.region}, but its data may be stored only in "
                    f"{allowed}",
                    _REMEDY,
                    "region",
                )
        for path in sorted(resource.unknown):
            if _INDEX.sub("", path) in _PLACES:
                yield undecided(resource, path, "Set the place to a literal value.")
        if resource.value(_ZONE_ID) and not resource.value("availability_zone"):
            # which region an id such as euw1-az1 is in, only AWS knows
            yield undecided(resource, "availability_zone", "Name the zone instead of its id.")
        for path, region in named_regions(resource.body):
            if region not in parameters.allowed_regions:
                yield violated(
                    resource,
                    f"names {region}, but its data may be stored only in {allowed}",
                    _REMEDY,
                    path,
                )


def named_regions(body: Block) -> Iterator[tuple[str, str]]:
    """Yield the path and name of every region that the known inputs name, each once per path."""
    for path, text in body.leaves():
        if path.partition(".")[0] in _FREE_TEXT:
            continue
        found = {match.group(1) for pattern in _NAMED for match in _matches(pattern, text)}
        yield from ((path, region) for region in sorted(found))


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    if pattern is _NAMED[0]:
        whole = pattern.match(text)
        return iter([whole] if whole else [])
    return pattern.finditer(text)


RULE: Final = Rule(id="residency", title="Data stays in the allowed regions", check=check)
