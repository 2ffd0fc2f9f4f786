"""Which systems outside an installation uses, as ``rules/systems.yaml`` says it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

NONE: Final = "none"
RECORD: Final = "record"


class SystemPort(StrEnum):
    """What a system is used for."""

    CRM = "crm"
    TICKETS = "tickets"
    MAIL = "mail"
    SLACK = "slack"
    TEAMS = "teams"


# the systems of each port, beside `none` and `record`
KNOWN: Final[Mapping[SystemPort, tuple[str, ...]]] = {
    SystemPort.CRM: ("hubspot", "salesforce"),
    SystemPort.TICKETS: ("zendesk",),
    SystemPort.MAIL: ("smtp", "ses"),
    SystemPort.SLACK: ("slack",),
    SystemPort.TEAMS: ("teams",),
}


@dataclass(frozen=True, kw_only=True)
class SystemEntry:
    """One system: its port, its name, and what its client needs, by the document's names."""

    port: SystemPort
    system: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def credential(self) -> str | None:
        """The name of the credential that it needs, if it needs one."""
        found = self.options.get("credential")
        return None if found is None else str(found)

    @property
    def is_real(self) -> bool:
        """Tell whether something really happens there."""
        return self.system not in {NONE, RECORD}


@dataclass(frozen=True, kw_only=True)
class ChannelRules:
    """``brand`` begins the names of channels, ``invites`` are roles of contacts.

    ``chat`` is ``slack``, ``teams`` or ``email`` by the subscription.
    """

    brand: str
    invites: tuple[str, ...]
    chat: Mapping[str, str]

    def name(self, slug: str, *, longest: int, number: int = 1) -> str:
        """Return ``{brand}-{slug}`` in letters, digits and hyphens, of at most ``longest``.

        ``number`` tells the second and later candidates apart.
        """
        suffix = "" if number == 1 else f"-{number}"
        plain = re.sub(r"[^a-z0-9]+", "-", f"{self.brand}-{slug}".lower()).strip("-")
        return plain[: longest - len(suffix)].rstrip("-") + suffix


@dataclass(frozen=True, kw_only=True)
class SystemRules:
    """The system of each port, and how channels are made."""

    digest: str
    channels: ChannelRules
    entries: Mapping[SystemPort, SystemEntry]

    def __iter__(self) -> Iterator[SystemEntry]:
        """Yield the entries in the order of the ports."""
        return (self.entries[port] for port in SystemPort)

    @property
    def recorded(self) -> tuple[SystemPort, ...]:
        """The ports whose system only writes down what it would do."""
        return tuple(entry.port for entry in self if entry.system == RECORD)
