"""Holds that stand: what they mean for a run and for due dates, and placing one.

The owner's row says whether any stands, so that what is not held costs nothing. A transaction that
places or releases one has that row locked, and so has one that finds that one stands.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from control_plane.domain.deployment import Deployment
from control_plane.domain.errors import OnHold
from control_plane.domain.hold import STOPS_CLOCKS, Applying, Hold, HoldKind
from control_plane.domain.hub import Hub
from control_plane.domain.next_step import HoldFact
from control_plane.domain.run import Run, RunStatus
from control_plane.domain.tenant import Tenant
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record

Owner = Tenant | Hub
CHECKED_AGAIN: Final = timedelta(days=1)  # a due date that does not pass while a hold stands
_HEEDS: Final = frozenset({RunStatus.APPROVED, RunStatus.APPLYING})


def owner_of(uow: UnitOfWork, held: Deployment | Hold) -> Owner:
    """Return the tenant or Hub that a hold is on, or whose hold a deployment heeds."""
    if held.tenant_id is not None:
        return uow.tenants.need(held.tenant_id)
    return uow.hubs.need(held.hub_id)


def locked(uow: UnitOfWork, owner: Owner) -> Owner:
    """Return an owner as it is now; nobody else changes it, or its holds, meanwhile."""
    if isinstance(owner, Tenant):
        return uow.tenants.need(owner.id, lock=True)
    return uow.hubs.need(owner.id, lock=True)


def holds_on(uow: UnitOfWork, owner: Owner) -> list[Hold]:
    """Return every hold on an owner, released or not, oldest first."""
    return uow.holds.find(**_on(owner))


def standing_on(uow: UnitOfWork, owner: Owner) -> list[Hold]:
    """Return the holds that stand on an owner, oldest first."""
    return uow.holds.find(**_on(owner), released_at=None)


def hold_fact(uow: UnitOfWork, run: Run, deployment: Deployment) -> HoldFact:
    """Return what holds let a run do that is about to apply; the others ask for no row.

    Where one stands its owner is locked: a run that is blocked for it is then seen by the release.
    """
    if run.status not in _HEEDS:
        return HoldFact.NONE
    owner = owner_of(uow, deployment)
    standing = standing_on(uow, locked(uow, owner)) if owner.hold else []
    found = {hold.applying for hold in standing}
    if Applying.STOPS in found:
        return HoldFact.STOPS
    return HoldFact.FINISHES if found else HoldFact.NONE


def on_hold(uow: UnitOfWork, deployment: Deployment) -> OnHold:
    """Return the error of a run that waits for the holds that stand; it says no reason."""
    standing = standing_on(uow, owner_of(uow, deployment))
    kinds = sorted({str(hold.kind) for hold in standing})
    return OnHold(
        f"a hold stands, so nothing is applied: {', '.join(kinds)}",
        holds=[hold.id for hold in standing],
    )


def clocks_stand_still(uow: UnitOfWork, owner: Owner) -> bool:
    """Tell whether dates after which something is deleted or expires do not pass for an owner."""
    return owner.hold and any(hold.kind in STOPS_CLOCKS for hold in standing_on(uow, owner))


def place_hold(act: Act, owner: Owner, *, kind: HoldKind, applying: Applying, reason: str) -> Hold:
    """Place a hold on an owner that is locked; the caller was asked whether it may."""
    hold = Hold(
        id=act.new_id("hold"),
        tenant_id=owner.id if isinstance(owner, Tenant) else None,
        hub_id=owner.id if isinstance(owner, Hub) else None,
        kind=kind,
        applying=applying,
        reason=reason,
        placed_by=act.caller.actor.id,
        placers=act.caller.actor.subjects,
        placed_at=act.now(),
    )
    act.uow.holds.add(hold)
    show_held(act, owner, stands=True)
    record(
        act, "hold.placed",
        tree=hold.tenant_id, targets=targets_of(hold), personal={"reason": reason},
        kind=str(kind), applying=str(applying),
    )  # fmt: skip
    return hold


def show_held(act: Act, owner: Owner, *, stands: bool) -> None:
    """Let an owner's row say whether a hold stands."""
    if owner.hold == stands:
        return
    now = act.now()
    if isinstance(owner, Tenant):
        shown = replace(owner, hold=stands, updated_at=now, version=owner.version + 1)
        act.uow.tenants.save(shown)
    else:
        act.uow.hubs.save(replace(owner, hold=stands, updated_at=now, version=owner.version + 1))


def targets_of(hold: Hold) -> tuple[tuple[str, str], ...]:
    """Return what an event about a hold is about."""
    kind, owner = ("tenant", hold.tenant_id) if hold.tenant_id else ("hub", hold.hub_id)
    return ((kind, owner or ""), ("hold", hold.id))


def _on(owner: Owner) -> dict[str, str]:
    return {"tenant_id": owner.id} if isinstance(owner, Tenant) else {"hub_id": owner.id}
