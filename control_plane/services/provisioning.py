"""Accepting a provisioning request: one contract makes one tenant, however often it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from control_plane.domain.actor import Role
from control_plane.domain.canonical import digest
from control_plane.domain.errors import (
    Conflict,
    ContractAlreadyUsed,
    DomainError,
    InvalidInput,
    NotFound,
)
from control_plane.domain.facts import Facts
from control_plane.domain.mode import Mode, ModeDecision, Outcome, resolve
from control_plane.domain.slug import candidates, slug_for
from control_plane.domain.tenant import (
    Contract,
    ProvisioningRequest,
    Tenant,
    TenantStatus,
)
from control_plane.ports import UnitOfWork
from control_plane.services.permission import READ_TENANTS, require_role, require_sight
from control_plane.services.starting import start_provisioning
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.owners import move_tenant
from control_plane.workflows.recording import record, record_denied

SUBMITTERS = (Role.AUTOMATION, Role.PLATFORM_ADMIN)
_CONTRACT_FACTS = ("subscription", "seats", "sla_uptime_min")


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What a request became. ``created`` is False when the contract had a tenant already."""

    request: ProvisioningRequest
    tenant: Tenant
    created: bool
    run_id: str | None = None  # newest run of the tenant
    bundle_id: str | None = None  # newest bundle of the tenant


def facts_of(body: Mapping[str, Any]) -> Facts:
    """Return the resolver's facts of a request. Raises ``InvalidInput``, ``UnknownRegion``."""
    contract = body["contract"]
    document = {**(body.get("requirements") or {})}
    for name in _CONTRACT_FACTS:
        document[name] = contract.get(name)
    document["contract_mode"] = contract.get("mode")
    return Facts.from_document(document)


def resolve_mode(core: Core, caller: Caller, facts: Facts) -> ModeDecision:
    """Answer which mode given facts lead to; stores nothing."""
    require_role(core, caller, *READ_TENANTS, act="mode_resolutions.create")
    return resolve(facts, core.rules.mode)


def preview_request(core: Core, caller: Caller, body: Mapping[str, Any]) -> ModeDecision:
    """Validate a request and resolve its mode; stores nothing (``dry_run``)."""
    require_role(core, caller, *SUBMITTERS, act="provisioning_requests.preview")
    return resolve(facts_of(body), core.rules.mode)


def submit_request(core: Core, caller: Caller, body: Mapping[str, Any]) -> Accepted:
    """Accept a request: tenant, decision, first run or bundle, all in one transaction.

    The same contract with the same content gives the same tenant whatever the idempotency key.
    Raises ``ContractAlreadyUsed`` for another content, ``InvalidInput`` and ``UnknownRegion`` for
    values that cannot be right; a refusal leaves an event in the platform's tree.
    """
    require_role(core, caller, *SUBMITTERS, act="provisioning_requests.create")
    try:
        with core.uow() as uow:
            accepted = _accept(core, uow, caller, body)
            uow.commit()
    except DomainError as error:
        contract = body["contract"]
        record_denied(
            core, caller, "request.refused", error,
            tree=None, body_digest=digest(dict(body)), provider=contract["provider"],
            envelope_id=contract["envelope_id"],
        )  # fmt: skip
        raise
    return accepted


def _accept(core: Core, uow: UnitOfWork, caller: Caller, body: Mapping[str, Any]) -> Accepted:
    contract = body["contract"]
    provider, envelope = contract["provider"], contract["envelope_id"]
    uow.serialize_on(f"contract:{provider}:{envelope}")
    found = uow.contracts.find(provider=provider, envelope_id=envelope)
    if found:
        return _again(uow, found[0], digest(dict(body)))
    facts = facts_of(body)
    decision = resolve(facts, core.rules.mode)
    tenant = _new_tenant(core, uow, body, facts, decision)
    request = _store(core, uow, caller, body, tenant)
    _record_acceptance(core, uow, caller, request, tenant, decision)
    tenant = follow_decision(core, uow, caller, tenant, decision)
    return _accepted(uow, request, tenant, created=True)


def _again(uow: UnitOfWork, contract: Contract, body_digest: str) -> Accepted:
    request = uow.requests.find(contract_ref=contract.id)[0]
    tenant = uow.tenants.get(contract.tenant_id)
    if tenant is None:
        raise NotFound("the contract's tenant is gone")
    if request.body_digest != body_digest:
        raise ContractAlreadyUsed(
            "the contract has a tenant already, made from other facts", request_id=request.id
        )
    return _accepted(uow, request, tenant, created=False)


def _accepted(
    uow: UnitOfWork, request: ProvisioningRequest, tenant: Tenant, *, created: bool
) -> Accepted:
    runs = uow.runs.page(limit=1, tenant_id=tenant.id)
    bundles = uow.bundles.page(limit=1, tenant_id=tenant.id)
    return Accepted(
        request=request,
        tenant=tenant,
        created=created,
        run_id=runs[0].id if runs else None,
        bundle_id=bundles[0].id if bundles else None,
    )


