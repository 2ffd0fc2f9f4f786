"""The parts that pages are made of, each in every state: for people who build or check a page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, Response

from api.console.visiting import PageRoute, VisitorDep

router = APIRouter(prefix="/console", include_in_schema=False, route_class=PageRoute)
_AT: Final = datetime(2026, 3, 9, 8, 41, 7, tzinfo=UTC)


@router.get("/design")
def design(who: VisitorDep) -> Response:
    """Show every part of the design system."""
    return who.page("design.html", at=_AT)
