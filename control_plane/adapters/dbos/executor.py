"""The worker's side of the queue: claims phases and does them.

A phase is one DBOS workflow with one step, at least once: the phase itself looks at the rows and
goes on from there. A worker that starts takes up what its predecessor of the same name left; what
a dead worker of another name left is handed on by whoever finds it first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import structlog
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer

from control_plane.adapters.dbos.liveness import Liveness
from control_plane.adapters.dbos.queue import APPLICATION, APPLICATION_VERSION, QUEUE, SCHEMA
from control_plane.workflows import PHASES

log = structlog.get_logger()
RECOVERIES: Final = 8  # of one phase; then it is left to an operator's retry
Phase = Callable[[str], None]


class Executor:
    """Runs phases from the queue until its process ends; one per process."""

    def __init__(
        self,
        url: str,
        *,
        liveness: Liveness,
        phases: Mapping[str, Phase],
        at_a_time: int,
        globally: int,
        poll_seconds: float,
    ) -> None:
        if set(phases) != set(PHASES):
            raise ValueError("every phase that can be enqueued needs somebody who does it")
        self._liveness = liveness
        self._at_a_time = at_a_time
        self._globally = globally
        self._poll_seconds = poll_seconds
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": url,
            "dbos_system_schema": SCHEMA,
            "executor_id": liveness.worker_id,
            "application_version": APPLICATION_VERSION,
            "serializer": DBOSPortableJSONSerializer(),
            "sys_db_pool_size": 4,
            "run_migrations": False,
            "log_level": "WARNING",
            "console_log_level": "WARNING",
            "scheduler_polling_interval_sec": 3600.0,
        }
        DBOS(config=config)
        for name, phase in phases.items():
            self._register(name, phase)

    def _register(self, name: str, phase: Phase) -> None:
        def body(subject_id: str) -> str:
            return DBOS.run_step({"name": name}, lambda: _done(phase, subject_id))

        body.__qualname__ = name
        DBOS.workflow(name=name, max_recovery_attempts=RECOVERIES)(body)

    def start(self) -> None:
        """Claim from the queue from now on; takes up what a predecessor of this name left."""
        DBOS.launch()
        DBOS.register_queue(
            QUEUE,
            global_concurrency=self._globally,
            worker_concurrency=min(self._at_a_time, self._globally),
            partition_concurrency=1,
            polling_interval_sec=self._poll_seconds,
            on_conflict="always_update",
        )

    def subjects(self) -> set[str]:
        """Return the subjects whose phases wait or run, in whatever worker."""
        waiting = DBOS.list_workflows(status=["ENQUEUED", "PENDING", "DELAYED"])
        return {found.workflow_id.split(":")[1] for found in waiting if found.workflow_id}

    def hand_on(self) -> int:
        """Enqueue again what dead workers were doing; returns how many phases.

        One worker at a time looks, since resuming does not ask who owns a phase.
        """
        if not self._liveness.take_reaper_turn():
            return 0
        try:
            dead: dict[str, bool] = {self._liveness.worker_id: False}
            handed = 0
            for status in DBOS.list_workflows(status="PENDING"):
                owner = status.executor_id or ""
                if owner not in dead:
                    dead[owner] = self._liveness.is_dead(owner)
                if dead[owner] and status.queue_name == QUEUE:
                    DBOS.resume_workflow(status.workflow_id, queue_name=QUEUE)
                    log.warning("phase.handed_on", phase=status.workflow_id, worker=owner)
                    handed += 1
            return handed
        finally:
            self._liveness.end_reaper_turn()


def _done(phase: Phase, subject_id: str) -> str:
    phase(subject_id)
    return "done"
