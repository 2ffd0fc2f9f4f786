"""Tenants: looking at them, and an architect's word on a mode that is in conflict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from control_plane.domain.actor import Role
from control_plane.domain.canonical import digest
from control_plane.domain.deployment import Deployment
from control_plane.domain.errors import DomainError, IllegalTransition, InvalidInput, NotFound
from control_plane.domain.facts import CONTRACT_FACTS, Facts
from control_plane.domain.mode import ModeDecision, confirm, resolve
from control_plane.domain.slug import is_slug
from control_plane.domain.tenant import Tenant, TenantStatus
from control_plane.ports import UnitOfWork
from control_plane.services.permission import READ_TENANTS, require_role, require_sight
from control_plane.services.provisioning import follow_decision, record_decision
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.recording import record, record_denied


def get_tenant(core: Core, caller: Caller, key: str) -> Tenant:
    """Return a tenant by id or slug. Raises ``NotFound``, also for one outside the token."""
    require_role(core, caller, *READ_TENANTS, act="tenants.read")
    tenant = find_tenant(core, key)
    if tenant is None:
        raise NotFound("there is no such thing")
    require_sight(core, caller, tenant.id, act="tenants.read")
    return tenant


def find_tenant(core: Core, key: str) -> Tenant | None:
    """Return a tenant by id or slug, whoever asks."""
    with core.uow() as uow:
        found = uow.tenants.get(key)
        if found is None and is_slug(key):
            by_slug = uow.tenants.find(slug=key)
            found = by_slug[0] if by_slug else None
    return found


def list_tenants(
    core: Core, caller: Caller, *, limit: int, before: str | None, status: str | None
) -> list[Tenant]:
    """Return the tenants of the caller's token, newest first."""
    require_role(core, caller, *READ_TENANTS, act="tenants.read")
    equals: dict[str, object] = {"status": status} if status else {}
    if "*" not in caller.actor.tenants:
        equals["id"] = caller.actor.tenants
    with core.uow() as uow:
        return uow.tenants.page(limit=limit, before=before, **equals)


def deployments_of(core: Core, caller: Caller, key: str) -> list[Deployment]:
    """Return a tenant's deployments with their outputs. Raises ``NotFound``."""
    tenant = get_tenant(core, caller, key)
    with core.uow() as uow:
        return uow.deployments.find(tenant_id=tenant.id)


def allowed_actions(tenant: Tenant) -> list[str]:
    """Return what may be asked of a tenant in its present status."""
    return ["mode-decision"] if tenant.status is TenantStatus.MODE_CONFLICT else []


def decide_mode(
    core: Core,
    caller: Caller,
    key: str,
    *,
    changed_facts: Mapping[str, Any] | None,
    reason: str,
) -> tuple[Tenant, ModeDecision]:
    """Confirm the bought mode of a tenant in conflict, or correct its facts and resolve again.

    Without ``changed_facts`` a review is confirmed; a conflict cannot be (``ModeConflict``). Who
    edits facts is barred from deciding on the tenant's plans. Raises ``IllegalTransition`` unless
    the tenant is ``mode_conflict``.
    """
    tenant = get_tenant(core, caller, key)
    require_role(
        core, caller, Role.SOLUTIONS_ARCHITECT, act="mode_decisions.create", tree=tenant.id
    )
    try:
        if not reason.strip():
            raise InvalidInput("a reason is needed", field="reason")
        with core.uow() as uow:
            locked = uow.tenants.get(tenant.id, lock=True) or tenant
            result = _decide(core, uow, caller, locked, changed_facts or {}, reason.strip())
            uow.commit()
    except DomainError as error:
        record_denied(
            core, caller, "mode.refused", error,
            tree=tenant.id, targets=(("tenant", tenant.id),),
        )  # fmt: skip
        raise
    return result


def _decide(
    core: Core,
    uow: UnitOfWork,
    caller: Caller,
    tenant: Tenant,
    changed: Mapping[str, Any],
    reason: str,
) -> tuple[Tenant, ModeDecision]:
    if tenant.status is not TenantStatus.MODE_CONFLICT:
        raise IllegalTransition(
            f"the tenant is {tenant.status}; a mode is decided while it is mode_conflict",
            present_status=str(tenant.status),
        )
    fixed = sorted(set(changed) & set(CONTRACT_FACTS))
    if fixed:
        raise InvalidInput(
            f"{fixed[0]} is part of the contract; a changed contract is a new request",
            field=f"facts.{fixed[0]}",
        )
    before = digest(dict(tenant.facts))
    try:
        facts = Facts.from_document({**tenant.facts, **changed})
        decision = resolve(facts, core.rules.mode)
    except InvalidInput as error:
        raise error.renamed(lambda name: f"facts.{name}") from error
    if not changed:
        decision = confirm(decision)
    editors = tenant.editors
    if changed:
        editors = tuple(dict.fromkeys((*editors, *caller.actor.subjects)))
    record(
        core, uow, caller, "mode.confirmed",
        tree=tenant.id, targets=(("tenant", tenant.id),), personal={"reason": reason},
        mode=str(decision.mode) if decision.mode else None,
        required_mode=str(decision.required_min), rules_digest=decision.rules_digest,
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
        updated_at=core.clock.now(),
        version=tenant.version + 1,
    )
    uow.tenants.save(tenant)
    record_decision(core, uow, caller, tenant, decision)
    return follow_decision(core, uow, caller, tenant, decision), decision
