"""Which rules of time zones this machine has: the system's, or those of the package ``tzdata``.

Python takes the system's files first, whatever version of the package is installed, and keeps a
zone as long as the process lives: new rules count after a restart.
"""

from __future__ import annotations

import hashlib
import zoneinfo
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

from control_plane.domain.errors import InvalidInput

_NOT_PLACES: Final = ("posix/", "right/")  # the second counts leap seconds
_NOT_ZONES: Final = frozenset({"localtime", "posixrules", "Factory"})  # another on each machine
_MONTHS: Final = 24  # in which two zones show the same time to count as one
_DIGITS: Final = 12


class SystemTimeZones:
    """The port ``TimeZones``."""

    def version(self, zone: str) -> str:
        """Return the version, or the start of the file's digest where none is written down."""
        return _version(zone)


@cache
def _version(zone: str) -> str:
    for folder in map(Path, zoneinfo.TZPATH):
        file = folder / zone
        if file.is_file():
            return _written(folder) or f"sha256:{_digest(file)}"
    import tzdata  # noqa: PLC0415 - on most machines the system has its own

    return str(tzdata.IANA_VERSION)


def _written(folder: Path) -> str | None:
    """Return the version in the head of ``tzdata.zi`` (``# version 2026f``), where there is one."""
    try:
        with (folder / "tzdata.zi").open(encoding="utf-8") as file:
            head = file.readline().split()
    except (OSError, UnicodeDecodeError):
        return None
    return head[2] if head[:2] == ["#", "version"] and len(head) == 3 else None


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:_DIGITS]


def is_zone(name: str) -> bool:
    """Tell whether there is a time zone of a name, without listing all of them."""
    if not name.isascii() or name.startswith(_NOT_PLACES) or name in _NOT_ZONES:
        return False
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def zones_of(country: str) -> tuple[str, ...]:
    """Return the zones of a country in the order of tzdata: the most populous first."""
    text = resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return tuple(row[2] for row in rows if row[0] == country)


def only_zone_of(country: str, now: datetime) -> str:
    """Return the zone of a country whose clocks all show the same for two years from ``now``.

    Raises ``InvalidInput`` with those it has where there are more, or none is known.
    """
    differing: dict[tuple[timedelta | None, ...], str] = {}
    for zone in zones_of(country):
        differing.setdefault(_offsets(zone, now), zone)
    if len(differing) == 1:
        return next(iter(differing.values()))
    raise InvalidInput(
        f"The clocks of {country} differ: name one of {', '.join(differing.values())}."
        if differing
        else f"No time zone of {country} is known: name one.",
        field="zone",
    )


def _offsets(zone: str, now: datetime) -> tuple[timedelta | None, ...]:
    clocks = zoneinfo.ZoneInfo(zone)
    months = (now + timedelta(days=30 * number) for number in range(_MONTHS))
    return tuple(moment.astimezone(clocks).utcoffset() for moment in months)
