"""Shared Hubs: requested by the platform, approved like Mode B."""

from __future__ import annotations

from control_plane.domain.actor import Role
from control_plane.domain.deployment import Deployment, DeploymentKind, stack_name
from control_plane.domain.errors import Conflict, InvalidInput, NotFound
from control_plane.domain.hub import Hub, HubStatus
from control_plane.domain.run import Run
from control_plane.domain.spellings import CELL, form
from control_plane.services.permission import require_role, require_sight
from control_plane.services.starting import request_run
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.recording import record, record_denied

READERS = (Role.PLATFORM_ADMIN, Role.OPS_APPROVER, Role.PLATFORM_AUDITOR, Role.SOLUTIONS_ARCHITECT)


def request_hub(
    core: Core, caller: Caller, *, region: str, cell: str, capacity: int
) -> tuple[Hub, Run]:
    """Request the shared Hub of a region and cell; its plan waits for a decision.

    ``capacity`` counts slices. Raises ``UnknownRegion``, ``InvalidInput``, ``Conflict``.
    """
    require_role(core, caller, Role.PLATFORM_ADMIN, act="hubs.create")
    if not core.rules.regions.is_offered(region):
        raise InvalidInput(f"the vendor offers no Hubs in {region}", field="region")
    try:
        form(cell, CELL, "a cell is 1 to 8 lower-case letters and digits")
    except ValueError as error:
        raise InvalidInput(str(error), field="cell") from error
    try:
        return _store(core, caller, region, cell, capacity)
    except Conflict as error:
        record_denied(core, caller, "hub.refused", error, tree=None, region=region, cell=cell)
        raise


def _store(core: Core, caller: Caller, region: str, cell: str, capacity: int) -> tuple[Hub, Run]:
    now = core.clock.now()
    hub = Hub(
        id=core.ids.new("hub"),
        region=region,
        cell=cell,
        capacity=capacity,
        status=HubStatus.REQUESTED,
        requesters=caller.actor.subjects,
        created_at=now,
        updated_at=now,
    )
    deployment = Deployment(
        id=core.ids.new("deployment"),
        tenant_id=None,
        hub_id=hub.id,
        kind=DeploymentKind.HUB,
        environment="production",
        region=region,
        account_id="",
        stack=stack_name("hub", region, cell),
        created_at=now,
        updated_at=now,
    )
    with core.uow() as uow:
        if uow.hubs.count(region=region, cell=cell):
            raise Conflict(f"there is a Hub {cell} in {region} already", region=region, cell=cell)
        uow.hubs.add(hub)
        uow.deployments.add(deployment)
        record(
            core, uow, caller, "hub.requested",
            tree=None, targets=(("hub", hub.id),), region=region, cell=cell, capacity=capacity,
        )  # fmt: skip
        run = request_run(core, uow, caller, deployment)
        uow.commit()
    return hub, run


def get_hub(core: Core, caller: Caller, hub_id: str) -> tuple[Hub, int]:
    """Return a Hub and the number of slices on it. Raises ``NotFound``."""
    require_role(core, caller, *READERS, act="hubs.read")
    require_sight(core, caller, None, act="hubs.read")
    with core.uow() as uow:
        hub = uow.hubs.get(hub_id)
        if hub is None:
            raise NotFound("there is no such Hub")
        return hub, uow.queries.slices([hub.id])[hub.id]


def list_hubs(
    core: Core, caller: Caller, *, limit: int, before: str | None
) -> list[tuple[Hub, int]]:
    """Return Hubs, newest first, with their slice counts; none without a platform scope."""
    require_role(core, caller, *READERS, act="hubs.read")
    if not caller.actor.sees(None):
        return []
    with core.uow() as uow:
        found = uow.hubs.page(limit=limit, before=before)
        slices = uow.queries.slices([hub.id for hub in found])
    return [(hub, slices[hub.id]) for hub in found]
