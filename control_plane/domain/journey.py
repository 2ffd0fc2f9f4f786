"""A journey: a playbook under way for one tenant, with a row for each of its steps.

``moves`` is the only place that says which step begins, waits or is left out; it reads the playbook
and the rows, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from control_plane.domain.actions import SETTLED_LATER
from control_plane.domain.errors import IllegalTransition
from control_plane.domain.playbook import Again, Playbook, Step, StepKind, Time, unmet
from control_plane.domain.transitions import move, terminal

Json = Mapping[str, Any]


class JourneyStatus(StrEnum):
    """Where a journey stands."""

    OPEN = "open"
    CANCELING = "canceling"  # what was done is taken back
    DONE = "done"  # every step has ended; taken back all the same when the tenant is removed
    CANCELED = "canceled"  # terminal


JOURNEY_TRANSITIONS: Final[Mapping[JourneyStatus, frozenset[JourneyStatus]]] = {
    JourneyStatus.OPEN: frozenset({JourneyStatus.CANCELING, JourneyStatus.DONE}),
    JourneyStatus.DONE: frozenset({JourneyStatus.CANCELING}),
    JourneyStatus.CANCELING: frozenset({JourneyStatus.CANCELED}),
    JourneyStatus.CANCELED: frozenset(),
}
MOVING: Final = frozenset({JourneyStatus.OPEN, JourneyStatus.CANCELING})


class StepStatus(StrEnum):
    """Where a step of a journey stands."""

    WAITING = "waiting"  # for the steps that it needs, or for the instant that it counts from
    SCHEDULED = "scheduled"  # for its time
    WORKING = "working"  # the product works on it
    ASKED = "asked"  # a person, or a system of others, has to answer
    FAILED = "failed"  # a person retries it, or skips it with a reason
    DONE = "done"  # terminal in its round
    SKIPPED = "skipped"  # terminal in its round; its reason says why
    CANCELED = "canceled"  # terminal


_S = StepStatus
STEP_TRANSITIONS: Final[Mapping[StepStatus, frozenset[StepStatus]]] = {
    _S.WAITING: frozenset({_S.SCHEDULED, _S.WORKING, _S.ASKED, _S.SKIPPED, _S.CANCELED}),
    _S.SCHEDULED: frozenset({_S.WORKING, _S.ASKED, _S.SKIPPED, _S.CANCELED}),
    _S.WORKING: frozenset({_S.ASKED, _S.FAILED, _S.DONE, _S.SKIPPED, _S.CANCELED}),
    _S.ASKED: frozenset({_S.WORKING, _S.FAILED, _S.DONE, _S.SKIPPED, _S.CANCELED}),
    _S.FAILED: frozenset({_S.WORKING, _S.DONE, _S.SKIPPED, _S.CANCELED}),
    _S.DONE: frozenset(),
    _S.SKIPPED: frozenset(),
    _S.CANCELED: frozenset(),
}
ENDED: Final = terminal(STEP_TRANSITIONS)
# what is left out when it is needless by now; what is under way comes to its end
_NEEDLESS: Final = frozenset({_S.WAITING, _S.SCHEDULED, _S.ASKED, _S.FAILED})


@dataclass(frozen=True, kw_only=True)
class Journey:
    """A playbook that a tenant is taken through; its digest pins the document.

    ``anchors`` are the instants that are known by now, ``turn`` the one of the queue that is next
    or under way. ``reason`` says why it is canceled.
    """

    id: str
    tenant_id: str
    contract_ref: str
    playbook_key: str
    playbook_version: int
    playbook_digest: str
    status: JourneyStatus
    anchors: Mapping[str, datetime]
    reason: str | None = None
    turn: int = 1
    started_at: datetime
    ended_at: datetime | None = None
    updated_at: datetime
    version: int = 1

    @property
    def playbook(self) -> str:
        """The playbook's key and version, ``KEY/VERSION``."""
        return f"{self.playbook_key}/{self.playbook_version}"

    def moved(self, status: JourneyStatus, now: datetime, **changes: Any) -> Journey:
        """Return it in ``status``. Raises ``IllegalTransition``."""
        move(JOURNEY_TRANSITIONS, self.status, status, subject=self.id)
        changes["ended_at"] = None if status in MOVING else now
        return replace(self, status=status, updated_at=now, version=self.version + 1, **changes)

    def changed(self, now: datetime, **changes: Any) -> Journey:
        """Return it with other facts; one that has ended stays as it is."""
        if self.status not in MOVING:
            raise IllegalTransition(f"{self.id} has ended", subject=self.id)
        return replace(self, updated_at=now, version=self.version + 1, **changes)


