"""Accepting a provisioning request: one contract makes one tenant, however often it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from control_plane.domain.actor import Role
from control_plane.domain.audit import Stage
from control_plane.domain.canonical import digest
from control_plane.domain.errors import (
    CompanyHasTenant,
    Conflict,
    ContractAlreadyUsed,
    DomainError,
    NotFound,
)
from control_plane.domain.mode import ModeDecision
from control_plane.domain.owner_status import tenant_status
from control_plane.domain.slug import candidates, slug_for
from control_plane.domain.spellings import instant
from control_plane.domain.tenant import (
    Contract,
    ProvisioningRequest,
    RefusedRequest,
    Tenant,
    TenantStatus,
)
from control_plane.ports.rows import EnvelopeHistory, UnitOfWork
from control_plane.services.modes import Resolved, mode_of, record_decision, resolved_of
from control_plane.services.permission import READ_TENANTS, listed, require_role, require_visibility
from control_plane.services.standing import Standing, standings
from control_plane.services.starting import Start, begin, first_start
from control_plane.workflows.beginning import (
    Beginning,
    begin_journeys,
    cause_of_provision,
    journeys_of,
)
from control_plane.workflows.core import Act, Caller, Core
from control_plane.workflows.owners import record_status
from control_plane.workflows.recording import leave_trace, record

SUBMITTERS = (Role.AUTOMATION, Role.PLATFORM_ADMIN)
_REFUSALS_NAMED: Final = 50  # the newest; the event counts all of them
_SAME_CONTRACT: Final = frozenset(
    {"uq_contract_provider_envelope_id", "uq_contract_provider_contract_id"}
)
_SAME_SLUG: Final = "uq_tenant_slug"


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What a request became, now or when it was sent first."""

    request: ProvisioningRequest
    tenant: Tenant
    standing: Standing
    is_new: bool = False  # whether it became this just now

    @property
    def run_id(self) -> str | None:
        """The newest run of the tenant."""
        return self.standing.run_id

    @property
    def bundle_id(self) -> str | None:
        """The newest bundle of the tenant."""
        return self.standing.bundle_id


def dry_run_request(act: Act, body: Mapping[str, Any]) -> ModeDecision:
    """Validate a request and resolve its mode; stores nothing (``dry_run``).

    Raises what ``submit_request`` would raise for it now.
    """
    require_role(act, *SUBMITTERS, wanted="provisioning_requests.preview")
    contract, uow = body["contract"], act.uow
    provider = contract["provider"]
    if _known(act, body, _history(act, body)) is not None:
        return resolved_of(act.core, body)[1]
    if uow.contracts.find(provider=provider, contract_id=contract["contract_id"]):
        raise _contract_used(uow, act.caller, provider, contract["contract_id"])
    if not body.get("additional_tenant"):
        _require_first(uow, act.caller, body["company"]["domain"])
    return resolved_of(act.core, body)[1]


def may_submit(act: Act) -> None:
    """Refuse who may not submit a request. Raises ``NotAllowed``."""
    require_role(act, *SUBMITTERS, wanted="provisioning_requests.create")


def submit_request(act: Act, body: Mapping[str, Any]) -> Accepted:
    """Accept a request: tenant, decision, first run or bundle, all in one transaction.

    The same contract with the same content gives the same tenant whatever the idempotency key.
    Raises ``ContractAlreadyUsed`` for another content or another envelope of its number,
    ``CompanyHasTenant`` for a company with a live tenant unless ``additional_tenant`` is true,
    ``InvalidInput`` and ``UnknownRegion`` for values that cannot be right. A refusal leaves an
    event in the platform's tree, and a row that a later acceptance refers to.
    """
    may_submit(act)
    try:
        return _accept(act, body)
    except DomainError as error:
        leave_trace(error, partial(record_refusal, act.core, act.caller, body, error))
        raise


def record_refusal(
    core: Core, caller: Caller, body: Mapping[str, Any], error: DomainError, **data: Any
) -> None:
    """Keep the refusal of a request whose provider and envelope are known.

    The row and the event, which gets ``data`` too, are of one transaction of their own. Raises
    ``AuditUnavailable``.
    """
    contract = body["contract"]
    with core.act(caller) as act:
        refused = RefusedRequest(
            id=act.new_id("refusal"),
            provider=contract["provider"],
            envelope_id=contract["envelope_id"],
            body_digest=digest(dict(body)),
            code=error.code,
            requested_by=caller.actor.id,
            refused_at=act.now(),
        )
        act.uow.refusals.add(refused)
        record(
            act, "request.refused",
            tree=None, stage=Stage.DENIED, targets=(("refusal", refused.id),), code=error.code,
            body_digest=refused.body_digest, provider=refused.provider,
            envelope_id=refused.envelope_id, **data,
        )  # fmt: skip
        act.uow.commit()
    error.is_recorded = True


