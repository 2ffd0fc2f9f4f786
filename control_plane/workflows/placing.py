"""Where a deployment goes, and its spec: an immutable row that a run works towards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from control_plane.domain import spec as specs
from control_plane.domain.adoption import with_adopted
from control_plane.domain.deployment import (
    PLATFORM,
    Account,
    Deployment,
    DeploymentKind,
    DeploymentSpec,
    Desired,
    spec_digest,
)
from control_plane.domain.environment import Environment
from control_plane.domain.errors import HubUnavailable, NoAccount
from control_plane.domain.hub import Hub, HubStatus
from control_plane.domain.kinds import KINDS
from control_plane.domain.run import CHANGING, Run
from control_plane.domain.sizing import SIZES, Sizing, size_for
from control_plane.domain.slug import short_name
from control_plane.domain.tenant import Tenant
from control_plane.ports.rows import UnitOfWork
from control_plane.ports.stores import PolicyScope
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record
from control_plane.workflows.waking import (
    ACCOUNT_POOL,
    hub_room,
    wake_for_account,
    wake_for_room,
)


def place(act: Act, run: Run, deployment: Deployment) -> Deployment:
    """Give a deployment its Hub or account and the spec that its owner's facts lead to.

    The newest spec stays when nothing in it changed. Raises ``HubUnavailable`` and ``NoAccount``,
    holding the name on which a transaction that makes room takes turns with this one.
    """
    desired = KINDS[run.kind].desired
    hub: Hub | None = None
    if desired is Desired.ABSENT and deployment.spec_number:
        pass  # what is removed stays where it is until then
    elif deployment.kind is DeploymentKind.SLICE:
        hub = _hub_with_room(act.uow, deployment)
        deployment = replace(deployment, hub_id=hub.id, account_id=_account_of(act.uow, hub))
    elif not deployment.account_id:
        account = _claim_account(act, run, deployment)
        deployment = replace(deployment, account_id=account.account_id)
    if desired is Desired.ABSENT and deployment.spec_number:
        document = _ended_document(act.uow, deployment)
    else:
        document = spec_document(act, deployment, hub=hub)
    act.core.specs.validate(specs.PROGRAMS[deployment.kind], document)
    wanted = spec_digest(document, desired)
    newest = spec_of(act.uow, deployment) if deployment.spec_number else None
    if newest is None or newest.content_digest != wanted:
        number = deployment.spec_number + 1
        act.uow.specs.add(
            DeploymentSpec(
                id=f"{deployment.id}.{number}",
                deployment_id=deployment.id,
                number=number,
                document=document,
                digest=wanted,
                desired=desired,
                made_by=run.requested_by,
                made_at=act.now(),
            )
        )
        deployment = replace(deployment, spec_number=number)
    deployment = deployment.changed(act.now())
    act.uow.deployments.save(deployment)
    return deployment


def _ended_document(uow: UnitOfWork, deployment: Deployment) -> dict[str, Any]:
    """Return what the spec says that a removal ends: the one that was applied last, if any was."""
    return dict(spec_of(uow, deployment, deployment.applied_spec or None).document)


def spec_of(uow: UnitOfWork, deployment: Deployment, number: int | None = None) -> DeploymentSpec:
    """Return a spec of a deployment, the newest unless ``number`` says another."""
    return uow.specs.need(f"{deployment.id}.{number or deployment.spec_number}")


def policy_scope(uow: UnitOfWork, deployment: Deployment) -> PolicyScope:
    """Return what the deployment's plan is judged against."""
    tenant = uow.tenants.get(deployment.tenant_id) if deployment.tenant_id is not None else None
    residency: dict[str, Any] = dict((tenant.facts.get("residency") or {}) if tenant else {})
    slug = tenant.slug if tenant else PLATFORM
    is_slice = deployment.kind is DeploymentKind.SLICE
    return PolicyScope(
        region=deployment.region,
        account_id=deployment.account_id,
        zone=residency.get("zone"),
        strict=bool(residency.get("strict")),
        mode=specs.MODES[deployment.kind],
        tenant=slug,
        deployment=deployment.id,
        environment=deployment.environment,
        slice_short=short_name(slug, deployment.id) if is_slice else None,
        unprotected=deployment.unprotected,
    )


def account_of(uow: UnitOfWork, account_id: str) -> Account | None:
    """Return an account of the pool by its number."""
    found = uow.accounts.find(account_id=account_id)
    return found[0] if found else None


def give_back(act: Act, run: Run, deployment: Deployment) -> None:
    """Give account or place in a Hub back when the newest run ends and nothing was ever applied.

    A later run of the same deployment finds a place again. Runs that wait continue, also when this
    one was woken for a place and ended before it took it.
    """
    runs = act.uow.runs.find(deployment_id=deployment.id)
    if any(each.started_at is not None or each.number > run.number for each in runs):
        return
    if deployment.kind is DeploymentKind.SLICE:
        act.uow.serialize_on(hub_room(deployment.region))
        act.uow.deployments.save(deployment.changed(act.now(), hub_id=None, account_id=""))
        wake_for_room(act, deployment.region)
        return
    act.uow.serialize_on(ACCOUNT_POOL)
    if deployment.account_id:
        _release_account(act, run, deployment)
    wake_for_account(act)


