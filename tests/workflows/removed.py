"""Removing things: what the tests of sagas and removals share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from control_plane.domain.actor import Role
from control_plane.domain.deployment import DeploymentKind
from control_plane.domain.engine import Store
from control_plane.domain.run import RunStatus
from control_plane.domain.saga import Saga, SagaKind, SagaStep
from control_plane.services import removals
from control_plane.services.performing import perform
from control_plane.workflows.core import Act, Caller
from control_plane.workflows.sagas import start_saga
from control_plane.workflows.timers import fire_due
from tests.world import ADMIN, OPS, World, person


def ready_tenant(world: World, mode: str = "B") -> str:
    """Make a tenant ready and return its id."""
    if mode == "A":
        world.ready_hub()
    accepted = world.submit(mode)
    world.work()
    if mode == "B":
        world.approve(accepted.run_id)
    return accepted.tenant.id


BUCKET: Final = Store(
    type="aws:s3/bucket:Bucket", name="data", place="bucket", data_class="customer", items=3,
    bytes=12,
)  # fmt: skip
DATABASE: Final = Store(
    type="aws:rds/instance:Instance", name="db", place="db", data_class="customer",
    countable=False, detail="nobody can count it from outside",
)  # fmt: skip
PETRA: Final = person("petra", Role.OPS_APPROVER)


def protected_of(world: World, key: str) -> tuple[str, ...]:
    """Return the names that a request to remove a tenant has to give."""
    find = removals.may_remove_tenant
    return perform(world.core, ADMIN, removals.dry_run_removal, key, find).unprotect


def remove(
    world: World, key: str, who: Caller = ADMIN, *, unprotect: Sequence[str] | None = None
) -> str:
    """Request the removal of a tenant, naming what is protected; returns the id of its saga."""
    names = protected_of(world, key) if unprotect is None else unprotect
    progress = perform(
        world.core, who, removals.request_removal, key, removals.may_remove_tenant,
        reason="the contract ended", unprotect=names,
    )  # fmt: skip
    follow(world)
    _let_protection_go(world, progress.saga.id)
    return progress.saga.id


def _let_protection_go(world: World, saga_id: str) -> None:
    """Approve that the resources of a slice lose their protection: one person does."""
    step = steps_of(world, saga_id)[-1]
    if step.name != "unprotect" or step.run_id is None or step.ended_at is not None:
        return
    run = world.run(step.run_id)
    is_slice = world.rows("deployment")[run.deployment_id].kind is DeploymentKind.SLICE
    if is_slice and run.status is RunStatus.AWAITING_APPROVAL:
        world.approve(run.id)
        follow(world)


def protected_of_hub(world: World, hub_id: str) -> tuple[str, ...]:
    """Return the names that a request to remove a Hub has to give."""
    find = removals.may_remove_hub
    return perform(world.core, ADMIN, removals.dry_run_removal, hub_id, find).unprotect


def remove_hub(world: World, hub_id: str) -> str:
    """Request the removal of a Hub; returns the id of its saga."""
    progress = perform(
        world.core, ADMIN, removals.request_removal, hub_id, removals.may_remove_hub,
        reason="the region closes", unprotect=protected_of_hub(world, hub_id),
    )  # fmt: skip
    follow(world)
    return progress.saga.id


def run_of(world: World, saga_id: str, step: str) -> Any:
    """Return the run of a step that was taken last."""
    found = [each.run_id for each in steps_of(world, saga_id) if each.name == step]
    return world.run(found[-1])


def approve(world: World, saga_id: str, step: str) -> None:
    """Let as many people approve a step's run as it needs, and do what follows."""
    run = run_of(world, saga_id, step)
    for who in (OPS, PETRA):
        if world.run(run.id).status is RunStatus.AWAITING_APPROVAL:
            world.approve(run.id, who)
    follow(world)


def remove_all(world: World, key: str) -> str:
    """Remove a tenant to the end of its steps; returns the id of its saga."""
    saga_id = remove(world, key)
    for step in ("unprotect", "destroy"):
        if run_of(world, saga_id, step) is not None:
            approve(world, saga_id, step)
    return saga_id


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
