"""The status tables, walked move by move."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest

from control_plane.domain.approval import APPROVAL_TRANSITIONS, ApprovalStatus
from control_plane.domain.bundle import BUNDLE_TRANSITIONS, BundleStatus
from control_plane.domain.delivery import DELIVERY_TRANSITIONS, DeliveryStatus
from control_plane.domain.errors import IllegalTransition
from control_plane.domain.journey import (
    JOURNEY_TRANSITIONS,
    STEP_TRANSITIONS,
    JourneyStatus,
    StepStatus,
)
from control_plane.domain.message import MESSAGE_TRANSITIONS, MessageStatus
from control_plane.domain.onboarding_link import LINK_TRANSITIONS, LinkStatus
from control_plane.domain.reconciling import INTAKE_FINDING_TRANSITIONS, IntakeFindingStatus
from control_plane.domain.run import (
    HOLDS_SLOT,
    LOOK_TRANSITIONS,
    NEXT_ACTION,
    PLAN_TRANSITIONS,
    RUN_TRANSITIONS,
    TERMINAL_RUN,
    TRANSITIONS_OF,
    BlockedOn,
    RunKind,
    RunStatus,
)
from control_plane.domain.saga import SAGA_TRANSITIONS, SagaStatus
from control_plane.domain.task import TASK_TRANSITIONS, TaskStatus
from control_plane.domain.transitions import terminal
from tests.entities import Entities
from tools import draw_status

TABLES: Mapping[str, tuple[type[StrEnum], Mapping[Any, frozenset[Any]]]] = {
    "run": (RunStatus, RUN_TRANSITIONS),
    "look": (RunStatus, LOOK_TRANSITIONS),
    "plan": (RunStatus, PLAN_TRANSITIONS),
    "approval": (ApprovalStatus, APPROVAL_TRANSITIONS),
    "bundle": (BundleStatus, BUNDLE_TRANSITIONS),
    "saga": (SagaStatus, SAGA_TRANSITIONS),
    "delivery": (DeliveryStatus, DELIVERY_TRANSITIONS),
    "intake_finding": (IntakeFindingStatus, INTAKE_FINDING_TRANSITIONS),
    "message": (MessageStatus, MESSAGE_TRANSITIONS),
    "journey": (JourneyStatus, JOURNEY_TRANSITIONS),
    "step": (StepStatus, STEP_TRANSITIONS),
    "task": (TaskStatus, TASK_TRANSITIONS),
    "link": (LinkStatus, LINK_TRANSITIONS),
}
MOVES = [
    (kind, current, target)
    for kind, (statuses, _) in TABLES.items()
    for current, target in itertools.product(statuses, repeat=2)
    if current in TABLES[kind][1]
]
S = RunStatus
# what applies nothing is never in these, and what applies is never merely planned
NEVER: Mapping[str, set[Any]] = {
    "run": {S.PLANNED},
    "plan": {S.POLICY_FAILED, S.AWAITING_APPROVAL, S.APPROVED, S.APPLYING, S.APPLIED, S.REJECTED,
             S.EXPIRED, S.VERIFYING, S.NO_CHANGES, S.BLOCKED},
    "look": {S.PLANNING, S.POLICY_FAILED, S.AWAITING_APPROVAL, S.APPROVED, S.APPLYING, S.APPLIED,
             S.REJECTED, S.EXPIRED, S.PLANNED},
}  # fmt: skip
KINDS_OF = {"run": RunKind.PROVISION, "look": RunKind.REFRESH, "plan": RunKind.PLAN}
TERMINAL = {
    "run": {"policy_failed", "applied", "no_changes", "rejected", "expired", "superseded",
            "canceled", "errored"},
    "look": {"no_changes", "superseded", "canceled", "errored"},
    "plan": {"planned", "superseded", "canceled", "errored"},
    "approval": {"rejected", "expired", "superseded", "canceled", "consumed"},
    "bundle": {"applied"},
    "saga": {"done", "undone"},
    "delivery": {"accepted", "repeated", "ignored", "dismissed"},
    "intake_finding": {"agreed", "settled"},
    "message": {"sent", "canceled"},
    "journey": {"canceled"},
    "step": {"done", "skipped", "canceled"},
    "task": {"done", "canceled"},
    "link": {"expired", "locked", "revoked"},
}  # fmt: skip


# what belongs to a tenant alone, by what makes one
OF_TENANTS = {
    "journey": "journey", "step": "step", "task": "task", "message": "message", "saga": "saga",
    "link": "onboarding_link",
}  # fmt: skip


def _entity(kind: str, status: StrEnum) -> Any:
    make = Entities()
    tenant = make.tenant()
    deployment = make.deployment(tenant)
    if kind in {"delivery", "intake_finding"}:
        return getattr(make, kind)(status=status)
    if kind in OF_TENANTS:
        return getattr(make, OF_TENANTS[kind])(tenant, status=status)
    if kind == "bundle":
        return make.bundle(deployment, status=status)
    if kind in KINDS_OF:
        return make.run(deployment, kind=KINDS_OF[kind], status=status)
    run = make.run(deployment, status=RunStatus.AWAITING_APPROVAL)
    return make.approval(make.plan(run), status=status)


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_knows_every_status_and_no_other(kind: str) -> None:
    statuses, table = TABLES[kind]
    assert set(table) == set(statuses) - NEVER.get(kind, set())
    assert set().union(*table.values()) <= set(table)


def test_every_kind_of_run_has_its_moves_and_ends_where_runs_end() -> None:
    assert set(TRANSITIONS_OF) == set(RunKind)
    for table in TRANSITIONS_OF.values():
        assert terminal(table) == TERMINAL_RUN & set(table)


@pytest.mark.parametrize(("kind", "current", "target"), MOVES)
def test_a_move_is_made_when_the_table_has_it_and_refused_when_not(
    kind: str, current: StrEnum, target: StrEnum
) -> None:
    entity = _entity(kind, current)
    now = Entities().clock.now()
    if target in TABLES[kind][1][current]:
        moved = entity.moved(target, now)
        assert (moved.status, moved.version) == (target, entity.version + 1)
    else:
        with pytest.raises(IllegalTransition) as refused:
            entity.moved(target, now)
        told = f"{entity.id} is {current}; it cannot become {target}"
        assert refused.value.message == told
    assert entity.status == current


@pytest.mark.parametrize("kind", TABLES)
def test_what_is_terminal_is_what_the_design_says(kind: str) -> None:
    assert {str(status) for status in terminal(TABLES[kind][1])} == TERMINAL[kind]


@pytest.mark.parametrize("kind", TABLES)
def test_every_status_is_reached_from_the_first_and_reaches_an_end(kind: str) -> None:
    _, table = TABLES[kind]
    assert _reached(table, next(iter(table))) == set(table)
    ends = terminal(table)
    for status in table:
        assert ends & _reached(table, status), f"nothing leads from {status} to an end"


def _reached(table: Mapping[Any, frozenset[Any]], first: Any) -> set[Any]:
    found, queue = {first}, [first]
    while queue:
        new = table[queue.pop()] - found
        found |= new
        queue += new
    return found


def test_a_run_that_ends_has_a_time_and_a_blocked_one_remembers_its_phase() -> None:
    now = Entities().clock.now()
    for current, targets in RUN_TRANSITIONS.items():
        for target in targets:
            moved = _entity("run", current).moved(target, now)
            assert (moved.ended_at is not None) == (target in TERMINAL_RUN)
            blocked_from = current if target is RunStatus.BLOCKED else None
            assert moved.blocked_from == blocked_from


def test_every_reason_to_be_blocked_has_one_next_action() -> None:
    assert set(NEXT_ACTION) == set(BlockedOn)
    assert set(NEXT_ACTION.values()) <= {"wait", "retry"}


def test_what_holds_the_slot_of_a_deployment_is_left_for_an_end_or_a_wait() -> None:
    for status in HOLDS_SLOT:
        assert status not in TERMINAL_RUN
        assert RUN_TRANSITIONS[status] <= HOLDS_SLOT | TERMINAL_RUN | {RunStatus.BLOCKED}


def test_the_drawn_tables_are_up_to_date() -> None:
    assert draw_status.PAGE.read_text(encoding="utf-8") == draw_status.page()
    assert {id(table) for _, table in draw_status.TABLES.values()} == {
        id(table) for _, table in TABLES.values()
    }
