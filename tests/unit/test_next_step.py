"""The table that decides what a run does next, over every combination of facts."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from control_plane.domain.next_step import (
    ACTIVE,
    RULES,
    ApprovalFact,
    ErrorFact,
    EvidenceFact,
    HoldFact,
    PlanFact,
    RunFacts,
    Step,
    StepKind,
    Waker,
    next_step,
    rule_for,
)
from control_plane.domain.run import (
    LOOK_TRANSITIONS,
    PLAN_TRANSITIONS,
    RUN_TRANSITIONS,
    TERMINAL_RUN,
    BlockedOn,
    RunStatus,
)

S, K = RunStatus, StepKind
VALUES: dict[str, tuple[Any, ...]] = {
    "superseded": (False, True),
    "cancel_requested": (False, True),
    "worn_out": (False, True),
    "settled": (False, True),
    "plan": tuple(PlanFact),
    "violated": (False, True),
    "approval": tuple(ApprovalFact),
    "late": (False, True),
    "moved": (False, True),
    "hold": tuple(HoldFact),
    "obstacle": (None, *(on for on in BlockedOn if on is not BlockedOn.HOLD)),
    "error": tuple(ErrorFact),
    "evidence": tuple(EvidenceFact),
}
# by whether the run applies nothing, and whether it only plans
TRANSITIONS = {
    (False, False): RUN_TRANSITIONS, (True, False): LOOK_TRANSITIONS,
    (True, True): PLAN_TRANSITIONS,
}  # fmt: skip
Reads = tuple[bool, bool]
# every status that such a run can have, and blocked once for each thing that blocks; a hold blocks
# what would apply something
PLACES = [
    (looks, status, on)
    for looks, table in TRANSITIONS.items()
    for status in table
    for on in (BlockedOn if status is S.BLOCKED else (None,))
    if not (looks[0] and on is BlockedOn.HOLD)
]
# the status in which a run is after a step, where the step names it
LEADS_TO = {
    K.PLACE: {S.PLANNING, S.BLOCKED},
    K.ASK: {S.AWAITING_APPROVAL},
    K.APPROVE: {S.APPROVED},
    K.BLOCK: {S.BLOCKED},
}


def combinations(
    looks: Reads, status: RunStatus, blocked_on: BlockedOn | None
) -> Iterator[RunFacts]:
    """Yield all facts of a run in one status."""
    for values in itertools.product(*VALUES.values()):
        # millions of them: the attributes are set at once, as the initializer sets them
        facts = object.__new__(RunFacts)
        vars(facts).update(zip(VALUES, values, strict=True), looks=looks[0], drafts=looks[1],
                           status=status, blocked_on=blocked_on)  # fmt: skip
        yield facts


def hold(facts: RunFacts, step: Step) -> None:
    """Assert what must hold of a step whatever the other facts are."""
    if step.kind is K.APPLY:  # nothing is applied without an approval that fits
        assert not facts.moved
        assert not facts.late
        assert not facts.cancel_requested
        assert facts.settled
        assert facts.status is S.APPLYING or facts.approval is not ApprovalFact.NOT_DUE
        may_finish = facts.status is S.APPLYING and facts.hold is HoldFact.FINISHES
        assert facts.hold is HoldFact.NONE or may_finish
    if step.on is BlockedOn.HOLD:  # nobody but the release of a hold wakes it then
        assert facts.hold is not HoldFact.NONE
        assert facts.status in {S.APPROVED, S.APPLYING}
        assert facts.settled
    if step.kind is K.APPROVE and facts.status is S.PLANNING:
        assert facts.approval is ApprovalFact.NOT_NEEDED
        assert not facts.violated
    if facts.drafts:  # it plans, and nothing follows from that
        assert step.kind in {K.PLACE, K.PLAN, K.END, K.DONE, K.RETRY_LATER}
        assert step.end is not S.PLANNED or facts.plan is not PlanFact.NONE
    elif facts.looks:  # nothing is planned, applied or settled, and what differs is no error
        assert step.kind in {K.VERIFY, K.END, K.WAIT, K.DONE, K.BLOCK, K.RETRY_LATER}
        assert step.end is not S.NO_CHANGES or facts.evidence is not EvidenceFact.NONE
    elif step.end in {S.APPLIED, S.NO_CHANGES}:  # no road to a good end but through checks
        assert facts.status is S.VERIFYING
        assert facts.evidence is EvidenceFact.HELD
        assert facts.settled


@cache
def decided(
    looks: Reads, status: RunStatus, blocked_on: BlockedOn | None
) -> dict[str, tuple[Step, int]]:
    """Return the sentences of the rules that decide in a place, with how many combinations."""
    found: Counter[str] = Counter()
    steps: dict[str, Step] = {}
    for facts in combinations(looks, status, blocked_on):
        rule = rule_for(facts)
        found[rule.because] += 1
        steps[rule.because] = rule.step
        hold(facts, rule.step)
    return {because: (steps[because], count) for because, count in found.items()}


@pytest.mark.parametrize(("looks", "status", "blocked_on"), PLACES)
def test_every_combination_has_one_step_and_none_is_stuck(
    looks: Reads, status: RunStatus, blocked_on: BlockedOn | None
) -> None:
    found = decided(looks, status, blocked_on)
    moves = TRANSITIONS[looks][status]
    for because, (step, _) in found.items():
        if status in TERMINAL_RUN:
            assert step.kind is K.DONE, because
        elif step.kind is K.WAIT:
            # an event, a person's act or a timer
            assert step.wakers > {Waker.CANCEL}, because
        elif step.kind is K.END:
            assert step.end in moves, because
        elif step.kind is K.RETRY_LATER:
            assert status in ACTIVE, because
        else:
            brings_its_place = looks[1] and step.kind is K.PLACE
            leads = {S.PLANNING} if brings_its_place else LEADS_TO.get(step.kind, set())
            assert leads <= set(moves), because
    assert sum(count for _, count in found.values()) == 2**7 * 3 * 5 * 3 * 6 * 4 * 3


def test_the_number_of_combinations() -> None:
    each = 1
    for values in VALUES.values():
        each *= len(values)
    assert each * len(PLACES) == 15_344_640


def test_every_rule_decides_something() -> None:
    """A rule that an earlier one covers would be a sentence that nobody obeys."""
    every = {because for place in PLACES for because in decided(*place)}
    assert every == {rule.because for rule in RULES}
    assert len(every) == len(RULES)


WAY = [
    (RunFacts(status=S.REQUESTED), K.PLACE),
    (RunFacts(status=S.PLANNING), K.PLAN),
    (RunFacts(status=S.PLANNING, settled=False), K.SETTLE),
    (RunFacts(status=S.PLANNING, plan=PlanFact.CHANGES), K.APPROVE),
    (RunFacts(status=S.PLANNING, plan=PlanFact.CHANGES, approval=ApprovalFact.MISSING), K.ASK),
    (RunFacts(status=S.PLANNING, plan=PlanFact.EMPTY, approval=ApprovalFact.MISSING), K.VERIFY),
    (RunFacts(status=S.APPROVED, plan=PlanFact.CHANGES, approval=ApprovalFact.GIVEN), K.APPLY),
    (RunFacts(status=S.APPROVED, approval=ApprovalFact.NOT_DUE, settled=False), K.WAIT),
    (RunFacts(status=S.APPROVED, approval=ApprovalFact.NOT_DUE, late=True), K.END),
    (RunFacts(status=S.APPLYING, approval=ApprovalFact.NOT_DUE), K.APPLY),
    (RunFacts(status=S.APPLYING, plan=PlanFact.CHANGES, settled=False), K.SETTLE),
    (RunFacts(status=S.APPLYING, plan=PlanFact.CHANGES), K.APPLY),
    (RunFacts(status=S.APPLYING, plan=PlanFact.EMPTY), K.VERIFY),
    (RunFacts(status=S.PLANNING, hold=HoldFact.STOPS), K.PLAN),
    (RunFacts(status=S.APPROVED, hold=HoldFact.FINISHES), K.BLOCK),
    (RunFacts(status=S.APPLYING, hold=HoldFact.FINISHES), K.APPLY),
    (RunFacts(status=S.APPLYING, hold=HoldFact.STOPS), K.BLOCK),
    (RunFacts(status=S.APPLYING, hold=HoldFact.STOPS, plan=PlanFact.EMPTY), K.VERIFY),
    (RunFacts(status=S.VERIFYING, hold=HoldFact.STOPS), K.VERIFY),
    (RunFacts(status=S.BLOCKED, blocked_on=BlockedOn.HOLD), K.WAIT),
    (RunFacts(status=S.BLOCKED, blocked_on=BlockedOn.HOLD, late=True), K.END),
    (RunFacts(status=S.VERIFYING, plan=PlanFact.CHANGES), K.VERIFY),
    (RunFacts(status=S.VERIFYING, error=ErrorFact.TRANSIENT), K.RETRY_LATER),
    (RunFacts(status=S.VERIFYING, obstacle=BlockedOn.STATE_MOVED), K.BLOCK),
    (RunFacts(status=S.REQUESTED, looks=True, settled=False), K.VERIFY),
    (RunFacts(status=S.VERIFYING, looks=True, settled=False), K.VERIFY),
    (RunFacts(status=S.VERIFYING, looks=True, error=ErrorFact.TRANSIENT), K.RETRY_LATER),
    (RunFacts(status=S.REQUESTED, looks=True, drafts=True), K.PLACE),
    (RunFacts(status=S.PLANNING, looks=True, drafts=True, settled=False), K.PLAN),
    (
        RunFacts(status=S.PLANNING, looks=True, drafts=True, plan=PlanFact.CHANGES, violated=True),
        K.END,
    ),
]


@pytest.mark.parametrize(("facts", "kind"), WAY)
def test_the_way_of_a_run(facts: RunFacts, kind: StepKind) -> None:
    assert next_step(facts).kind is kind


def test_the_facts_are_all_walked() -> None:
    names = {field.name for field in dataclasses.fields(RunFacts)}
    assert names == {"looks", "drafts", "status", "blocked_on", *VALUES}


LOOK_ENDS = [
    ({"status": S.REQUESTED, "superseded": True}, S.SUPERSEDED),
    ({"status": S.VERIFYING, "superseded": True}, S.SUPERSEDED),
    # what it has found is kept, and it is done
    ({"status": S.VERIFYING, "superseded": True, "evidence": EvidenceFact.HELD}, S.NO_CHANGES),
    ({"status": S.VERIFYING, "evidence": EvidenceFact.FAILED}, S.NO_CHANGES),
    ({"status": S.VERIFYING, "error": ErrorFact.FINAL}, S.ERRORED),
]


@pytest.mark.parametrize(("facts", "end"), LOOK_ENDS)
def test_a_look_gives_way_and_ends_well_whatever_it_finds(
    facts: dict[str, Any], end: RunStatus
) -> None:
    assert next_step(RunFacts(looks=True, **facts)).end is end
