"""Removing things: what the tests of sagas and removals share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from control_plane.domain.saga import Saga, SagaKind, SagaStep
from control_plane.services.performing import perform
from control_plane.workflows.core import Act, Caller
from control_plane.workflows.sagas import start_saga
from control_plane.workflows.timers import fire_due
from tests.world import ADMIN, World


def ready_tenant(world: World, mode: str = "B") -> str:
    """Make a tenant ready and return its id."""
    if mode == "A":
        world.ready_hub()
    accepted = world.submit(mode)
    world.work()
    if mode == "B":
        world.approve(accepted.run_id)
    with world.core.uow() as uow:  # what it should be differs from what it is
        tenant = uow.tenants.need(accepted.tenant.id)
        facts = {**tenant.facts, "seats": 2000}
        uow.tenants.save(replace(tenant, facts=facts, version=tenant.version + 1))
        uow.commit()
    return accepted.tenant.id


def start(world: World, tenant_id: str, who: Caller = ADMIN, **data: Any) -> Saga:
    """Start the removal of a tenant without asking whether it may be; nothing follows yet."""

    def use_case(act: Act) -> Saga:
        tenant = act.uow.tenants.need(tenant_id, lock=True)
        return start_saga(act, tenant, SagaKind.REMOVAL, reason="the contract ended", data=data)

    return perform(world.core, who, use_case)


def follow(world: World) -> None:
    """Do what is enqueued, and what is due by then, until nothing is."""
    world.work()
    while fire_due(world.core):
        world.work()


def saga_of(world: World, saga_id: str) -> Saga:
    """Return a saga as it is now."""
    found: Saga = world.rows("saga")[saga_id]
    return found


def steps_of(world: World, saga_id: str) -> list[SagaStep]:
    """Return every attempt of a step of a saga, oldest first."""
    return [step for step in world.rows("saga_step").values() if step.saga_id == saga_id]