def _new_tenant(
    core: Core,
    uow: UnitOfWork,
    body: Mapping[str, Any],
    facts: Facts,
    decision: ModeDecision,
) -> Tenant:
    company, now = body["company"], core.clock.now()
    tenant_id = core.ids.new("tenant")
    base = slug_for(company["legal_name"], company["domain"], tenant_id, core.rules.slug)
    uow.serialize_on(f"slug:{base}")
    for slug in candidates(base, tenant_id):
        if uow.tenants.count(slug=slug) == 0:
            break
    else:
        raise Conflict("every slug for this name is taken")
    tenant = Tenant(
        id=tenant_id,
        slug=slug,
        legal_name=company["legal_name"],
        domain=company["domain"].lower(),
        country=company["country"],
        time_zone=company["time_zone"],
        status=TenantStatus.REQUESTED,
        mode=str(decision.mode) if decision.mode else None,
        region=decision.region,
        facts=facts.to_document(),
        decision=decision.to_document(),
        created_at=now,
        updated_at=now,
    )
    uow.tenants.add(tenant)
    return tenant


def _store(
    core: Core, uow: UnitOfWork, caller: Caller, body: Mapping[str, Any], tenant: Tenant
) -> ProvisioningRequest:
    given, now = body["contract"], core.clock.now()
    contract = Contract(
        id=core.ids.new("contract"),
        provider=given["provider"],
        envelope_id=given["envelope_id"],
        contract_id=given["contract_id"],
        digest=digest(dict(given)),
        signed_at=_instant(given["signed_at"]),
        subscription=given["subscription"],
        mode=given.get("mode"),
        seats=given.get("seats"),
        tenant_id=tenant.id,
        created_at=now,
    )
    uow.contracts.add(contract)
    request = ProvisioningRequest(
        id=core.ids.new("request"),
        tenant_id=tenant.id,
        contract_ref=contract.id,
        body=dict(body),
        body_digest=digest(dict(body)),
        requested_by=caller.actor.id,
        on_behalf_of=caller.actor.on_behalf_of,
        created_at=now,
    )
    uow.requests.add(request)
    return request


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise InvalidInput("contract.signed_at needs a time zone", field="contract.signed_at")
    return instant


def _record_acceptance(
    core: Core,
    uow: UnitOfWork,
    caller: Caller,
    request: ProvisioningRequest,
    tenant: Tenant,
    decision: ModeDecision,
) -> None:
    contract = request.body["contract"]
    earlier = [
        found.id for found in uow.requests.find(tenant_id=tenant.id) if found.id != request.id
    ]
    personal = {
        f"contacts.{number}.{name}": value
        for number, contact in enumerate(request.body.get("contacts") or ())
        for name, value in contact.items()
        if name in {"name", "email"} and value is not None
    }
    record(
        core, uow, caller, "request.accepted",
        tree=tenant.id, targets=(("request", request.id), ("tenant", tenant.id)),
        personal=personal, contract=contract["contract_id"],
        contract_digest=digest(dict(contract)), provider=contract["provider"],
        envelope_id=contract["envelope_id"], body_digest=request.body_digest, slug=tenant.slug,
        subscription=contract["subscription"], country=tenant.country,
        environment=request.body["environment"], earlier_requests=earlier,
    )  # fmt: skip
    record_decision(core, uow, caller, tenant, decision)


def record_decision(
    core: Core, uow: UnitOfWork, caller: Caller, tenant: Tenant, decision: ModeDecision
) -> None:
    """Record what the resolver found, with every rule that fired."""
    action = "mode.resolved" if decision.outcome is Outcome.RESOLVED else "mode.conflict"
    record(
        core, uow, caller, action,
        tree=tenant.id, targets=(("tenant", tenant.id),),
        mode=str(decision.mode) if decision.mode else None,
        required_mode=str(decision.required_min), region=decision.region,
        rules=[fired.rule for fired in decision.fired], rules_digest=decision.rules_digest,
        facts_digest=decision.input_digest,
        needs_review=decision.outcome is Outcome.NEEDS_REVIEW,
    )  # fmt: skip


def follow_decision(
    core: Core, uow: UnitOfWork, caller: Caller, tenant: Tenant, decision: ModeDecision
) -> Tenant:
    """Start what the decision leads to, or wait for an architect when it leads nowhere yet."""
    if decision.outcome is not Outcome.RESOLVED or decision.mode is None:
        return move_tenant(core, uow, caller, tenant, TenantStatus.MODE_CONFLICT)
    return start_provisioning(core, uow, caller, tenant, Mode(decision.mode))


def get_request(core: Core, caller: Caller, request_id: str) -> Accepted:
    """Return a request with its tenant as it is now. Raises ``NotFound``."""
    require_role(core, caller, *READ_TENANTS, act="provisioning_requests.read")
    with core.uow() as uow:
        request = uow.requests.get(request_id)
        tenant = uow.tenants.get(request.tenant_id) if request else None
        accepted = _accepted(uow, request, tenant, created=False) if request and tenant else None
    if accepted is None:
        raise NotFound("there is no such thing")
    require_sight(core, caller, accepted.tenant.id, act="provisioning_requests.read")
    return accepted


def list_requests(core: Core, caller: Caller, *, limit: int, before: str | None) -> list[Accepted]:
    """Return the requests of the caller's tenants, newest first."""
    require_role(core, caller, *READ_TENANTS, act="provisioning_requests.read")
    equals = {} if "*" in caller.actor.tenants else {"tenant_id": caller.actor.tenants}
    with core.uow() as uow:
        found = []
        for request in uow.requests.page(limit=limit, before=before, **equals):
            tenant = uow.tenants.get(request.tenant_id)
            if tenant is not None:
                found.append(_accepted(uow, request, tenant, created=False))
    return found
