"""A former place is closed: its state goes, and with it the key that opens copies of it."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.domain.deployment import Position
from control_plane.domain.hold import HoldKind
from control_plane.domain.run import RunKind
from control_plane.domain.saga import SagaStatus
from control_plane.domain.stack_salt import StackSalt
from control_plane.ports.engine import EngineCall
from control_plane.services.standing import standings
from tests.workflows.held import place, release
from tests.workflows.raised import Raised
from tests.workflows.removed import follow, remove
from tests.workflows.test_erasures import ALMA
from tests.world import World

DESTROYED = "stack.key_destroyed:completed"


def salt_of(world: World, deployment: str) -> StackSalt:
    found: StackSalt = world.rows("stack_salt")[deployment]
    return found


def stack_of(world: World, deployment: str) -> Any:
    return world.engine.stacks[world.rows("deployment")[deployment].stack]


@pytest.mark.parametrize("upgrade", [True, False])
def test_the_key_of_a_former_place_is_destroyed_when_that_is_closed(
    world: World, *, upgrade: bool
) -> None:
    raised = Raised(world, filled=upgrade)
    raised.ask(upgrade=upgrade)
    assert raised.go(until="destroy").is_open
    assert salt_of(world, raised.source).salt is not None
    assert raised.go().status is SagaStatus.DONE
    salt = salt_of(world, raised.source)
    assert (salt.salt, salt.erased_at) == (None, world.clock.now())
    assert not stack_of(world, raised.source).exists
    told = world.actions(raised.tenant_id)
    assert told.count(DESTROYED) == 1
    current = raised.at(Position.CURRENT)
    assert salt_of(world, current).salt is not None
    assert stack_of(world, current).exists


def test_a_tenant_shows_the_run_of_the_place_that_it_has(world: World) -> None:
    raised = Raised(world)
    raised.ask()
    assert raised.go().status is SagaStatus.DONE
    current = raised.at(Position.CURRENT)
    own = [each for each in world.rows("run").values() if each.deployment_id == current]
    (built,) = [each for each in own if each.kind is RunKind.PROVISION]
    with world.core.uow() as uow:
        shown = standings(uow, [raised.tenant()])[raised.tenant_id]
    assert shown.run_id == built.id


def test_nothing_of_it_is_erased_while_a_hold_wants_things_to_stay(world: World) -> None:
    raised = Raised(world)
    raised.ask()
    raised.go(until="keep")
    held = []

    def during(what: str, call: EngineCall) -> None:
        if what == "forget":
            world.engine.during = lambda what, call: None
            held.append(place(world, raised.tenant_id, HoldKind.LEGAL))

    world.engine.during = during
    for _ in range(6):
        world.clock.advance(days=15)
        follow(world)
        raised.decide()
    saga = raised.saga()
    assert (saga.step, saga.status) == ("erase", SagaStatus.WAITING)
    assert "hold" in (saga.waits_for or "")
    assert salt_of(world, raised.source).salt is not None
    release(world, held[0], ALMA)
    world.clock.advance(days=1)
    assert raised.go().status is SagaStatus.DONE
    assert salt_of(world, raised.source).salt is None


def test_a_later_removal_destroys_the_other_key_and_certifies_both(world: World) -> None:
    raised = Raised(world)
    raised.ask()
    assert raised.go().status is SagaStatus.DONE
    gone_at = world.clock.now()
    forgotten = []

    def during(what: str, call: EngineCall) -> None:
        if what == "forget":
            forgotten.append(call.deployment_id)

    world.engine.during = during
    world.clock.advance(days=1)
    current = raised.at(Position.CURRENT)
    remove(world, raised.tenant_id)
    for _ in range(6):
        follow(world)
        raised.decide()
    (certificate,) = world.rows("certificate").values()
    keys = {each["stack"]: each for each in certificate.body["erased"]["stacks"]}
    deployments = world.rows("deployment")
    assert set(keys) == {deployments[raised.source].stack, deployments[current].stack}
    former = keys[deployments[raised.source].stack]
    assert former["key_destroyed_at"] == gone_at.isoformat()
    assert forgotten == [current]
    assert world.actions(raised.tenant_id).count(DESTROYED) == 2
