"""Which way people sign in to the console, as the settings say."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl

from control_plane.adapters.identity.embedded import EmbeddedIssuer
from control_plane.adapters.identity.embedded_sign_in import EmbeddedSignIn
from control_plane.adapters.identity.oidc import SYSTEM, OidcClient, OidcSignIn
from control_plane.adapters.systems.credentials import for_system
from control_plane.adapters.systems.opening import Surroundings
from control_plane.config import Settings
from control_plane.ports.sign_in import SignIn


def open_sign_in(
    settings: Settings, embedded: Callable[[], EmbeddedIssuer], around: Surroundings
) -> SignIn | None:
    """Return where people sign in; None where the issuer knows no client of the console.

    Raises ``SettingInvalid`` for a name that no credential can have.
    """
    if settings.issuer is None:
        return EmbeddedSignIn(embedded())
    if settings.console_client_id is None:
        return None
    client = OidcClient(
        issuer=settings.issuer,
        client_id=settings.console_client_id,
        scopes=settings.console_scopes,
        parameters=dict(parse_qsl(settings.console_parameters)),
    )
    name = settings.console_credential
    secret = None if name is None else for_system(SYSTEM, around.credentials, name)
    return OidcSignIn(client, secret=secret, now=around.now)
