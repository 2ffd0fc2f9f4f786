"""What was chosen for one deployment, beside the facts of its owner: size, version, zones.

Facts are the customer's; these are choices about one environment. They are kept with the
deployment, and its next spec is made of both.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from control_plane.domain.deployment import DeploymentKind
from control_plane.domain.errors import DowngradeRefused, InvalidInput
from control_plane.domain.sizing import SIZES
from control_plane.domain.versions import Versions

LEAST_ZONES: Final = 2  # of a Hub's network, the first ones of its region
MOST_ZONES: Final = 3


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What somebody chose for a deployment; None where nobody did, and the default holds.

    ``size`` is a name of ``SIZES``, without which the number of seats decides. ``version`` is one
    of the versions document, without which the Hub has the first of them.
    """

    size: str | None = None
    version: str | None = None
    zones: int | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Environment:
        """Return what a deployment's row holds."""
        return cls(**document)

    def to_document(self) -> dict[str, Any]:
        """Return what was chosen, and nothing else, as plain JSON."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in found.items() if value is not None}


CHOICES: Final[Mapping[DeploymentKind, tuple[str, ...]]] = {
    DeploymentKind.HUB: ("version", "zones"),
    DeploymentKind.DEDICATED: ("size", "version", "zones"),
}


def changed_environment(
    before: Environment,
    wanted: Mapping[str, Any],
    kind: DeploymentKind,
    *,
    versions: Versions,
    zones: int,
) -> Environment:
    """Return an environment as it would be with other choices; null takes a size back.

    ``zones`` is how many availability zones the region has.

    Raises ``InvalidInput`` for what deployments of the kind cannot choose and for an unknown value,
    with the nearest known one, ``DowngradeRefused`` for an older version and for fewer zones.
    """
    known = CHOICES.get(kind, ())
    for name in wanted:
        if name not in known:
            raise InvalidInput(
                f"{name} is not chosen for {_A_KIND[kind]}; {_instead(kind, known)}",
                field=f"environment.{name}",
            )
    if wanted.get("size") is not None:
        _require_known("size", wanted["size"], SIZES)
    if "version" in wanted:
        _check_version(before.version or versions.hub[0].name, wanted["version"], versions)
    if "zones" in wanted:
        _check_zones(before.zones or LEAST_ZONES, wanted["zones"], min(zones, MOST_ZONES))
    # to name what it has anyway chooses nothing; a size is kept when the seats change later
    has = {"version": before.version or versions.hub[0].name, "zones": before.zones or LEAST_ZONES}
    return replace(
        before, **{name: value for name, value in wanted.items() if value != has.get(name, ...)}
    )


_A_KIND: Final = {
    DeploymentKind.HUB: "a shared Hub",
    DeploymentKind.SLICE: "a tenant of Mode A",
    DeploymentKind.DEDICATED: "a dedicated Hub",
    DeploymentKind.CUSTOMER_RUN: "a tenant of Mode C",
}


def _instead(kind: DeploymentKind, known: Collection[str]) -> str:
    if kind is DeploymentKind.SLICE:
        return "its Hub is changed for all its tenants, with `tenantctl hub change`"
    if kind is DeploymentKind.CUSTOMER_RUN:
        return "an architect changes it by the next version of its bundle"
    return f"only {' and '.join(known)} can be"


def _require_known(name: str, value: object, known: Collection[str]) -> None:
    if value in known:
        return
    near = difflib.get_close_matches(str(value), known, n=1, cutoff=0.4)
    guess = f" Did you mean {near[0]}?" if near else ""
    raise InvalidInput(
        f"there is no {name} {str(value)[:40]!r}.{guess} Known are: {', '.join(known)}.",
        field=f"environment.{name}",
    )


def _check_version(present: str, wanted: object, versions: Versions) -> None:
    names = [each.name for each in versions.hub]
    _require_known("version", wanted, names)
    if present in names and names.index(str(wanted)) < names.index(present):
        raise DowngradeRefused(
            f"the Hub has version {present}, and {wanted} is older",
            field="environment.version", present=present, wanted=wanted,
        )  # fmt: skip


def _check_zones(present: int, wanted: object, most: int) -> None:
    if wanted not in range(LEAST_ZONES, most + 1):
        raise InvalidInput(
            f"zones must be a whole number from {LEAST_ZONES} to {most} in this region",
            field="environment.zones",
        )
    if isinstance(wanted, int) and wanted < present:
        raise DowngradeRefused(
            f"the network has {present} zones, and what is in them would have to be removed",
            field="environment.zones", present=present, wanted=wanted,
        )  # fmt: skip
