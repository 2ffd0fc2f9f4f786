"""Changing a shared Hub: its capacity, version and zones, with the tenants that depend on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from control_plane.domain.actor import Role
from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.domain.environment import Environment, changed_environment
from control_plane.domain.errors import (
    DomainError,
    HubTooSmall,
    IllegalTransition,
    InvalidInput,
)
from control_plane.domain.hub import MOST_SLICES, Hub, HubWish
from control_plane.domain.spec import Difference
from control_plane.ports.rows import Dependent
from control_plane.services.differing import (
    Outcome,
    has_spec,
    locked_newest,
    outcome_of,
    require_planned,
    require_still,
)
from control_plane.services.hubs import CHANGEABLE_HUB, find_hub
from control_plane.services.permission import require_role
from control_plane.services.starting import request_run
from control_plane.workflows.core import Act
from control_plane.workflows.drafting import request_plan
from control_plane.workflows.placing import spec_document
from control_plane.workflows.recording import record, refused_as
from control_plane.workflows.waking import hub_room, wake_for_room

SLICES_AT_ONCE: Final = 100  # whose runs one request asks for


@dataclass(frozen=True, kw_only=True)
class HubChange:
    """What a change of a Hub comes to, as ``services/changes.py`` has it of a tenant.

    ``affected`` are the tenants that have a slice on it.
    """

    hub: Hub
    deployment: Deployment
    affected: Sequence[Dependent]
    changed: tuple[str, ...]
    spec: tuple[Difference, ...]
    needs_run: bool
    run_id: str | None
    supersedes: str | None
    plan_run_id: str | None = None

    @property
    def summary(self) -> str:
        """What happens, in one sentence."""
        if self.needs_run:
            return f"A run brings the Hub to its new spec; {len(self.affected)} tenants are on it."
        if self.run_id is not None:
            return f"No new run is needed: {self.run_id} brings the Hub to this spec."
        if self.changed:
            return "The capacity changes, and the spec stays as it is: no run is needed."
        return "Nothing changes: no run is needed."


@dataclass(frozen=True, kw_only=True)
class SliceUpdates:
    """Runs that bring slices to what their Hub is now.

    ``skipped`` names deployments with the reason, ``left`` counts those that are out of date and
    beyond what one request asks for.
    """

    run_ids: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    left: int


def may_change(act: Act, hub_id: str) -> Hub:
    """Return a Hub that the caller may change. Raises ``NotFound``, ``NotAllowed``."""
    hub = find_hub(act, hub_id)
    require_role(act, Role.PLATFORM_ADMIN, wanted="hub_changes.create")
    return hub


def dry_run_change(act: Act, hub_id: str, wish: HubWish) -> HubChange:
    """Say what a change would come to; stores nothing. Raises what ``request_change`` raises."""
    return _resolved(act, may_change(act, hub_id), wish)[0]


def plan_change(act: Act, hub_id: str, wish: HubWish) -> HubChange:
    """Do as ``dry_run_change``, and request a run that plans the change and applies nothing."""
    hub = may_change(act, hub_id)
    with _refused(act, hub, wish):
        change, found = _resolved(act, hub, wish)
        run = request_plan(act, change.deployment, require_planned(found))
        return replace(change, plan_run_id=run.id)


def request_change(act: Act, hub_id: str, wish: HubWish, *, reason: str) -> HubChange:
    """Change a Hub and request the run that it needs, whose plan waits for a decision.

    More capacity lets slices that wait for room continue. Raises ``InvalidInput``,
    ``HubTooSmall``, ``DowngradeRefused``, ``RunInProgress`` while a run applies, and
    ``IllegalTransition`` for a Hub that was removed.
    """
    hub = may_change(act, hub_id)
    with _refused(act, hub, wish):
        if not reason.strip():
            raise InvalidInput("a reason is required", field="reason")
        act.uow.serialize_on(f"change:{hub.id}")  # of two at once, the second sees the first
        change, _ = _resolved(act, hub, wish, lock=True)
        return _store(act, change, reason.strip())


def update_slices(act: Act, hub_id: str, *, reason: str) -> SliceUpdates:
    """Request an update of each slice that was made over other outputs than its Hub has now.

    Those are ``SLICES_AT_ONCE`` at most; what waits gives way. A slice whose run applies is
    skipped, and so is one whose open run has the outputs already.
    """
    hub = may_change(act, hub_id)
    with _refused(act, hub, HubWish(environment={})):
        if not reason.strip():
            raise InvalidInput("a reason is required", field="reason")
        act.uow.serialize_on(f"change:{hub.id}")
        behind = act.uow.queries.outdated_slices([hub.id])[hub.id]
        runs, skipped = [], []
        for deployment_id in behind[:SLICES_AT_ONCE]:
            try:
                runs.append(_update_slice(act, hub, deployment_id))
            except DomainError as error:
                skipped.append((deployment_id, error.message))
        found = SliceUpdates(
            run_ids=tuple(runs), skipped=tuple(skipped), left=len(behind[SLICES_AT_ONCE:])
        )
        record(
            act, "hub.slice_updates_requested",
            tree=None, targets=(("hub", hub.id),), personal={"reason": reason.strip()},
            runs=list(found.run_ids), skipped=[each for each, _ in skipped],
        )  # fmt: skip
        return found


def _update_slice(act: Act, hub: Hub, deployment_id: str) -> str:
    newest = locked_newest(act.uow, act.uow.queries.newest_run(deployment_id))
    deployment = act.uow.deployments.need(deployment_id, lock=True)
    require_still(newest, "this slice")
    found = outcome_of(
        act.uow, deployment, newest,
        spec_document(act, deployment, hub=hub) if has_spec(deployment, newest) else None,
    )  # fmt: skip
    if not found.needs_run and found.open_run is not None:
        raise IllegalTransition(f"{found.open_run} brings it to what the Hub is now")
    return request_run(act, deployment).id


def _refused(act: Act, hub: Hub, wish: HubWish) -> Any:
    return refused_as(
        act, "hub.change_refused", tree=None, targets=(("hub", hub.id),), changed=list(wish.names)
    )


def _resolved(
    act: Act, hub: Hub, wish: HubWish, *, lock: bool = False
) -> tuple[HubChange, Outcome]:
    if not wish.names:
        raise InvalidInput("name a capacity or one choice of the environment", field="capacity")
    (deployment,) = act.uow.deployments.find(hub_id=hub.id, kind=DeploymentKind.HUB)
    newest = act.uow.queries.newest_run(deployment.id)
    if lock:  # in the order in which they are locked everywhere
        newest = locked_newest(act.uow, newest)
        deployment = act.uow.deployments.need(deployment.id, lock=True)
        act.uow.serialize_on(hub_room(hub.region))
        hub = act.uow.hubs.need(hub.id, lock=True)
    require_still(newest, "this Hub")
    if hub.status not in CHANGEABLE_HUB:
        raise IllegalTransition(
            f"the Hub is {hub.status}; it cannot be changed now", present_status=str(hub.status)
        )
    affected = act.uow.queries.dependents([hub.id])[hub.id]
    after = _sized(hub, wish.capacity, len(affected))
    chosen = _chosen(act, deployment, wish)
    placed = replace(deployment, chosen=chosen)
    draft = spec_document(act, placed, hub=after) if has_spec(deployment, newest) else None
    found = outcome_of(act.uow, deployment, newest, draft)
    names = {name for name in {*chosen, *deployment.chosen}
             if chosen.get(name) != deployment.chosen.get(name)}  # fmt: skip
    change = HubChange(
        hub=after,
        deployment=placed,
        affected=affected,
        changed=(
            *(("capacity",) if after.capacity != hub.capacity else ()),
            *sorted(f"environment.{name}" for name in names),
        ),
        spec=found.spec,
        needs_run=found.needs_run,
        run_id=None if found.needs_run else found.open_run,
        supersedes=found.open_run if found.needs_run else None,
    )
    return change, found


def _sized(hub: Hub, capacity: int | None, slices: int) -> Hub:
    if capacity is None:
        return hub
    if not 1 <= capacity <= MOST_SLICES:
        raise InvalidInput(f"capacity must be 1 to {MOST_SLICES}", field="capacity")
    if capacity < slices:
        raise HubTooSmall(
            f"{slices} slices are on this Hub, more than {capacity}",
            field="capacity", slices=slices,
        )  # fmt: skip
    return replace(hub, capacity=capacity)


def _chosen(act: Act, deployment: Deployment, wish: HubWish) -> Mapping[str, Any]:
    return changed_environment(
        Environment.from_document(deployment.chosen),
        wish.environment,
        deployment.kind,
        versions=act.core.rules.versions,
        zones=len(act.core.rules.regions.availability_zones(deployment.region)),
    ).to_document()


def _store(act: Act, change: HubChange, reason: str) -> HubChange:
    if not change.changed and not change.needs_run:
        return change
    hub = change.hub
    if "capacity" in change.changed:
        hub = replace(hub, updated_at=act.now(), version=hub.version + 1)
        act.uow.hubs.save(hub)
    deployment = act.uow.deployments.need(change.deployment.id)
    if deployment.chosen != change.deployment.chosen:
        deployment = deployment.changed(act.now(), chosen=change.deployment.chosen)
        act.uow.deployments.save(deployment)
    record(
        act, "hub.change_requested",
        tree=None, targets=(("hub", hub.id), ("deployment", deployment.id)),
        personal={"reason": reason}, changed=list(change.changed), capacity=hub.capacity,
        chosen=dict(deployment.chosen), spec=[each.path for each in change.spec],
        tenants=[each.tenant_id for each in change.affected], supersedes=change.supersedes,
    )  # fmt: skip
    run_id = request_run(act, deployment).id if change.needs_run else change.run_id
    wake_for_room(act, hub.region)
    return replace(change, hub=act.uow.hubs.need(hub.id), run_id=run_id)
