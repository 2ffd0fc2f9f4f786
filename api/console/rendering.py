"""From a template to a page of the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from fastapi.responses import HTMLResponse

from api.pages.assets import DESIGN, asset_url
from api.pages.rendering import page_headers
from control_plane.domain.actor import Actor, Role

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER: Final = Path(__file__).resolve().parent / "templates"
HEADERS: Final = page_headers(script=True)


@dataclass(frozen=True, kw_only=True)
class Place:
    """An entry of the navigation. ``roles`` may open it; without any everybody may."""

    name: str
    path: str
    roles: frozenset[Role] = frozenset()

    def is_open_to(self, actor: Actor) -> bool:
        """Tell whether an actor may open it."""
        return not self.roles or actor.has(*self.roles)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - heavy

    found = Environment(
        loader=FileSystemLoader([FOLDER, DESIGN]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(ago=ago, utc=utc, words=words, iso=iso, lasting=lasting)
    found.globals.update(asset=asset_url, query=query)
    return found


def page(
    template: str,
    *,
    actor: Actor | None = None,
    csrf: str = "",
    places: Sequence[Place] = (),
    here: str = "",
    status: int = 200,
    **given: Any,
) -> HTMLResponse:
    """Return a page; ``actor`` is who is signed in, ``here`` the path of its entry in the menu."""
    shown = [place for place in places if actor is not None and place.is_open_to(actor)]
    html = (
        _templates()
        .get_template(template)
        .render(actor=actor, csrf=csrf, places=shown, here=here, now=datetime.now(UTC), **given)
    )
    return HTMLResponse(html, status_code=status, headers=HEADERS)


def fragment(template: str, **given: Any) -> str:
    """Return a part of a page, for its live parts."""
    return _templates().get_template(template).render(**given)


# --- how values are written -----------------------------------------------------------------------
def utc(at: datetime | None) -> str:
    """Return a time to the minute, in UTC."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def iso(at: datetime | None) -> str:
    """Return a time for programs: RFC 3339 in UTC, to the second."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def ago(at: datetime | None, now: datetime) -> str:
    """Return how long ago a time is, such as ``3 h``."""
    return "" if at is None else length(now - at)


def length(spent: timedelta) -> str:
    """Return a length of time in its largest unit."""
    seconds = max(int(spent.total_seconds()), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def lasting(seconds: int) -> str:
    """Return a number of seconds in its largest unit."""
    return length(timedelta(seconds=seconds))


def words(value: object) -> str:
    """Return a word of ours as people write it: ``waiting_on`` as ``waiting on``."""
    return str(value).replace("_", " ")


def query(given: Mapping[str, object], **changes: object) -> str:
    """Return a query with some parameters changed; None and '' leave it."""
    found = {**given, **changes}
    kept = {name: value for name, value in found.items() if value not in (None, "")}
    return f"?{urlencode(kept)}" if kept else "?"