def _release_account(act: Act, run: Run, deployment: Deployment) -> None:
    act.uow.deployments.save(deployment.changed(act.now(), account_id=""))
    for account in act.uow.accounts.find(claimed_by=deployment.id):
        act.uow.accounts.save(replace(account, claimed_by=None))
    record(
        act, "account.released",
        tree=deployment.tenant_id, targets=(("deployment", deployment.id),), run=run.id,
        account=deployment.account_id,
    )  # fmt: skip


def _claim_account(act: Act, run: Run, deployment: Deployment) -> Account:
    act.uow.serialize_on(ACCOUNT_POOL)
    pool = act.uow.accounts.find(claimed_by=None, served=None)
    account = next((a for a in pool if not a.shared), None) or next(iter(pool), None)
    if account is None:
        raise NoAccount("there is no free AWS account in the pool")
    if not account.shared:
        act.uow.accounts.save(replace(account, claimed_by=deployment.id))
    record(
        act, "account.claimed",
        tree=deployment.tenant_id, targets=(("deployment", deployment.id),), run=run.id,
        account=account.account_id, shared=account.shared,
    )  # fmt: skip
    return account


def _hub_with_room(uow: UnitOfWork, deployment: Deployment) -> Hub:
    """Return the Hub that the slice counts in, or one with room while its stack is empty.

    What was made for one Hub stays there: another one may be in another account.
    """
    uow.serialize_on(hub_room(deployment.region))
    own = uow.hubs.get(deployment.hub_id) if deployment.hub_id is not None else None
    if own is not None and own.status is HubStatus.READY and own.saga_id is None:
        return own
    if own is not None and (deployment.is_unsettled or deployment.state_digest is not None):
        raise HubUnavailable("the Hub of this slice is not ready")
    ready = uow.hubs.find(region=deployment.region, status=HubStatus.READY, saga_id=None)
    taken = uow.queries.slices([hub.id for hub in ready])
    for hub in ready:
        if taken[hub.id] < hub.capacity:
            return hub
    raise HubUnavailable(
        f"no ready Hub in {deployment.region} has capacity left", region=deployment.region
    )


def _account_of(uow: UnitOfWork, hub: Hub) -> str:
    """A slice lives in the account of its Hub."""
    own = uow.deployments.find(hub_id=hub.id, kind=DeploymentKind.HUB)
    return own[0].account_id


def spec_document(
    act: Act, deployment: Deployment, *, hub: Hub | None = None, tenant: Tenant | None = None
) -> dict[str, Any]:
    """Return what a deployment that has its place should be, from the facts of its owner.

    ``hub`` and ``tenant`` are read unless they are given, as they are or as they would be.
    """
    document = _spec_document(act, deployment, hub=hub, tenant=tenant)
    if deployment.unprotected:
        document["unprotect"] = list(deployment.unprotected)
    return document


def _spec_document(
    act: Act, deployment: Deployment, *, hub: Hub | None, tenant: Tenant | None
) -> dict[str, Any]:
    zones = act.core.rules.regions.availability_zones(deployment.region)
    if deployment.kind is DeploymentKind.HUB:
        hub = hub or act.uow.hubs.need(deployment.hub_id)
        return specs.hub_spec(deployment, cell=hub.cell, zones=zones)
    tenant = tenant or act.uow.tenants.need(deployment.tenant_id)
    if deployment.kind is DeploymentKind.SLICE:
        hub = hub or act.uow.hubs.need(deployment.hub_id)
        return specs.slice_spec(deployment, tenant_slug=tenant.slug, hub_outputs=hub.outputs)
    document = specs.dedicated_spec(
        deployment,
        tenant_slug=tenant.slug,
        sizing=_sizing(act, deployment, tenant),
        client_cidrs=tenant.facts.get("ip_allow_list") or (),
        zones=zones,
    )
    return with_adopted(document, deployment.adopted)


def _sizing(act: Act, deployment: Deployment, tenant: Tenant) -> Sizing:
    """Return the size that was chosen, or that the seats ask for, with no less disk than before.

    The version of the Hub says which major version of PostgreSQL it has.
    """
    chosen = Environment.from_document(deployment.chosen)
    sizing = SIZES[chosen.size or size_for(tenant.facts.get("seats"))]
    sizing = replace(sizing, engine_version=act.core.rules.versions.postgres_of(chosen.version))
    return sizing.keeping(_storage_gb(act.uow, deployment))


def _storage_gb(uow: UnitOfWork, deployment: Deployment) -> int:
    """Return the largest disk that a run of the deployment began to make, 0 where none did."""
    if deployment.spec_number == 0:
        return 0
    runs = uow.runs.find(deployment_id=deployment.id, kind=tuple(CHANGING))
    begun = {run.spec_number for run in runs if run.started_at is not None}
    ids = tuple(f"{deployment.id}.{number}" for number in begun)
    made = uow.specs.find(id=ids) if ids else []
    return max((int(spec.document["database"]["storage_gb"]) for spec in made), default=0)
