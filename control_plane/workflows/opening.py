"""When an approved plan may begin to be applied: its change windows, and the wait for them."""

from __future__ import annotations

from control_plane.domain.approval import Approval
from control_plane.domain.change_window import Opening, next_opening
from control_plane.domain.run import Run
from control_plane.domain.timers import TimerKind
from control_plane.workflows.core import Act
from control_plane.workflows.moving import progress


def opening_of(act: Act, approval: Approval) -> Opening | None:
    """Return the present or next opening of an approval's windows before it expires.

    None without windows, and where none opens in time. A window that the rules no longer have is
    left to the gate: then the rules have moved.
    """
    known = act.core.rules.approvals.windows
    windows = [known[name] for name in approval.windows if name in known]
    found = next_opening(windows, act.now()) if windows else None
    return found if found is not None and found.start < approval.expires_at else None


def wait_for_opening(act: Act, run: Run) -> None:
    """Let an approved run whose window is closed be taken up when it opens.

    If none opens in time there is nothing to wait for: the approval expires.
    """
    approval = act.uow.approvals.need(run.approval_id, lock=True)
    act.uow.timers.cancel(TimerKind.RUN_WATCH, run.id)
    if approval.closes_at is not None and act.now() >= approval.closes_at:
        opening = opening_of(act, approval)
        approval = approval.opened(opening, act.now())
        act.uow.approvals.save(approval)
        tell_opening(act, run, approval)
    if approval.opens_at is not None and approval.opens_at < approval.expires_at:
        act.uow.timers.set(TimerKind.RUN_TURN, run.id, approval.opens_at)


def tell_opening(act: Act, run: Run, approval: Approval) -> None:
    """Tell who watches a run from when on it is applied, where that is not now."""
    if approval.windows and not approval.is_due(act.now()):
        progress(act, run.id, ("window", shown_opening(approval)))


def shown_opening(approval: Approval) -> dict[str, str | None]:
    """Return between which times the apply of an approval may begin, None where never."""
    opens_at, closes_at = approval.opens_at, approval.closes_at
    if opens_at is None or closes_at is None or opens_at >= closes_at:
        return {"applies_from": None, "applies_until": None}
    return {"applies_from": opens_at.isoformat(), "applies_until": closes_at.isoformat()}
