"""Starting what a resolved mode leads to: a run, or a bundle that waits for an architect."""

from __future__ import annotations

from dataclasses import dataclass, replace

from control_plane.domain.bundle import Bundle, BundleStatus, Rehearsal
from control_plane.domain.deployment import Deployment, DeploymentKind, Desired, stack_name
from control_plane.domain.errors import DomainError
from control_plane.domain.kinds import kind_between
from control_plane.domain.mode import Mode
from control_plane.domain.owner_status import Holding
from control_plane.domain.run import TERMINAL_RUN, Run, RunStatus, Scope
from control_plane.domain.spec import bundle_variables
from control_plane.domain.tenant import Tenant
from control_plane.domain.timers import Timer, TimerKind
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act, Caller
from control_plane.workflows.ending import end_run
from control_plane.workflows.facts import Findings
from control_plane.workflows.moving import enqueue_present_turn
from control_plane.workflows.owners import sync_owner
from control_plane.workflows.placing import spec_of
from control_plane.workflows.recording import record_bundle, record_run

# runs that wait for somebody and apply nothing: a newer run takes their place at once
_WAITING = frozenset({RunStatus.AWAITING_APPROVAL, RunStatus.BLOCKED})
_KINDS = {
    Mode.A: DeploymentKind.SLICE,
    Mode.B: DeploymentKind.DEDICATED,
    Mode.C: DeploymentKind.CUSTOMER_RUN,
}


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a resolved mode leads to: a deployment, and its first bundle in Mode C."""

    deployment: Deployment
    bundle: Bundle | None

    @property
    def rows(self) -> tuple[object, ...]:
        """What is to be stored before ``begin``."""
        bundle = self.bundle
        if bundle is None or bundle.expires_at is None:
            return (self.deployment,)
        expiry = Timer(kind=TimerKind.BUNDLE_EXPIRY, subject=bundle.id, due_at=bundle.expires_at)
        return (self.deployment, bundle, expiry)

    @property
    def holding(self) -> Holding:
        """The deployment as its owner's status sees it before there is a run."""
        return Holding(bundle=self.bundle.status if self.bundle is not None else None)


def first_start(act: Act, tenant: Tenant, mode: Mode, environment: str) -> Start:
    """Return the deployment of a mode and its first bundle; stores nothing."""
    if tenant.region is None:
        raise DomainError("a resolved mode has a region")
    now = act.now()
    # the account is known when the deployment has a place (workflows/placing.py)
    deployment = Deployment(
        id=act.new_id("deployment"),
        tenant_id=tenant.id,
        hub_id=None,
        kind=_KINDS[mode],
        environment=environment,
        region=tenant.region,
        account_id="",
        stack=stack_name(tenant.slug, environment, str(mode).lower()),
        created_at=now,
        updated_at=now,
    )
    bundle = _first_bundle(act, tenant, deployment) if mode is Mode.C else None
    return Start(deployment=deployment, bundle=bundle)


def begin(act: Act, start: Start) -> Run | None:
    """Request the first run of a deployment that was stored, or queue its bundle."""
    bundle = start.bundle
    if bundle is None:
        return request_run(act, start.deployment)
    record_bundle(act, "bundle.queued", bundle, region=start.deployment.region)
    return None


