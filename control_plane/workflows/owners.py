"""Owners: their status is computed from what they have, and stored when it changed."""

from __future__ import annotations

from dataclasses import replace

from control_plane.domain.deployment import Deployment, DeploymentKind, Position
from control_plane.domain.evidence import Evidence
from control_plane.domain.hub import Hub, HubStatus
from control_plane.domain.mode import Outcome
from control_plane.domain.owner_status import Holding, hub_status, tenant_status
from control_plane.domain.run import TERMINAL_RUN, Run, RunStatus
from control_plane.domain.tenant import Tenant, TenantStatus
from control_plane.domain.timers import TimerKind
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record


def sync_owner(act: Act, deployment_id: str, *, run: Run | None = None) -> None:
    """Bring the status of a deployment's owner up to date; ``run`` names what changed it."""
    deployment = act.uow.deployments.need(deployment_id)
    if deployment.tenant_id is not None:
        sync_tenant(act, deployment.tenant_id, run=run)
    elif deployment.kind is DeploymentKind.HUB:
        _sync_hub(act, deployment, run)


def sync_tenant(act: Act, tenant_id: str, *, run: Run | None = None) -> Tenant:
    """Bring a tenant's status up to date and return the tenant."""
    tenant = act.uow.tenants.need(tenant_id, lock=True)
    current = act.uow.deployments.find(tenant_id=tenant_id, position=Position.CURRENT)
    holdings = [holding_of(act.uow, deployment) for deployment in current]
    _wake_saga(act, tenant, run)
    is_resolved = tenant.decision.get("outcome") == Outcome.RESOLVED
    status, waiting_on = tenant_status(is_resolved=is_resolved, holdings=holdings)
    if tenant.removed_at is not None:
        status, waiting_on = TenantStatus.DEPROVISIONED, None
    if (tenant.status, tenant.waiting_on) == (status, waiting_on):
        return tenant
    shown = tenant.shown(status, waiting_on, act.now())
    act.uow.tenants.save(shown)
    record_status(act, shown, tenant.status, run=run)
    return shown


def _wake_saga(act: Act, owner: Tenant | Hub, run: Run | None) -> None:
    """Let an owner's saga look at a run that has ended, or repeats one that its step failed with.

    A timer does, so that locks keep their order.
    """
    if run is None or owner.saga_id is None:
        return
    is_repeat = run.status is RunStatus.REQUESTED and run.retry_of is not None
    if is_repeat or run.status in TERMINAL_RUN:
        act.uow.timers.set(TimerKind.SAGA_TURN, owner.saga_id, act.now())


def let_saga_look(act: Act, tenant: Tenant) -> None:
    """Let the saga of a tenant, if one is open, look at what it waits for: something happened."""
    if tenant.saga_id is not None:
        act.uow.timers.set(TimerKind.SAGA_TURN, tenant.saga_id, act.now())


def record_status(
    act: Act, tenant: Tenant, previous: TenantStatus, *, run: Run | None = None
) -> None:
    """Record that a tenant's status changed from ``previous``; ``run`` names what changed it."""
    record(
        act, "tenant.status_changed",
        tree=tenant.id, targets=(("tenant", tenant.id),), run=run.id if run else None,
        status=str(tenant.status), previous_status=str(previous),
        waiting_on=str(tenant.waiting_on) if tenant.waiting_on else None,
        code=str((run.error or {}).get("code")) if run and run.error else None,
    )  # fmt: skip


def holding_of(uow: UnitOfWork, deployment: Deployment) -> Holding:
    """Return a deployment as its owner's status sees it."""
    if deployment.removed_at is not None:
        return Holding(is_removed=True)
    if deployment.kind is DeploymentKind.CUSTOMER_RUN:
        bundle = uow.queries.newest_bundle(deployment.id)
        return Holding(
            bundle=bundle.status if bundle else None,
            was_applied=uow.queries.was_applied(deployment.id),
        )
    newest = uow.queries.newest_run(deployment.id)
    return Holding(
        is_verified=is_verified(uow, deployment),
        run=(newest.kind, newest.status) if newest is not None else None,
    )


def is_verified(uow: UnitOfWork, deployment: Deployment) -> bool:
    """Tell whether there is evidence that held for the state that the stack has now.

    Or for the one that it had until a run read the cloud again.
    """
    if deployment.is_unsettled or deployment.evidence_id is None:
        return False
    evidence = uow.evidence.need(deployment.evidence_id)
    if not evidence.ok or evidence.state_digest == deployment.state_digest:
        return evidence.ok
    return _was_only_read(uow, deployment, evidence)


def _was_only_read(uow: UnitOfWork, deployment: Deployment, evidence: Evidence) -> bool:
    """Tell whether runs since the evidence have only read the cloud into the state.

    That something else changed a resource takes from nobody what was verified.
    """
    verified = uow.runs.need(evidence.run_id)
    since = [r for r in uow.runs.find(deployment_id=deployment.id) if r.number > verified.number]
    states = {state for run in since for state in run.states_written}
    is_ours = {evidence.state_digest, deployment.state_digest} <= states
    return is_ours and all(run.started_at is None for run in since)


def _sync_hub(act: Act, deployment: Deployment, run: Run | None) -> None:
    hub = act.uow.hubs.need(deployment.hub_id, lock=True)
    _wake_saga(act, hub, run)
    status = hub_status(holding_of(act.uow, deployment))
    outputs = deployment.outputs if status is HubStatus.READY else hub.outputs
    if (hub.status, hub.outputs) == (status, outputs):
        return
    act.uow.hubs.save(replace(hub.shown(status, act.now()), outputs=outputs))
    if hub.status is status:
        return
    if status is HubStatus.READY:
        record(
            act, "hub.ready",
            tree=None, targets=(("hub", hub.id),), run=run.id if run else None,
            region=hub.region, cell=hub.cell, capacity=hub.capacity,
        )  # fmt: skip
    elif status is HubStatus.FAILED:
        record(
            act, "hub.failed",
            tree=None, targets=(("hub", hub.id),), run=run.id if run else None,
            region=hub.region, cell=hub.cell,
            code=str((run.error or {}).get("code")) if run and run.error else None,
        )  # fmt: skip