def _accept(act: Act, body: Mapping[str, Any]) -> Accepted:
    history = _history(act, body)
    known = _known(act, body, history)
    if known is not None:
        return known
    resolved = resolved_of(act.core, body)
    new = _store(act, body, resolved)
    if isinstance(new, Accepted):
        return new
    if not body.get("additional_tenant"):
        _require_first(act.uow, act.caller, new.tenant.domain, new.tenant.id)
    _record_acceptance(act, new, resolved[1], history.refusals)
    begun = _begun(act, new)
    begin_journeys(act, new.journeys)
    return begun


def _history(act: Act, body: Mapping[str, Any]) -> EnvelopeHistory:
    contract = body["contract"]
    return act.uow.queries.envelope(
        contract["provider"], contract["envelope_id"], refusals=_REFUSALS_NAMED
    )


def _known(act: Act, body: Mapping[str, Any], history: EnvelopeHistory) -> Accepted | None:
    """Return what the envelope's contract became before, if it is known."""
    if history.contract_id is None:
        return None
    contract = act.uow.contracts.need(history.contract_id)
    return _replay_existing(act, contract, digest(dict(body)))


def _replay_existing(act: Act, contract: Contract, body_digest: str) -> Accepted:
    uow = act.uow
    if not act.caller.actor.sees(contract.tenant_id):
        raise ContractAlreadyUsed("the contract has a tenant already")
    request = uow.requests.find(contract_ref=contract.id)[0]
    tenant = uow.tenants.get(contract.tenant_id)
    if tenant is None:
        raise NotFound("the contract's tenant no longer exists")
    if request.body_digest != body_digest:
        raise ContractAlreadyUsed(
            "the contract already has a tenant, made from other facts", request_id=request.id
        )
    return _accepted(uow, request, tenant)


def _require_first(uow: UnitOfWork, caller: Caller, domain: str, own: str | None = None) -> None:
    """Refuse a second live tenant of a company, whose identity is its domain; ``own`` is the first.

    Others of the company wait here until this transaction ends, and see its tenant then.
    """
    uow.serialize_on(f"company:{domain}")
    for other, slug in uow.queries.live_tenants(domain).items():
        if other != own:
            if not caller.actor.sees(other):
                raise CompanyHasTenant(f"{domain} already has a live tenant")
            raise CompanyHasTenant(f"{domain} already has the live tenant {slug}", tenant_id=other)


def _accepted(uow: UnitOfWork, request: ProvisioningRequest, tenant: Tenant) -> Accepted:
    standing = standings(uow, [tenant])[tenant.id]
    return Accepted(request=request, tenant=tenant, standing=standing)


@dataclass(frozen=True, kw_only=True)
class _New:
    """The rows that a request becomes; ``start`` is None while its mode is in conflict."""

    tenant: Tenant
    contract: Contract
    request: ProvisioningRequest
    start: Start | None
    journeys: Sequence[Beginning]

    @property
    def rows(self) -> tuple[object, ...]:
        return (self.tenant, self.contract, self.request, *(self.start.rows if self.start else ()))


def _store(act: Act, body: Mapping[str, Any], resolved: Resolved) -> _New | Accepted:
    """Store all rows of a request in one statement, under the first slug that nobody has.

    Another request of the same contract may be faster: then what it made is returned.
    """
    company, tenant_id = body["company"], act.new_id("tenant")
    base = slug_for(company["legal_name"], company["domain"], tenant_id, act.core.rules.slug)
    for slug in candidates(base, tenant_id):
        new = _new(act, body, resolved, tenant_id, slug)
        try:
            act.uow.begin_with(*new.rows)
        except Conflict as conflict:
            constraint = conflict.data.get("constraint")
            if constraint in _SAME_CONTRACT:
                known = _known(act, body, _history(act, body))
                if known is not None:
                    return known
                raise _contract_used(
                    act.uow, act.caller, new.contract.provider, new.contract.contract_id
                ) from conflict
            if constraint != _SAME_SLUG:
                raise
        else:
            return new
    raise Conflict("every slug for this name is taken")


