"""``tenantctl console``: where the pages are, and how to get in."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import urlencode

import typer

from control_plane import config
from control_plane.adapters.home import Home, Key
from control_plane.cli import output
from control_plane.cli.refusing import Json
from control_plane.config import PREFIX, Installation, Settings

_URL: Final = f"{PREFIX}URL"


def console(as_json: Json = False) -> None:
    """Print the link to the console; in an embedded installation with the code to sign in."""
    settings = config.load()
    base = os.environ.get(_URL, "").strip().rstrip("/") or settings.base_url
    found = {"url": f"{base}/console"}
    if settings.installation is Installation.EMBEDDED and settings.issuer is None:
        code = sign_in_code(settings)
        found = {"url": sign_in_url(base, code), "code": code}
    if as_json:
        output.as_json_text(found)
    else:
        typer.echo(found["url"])


def sign_in_code(settings: Settings) -> str:
    """Return the code of an embedded installation. Raises ``SettingInvalid`` without its key."""
    from control_plane.adapters.identity.embedded import (  # noqa: PLC0415 - heavy
        open_embedded_issuer,
    )
    from control_plane.adapters.identity.embedded_sign_in import (  # noqa: PLC0415 - as above
        EmbeddedSignIn,
    )

    key = Home(settings.home.absolute()).key(Key.ISSUER)
    issuer = open_embedded_issuer(key, audience=settings.audience, is_used=True)
    return EmbeddedSignIn(issuer).secret()


def sign_in_url(base: str, code: str) -> str:
    """Return the link that opens the console with the code filled in."""
    return f"{base}/console/sign-in?{urlencode({'code': code})}"
