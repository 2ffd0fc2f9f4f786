"""Where a tenant's data may lie, and in which region its deployment goes.

A zone is a set of AWS regions under one law (``eu``, ``uk``, ``us`` …). The regions document names
every AWS region, the zone of each, and which of them the vendor runs Hubs in. A region that is in
no zone does not exist (``UnknownRegion``); a zone with no vendor region is a matter of rule M3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control_plane.domain.errors import InvalidInput, UnknownRegion


@dataclass(frozen=True, kw_only=True)
class Residency:
    """What the customer asks for.

    With ``strict`` the data stays in the listed regions, or in the zone when none is listed;
    without it the listed regions are preferred and the rest of their zone is allowed too.
    """

    zone: str | None = None
    regions: tuple[str, ...] = ()
    strict: bool = False

    @property
    def is_stated(self) -> bool:
        """Tell whether anything is asked for; an absent residency is an explicit "none"."""
        return self.zone is not None or bool(self.regions)

    def to_document(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {"zone": self.zone, "regions": list(self.regions), "strict": self.strict}


@dataclass(frozen=True, kw_only=True)
class Zone:
    """Regions under one law. ``offered`` are those with Hubs of the vendor, best first."""

    name: str
    title: str
    partition: str  # aws, aws-cn, aws-us-gov, aws-eusc: ARNs and services differ between them
    regions: tuple[str, ...]
    offered: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Regions:
    """The regions document, parsed. ``default_region`` serves who asks for no residency."""

    digest: str
    default_region: str
    zones: Mapping[str, Zone]
    letters: Mapping[str, str]  # region -> letters of its availability zones, best first

    def availability_zones(self, region: str) -> tuple[str, ...]:
        """Return the names of a region's availability zones, those to be taken first.

        Raises ``UnknownRegion`` for a region whose zones are not in the document.
        """
        if region not in self.letters:
            raise UnknownRegion(
                f"The availability zones of {region} are not known; add them to the regions "
                "document.",
                region=region,
            )
        return tuple(f"{region}{letter}" for letter in self.letters[region])

    def zone_of(self, region: str, *, field: str = "region") -> Zone:
        """Return the zone of a region. Raises ``UnknownRegion`` naming ``field``."""
        for zone in self.zones.values():
            if region in zone.regions:
                return zone
        raise UnknownRegion(f"Unknown AWS region {region!r}.", region=region, field=field)

    def zone(self, name: str) -> Zone:
        """Return a zone by name. Raises ``InvalidInput``."""
        if name not in self.zones:
            known = ", ".join(sorted(self.zones))
            raise InvalidInput(
                f"Unknown residency zone {name!r}; the zones are {known}.",
                field="residency.zone",
            )
        return self.zones[name]

    def is_offered(self, region: str) -> bool:
        """Tell whether the vendor runs Hubs in the region. Raises ``UnknownRegion``."""
        return region in self.zone_of(region).offered


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a deployment may go.

    ``allowed`` are the regions its data may lie in, whether the vendor offers them or not;
    ``offered`` those of them with Hubs of the vendor; both best first. ``sentence`` says why.
    """

    zone: str
    partition: str
    stated: bool
    allowed: tuple[str, ...]
    offered: tuple[str, ...]
    sentence: str

    def region(self, *, customer_run: bool) -> str | None:
        """Return the region to build in: one of the vendor's, or for Mode C any allowed one."""
        if customer_run and not self.offered:
            return self.allowed[0]
        return self.offered[0] if self.offered else None


def place(residency: Residency | None, regions: Regions) -> Placement:
    """Return where a deployment with this residency may go.

    The first offered region that satisfies the residency comes first: listed regions in their
    order, then the zone's in the order of the document. Raises ``UnknownRegion`` for a region that
    does not exist, ``InvalidInput`` for an unknown zone, a region outside the zone, regions of two
    zones, or ``strict`` without zone and region.
    """
    if residency is None or not residency.is_stated:
        if residency is not None and residency.strict:
            raise InvalidInput(
                "A strict residency needs a zone or at least one region.",
                field="residency.strict",
            )
        return _default_placement(regions)
    zone = _stated_zone(residency, regions)
    rest = [*zone.offered, *(name for name in zone.regions if name not in zone.offered)]
    listed = list(dict.fromkeys(residency.regions))
    if residency.strict and listed:
        allowed = listed
        extent = "strictly the listed regions"
    else:
        allowed = [*listed, *(name for name in rest if name not in listed)]
        extent = "the whole zone, listed regions first" if listed else "the whole zone"
    offered = tuple(name for name in allowed if name in zone.offered)
    have = f"the vendor runs Hubs in {', '.join(offered)}" if offered else "the vendor runs no Hub"
    return Placement(
        zone=zone.name,
        partition=zone.partition,
        stated=True,
        allowed=tuple(allowed),
        offered=offered,
        sentence=f"Residency is zone {zone.name}, {extent}; there {have}.",
    )


def _default_placement(regions: Regions) -> Placement:
    zone = regions.zone_of(regions.default_region)
    others = tuple(name for name in zone.offered if name != regions.default_region)
    offered = (regions.default_region, *others)
    return Placement(
        zone=zone.name,
        partition=zone.partition,
        stated=False,
        allowed=offered,
        offered=offered,
        sentence=f"No residency is requested; the default region is {regions.default_region}.",
    )


def _stated_zone(residency: Residency, regions: Regions) -> Zone:
    named = regions.zone(residency.zone) if residency.zone is not None else None
    homes = {
        name: regions.zone_of(name, field=f"residency.regions.{index}")
        for index, name in enumerate(residency.regions)
    }
    zone = named or homes[residency.regions[0]]
    for name, home in homes.items():
        if home.name != zone.name:
            raise InvalidInput(
                f"The region {name} is in zone {home.name}, not in zone {zone.name}; "
                f"name one zone and regions in it.",
                field="residency.regions",
            )
    return zone
