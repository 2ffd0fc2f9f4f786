"""The systems of others in which a journey does something: CRM, chat, mail, tickets, signatures.

Each effect has a ``key``, the same however often it is asked for: an adapter looks for what an
earlier call with that key did before it does anything, since a timeout after the effect is the
usual fault. Each call raises ``SystemUnavailable`` where trying again may help, with the seconds
that the system asks to wait if it names any, and ``SystemRefused`` where a person has to do
something first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from control_plane.domain import system_errors  # noqa: F401 - its facts are known with the port
from control_plane.ports import Json


@dataclass(frozen=True, kw_only=True)
class Ref:
    """What a system calls a thing; ``created`` is false where it was there already."""

    id: str
    url: str | None = None
    created: bool = True


@dataclass(frozen=True, kw_only=True)
class Company:
    """A customer as CRM and tickets know it. ``key`` is the tenant's id, unique there."""

    key: str
    name: str
    domain: str
    country: str
    slug: str
    contract_id: str
    facts: Mapping[str, str] = field(default_factory=dict)  # further properties, by their names


@dataclass(frozen=True, kw_only=True)
class SignedDeal:
    """A deal that sales marked as won, with the number of its contract."""

    id: str
    contract_id: str | None
    company: str
    won_at: datetime
    url: str | None = None


class Crm(Protocol):
    """Customer records."""

    system: str

    def won_since(self, instant: datetime) -> Iterator[SignedDeal]:
        """Yield the deals that were won since, oldest first."""

    def upsert_company(self, company: Company) -> Ref:
        """Create the record, or bring it up to date."""


class Tickets(Protocol):
    """Where a customer's tickets are kept."""

    system: str

    def upsert_organisation(self, company: Company) -> Ref:
        """Create the organisation, or bring it up to date."""


@dataclass(frozen=True, kw_only=True)
class Invited:
    """What became of one invitation into a channel; ``status`` is the system's word."""

    email: str
    id: str | None
    status: str


class Chat(Protocol):
    """Channels that are shared with a customer. ``longest_name`` is in characters."""

    system: str
    longest_name: int

    def open_channel(self, name: str, *, topic: str, key: str) -> Ref:
        """Create a channel, or return the one that was made with this key.

        Raises ``SystemRefused`` with the reason ``name_taken`` when another has the name, and with
        the kind ``policy`` where the system's policies forbid it.
        """

    def find_channel(self, key: str) -> Ref | None:
        """Return the channel that was made with this key, or None."""

    def invite(self, channel_id: str, email: str, *, key: str) -> Invited:
        """Invite one person of the customer.

        Raises ``SystemRefused``, with the kind ``policy`` where policies of either side forbid it.
        """

    def close_channel(self, channel_id: str) -> None:
        """Archive a channel; one that is archived or gone is left alone."""


@dataclass(frozen=True, kw_only=True)
class CalendarPart:
    """An iCalendar object that goes along (RFC 6047); ``method`` is REQUEST or CANCEL."""

    method: str
    content: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A mail to one recipient; ``message_id`` is the same at each attempt (RFC 5322, 3.6.4)."""

    message_id: str
    sender: str
    recipient: str
    recipient_name: str
    reply_to: str | None
    subject: str
    text: str = field(repr=False)
    html: str | None = field(default=None, repr=False)
    calendar: CalendarPart | None = None


class Mailer(Protocol):
    """Sends mail. ``is_exactly_once``: it can tell that a message was taken before."""

    system: str
    is_exactly_once: bool

    def send(self, mail: Mail) -> str:
        """Hand a mail over; returns the system's id of it.

        Raises ``SystemUnavailable`` with ``may_have_acted`` when it may have been taken all the
        same, and ``SystemRefused`` for a recipient that will never be reached.
        """


@dataclass(frozen=True, kw_only=True)
class SignedEnvelope:
    """An envelope as its provider has it now; ``payload`` is what intake's mapping reads."""

    envelope_id: str
    account: str | None
    event: str
    changed_at: datetime
    payload: Json = field(repr=False)


class Signatures(Protocol):
    """What a provider of signatures says was signed."""

    @property
    def source(self) -> str:
        """The source of the intake rules that it is asked for."""

    def changed_since(self, instant: datetime) -> Iterator[SignedEnvelope]:
        """Yield the envelopes that were signed, voided or declined since, oldest first."""

    def find(self, envelope_id: str) -> SignedEnvelope | None:
        """Return an envelope, None if the provider does not know it."""


@dataclass(frozen=True, kw_only=True)
class Systems:
    """The systems that this installation has; None is one that is set to ``none``."""

    crm: Crm | None = None
    tickets: Tickets | None = None
    chats: Mapping[str, Chat] = field(default_factory=dict)  # by "slack", "teams"
    mailer: Mailer | None = None
    signatures: Sequence[Signatures] = ()
