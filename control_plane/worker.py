"""The worker process: does the phases of runs and bundles, and what time brings about."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from control_plane.adapters.ending import EndRequest
from control_plane.bootstrap import Parts
from control_plane.domain.errors import DomainError
from control_plane.services.sweeps import SWEEPS, calls_to_stop, revive_stalled
from control_plane.workflows import PHASES
from control_plane.workflows.core import Core

log = structlog.get_logger()
SWEEP_SECONDS: Final = 1.0


def run(parts: Parts, *, ready: Callable[[], None]) -> int:
    """Work until SIGTERM or SIGINT and return the exit code.

    What runs when the signal comes is stopped where it is; a later start goes on with it. A worker
    that lost its name (the session that holds it ended) stops too: another may have its work.
    """
    end = EndRequest()
    end.take_signals()
    parts.end_with_parent(os.getppid(), end.make)
    with parts.liveness() as liveness:
        phases = {name: partial(_phase, parts.core, name) for name in PHASES}
        executor = parts.executor(liveness, phases)
        executor.start()
        log.info("worker.ready", worker=liveness.worker_id)
        ready()
        while not end.wait(SWEEP_SECONDS):
            if not liveness.is_held():
                log.error("worker.lost_its_name", worker=liveness.worker_id)
                break
            _sweep(
                parts.core, executor.hand_on, partial(revive_stalled, parts.core, executor.subjects)
            )
        _end(parts.core, stopped=end.is_made)
    return 0


def _end(core: Core, *, stopped: bool) -> None:
    """Stop the engine calls where they are and end this process at once.

    Phases that run are neither awaited nor given up: their rows say where they stand, and the next
    worker goes on with them as after a crash. An orderly end of their threads would have to
    record something about them, and whatever it recorded would be less true than the rows.
    """
    core.engine.stop_all()
    core.builder.stop_all()
    log.info("worker.stopped")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if stopped else 1)


def _phase(core: Core, name: str, subject_id: str) -> None:
    """Do one phase; bugs and outages are logged here and leave the row for the next attempt."""
    started = time.monotonic()
    with structlog.contextvars.bound_contextvars(phase=name, subject=subject_id):
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


def _sweep(core: Core, *of_the_queue: Callable[[], int]) -> None:
    """Do what is due; what fails now is due again in a second."""
    due: list[Callable[[], int]] = [partial(sweep, core) for sweep in (*SWEEPS, _stop_calls)]
    for sweep in (*due, *of_the_queue):
        try:
            sweep()
        except DomainError as error:
            log.warning("sweep.put_off", code=error.code)
        except Exception as error:  # noqa: BLE001 - an outage of any kind; the log has it
            log.warning("sweep.failed", error=type(error).__name__)


def _stop_calls(core: Core) -> int:
    return sum(core.engine.cancel(call_id) for call_id in calls_to_stop(core))