@dataclass(frozen=True, kw_only=True)
class JourneyStep:
    """A step of a journey in its present round; ``round`` counts how often it began again.

    ``result`` is what it brought, ``outcome`` which of its outcomes. ``attempts`` counts those of
    this round, ``failures`` those in a row that brought nothing. ``wakes_at`` is when a scheduled
    one begins, or one that failed for now is tried again. ``tried_at`` is when the attempt began
    that is under way. ``undone_at`` is when it was taken back.
    """

    id: str  # "<journey id>.<key>"
    journey_id: str
    tenant_id: str
    key: str
    kind: StepKind
    owner: str
    round: int = 1
    status: StepStatus
    outcome: str | None = None
    reason: str | None = None
    due_at: datetime | None = None
    wakes_at: datetime | None = None
    attempts: int = 0
    failures: int = 0
    tried_at: datetime | None = None
    error: Json | None = None
    result: Json = field(default_factory=dict)
    started_at: datetime | None = None
    ended_at: datetime | None = None
    undone_at: datetime | None = None
    updated_at: datetime
    version: int = 1

    def moved(self, status: StepStatus, now: datetime, **changes: Any) -> JourneyStep:
        """Return it in ``status``, with the reason, error and time of waking of that status.

        Raises ``IllegalTransition``.
        """
        move(STEP_TRANSITIONS, self.status, status, subject=self.id)
        kept = {"reason": None, "error": None, "wakes_at": None, "tried_at": None, "failures": 0}
        changes = {**kept, **changes}
        if status in ENDED:
            changes["ended_at"] = now
        elif self.started_at is None and status in {StepStatus.WORKING, StepStatus.ASKED}:
            changes["started_at"] = now
        return replace(self, status=status, updated_at=now, version=self.version + 1, **changes)

    def changed(self, now: datetime, **changes: Any) -> JourneyStep:
        """Return it with other facts in the same status."""
        if "status" in changes:
            raise ValueError("only moved() changes a status")
        return replace(self, updated_at=now, version=self.version + 1, **changes)

    def begun_again(self, now: datetime) -> JourneyStep:
        """Return it as the first row of its next round."""
        return JourneyStep(
            id=self.id,
            journey_id=self.journey_id,
            tenant_id=self.tenant_id,
            key=self.key,
            kind=self.kind,
            owner=self.owner,
            round=self.round + 1,
            status=StepStatus.WAITING,
            updated_at=now,
            version=self.version + 1,
        )


def step_id(journey_id: str, key: str) -> str:
    """Return the id of a journey's step."""
    return f"{journey_id}.{key}"


@dataclass(frozen=True, kw_only=True)
class Move:
    """A step goes to ``status``, which ``reason`` explains; until ``at`` where it is scheduled."""

    key: str
    status: StepStatus
    reason: str | None = None
    at: datetime | None = None


Instant = Callable[[Time], datetime | None]  # None: what it counts from is not known yet


