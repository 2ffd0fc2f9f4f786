"""Holds: placed and released by named roles with a reason (``domain/hold.py``), and shown."""

from __future__ import annotations

from typing import Final

from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.errors import IllegalTransition, InvalidInput, NeedsAnotherPerson
from control_plane.domain.hold import HOLD_RULES, PLACERS, Applying, Hold, HoldKind
from control_plane.domain.hub import Hub
from control_plane.domain.tenant import Tenant
from control_plane.services.hubs import find_hub
from control_plane.services.permission import READ_TENANTS, require_role, visible
from control_plane.services.tenants import get_tenant
from control_plane.workflows.core import Act
from control_plane.workflows.holding import (
    Owner,
    holds_on,
    locked,
    owner_of,
    place_hold,
    show_held,
    standing_on,
    targets_of,
)
from control_plane.workflows.recording import record, refused_as
from control_plane.workflows.waking import wake_for_release

READERS: Final = tuple(READ_TENANTS | {Role.PLATFORM_AUDITOR})


def may_place_on_tenant(act: Act, key: str) -> Tenant:
    """Return a tenant that the caller may hold. Raises ``NotFound``, ``NotAllowed``."""
    tenant = get_tenant(act, key)
    require_role(act, *PLACERS, wanted="holds.create", tree=tenant.id)
    return tenant


def may_place_on_hub(act: Act, hub_id: str) -> Hub:
    """Return a Hub that the caller may hold. Raises ``NotFound``, ``NotAllowed``."""
    hub = find_hub(act, hub_id)
    require_role(act, *PLACERS, wanted="holds.create")
    return hub


def place_on_tenant(
    act: Act, key: str, *, kind: HoldKind, reason: str, applying: Applying = Applying.FINISHES
) -> Hold:
    """Place a hold on a tenant: none of its runs begins to apply until the last is released.

    ``applying`` says what becomes of an apply that began before. Several holds may stand at once.
    Raises ``InvalidInput`` without a reason.
    """
    tenant = may_place_on_tenant(act, key)
    return _place(act, tenant, tenant.id, kind, reason, applying)


def place_on_hub(
    act: Act, hub_id: str, *, kind: HoldKind, reason: str, applying: Applying = Applying.FINISHES
) -> Hold:
    """Place a hold on a Hub, as ``place_on_tenant`` does; the slices on it are not held."""
    return _place(act, may_place_on_hub(act, hub_id), None, kind, reason, applying)


def _place(
    act: Act, owner: Owner, tree: str | None, kind: HoldKind, reason: str, applying: Applying
) -> Hold:
    require_role(act, *HOLD_RULES[kind].placed_by, wanted="holds.create", tree=tree)
    target = ("tenant" if tree else "hub", owner.id)
    with refused_as(
        act, "hold.refused", tree=tree, targets=(target,), wanted="place", kind=str(kind)
    ):
        _require_reason(reason)
        owner = locked(act.uow, owner)
        return place_hold(act, owner, kind=kind, applying=applying, reason=reason.strip())


def may_release(act: Act, hold_id: str) -> Hold:
    """Return a hold that the caller's roles may release. Raises ``NotFound``, ``NotAllowed``."""
    hold = visible(act, act.uow.holds.get(hold_id), wanted="holds.release")
    roles = HOLD_RULES[hold.kind].released_by
    require_role(act, *roles, wanted="holds.release", tree=hold.tenant_id)
    return hold


def release_hold(act: Act, hold_id: str, *, reason: str) -> Hold:
    """Release a hold; with the last one what waited for it continues, in the same transaction.

    Raises ``IllegalTransition`` for one that was released, ``NeedsAnotherPerson`` where the kind
    wants a person who did not place it.
    """
    hold = may_release(act, hold_id)
    with refused_as(
        act, "hold.refused",
        tree=hold.tenant_id, targets=targets_of(hold), wanted="release", kind=str(hold.kind),
    ):  # fmt: skip
        _require_reason(reason)
        owner = locked(act.uow, owner_of(act.uow, hold))  # two who release take turns
        hold = act.uow.holds.need(hold.id, lock=True)
        _require_releasable(hold, act.caller.actor)
        released = hold.released(act.caller.actor, reason.strip(), act.now())
        act.uow.holds.save(released)
        standing = standing_on(act.uow, owner)
        record(
            act, "hold.released",
            tree=hold.tenant_id, targets=targets_of(hold), personal={"reason": reason.strip()},
            kind=str(hold.kind), standing=len(standing),
        )  # fmt: skip
        show_held(act, owner, stands=bool(standing))
        wake_for_release(act, owner, is_free=not standing)
        return released


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidInput("a reason is required", field="reason")


def _require_releasable(hold: Hold, actor: Actor) -> None:
    if not hold.stands:
        raise IllegalTransition(
            f"this hold was released by {hold.released_by}", present_status="released"
        )
    if not HOLD_RULES[hold.kind].by_another:
        return
    if actor.kind is not ActorKind.USER:
        raise NeedsAnotherPerson(f"a {hold.kind} hold is released by a person, not by a machine")
    if hold.is_placer(actor):
        raise NeedsAnotherPerson(
            f"You placed this {hold.kind} hold, so another person releases it."
        )


def allowed_actions(hold: Hold, actor: Actor) -> list[str]:
    """Return what somebody may ask of a hold now."""
    rule = HOLD_RULES[hold.kind]
    is_another = actor.kind is ActorKind.USER and not hold.is_placer(actor)
    may = hold.stands and actor.has(*rule.released_by) and (is_another or not rule.by_another)
    return ["release"] if may else []


def get_hold(act: Act, hold_id: str) -> Hold:
    """Return a hold. Raises ``NotFound``."""
    require_role(act, *READERS, wanted="holds.read")
    return visible(act, act.uow.holds.get(hold_id), wanted="holds.read")


def holds_on_tenant(act: Act, key: str) -> list[Hold]:
    """Return every hold on a tenant, released ones too, oldest first. Raises ``NotFound``."""
    return holds_on(act.uow, get_tenant(act, key))


def holds_on_hub(act: Act, hub_id: str) -> list[Hold]:
    """Return every hold on a Hub, released ones too, oldest first. Raises ``NotFound``."""
    return holds_on(act.uow, find_hub(act, hub_id))
