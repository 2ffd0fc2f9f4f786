"""The real services, PostgreSQL and the scripted engine, held at the points that the model has.

Each worker is a thread on a host of its own. One of them runs at a time, from a point to the next:
the engine's ``during`` holds it there until the trace says that it continues, or is killed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import text

from control_plane.domain.actor import Role
from control_plane.domain.errors import EngineFailed
from control_plane.domain.hold import Applying, HoldKind
from control_plane.domain.run import Run, RunStatus
from control_plane.services import approvals, changes, drift, holds, hubs, runs
from control_plane.services.performing import perform
from control_plane.workflows import PHASES, timers
from control_plane.workflows.core import Core, Whereabouts
from control_plane.workflows.releasing import calls_to_stop
from tests.model.situation import Scope
from tests.model.workers import Action
from tests.scripted_faults import ProcessDied
from tests.storage import Storage
from tests.world import ADMIN, OPS, World, person

MODE_A_LOSES, MODE_B_LOSES = "owner", "network"
LARGER: Final = {"seats": 2000, "ip_allow_list": ["203.0.113.0/24"]}
_FOR_EVER: Final = 10**6
_SECONDS: Final = 60.0  # for a thread to come to its next point; more is a fault of the driver
_ENQUEUED: Final = """
    UPDATE dbos.workflow_status SET status = :to
    WHERE status = :was AND workflow_uuid LIKE :phase RETURNING workflow_uuid
