"""A run: one attempt of the engine on a deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from control_plane.domain.cause import Cause
from control_plane.domain.documents import Documented, Readers
from control_plane.domain.transitions import move, terminal


class RunKind(StrEnum):
    """What a run is for; ``domain/kinds`` has what each kind needs and means."""

    PROVISION = "provision"
    UPDATE = "update"
    REFRESH = "refresh"
    PLAN = "plan"
    DESTROY = "destroy"


class RunStatus(StrEnum):
    """Past participles are finished stages, ``-ing`` is in progress."""

    REQUESTED = "requested"
    PLANNING = "planning"  # the engine previews, policies read the plan
    PLANNED = "planned"  # terminal, of a run that only plans
    POLICY_FAILED = "policy_failed"  # terminal: a mandatory violation
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"  # by a person, or by the rule that needs none
    APPLYING = "applying"
    VERIFYING = "verifying"
    APPLIED = "applied"  # terminal: applied and every check passed
    NO_CHANGES = "no_changes"  # terminal: the plan was empty
    REJECTED = "rejected"  # terminal
    EXPIRED = "expired"  # terminal: not decided or not started in time
    SUPERSEDED = "superseded"  # terminal: a newer plan took its place
    CANCELED = "canceled"  # terminal
    ERRORED = "errored"  # terminal: retry makes a new run
    BLOCKED = "blocked"  # waits for what blocked_on names


class BlockedOn(StrEnum):
    """What a blocked run waits for; each has exactly one next action (``NEXT_ACTION``)."""

    HUB_UNAVAILABLE = "hub_unavailable"
    NO_ACCOUNT = "no_account"
    FOREIGN_LOCK = "foreign_lock"
    PENDING_UNRESOLVED = "pending_unresolved"
    STATE_MOVED = "state_moved"
    HOLD = "hold"


NEXT_ACTION: Final[Mapping[BlockedOn, str]] = {
    BlockedOn.HUB_UNAVAILABLE: "wait",  # goes on by itself when a Hub is ready
    BlockedOn.NO_ACCOUNT: "wait",  # goes on by itself when an account is added or released
    BlockedOn.FOREIGN_LOCK: "retry",  # a timer looks again as well
    BlockedOn.PENDING_UNRESOLVED: "retry",
    BlockedOn.STATE_MOVED: "retry",  # a fresh plan supersedes this run
    BlockedOn.HOLD: "wait",  # goes on by itself when the hold is released
}

_S = RunStatus
RUN_TRANSITIONS: Final[Mapping[RunStatus, frozenset[RunStatus]]] = {
    _S.REQUESTED: frozenset({_S.PLANNING, _S.BLOCKED, _S.CANCELED, _S.SUPERSEDED, _S.ERRORED}),
    _S.PLANNING: frozenset(
        {_S.POLICY_FAILED, _S.AWAITING_APPROVAL, _S.APPROVED, _S.VERIFYING, _S.BLOCKED,
         _S.CANCELED, _S.SUPERSEDED, _S.ERRORED}
    ),
    _S.POLICY_FAILED: frozenset(),
    _S.AWAITING_APPROVAL: frozenset(
        {_S.APPROVED, _S.REJECTED, _S.EXPIRED, _S.SUPERSEDED, _S.CANCELED}
    ),
    # back to waiting: somebody withdrew an approval that it needs
    _S.APPROVED: frozenset(
        {_S.AWAITING_APPROVAL, _S.APPLYING, _S.BLOCKED, _S.EXPIRED, _S.CANCELED, _S.SUPERSEDED,
         _S.ERRORED}
    ),
    _S.APPLYING: frozenset({_S.VERIFYING, _S.BLOCKED, _S.EXPIRED, _S.CANCELED, _S.ERRORED}),
    _S.VERIFYING: frozenset({_S.APPLIED, _S.NO_CHANGES, _S.BLOCKED, _S.ERRORED}),
    _S.APPLIED: frozenset(),
    _S.NO_CHANGES: frozenset(),
    _S.REJECTED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.SUPERSEDED: frozenset(),
    _S.CANCELED: frozenset(),
    _S.ERRORED: frozenset(),
    _S.BLOCKED: frozenset(
        {_S.REQUESTED, _S.PLANNING, _S.AWAITING_APPROVAL, _S.APPROVED, _S.APPLYING,
         _S.VERIFYING, _S.SUPERSEDED, _S.CANCELED, _S.EXPIRED, _S.ERRORED}
    ),
}  # fmt: skip
# a run that only looks: it plans and applies nothing, so that nobody approves it
LOOK_TRANSITIONS: Final[Mapping[RunStatus, frozenset[RunStatus]]] = {
    _S.REQUESTED: frozenset({_S.VERIFYING, _S.BLOCKED, _S.CANCELED, _S.SUPERSEDED, _S.ERRORED}),
    _S.VERIFYING: frozenset({_S.NO_CHANGES, _S.BLOCKED, _S.CANCELED, _S.SUPERSEDED, _S.ERRORED}),
    _S.NO_CHANGES: frozenset(),
    _S.SUPERSEDED: frozenset(),
    _S.CANCELED: frozenset(),
    _S.ERRORED: frozenset(),
    _S.BLOCKED: frozenset(
        {_S.REQUESTED, _S.VERIFYING, _S.CANCELED, _S.SUPERSEDED, _S.ERRORED}
    ),
}  # fmt: skip
# a run that only plans: its plan is read, and nobody approves it
PLAN_TRANSITIONS: Final[Mapping[RunStatus, frozenset[RunStatus]]] = {
    _S.REQUESTED: frozenset({_S.PLANNING, _S.CANCELED, _S.SUPERSEDED, _S.ERRORED}),
    _S.PLANNING: frozenset({_S.PLANNED, _S.CANCELED, _S.SUPERSEDED, _S.ERRORED}),
    _S.PLANNED: frozenset(),
    _S.SUPERSEDED: frozenset(),
    _S.CANCELED: frozenset(),
    _S.ERRORED: frozenset(),
}
TRANSITIONS_OF: Final[Mapping[RunKind, Mapping[RunStatus, frozenset[RunStatus]]]] = {
    RunKind.PROVISION: RUN_TRANSITIONS,
    RunKind.UPDATE: RUN_TRANSITIONS,
    RunKind.REFRESH: LOOK_TRANSITIONS,
    RunKind.PLAN: PLAN_TRANSITIONS,
    RunKind.DESTROY: RUN_TRANSITIONS,
}
TERMINAL_RUN: Final = terminal(RUN_TRANSITIONS) | terminal(PLAN_TRANSITIONS)
CHANGING: Final = frozenset(RunKind) - {RunKind.REFRESH, RunKind.PLAN}  # others change nothing
HOLDS_SLOT: Final = frozenset({_S.APPLYING, _S.VERIFYING})  # one a deployment, by the schema


@dataclass(frozen=True, kw_only=True)
class Scope(Documented):
    """The resources, by URN, that decisions on findings limit a run to.

    One that ``adopts`` takes what the cloud has of them into the state, and plans the new spec over
    it. Any other reverts: it plans and applies these resources alone, towards the applied spec.
    """

    _readers: ClassVar[Readers] = {"urns": tuple}

    urns: tuple[str, ...]
    adopts: bool = False


@dataclass(frozen=True, kw_only=True)
class Run:
    """One attempt of the engine to bring a deployment from one spec to the next.

    ``spec_number`` is the spec it works towards, 0 until it has a place. ``draft`` is the spec of a
    run that only plans: nobody has asked for it yet, so that it is none of the deployment's.
    ``requesters`` are everyone who asked for it, or for the runs that it follows: none of them
    decides on its plan.
    ``states_written`` are digests of states that this run wrote. ``turn`` counts how often it was
    enqueued, ``deaths`` how often a process died with it, ``failures`` transient errors in a row;
    ``is_working`` is true while a worker is on it. ``error`` is ``{code, message, data}`` of the
    error that ended it, blocked it or makes it wait.
    """

    id: str
    deployment_id: str
    tenant_id: str | None
    number: int = 1  # of the deployment's runs, in the order in which they were requested
    kind: RunKind
    status: RunStatus
    spec_number: int = 0
    requested_by: str
    on_behalf_of: str | None = None
    requesters: tuple[str, ...] = ()
    requested_at: datetime
    started_at: datetime | None = None  # of the apply
    ended_at: datetime | None = None
    blocked_on: BlockedOn | None = None
    blocked_from: RunStatus | None = None
    plan_id: str | None = None
    approval_id: str | None = None
    evidence_id: str | None = None
    supersedes: str | None = None
    retry_of: str | None = None
    draft: Mapping[str, Any] | None = None
    scope: Scope | None = None  # None: all of the deployment
    cause: Cause | None = None  # the step of a journey that it was made for
    cancel_requested: bool = False
    state_before: str | None = None
    states_written: tuple[str, ...] = ()
    turn: int = 1
    deaths: int = 0
    failures: int = 0
    is_working: bool = False
    error: Mapping[str, Any] | None = None
    updated_at: datetime
    version: int = 1

    def followed_by(self, subjects: Sequence[str], now: datetime) -> Run:
        """Return the run with somebody more who stands behind it."""
        return self.changed(now, requesters=tuple(dict.fromkeys((*self.requesters, *subjects))))

    @property
    def attempt(self) -> int:
        """Number of the present attempt: each death of a process begins a new one."""
        return self.deaths + 1

    def moved(self, status: RunStatus, now: datetime, **changes: Any) -> Run:
        """Return the run in ``status``; the only way that its status changes.

        ``changes`` are other fields that change with it. Raises ``IllegalTransition``, also for a
        move that runs of its kind do not make.
        """
        move(TRANSITIONS_OF[self.kind], self.status, status, subject=self.id)
        if status is RunStatus.BLOCKED:
            changes.setdefault("blocked_from", self.status)
        else:
            changes.setdefault("blocked_on", None)
            changes.setdefault("blocked_from", None)
        if status in TERMINAL_RUN:
            changes.setdefault("ended_at", now)
        return replace(self, status=status, updated_at=now, version=self.version + 1, **changes)

    def changed(self, now: datetime, **changes: Any) -> Run:
        """Return the run with other facts in the same status."""
        if "status" in changes:
            raise ValueError("only moved() changes a status")
        return replace(self, updated_at=now, version=self.version + 1, **changes)


@dataclass(frozen=True, kw_only=True)
class RunEvent:
    """One line of a run's progress; numbered per run from 1, never changed."""

    run_id: str
    seq: int
    time: datetime
    kind: str
    body: Mapping[str, Any] = field(default_factory=dict)
