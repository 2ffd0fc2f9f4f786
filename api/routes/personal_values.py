"""Personal values of the logs: opened, granted to exports, erased."""

from __future__ import annotations

from fastapi import APIRouter

from api.dependencies import CallerDep, PagingDep, SharedDep, WriterDep
from api.schemas import personal_value_views as views
from api.schemas import requests as bodies
from api.schemas.views import Page
from api.strict_json import StrictRoute
from control_plane.services import disclosures, erasures
from control_plane.services.performing import perform

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=StrictRoute)


@router.post("/{tree}/disclosures")
def open_values(
    have: SharedDep, who: WriterDep, tree: str, body: views.Opening
) -> views.OpenedView:
    """Open personal values of an entry; each is recorded before it is read."""
    found = disclosures.open_values(
        have.core, who, tree, idx=body.idx, paths=body.paths, reason=body.reason
    )
    return views.OpenedView.of(found)


@router.post("/{tree}/grants", status_code=201)
def ask_for_grant(
    have: SharedDep, who: WriterDep, tree: str, body: views.GrantWish
) -> views.GrantView:
    """Ask that exports of a log may hold personal values; another person has to confirm it."""
    grant = perform(
        have.core, who, disclosures.ask_for_grant, tree,
        reason=body.reason, paths=body.paths, first_idx=body.first_idx, last_idx=body.last_idx,
        days=body.days,
    )  # fmt: skip
    return views.GrantView.of(grant, have.core.clock.now())


@router.get("/{tree}/grants")
def list_grants(
    have: SharedDep, who: CallerDep, tree: str, page: PagingDep
) -> Page[views.GrantView]:
    """List the grants for exports of a log, newest first."""
    found = perform(
        have.core, who, disclosures.list_grants, tree, limit=page.limit, before=page.before
    )
    now = have.core.clock.now()
    items = [views.GrantView.of(each, now) for each in found]
    return Page(items=items, next_page_token=page.token(each.id for each in items))


@router.get("/{tree}/grants/{grant_id}")
def get_grant(have: SharedDep, who: CallerDep, tree: str, grant_id: str) -> views.GrantView:
    """Show a grant."""
    found = perform(have.core, who, disclosures.get_grant, tree, grant_id)
    return views.GrantView.of(found, have.core.clock.now())


@router.post("/{tree}/grants/{grant_id}/confirm")
def give_grant(
    have: SharedDep, who: WriterDep, tree: str, grant_id: str, body: bodies.Explained
) -> views.GrantView:
    """Give a grant that another person asked for."""
    found = perform(have.core, who, disclosures.give_grant, tree, grant_id, reason=body.reason)
    return views.GrantView.of(found, have.core.clock.now())


@router.post("/{tree}/erasures", status_code=201)
def ask_for_erasure(
    have: SharedDep, who: WriterDep, tree: str, body: views.ErasureWish
) -> views.ErasureView:
    """Name personal values to be erased; `all` as the log names a person in every log."""
    erasure = perform(
        have.core, who, erasures.ask_for_erasure, tree,
        reason=body.reason, legal_reference=body.legal_reference, subject=body.subject,
        values=[(each.event_id, each.path) for each in body.values],
    )  # fmt: skip
    return views.ErasureView.of(erasure, have.core.clock.now())


@router.get("/{tree}/erasures")
def list_erasures(
    have: SharedDep, who: CallerDep, tree: str, page: PagingDep
) -> Page[views.ErasureView]:
    """List the erasures of a log, newest first; with `all` those of every log."""
    found = perform(
        have.core, who, erasures.list_erasures, tree, limit=page.limit, before=page.before
    )
    now = have.core.clock.now()
    items = [views.ErasureView.of(each, now) for each in found]
    return Page(items=items, next_page_token=page.token(each.id for each in items))


@router.get("/{tree}/erasures/{erasure_id}")
def get_erasure(have: SharedDep, who: CallerDep, tree: str, erasure_id: str) -> views.ErasureView:
    """Show an erasure with the values that it names."""
    found = perform(have.core, who, erasures.get_erasure, tree, erasure_id)
    return views.ErasureView.of(found, have.core.clock.now())


@router.post("/{tree}/erasures/{erasure_id}/confirm")
def confirm_erasure(
    have: SharedDep,
    who: WriterDep,
    tree: str,
    erasure_id: str,
    body: views.ErasureConfirmation,
) -> views.ErasureView:
    """Erase what another person named, with its salts; the commitments stay in the log."""
    found = perform(
        have.core, who, erasures.confirm_erasure, tree, erasure_id,
        digest=body.digest, reason=body.reason,
    )  # fmt: skip
    return views.ErasureView.of(found, have.core.clock.now())
