"""Approval: a request for decisions on one plan digest; decision: one person's yes or no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

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
    _A.APPROVED: frozenset({_A.CONSUMED, _A.EXPIRED, _A.SUPERSEDED, _A.CANCELED}),
    _A.REJECTED: frozenset(),
    _A.EXPIRED: frozenset(),
    _A.SUPERSEDED: frozenset(),
    _A.CANCELED: frozenset(),
    _A.CONSUMED: frozenset(),
}


@dataclass(frozen=True, kw_only=True)
class Approval:
    """A request for decisions. ``expires_at`` bounds the start of the apply, not its end.

    ``rule``, ``needed`` and ``roles`` are what the approval rules said when it was asked for:
    how many different people must agree, and who may.
    """

    id: str
    run_id: str
    plan_id: str
    plan_digest: str
    tenant_id: str | None
    status: ApprovalStatus
    rule: str
    needed: int
    roles: tuple[str, ...]
    expires_at: datetime
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def moved(self, status: ApprovalStatus, now: datetime) -> Approval:
        """Return the approval in ``status``; the only way that its status changes."""
        move(APPROVAL_TRANSITIONS, self.status, status, subject=self.id)
        return replace(self, status=status, updated_at=now, version=self.version + 1)


@dataclass(frozen=True, kw_only=True)
class ExcludedApprover:
    """Somebody who may not decide on an approval, and why (requester, editor)."""

    id: str  # "<approval id>:<subject>"
    approval_id: str
    subject: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One person's yes or no on a plan digest, with a reason; never changed."""

    id: str
    approval_id: str
    decision: str  # "approve" or "reject"
    plan_digest: str
    actor_id: str
    person: str  # who that is, whatever account they used
    actor_kind: str
    reason: str
    decided_at: datetime


def outcome(needed: int, decisions: Sequence[Decision]) -> ApprovalStatus:
    """Return what decisions make of an approval: one no rejects, ``needed`` people approve."""
    if any(decision.decision == "reject" for decision in decisions):
        return ApprovalStatus.REJECTED
    people = {decision.person for decision in decisions if decision.decision == "approve"}
    return ApprovalStatus.APPROVED if len(people) >= needed else ApprovalStatus.WAITING
