"""Read moto's lists of instance types offered per region when somebody asks, not at import.

At import they cost 1.4 seconds and 85 MB, and nothing in a Hub is an EC2 instance.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from moto.utilities import utils

_FOLDER = "ec2/resources/instance_type_offerings"
_read_resource: Callable[[str], Any] = utils.load_resource


class OfferingsOfType(dict[str, Any]):
    """Offerings by region for one type of location (``region``, ``availability-zone`` ...)."""

    def __init__(self, location_type: str) -> None:
        super().__init__()
        self._location_type = location_type

    def __missing__(self, region: str) -> Any:
        try:
            offerings = _read_resource(f"{_FOLDER}/{self._location_type}/{region}.json")
        except FileNotFoundError as error:
            raise KeyError(region) from error
        for each in offerings:
            each["LocationType"] = self._location_type
        self[region] = offerings
        return offerings

    def get(self, region: str, default: Any = None) -> Any:
        """Return the offerings of a region, or ``default`` for a region without a list."""
        try:
            return self[region]
        except KeyError:
            return default


def skip_at_import() -> None:
    """Let moto's import find empty lists; call before anything of ``moto.ec2`` is imported."""

    def load_resource(resource: str) -> Any:
        return [] if resource.startswith(_FOLDER) else _read_resource(resource)

    utils.load_resource = load_resource


def read_on_demand() -> None:
    """Put lists that fill themselves in the place of the empty ones, if ``moto.ec2`` is loaded."""
    instance_types = sys.modules.get("moto.ec2.models.instance_types")
    if instance_types is None:
        return
    by_type: dict[str, Any] = instance_types.INSTANCE_TYPE_OFFERINGS
    for location_type, lists in by_type.items():
        if not isinstance(lists, OfferingsOfType):
            by_type[location_type] = OfferingsOfType(location_type)
