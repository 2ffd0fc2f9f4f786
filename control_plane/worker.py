"""The worker process: does the phases of runs and bundles, and what falls due."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from control_plane.adapters.db.migrate import revision_of
from control_plane.adapters.dbos.liveness import Liveness
from control_plane.adapters.ending import EndRequest
from control_plane.bootstrap import Parts
from control_plane.domain.errors import DomainError, Unavailable
from control_plane.logging import bound_fields, get_logger
from control_plane.services.performing import perform
from control_plane.services.processes import record_schema, record_worker
from control_plane.services.rules import record_rules
from control_plane.workflows import PHASES
from control_plane.workflows.core import WORKER, Core
from control_plane.workflows.courier import Courier
from control_plane.workflows.publishing import publish_sealing_key
from control_plane.workflows.releasing import calls_to_stop, release_runs
from control_plane.workflows.timers import fire_due

log = get_logger()
SWEEP_SECONDS: Final = 1.0


def run(parts: Parts, *, ready: Callable[[], None]) -> int:
    """Work until SIGTERM or SIGINT and return the exit code.

    What runs when the signal comes is stopped where it is; a later start resumes it. A worker that
    loses the database pauses and takes its name again; what it runs continues meanwhile, and is
    refused to write anything if another worker has taken it over. It ends when another process has
    its name.
    """
    end = EndRequest()
    end.take_signals()
    parts.end_with_parent(os.getppid(), end.make)
    with parts.liveness() as liveness:
        perform(parts.core, WORKER, record_rules)
        perform(parts.core, WORKER, record_schema, revision_of(parts.app_engine))
        perform(parts.core, WORKER, record_worker, liveness.worker_id, "worker.started")
        perform(parts.core, WORKER, publish_sealing_key)
        phases = {name: partial(_phase, parts.core, name) for name in PHASES}
        executor = parts.executor(liveness, phases)
        executor.start()
        sweep = Sweep(
            {
                "timers": partial(fire_due, parts.core),
                "events": Courier(parts.core),
                "stops": partial(_stop_calls, parts.core),
                "orphans": executor.requeue_orphans,
            }
        )
        log.info("worker.ready", worker=liveness.worker_id)
        ready()
        while not end.wait(SWEEP_SECONDS):
            if liveness.is_held() or _takes_name_again(liveness):
                sweep()
            elif _is_lost(liveness):
                log.error("worker.name_taken", worker=liveness.worker_id)
                break
        _end(parts.core, liveness, stopped=end.is_made)
    return 0


def _takes_name_again(liveness: Liveness) -> bool:
    """Take the name in a new session after the old one ended; False while that is not possible."""
    try:
        return _take(liveness)
    except Unavailable:
        log.warning("worker.paused", worker=liveness.worker_id, reason="no database")
        return False


def _is_lost(liveness: Liveness) -> bool:
    """Tell whether another process holds the name, for longer than a look at it takes."""
    for _ in range(10):
        time.sleep(SWEEP_SECONDS)
        try:
            if _take(liveness):
                return False
        except Unavailable:
            return False
    return True


def _take(liveness: Liveness) -> bool:
    taken = liveness.take()
    if taken:
        log.warning("worker.reconnected", worker=liveness.worker_id)
    return taken


def _end(core: Core, liveness: Liveness, *, stopped: bool) -> None:
    """Stop the engine calls where they are and end this process at once.

    Phases that run are neither awaited nor given up: their rows say where they stand, and the next
    worker resumes them as after a crash. Their runs are marked as stopped gracefully, so that a
    restart does not count as a death; but not while another process has the name, which works on
    them already.
    """
    core.engine.stop_all()
    with contextlib.suppress(Exception):  # the next worker finds out by itself
        if liveness.is_held() or liveness.take():
            release_runs(core)
        code = None if stopped else "name_taken"
        perform(core, WORKER, record_worker, liveness.worker_id, "worker.stopped", code=code)
    core.builder.stop_all()
    log.info("worker.stopped")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if stopped else 1)


def _phase(core: Core, name: str, subject_id: str) -> None:
    """Do one phase; bugs and outages are logged here and leave the row for the next attempt."""
    started = time.monotonic()
    with bound_fields(phase=name, subject=subject_id):
        log.info("phase.started")
        try:
            PHASES[name](core, subject_id)
        except DomainError as error:
            log.exception("phase.refused", code=error.code)
            raise
        except Exception:
            log.exception("phase.failed")
            raise
        log.info("phase.ended", seconds=round(time.monotonic() - started, 3))


class Sweep:
    """Does what is due, by name; what fails now is due again in a second.

    The first failure of a kind is logged with its cause, those that follow it in short.
    """

    def __init__(self, due: Mapping[str, Callable[[], int]]) -> None:
        self._due = due
        self._failing: dict[str, str] = {}  # how each one failed last, unless it went well since

    def __call__(self) -> None:
        """Do all of it."""
        for name, do in self._due.items():
            try:
                do()
            except DomainError as error:
                log.warning("sweep.put_off", sweep=name, code=error.code)
            except Exception as error:  # noqa: BLE001 - an outage of any kind; the log has it
                self._tell(name, type(error).__name__)
            else:
                self._failing.pop(name, None)

    def _tell(self, name: str, kind: str) -> None:
        is_new = self._failing.get(name) != kind
        self._failing[name] = kind
        log.warning("sweep.failed", sweep=name, error=kind, exc_info=is_new)


def _stop_calls(core: Core) -> int:
    return sum(core.engine.cancel(call_id) for call_id in calls_to_stop(core))
