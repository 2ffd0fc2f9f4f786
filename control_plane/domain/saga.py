"""A saga: one intention for a tenant or a Hub that takes several steps, each with its record.

What the steps of a kind are is declared in ``domain/sagas``. The row says at which step it is and
what that waits for; each attempt of a step has a row of its own, written before and after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from control_plane.domain.transitions import move, terminal

Json = Mapping[str, Any]


class SagaKind(StrEnum):
    """What a saga is for; ``domain/sagas`` has the steps of each."""

    REMOVAL = "removal"
    MODE_UPGRADE = "mode_upgrade"  # with the tenant's data
    MODE_REPLACEMENT = "mode_replacement"  # before anything is stored
    MODE_HANDOVER = "mode_handover"  # with the data, into an account of the customer


class SagaStatus(StrEnum):
    """Where a saga stands."""

    WORKING = "working"  # a worker takes the present step
    WAITING = "waiting"  # the present step waits for a run, a time or a person
    STUCK = "stuck"  # the present step failed: a person retries it or withdraws the saga
    DONE = "done"  # terminal: every step was taken
    UNDONE = "undone"  # terminal: withdrawn, and what had been done is taken back


_S = SagaStatus
SAGA_TRANSITIONS: Final[Mapping[SagaStatus, frozenset[SagaStatus]]] = {
    _S.WORKING: frozenset({_S.WAITING, _S.STUCK, _S.DONE, _S.UNDONE}),
    _S.WAITING: frozenset({_S.WORKING}),
    _S.STUCK: frozenset({_S.WORKING}),
    _S.DONE: frozenset(),
    _S.UNDONE: frozenset(),
}
TERMINAL_SAGA: Final = terminal(SAGA_TRANSITIONS)


class StepOutcome(StrEnum):
    """How one attempt of a step ended."""

    DONE = "done"
    SKIPPED = "skipped"  # nothing had to be done; its result says why
    FAILED = "failed"
    WITHDRAWN = "withdrawn"  # it had not ended when the saga was withdrawn


@dataclass(frozen=True, kw_only=True)
class Saga:
    """One saga of a tenant or of a Hub; an owner has one that is open at most.

    ``step`` is the present step. While ``is_undoing`` the steps that were taken are taken back,
    newest first. ``data`` holds facts that later steps need. ``waits_for`` says in words what a
    waiting one waits for, and ``due_at`` until when, if it is a time. ``requesters`` are everyone
    who stands behind its request. ``turn`` counts how often it was enqueued.
    """

    id: str
    tenant_id: str | None
    hub_id: str | None
    kind: SagaKind
    status: SagaStatus
    step: str
    is_undoing: bool = False
    reason: str
    requested_by: str
    requesters: tuple[str, ...]
    data: Json = field(default_factory=dict)
    waits_for: str | None = None
    due_at: datetime | None = None
    error: Json | None = None
    turn: int = 1
    started_at: datetime
    ended_at: datetime | None = None
    updated_at: datetime
    version: int = 1

    @property
    def is_open(self) -> bool:
        """Tell whether it has not ended."""
        return self.status not in TERMINAL_SAGA

    @property
    def behind(self) -> tuple[str, ...]:
        """Everyone who stands behind it: who asked for it, and who retried or withdrew it."""
        return tuple(dict.fromkeys((*self.requesters, *self.data.get("joined", ()))))

    def joined(self, subjects: Sequence[str], now: datetime) -> Saga:
        """Return it with somebody more behind it; its request stays as it was made."""
        more = [each for each in self.behind if each not in self.requesters]
        joined = list(dict.fromkeys((*more, *subjects)))
        return self.changed(now, data={**self.data, "joined": joined})

    def moved(self, status: SagaStatus, now: datetime, **changes: Any) -> Saga:
        """Return it in ``status``; the only way that its status changes.

        What it waits for and the error are those of the new status. Raises ``IllegalTransition``.
        """
        move(SAGA_TRANSITIONS, self.status, status, subject=self.id)
        changes = {"waits_for": None, "due_at": None, "error": None, **changes}
        if status in TERMINAL_SAGA:
            changes["ended_at"] = now
        return replace(self, status=status, updated_at=now, version=self.version + 1, **changes)

    def changed(self, now: datetime, **changes: Any) -> Saga:
        """Return it with other facts in the same status."""
        if "status" in changes:
            raise ValueError("only moved() changes a status")
        return replace(self, updated_at=now, version=self.version + 1, **changes)


@dataclass(frozen=True, kw_only=True)
class SagaStep:
    """One attempt of a step. ``run_id`` is the run that it requested, if it did.

    ``is_undo``: it takes the step back. ``result`` is what it says of what it did.
    """

    id: str  # "<saga id>.<number>", numbered so that they sort
    saga_id: str
    number: int
    name: str
    is_undo: bool
    run_id: str | None = None
    result: Json = field(default_factory=dict)
    started_at: datetime
    ended_at: datetime | None = None
    outcome: StepOutcome | None = None
    error: Json | None = None
    version: int = 1

    def changed(self, **changes: Any) -> SagaStep:
        """Return it with other facts."""
        return replace(self, version=self.version + 1, **changes)


def step_id(saga_id: str, number: int) -> str:
    """Return the id of an attempt; ids sort as the attempts were made."""
    return f"{saga_id}.{number:04d}"
