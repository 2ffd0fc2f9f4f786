"""Home: where somebody begins."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.console.menu import PLACES
from api.console.visiting import PageRoute, VisitorDep

router = APIRouter(prefix="/console", include_in_schema=False, route_class=PageRoute)


@router.get("")
def home(who: VisitorDep) -> Response:
    """Show what somebody may open."""
    return who.page("home.html", here="/console", entries=[
        place for place in PLACES if place.is_open_to(who.actor) and place.path != "/console"
    ])  # fmt: skip
