"""What a removed tenant leaves with us is destroyed, before its removal is certified."""

from __future__ import annotations

from typing import Any, Final

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.errors import EngineUnavailable
from control_plane.domain.hold import HoldKind
from control_plane.domain.run import RunStatus
from control_plane.domain.saga import SagaStatus
from control_plane.domain.stack_salt import StackSalt
from control_plane.ports.engine import EngineCall
from tests.workflows.desk import Desk
from tests.workflows.held import place, release
from tests.workflows.removed import (
    approve,
    follow,
    ready_tenant,
    remove,
    remove_all,
    remove_hub,
    run_of,
    saga_of,
    steps_of,
)
from tests.workflows.test_removals import attest
from tests.world import World, person

ALMA: Final = person("alma", Role.PLATFORM_ADMIN)


def salts(world: World) -> dict[str, StackSalt]:
    """The salts of all stacks, by their names."""
    deployments = world.rows("deployment")
    return {deployments[each.id].stack: each for each in world.rows("stack_salt").values()}


def calls_of(world: World) -> list[EngineCall]:
    """Keep every call of the engine from now on."""
    seen: list[EngineCall] = []
    world.engine.during = lambda what, call: seen.append(call)
    return seen


def erased(world: World) -> Any:
    (certificate,) = world.rows("certificate").values()
    return certificate.body["erased"]


# --- salts ----------------------------------------------------------------------------------------
def test_a_stack_gets_its_salt_with_its_first_engine_call_and_keeps_it(world: World) -> None:
    seen = calls_of(world)
    ready_tenant(world)
    ((stack, salt),) = salts(world).items()
    assert salt.salt is not None
    assert (salt.is_late, salt.erased_at) == (False, None)
    assert {(call.stack, call.salt) for call in seen} == {(stack, salt)}


def test_no_two_stacks_have_the_same_salt(world: World) -> None:
    ready_tenant(world, "A")
    values = [salt.salt for salt in salts(world).values()]
    assert len(set(values)) == len(values) == 2


def test_a_stack_that_an_earlier_release_wrote_gets_a_late_salt(world: World) -> None:
    tenant_id = ready_tenant(world)
    world.storage.forget_salts()
    seen = calls_of(world)
    remove(world, tenant_id)
    counting, *others = seen
    assert counting.salt is None  # it only reads
    (salt,) = salts(world).values()
    assert salt.is_late
    assert {call.salt for call in others} == {salt}


# --- erasure --------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["A", "B"])
def test_states_and_keys_are_destroyed_before_the_certificate(world: World, mode: str) -> None:
    tenant_id = ready_tenant(world, mode)
    (stack,) = [
        each.stack for each in world.rows("deployment").values() if each.tenant_id == tenant_id
    ]
    saga_id = remove_all(world, tenant_id)
    salt = salts(world)[stack]
    assert (salt.salt, salt.erased_at) == (None, world.clock.now())
    assert not world.engine.stacks[stack].exists
    assert erased(world) == {
        "stacks": [
            {
                "stack": stack, "key_destroyed_at": world.clock.now().isoformat(),
                "older_copies_open": False,
            }
        ],
        "personal": {"contacts": 1, "recipients": 0, "messages": 0},
    }  # fmt: skip
    told = world.actions(tenant_id)
    assert told.index("stack.key_destroyed:completed") < told.index("removal.certified:completed")
    names = [step.name for step in steps_of(world, saga_id)]
    assert names[-5:] == ["close", "forget", "erase", "certify", "remaining"]
    others = {name: each for name, each in salts(world).items() if name != stack}
    assert all(each.salt is not None for each in others.values())  # the Hub's


def test_a_hub_is_removed_with_the_key_of_its_state(world: World) -> None:
    hub_id = world.ready_hub()
    saga_id = remove_hub(world, hub_id)
    for step in ("unprotect", "destroy"):
        approve(world, saga_id, step)
    (salt,) = salts(world).values()
    assert salt.salt is None
    assert erased(world)["personal"] == {}
    assert [each["older_copies_open"] for each in erased(world)["stacks"]] == [False]
    assert "stack.key_destroyed:completed" in world.actions("platform")


def test_the_certificate_says_that_copies_from_before_the_salt_open(world: World) -> None:
    tenant_id = ready_tenant(world)
    world.storage.forget_salts()
    remove_all(world, tenant_id)
    assert [each["older_copies_open"] for each in erased(world)["stacks"]] == [True]


def test_what_never_existed_has_no_state_and_its_salt_goes_all_the_same(world: World) -> None:
    accepted = world.submit("B")
    world.work()
    tenant_id = accepted.tenant.id
    ((stack, before),) = salts(world).items()
    assert before.salt is not None
    remove_all(world, tenant_id)
    assert salts(world)[stack].salt is None
    assert ("forget", stack) not in world.engine.calls


# --- what is interrupted --------------------------------------------------------------------------
def test_a_deletion_that_met_an_outage_is_done_again(world: World) -> None:
    tenant_id = ready_tenant(world)
    outages = iter([EngineUnavailable("the state backend is not there")])

    def during(what: str, call: EngineCall) -> None:
        del call
        if what == "forget" and (outage := next(outages, None)) is not None:
            raise outage

    world.engine.during = during
    saga_id = remove_all(world, tenant_id)
    assert saga_of(world, saga_id).step == "forget"
    assert all(each.salt is not None for each in salts(world).values())
    assert world.rows("certificate") == {}
    world.clock.advance(minutes=1)
    follow(world)
    assert saga_of(world, saga_id).step == "remaining"
    assert erased(world)["stacks"] != []


