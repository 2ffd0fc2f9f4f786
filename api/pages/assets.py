"""The files that pages need beside their HTML; a browser keeps each as long as it is the same."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from control_plane.domain.errors import NotFound

DESIGN: Final = Path(__file__).resolve().parent / "design"  # what portal and console share
router = APIRouter(include_in_schema=False)
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILES: Final = {
    path.name: path for path in sorted(DESIGN.iterdir()) if path.suffix in _TYPES
}  # fmt: skip


@router.get("/assets/{name}")
async def asset(name: str) -> Response:
    """Return a file of the pages."""
    path = _FILES.get(name)
    if path is None:
        raise NotFound("not found")
    return FileResponse(
        path, media_type=_TYPES[path.suffix],
        headers={"cache-control": "public, max-age=31536000, immutable"},
    )  # fmt: skip


@cache
def asset_url(name: str) -> str:
    """Return the URL of a file, which changes with its content."""
    digest = hashlib.sha256(_FILES[name].read_bytes()).hexdigest()[:12]
    return f"/assets/{name}?{digest}"
