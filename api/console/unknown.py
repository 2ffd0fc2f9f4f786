"""What the console does not have."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.console.visiting import PageRoute, VisitorDep
from control_plane.domain.errors import NotFound

router = APIRouter(prefix="/console", include_in_schema=False, route_class=PageRoute)


@router.get("/{rest:path}")
def unknown(who: VisitorDep, rest: str) -> Response:  # noqa: ARG001 - who asks is signed in
    """Say that there is no such page. Raises ``NotFound``."""
    raise NotFound("there is no such page")