def moves(
    playbook: Playbook,
    steps: Mapping[str, JourneyStep],
    facts: Mapping[str, str],
    *,
    instant: Instant,
    now: datetime,
    begun: datetime | None = None,
) -> tuple[Move, ...]:
    """Return what moves now, in the order of the document; each step once.

    ``begun`` is when the journey began, for steps that leave others a grace from then on.
    A step that is left out may let another begin, so this looks until nothing moves any more.
    """
    present = dict(steps)
    found: dict[str, Move] = {}
    while True:
        new = [
            each
            for step in playbook.steps
            if step.key not in found
            and (each := _move(step, present, facts, _earliest(step, instant, begun), now))
            is not None
        ]
        if not new:
            break
        for each in new:
            found[each.key] = each
            present[each.key] = replace(present[each.key], status=each.status, outcome=None)
    return tuple(found[step.key] for step in playbook.steps if step.key in found)


def _earliest(step: Step, instant: Instant, begun: datetime | None) -> Instant:
    """Return the instants of a step's times, none of them within its grace."""
    if step.unless is None or begun is None:
        return instant
    first = begun + timedelta(hours=step.unless.grace_hours)

    def later(time: Time) -> datetime | None:
        at = instant(time)
        return None if at is None else max(at, first)

    return later


def _move(
    step: Step,
    steps: Mapping[str, JourneyStep],
    facts: Mapping[str, str],
    instant: Instant,
    now: datetime,
) -> Move | None:
    row = steps[step.key]
    unless = steps[step.unless.step] if step.unless is not None else None
    if unless is not None and unless.status in ENDED and row.status in _NEEDLESS:
        return Move(key=step.key, status=StepStatus.SKIPPED, reason=f"{unless.key} has ended")
    if row.status is StepStatus.SCHEDULED:
        return None if row.wakes_at is None or row.wakes_at > now else _begin(step)
    if row.status is not StepStatus.WAITING:
        return None
    if any(steps[need.step].status not in ENDED for need in step.needs):
        return None
    if any(name in step.conditions and name not in facts for name in SETTLED_LATER):
        return None
    left_out = _left_out(step, steps, facts)
    if left_out is not None:
        return left_out
    at = now if step.starts is None else instant(step.starts)
    if at is None:
        return None
    return _begin(step) if at <= now else Move(key=step.key, status=StepStatus.SCHEDULED, at=at)


def _left_out(
    step: Step, steps: Mapping[str, JourneyStep], facts: Mapping[str, str]
) -> Move | None:
    """Return the move of a step that is not taken, though all that it needs has ended."""
    for need in step.needs:
        needed = steps[need.step]
        if needed.status is StepStatus.CANCELED:
            reason = f"{need.step} was canceled"
            return Move(key=step.key, status=StepStatus.CANCELED, reason=reason)
        if need.outcome is not None and needed.outcome != need.outcome:
            ended = needed.outcome or str(needed.status)
            reason = f"{need.step} ended as {ended}, not as {need.outcome}"
            return Move(key=step.key, status=StepStatus.SKIPPED, reason=reason)
    broken = unmet(step.conditions, facts)
    return Move(key=step.key, status=StepStatus.SKIPPED, reason=broken) if broken else None


def _begin(step: Step) -> Move:
    status = StepStatus.ASKED if step.is_of_people else StepStatus.WORKING
    return Move(key=step.key, status=status)


def way_back(playbook: Playbook, step: JourneyStep) -> Again | None:
    """Return the way back that a step's outcome takes, unless it was taken often enough."""
    for again in playbook.by_key[step.key].again:
        if again.outcome == step.outcome:
            return again if step.round <= again.limit else None
    return None


def begins_again(playbook: Playbook, again: Again) -> tuple[str, ...]:
    """Return the keys of the steps that a way back lets begin again, in the document's order."""
    keys = playbook.from_step(again.back_to)
    return tuple(step.key for step in playbook.steps if step.key in keys)


def has_ended(steps: Mapping[str, JourneyStep]) -> bool:
    """Tell whether every step has ended."""
    return all(step.status in ENDED for step in steps.values())