def _new(act: Act, body: Mapping[str, Any], resolved: Resolved, tenant_id: str, slug: str) -> _New:
    facts, decision = resolved
    company, given, now = body["company"], body["contract"], act.now()
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
    contract = Contract(
        id=act.new_id("contract"),
        provider=given["provider"],
        envelope_id=given["envelope_id"],
        contract_id=given["contract_id"],
        digest=digest(dict(given)),
        signed_at=instant(given["signed_at"]),
        subscription=given["subscription"],
        mode=given.get("mode"),
        seats=given.get("seats"),
        tenant_id=tenant_id,
        created_at=now,
    )
    request = ProvisioningRequest(
        id=act.new_id("request"),
        tenant_id=tenant_id,
        contract_ref=contract.id,
        body=dict(body),
        body_digest=digest(dict(body)),
        requested_by=act.caller.actor.id,
        on_behalf_of=act.caller.actor.on_behalf_of,
        created_at=now,
    )
    mode = mode_of(decision)
    journeys = journeys_of(
        act, tenant, contract, trigger="contract.signed", is_settled=mode is not None
    )
    cause = cause_of_provision(journeys)
    environment = body["environment"]
    start = first_start(act, tenant, mode, environment, cause) if mode is not None else None
    status, waiting_on = tenant_status(
        is_resolved=start is not None, holdings=[start.holding] if start is not None else []
    )
    return _New(
        tenant=replace(tenant, status=status, waiting_on=waiting_on),
        contract=contract, request=request, start=start, journeys=journeys,
    )  # fmt: skip


def _begun(act: Act, new: _New) -> Accepted:
    """Begin what was stored; a run brings the tenant's status up to date by itself."""
    run = begin(act, new.start) if new.start is not None else None
    tenant, bundle = new.tenant, new.start.bundle if new.start is not None else None
    if run is not None:
        tenant = act.uow.tenants.need(tenant.id)
    else:
        record_status(act, tenant, TenantStatus.REQUESTED)
    standing = Standing(
        run_id=run.id if run is not None else None,
        bundle_id=bundle.id if bundle is not None else None,
        error=None,
    )
    return Accepted(request=new.request, tenant=tenant, standing=standing, is_new=True)


def _contract_used(
    uow: UnitOfWork, caller: Caller, provider: str, contract_id: str
) -> ContractAlreadyUsed:
    (used,) = uow.contracts.find(provider=provider, contract_id=contract_id)
    seen = {}
    if caller.actor.sees(used.tenant_id):
        request = uow.requests.find(contract_ref=used.id)[0]
        seen = {"request_id": request.id, "tenant_id": used.tenant_id}
    return ContractAlreadyUsed(
        "the contract already has a tenant, made from another envelope", **seen
    )


def _record_acceptance(
    act: Act, new: _New, decision: ModeDecision, refusals: Sequence[str]
) -> None:
    request, tenant = new.request, new.tenant
    contract = request.body["contract"]
    envelope = {"provider": contract["provider"], "envelope_id": contract["envelope_id"]}
    are_all = len(refusals) < _REFUSALS_NAMED
    personal = {
        f"contacts.{number}.{name}": value
        for number, contact in enumerate(request.body.get("contacts") or ())
        for name, value in contact.items()
        if name in {"name", "email"} and value is not None
    }
    record(
        act, "request.accepted",
        tree=tenant.id, targets=(("request", request.id), ("tenant", tenant.id)),
        personal=personal, contract=contract["contract_id"],
        contract_digest=new.contract.digest, **envelope,
        body_digest=request.body_digest, slug=tenant.slug,
        subscription=contract["subscription"], country=tenant.country,
        environment=request.body["environment"],
        earlier_requests=refusals[::-1],
        count=len(refusals) if are_all else act.uow.refusals.count(**envelope),
    )  # fmt: skip
    record_decision(act, tenant, decision)


def get_request(act: Act, request_id: str) -> Accepted:
    """Return a request with its tenant as it is now. Raises ``NotFound``."""
    require_role(act, *READ_TENANTS, wanted="provisioning_requests.read")
    request = act.uow.requests.get(request_id)
    tenant = act.uow.tenants.get(request.tenant_id) if request else None
    accepted = _accepted(act.uow, request, tenant) if request and tenant else None
    if accepted is None:
        raise NotFound("not found")
    require_visibility(act, accepted.tenant.id, wanted="provisioning_requests.read")
    return accepted


def list_requests(act: Act, *, limit: int, before: str | None) -> list[Accepted]:
    """Return the requests of the caller's tenants, newest first."""
    require_role(act, *READ_TENANTS, wanted="provisioning_requests.read")
    found = act.uow.requests.page(limit=limit, before=before, **listed(act))
    ids = tuple({request.tenant_id for request in found})
    tenants = {tenant.id: tenant for tenant in act.uow.tenants.find(id=ids)}
    known = standings(act.uow, list(tenants.values()))
    return [
        Accepted(
            request=request,
            tenant=tenants[request.tenant_id],
            standing=known[request.tenant_id],
        )
        for request in found
    ]
