"""From a template and a language to an answer: nothing of others on it, and nothing is kept."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastapi.responses import HTMLResponse

from api.pages.assets import asset_url
from api.pages.wording import TEXTS, Language

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER: Final = Path(__file__).resolve().parent
_SCRIPT: Final = " script-src 'self'; connect-src 'self';"


def page_headers(*, script: bool) -> dict[str, str]:
    """Return the headers of every page; ``script`` allows files of ours, never text in a page."""
    return {
        "cache-control": "no-store",
        "referrer-policy": "same-origin" if script else "no-referrer",
        "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self';"
        f"{_SCRIPT if script else ''} form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
        "cross-origin-opener-policy": "same-origin",
        "vary": "accept-language, cookie",
        "x-robots-tag": "noindex, nofollow",
    }


_HEADERS: Final = page_headers(script=False)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - heavy

    found = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["asset"] = asset_url
    return found


def page(template: str, language: Language, *, status: int = 200, **given: Any) -> HTMLResponse:
    """Return a page in a language."""
    texts: Mapping[str, str] = TEXTS[language]
    html = _templates().get_template(template).render(t=texts, language=language, **given)
    return HTMLResponse(html, status_code=status, headers=_HEADERS)


def language_of(accepted: str | None, known: str | None = None) -> Language:
    """Return the language that a browser prefers of those we have, else the contact's, else en.

    ``accepted`` is the header Accept-Language (RFC 9110, section 12.5.4), ``known`` a locale.
    """
    wanted: list[tuple[float, str]] = []
    for part in (accepted or "")[:500].split(","):
        tag, _, weight = part.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if quality > 0:
            wanted.append((-quality, tag.strip()))
    for _, tag in sorted(wanted, key=lambda each: each[0]):
        found = _language(tag)
        if found is not None:
            return found
    return _language(known or "") or "en"


def _language(tag: str) -> Language | None:
    main = tag.lower().replace("_", "-").partition("-")[0]
    return main if main in TEXTS else None  # type: ignore[return-value]  # compared just now
