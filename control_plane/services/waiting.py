"""What runs wait for, of a page of them, in few statements for however many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from control_plane.domain.next_step import ACTIVE
from control_plane.domain.run import TERMINAL_RUN, Run
from control_plane.domain.timers import TimerKind
from control_plane.domain.waiting import Queue, Waiting, why_waits
from control_plane.services.queue import standing_pause
from control_plane.workflows.core import Act
from control_plane.workflows.moving import PHASE


def waits_of(act: Act, found: Sequence[Run]) -> Mapping[str, Waiting]:
    """Return what each of some runs waits for, by id; of runs that were read for a caller.

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
    waits = {
        run.id: why_waits(run, spots.get(run.id), queue, due=due.get(run.id)) for run in open_runs
    }
    return {run_id: waiting for run_id, waiting in waits.items() if waiting is not None}
