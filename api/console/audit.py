"""The auditor's pages: logs, their events with stable addresses, and the dossier of a log."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.console.visiting import PageRoute, Visitor, VisitorDep, fields_of
from api.routes.audit import Idx, dossier_response
from api.schemas.plan_reading import visible
from control_plane.domain.errors import InvalidInput, NotFound
from control_plane.services import audit_status, auditing
from control_plane.services.dossiers import export_dossier
from control_plane.services.performing import perform
from control_plane.workflows.core import Act

router = APIRouter(prefix="/console", include_in_schema=False, route_class=PageRoute)
PAGE: Final = 100
_HERE: Final = "/console/audit"
_ACTION: Final = re.compile(r"[a-z_.]{1,60}")
Tree = Annotated[str, Path(max_length=64)]
Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Logs:
    """What a reader of the platform's log sees of all logs; empty for everybody else."""

    status: Json = field(default_factory=dict)
    trees: Sequence[Json] = ()


@router.get("/audit")
def choose_log(
    who: VisitorDep,
    tree: Annotated[str, Query(max_length=64)] = "",
    after: Annotated[str, Query(pattern=r"^([a-z]{1,10}(_[0-9A-Z]{26})?)?$")] = "",
) -> Response:
    """Show the exposure clock and all logs to whom they are for; with ``tree`` go to that log."""
    if tree.strip():
        return RedirectResponse(f"{_HERE}/{quote(tree.strip(), safe='')}", status_code=303)
    logs = logs_of(who, after=after, limit=PAGE)
    following = logs.trees[-1]["tree"] if len(logs.trees) == PAGE else ""
    return who.page("audit.html", here=_HERE, logs=logs, following=following)


def logs_of(who: Visitor, *, after: str = "", limit: int) -> Logs:
    """Return the clock, the witnesses and logs after a name, as far as somebody may read them.

    Without a ``limit`` no log is asked for.
    """
    if not who.actor.has(*auditing.PLATFORM_READERS):
        return Logs()

    def read(act: Act) -> Logs:
        trees = audit_status.list_trees(act, after=after, limit=limit) if limit else ()
        return Logs(status=audit_status.witnessing_status(act), trees=trees)

    return perform(who.have.core, who.reading, read)


@router.get("/audit/{tree}")
def list_events(
    request: Request,
    who: VisitorDep,
    tree: Tree,
    after: Idx = 0,
    action: Annotated[str, Query(max_length=60)] = "",
) -> Response:
    """List events of a log from an index on, oldest first, as its order cannot change."""
    if action and not _ACTION.fullmatch(action):
        raise InvalidInput("an action has lower-case letters, '_' and '.'", field="action")
    events = perform(
        who.have.core, who.reading, auditing.read_events, tree,
        after=after, limit=PAGE, action=action or None,
    )  # fmt: skip
    return who.page(
        "audit_log.html", here=_HERE, tree=tree, events=events, visible=visible,
        asked=fields_of(request.query_params),
        following=events[-1]["idx"] + 1 if len(events) == PAGE else None,
    )  # fmt: skip


@router.get("/audit/{tree}/event")
def show_event(who: VisitorDep, tree: Tree, idx: Idx = 0) -> Response:
    """Show one event whole, with what it belongs to and its proof. Raises ``NotFound``."""
    event, proof = perform(who.have.core, who.reading, _read_event, tree, idx)
    body = event["body"]
    return who.page(
        "audit_event.html", here=_HERE, tree=tree, event=event, body=body, proof=proof,
        approval=(body.get("approval") or {}).get("approval_id"),
        earlier=[
            (kind, place) for kind, place in (event["header"].get("prev") or {}).items()
            if place is not None
        ],
        written=visible(json.dumps(body, indent=2, ensure_ascii=False, sort_keys=True)),
    )  # fmt: skip


def _read_event(act: Act, tree: str, idx: int) -> tuple[Json, Json | None]:
    found = auditing.read_events(act, tree, after=idx, limit=1, action=None)
    if not found or found[0]["idx"] != idx:
        raise NotFound("the log has no entry of this number")
    is_covered = found[0]["is_covered"]
    return found[0], auditing.inclusion_proof(act, tree, idx) if is_covered else None


@router.get("/audit/{tree}/dossier")
def download_dossier(who: VisitorDep, tree: Tree) -> Response:
    """Download the dossier of a log, without personal values; the export is an event."""
    return dossier_response(export_dossier(who.have.core, who.reading, tree))
