"""What is killed or canceled, and when: as soon as a run has so many engine events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import psutil
import psycopg

from control_plane.adapters.db import roles
from control_plane.adapters.postgres import SUPERUSER
from control_plane.cli.refusing import Refused
from tests.crash_matrix.site import WORKERS, Site
from tests.stacks.runner_calls import is_provider

_LOOK_SECONDS: Final = 0.004
EVENTS: Final = "SELECT coalesce(max(seq), 0) FROM run_event WHERE run_id = %s"
ENDED: Final = "SELECT ended_at IS NOT NULL FROM run WHERE id = %s"
# of the run's open call, or of the turn of a saga
_WORKER: Final = """
    (SELECT worker FROM engine_call WHERE run_id = %(subject)s AND outcome IS NULL
     ORDER BY number DESC LIMIT 1)
    UNION ALL
    SELECT executor_id FROM dbos.workflow_status
    WHERE status = 'PENDING' AND workflow_uuid LIKE 'advance_saga:' || %(subject)s || ':%%'
"""


def _worker(site: Site, run_id: str) -> bool:
    """Kill the worker that has the run; the other one takes over, and it is started again."""
    worker = _worker_of(site, run_id)
    if worker not in WORKERS:
        return False
    site.kill(worker)
    return True


def _worker_of(site: Site, subject: str) -> str:
    found = site.rows(_WORKER, subject=subject)
    return str(found[0]["worker"]) if found else ""


def _runner(site: Site, run_id: str) -> bool:
    marked = site.marked(run_id)
    pids = {process.pid for process in marked}
    return _killed([each for each in marked if _parent(each) not in pids])


def _cli(site: Site, run_id: str) -> bool:
    return _killed([each for each in site.marked(run_id) if _name(each) == "pulumi"])


def _provider(site: Site, run_id: str) -> bool:
    return _killed([each for each in site.marked(run_id) if _is_provider(each)])


def _database(site: Site, run_id: str) -> bool:
    """Cut every connection of the worker that has the run."""
    found = site.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
        f"worker {_worker_of(site, run_id)}",
    )
    return bool(found)


def _api(site: Site, _: str) -> bool:
    site.kill("api")
    return True


def _cancel(site: Site, run_id: str) -> bool:
    """Cancel the run: what the engine was about is left to the run that follows."""
    try:
        site.api("olga").post(f"/v1/runs/{run_id}/cancel")
    except Refused:  # it has ended, or is past what can be canceled
        return False
    return True


VICTIMS: Final[Mapping[str, Callable[[Site, str], bool]]] = {
    "worker": _worker,
    "runner": _runner,
    "cli": _cli,
    "provider": _provider,
    "database": _database,
    "api": _api,
    "cancel": _cancel,
}
# what is a step of a longer change is given up with that change, and not by itself
OF_STEPS: Final = tuple(victim for victim in VICTIMS if victim != "cancel")


@dataclass
class Blow:
    """Kills a victim in a thread of its own, once a run has ``number`` events.

    ``progress`` and ``ended`` are queries: how many it has, and whether it is too late.

    ``struck_at`` is the number that it had by then, 0 while nobody was killed: the victim lived at
    none of the moments that were left.
    """

    site: Site
    run_id: str
    victim: str
    number: int
    progress: str = EVENTS
    ended: str = ENDED
    struck_at: int = 0

    def __post_init__(self) -> None:
        """Begin to look."""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, name="blow", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End looking."""
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        url = self.site.server.url(SUPERUSER, roles.DATABASE)
        with psycopg.connect(url, autocommit=True) as admin:
            while not self._end.is_set():
                (events,) = admin.execute(self.progress, [self.run_id]).fetchone() or (0,)
                if events >= self.number and VICTIMS[self.victim](self.site, self.run_id):
                    self.struck_at = events
                    return
                (has_ended,) = admin.execute(self.ended, [self.run_id]).fetchone() or (True,)
                if has_ended:
                    return
                time.sleep(_LOOK_SECONDS)


def _killed(found: list[psutil.Process]) -> bool:
    for process in found:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
        return True
    return False


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def _parent(process: psutil.Process) -> int:
    try:
        return int(process.ppid())
    except psutil.Error:
        return 0


def _is_provider(process: psutil.Process) -> bool:
    try:
        return is_provider(process)
    except psutil.Error:
        return False
