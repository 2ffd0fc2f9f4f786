"""Closing a removal: what served the owner is retired or free, and its rows say it is removed."""

from __future__ import annotations

from dataclasses import replace

from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.domain.finding import FindingKind
from control_plane.domain.saga import Saga, SagaStep
from control_plane.domain.tenant import Tenant
from control_plane.domain.timers import TimerKind
from control_plane.workflows.core import Act
from control_plane.workflows.owners import sync_owner, sync_tenant
from control_plane.workflows.recording import record
from control_plane.workflows.removal_rules import deployment_of
from control_plane.workflows.saga_rows import owner_of_saga
from control_plane.workflows.saga_steps import Ended, Outcome
from control_plane.workflows.waking import ACCOUNT_POOL, hub_room, wake_for_account, wake_for_room


def close(act: Act, saga: Saga, _: SagaStep) -> Outcome:
    """Retire the account, free the place, and let the rows say that the owner is removed."""
    owner = owner_of_saga(act.uow, saga)
    found = deployment_of(act.uow, owner)
    retired = None
    if found is not None:
        retired = let_go(act, saga, found.id)
        revoke_links(act, found)
    now = act.now()
    if isinstance(owner, Tenant):
        tenant = act.uow.tenants.need(owner.id, lock=True)
        act.uow.tenants.save(
            replace(tenant, removed_at=now, updated_at=now, version=tenant.version + 1)
        )
        sync_tenant(act, tenant.id)
        act.uow.intake.erase_of_tenant(tenant.id)
    else:
        hub = act.uow.hubs.need(owner.id, lock=True)
        act.uow.hubs.save(replace(hub, removed_at=now, updated_at=now, version=hub.version + 1))
        if found is not None:
            sync_owner(act, found.id)
    left = act.uow.findings.count(
        deployment_id=found.id if found else "", kind=FindingKind.REMAINING, closed_at=None
    )
    record(
        act, "removal.closed",
        tree=saga.tenant_id, targets=(("saga", saga.id),), saga=saga.id, remaining=left,
    )  # fmt: skip
    data = {"removed_at": now.isoformat(), "account": retired}
    return Ended(result={"remaining": left, "account_retired": retired}, data=data)


def let_go(act: Act, saga: Saga, deployment_id: str) -> str | None:
    """Let a deployment that has nothing left be removed; returns the account that is retired."""
    deployment = act.uow.deployments.need(deployment_id, lock=True)
    act.uow.deployments.save(deployment.changed(act.now(), removed_at=act.now()))
    act.uow.timers.cancel(TimerKind.DRIFT_LOOK, deployment.id)
    return _leave_place(act, saga, deployment)


def _leave_place(act: Act, saga: Saga, deployment: Deployment) -> str | None:
    """Retire the account that served a deployment, or give back what it only claimed.

    Returns the number of the account that is retired.
    """
    if deployment.kind is DeploymentKind.SLICE:
        act.uow.serialize_on(hub_room(deployment.region))
        wake_for_room(act, deployment.region)
        return None
    act.uow.serialize_on(ACCOUNT_POOL)
    served = act.uow.accounts.find(served=deployment.id)
    for account in served:
        act.uow.accounts.save(replace(account, claimed_by=None, retired_at=act.now()))
        record(
            act, "account.retired",
            tree=saga.tenant_id, targets=(("deployment", deployment.id),),
            account=account.account_id,
        )  # fmt: skip
    for account in act.uow.accounts.find(claimed_by=deployment.id, served=None):
        act.uow.accounts.save(replace(account, claimed_by=None))
        record(
            act, "account.released",
            tree=saga.tenant_id, targets=(("deployment", deployment.id),),
            account=account.account_id,
        )  # fmt: skip
    wake_for_account(act)
    return served[0].account_id if served else None


def revoke_links(act: Act, deployment: Deployment) -> None:
    """End every download link of what a customer was given, and no bundle of it expires."""
    if deployment.kind is not DeploymentKind.CUSTOMER_RUN:
        return
    for bundle in act.uow.bundles.find(deployment_id=deployment.id):
        act.uow.timers.cancel(TimerKind.BUNDLE_EXPIRY, bundle.id)
        for link in act.uow.links.find(bundle_id=bundle.id, revoked_at=None):
            act.uow.links.save(replace(link, revoked_at=act.now()))
