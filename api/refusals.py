"""Refusals of mutations that no service saw: each leaves an event before its answer."""

from __future__ import annotations

from typing import Final

from fastapi import Request

from control_plane.domain.errors import DomainError
from control_plane.workflows.core import Caller
from control_plane.workflows.recording import record_denied

MUTATING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_MAX_FIELDS: Final = 20
_MAX_NAME: Final = 60


def keep(request: Request, error: DomainError) -> None:
    """Record a refused mutation of a known caller, unless its service did.

    What is wrong with a body, a missing key or version is found before a service is called; and a
    thing that does not exist has no log of its own. Raises ``AuditUnavailable``.
    """
    caller = getattr(request.state, "caller", None)
    if error.is_recorded or request.method not in MUTATING or not isinstance(caller, Caller):
        return
    record_denied(
        request.app.state.shared.core, caller, "request.refused", error,
        tree=None, route=_route(request), fields=_fields(error) or None,
    )  # fmt: skip


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
