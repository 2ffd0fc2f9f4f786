"""Every cell of the table of actions, over the real services: what it offers works, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg
import pytest

from control_plane.domain.actor import Role
from control_plane.domain.deployment import Desired
from control_plane.domain.errors import IllegalTransition
from control_plane.domain.kinds import KINDS
from control_plane.domain.run import TERMINAL_RUN, TRANSITIONS_OF, BlockedOn, RunKind, RunStatus
from control_plane.domain.run_actions import ACTIONS, BLOCKED_ACTIONS, Action, cell_of
from control_plane.services import changes, drift, runs
from control_plane.services.performing import perform
from control_plane.services.starting import request_run
from control_plane.workflows.core import WORKER
from tests.scripted_engine import Fault
from tests.world import AUTOMATION, OPS, World, person

S, K = RunStatus, RunKind
STEER: Final = {Action.CANCEL: runs.cancel_run, Action.RETRY: runs.retry_run}
CHANGES: Final = [kind for kind in K if not KINDS[kind].looks]


def ready(world: World) -> str:
    """Make a dedicated tenant ready; returns its id."""
    accepted = world.submit("B")
    world.work()
    world.approve(accepted.run_id)
    return accepted.tenant.id


def removal(world: World) -> str:
    ready(world)
    (deployment,) = world.rows("deployment").values()
    with world.core.act(WORKER) as act:
        run = request_run(act, deployment, desired=Desired.ABSENT)
        act.uow.commit()
    return run.id


def update(world: World) -> str:
    found = perform(
        world.core, AUTOMATION, changes.request_change, ready(world),
        facts={"seats": 2000}, reason="it grows",
    )  # fmt: skip
    return found.run_id or ""


def plan(world: World) -> str:
    found = perform(world.core, AUTOMATION, changes.plan_change, ready(world), {"seats": 2000})
    return found.plan_run_id or ""


REQUEST: Final[dict[RunKind, Callable[[World], str]]] = {
    K.PROVISION: lambda world: world.submit("B").run_id or "",
    K.UPDATE: update,
    K.REFRESH: lambda world: perform(world.core, OPS, drift.request_check, ready(world)).id,
    K.PLAN: plan,
    K.DESTROY: removal,
}


def places(kind: RunKind) -> list[tuple[RunStatus, BlockedOn | None]]:
    """Return every status of a kind, and blocked once for each obstacle."""
    return [
        (status, on)
        for status in TRANSITIONS_OF[kind]
        for on in (BlockedOn if status is S.BLOCKED else (None,))
    ]


def put(world: World, run_id: str, status: RunStatus, on: BlockedOn | None) -> None:
    """Put a run into a status, whatever the rules of rows say of how it got there."""
    was = S.PLANNING if on is not None and S.PLANNING in TRANSITIONS_OF[_kind(world, run_id)] else (
        S.REQUESTED if on is not None else None
    )  # fmt: skip
    with psycopg.connect(world.storage.database.admin) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE run SET status = %s, blocked_on = %s, blocked_from = %s WHERE id = %s",
            [str(status), str(on) if on else None, str(was) if was else None, run_id],
        )


def _kind(world: World, run_id: str) -> RunKind:
    kind: RunKind = world.run(run_id).kind
    return kind


def offered(world: World, run_id: str) -> set[str]:
    with world.core.act(OPS) as act:
        return set(runs.allowed_actions(act, act.uow.runs.need(run_id))[run_id])


@pytest.fixture
def one_more_copy(world: World) -> Iterator[None]:
    """Let the rows be kept aside once more for the next test."""
    yield
    with psycopg.connect(world.storage.database.admin) as connection:
        connection.execute("DROP SCHEMA aside CASCADE")


@pytest.mark.usefixtures("one_more_copy")
@pytest.mark.parametrize("kind", list(K))
def test_what_a_cell_offers_works_and_nothing_else_does(world: World, kind: RunKind) -> None:
    run_id = REQUEST[kind](world)
    assert world.run(run_id).kind is kind
    world.storage.keep()
    for status, on in places(kind):
        named = {each.action for each in cell_of(kind, status, on).offers}
        for action in STEER:
            world.storage.put_back()
            put(world, run_id, status, on)
            assert (action in offered(world, run_id)) is (action in named), (status, on, action)
            if action not in named:
                with pytest.raises(IllegalTransition, match="cannot be"):
                    perform(world.core, OPS, STEER[action], run_id)
                continue
            after = perform(world.core, OPS, STEER[action], run_id)
            check(world, run_id, status, action, after)


def check(world: World, run_id: str, status: RunStatus, action: Action, after: Any) -> None:
    """Assert that an action did what its sentence says."""
    before = world.run(run_id)
    if action is Action.CANCEL:
        assert after.id == run_id
        assert after.cancel_requested
        assert (after.status is S.CANCELED) is (status is not S.APPLYING)
    elif after.id == run_id:
        assert status is S.BLOCKED
        assert after.status is not S.BLOCKED
    else:
        assert (after.kind, after.retry_of) == (before.kind, run_id)
        assert after.status is S.REQUESTED


def test_no_status_is_stuck_and_no_end_offers_to_cancel() -> None:
    for kind, cells in ACTIONS.items():
        assert set(cells) | {S.BLOCKED} >= set(TRANSITIONS_OF[kind])
        for status, cell in cells.items():
            actions = {offer.action for offer in cell.offers}
            if status in TERMINAL_RUN:
                assert actions <= {Action.RETRY}, (kind, status)
            else:
                assert actions or cell.by_itself, (kind, status)
    assert set(BLOCKED_ACTIONS) == set(BlockedOn)
    assert all(cell.offers for cell in BLOCKED_ACTIONS.values())


def test_only_what_is_applied_and_verified_has_no_action_of_people() -> None:
    without = {
        (kind, status)
        for kind, cells in ACTIONS.items()
        for status, cell in cells.items()
        if status not in TERMINAL_RUN and not cell.offers
    }
    assert without == {(kind, S.VERIFYING) for kind in CHANGES}


def test_a_canceled_apply_says_what_it_has_done_and_what_it_has_left(world: World) -> None:
    run_id = REQUEST[K.PROVISION](world)
    world.work()
    world.engine.faults.append(Fault(kind="canceled", after=2))
    perform_cancel = {"done": False}

    def meanwhile(what: str, _: object) -> None:
        if what == "change" and not perform_cancel["done"]:
            perform_cancel["done"] = True
            perform(world.core, OPS, runs.cancel_run, run_id)

    world.engine.during = meanwhile
    world.approve(run_id)
    ended = world.run(run_id)
    assert (ended.status, ended.error["code"]) == (S.CANCELED, "canceled")
    plan = perform(world.core, OPS, runs.get_plan, run_id)
    data = ended.error["data"]
    assert (data["done"], data["planned"]) == (2, len(plan.operations))
    assert data["left"] == [each.urn for each in plan.operations[2:]]
    first = data["left"][0].rpartition("::")[2]
    start = f"Canceled after 2 of {data['planned']} changes; these stay. Not made: {first}"
    assert ended.error["message"].startswith(start)
    again = perform(world.core, OPS, runs.retry_run, run_id)
    world.work()
    world.approve(again.id, person("otto", Role.OPS_APPROVER))
    assert world.run(again.id).status is S.APPLIED
