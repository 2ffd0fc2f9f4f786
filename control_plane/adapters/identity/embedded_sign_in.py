"""Signing in to the console of an embedded installation, which has no identity provider.

Anyone who can read the issuer's key can be anybody here, as with ``tenantctl token``. So the page
that asks for a name asks for a code that is made from that key: ``tenantctl`` prints it, nobody
else knows it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from joserfc.errors import JoseError

from control_plane.adapters.identity.embedded import EmbeddedIssuer
from control_plane.adapters.identity.oidc import challenge_of
from control_plane.domain.actor import Role
from control_plane.domain.console_errors import SignInFailed
from control_plane.ports.sign_in import LOCAL_PAGE

SESSION_MINUTES: Final = 8 * 60
_CODE_SECONDS: Final = 60
_KIND: Final = "console-code+jwt"


class EmbeddedSignIn:
    """The page of ours in the place of an identity provider's."""

    def __init__(self, issuer: EmbeddedIssuer) -> None:
        self._issuer = issuer
        self._used: dict[str, float] = {}  # codes that were redeemed, until they would expire
        self._lock = threading.Lock()

    def url(self, *, state: str, verifier: str, redirect_uri: str) -> str:  # noqa: ARG002 - the port's
        """Return where a person says who they are."""
        return f"{LOCAL_PAGE}?{urlencode({'state': state, 'challenge': challenge_of(verifier)})}"

    def secret(self) -> str:
        """Return the code that the page asks for: 80 bits, the same as long as the key is."""
        digest = hmac.digest(self._issuer.secret_bytes(), b"console sign-in", hashlib.sha256)
        text = base64.b32encode(digest[:10]).decode().lower()
        return "-".join(text[start : start + 4] for start in range(0, len(text), 4))

    def is_secret(self, typed: str) -> bool:
        """Tell whether somebody typed the code."""
        return hmac.compare_digest(_even(typed).encode(), _even(self.secret()).encode())

    def code_for(
        self, subject: str, roles: Sequence[Role], tenants: Sequence[str], *, challenge: str
    ) -> str:
        """Return a code that is redeemed once, within a minute, by who has the verifier."""
        now = int(time.time())
        claims = {
            "sub": subject, "roles": [str(role) for role in roles], "tenants": list(tenants),
            "challenge": challenge, "exp": now + _CODE_SECONDS,
        }  # fmt: skip
        return self._issuer.sign(_KIND, claims)

    def redeem(self, answer: Mapping[str, str], *, verifier: str, redirect_uri: str) -> str:  # noqa: ARG002 - the port's
        """Return the access token for a code. Raises ``SignInFailed``."""
        code = answer.get("code", "")
        claims = self._claims(code)
        if not hmac.compare_digest(str(claims["challenge"]), challenge_of(verifier)):
            raise SignInFailed("the code belongs to another sign-in")
        with self._lock:
            now = time.time()
            self._used = {each: end for each, end in self._used.items() if end > now}
            if code in self._used:
                raise SignInFailed("the code was used already")
            self._used[code] = float(claims["exp"])
        return self._issuer.mint(
            str(claims["sub"]),
            roles=[Role(name) for name in claims["roles"]],
            tenants=tuple(claims["tenants"]),
            minutes=SESSION_MINUTES,
        )

    def _claims(self, code: str) -> Mapping[str, Any]:
        try:
            claims = self._issuer.opened(_KIND, code)
        except (JoseError, ValueError) as error:
            raise SignInFailed("the code is not one of this installation") from error
        if claims["exp"] <= time.time():
            raise SignInFailed("the code has expired")
        return claims


def _even(code: str) -> str:
    return "".join(letter for letter in code.lower() if letter.isalnum())
