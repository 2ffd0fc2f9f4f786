"""From the policy parameters document to the parameters of the policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from control_plane.adapters.rules.documents import Document, refused
from control_plane.domain.errors import InvalidInput, UnknownRegion
from control_plane.domain.residency import Regions
from policies.catalog import CATALOG
from policies.model import Enforcement, Parameters
from policies.rules import RULES


@dataclass(frozen=True, kw_only=True)
class PolicyParameters:
    """The policy parameters document: what holds for all, and the regions allowed per zone."""

    digest: str
    common: Parameters
    allowed_regions: Mapping[str, tuple[str, ...]]
    regions: Regions

    def for_deployment(
        self,
        *,
        region: str,
        zone: str | None = None,
        strict: bool = False,
        tag_values: Mapping[str, str],
        account_id: str = "",
        slice_short: str | None = None,
        unprotected: tuple[str, ...] = (),
    ) -> Parameters:
        """Return the parameters of a deployment in ``region``.

        With ``strict`` data lies only in that region, otherwise anywhere in the zone that the
        document allows; without a zone in the region's own. Raises ``InvalidInput`` when that
        allows no region.
        """
        home = zone or self.regions.zone_of(region).name
        allowed = self.allowed_regions.get(home, ())
        if strict:
            allowed = tuple(name for name in allowed if name == region)
        if not allowed:
            raise InvalidInput(
                f"The policy parameters allow no region for zone {home} and region {region}; add "
                f"it to allowed_regions of policy_parameters.yaml or choose another region.",
                field="region",
            )
        return replace(
            self.common,
            allowed_regions=allowed,
            tag_values=dict(tag_values),
            account_id=account_id,
            slice_short=slice_short,
            unprotected=unprotected,
        )


def parse_parameters(document: Document, regions: Regions) -> PolicyParameters:
    """Return the policy parameters. Raises ``SettingInvalid`` for names that nobody knows."""
    content = document.content
    for zone, names in content["allowed_regions"].items():
        for name in names:
            try:
                home = regions.zone_of(name).name
            except UnknownRegion:
                home = ""
            if home != zone:
                reason = f"{name} is not a region of the zone {zone} in regions.yaml"
                raise refused(document.file, f"allowed_regions.{zone}", reason)
    known_rules = {rule.id for rule in RULES}
    for section in ("enforcement", "unknown_values"):
        for name in content[section]:
            if name not in known_rules:
                raise refused(document.file, f"{section}.{name}", "unknown policy rule")
    for kind in content["encryption"]:
        if kind not in CATALOG or not CATALOG[kind].encryptable:
            reason = f"{kind} is not a type that can be encrypted"
            raise refused(document.file, f"encryption.{kind}", reason)
    return PolicyParameters(
        digest=document.digest,
        regions=regions,
        allowed_regions={zone: tuple(ns) for zone, ns in content["allowed_regions"].items()},
        common=Parameters(
            required_tags=tuple(content["required_tags"]),
            forbidden_tags=tuple(content["forbidden_tags"]),
            log_retention_days_min=content["log_retention_days_min"],
            encryption=dict(content["encryption"]),
            access_log_bucket_encryption=content["access_log_bucket_encryption"],
            widest_ingress_prefix=dict(content["widest_ingress_prefix"]),
            internet_egress=content["internet_egress"],
            enforcement=_levels(content["enforcement"]),
            unknown_values=_levels(content["unknown_values"]),
        ),
    )


def _levels(levels: Mapping[str, str]) -> dict[str, Enforcement]:
    return {rule: Enforcement(level) for rule, level in levels.items()}