def request_run(
    act: Act,
    deployment: Deployment,
    *,
    desired: Desired = Desired.PRESENT,
    retry_of: Run | None = None,
    scope: Scope | None = None,
) -> Run:
    """Add a run, enqueue its first turn, and let the runs that wait give way to it.

    Its kind follows from the spec that was applied last and from ``desired``. Who asked for the
    runs since the last one that was applied has asked for this one as well. ``scope`` limits an
    update.
    """
    gives_way = [  # locked before the deployment, as everywhere
        act.uow.runs.need(waiting.id, lock=True)
        for waiting in act.uow.runs.find(deployment_id=deployment.id, status=tuple(_WAITING))
    ]
    deployment = act.uow.deployments.need(deployment.id, lock=True)
    now, newest = act.now(), act.uow.queries.newest_run(deployment.id)
    run = Run(
        id=act.new_id("run"),
        deployment_id=deployment.id,
        tenant_id=deployment.tenant_id,
        number=act.uow.queries.last_number(deployment.id) + 1,
        kind=kind_between(_applied(act.uow, deployment), desired),
        status=RunStatus.REQUESTED,
        requested_by=act.caller.actor.id,
        on_behalf_of=act.caller.actor.on_behalf_of,
        requesters=_requesters(act.uow, act.caller, deployment, newest),
        requested_at=now,
        retry_of=retry_of.id if retry_of else None,
        scope=scope,
        supersedes=newest.id if newest is not None and newest.status not in TERMINAL_RUN else None,
        updated_at=now,
    )
    act.uow.runs.add(run)
    record_run(
        act, "run.requested", run, targets=(("deployment", deployment.id),),
        kind=str(run.kind), retry_of=run.retry_of, spec_version=deployment.spec_number,
    )  # fmt: skip
    for old in gives_way:
        if old.status in _WAITING:
            end_run(act, old, deployment, RunStatus.SUPERSEDED, Findings())
    enqueue_present_turn(act, run)
    sync_owner(act, deployment.id, run=run)
    return run


def _applied(uow: UnitOfWork, deployment: Deployment) -> Desired | None:
    number = deployment.applied_spec
    return spec_of(uow, deployment, number).desired if number else None


def _requesters(
    uow: UnitOfWork, caller: Caller, deployment: Deployment, newest: Run | None
) -> tuple[str, ...]:
    earlier: tuple[str, ...] = ()
    if newest is not None and newest.status not in {RunStatus.APPLIED, RunStatus.NO_CHANGES}:
        earlier = newest.requesters
    is_hub = deployment.kind is DeploymentKind.HUB
    of_hub = uow.hubs.need(deployment.hub_id).requesters if is_hub else ()
    return tuple(dict.fromkeys((*caller.actor.subjects, *earlier, *of_hub)))


def _first_bundle(act: Act, tenant: Tenant, deployment: Deployment) -> Bundle:
    now = act.now()
    return Bundle(
        id=act.new_id("bundle"),
        tenant_id=tenant.id,
        deployment_id=deployment.id,
        number=1,
        status=BundleStatus.AWAITING_ARCHITECT,
        inputs=bundle_variables(
            deployment,
            tenant_slug=tenant.slug,
            facts=tenant.facts,
            zones=act.core.rules.regions.availability_zones(deployment.region),
        ),
        expires_at=now + act.core.limits.bundle_life,
        created_at=now,
        updated_at=now,
    )


def next_bundle(act: Act, old: Bundle) -> Bundle:
    """Let a new version take a bundle's place; its inputs start as the old ones.

    A bundle that was applied stays so: its version is what exists until the next is applied.
    """
    now = act.now()
    if old.status is not BundleStatus.APPLIED:
        act.uow.bundles.save(old.moved(BundleStatus.SUPERSEDED, now))
    new = replace(
        old,
        id=act.new_id("bundle"),
        number=old.number + 1,
        status=BundleStatus.ACCEPTED,
        accepted_by=act.caller.actor.id,
        builds=0,
        rehearsal=Rehearsal.NONE,
        content_digest=None,
        archive_digest=None,
        archive_name=None,
        files={},
        checks=(),
        error=None,
        handed_over_at=None,
        expires_at=now + act.core.limits.bundle_life,
        created_at=now,
        updated_at=now,
        version=1,
    )
    act.uow.bundles.add(new)
    act.uow.timers.cancel(TimerKind.BUNDLE_EXPIRY, old.id)
    act.uow.timers.set(TimerKind.BUNDLE_EXPIRY, new.id, now + act.core.limits.bundle_life)
    action = "bundle.continued" if old.status is BundleStatus.APPLIED else "bundle.superseded"
    record_bundle(act, action, old, superseded_by=new.id)
    return new
