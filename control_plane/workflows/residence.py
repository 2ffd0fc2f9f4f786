"""Where what a tenant has really is: kept as evidence at each apply and each look, and judged.

What is in a region where it was promised not to be is a finding, and a compliance hold stands from
then on until a person releases it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from control_plane.domain.deployment import Deployment
from control_plane.domain.engine import Drift, Look
from control_plane.domain.errors import InvalidInput
from control_plane.domain.finding import Finding, FindingKind
from control_plane.domain.hold import Applying, HoldKind
from control_plane.domain.residence import (
    Promise,
    Residence,
    judged,
    misplaced,
    residence_digest,
)
from control_plane.domain.residency import Regions, Residency, place
from control_plane.domain.run import Run
from control_plane.domain.tenant import Tenant
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import WORKER, Act
from control_plane.workflows.holding import locked, place_hold, standing_on
from control_plane.workflows.recording import record_run

_SEARCHED_EVERY: Final = timedelta(hours=20)
_NAMED: Final = 5  # things named in the reason of a hold


def promise_of(tenant: Tenant | None, regions: Regions) -> Promise:
    """Return what was promised to a tenant; a Hub promises nothing of its own.

    A region that the rules no longer know is promised as it was written.
    """
    stated = dict((tenant.facts.get("residency") or {}) if tenant is not None else {})
    residency = Residency(
        zone=stated.get("zone"),
        regions=tuple(stated.get("regions") or ()),
        strict=bool(stated.get("strict")),
    )
    if not residency.is_stated:
        return Promise(is_stated=False)
    try:
        allowed = place(residency, regions).allowed
    except InvalidInput:
        allowed = residency.regions
    return Promise(
        is_stated=True, zone=residency.zone, regions=residency.regions, strict=residency.strict,
        allowed=allowed,
    )  # fmt: skip


def keep_residence(act: Act, run: Run, deployment: Deployment, look: Look) -> tuple[Drift, ...]:
    """Keep where a look found everything, and return what is where it was promised not to be.

    What was found the last time is confirmed; the log has what is new.
    """
    tenant = act.uow.tenants.need(run.tenant_id) if run.tenant_id is not None else None
    now, newest = act.now(), act.uow.looks.newest_residence(deployment.id)
    places = look.places
    searched_at: datetime | None = now
    if not look.everywhere:
        places = (*places, *(newest.elsewhere if newest is not None else ()))
        searched_at = newest.searched_at if newest is not None else None
    promise = promise_of(tenant, act.core.rules.regions)
    ok = judged(promise, places, look.unplaced)
    found = residence_digest(promise, places, look.unplaced, ok=ok)
    out = misplaced(promise, places)
    if newest is not None and newest.digest == found:
        act.uow.residences.save(newest.confirmed(run.id, now, searched_at))
        return out
    residence = Residence(
        id=act.new_id("residence"),
        deployment_id=deployment.id,
        tenant_id=run.tenant_id,
        promise=promise,
        places=places,
        ok=ok,
        unanswered=look.unplaced,
        digest=found,
        first_seen_by=run.id,
        first_seen_at=now,
        last_seen_by=run.id,
        last_seen_at=now,
        searched_at=searched_at,
    )
    act.uow.residences.add(residence)
    record_run(
        act, "residency.recorded", run, targets=(("deployment", deployment.id),),
        residence=residence.id, digest=found, promised=promise.is_stated,
        allowed=list(promise.allowed), regions=sorted({each.region for each in places}),
        count=len(places), misplaced=len(out), complete=not look.unplaced,
    )  # fmt: skip
    return out


def is_search_due(uow: UnitOfWork, deployment_id: str, now: datetime) -> bool:
    """Tell whether a look at a deployment searches other regions: about once a day."""
    newest = uow.looks.newest_residence(deployment_id)
    searched_at = newest.searched_at if newest is not None else None
    return searched_at is None or now - searched_at >= _SEARCHED_EVERY


def still_unknown(uow: UnitOfWork, deployment_id: str, look: Look) -> tuple[Drift, ...]:
    """Return what was out of place and may still be, where not everything could be asked."""
    if not look.unplaced:
        return ()
    open_ = uow.findings.find(
        deployment_id=deployment_id, kind=FindingKind.MISPLACED, closed_at=None
    )
    return tuple(
        Drift(
            kind=str(each.kind), subject=each.subject, type=each.type, path=each.path,
            expected=each.expected, actual=each.actual,
        )
        for each in open_
    )  # fmt: skip


def hold_for(act: Act, tenant_id: str | None, opened: Sequence[Finding]) -> None:
    """Place a hold for what is newly out of place, unless one stands that was placed for that."""
    found = [each for each in opened if each.kind is FindingKind.MISPLACED]
    if tenant_id is None or not found:
        return
    owner = locked(act.uow, act.uow.tenants.need(tenant_id))
    ours = WORKER.actor.id
    if any(
        h.kind is HoldKind.COMPLIANCE and h.placed_by == ours for h in standing_on(act.uow, owner)
    ):
        return
    names = ", ".join(f"{each.subject} in {each.path}" for each in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    place_hold(
        act, owner, kind=HoldKind.COMPLIANCE, applying=Applying.FINISHES,
        reason=f"Not where it was promised to be: {names}{more}.",
    )  # fmt: skip
