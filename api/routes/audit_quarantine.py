"""Logs that the signer set aside."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import CallerDep, SharedDep, WriterDep
from api.schemas import requests as bodies
from api.schemas.views import Page, View
from api.strict_json import StrictRoute
from control_plane.ports.quarantine import SetAside
from control_plane.services import quarantine
from control_plane.services.performing import perform

router = APIRouter(prefix="/v1", tags=["audit"], route_class=StrictRoute)
Limit = Annotated[int, Query(ge=1, le=200)]


class SetAsideView(View):
    """A log that the signer left alone; `ended_at` is when it was in order again."""

    tree: str
    why: str
    since: datetime
    ended_at: datetime | None
    released_at: datetime | None
    released_by: str | None

    @classmethod
    def of(cls, found: SetAside) -> SetAsideView:
        """Return what is shown of a finding."""
        return cls(
            tree=found.tree, why=found.why, since=found.since, ended_at=found.ended_at,
            released_at=found.released_at, released_by=found.released_by,
        )  # fmt: skip


@router.get("/audit/{tree}/quarantine")
def list_quarantine(
    have: SharedDep, who: CallerDep, tree: str, limit: Limit = 100
) -> Page[SetAsideView]:
    """List when the signer set a log aside, or with `all` any: open findings first."""
    found = perform(have.core, who, quarantine.list_set_aside, tree, limit=limit)
    return Page(items=[SetAsideView.of(each) for each in found])


@router.post("/audit/{tree}/quarantine/release")
def release_quarantine(
    have: SharedDep, who: WriterDep, tree: str, body: bodies.QuarantineRelease
) -> SetAsideView:
    """Say that the finding on a log is settled; only once its rows are in order again."""
    return SetAsideView.of(perform(have.core, who, quarantine.release, tree, reason=body.reason))
