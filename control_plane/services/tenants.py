"""Tenants: looking at them, and an architect's word on a mode that is in conflict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from control_plane.domain.actor import Actor, Role
from control_plane.domain.canonical import digest
from control_plane.domain.deployment import Deployment, Position
from control_plane.domain.errors import IllegalTransition, InvalidInput, NotFound
from control_plane.domain.facts import CONTRACT_FACTS, Facts
from control_plane.domain.hold import PLACERS
from control_plane.domain.mode import Mode, ModeDecision, confirm, resolve
from control_plane.domain.slug import is_slug
from control_plane.domain.tenant import Tenant, TenantStatus
from control_plane.ports.rows import UnitOfWork
from control_plane.services.modes import mode_of, record_decision
from control_plane.services.permission import READ_TENANTS, listed, require_role, require_visibility
from control_plane.services.standing import Standing, standings
from control_plane.services.starting import begin, first_start
from control_plane.workflows.beginning import (
    Beginning,
    begin_journeys,
    cause_of_provision,
    journeys_once_settled,
    standing_cause_of_provision,
)
from control_plane.workflows.core import Act
from control_plane.workflows.owners import sync_tenant
from control_plane.workflows.recording import record, refused_as

Shown = tuple[Tenant, Standing]
CHANGERS: Final = (Role.AUTOMATION, Role.PLATFORM_ADMIN)
# there is no role of a customer success manager: who settles modes confirms and raises them too
MODE_DECIDERS: Final = (Role.SOLUTIONS_ARCHITECT, Role.PLATFORM_ADMIN)
CHECKERS: Final = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
REMOVERS: Final = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
CHANGEABLE_STATUS: Final = frozenset(
    {TenantStatus.PENDING, TenantStatus.READY, TenantStatus.FAILED}
)


def get_tenant(act: Act, key: str) -> Tenant:
    """Return a tenant by id or slug. Raises ``NotFound``, also for one outside the token."""
    require_role(act, *READ_TENANTS, wanted="tenants.read")
    tenant = find_tenant(act.uow, key)
    if tenant is None:
        raise NotFound("not found")
    require_visibility(act, tenant.id, wanted="tenants.read")
    return tenant


def find_tenant(uow: UnitOfWork, key: str) -> Tenant | None:
    """Return a tenant by id or slug, for any caller."""
    found = uow.tenants.get(key)
    if found is None and is_slug(key):
        return next(iter(uow.tenants.find(slug=key)), None)
    return found


def show_tenant(act: Act, key: str) -> Shown:
    """Return a tenant by id or slug and where it stands. Raises as ``get_tenant`` does."""
    tenant = get_tenant(act, key)
    return tenant, standings(act.uow, [tenant])[tenant.id]


def list_tenants(
    act: Act,
    *,
    limit: int,
    before: str | None,
    status: str | None = None,
    domain: str | None = None,
    contract_id: str | None = None,
    envelope_id: str | None = None,
    drifted: bool | None = None,
) -> list[Shown]:
    """Return the tenants of the caller's token and where they stand, newest first.

    ``contract_id`` and ``envelope_id`` are those of the contract that a tenant was made from.
    """
    require_role(act, *READ_TENANTS, wanted="tenants.read")
    equals = listed(act, owner="id", status=status, domain=domain, drifted=drifted)
    contract = {"contract_id": contract_id, "envelope_id": envelope_id}
    wanted = {name: value for name, value in contract.items() if value is not None}
    if wanted:
        made = {each.tenant_id for each in act.uow.contracts.find(**wanted)}
        equals["id"] = {each for each in made if act.caller.actor.sees(each)}
    found = act.uow.tenants.page(limit=limit, before=before, **equals)
    known = standings(act.uow, found)
    return [(tenant, known[tenant.id]) for tenant in found]


def deployments_of(act: Act, key: str) -> list[Deployment]:
    """Return a tenant's deployments with their outputs. Raises ``NotFound``."""
    tenant = get_tenant(act, key)
    return act.uow.deployments.find(tenant_id=tenant.id)


def deployment_of(uow: UnitOfWork, tenant: Tenant) -> Deployment | None:
    """Return the deployment that a tenant has now, None before it has one."""
    found = uow.deployments.find(tenant_id=tenant.id, removed_at=None, position=Position.CURRENT)
    if len(found) > 1:
        raise LookupError(f"{tenant.id} has several deployments")  # one for each environment
    return found[0] if found else None