def test_a_worker_that_died_after_the_deletion_ends_it(world: World) -> None:
    """What it deleted is gone; whoever takes the step again finds nothing, and goes on."""
    tenant_id = ready_tenant(world)

    def during(what: str, call: EngineCall) -> None:
        if what == "forget":
            world.engine.during = lambda what, call: None
            world.engine.forget(call)
            raise KeyboardInterrupt

    world.engine.during = during
    with pytest.raises(KeyboardInterrupt):
        remove_all(world, tenant_id)
    assert all(each.salt is not None for each in salts(world).values())
    assert world.rows("certificate") == {}
    world.clock.advance(minutes=1)
    follow(world)
    (certificate,) = world.rows("certificate").values()
    assert saga_of(world, certificate.saga_id).step == "remaining"
    told = world.actions(tenant_id)
    assert told.count("stack.key_destroyed:completed") == 1
    assert erased(world)["personal"] == {"contacts": 1, "recipients": 0, "messages": 0}


# --- holds ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [HoldKind.LEGAL, HoldKind.COMPLIANCE])
def test_nothing_is_erased_or_certified_while_a_hold_wants_things_to_stay(
    world: World, kind: HoldKind
) -> None:
    tenant_id = ready_tenant(world)
    saga_id = remove(world, tenant_id)
    approve(world, saga_id, "unprotect")
    holds = []

    def during(what: str, call: EngineCall) -> None:
        del call
        if what == "verify":  # of the destroy
            world.engine.during = lambda what, call: None
            holds.append(place(world, tenant_id, kind))

    world.engine.during = during
    approve(world, saga_id, "destroy")
    saga = saga_of(world, saga_id)
    assert (saga.step, saga.status) == ("forget", SagaStatus.WAITING)
    assert "hold" in (saga.waits_for or "")
    assert all(each.salt is not None for each in salts(world).values())
    assert [each.body["contacts"] for each in world.rows("provisioning_request").values()] != [[]]
    assert world.rows("certificate") == {}
    world.clock.advance(days=2)
    follow(world)
    assert saga_of(world, saga_id).step == "forget"
    release(world, holds[0], ALMA)
    world.clock.advance(days=2)
    follow(world)
    assert saga_of(world, saga_id).step in {"remaining", "done"}
    assert all(each.salt is None for each in salts(world).values())


def test_a_hold_placed_between_deletion_and_erasure_keeps_what_is_left(world: World) -> None:
    tenant_id = ready_tenant(world)
    holds = []

    def during(what: str, call: EngineCall) -> None:
        del call
        if what == "forget":
            world.engine.during = lambda what, call: None
            holds.append(place(world, tenant_id, HoldKind.LEGAL))

    world.engine.during = during
    saga_id = remove_all(world, tenant_id)
    saga = saga_of(world, saga_id)
    assert (saga.step, saga.status) == ("erase", SagaStatus.WAITING)
    assert all(each.salt is not None for each in salts(world).values())
    release(world, holds[0], ALMA)
    world.clock.advance(days=2)
    follow(world)
    assert all(each.salt is None for each in salts(world).values())


# --- what remains ---------------------------------------------------------------------------------
def test_what_remains_is_looked_at_without_state_and_key(world: World) -> None:
    tenant_id = ready_tenant(world, "A")
    saga_id = remove_all(world, tenant_id)
    (stack,) = [each for each in world.engine.stacks if world.engine.stacks[each].remaining]
    world.clock.advance(days=80)
    world.engine.stacks[stack].remaining.clear()
    follow(world)
    saga = saga_of(world, saga_id)
    assert saga.status is SagaStatus.DONE, saga.error
    run = run_of(world, saga_id, "remaining")
    assert run.status is RunStatus.NO_CHANGES
    assert "stack.foreign_update:completed" not in world.actions(tenant_id)
    assert not world.engine.stacks[stack].exists
    assert salts(world)[stack].salt is None


def test_a_look_at_what_remains_that_died_is_taken_again(world: World) -> None:
    tenant_id = ready_tenant(world, "A")
    saga_id = remove_all(world, tenant_id)
    (stack,) = [each for each in world.engine.stacks if world.engine.stacks[each].remaining]
    for days in (80, 1):  # past the end that AWS has said, and again a day later
        world.clock.advance(days=days)
        world.storage.unsettle()
        follow(world)
        assert run_of(world, saga_id, "remaining").status is RunStatus.NO_CHANGES
    assert "stack.foreign_update:completed" not in world.actions(tenant_id)
    world.engine.stacks[stack].remaining.clear()
    world.clock.advance(days=1)
    follow(world)
    assert saga_of(world, saga_id).status is SagaStatus.DONE


# --- personal values ------------------------------------------------------------------------------
def test_people_at_the_customer_are_erased_and_the_rest_of_the_request_stays(world: World) -> None:
    tenant_id = ready_tenant(world)
    (before,) = world.rows("provisioning_request").values()
    assert before.body["contacts"]
    remove_all(world, tenant_id)
    (after,) = world.rows("provisioning_request").values()
    assert after.body == {**before.body, "contacts": []}
    assert after.body_digest == before.body_digest
    assert "tenant.personal_erased:completed" in world.actions(tenant_id)
    everything = repr({name: world.rows(name) for name in ("provisioning_request", "handover")})
    assert "ida@example.com" not in everything


def test_the_recipient_of_a_bundle_is_erased(world: World) -> None:
    desk = Desk(world)
    desk.handed_over()
    remove_all(world, desk.tenant_id)
    attest(world, desk.tenant_id, None)
    follow(world)
    (handover,) = world.rows("handover").values()
    assert (handover.recipient_name, handover.recipient_email) == ("", "")
    assert handover.handed_over_by == "sam"
    assert erased(world) == {
        "stacks": [],
        "personal": {"contacts": 1, "recipients": 1, "messages": 0},
    }
