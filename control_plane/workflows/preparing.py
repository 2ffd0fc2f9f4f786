"""Before the engine is called: where a deployment goes, and its spec."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from control_plane.domain import spec as specs
from control_plane.domain.deployment import Account, Deployment, DeploymentKind
from control_plane.domain.errors import DomainError, HubUnavailable, NoAccount
from control_plane.domain.hub import Hub, HubStatus
from control_plane.domain.run import BlockedOn, Run
from control_plane.domain.tenant import Tenant
from control_plane.ports import EngineCall, PolicyScope, UnitOfWork
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.moving import block_run, locked_run
from control_plane.workflows.recording import record


def prepare(core: Core, caller: Caller, run_id: str) -> EngineCall | None:
    """Place the deployment, write its spec and register the call.

    Returns None when the run is blocked now: no Hub with room, or no free account. The call's id
    is in the run's row before any process carries it.
    """
    with core.uow() as uow:
        run, deployment = locked_run(uow, run_id)
        try:
            deployment = _placed(core, uow, caller, run, deployment)
        except (HubUnavailable, NoAccount) as error:
            block_run(core, uow, caller, run, BlockedOn(error.code), error)
            uow.commit()
            return None
        core.specs.validate(specs.PROGRAMS[deployment.kind], deployment.spec)
        call = register_call(core, uow, run, deployment)
        uow.commit()
        return call


def register_call(core: Core, uow: UnitOfWork, run: Run, deployment: Deployment) -> EngineCall:
    """Add a call to the run's row and return it."""
    call_id = f"{run.id}.{len(run.call_ids) + 1}"
    uow.runs.save(run.changed(core.clock.now(), call_ids=(*run.call_ids, call_id)))
    account = _account(uow, deployment.account_id)
    return EngineCall(
        call_id=call_id,
        run_id=run.id,
        deployment_id=deployment.id,
        stack=deployment.stack,
        program=specs.PROGRAMS[deployment.kind],
        spec=deployment.spec,
        region=deployment.region,
        account_id=deployment.account_id,
        role_arn=account.role_arn if account else None,
        external_id=account.external_id if account else None,
        stack_salt=deployment.stack_salt,
        encrypted_key=deployment.encrypted_key,
    )


def policy_scope(uow: UnitOfWork, deployment: Deployment) -> PolicyScope:
    """Return what the deployment's plan is judged against."""
    residency: dict[str, Any] = {}
    if deployment.tenant_id is not None:
        tenant = uow.tenants.get(deployment.tenant_id)
        residency = dict((tenant.facts.get("residency") or {}) if tenant else {})
    return PolicyScope(
        region=deployment.region,
        account_id=deployment.account_id,
        zone=residency.get("zone"),
        strict=bool(residency.get("strict")),
        mode=specs.MODES[deployment.kind],
    )


def _account(uow: UnitOfWork, account_id: str) -> Account | None:
    found = uow.accounts.find(account_id=account_id)
    return found[0] if found else None


def _placed(
    core: Core, uow: UnitOfWork, caller: Caller, run: Run, deployment: Deployment
) -> Deployment:
    now = core.clock.now()
    if deployment.kind is DeploymentKind.SLICE:
        hub = _hub_with_room(uow, deployment)
        deployment = replace(deployment, hub_id=hub.id, account_id=_account_of(uow, hub))
    elif not deployment.account_id:
        account = _claim_account(core, uow, caller, run, deployment)
        deployment = replace(deployment, account_id=account.account_id)
    spec = _spec(uow, deployment)
    if spec != deployment.spec:
        version = deployment.spec_version + (1 if deployment.spec else 0)
        deployment = replace(deployment, spec=spec, spec_version=version)
    deployment = replace(deployment, updated_at=now, version=deployment.version + 1)
    uow.deployments.save(deployment)
    return deployment


def _claim_account(
    core: Core, uow: UnitOfWork, caller: Caller, run: Run, deployment: Deployment
) -> Account:
    uow.serialize_on("account-pool")
    pool = uow.accounts.find(claimed_by=None)
    account = next((a for a in pool if not a.shared), None) or next(iter(pool), None)
    if account is None:
        raise NoAccount("every AWS account of the pool is claimed")
    if not account.shared:
        uow.accounts.save(replace(account, claimed_by=deployment.id))
    record(
        core, uow, caller, "account.claimed",
        tree=deployment.tenant_id, targets=(("deployment", deployment.id),), run=run.id,
        account=account.account_id, shared=account.shared,
    )  # fmt: skip
    return account


def _hub_with_room(uow: UnitOfWork, deployment: Deployment) -> Hub:
    if deployment.hub_id is not None:
        hub = uow.hubs.get(deployment.hub_id)
        if hub is not None and hub.status is HubStatus.READY:
            return hub
        raise HubUnavailable("the Hub of this slice is not ready")
    uow.serialize_on(f"hub-room:{deployment.region}")
    for hub in uow.hubs.find(region=deployment.region, status=HubStatus.READY):
        taken = uow.deployments.count(hub_id=hub.id, kind=DeploymentKind.SLICE)
        if taken < hub.capacity:
            return hub
    raise HubUnavailable(f"no ready Hub with room in {deployment.region}", region=deployment.region)


def _account_of(uow: UnitOfWork, hub: Hub) -> str:
    """A slice lives in the account of its Hub."""
    own = uow.deployments.find(hub_id=hub.id, kind=DeploymentKind.HUB)
    return own[0].account_id


def _spec(uow: UnitOfWork, deployment: Deployment) -> dict[str, Any]:
    if deployment.kind is DeploymentKind.HUB:
        hub = uow.hubs.get(deployment.hub_id or "")
        if hub is None:
            raise DomainError("the Hub of this deployment is gone")
        return specs.hub_spec(deployment, cell=hub.cell)
    tenant = _tenant(uow, deployment)
    if deployment.kind is DeploymentKind.SLICE:
        hub = uow.hubs.get(deployment.hub_id or "")
        if hub is None:
            raise HubUnavailable("the Hub of this slice is gone")
        return specs.slice_spec(deployment, tenant_slug=tenant.slug, hub_outputs=hub.outputs)
    return specs.dedicated_spec(
        deployment,
        tenant_slug=tenant.slug,
        sizing=specs.sizing_for(tenant.facts.get("seats")),
        client_cidrs=tenant.facts.get("ip_allow_list") or (),
    )


def _tenant(uow: UnitOfWork, deployment: Deployment) -> Tenant:
    tenant = uow.tenants.get(deployment.tenant_id or "")
    if tenant is None:
        raise DomainError("the tenant of this deployment is gone")
    return tenant
