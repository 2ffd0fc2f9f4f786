"""Shared Hubs: requested by the platform, approved like Mode B."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from control_plane.domain.actor import Role
from control_plane.domain.deployment import Deployment, DeploymentKind, stack_name
from control_plane.domain.environment import LEAST_ZONES, Environment
from control_plane.domain.errors import Conflict, InvalidInput, NotFound
from control_plane.domain.hold import PLACERS
from control_plane.domain.hub import Hub, HubStatus
from control_plane.domain.run import Run
from control_plane.domain.spellings import CELL, form
from control_plane.services.permission import require_role, require_visibility
from control_plane.services.starting import request_run
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record, refused_as

CHANGEABLE_HUB: Final = frozenset({HubStatus.PENDING, HubStatus.READY, HubStatus.FAILED})
READERS = (Role.PLATFORM_ADMIN, Role.OPS_APPROVER, Role.PLATFORM_AUDITOR, Role.SOLUTIONS_ARCHITECT)


@dataclass(frozen=True, kw_only=True)
class HubDetails:
    """A Hub with its newest run, and the number of slices on it.

    ``outdated_slices`` counts those that were made over other outputs than the Hub has now.
    """

    hub: Hub
    slices: int
    run_id: str | None
    version: str
    zones: int
    outdated_slices: int = 0
    allowed_actions: tuple[str, ...] = ()


def may_request(act: Act) -> None:
    """Refuse who may not request a Hub. Raises ``NotAllowed``."""
    require_role(act, Role.PLATFORM_ADMIN, wanted="hubs.create")


def request_hub(act: Act, *, region: str, cell: str, capacity: int) -> tuple[Hub, Run]:
    """Request the shared Hub of a region and cell; its plan waits for a decision.

    ``capacity`` counts slices. Raises ``UnknownRegion``, ``InvalidInput``, ``Conflict``.
    """
    may_request(act)
    if not act.core.rules.regions.is_offered(region):
        raise InvalidInput(f"the vendor offers no Hubs in {region}", field="region")
    try:
        form(cell, CELL, "a cell must have 1 to 8 lower-case letters and digits")
    except ValueError as error:
        raise InvalidInput(str(error), field="cell") from error
    with refused_as(act, "hub.refused", tree=None, region=region, cell=cell):
        return _store(act, region, cell, capacity)


def _store(act: Act, region: str, cell: str, capacity: int) -> tuple[Hub, Run]:
    now = act.now()
    hub = Hub(
        id=act.new_id("hub"),
        region=region,
        cell=cell,
        capacity=capacity,
        status=HubStatus.REQUESTED,
        requesters=act.caller.actor.subjects,
        created_at=now,
        updated_at=now,
    )
    deployment = Deployment(
        id=act.new_id("deployment"),
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
    if act.uow.hubs.count(region=region, cell=cell):
        raise Conflict(f"a Hub {cell} already exists in {region}", region=region, cell=cell)
    act.uow.hubs.add(hub)
    act.uow.deployments.add(deployment)
    record(
        act, "hub.requested",
        tree=None, targets=(("hub", hub.id),), region=region, cell=cell, capacity=capacity,
    )  # fmt: skip
    run = request_run(act, deployment)
    return hub, run


def find_hub(act: Act, hub_id: str) -> Hub:
    """Return a Hub alone. Raises ``NotFound``."""
    require_role(act, *READERS, wanted="hubs.read")
    require_visibility(act, None, wanted="hubs.read")
    hub = act.uow.hubs.get(hub_id)
    if hub is None:
        raise NotFound("there is no such Hub")
    return hub


def get_hub(act: Act, hub_id: str) -> HubDetails:
    """Return a Hub. Raises ``NotFound``."""
    return _details(act, [find_hub(act, hub_id)])[0]


def details_of(act: Act, hub: Hub) -> HubDetails:
    """Return what is shown of a Hub that was read for a caller."""
    return _details(act, [hub])[0]


def list_hubs(act: Act, *, limit: int, before: str | None) -> list[HubDetails]:
    """Return Hubs, newest first; none without a platform scope."""
    require_role(act, *READERS, wanted="hubs.read")
    if not act.caller.actor.sees(None):
        return []
    return _details(act, act.uow.hubs.page(limit=limit, before=before))


def _details(act: Act, found: list[Hub]) -> list[HubDetails]:
    ids = tuple(hub.id for hub in found)
    slices = act.uow.queries.slices(ids)
    outdated = act.uow.queries.outdated_slices(ids)
    own = act.uow.deployments.find(hub_id=ids, kind=DeploymentKind.HUB) if ids else []
    places = {deployment.hub_id: deployment for deployment in own}
    newest = act.uow.queries.newest_runs([place.id for place in places.values()])
    runs = act.uow.runs.find(id=tuple(newest)) if newest else []
    run_of = {run.deployment_id: run.id for run in runs}
    first = act.core.rules.versions.hub[0].name
    details = []
    for hub in found:
        chosen = Environment.from_document(places[hub.id].chosen)
        behind = len(outdated[hub.id])
        details.append(
            HubDetails(
                hub=hub,
                slices=slices[hub.id],
                run_id=run_of.get(places[hub.id].id),
                version=chosen.version or first,
                zones=chosen.zones or LEAST_ZONES,
                outdated_slices=behind,
                allowed_actions=_allowed(act, hub, behind),
            )
        )
    return details


def _allowed(act: Act, hub: Hub, outdated: int) -> tuple[str, ...]:
    """Return what the caller may ask of a Hub in its current status."""
    is_admin = act.caller.actor.has(Role.PLATFORM_ADMIN)
    possible = {
        "change": is_admin and hub.status in CHANGEABLE_HUB,
        "update-slices": is_admin and outdated > 0,
        "hold": act.caller.actor.has(*PLACERS),
    }
    return tuple(action for action, is_possible in possible.items() if is_possible)