"""


@dataclass
class Choice:
    """A fault of the scripted engine that is chosen when its apply is held, or never."""

    kind: str = "fails"
    after: int = -1
    created: bool = False

    def death(self) -> BaseException:
        """Return what the caller of the engine sees."""
        if self.kind == "worker_dies":
            return ProcessDied()
        return EngineFailed("the engine's process died", reason="engine_died")


@dataclass
class HeldWorker:
    """A worker's thread, and what it is told to do next."""

    number: int
    core: Core
    thread: threading.Thread | None = None
    tenant: int = -1
    run_id: str = ""
    point: str = ""
    owns: bool = False
    dies: bool = False
    settles: bool = False
    fault: Choice = field(default_factory=Choice)
    go: threading.Event = field(default_factory=threading.Event)
    held: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class Driver:
    """Does the actions of a trace, one after the other."""

    def __init__(self, storage: Storage, scope: Scope) -> None:
        storage.empty()
        self.scope = scope
        self.storage = storage
        self.world = World(storage)
        self.world.core = _with_needed(self.world.core, scope.needed)
        self.world.engine.during = self._during
        self.people = {who: person(who, Role.OPS_APPROVER) for who in scope.people}
        self.tenants: dict[int, str] = {}
        self.workers = [self._worker(n) for n in range(scope.workers)]

    def _worker(self, number: int) -> HeldWorker:
        here = Whereabouts(worker=f"worker-{number}", host=f"host-{number}")
        return HeldWorker(number, replace(self.world.core, here=here, calls=set()))

    def do(self, action: Action) -> None:
        """Do one action of a trace."""
        name, *words = action
        numbers = [int(word[1:]) for word in words if word[1:].isdigit()]
        rest = [word for word in words if not word[1:].isdigit()]
        getattr(self, name)(*numbers, *rest)

    def close(self) -> None:
        """Kill every worker."""
        for worker in self.workers:
            if worker.thread is not None:
                worker.dies = True
                self._go_on(worker)

    # --- people --------------------------------------------------------------------------------
    def submit(self, at: int) -> None:
        """Submit a contract."""
        self.tenants[at] = self.world.submit(self.scope.modes[at], at + 1).tenant.id

    def change(self, at: int) -> None:
        """Change facts of a tenant, so that two of its resources change."""
        perform(self.world.core, ADMIN, changes.request_change, self.tenants[at],
                facts=LARGER, reason="it grows")  # fmt: skip

    def look(self, at: int) -> None:
        """Ask for a look."""
        perform(self.world.core, ADMIN, drift.request_check, self.tenants[at])

    def approve(self, at: int, who: str, verdict: str = "approve") -> None:
        """Decide on the plan that waits."""
        approval = self.world.rows("approval")[self.newest(at).approval_id]
        perform(
            self.world.core, self.people[who], approvals.decide, approval.id,
            verdict=verdict, plan_digest=approval.plan_digest, reason="read it",
        )  # fmt: skip

    def reject(self, at: int, who: str) -> None:
        """Reject the plan that waits."""
        self.approve(at, who, "reject")

    def cancel(self, at: int) -> None:
        """Cancel the newest run; workers stop their engines, as they do each second."""
        perform(self.world.core, OPS, runs.cancel_run, self.newest(at).id)
        for worker in self.workers:
            if worker.thread is not None:
                for call in calls_to_stop(worker.core):
                    self.world.engine.cancel(call)

    def retry(self, at: int) -> None:
        """Retry the newest run, as somebody who decides on nothing."""
        perform(self.world.core, ADMIN, runs.retry_run, self.newest(at).id)

    def hold(self, at: int, applying: str) -> None:
        """Place a hold."""
        perform(
            self.world.core, ADMIN, holds.place_on_tenant, self.tenants[at],
            kind=HoldKind.PAUSE, applying=Applying(applying), reason="quiet",
        )  # fmt: skip

    def release(self, at: int) -> None:
        """Release the hold that stands."""
        (hold,) = [each for each in self.world.rows("hold").values()
                   if each.tenant_id == self.tenants[at] and each.stands]  # fmt: skip
        perform(self.world.core, ADMIN, holds.release_hold, hold.id, reason="it is settled")

    def drift(self, at: int) -> None:
        """Delete a resource in the cloud."""
        name = MODE_A_LOSES if self.scope.modes[at] == "A" else MODE_B_LOSES
        self.world.engine.lose(self.deployment(at).stack, name)

    def hub_ready(self) -> None:
        """Build the Hub, past the queue and the workers of the trace."""
        _, run = perform(self.world.core, ADMIN, hubs.request_hub,
                         region="eu-west-1", cell="c1", capacity=10)  # fmt: skip
        PHASES["advance_run"](self.world.core, run.id)
        approval = self.world.rows("approval")[self.world.run(run.id).approval_id]
        perform(
            self.world.core, OPS, approvals.decide, approval.id,
            verdict="approve", plan_digest=approval.plan_digest, reason="read it",
        )  # fmt: skip
        PHASES["advance_run"](self.world.core, run.id)
        self._queue(run.id, "ENQUEUED", "SUCCESS")
        assert self.world.run(run.id).status is RunStatus.APPLIED

    # --- time ----------------------------------------------------------------------------------
    def timer(self, at: int, number: int) -> None:
        """Fire the timer of a run's turn."""
        self._fire(timers._run_turn, self.runs(at)[number].id)

    def expire(self, at: int, number: int) -> None:
        """Fire the timer of an approval."""
        self._fire(timers._approval_expiry, self.runs(at)[number].approval_id or "")

    def _fire(self, handler: Callable[[Any, str], None], subject: str) -> None:
        with self.world.core.act() as act:
            handler(act, subject)
            act.uow.commit()

    def hours_pass(self) -> None:
        """Let the deadline of every call pass."""
        self.world.clock.advance(hours=2, minutes=1)

    def days_pass(self) -> None:
        """Let approvals and resumes be late."""
        self.world.clock.advance(hours=80)

    # --- workers -------------------------------------------------------------------------------
    def begin(self, number: int, at: int, run: int) -> None:
        """Let a worker take a turn."""
        worker = self.workers[number]
        worker.tenant, worker.run_id = at, self.runs(at)[run].id
        assert self._queue(worker.run_id, "ENQUEUED", "PENDING"), "no turn of it is in the queue"
        worker.owns, worker.error = True, None
        worker.held.clear()
        worker.thread = threading.Thread(target=self._turn, args=(worker,), name=f"w{number}")
        worker.thread.start()
        self._wait(worker)

    def resume(self, number: int) -> None:
        """Let a worker's call go to its next point."""
        self._go_on(self.workers[number])

    def crash(self, number: int) -> None:
        """Kill a worker where it is."""
        worker = self.workers[number]
        worker.dies = True
        self._crashed(worker)

    def crash_halfway(self, number: int) -> None:
        """Kill a worker and its engine while a second operation is under way."""
        worker = self.workers[number]
        worker.fault.kind, worker.fault.after = "worker_dies", 1
        self._crashed(worker)

    def crash_unheard(self, number: int) -> None:
        """Kill a worker when everything is made and nothing of it stored."""
        worker = self.workers[number]
        worker.fault.kind, worker.fault.after = "worker_dies", _FOR_EVER
        self._crashed(worker)

    def engine_dies(self, number: int) -> None:
        """Kill an engine while a second operation is under way."""
        worker = self.workers[number]
        worker.fault.kind, worker.fault.after = "engine_dies", 1
        self._go_on(worker)

    def cut_off(self, number: int) -> None:
        """Let the queue believe that a worker is gone."""
        worker = self.workers[number]
        worker.owns = False
        self._queue(worker.run_id, "PENDING", "ENQUEUED")

    def _crashed(self, worker: HeldWorker) -> None:
        owned, run_id = worker.owns, worker.run_id
        worker.owns = False
        self._go_on(worker)
        assert worker.thread is None, "it lives"
        if owned:
            self._queue(run_id, "PENDING", "ENQUEUED")
        self.workers[worker.number] = self._worker(worker.number)

    def _go_on(self, worker: HeldWorker) -> None:
        if worker.point == "settle":  # the lock's engine lives for all that is known elsewhere
            stack = self.deployment(worker.tenant).stack
            holder = next(iter(self.world.engine.stacks[stack].locks.values()), None)
            host = self._host_of(holder.call_id) if holder is not None else ""
            self.world.engine.alive = False if host == worker.core.here.host else None
        self.world.engine.faults = deque([worker.fault])  # chosen later
        worker.held.clear()
        worker.go.set()
        self._wait(worker)

    def _host_of(self, call_id: str | None) -> str:
        return str(self.world.rows("engine_call")[call_id].host)

    def _wait(self, worker: HeldWorker) -> None:
        assert worker.held.wait(_SECONDS), f"worker {worker.number} does not come to a point"
        if worker.point:
            return
        assert worker.thread is not None
        worker.thread.join()
        worker.thread = None
        if worker.error is not None:
            raise worker.error
        if worker.owns:
            self._queue(worker.run_id, "PENDING", "SUCCESS")
        worker.owns = False

    def _turn(self, worker: HeldWorker) -> None:
        try:
            PHASES["advance_run"](worker.core, worker.run_id)
        except ProcessDied:
            pass
        except BaseException as error:  # noqa: BLE001 - raised where the trace goes on
            worker.error = error
        finally:
            worker.point, worker.dies = "", False
            worker.held.set()

    def _during(self, what: str, call: Any) -> None:
        """Hold the worker whose engine is called, where the model has a point."""
        worker = next((w for w in self.workers if w.thread is threading.current_thread()), None)
        if worker is None:
            return  # the driver's own
        worker.settles = what == "clean_up" or (worker.settles and what in _OF_SETTLING)
        is_first = what == "clean_up" and worker.point != "settling"
        if what == "plan" and worker.settles and self._verifies(worker):
            return  # settling plans, to see whether what it read is as it should be
        point = {"clean_up": "settle"}.get(what, what)
        if point == "settle" and not is_first:
            return
        if point not in _POINTS:
            return
        if point == "apply":
            worker.fault.kind, worker.fault.after = "fails", -1
        worker.point = point
        worker.held.set()
        assert worker.go.wait(_SECONDS)
        worker.go.clear()
        worker.point = "settling" if point == "settle" else ""
        if worker.dies:
            raise ProcessDied

    def _verifies(self, worker: HeldWorker) -> bool:
        return bool(self.world.run(worker.run_id).status is RunStatus.VERIFYING)

    # --- rows ----------------------------------------------------------------------------------
    def deployment(self, at: int) -> Any:
        """Return the deployment of a tenant."""
        (found,) = [each for each in self.world.rows("deployment").values()
                    if each.tenant_id == self.tenants[at]]  # fmt: skip
        return found

    def runs(self, at: int) -> list[Run]:
        """Return the runs of a tenant, in order."""
        found = [r for r in self.world.rows("run").values() if r.tenant_id == self.tenants[at]]
        return sorted(found, key=lambda run: run.number)

    def newest(self, at: int) -> Run:
        """Return the newest run that changes something."""
        return [run for run in self.runs(at) if run.kind != "refresh"][-1]

    def _queue(self, run_id: str, was: str, to: str) -> list[str]:
        values = {"was": was, "to": to, "phase": f"advance_run:{run_id}:%"}
        with self.storage._admin.begin() as connection:
            return list(connection.execute(text(_ENQUEUED), values).scalars())


_POINTS: Final = frozenset({"plan", "apply", "change", "verify", "look", "settle"})
_OF_SETTLING: Final = frozenset({"inspect", "clean_up", "resolve", "plan"})
setattr(Driver, "continue", Driver.resume)


@contextmanager
def driven(storage: Storage, scope: Scope) -> Iterator[Driver]:
    """Have a driver; its workers are gone at the end."""
    driver = Driver(storage, scope)
    try:
        yield driver
    finally:
        driver.close()


def _with_needed(core: Core, needed: int) -> Core:
    """Return a core whose rules want so many people for a dedicated Hub."""
    known = core.rules.approvals
    rules = tuple(
        replace(rule, needed=needed) if rule.id == "dedicated" else rule for rule in known.rules
    )
    return replace(core, rules=replace(core.rules, approvals=replace(known, rules=rules)))
