"""A delivery: what a provider of signatures posted, kept before it is understood.

One row for one content, however often it is posted. Its status says what became of it; what is
held or refused waits for a person, and can be taken again when the reason is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.transitions import move

SIGNATURE_INVALID: Final = "signature_invalid"
BODY_LIFE: Final = timedelta(days=90)  # of the content, after a delivery is settled
LOST_TURNS: Final = 10  # turns that ended with a fault, before a person has to look


class DeliveryStatus(StrEnum):
    """What became of a delivery."""

    RECEIVED = "received"  # kept; a worker takes it
    ACCEPTED = "accepted"  # a tenant was made from it
    REPEATED = "repeated"  # its contract has a tenant, made from the same facts
    IGNORED = "ignored"  # an event that asks for nothing
    HELD = "held"  # a person decides: another tenant, or none
    REFUSED = "refused"  # it cannot be understood or believed; ``code`` says why
    DISMISSED = "dismissed"  # a person decided that nothing follows


_S = DeliveryStatus
DELIVERY_TRANSITIONS: Final[Mapping[DeliveryStatus, frozenset[DeliveryStatus]]] = {
    _S.RECEIVED: frozenset({_S.ACCEPTED, _S.REPEATED, _S.IGNORED, _S.HELD, _S.REFUSED}),
    _S.HELD: frozenset({_S.RECEIVED, _S.DISMISSED}),
    _S.REFUSED: frozenset({_S.RECEIVED, _S.DISMISSED}),
    _S.ACCEPTED: frozenset(),
    _S.REPEATED: frozenset(),
    _S.IGNORED: frozenset(),
    _S.DISMISSED: frozenset(),
}
# those that wait for a person, and keep their content until somebody decided
OPEN_DELIVERY: Final = frozenset({_S.HELD, _S.REFUSED})


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One content that a source posted.

    ``dedupe_key`` is a digest of source and content without what differs at each attempt of the
    provider; ``sha256`` and ``size`` are those of the bytes as they came first. ``body`` is None
    when the signature was wrong, and after the content was erased. ``key_name`` names the key that
    its signature was made with, None when it was wrong. ``times_received`` counts all attempts.
    ``turn`` counts turns of workers, ``lost_turns`` those that ended with a fault in a row.
    ``is_additional``: a person decided that it makes another tenant of its company.
    """

    id: str
    source: str
    dedupe_key: str
    account: str | None
    envelope_id: str | None
    event: str | None
    sha256: str
    size: int
    body: bytes | None
    key_name: str | None
    status: DeliveryStatus
    code: str | None
    error: Mapping[str, Any] | None
    request_id: str | None
    tenant_id: str | None
    times_received: int
    received_at: datetime
    last_received_at: datetime
    turn: int
    lost_turns: int
    is_additional: bool
    decided_by: str | None
    decision_reason: str | None
    decided_at: datetime | None
    settled_at: datetime | None
    version: int

    @property
    def is_authentic(self) -> bool:
        """Whether its signature was right."""
        return self.key_name is not None

    def moved(self, status: DeliveryStatus, now: datetime, **changes: Any) -> Self:
        """Return it in another status, whose reason is in ``changes``.

        Raises ``IllegalTransition``.
        """
        move(DELIVERY_TRANSITIONS, self.status, status, subject=self.id)
        is_settled = status is not _S.RECEIVED
        fresh = {"code": None, "error": None, "request_id": None, "tenant_id": None}
        return replace(
            self,
            **{**fresh, **changes},
            status=status,
            settled_at=now if is_settled else None,
            lost_turns=0,
            version=self.version + 1,
        )

    def settled(
        self,
        status: DeliveryStatus,
        now: datetime,
        *,
        error: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        tenant_id: str | None = None,
    ) -> Self:
        """Return it with what became of it. Raises ``IllegalTransition``."""
        code = str(error["code"]) if error is not None else None
        return self.moved(
            status, now, code=code, error=error, request_id=request_id, tenant_id=tenant_id
        )

    def put_off(self, error: Mapping[str, Any]) -> Self:
        """Return it with what it waits for; it stays received and is taken again later."""
        return replace(
            self, code=str(error["code"]), error=error, lost_turns=0, version=self.version + 1
        )

    def next_turn(self, *, was_lost: bool = False) -> Self:
        """Return it for its next turn; ``was_lost`` says that the last one ended with a fault."""
        return replace(
            self,
            code=None,
            error=None,
            turn=self.turn + 1,
            lost_turns=self.lost_turns + 1 if was_lost else self.lost_turns,
            version=self.version + 1,
        )

    def taken_again(self, actor: Actor, reason: str, now: datetime, *, is_additional: bool) -> Self:
        """Return it as a person sends it to the worker again. Raises ``IllegalTransition``.

        Until the worker has taken it, it stays that of the tenant which was in the way.
        """
        return self.moved(
            _S.RECEIVED, now,
            tenant_id=self.tenant_id,
            turn=self.turn + 1, is_additional=is_additional,
            decided_by=actor.id, decision_reason=reason, decided_at=now,
        )  # fmt: skip

    def dismissed(self, actor: Actor, reason: str, now: datetime) -> Self:
        """Return it as somebody decided that nothing follows; what was wrong stays known.

        Raises ``IllegalTransition``.
        """
        return self.moved(
            _S.DISMISSED, now,
            code=self.code, error=self.error, tenant_id=self.tenant_id,
            decided_by=actor.id, decision_reason=reason, decided_at=now,
        )  # fmt: skip


def actor_of(source: str, decided_by: str | None = None) -> Actor:
    """Return who submits what a source delivered: a machine, for a person who decided, if any."""
    return Actor(
        id=f"intake:{source}",
        kind=ActorKind.SERVICE,
        roles=(Role.AUTOMATION,),
        tenants=("*",),
        on_behalf_of=decided_by,
    )
