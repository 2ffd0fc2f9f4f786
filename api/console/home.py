"""Home: what waits for somebody, what runs, what failed, and where all tenants stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Response

from api.console.audit import logs_of
from api.console.menu import PLACES
from api.console.visiting import PageRoute, Visitor, VisitorDep
from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.run import Run, RunStatus
from control_plane.domain.standing_counts import StandingCount
from control_plane.domain.task import Task, TaskStatus
from control_plane.domain.tenant import TenantStatus
from control_plane.services import approvals, counts, runs, tasks, tenants
from control_plane.services.performing import perform
from control_plane.services.permission import READ_TENANTS
from control_plane.services.tenants import Shown
from control_plane.workflows.core import Act

router = APIRouter(prefix="/console", include_in_schema=False, route_class=PageRoute)
_MOST: Final = 10  # of each list; its heading leads to all


@dataclass(frozen=True, kw_only=True)
class Waits:
    """What waits for somebody: approvals that they can decide on, and tasks of their roles."""

    approvals: list[approvals.ApprovalDetails]
    tasks: list[Task]


@router.get("")
def home(who: VisitorDep) -> Response:
    """Show what waits for somebody, and what of all they would rather know."""
    return who.page(
        "home.html", here="/console",
        waits=_waits(who), standing=_standing(who), applying=_applying(who),
        failed=_tenants(who, status=TenantStatus.FAILED), drifting=_tenants(who, drifted=True),
        clock=logs_of(who, limit=0).status.get("clock"),
        entries=[
            place for place in PLACES if place.is_open_to(who.actor) and place.path != "/console"
        ],
    )  # fmt: skip


def _waits(who: Visitor) -> Waits:
    def read(act: Act) -> Waits:
        asked = []
        if who.actor.has(*approvals.READERS):
            waiting = approvals.list_approvals(
                act, limit=50, before=None, status=ApprovalStatus.WAITING
            )
            asked = [each for each in waiting if each.is_open]
        mine = []
        if who.actor.has(*tasks.READERS):
            mine = tasks.list_tasks(
                act, limit=_MOST, before=None, status=TaskStatus.OPEN, mine=True
            )
        return Waits(approvals=asked[:_MOST], tasks=mine)

    return perform(who.have.core, who.reading, read)


def _reads_tenants(who: Visitor) -> bool:
    return who.actor.has(*READ_TENANTS)


def _standing(who: Visitor) -> list[StandingCount]:
    if not _reads_tenants(who):
        return []
    return list(perform(who.have.core, who.reading, counts.count_tenants))


def _tenants(
    who: Visitor, *, status: TenantStatus | None = None, drifted: bool | None = None
) -> list[Shown]:
    if not _reads_tenants(who):
        return []
    return perform(
        who.have.core, who.reading, tenants.list_tenants,
        limit=_MOST, before=None, status=status, drifted=drifted,
    )  # fmt: skip


def _applying(who: Visitor) -> list[Run]:
    if not who.actor.has(*runs.READERS):
        return []
    return perform(
        who.have.core, who.reading, runs.list_runs,
        limit=_MOST, before=None, tenant_id=None, status=RunStatus.APPLYING,
    )  # fmt: skip
