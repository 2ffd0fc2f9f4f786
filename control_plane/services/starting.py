"""Starting what a resolved mode leads to: a run, or a bundle that waits for an architect."""

from __future__ import annotations

from dataclasses import replace

from control_plane.domain.bundle import Bundle, BundleStatus, Rehearsal
from control_plane.domain.deployment import Deployment, DeploymentKind, stack_name
from control_plane.domain.errors import DomainError
from control_plane.domain.mode import Mode
from control_plane.domain.run import Run, RunKind, RunStatus
from control_plane.domain.spec import bundle_variables
from control_plane.domain.tenant import Tenant, TenantStatus, WaitingOn
from control_plane.ports import UnitOfWork
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.owners import move_tenant
from control_plane.workflows.recording import record

_KINDS = {
    Mode.A: DeploymentKind.SLICE,
    Mode.B: DeploymentKind.DEDICATED,
    Mode.C: DeploymentKind.CUSTOMER_RUN,
}


def start_provisioning(
    core: Core, uow: UnitOfWork, caller: Caller, tenant: Tenant, mode: Mode
) -> Tenant:
    """Create the deployment and its first run, or its first bundle; commits nothing."""
    deployment = _deployment(core, uow, tenant, mode)
    if mode is Mode.C:
        _queue_bundle(core, uow, caller, tenant, deployment)
        return move_tenant(core, uow, caller, tenant, TenantStatus.PENDING, WaitingOn.ARCHITECT)
    request_run(core, uow, caller, deployment, RunKind.PROVISION)
    if mode is Mode.A:
        return move_tenant(core, uow, caller, tenant, TenantStatus.PROVISIONING)
    return move_tenant(core, uow, caller, tenant, TenantStatus.PENDING, WaitingOn.PLATFORM)


def _deployment(core: Core, uow: UnitOfWork, tenant: Tenant, mode: Mode) -> Deployment:
    if tenant.region is None:
        raise DomainError("a resolved mode has a region")
    environment = _environment(uow, tenant)
    now = core.clock.now()
    # an account id is known now for a slice (that of its Hub) only when the Hub is; see prepare()
    deployment = Deployment(
        id=core.ids.new("deployment"),
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
    uow.deployments.add(deployment)
    return deployment


def _environment(uow: UnitOfWork, tenant: Tenant) -> str:
    requests = uow.requests.find(tenant_id=tenant.id)
    return str(requests[-1].body["environment"]) if requests else "production"


def request_run(
    core: Core,
    uow: UnitOfWork,
    caller: Caller,
    deployment: Deployment,
    kind: RunKind,
    *,
    retry_of: Run | None = None,
    supersedes: Run | None = None,
) -> Run:
    """Add a run and enqueue its first phase in the caller's transaction."""
    now = core.clock.now()
    run = Run(
        id=core.ids.new("run"),
        deployment_id=deployment.id,
        tenant_id=deployment.tenant_id,
        kind=kind,
        status=RunStatus.REQUESTED,
        requested_by=caller.actor.id,
        on_behalf_of=caller.actor.on_behalf_of,
        requested_at=now,
        retry_of=retry_of.id if retry_of else None,
        supersedes=supersedes.id if supersedes else None,
        updated_at=now,
    )
    uow.runs.add(run)
    record(
        core, uow, caller, "run.requested",
        tree=run.tenant_id, targets=(("run", run.id), ("deployment", deployment.id)), run=run.id,
        kind=str(kind), retry_of=run.retry_of, spec_version=deployment.spec_version,
    )  # fmt: skip
    uow.queue.enqueue("plan_run", run.id, partition=deployment.id, attempt=run.attempt)
    return run


def _queue_bundle(
    core: Core, uow: UnitOfWork, caller: Caller, tenant: Tenant, deployment: Deployment
) -> Bundle:
    now = core.clock.now()
    bundle = Bundle(
        id=core.ids.new("bundle"),
        tenant_id=tenant.id,
        deployment_id=deployment.id,
        number=1,
        status=BundleStatus.AWAITING_ARCHITECT,
        inputs=bundle_variables(deployment, tenant_slug=tenant.slug, facts=tenant.facts),
        expires_at=now + core.limits.bundle_life,
        created_at=now,
        updated_at=now,
    )
    uow.bundles.add(bundle)
    record(
        core, uow, caller, "bundle.queued",
        tree=tenant.id, targets=(("bundle", bundle.id),), number=bundle.number,
        region=deployment.region,
    )  # fmt: skip
    return bundle


def next_bundle(core: Core, uow: UnitOfWork, caller: Caller, old: Bundle) -> Bundle:
    """Let a new version take a bundle's place; its inputs start as the old ones."""
    now = core.clock.now()
    uow.bundles.save(old.moved(BundleStatus.SUPERSEDED, now))
    new = replace(
        old,
        id=core.ids.new("bundle"),
        number=old.number + 1,
        status=BundleStatus.ACCEPTED,
        accepted_by=caller.actor.id,
        rehearsal=Rehearsal.NONE,
        content_digest=None,
        archive_digest=None,
        archive_name=None,
        files={},
        checks=(),
        error=None,
        expires_at=now + core.limits.bundle_life,
        created_at=now,
        updated_at=now,
        version=1,
    )
    uow.bundles.add(new)
    record(
        core, uow, caller, "bundle.superseded",
        tree=old.tenant_id, targets=(("bundle", old.id),), number=old.number,
        superseded_by=new.id,
    )  # fmt: skip
    return new
