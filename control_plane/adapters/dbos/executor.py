"""The worker's side of the queue: claims phases and does them.

A phase is one DBOS workflow with one step, at least once: the phase itself looks at the rows and
continues from there. A worker that starts takes up what its predecessor of the same name left; what
a dead worker of another name left is enqueued again by the one that finds it first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer
from dbos._queue import queue_worker_thread  # private: its wait is ours, see doorbell.py

from control_plane.adapters.db.engine import VANISHED, driver_url
from control_plane.adapters.db.listening import PHASES as PHASES_CHANNEL
from control_plane.adapters.db.listening import start_listening
from control_plane.adapters.dbos.doorbell import REST_SECONDS, Doorbell
from control_plane.adapters.dbos.liveness import Liveness
from control_plane.adapters.dbos.queue import APPLICATION, APPLICATION_VERSION, QUEUE, SCHEMA
from control_plane.workflows import PHASES

log = structlog.get_logger()
RECOVERIES: Final = 100  # a run counts its own deaths, which `resume_workflow` does not reset
GRACE_SECONDS: Final = 10.0  # that a worker's name is free before its work is taken
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
        grace_seconds: float = GRACE_SECONDS,
        rest_seconds: float = REST_SECONDS,
    ) -> None:
        if set(phases) != set(PHASES):
            raise ValueError("every phase that can be enqueued needs somebody who does it")
        self._url = url
        self._liveness = liveness
        self._doorbell = Doorbell(rest_seconds=rest_seconds)
        self._at_a_time = at_a_time
        self._globally = globally
        self._poll_seconds = poll_seconds
        self._grace_seconds = grace_seconds
        self._free_since: dict[str, float] = {}
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": driver_url(url),
            "dbos_system_schema": SCHEMA,
            "executor_id": liveness.worker_id,
            "application_version": APPLICATION_VERSION,
            "serializer": DBOSPortableJSONSerializer(),
            "sys_db_pool_size": 4,
            "db_engine_kwargs": {
                "connect_args": {"application_name": "tenantplane queue", **VANISHED}
            },
            "run_migrations": False,
            "log_level": "WARNING",
            "console_log_level": "WARNING",
            # of what nobody here uses: schedules, and notices between workflows
            "scheduler_polling_interval_sec": 3600.0,
            "notification_coalesce_sec": 3600.0,
        }
        self._dbos = DBOS(config=config)
        for name, phase in phases.items():
            self._register(name, phase)

    def _register(self, name: str, phase: Phase) -> None:
        def body(subject_id: str) -> str:
            try:
                return DBOS.run_step({"name": name}, lambda: _done(phase, subject_id))
            finally:
                self._doorbell.ring()  # its place is free

        body.__qualname__ = name
        DBOS.workflow(name=name, max_recovery_attempts=RECOVERIES)(body)

    def start(self) -> None:
        """Claim from the queue from now on; takes up what a predecessor of this name left."""
        DBOS.launch()
        self._end_what_nobody_uses()
        queue = DBOS.register_queue(
            QUEUE,
            global_concurrency=self._globally,
            worker_concurrency=min(self._at_a_time, self._globally),
            partition_concurrency=1,
            polling_interval_sec=self._poll_seconds,
            on_conflict="always_update",
        )
        threading.Thread(
            target=queue_worker_thread,
            args=(self._doorbell, self._dbos, queue),
            name="queue",
            daemon=True,
        ).start()
        start_listening(self._url, PHASES_CHANNEL, lambda _: self._doorbell.ring())

    def _end_what_nobody_uses(self) -> None:
        """End the threads of schedules, delays, timeouts, and of one look a second at all queues.

        Each ends at its own event, as when DBOS ends. They made up most of what a worker at rest
        cost; our queue is listened to by a loop of its own.
        """
        for event in self._dbos.background_thread_stop_events:
            event.set()
        self._dbos._background_jobs_stop_event.set()

    def requeue_orphans(self) -> int:
        """Enqueue again what dead workers were doing; returns how many phases.

        A name must be free for a while before its work is taken: a worker that lost the database
        for a moment takes its name again and continues. While its phases are enqueued the name is
        held, so that it cannot start and take them up as well.
        """
        now, busy = time.monotonic(), self._liveness.busy_workers()
        self._free_since = {name: self._free_since.get(name, now) for name in busy}
        handed = 0
        for name in busy:
            if not self._liveness.is_dead(name):
                self._free_since.pop(name)
            elif now - self._free_since[name] >= self._grace_seconds:
                handed += self._requeue(name)
        return handed

    def _requeue(self, name: str) -> int:
        handed = 0
        with self._liveness.reaping() as is_mine, self._liveness.holding(name) as is_free:
            if not (is_mine and is_free):
                return 0
            for status in DBOS.list_workflows(
                status="PENDING", executor_id=name, load_input=False, load_output=False
            ):
                if status.queue_name == QUEUE:
                    # without its queue it would run outside of every limit
                    DBOS.resume_workflow(status.workflow_id, queue_name=QUEUE)
                    log.warning("phase.requeued", phase=status.workflow_id, worker=name)
                    handed += 1
        if handed:
            self._doorbell.ring()
        return handed


def _done(phase: Phase, subject_id: str) -> str:
    phase(subject_id)
    return "done"
