"""The owner of a deployment follows its run: a tenant, or a Hub of the platform."""

from __future__ import annotations

from dataclasses import replace

from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.domain.hub import HubStatus
from control_plane.domain.run import BlockedOn, Run, RunStatus
from control_plane.domain.tenant import Tenant, TenantStatus, WaitingOn
from control_plane.ports import UnitOfWork
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.recording import record

_T, _H, _R = TenantStatus, HubStatus, RunStatus
# status of the owner while its newest run has the status
FOLLOWS: dict[RunStatus, tuple[TenantStatus, WaitingOn | None, HubStatus]] = {
    _R.REQUESTED: (_T.PENDING, WaitingOn.PLATFORM, _H.PENDING),
    _R.PLANNING: (_T.PENDING, WaitingOn.PLATFORM, _H.PENDING),
    _R.BLOCKED: (_T.PENDING, WaitingOn.PLATFORM, _H.PENDING),
    _R.AWAITING_APPROVAL: (_T.PENDING, WaitingOn.OPS, _H.PENDING),
    _R.APPROVED: (_T.PENDING, WaitingOn.PLATFORM, _H.PENDING),
    _R.APPLYING: (_T.PROVISIONING, None, _H.PROVISIONING),
    _R.VERIFYING: (_T.PROVISIONING, None, _H.PROVISIONING),
    _R.APPLIED: (_T.READY, None, _H.READY),
    _R.NO_CHANGES: (_T.READY, None, _H.READY),
    _R.POLICY_FAILED: (_T.FAILED, None, _H.FAILED),
    _R.REJECTED: (_T.FAILED, None, _H.FAILED),
    _R.EXPIRED: (_T.FAILED, None, _H.FAILED),
    _R.CANCELED: (_T.FAILED, None, _H.FAILED),
    _R.ERRORED: (_T.FAILED, None, _H.FAILED),
}


def move_tenant(
    core: Core,
    uow: UnitOfWork,
    caller: Caller,
    tenant: Tenant,
    status: TenantStatus,
    waiting_on: WaitingOn | None = None,
    *,
    run: str | None = None,
) -> Tenant:
    """Move a tenant and record it; nothing happens when it is there already."""
    if (tenant.status, tenant.waiting_on) == (status, waiting_on):
        return tenant
    now = core.clock.now()
    if tenant.status is status:
        moved = replace(tenant, waiting_on=waiting_on, updated_at=now, version=tenant.version + 1)
    else:
        moved = tenant.moved(status, now, waiting_on)
    uow.tenants.save(moved)
    record(
        core, uow, caller, "tenant.status_changed",
        tree=tenant.id, targets=(("tenant", tenant.id),), run=run,
        status=str(status), previous_status=str(tenant.status),
        waiting_on=str(waiting_on) if waiting_on else None,
    )  # fmt: skip
    return moved


def let_wait(
    core: Core, uow: UnitOfWork, caller: Caller, tenant_id: str, waiting_on: WaitingOn
) -> None:
    """Say on whom a pending tenant of Mode C waits now."""
    tenant = uow.tenants.get(tenant_id, lock=True)
    if tenant is not None and tenant.status is TenantStatus.PENDING:
        move_tenant(core, uow, caller, tenant, TenantStatus.PENDING, waiting_on)


def follow(core: Core, uow: UnitOfWork, caller: Caller, deployment: Deployment, run: Run) -> None:
    """Bring the owner's status to what the run's status means for it.

    A superseded run says nothing: the run that took its place does. An owner that is ready stays
    so when a later run fails before it changed anything.
    """
    if run.status not in FOLLOWS:
        return
    tenant_status, waiting_on, hub_status = FOLLOWS[run.status]
    if deployment.tenant_id is not None:
        tenant = uow.tenants.get(deployment.tenant_id, lock=True)
        if tenant is None or _stays_ready(tenant.status is _T.READY, run):
            return
        move_tenant(core, uow, caller, tenant, tenant_status, waiting_on, run=run.id)
    elif deployment.kind is DeploymentKind.HUB and deployment.hub_id is not None:
        hub = uow.hubs.get(deployment.hub_id, lock=True)
        if hub is None or hub.status is hub_status or _stays_ready(hub.status is _H.READY, run):
            return
        moved = hub.moved(hub_status, core.clock.now())
        if hub_status is _H.READY:
            moved = replace(moved, outputs=deployment.outputs)
            _hub_is_ready(core, uow, caller, moved.id, moved.region, moved.cell, run)
        elif hub_status is _H.FAILED:
            record(
                core, uow, caller, "hub.failed",
                tree=None, targets=(("hub", hub.id),), run=run.id,
                region=hub.region, cell=hub.cell, code=(run.error or {}).get("code"),
            )  # fmt: skip
        uow.hubs.save(moved)


def _stays_ready(is_ready: bool, run: Run) -> bool:
    untouched = run.started_at is None and run.status not in {_R.APPLYING, _R.VERIFYING}
    return is_ready and untouched and run.status not in {_R.APPLIED, _R.NO_CHANGES}


def _hub_is_ready(
    core: Core, uow: UnitOfWork, caller: Caller, hub_id: str, region: str, cell: str, run: Run
) -> None:
    record(
        core, uow, caller, "hub.ready",
        tree=None, targets=(("hub", hub_id),), run=run.id, region=region, cell=cell,
    )  # fmt: skip
    wake_waiting(core, uow, caller, region)


def wake_waiting(core: Core, uow: UnitOfWork, caller: Caller, region: str) -> None:
    """Let the runs go on that wait for a Hub in the region."""
    waiting = uow.runs.find(status=RunStatus.BLOCKED, blocked_on=BlockedOn.HUB_UNAVAILABLE)
    for found in waiting:
        run = uow.runs.get(found.id, lock=True)
        deployment = uow.deployments.get(found.deployment_id)
        if run is None or deployment is None or run.status is not RunStatus.BLOCKED:
            continue
        if deployment.region != region:
            continue
        awake = run.moved(
            RunStatus.REQUESTED, core.clock.now(), attempt=run.attempt + 1, error=None
        )
        uow.runs.save(awake)
        record(
            core, uow, caller, "run.unblocked",
            tree=run.tenant_id, targets=(("run", run.id),), run=run.id,
            blocked_on=str(BlockedOn.HUB_UNAVAILABLE),
        )  # fmt: skip
        uow.queue.enqueue("plan_run", run.id, partition=run.deployment_id, attempt=awake.attempt)
