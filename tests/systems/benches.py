"""Each adapter of a port with what is behind it: a folder, or its client over a stub of its API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from control_plane.adapters.systems.hubspot import HubSpotAccount, HubSpotCrm
from control_plane.adapters.systems.recording import (
    RecordingChat,
    RecordingCrm,
    RecordingTickets,
)
from control_plane.adapters.systems.salesforce import SalesforceCrm, SalesforceOrg
from control_plane.adapters.systems.slack import SlackChat, SlackWorkspace
from control_plane.adapters.systems.teams import TeamsChat, TeamsDirectory
from control_plane.adapters.systems.zendesk import ZendeskAccount, ZendeskTickets
from control_plane.ports.systems import Chat, Company, Crm, Tickets
from tests.systems import stub_graph, stub_hubspot, stub_salesforce, stub_slack, stub_zendesk
from tests.systems.mails import noon
from tests.systems.stub import Stub, served

SECONDS = 1.0
COMPANY = Company(
    key="ten_01JD0000000000000000000001", name="Example Oy", domain="example.fi", country="FI",
    slug="example", contract_id="C-2026-0117",
)  # fmt: skip
Port = TypeVar("Port")


@dataclass
class Bench(Generic[Port]):
    """``writes`` is a part of the path of the call that acts, ``names`` what there is by now."""

    port: Port
    stub: Stub | None
    names: Callable[[], list[str]]
    invited: Callable[[], list[str]] = list
    writes: str = ""
    invites: str = ""
    forbid: Callable[[], None] = lambda: None
    secret: list[str] = field(default_factory=list)

    def wrong(self) -> None:
        """Put another credential where the right one was."""
        self.secret[:] = ["wr0ng-one"]


@contextmanager
def recorded_crm(folder: Path) -> Iterator[Bench[Crm]]:
    names = lambda: _recorded(folder / "crm")  # noqa: E731 - as those below
    yield Bench(port=RecordingCrm(folder), stub=None, names=names)


@contextmanager
def recorded_tickets(folder: Path) -> Iterator[Bench[Tickets]]:
    yield Bench(
        port=RecordingTickets(folder), stub=None, names=lambda: _recorded(folder / "tickets")
    )


@contextmanager
def recorded_chat(folder: Path) -> Iterator[Bench[Chat]]:
    chats = folder / "chat" / "slack"
    yield Bench(
        port=RecordingChat(folder, like="slack", longest_name=80),
        stub=None,
        names=lambda: sorted(file.parent.name for file in chats.glob("*/channel.json")),
        invited=lambda: [str(_read(file)["email"]) for file in chats.glob("*/invitation*")],
    )


@contextmanager
def hubspot(_: Path) -> Iterator[Bench[Crm]]:
    api, secret = stub_hubspot.HubSpot(), [stub_hubspot.TOKEN]
    with served(api) as stub:
        account = HubSpotAccount(url=stub.url, contract_property="contract_number", portal="77")
        crm = HubSpotCrm(account, token=lambda: secret[0], now=noon, seconds=SECONDS)
        yield Bench(
            port=crm, stub=stub, writes="batch/upsert", secret=secret,
            names=lambda: [str(each["name"]) for each in api.companies.values()],
        )  # fmt: skip


@contextmanager
def slack(_: Path) -> Iterator[Bench[Chat]]:
    api, secret = stub_slack.Slack(), [stub_slack.TOKEN]

    def forbid() -> None:
        api.forbids = "restricted_action"

    with served(api) as stub:
        workspace = SlackWorkspace(url=f"{stub.url}/api/")
        chat = SlackChat(workspace, token=lambda: secret[0], now=noon, seconds=SECONDS)
        yield Bench(
            port=chat, stub=stub, writes="conversations.create", secret=secret,
            invites="conversations.inviteShared", forbid=forbid,
            names=lambda: [str(each["name"]) for each in api.channels.values()],
            invited=lambda: [str(each["invite"]["recipient_email"]) for each in api.invites],
        )  # fmt: skip


@contextmanager
def salesforce(_: Path) -> Iterator[Bench[Crm]]:
    api, secret = stub_salesforce.Salesforce(), [stub_salesforce.TOKEN]
    with served(api) as stub:
        org = SalesforceOrg(
            url=stub.url, grant="client_credentials", client_id=stub_salesforce.CLIENT,
            contract_field="Contract_Number__c",
        )  # fmt: skip
        crm = SalesforceCrm(org, credential=lambda: secret[0], now=noon, seconds=SECONDS)
        yield Bench(
            port=crm, stub=stub, writes="/Account/Tenant_Id__c/", secret=secret,
            names=lambda: [str(each["Name"]) for each in api.accounts],
        )  # fmt: skip


@contextmanager
def zendesk(_: Path) -> Iterator[Bench[Tickets]]:
    api, secret = stub_zendesk.Zendesk(), [stub_zendesk.TOKEN]
    with served(api) as stub:
        account = ZendeskAccount(url=stub.url, email=stub_zendesk.EMAIL)
        tickets = ZendeskTickets(account, token=lambda: secret[0], now=noon, seconds=SECONDS)
        yield Bench(
            port=tickets, stub=stub, writes="create_or_update", secret=secret,
            names=lambda: [str(each["name"]) for each in api.organizations],
        )  # fmt: skip


@contextmanager
def teams(_: Path) -> Iterator[Bench[Chat]]:
    api, secret = stub_graph.Graph(), [stub_graph.TOKEN]

    def forbid() -> None:
        api.forbids = True

    with served(api) as stub:
        api.url = stub.url
        directory = TeamsDirectory(
            directory="contoso.example", client_id=stub_graph.CLIENT, team=stub_graph.TEAM,
            owner=stub_graph.OWNER, url=f"{stub.url}/v1.0", login_url=stub.url,
        )  # fmt: skip
        chat = TeamsChat(directory, secret=lambda: secret[0], now=noon, seconds=SECONDS)
        yield Bench(
            port=chat, stub=stub, writes="POST /v1.0/teams", invites="POST /v1.0/teams",
            forbid=forbid, secret=secret,
            names=lambda: [str(each["displayName"]) for each in api.channels],
            invited=lambda: [each["email"] for found in api.members.values() for each in found],
        )  # fmt: skip


CRMS: Any = {"record": recorded_crm, "hubspot": hubspot, "salesforce": salesforce}
TICKETS: Any = {"record": recorded_tickets, "zendesk": zendesk}
CHATS: Any = {"record": recorded_chat, "slack": slack, "teams": teams}


def _recorded(folder: Path) -> list[str]:
    return [str(_read(file)["name"]) for file in folder.glob("*.json")]


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found
