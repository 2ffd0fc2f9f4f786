"""What runs wait for, of a page of them, in few statements for however many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from control_plane.domain.approval import (
    Approval,
    ApprovalStatus,
    Decision,
    approvers,
    standing,
)
from control_plane.domain.next_step import ACTIVE
from control_plane.domain.run import TERMINAL_RUN, Run, RunStatus
from control_plane.domain.timers import TimerKind
from control_plane.domain.waiting import ClosedWindow, Deciding, Queue, Waiting, why_waits
from control_plane.services.permission import require_role, require_visibility
from control_plane.services.queue import READERS, standing_pause
from control_plane.workflows.core import Act
from control_plane.workflows.moving import PHASE
from control_plane.workflows.opening import opening_of

_ASKED: Final = frozenset({RunStatus.AWAITING_APPROVAL, RunStatus.APPROVED})
LOOKED_AT: Final = 500  # runs of which the queue is shown, the newest


def queued_runs(act: Act) -> list[tuple[Run, Waiting]]:
    """Return what waits for a worker, for the end of a pause or for its change window.

    In the order in which workers take it, then by when it continues.
    """
    require_role(act, *READERS, wanted="queue.read")
    require_visibility(act, None, wanted="queue.read")
    found = act.uow.runs.page(limit=LOOKED_AT, status=ACTIVE)
    waits = waits_of(act, found)
    queued = [(run, waits[run.id]) for run in found if run.id in waits]
    return sorted(queued, key=_turn)


def _turn(item: tuple[Run, Waiting]) -> tuple[bool, int, bool, float, str]:
    run, waiting = item
    position, until = waiting.position, waiting.until
    return (
        position is None, position or 0, until is None, until.timestamp() if until else 0.0, run.id
    )  # fmt: skip


def waits_of(
    act: Act,
    found: Sequence[Run],
    *,
    approvals: Sequence[Approval] | None = None,
    given: Sequence[Decision] | None = None,
) -> Mapping[str, Waiting]:
    """Return what each of some runs waits for, by id; of runs that were read for a caller.

    ``approvals`` are theirs, as ``approvals_of`` returns them, and ``given`` the decisions on these
    as ``given_on`` returns them, where they were read before.
    Runs that have ended, and wait for nothing, cost no statement.
    """
    open_runs = [run for run in found if run.status not in TERMINAL_RUN]
    if not open_runs:
        return {}
    active = {run.id: run.turn for run in open_runs if run.status in ACTIVE}
    spots, workers = act.uow.queue.spots(PHASE, active) if active else ({}, 0)
    due = act.uow.timers.due(TimerKind.RUN_TURN, [run.id for run in open_runs])
    queue = Queue(workers=workers)
    if any(spot.position is not None for spot in spots.values()):
        pause = standing_pause(act)
        if pause is not None:
            queue = Queue(paused_reason=pause.reason, paused_at=pause.paused_at, workers=workers)
    known = approvals_of(act, open_runs) if approvals is None else approvals
    of_runs = {run.approval_id: run for run in open_runs if run.status in _ASKED}
    asked = [(of_runs[each.id], each) for each in known if each.id in of_runs]
    deciding, windows = _deciding(act, asked, given), _closed_windows(act, asked)
    waits = {
        run.id: why_waits(
            run, spots.get(run.id), queue,
            due=due.get(run.id), deciding=deciding.get(run.id), window=windows.get(run.id),
        )
        for run in open_runs
    }  # fmt: skip
    return {run_id: waiting for run_id, waiting in waits.items() if waiting is not None}


def approvals_of(act: Act, found: Sequence[Run]) -> list[Approval]:
    """Return the approvals of runs that wait for people or for a window, in one statement."""
    ids = tuple(
        run.approval_id for run in found if run.status in _ASKED and run.approval_id is not None
    )
    return act.uow.approvals.find(id=ids) if ids else []


def given_on(act: Act, found: Sequence[Approval]) -> tuple[Decision, ...]:
    """Return the standing decisions on approvals that wait, in two statements."""
    ids = tuple(each.id for each in found if each.status is ApprovalStatus.WAITING)
    if not ids:
        return ()
    decisions = act.uow.decisions.find(approval_id=ids)
    return standing(decisions, act.uow.withdrawals.find(approval_id=ids))


def _deciding(
    act: Act, asked: Sequence[tuple[Run, Approval]], given: Sequence[Decision] | None
) -> dict[str, Deciding]:
    several = {
        approval.id: (run, approval)
        for run, approval in asked
        if run.status is RunStatus.AWAITING_APPROVAL and approval.needed > 1
    }
    if not several:
        return {}
    if given is None:
        given = given_on(act, [approval for _, approval in several.values()])
    return {
        run.id: Deciding(
            given=approvers([each for each in given if each.approval_id == approval.id]),
            needed=approval.needed,
        )
        for run, approval in several.values()
    }


def _closed_windows(act: Act, asked: Sequence[tuple[Run, Approval]]) -> dict[str, ClosedWindow]:
    """Return the windows that approved runs wait for, by run id."""
    now = act.now()
    closed = [
        (run, approval)
        for run, approval in asked
        if run.status is RunStatus.APPROVED and not approval.is_due(now)
    ]
    ids = tuple({run.tenant_id for run, _ in closed if run.tenant_id is not None})
    zones = {tenant.id: tenant.time_zone for tenant in act.uow.tenants.find(id=ids)} if ids else {}
    found = {}
    for run, approval in closed:
        opens_at = approval.opens_at
        if opens_at is None or opens_at <= now:  # it passed unused; a timer looks for the next
            opening = opening_of(act, approval)
            opens_at = opening.start if opening is not None else None
        found[run.id] = ClosedWindow(
            opens_at=opens_at if opens_at is not None and opens_at < approval.expires_at else None,
            expires_at=approval.expires_at,
            zone=zones.get(run.tenant_id or ""),
        )
    return found
