"""The worker's side of the queue: claims phases and does them.

A phase is one DBOS workflow with one step, at least once: the phase itself looks at the rows and
continues from there. A worker that starts takes up what its predecessor of the same name left; what
a dead worker of another name left is enqueued again by the one that finds it first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, Final

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer
from dbos._core import (  # private: claims are ours, see claiming.py
    WorkflowHandleFuture,
    execute_dequeued_workflow,
)
from sqlalchemy.exc import SQLAlchemyError

from control_plane.adapters.db.engine import VANISHED, connect, driver_url
from control_plane.adapters.db.listening import PHASES as PHASES_CHANNEL
from control_plane.adapters.db.listening import start_listening
from control_plane.adapters.dbos.claiming import Claims
from control_plane.adapters.dbos.liveness import Liveness
from control_plane.adapters.dbos.queue import APPLICATION, APPLICATION_VERSION, SCHEMA
from control_plane.logging import get_logger
from control_plane.workflows import PHASES

log = get_logger()
RECOVERIES: Final = 100  # of one phase; a run counts its own deaths
REST_SECONDS: Final = 5.0  # between two looks: a notice may be lost when its session ends
_AGAIN_SECONDS: Final = 1.0  # after a fault
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
        grace_seconds: float = GRACE_SECONDS,
        rest_seconds: float = REST_SECONDS,
    ) -> None:
        if set(phases) != set(PHASES):
            raise ValueError("every phase that can be enqueued needs somebody who does it")
        self._url = url
        self._liveness = liveness
        engine = connect(url, name="tenantplane claims", connections=1, overflow=0)
        self._claims = Claims(engine, liveness.worker_id, globally=globally)
        self._places = threading.Semaphore(at_a_time)
        self._held: set[str] = set()  # tokens of the claims whose phases have not quite ended
        self._bell = threading.Event()
        self._rest_seconds = rest_seconds
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
            return DBOS.run_step({"name": name}, lambda: _done(phase, subject_id))

        body.__qualname__ = name
        DBOS.workflow(name=name, max_recovery_attempts=RECOVERIES)(body)

    def start(self) -> None:
        """Claim from the queue from now on; takes up what a predecessor of this name left."""
        self._claims.take_back(self._liveness.worker_id)
        DBOS.launch()
        self._end_what_nobody_uses()
        threading.Thread(target=self._work, name="queue", daemon=True).start()
        start_listening(self._url, PHASES_CHANNEL, lambda _: self._bell.set())

    def _work(self) -> None:
        """Start what can be started, at every ring and now and then without one.

        After a fault a claim may stand whose answer was lost: it is given up, while this worker
        has its name, so that it is not that of a twin.
        """
        is_right = True
        while True:
            self._bell.wait(self._rest_seconds)
            self._bell.clear()
            try:
                if not is_right and self._liveness.is_held():
                    self._claims.take_back(self._liveness.worker_id, but=tuple(self._held))
                    is_right = True
                while self._start_next():
                    pass
            except Exception as error:  # noqa: BLE001 - an outage of any kind; the log has it
                log.warning("queue.put_off", error=type(error).__name__)
                is_right = False
                time.sleep(_AGAIN_SECONDS)
                self._bell.set()

    def _start_next(self) -> bool:
        """Give a free place to the next phase; tells whether there were both."""
        if not self._places.acquire(blocking=False):
            return False
        future: Future[Any] | None = None
        try:
            claimed = self._claims.claim()
            if claimed is not None:
                future = self._begin(*claimed)
        finally:
            if future is None:
                self._places.release()
        return claimed is not None

    def _begin(self, phase: str, token: str) -> Future[Any] | None:
        """Let DBOS execute a claimed phase; returns None if another worker took it meanwhile."""
        future: Future[Any] | None = None
        self._held.add(token)
        try:
            (status,) = self._dbos._sys_db.get_workflow_statuses([phase])
            begun = execute_dequeued_workflow(self._dbos, status, token)
            if isinstance(begun, WorkflowHandleFuture):
                future = begun.future
                future.add_done_callback(partial(self._ended, token))
        finally:
            if future is None:
                self._held.discard(token)
        return future

    def _ended(self, token: str, _: Future[Any]) -> None:
        """A phase is recorded as ended: what waits for its deployment can start, anywhere."""
        self._held.discard(token)
        self._places.release()
        self._bell.set()
        with suppress(SQLAlchemyError):  # others look by themselves now and then
            self._claims.tell()

    def _end_what_nobody_uses(self) -> None:
        """End the threads of schedules, delays, timeouts, and of one look a second at all queues.

        Each ends at its own event, as when DBOS ends. They made up most of what a worker at rest
        cost.
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
        with self._liveness.reaping() as is_mine, self._liveness.holding(name) as is_free:
            if not (is_mine and is_free):
                return 0
            handed = self._claims.take_back(name)
        for phase in handed:
            log.warning("phase.requeued", phase=phase, worker=name)
        return len(handed)


def _done(phase: Phase, subject_id: str) -> str:
    phase(subject_id)
    return "done"