def allowed_actions(tenant: Tenant, actor: Actor) -> list[str]:
    """Return what somebody may ask of a tenant in its current status."""
    is_open = tenant.status is TenantStatus.MODE_CONFLICT
    is_ours = tenant.mode in {Mode.A, Mode.B}  # the customer applies what is in Mode C
    is_changeable = is_ours and tenant.status in CHANGEABLE_STATUS and tenant.saga_id is None
    is_there = is_ours and tenant.status is TenantStatus.READY
    possible = {
        "mode-decision": is_open and actor.has(Role.SOLUTIONS_ARCHITECT),
        "mode": not is_open
        and tenant.mode is not None
        and tenant.saga_id is None
        and actor.has(*MODE_DECIDERS),
        "change": is_changeable and actor.has(*CHANGERS),
        "check-drift": is_there and actor.has(*CHECKERS),
        "hold": actor.has(*PLACERS),
        "remove": tenant.removed_at is None and tenant.saga_id is None and actor.has(*REMOVERS),
    }
    return [action for action, is_possible in possible.items() if is_possible]


def decide_mode(
    act: Act,
    key: str,
    *,
    changed_facts: Mapping[str, Any] | None,
    reason: str,
) -> tuple[Tenant, ModeDecision]:
    """Confirm the bought mode of a tenant in conflict, or correct its facts and resolve again.

    Without ``changed_facts`` a review is confirmed; a conflict cannot be (``ModeConflict``). A
    person who edits facts is excluded from deciding on the tenant's plans. Raises
    ``IllegalTransition`` unless the tenant is ``mode_conflict``.
    """
    tenant = get_tenant(act, key)
    require_role(act, Role.SOLUTIONS_ARCHITECT, wanted="mode_decisions.create", tree=tenant.id)
    with refused_as(act, "mode.refused", tree=tenant.id, targets=(("tenant", tenant.id),)):
        if not reason.strip():
            raise InvalidInput("a reason is required", field="reason")
        locked = act.uow.tenants.need(tenant.id, lock=True)
        return _decide(act, locked, changed_facts or {}, reason.strip())


def _decide(
    act: Act,
    tenant: Tenant,
    changed: Mapping[str, Any],
    reason: str,
) -> tuple[Tenant, ModeDecision]:
    if tenant.status is not TenantStatus.MODE_CONFLICT:
        raise IllegalTransition(
            f"the tenant is {tenant.status}; a mode can be decided only while it is mode_conflict",
            present_status=str(tenant.status),
        )
    fixed = sorted(set(changed) & set(CONTRACT_FACTS))
    if fixed:
        raise InvalidInput(
            f"{fixed[0]} is part of the contract; submit a changed contract as a new request",
            field=f"facts.{fixed[0]}",
        )
    before = digest(dict(tenant.facts))
    try:
        facts = Facts.from_document({**tenant.facts, **changed})
        decision = resolve(facts, act.core.rules.mode)
    except InvalidInput as error:
        raise error.renamed(lambda name: f"facts.{name}") from error
    if not changed:
        decision = confirm(decision)
    editors = tenant.editors
    if changed:
        editors = tuple(dict.fromkeys((*editors, *act.caller.actor.subjects)))
    record(
        act, "mode.confirmed",
        tree=tenant.id, targets=(("tenant", tenant.id),), personal={"reason": reason},
        mode=str(decision.mode) if decision.mode else None,
        required_mode=str(decision.required_min),
        rules=[fired.rule for fired in decision.fired], rules_digest=decision.rules_digest,
        facts_digest=decision.input_digest, previous_facts_digest=before,
        changed=sorted(changed),
    )  # fmt: skip
    tenant = replace(
        tenant,
        facts=facts.to_document(),
        decision=decision.to_document(),
        mode=str(decision.mode) if decision.mode else None,
        region=decision.region,
        editors=editors,
        updated_at=act.now(),
        version=tenant.version + 1,
    )
    act.uow.tenants.save(tenant)
    record_decision(act, tenant, decision)
    mode = mode_of(decision)
    if mode is not None:
        _start(act, tenant, mode)
    return sync_tenant(act, tenant.id), decision


def _start(act: Act, tenant: Tenant, mode: Mode) -> None:
    """Begin what a mode leads to that was settled just now, and the journeys that waited for it."""
    requests = act.uow.requests.find(tenant_id=tenant.id)
    environment = str(requests[-1].body["environment"]) if requests else "production"
    journeys: Sequence[Beginning] = ()
    if requests:
        contract = act.uow.contracts.need(requests[-1].contract_ref)
        journeys = journeys_once_settled(act, tenant, contract, trigger="contract.signed")
    cause = standing_cause_of_provision(act, tenant) or cause_of_provision(journeys)
    start = first_start(act, tenant, mode, environment, cause)
    act.uow.add(*start.rows)
    begin(act, start)
    begin_journeys(act, journeys)
