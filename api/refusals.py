"""Refusals of mutations that no service saw: each leaves an event before its answer."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request

from control_plane.domain import spellings
from control_plane.domain.errors import DomainError
from control_plane.services import provisioning
from control_plane.services.permission import record_bounded
from control_plane.workflows.core import Caller
from control_plane.workflows.recording import record_denied

SUBMISSION: Final = "POST /v1/provisioning-requests"
MUTATING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_MAX_FIELDS: Final = 20
_MAX_NAME: Final = 60


def is_kept(request: Request, error: DomainError) -> bool:
    """Tell whether a refusal is a mutation of a known caller that no service recorded."""
    caller = getattr(request.state, "caller", None)
    return not error.is_recorded and request.method in MUTATING and isinstance(caller, Caller)


def keep(request: Request, error: DomainError, body: object = None) -> None:
    """Record a refused mutation for which ``is_kept`` holds.

    What is wrong with a body, a missing key or version is found before a service is called; and a
    thing that does not exist has no log of its own. Raises ``AuditUnavailable``.
    """
    caller: Caller = request.state.caller
    core, route, fields = request.app.state.shared.core, _route(request), _fields(error) or None
    submitted = _submitted(request, caller, body)
    if submitted is not None:
        provisioning.record_refusal(core, caller, submitted, error, route=route, fields=fields)
        return
    # whoever has a role is trusted with the log: each of their refusals is one entry
    write = record_denied if caller.actor.roles else record_bounded
    write(core, caller, "request.refused", error, tree=None, route=route, fields=fields)


def _submitted(request: Request, caller: Caller, body: object) -> dict[str, Any] | None:
    """Return the body of a submission if at least provider and envelope can be read."""
    is_dry = request.query_params.get("dry_run", "").lower() in {"true", "1", "yes", "on", "t", "y"}
    is_submission = (
        _route(request) == SUBMISSION and not is_dry and caller.actor.has(*provisioning.SUBMITTERS)
    )
    contract = body.get("contract") if isinstance(body, dict) else None
    if not is_submission or not isinstance(contract, dict) or not isinstance(body, dict):
        return None
    try:
        known = {
            "provider": spellings.provider(contract["provider"]),
            "envelope_id": spellings.identifier(contract["envelope_id"]),
        }
    except (KeyError, TypeError, ValueError):
        return None
    return {**body, "contract": {**contract, **known}}


def _route(request: Request) -> str:
    """Return the route as the document names it; ids of the path are not in it."""
    path = getattr(request.scope.get("route"), "path", "")
    return f"{request.method} {path}"


def _fields(error: DomainError) -> list[str]:
    """Return the names of wrong fields; a name that nobody knows is cut short and made plain."""
    found = error.data.get("fields")
    names = [str(item["field"]) for item in found] if isinstance(found, list) else []
    if not names and isinstance(error.data.get("field"), str):
        names = [error.data["field"]]
    return [ascii(name[:_MAX_NAME])[1:-1] for name in names[:_MAX_FIELDS]]
