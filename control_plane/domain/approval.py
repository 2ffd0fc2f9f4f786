"""Approval: a request for decisions on one plan digest; decision: one person's yes or no."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from control_plane.domain.actor import Actor
from control_plane.domain.change_window import Opening
from control_plane.domain.engine import Operation
from control_plane.domain.signed_decision import SignedStatement
from control_plane.domain.transitions import move


class ApprovalStatus(StrEnum):
    """Where an approval stands."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"  # terminal
    EXPIRED = "expired"  # terminal
    SUPERSEDED = "superseded"  # terminal: a newer plan, or a part moved
    CANCELED = "canceled"  # terminal
    CONSUMED = "consumed"  # terminal: its apply started


_A = ApprovalStatus
APPROVAL_TRANSITIONS: Final[Mapping[ApprovalStatus, frozenset[ApprovalStatus]]] = {
    _A.WAITING: frozenset({_A.APPROVED, _A.REJECTED, _A.EXPIRED, _A.SUPERSEDED, _A.CANCELED}),
    # back to waiting: somebody withdrew an approval that it needs
    _A.APPROVED: frozenset({_A.WAITING, _A.CONSUMED, _A.EXPIRED, _A.SUPERSEDED, _A.CANCELED}),
    _A.REJECTED: frozenset(),
    _A.EXPIRED: frozenset(),
    _A.SUPERSEDED: frozenset(),
    _A.CANCELED: frozenset(),
    _A.CONSUMED: frozenset(),
}


@dataclass(frozen=True, kw_only=True)
class Approval:
    """A request for decisions. ``expires_at`` bounds the start of the apply, not its end.

    ``rule``, ``needed``, ``roles``, ``windows`` and ``signed`` are what the approval rules said
    when it was asked for: how many different people must agree, who may, the change windows in
    which the apply may begin, and whether who decides signs that. ``rules`` names every rule that
    fitted, ``rule`` the strictest. ``opens_at`` and ``closes_at`` are the window in which the
    approved apply may begin, None without windows.
    """

    id: str
    run_id: str
    plan_id: str
    plan_digest: str
    tenant_id: str | None
    status: ApprovalStatus
    rule: str
    needed: int
    rules: tuple[str, ...] = ()
    roles: tuple[str, ...]
    windows: tuple[str, ...] = ()
    signed: bool = False
    opens_at: datetime | None = None
    closes_at: datetime | None = None
    expires_at: datetime
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def moved(
        self, status: ApprovalStatus, now: datetime, *, opening: Opening | None = None
    ) -> Approval:
        """Return the approval in ``status``; the only way that its status changes.

        ``opening`` is when an approved one with windows may begin to be applied.
        """
        move(APPROVAL_TRANSITIONS, self.status, status, subject=self.id)
        moved = replace(self, status=status, updated_at=now, version=self.version + 1)
        if status in {ApprovalStatus.APPROVED, ApprovalStatus.WAITING}:
            return moved._with(opening)
        return moved

    def opened(self, opening: Opening | None, now: datetime) -> Approval:
        """Return the approved one with another opening: the one before passed unused."""
        return replace(self, updated_at=now, version=self.version + 1)._with(opening)

    def _with(self, opening: Opening | None) -> Approval:
        # where the windows never open, the apply is due when it has expired: never
        never = self.expires_at if self.windows and self.status is ApprovalStatus.APPROVED else None
        return replace(
            self,
            opens_at=opening.start if opening else never,
            closes_at=opening.end if opening else never,
        )

    def is_due(self, now: datetime) -> bool:
        """Tell whether its apply may begin now, as far as change windows go."""
        if not self.windows:
            return True
        if self.opens_at is None or self.closes_at is None:
            return False
        return self.opens_at <= now < self.closes_at


@dataclass(frozen=True, kw_only=True)
class ExcludedApprover:
    """Somebody who may not decide on an approval, and why (requester, editor)."""

    id: str  # "<approval id>:<subject>"
    approval_id: str
    subject: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One person's yes or no on a plan digest, with a reason; never changed.

    ``acknowledged`` are the URNs of what the plan cannot undo, all of them, that somebody who
    approves ticked. ``number`` counts the decisions of one person: there is a second one only after
    the first was withdrawn.
    """

    id: str
    approval_id: str
    decision: str  # "approve" or "reject"
    plan_digest: str
    actor_id: str
    person: str  # who that is, whatever account they used
    actor_kind: str
    reason: str
    decided_at: datetime
    number: int = 1
    acknowledged: tuple[str, ...] = ()
    signed: SignedStatement | None = None

    def is_by(self, actor: Actor) -> bool:
        """Tell whether it is somebody's, under whatever account."""
        return self.person == actor.person or self.actor_id == actor.id


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """Somebody took back an approval that they had given; never changed."""

    id: str
    approval_id: str
    decision_id: str
    actor_id: str
    person: str
    reason: str
    withdrawn_at: datetime


def standing(
    decisions: Sequence[Decision], withdrawals: Sequence[Withdrawal]
) -> tuple[Decision, ...]:
    """Return the decisions that nobody withdrew."""
    withdrawn = {each.decision_id for each in withdrawals}
    return tuple(each for each in decisions if each.id not in withdrawn)


def outcome(needed: int, decisions: Sequence[Decision]) -> ApprovalStatus:
    """Return what standing decisions make of an approval: one no rejects, ``needed`` people
    approve.
    """
    if any(decision.decision == "reject" for decision in decisions):
        return ApprovalStatus.REJECTED
    return ApprovalStatus.APPROVED if approvers(decisions) >= needed else ApprovalStatus.WAITING


def approvers(decisions: Sequence[Decision]) -> int:
    """Return how many different people approve."""
    return len({decision.person for decision in decisions if decision.decision == "approve"})


def items_of(irreversible: Sequence[Operation]) -> dict[str, str]:
    """Return what a plan cannot undo, by the name with which it is ticked: URN by name.

    The name is that of the resource, or its URN where two have the same.
    """
    urns = list(dict.fromkeys(each.urn for each in irreversible))
    names = {each.urn: each.name for each in irreversible}
    once = Counter(names.values())
    return {names[urn] if once[names[urn]] == 1 else urn: urn for urn in urns}


@dataclass(frozen=True, kw_only=True)
class Ticks:
    """What was ticked: the URNs, what was not, and what is not on the list."""

    urns: tuple[str, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]


def ticked(irreversible: Sequence[Operation], acknowledged: Sequence[str]) -> Ticks:
    """Compare what somebody ticked, by name or URN, with what a plan cannot undo."""
    items = items_of(irreversible)
    urns = {items.get(each, each) for each in acknowledged}
    known = set(items.values())
    return Ticks(
        urns=tuple(sorted(urns & known)),
        missing=tuple(name for name, urn in items.items() if urn not in urns),
        unknown=tuple(e for e in dict.fromkeys(acknowledged) if items.get(e, e) not in known),
    )
