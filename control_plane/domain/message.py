"""A message to a person: one row of the outbox for each thing that is said to somebody.

It is written in the transaction of what it is about. What it says is made from a template when it
is sent, so that the row holds facts and references to secrets, and never a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from control_plane.domain.cause import Cause
from control_plane.domain.transitions import move

Json = Mapping[str, Any]
MESSAGE_LIFE: Final = timedelta(days=90)  # of recipient and content, after a message is settled
LOST_TURNS: Final = 10  # turns that ended with a fault, before a person has to look
ERASED: Final = ""


class Channel(StrEnum):
    """How a message gets to its recipient."""

    EMAIL = "email"


class MessageClass(StrEnum):
    """What a message is for, and so what may keep it from being sent."""

    TRANSACTIONAL = "transactional"  # the recipient needs it for what was bought
    LIFECYCLE = "lifecycle"  # it helps with the use of what was bought
    COMMERCIAL = "commercial"  # it sells something


class MessageStatus(StrEnum):
    """Where a message stands."""

    QUEUED = "queued"  # a worker sends it, now or after what its reason names
    SENDING = "sending"  # it may have gone out
    SENT = "sent"  # terminal: the mail system took it
    SUPPRESSED = "suppressed"  # it is not sent, for a reason; a person can send it all the same
    DEAD = "dead"  # it could not be sent; a person looks at it
    CANCELED = "canceled"  # terminal: somebody decided that it is not sent


_S = MessageStatus
MESSAGE_TRANSITIONS: Final[Mapping[MessageStatus, frozenset[MessageStatus]]] = {
    _S.QUEUED: frozenset({_S.SENDING, _S.SUPPRESSED, _S.DEAD, _S.CANCELED}),
    _S.SENDING: frozenset({_S.QUEUED, _S.SENT, _S.DEAD}),
    _S.SENT: frozenset(),
    _S.SUPPRESSED: frozenset({_S.QUEUED, _S.CANCELED}),
    _S.DEAD: frozenset({_S.QUEUED, _S.CANCELED}),
    _S.CANCELED: frozenset(),
}
# those that a worker still sends
UNSETTLED: Final = frozenset({_S.QUEUED, _S.SENDING})
# those that keep recipient and content until somebody decided
OPEN_MESSAGE: Final = frozenset({_S.DEAD})


class Reason(StrEnum):
    """Why a message waits, was not sent, or was canceled."""

    PUT_OFF = "put_off"  # the mail system is unavailable: it is tried again
    HOLD = "hold"  # a legal hold: it waits, and goes out after the release
    NO_SYSTEM = "no_system"  # this installation sends no mail
    OPTED_OUT = "opted_out"
    BOUNCED = "bounced"  # an earlier mail to this address could not be delivered
    FREQUENCY = "frequency"  # the recipient got as many as somebody should get in a day
    TOO_EARLY = "too_early"  # nothing commercial in a tenant's first days
    REFUSED = "refused"  # the mail system refuses the recipient or the mail
    GAVE_UP = "gave_up"  # it was tried as often as it may be
    UNPRINTABLE = "unprintable"  # no mail can be made of template and facts
    LOST = "lost"  # workers failed on it repeatedly
    BY_PERSON = "by_person"
    ERASED = "erased"  # its tenant was removed


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """A person that a message goes to; ``locale`` is their language, None where nobody knows."""

    name: str
    email: str
    locale: str | None = None


@dataclass(frozen=True, kw_only=True)
class SecretRef:
    """Where the value of a secret variable comes from: ``workflows.secret_kinds`` has the kinds."""

    kind: str
    id: str

    def to_document(self) -> dict[str, str]:
        """Return it as JSON."""
        return {"kind": self.kind, "id": self.id}


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message to one person.

    ``message_class`` is that of its event. ``data`` are the facts that its template shows,
    ``secrets`` has references by the names of variables. ``turn`` counts turns of workers,
    ``attempts`` those that reached the mail system, of the present budget; ``lost_turns`` those
    that ended with a fault in a row. ``may_be_twice``: nobody can say whether it went out more than
    once. ``message_id`` is the same at each attempt (RFC 5322, 3.6.4). ``template`` is
    ``NAME/VERSION`` of what it was made from at the last attempt.
    """

    id: str
    tenant_id: str
    event: str
    persona: str
    channel: Channel
    locale: str
    message_class: MessageClass
    recipient_name: str = field(repr=False)
    recipient_email: str = field(repr=False)
    data: Json = field(repr=False)
    secrets: Json
    calendar_method: str | None = None
    calendar_content: str | None = field(default=None, repr=False)
    dedupe_key: str
    cause: Cause | None = None
    status: MessageStatus = MessageStatus.QUEUED
    reason: Reason | None = None
    error: Json | None = None
    turn: int = 1
    attempts: int = 0
    lost_turns: int = 0
    may_be_twice: bool = False
    message_id: str
    template: str | None = None
    template_digest: str | None = None
    system: str | None = None
    system_id: str | None = None
    queued_at: datetime
    settled_at: datetime | None = None
    erased_at: datetime | None = None
    version: int = 1

    @property
    def is_erased(self) -> bool:
        """Whether recipient and content are gone, so that it cannot be sent any more."""
        return self.erased_at is not None

    def moved(self, status: MessageStatus, now: datetime, **changes: Any) -> Self:
        """Return it in another status, whose reason and error are in ``changes``.

        Raises ``IllegalTransition``.
        """
        move(MESSAGE_TRANSITIONS, self.status, status, subject=self.id)
        fresh: dict[str, Any] = {"reason": None, "error": None, "lost_turns": 0}
        return replace(
            self,
            **{**fresh, **changes},
            status=status,
            settled_at=None if status in UNSETTLED else now,
            version=self.version + 1,
        )

    def changed(self, **changes: Any) -> Self:
        """Return it with other facts in the same status."""
        if "status" in changes:
            raise ValueError("only moved() changes a status")
        return replace(self, version=self.version + 1, **changes)

    def next_turn(self, *, was_lost: bool = False) -> Self:
        """Return it for its next turn; ``was_lost`` says that the last one ended with a fault."""
        lost = self.lost_turns + 1 if was_lost else self.lost_turns
        return self.changed(turn=self.turn + 1, lost_turns=lost, reason=None)

    def erased(self, now: datetime) -> Self:
        """Return it without its recipient and what it says."""
        return self.changed(
            recipient_name=ERASED, recipient_email=ERASED, data={}, secrets={},
            calendar_method=None, calendar_content=None, erased_at=now,
        )  # fmt: skip
