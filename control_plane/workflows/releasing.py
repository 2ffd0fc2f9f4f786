"""What a worker says of the engine calls that it makes."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.domain.calls import CallOutcome
from control_plane.workflows.core import Core
from control_plane.workflows.moving import locked_run


def calls_to_stop(core: Core) -> Sequence[str]:
    """Return this worker's engine calls whose runs somebody canceled."""
    with core.act() as act:
        return act.uow.queries.calls_to_stop(core.here.worker)


def release_runs(core: Core) -> int:
    """Close the calls of a worker that shuts down gracefully; returns how many.

    Their runs are taken up by the next worker, which settles what the stopped engines left. Calls
    of the same worker's name that another process registered are its own.
    """
    with core.act() as act:
        open_calls = act.uow.calls.find(id=tuple(core.calls), ended_at=None)
    for call in open_calls:
        with core.act() as act:
            run, _ = locked_run(act.uow, call.run_id)
            now = core.clock.now()
            act.uow.calls.save(call.ended(CallOutcome.DIED, now))
            if run.is_working:
                act.uow.runs.save(run.changed(now, is_working=False))
            act.uow.commit()
    return len(open_calls)
