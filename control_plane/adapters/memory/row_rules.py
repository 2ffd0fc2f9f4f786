"""What the database's triggers refuse, see ``migrations/versions/0001_row_rules.sql``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from control_plane.domain.approval import Approval, ApprovalStatus, Barred, Decision
from control_plane.domain.errors import (
    AlreadyDecided,
    ApprovalExpired,
    Conflict,
    MachineMayNotDecide,
    PlanOutOfDate,
    SeparationOfDuties,
)
from control_plane.domain.run import Run, RunStatus

T = TypeVar("T")
Visible = Callable[[str], Mapping[str, Any]]  # table name -> the rows this transaction sees
_GIVEN: Final = frozenset({ApprovalStatus.APPROVED, ApprovalStatus.CONSUMED})


def check_new_row(row: Any, visible: Visible) -> None:
    """Refuse a decision or an approval that may not be; raises the domain's errors."""
    if isinstance(row, Decision):
        _check_decision(row, visible)
    elif isinstance(row, Approval) and row.status is not ApprovalStatus.WAITING:
        raise _refused("approval_starts_waiting")


def check_changed_row(old: Any, new: Any, visible: Visible) -> None:
    """Refuse an approval without a decision, and a run that applies without its approval."""
    if isinstance(new, Approval):
        _check_approval(old, new, _rows(visible, "decision", Decision))
    elif isinstance(new, Run):
        _check_run(old, new, visible)


def _check_decision(row: Decision, visible: Visible) -> None:
    approval = visible("approval").get(row.approval_id)
    if not isinstance(approval, Approval):
        raise Conflict(
            "it refers to something that does not exist",
            constraint="fk_decision_approval_id_approval",
        )
    if row.actor_kind != "user":
        raise MachineMayNotDecide
    for barred in _rows(visible, "barred", Barred):
        if (barred.approval_id, barred.subject) == (row.approval_id, row.actor_id):
            raise SeparationOfDuties
    if approval.status is not ApprovalStatus.WAITING:
        raise AlreadyDecided
    if row.plan_digest != approval.plan_digest:
        raise PlanOutOfDate
    if row.decided_at >= approval.expires_at:
        raise ApprovalExpired


def _check_approval(old: Approval, new: Approval, decisions: Iterable[Decision]) -> None:
    bound = (old.run_id, old.plan_id, old.plan_digest)
    if (new.run_id, new.plan_id, new.plan_digest) != bound:
        raise _refused("approval_is_bound_to_its_plan")
    if new.status is old.status:
        return
    decided = any(
        (row.approval_id, row.decision, row.plan_digest) == (new.id, "approve", new.plan_digest)
        for row in decisions
    )
    if (
        new.status is ApprovalStatus.WAITING
        or (new.status is ApprovalStatus.CONSUMED and old.status is not ApprovalStatus.APPROVED)
        or (
            new.status is ApprovalStatus.APPROVED
            and not (old.status is ApprovalStatus.WAITING and decided)
        )
    ):
        raise _refused("approval_needs_decision")


def _check_run(old: Run, new: Run, visible: Visible) -> None:
    if new.status is not RunStatus.APPLYING or old.status is RunStatus.APPLYING:
        return
    if new.approval_id is not None:
        approval = visible("approval").get(new.approval_id)
        if approval is None or approval.status not in _GIVEN:
            raise _refused("run_needs_approval")


def _rows(visible: Visible, table: str, kind: type[T]) -> Iterable[T]:
    return (row for row in visible(table).values() if isinstance(row, kind))


def _refused(constraint: str) -> Conflict:
    return Conflict("this is never changed", constraint=constraint)
