"""What happens next to a run: one pure function over facts, written as a table.

``RULES`` is the workflow: the first rule that fits decides. It is drawn into ``docs/status.md``,
and a test walks every combination of facts. Nothing else decides what a run does next: the executor
(``workflows/advancing.py``) reads the facts, asks ``next_step``, performs the step and asks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from control_plane.domain.run import TERMINAL_RUN, BlockedOn, RunStatus


class PlanFact(StrEnum):
    """What the run's plan would do; of a resumed apply: what remains to be done."""

    NONE = "none"  # not planned yet
    EMPTY = "empty"
    CHANGES = "changes"


class ApprovalFact(StrEnum):
    """Where the decision on the run's plan stands."""

    NOT_NEEDED = "not_needed"
    MISSING = "missing"  # needed, and nobody has been asked
    WAITING = "waiting"
    GIVEN = "given"
    NOT_DUE = "not_due"  # given, and its change window is closed


class HoldFact(StrEnum):
    """What the holds that stand on the run's owner let an apply do; the strictest one counts."""

    NONE = "none"  # no hold stands
    FINISHES = "finishes"  # what began to apply before goes on, nothing else begins
    STOPS = "stops"


class EvidenceFact(StrEnum):
    """What the verification of this run found."""

    NONE = "none"
    HELD = "held"
    FAILED = "failed"


class ErrorFact(StrEnum):
    """How the last engine call of this turn ended, if not well."""

    NONE = "none"
    CANCELED = "canceled"  # the engine stopped because somebody asked for it
    TRANSIENT = "transient"  # the same call may succeed later
    FINAL = "final"


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Everything that decides what a run does next.

    ``looks``: the run is of a kind that applies nothing; ``drafts``: it only plans.
    ``settled``: the stack is as our records say; an engine call that ended badly, or a failed
    verification, leaves it unsettled. ``late``: the time in which the apply may start, or resume
    after an interruption, has passed. ``moved``: what would be applied is not what was approved.
    ``worn_out``: its processes died, or its calls failed temporarily, too often.
    """

    status: RunStatus
    looks: bool = False
    drafts: bool = False
    blocked_on: BlockedOn | None = None
    superseded: bool = False
    cancel_requested: bool = False
    worn_out: bool = False
    settled: bool = True
    plan: PlanFact = PlanFact.NONE
    violated: bool = False
    approval: ApprovalFact = ApprovalFact.NOT_NEEDED
    late: bool = False
    moved: bool = False
    hold: HoldFact = HoldFact.NONE
    obstacle: BlockedOn | None = None
    error: ErrorFact = ErrorFact.NONE
    evidence: EvidenceFact = EvidenceFact.NONE


class StepKind(StrEnum):
    """What the executor can do for a run."""

    DONE = "done"  # the run is at its end
    WAIT = "wait"  # until one of ``Step.wakers``
    PLACE = "place"  # find its Hub or account, write its spec, start planning
    SETTLE = "settle"  # clean up and resolve what earlier calls left on the stack
    PLAN = "plan"
    ASK = "ask"  # request a decision on the plan
    APPROVE = "approve"  # the approval rules need no decision, or it was given
    APPLY = "apply"  # or resume an interrupted apply
    VERIFY = "verify"
    BLOCK = "block"  # wait for the obstacle that was found, or for what the step names
    RETRY_LATER = "retry_later"
    END = "end"


class Waker(StrEnum):
    """What wakes a waiting run; each wait names at least one."""

    DECISION = "decision"  # a person decides
    RETRY = "retry"  # a person retries
    CANCEL = "cancel"  # a person cancels
    TIMER = "timer"
    WINDOW = "window"  # a change window opens
    HUB_READY = "hub_ready"
    ACCOUNT_ADDED = "account_added"
    HOLD_RELEASED = "hold_released"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step. ``end`` is the status that END gives the run.

    ``on`` is what BLOCK waits for, where the table says that and not what the turn ran into.
    """

    kind: StepKind
    end: RunStatus | None = None
    wakers: frozenset[Waker] = frozenset()
    on: BlockedOn | None = None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """For runs in ``statuses`` whose facts have the values of ``when``: ``step``."""

    statuses: frozenset[RunStatus]
    step: Step
    because: str
    when: Mapping[str, frozenset[Any]] = field(default_factory=dict)

    def fits(self, facts: RunFacts) -> bool:
        """Tell whether the rule is about these facts."""
        return facts.status in self.statuses and all(
            getattr(facts, name) in values for name, values in self.when.items()
        )


