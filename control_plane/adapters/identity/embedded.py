"""An issuer with one local key: for demos, tests and small installations, never in production."""

from __future__ import annotations

import secrets
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey

from control_plane.adapters.private_files import create_once
from control_plane.domain.actor import Role
from control_plane.domain.errors import SettingInvalid

ISSUER: Final = "tenantplane:embedded"
LONGEST_MINUTES: Final = 12 * 60


class EmbeddedIssuer:
    """Mints access tokens (RFC 9068) with an Ed25519 key in a file that only this user reads."""

    def __init__(self, file: Path, *, audience: str) -> None:
        self._file = file
        self._audience = audience
        self._key = self._load()

    def mint(
        self,
        subject: str,
        *,
        roles: Sequence[Role],
        tenants: Sequence[str] = ("*",),
        minutes: int = 60,
        machine: bool = False,
        on_behalf_of: str | None = None,
    ) -> str:
        """Return a token. Raises ``SettingInvalid`` for a life longer than twelve hours.

        Only a person's token says when the person signed in (``auth_time``): without such evidence
        the API takes the caller for a machine.
        """
        if not 0 < minutes <= LONGEST_MINUTES:
            raise SettingInvalid(f"the lifetime of a token must be 1 to {LONGEST_MINUTES} minutes")
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": self._audience,
            "sub": subject,
            "iat": now,
            "exp": now + 60 * minutes,
            "jti": secrets.token_hex(8),
            "roles": [str(role) for role in roles],
            "tenants": list(tenants),
            "actor_kind": "service" if machine else "user",
        }
        if not machine:
            claims["auth_time"] = now
        if on_behalf_of is not None:
            claims["on_behalf_of"] = on_behalf_of
        return self.sign("at+jwt", claims)

    def sign(self, kind: str, claims: dict[str, Any]) -> str:
        """Return claims as a signed token of a kind; no kind is taken for another."""
        header = {"alg": "Ed25519", "kid": self._key.kid, "typ": kind}
        return jwt.encode(header, claims, self._key, algorithms=["Ed25519"])

    def opened(self, kind: str, token: str) -> dict[str, Any]:
        """Return the claims of a token of a kind that was signed here.

        Raises ``joserfc.errors.JoseError``, and ``ValueError`` for one of another kind.
        """
        found = jwt.decode(token, self._key, algorithms=["Ed25519"])
        if found.header.get("typ") != kind:
            raise ValueError("a token of another kind")
        return dict(found.claims)

    def secret_bytes(self) -> bytes:
        """Return the private key, to derive from: only who may read its file gets here."""
        return bytes(self._key.as_pem(private=True))

    def keys(self) -> dict[str, Any]:
        """Return the JWKS with the public key."""
        return dict(KeySet([self._key]).as_dict(private=False))

    def _load(self) -> OKPKey:
        try:
            text = self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise SettingInvalid(
                f"there is no issuer's key {self._file.name} in {self._file.parent}: "
                "`tenantctl serve` creates it at its first start, `tenantctl keys create` does "
                "too; "
                "check TENANTPLANE_HOME"
            ) from None
        if stat.S_IMODE(self._file.stat().st_mode) & 0o077:
            raise SettingInvalid(
                f"the issuer's key {self._file.name} can be read by others; run chmod 600 on it"
            )
        key = OKPKey.import_key(text)
        key.ensure_kid()
        return key


def open_embedded_issuer(file: Path, *, audience: str, is_used: bool) -> EmbeddedIssuer:
    """Return an installation's own issuer. Raises ``SettingInvalid`` where it has another."""
    if not is_used:
        raise SettingInvalid(
            "the embedded issuer is disabled here: tokens come from TENANTPLANE_ISSUER"
        )
    return EmbeddedIssuer(file, audience=audience)


def create_issuer_key(file: Path) -> None:
    """Make the key of an embedded issuer. Raises ``FileExistsError``: a key is never replaced."""
    create_once(file, OKPKey.generate_key("Ed25519").as_pem(private=True))
