"""An issuer with one local key: for demos, tests and small installations, never in production."""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey

from control_plane.domain.actor import Role
from control_plane.domain.errors import SettingInvalid

ISSUER: Final = "tenantplane:embedded"
LONGEST_MINUTES: Final = 12 * 60


class EmbeddedIssuer:
    """Mints access tokens (RFC 9068) with an Ed25519 key in a file of this user alone."""

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
        """Return a token. Raises ``SettingInvalid`` for a life longer than twelve hours."""
        if not 0 < minutes <= LONGEST_MINUTES:
            raise SettingInvalid(f"a token lives 1 to {LONGEST_MINUTES} minutes")
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
        if on_behalf_of is not None:
            claims["on_behalf_of"] = on_behalf_of
        header = {"alg": "Ed25519", "kid": self._key.kid, "typ": "at+jwt"}
        return jwt.encode(header, claims, self._key, algorithms=["Ed25519"])

    def keys(self) -> dict[str, Any]:
        """Return the JWKS with the public key."""
        return dict(KeySet([self._key]).as_dict(private=False))

    def _load(self) -> OKPKey:
        if not self._file.exists():
            self._create()
        if stat.S_IMODE(self._file.stat().st_mode) & 0o077:
            raise SettingInvalid(
                f"the issuer's key {self._file.name} can be read by others; make it mode 0600"
            )
        key = OKPKey.import_key(self._file.read_text(encoding="utf-8"))
        key.ensure_kid()
        return key

    def _create(self) -> None:
        """Make the key; of two processes that start at once, both use the first one's."""
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = self._file.with_name(f"{self._file.name}.{secrets.token_hex(6)}")
        text = OKPKey.generate_key("Ed25519").as_pem(private=True).decode()
        handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
        try:
            os.link(made, self._file)
        except FileExistsError:
            pass
        finally:
            made.unlink()
