"""From the document of systems to their clients: one is imported when its system is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from control_plane.adapters.systems.credentials import FileCredentials, for_system
from control_plane.domain.systems import NONE, RECORD, SystemEntry, SystemPort, SystemRules
from control_plane.ports.systems import Systems

RECORDED: Final = "outside"  # the folder of the home
# characters of a channel's name: https://docs.slack.dev/reference/methods/conversations.create and
# https://learn.microsoft.com/graph/api/channel-post
LONGEST_NAMES: Final = {SystemPort.SLACK: 80, SystemPort.TEAMS: 50}


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What clients need beside their entry: credentials, a folder to write into, the time."""

    credentials: FileCredentials
    folder: Path
    now: Callable[[], datetime]


def open_systems(rules: SystemRules, around: Surroundings) -> Systems:
    """Return the systems that the document names. Nothing is asked and no credential read yet."""
    made = {entry.port: open_system(entry, around) for entry in rules}
    chats = {str(port): made[port] for port in LONGEST_NAMES if made[port] is not None}
    return Systems(
        crm=made[SystemPort.CRM],
        tickets=made[SystemPort.TICKETS],
        mailer=made[SystemPort.MAIL],
        chats=chats,
    )


def open_system(entry: SystemEntry, around: Surroundings) -> Any:
    """Return the client of one system, or None for ``none``."""
    if entry.system == NONE:
        return None
    if entry.system == RECORD:
        return _recording(entry.port, around)
    return _OPENED[entry.system](entry, around)


def _recording(port: SystemPort, around: Surroundings) -> Any:
    from control_plane.adapters.systems import recording  # noqa: PLC0415 - as the clients

    if port is SystemPort.MAIL:
        return recording.RecordingMailer(around.folder, now=around.now)
    if port is SystemPort.CRM:
        return recording.RecordingCrm(around.folder)
    if port is SystemPort.TICKETS:
        return recording.RecordingTickets(around.folder)
    return recording.RecordingChat(around.folder, like=str(port), longest_name=LONGEST_NAMES[port])


def _hubspot(entry: SystemEntry, around: Surroundings) -> Any:
    from control_plane.adapters.systems.hubspot import HubSpotAccount, HubSpotCrm  # noqa: PLC0415

    facts = _facts(entry)
    if "won_stages" in facts:
        facts["won_stages"] = tuple(facts["won_stages"])
    return HubSpotCrm(HubSpotAccount(**facts), token=_credential(entry, around), now=around.now)


def _zendesk(entry: SystemEntry, around: Surroundings) -> Any:
    from control_plane.adapters.systems.zendesk import (  # noqa: PLC0415
        ZendeskAccount,
        ZendeskTickets,
    )

    return ZendeskTickets(
        ZendeskAccount(**_facts(entry)), token=_credential(entry, around), now=around.now
    )


def _slack(entry: SystemEntry, around: Surroundings) -> Any:
    from control_plane.adapters.systems.slack import SlackChat, SlackWorkspace  # noqa: PLC0415

    facts = _facts(entry)
    if "private" in facts:
        facts["is_private"] = facts.pop("private")
    return SlackChat(SlackWorkspace(**facts), token=_credential(entry, around), now=around.now)


def _salesforce(entry: SystemEntry, around: Surroundings) -> Any:
    from control_plane.adapters.systems.salesforce import (  # noqa: PLC0415
        SalesforceCrm,
        SalesforceOrg,
    )

    return SalesforceCrm(
        SalesforceOrg(**_facts(entry)), credential=_credential(entry, around), now=around.now
    )


def _teams(entry: SystemEntry, around: Surroundings) -> Any:
    from control_plane.adapters.systems.teams import TeamsChat, TeamsDirectory  # noqa: PLC0415

    return TeamsChat(
        TeamsDirectory(**_facts(entry)), secret=_credential(entry, around), now=around.now
    )


def _ses(entry: SystemEntry, around: Surroundings) -> Any:
    from control_plane.adapters.systems.ses import SesAccount, SesMailer  # noqa: PLC0415

    return SesMailer(SesAccount(**_facts(entry)), now=around.now)


def _smtp(entry: SystemEntry, around: Surroundings) -> Any:
    from control_plane.adapters.systems.smtp import SmtpMailer, SmtpServer  # noqa: PLC0415

    password = _credential(entry, around) if entry.credential else None
    return SmtpMailer(SmtpServer(**_facts(entry)), password=password, now=around.now)


_OPENED: Final[Mapping[str, Callable[[SystemEntry, Surroundings], Any]]] = {
    "hubspot": _hubspot,
    "zendesk": _zendesk,
    "slack": _slack,
    "smtp": _smtp,
    "salesforce": _salesforce,
    "teams": _teams,
    "ses": _ses,
}


def _facts(entry: SystemEntry) -> dict[str, Any]:
    return {name: value for name, value in entry.options.items() if name != "credential"}


def _credential(entry: SystemEntry, around: Surroundings) -> Callable[[], str]:
    """Return what reads the credential; whatever is wrong with it is a refusal of the system."""
    return for_system(entry.system, around.credentials, str(entry.credential))