_S = RunStatus
_K = StepKind
_BEFORE_APPLY: Final = frozenset({_S.REQUESTED, _S.PLANNING, _S.AWAITING_APPROVAL, _S.APPROVED})
ACTIVE: Final = frozenset(
    {_S.REQUESTED, _S.PLANNING, _S.APPROVED, _S.APPLYING, _S.VERIFYING}
)  # a worker has something to do for these


def _one(*values: Any) -> frozenset[Any]:
    return frozenset(values)


def _end(status: RunStatus) -> Step:
    return Step(kind=_K.END, end=status)


def _wait(*wakers: Waker) -> Step:
    return Step(kind=_K.WAIT, wakers=frozenset({*wakers, Waker.CANCEL}))


def _blocked(on: BlockedOn, because: str, *wakers: Waker) -> Rule:
    return Rule(
        statuses=_one(_S.BLOCKED), when={"blocked_on": _one(on)}, step=_wait(*wakers),
        because=because,
    )  # fmt: skip


# what a turn can run into; that a hold stands is a fact of its own
_OBSTACLES: Final = frozenset(BlockedOn) - {BlockedOn.HOLD}
_HELD: Final = Step(kind=_K.BLOCK, on=BlockedOn.HOLD)
_YES: Final = frozenset({True})
_NO: Final = frozenset({False})

