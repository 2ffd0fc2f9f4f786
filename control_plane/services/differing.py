"""What a change of a deployment comes to: its spec as it would be, and whether that needs a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control_plane.domain.deployment import Deployment, Desired, spec_digest
from control_plane.domain.errors import Conflict, IllegalTransition, RunInProgress
from control_plane.domain.run import HOLDS_SLOT, TERMINAL_RUN, Run, RunKind, RunStatus
from control_plane.domain.spec import Difference, differences
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.placing import spec_of


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a change does to a deployment.

    ``draft`` is its spec as it would be, None while it has none. ``spec`` says in what that differs
    from the spec that was applied. ``open_run`` is the run that has not ended.
    """

    draft: Mapping[str, Any] | None
    spec: tuple[Difference, ...]
    needs_run: bool
    open_run: str | None


def outcome_of(
    uow: UnitOfWork, deployment: Deployment, newest: Run | None, draft: Mapping[str, Any] | None
) -> Outcome:
    """Return what it means that the spec of a deployment becomes ``draft``.

    Without one the spec is made of what its owner is then, by the run that finds it a place.
    """
    open_run = newest.id if newest is not None and newest.status not in TERMINAL_RUN else None
    if draft is None or not has_spec(deployment, newest):
        return Outcome(draft=None, spec=(), needs_run=False, open_run=open_run)
    last = spec_of(uow, deployment)
    applied = spec_of(uow, deployment, deployment.applied_spec or None)
    is_same = last.content_digest == spec_digest(draft, Desired.PRESENT)
    is_on_its_way = open_run is not None or deployment.applied_spec == deployment.spec_number
    return Outcome(
        draft=draft,
        spec=differences(applied.document, draft),
        needs_run=not (is_same and is_on_its_way),
        open_run=open_run,
    )


def has_spec(deployment: Deployment, newest: Run | None) -> bool:
    """Tell whether the deployment has its place and a spec, which its newest run works towards."""
    is_open = newest is not None and newest.status not in TERMINAL_RUN
    has_one = newest is not None and newest.spec_number > 0
    return bool(deployment.spec_number) and (has_one or not is_open)


def locked_newest(uow: UnitOfWork, newest: Run | None) -> Run | None:
    """Lock the newest run. Raises ``Conflict`` if another one was requested meanwhile."""
    locked = uow.runs.need(newest.id, lock=True) if newest is not None else None
    present = uow.queries.newest_run(locked.deployment_id) if locked is not None else None
    if locked is not None and present is not None and present.id != locked.id:
        raise Conflict("another run was requested meanwhile", constraint="version")
    return locked


def require_still(newest: Run | None, owner: str) -> None:
    """Raise ``RunInProgress`` while a run changes or removes what ``owner`` names."""
    if newest is None:
        return
    removes = newest.kind is RunKind.DESTROY and newest.status not in TERMINAL_RUN
    at = newest.blocked_from if newest.status is RunStatus.BLOCKED else newest.status
    if removes or at in HOLDS_SLOT:
        doing = "removes" if removes else "changes"
        raise RunInProgress(f"{newest.id} {doing} {owner}: it is {newest.status}", run=newest.id)


def require_planned(found: Outcome) -> Mapping[str, Any]:
    """Return the spec to plan. Raises ``IllegalTransition`` where there is none yet."""
    if found.draft is None:
        raise IllegalTransition(
            "there is nothing yet that a plan could be made over: the first run is still to find "
            "its place",
            present_status="requested",
        )
    return found.draft
