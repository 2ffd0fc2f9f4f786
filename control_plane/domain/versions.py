"""Versions of managed services: how long those are supported that deployments pin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Major:
    """A major version of PostgreSQL on RDS.

    ``ends`` is the last day of standard support; AWS makes no new instance of a minor version
    below ``oldest_minor``.
    """

    ends: date
    oldest_minor: int


@dataclass(frozen=True, kw_only=True)
class HubVersion:
    """A version of the Hub: ``postgres`` is the major version of its database."""

    name: str
    postgres: str


@dataclass(frozen=True, kw_only=True)
class Versions:
    """The versions document, parsed."""

    digest: str
    warn_before: timedelta
    source: str  # where AWS publishes the dates of PostgreSQL
    postgres: Mapping[str, Major]
    hub: tuple[HubVersion, ...]  # oldest first; what was never given one has the first

    def postgres_of(self, version: str | None) -> str:
        """Return the major version of PostgreSQL of a version of the Hub.

        One that the document no longer names keeps what the newest has: a major version never goes
        back.
        """
        if version is None:
            return self.hub[0].postgres
        named = (each.postgres for each in self.hub if each.name == version)
        return next(named, self.hub[-1].postgres)

    def warnings(self, inputs: Mapping[str, Any], today: date) -> tuple[str, ...]:
        """Return what is, or soon will be, too old in a spec or in a bundle's inputs."""
        version = (inputs.get("database") or {}).get("engine_version")
        return () if version is None else tuple(self._postgres(str(version), today))

    def _postgres(self, version: str, today: date) -> list[str]:
        name, _, minor = version.partition(".")
        major = self.postgres.get(name)
        if major is None:
            return [f"PostgreSQL {name} is not in the versions document; see {self.source}"]
        found = []
        if today > major.ends:
            found.append(
                f"standard support of PostgreSQL {name} on RDS ended on {major.ends}: AWS charges "
                f"for extended support; choose a newer major version ({self.source})"
            )
        elif today >= major.ends - self.warn_before:
            found.append(
                f"standard support of PostgreSQL {name} on RDS ends on {major.ends}; plan the "
                f"upgrade ({self.source})"
            )
        if minor and int(minor) < major.oldest_minor:
            found.append(
                f"AWS creates no new instance of PostgreSQL {version}; the oldest is "
                f"{name}.{major.oldest_minor}, and {name} leaves the choice to AWS ({self.source})"
            )
        return found
