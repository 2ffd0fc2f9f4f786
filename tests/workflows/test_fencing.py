"""A worker that was cut off and comes back writes nothing to what a newer engine call works on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from control_plane.domain.errors import (
    DomainError,
    EngineFailed,
    EngineUnavailable,
    ForeignLock,
    PendingUnresolved,
    StaleCall,
)
from control_plane.services import approvals, runs
from control_plane.services.performing import perform
from control_plane.workflows import PHASES
from control_plane.workflows.calling import Listener, register_call
from control_plane.workflows.core import WORKER
from control_plane.workflows.moving import locked_run
from tests.scripted_engine import Fault
from tests.world import OPS, World

ERRORS: Mapping[str, Callable[[], DomainError]] = {
    "foreign_lock": lambda: ForeignLock("the stack is locked by somebody"),
    "engine_failed": lambda: EngineFailed("the program is wrong", reason="program"),
    "engine_died": lambda: EngineFailed("the engine's process died", reason="engine_died"),
    "unsettled": lambda: EngineFailed("interrupted operations", reason="pending_unresolved"),
    "canceled": lambda: EngineFailed("canceled during the plan", reason="canceled"),
    "engine_unavailable": lambda: EngineUnavailable("not now"),
    "pending_unresolved": lambda: PendingUnresolved("nobody can tell"),
}


def take_over(world: World, run_id: str) -> None:
    """Take a run up as another worker does, as far as its engine call."""
    with world.core.act() as act:
        call = register_call(act, *locked_run(act.uow, run_id))
        act.uow.commit()
    Listener(world.core, call)([("phase", {"phase": "plan", "status": "started"})])


def decide(world: World, run_id: str) -> None:
    """Approve the plan of a run; no worker takes the run up yet."""
    approval = world.rows("approval")[world.run(run_id).approval_id]
    perform(
        world.core, OPS, approvals.decide, approval.id,
        verdict="approve", plan_digest=approval.plan_digest, reason="read it",
    )  # fmt: skip


def run_that_calls(world: World, what: str) -> str:
    """Return a run whose next turn makes the engine call ``what``."""
    accepted = world.submit("B")
    if what == "plan":
        return accepted.run_id or ""
    world.work()
    if what == "apply":
        decide(world, accepted.run_id or "")
        return accepted.run_id or ""
    if what == "look":
        world.engine.faults.append(Fault(kind="canceled_in_look"))
        world.approve(accepted.run_id)
        world.clock.advance(seconds=6)
        return accepted.run_id or ""
    world.engine.failing_checks.add("answers_in_cloud")
    world.approve(accepted.run_id)
    world.engine.failing_checks.clear()
    return perform(world.core, OPS, runs.retry_run, accepted.run_id or "").id


@pytest.mark.parametrize("what", ["plan", "apply", "inspect", "look"])
@pytest.mark.parametrize("error", ERRORS)
def test_a_failure_of_an_older_call_is_no_affair_of_the_newer_one(
    world: World, what: str, error: str
) -> None:
    run_id = run_that_calls(world, what)
    left: list[dict[str, dict[Any, Any]]] = []

    def interrupt(called: str, call: Any) -> None:
        if called == what and not left:
            take_over(world, run_id)
            left.append(world.storage.everything())
            raise ERRORS[error]()  # noqa: RSE102 - made when it happens

    world.engine.during = interrupt
    PHASES["advance_run"](world.core, run_id)
    assert left, "the engine was not called"
    events = len(world.events())
    assert world.storage.everything() == left[0]
    assert len(world.events()) == events


@pytest.mark.parametrize("what", ["inspect", "look"])
def test_what_an_older_call_found_is_no_affair_of_the_newer_one(world: World, what: str) -> None:
    """The engine answers, and neither what it found is stored nor what it stands before."""
    run_id = run_that_calls(world, what)
    left: list[dict[str, dict[Any, Any]]] = []

    def interrupt(called: str, call: Any) -> None:
        if called == what and not left:
            world.engine.hold_lock(call.stack)
            take_over(world, run_id)
            left.append(world.storage.everything())

    world.engine.during = interrupt
    PHASES["advance_run"](world.core, run_id)
    assert world.storage.everything() == left[0]


def test_an_older_call_writes_nothing(world: World) -> None:
    run_id = run_that_calls(world, "plan")
    world.work()
    with world.core.act() as act:
        old = register_call(act, *locked_run(act.uow, run_id))
        act.uow.commit()
    Listener(world.core, old)([("phase", {"phase": "plan", "status": "started"})])
    take_over(world, run_id)
    before = perform(world.core, WORKER, runs.read_progress, run_id, 0)
    for event in (("phase", {"phase": "apply"}), ("engine", {"pid": 1, "host": "host-a"})):
        with pytest.raises(StaleCall):
            Listener(world.core, old)([event])
    assert perform(world.core, WORKER, runs.read_progress, run_id, 0) == before