RULES: Final[tuple[Rule, ...]] = (
    Rule(statuses=TERMINAL_RUN, step=Step(kind=_K.DONE), because="The run has ended."),
    # --- what makes a run give way ------------------------------------------------------------
    Rule(statuses=_BEFORE_APPLY | {_S.BLOCKED}, when={"superseded": _YES},
         step=_end(_S.SUPERSEDED), because="A newer run of the deployment supersedes it."),
    Rule(statuses=_one(_S.VERIFYING),
         when={"looks": _YES, "superseded": _YES, "evidence": _one(EvidenceFact.NONE)},
         step=_end(_S.SUPERSEDED), because="A run that changes something goes before a look."),
    Rule(statuses=_BEFORE_APPLY | {_S.BLOCKED, _S.APPLYING}, when={"cancel_requested": _YES},
         step=_end(_S.CANCELED), because="Somebody canceled it, and no engine is working on it."),
    Rule(statuses=_one(_S.AWAITING_APPROVAL, _S.APPROVED, _S.APPLYING), when={"late": _YES},
         step=_end(_S.EXPIRED), because="It was not started, or not resumed, in time."),
    Rule(statuses=_one(_S.BLOCKED), when={"blocked_on": _one(BlockedOn.HOLD), "late": _YES},
         step=_end(_S.EXPIRED),
         because="A hold stood until its approval expired; a retry makes a new plan."),
    # --- blocked ------------------------------------------------------------------------------
    _blocked(BlockedOn.HUB_UNAVAILABLE, "No Hub in the region has capacity left.", Waker.HUB_READY),
    _blocked(BlockedOn.NO_ACCOUNT, "The account pool has no free account.",
             Waker.ACCOUNT_ADDED, Waker.RETRY),
    _blocked(BlockedOn.FOREIGN_LOCK, "Another process holds the lock; a timer retries.",
             Waker.TIMER, Waker.RETRY),
    _blocked(BlockedOn.PENDING_UNRESOLVED, "A person resolves what an interrupted call left.",
             Waker.RETRY),
    _blocked(BlockedOn.STATE_MOVED, "The approval no longer matches; a retry makes a new plan.",
             Waker.RETRY),
    _blocked(BlockedOn.HOLD, "A hold stands; the run continues when the last one is released.",
             Waker.HOLD_RELEASED),
    # --- what this turn ran into --------------------------------------------------------------
    Rule(statuses=_one(_S.VERIFYING),
         when={"looks": _YES, "evidence": _one(EvidenceFact.HELD, EvidenceFact.FAILED)},
         step=_end(_S.NO_CHANGES), because="It has looked; what differs is in the findings."),
    Rule(statuses=_one(_S.VERIFYING), when={"evidence": _one(EvidenceFact.FAILED)},
         step=_end(_S.ERRORED), because="A check of the verification failed."),
    Rule(statuses=ACTIVE, when={"worn_out": _YES},
         step=_end(_S.ERRORED), because="It crashed, or failed temporarily, too often."),
    Rule(statuses=_one(_S.VERIFYING), when={"error": _one(ErrorFact.CANCELED)},
         step=Step(kind=_K.RETRY_LATER),
         because="It is applied; the cancel came too late and only cut the check."),
    Rule(statuses=ACTIVE, when={"error": _one(ErrorFact.CANCELED, ErrorFact.FINAL)},
         step=_end(_S.ERRORED), because="The engine call failed permanently."),
    Rule(statuses=ACTIVE, when={"error": _one(ErrorFact.TRANSIENT)},
         step=Step(kind=_K.RETRY_LATER), because="The same call may succeed later."),
    Rule(statuses=_one(_S.APPROVED, _S.APPLYING), when={"moved": _YES},
         step=Step(kind=_K.BLOCK), because="A part of the approved plan has changed."),
    Rule(statuses=ACTIVE, when={"drafts": _NO, "obstacle": _OBSTACLES},
         step=Step(kind=_K.BLOCK), because="An obstacle prevents the next engine call."),
    # --- the way of a run ---------------------------------------------------------------------
    Rule(statuses=_one(_S.APPROVED), when={"approval": _one(ApprovalFact.NOT_DUE)},
         step=_wait(Waker.WINDOW), because="Its change window is closed; a timer continues."),
    Rule(statuses=_one(_S.REQUESTED), when={"looks": _YES, "drafts": _NO},
         step=Step(kind=_K.VERIFY), because="A look needs neither a place nor a plan."),
    Rule(statuses=_one(_S.REQUESTED), when={"drafts": _YES}, step=Step(kind=_K.PLACE),
         because="It has its place, and brings the spec that it plans."),
    Rule(statuses=_one(_S.REQUESTED), step=Step(kind=_K.PLACE),
         because="It needs a Hub or an account, and a spec."),
    Rule(statuses=_one(_S.PLANNING, _S.APPROVED, _S.APPLYING, _S.VERIFYING),
         when={"looks": _NO, "settled": _NO},
         step=Step(kind=_K.SETTLE), because="An earlier call may have left something behind."),
    Rule(statuses=_one(_S.PLANNING), when={"plan": _one(PlanFact.NONE)},
         step=Step(kind=_K.PLAN), because="The engine plans what would change."),
    Rule(statuses=_one(_S.PLANNING), when={"drafts": _YES}, step=_end(_S.PLANNED),
         because="It only plans; the change itself is another request."),
    Rule(statuses=_one(_S.PLANNING), when={"violated": _YES},
         step=_end(_S.POLICY_FAILED), because="The plan violates a mandatory policy."),
    Rule(statuses=_one(_S.PLANNING), when={"plan": _one(PlanFact.EMPTY)},
         step=Step(kind=_K.VERIFY), because="Nothing to apply; ready still needs evidence."),
    Rule(statuses=_one(_S.PLANNING), when={"approval": _one(ApprovalFact.NOT_NEEDED)},
         step=Step(kind=_K.APPROVE), because="The approval rules need no decision."),
    Rule(statuses=_one(_S.PLANNING), step=Step(kind=_K.ASK),
         because="The approval rules need a decision on this plan."),
    Rule(statuses=_one(_S.AWAITING_APPROVAL),
         when={"approval": _one(ApprovalFact.GIVEN, ApprovalFact.NOT_DUE)},
         step=Step(kind=_K.APPROVE), because="All the decisions it needs were given."),
    Rule(statuses=_one(_S.AWAITING_APPROVAL), step=_wait(Waker.DECISION, Waker.TIMER),
         because="It waits for decisions; a timer expires it."),
    Rule(statuses=_one(_S.APPLYING), when={"plan": _one(PlanFact.EMPTY)},
         step=Step(kind=_K.VERIFY), because="Nothing of the approved plan remains."),
    Rule(statuses=_one(_S.APPROVED), when={"hold": _one(HoldFact.FINISHES, HoldFact.STOPS)},
         step=_HELD, because="A hold stands: nothing begins to be applied."),
    Rule(statuses=_one(_S.APPLYING), when={"hold": _one(HoldFact.STOPS)},
         step=_HELD,
         because="A hold stands that stops what began before it: it is not resumed."),
    Rule(statuses=_one(_S.APPROVED, _S.APPLYING), step=Step(kind=_K.APPLY),
         because="The approved plan is applied, or what remains of it."),
    Rule(statuses=_one(_S.VERIFYING), when={"evidence": _one(EvidenceFact.NONE)},
         step=Step(kind=_K.VERIFY), because="Ready needs evidence of what exists."),
    Rule(statuses=_one(_S.VERIFYING), when={"plan": _one(PlanFact.CHANGES)},
         step=_end(_S.APPLIED), because="Applied, and every check passed."),
    Rule(statuses=_one(_S.VERIFYING), step=_end(_S.NO_CHANGES),
         because="Nothing to apply, and every check passed."),
)  # fmt: skip


def rule_for(facts: RunFacts) -> Rule:
    """Return the first rule that fits. The table is total: some rule fits each status."""
    return next(rule for rule in RULES if rule.fits(facts))


def next_step(facts: RunFacts) -> Step:
    """Return what happens next to a run with these facts."""
    return rule_for(facts).step
