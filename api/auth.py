"""Who calls: OIDC bearer access tokens (RFC 9068, checked as RFC 8725 demands).

The issuer is the company's identity provider or, embedded, this installation's own. Keys come from
its JWKS, are cached, and are fetched again at most once in a while for a key id nobody knows.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.errors import NotAuthenticated

ALGORITHMS: Final = ["EdDSA", "Ed25519", "ES256", "RS256"]
TYPES: Final = frozenset({"at+jwt", "application/at+jwt"})
MAX_TOKEN: Final = 8192
LEEWAY_SECONDS: Final = 30
REFETCH_SECONDS: Final = 30.0
# a header may carry these and nothing else: a key in the token is a key of the caller's choice
_HEADERS: Final = frozenset({"alg", "kid", "typ"})


@dataclass(frozen=True, kw_only=True)
class TokenRules:
    """What a token must be; the claims are configurable, since every identity provider differs."""

    issuer: str
    audience: str
    roles_claim: str = "roles"
    tenants_claim: str = "tenants"
    kind_claim: str = "actor_kind"


class TokenRefused(NotAuthenticated):
    """A token did not verify. ``reason`` is for the log; the caller is not told."""

    def __init__(self, reason: str, key_id: str | None = None) -> None:
        super().__init__("the token is not valid")
        self.reason = reason
        self.key_id = key_id


@dataclass
class Identity:
    """Turns a bearer token into an actor. ``fetch`` returns a JWKS document."""

    rules: TokenRules
    fetch: Callable[[], Mapping[str, Any]]
    now: Callable[[], float] = time.time
    _keys: KeySet | None = None
    _fetched: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def actor_of(self, token: str) -> Actor:
        """Return who holds the token. Raises ``TokenRefused``."""
        header = _header(token)
        claims = self._claims(token, header)
        self._check(claims)
        return self._actor(claims)

    def _claims(self, token: str, header: Mapping[str, Any]) -> dict[str, Any]:
        key_id = header.get("kid")
        if not isinstance(key_id, str):
            raise TokenRefused("kid_missing")
        keys = self._keys_with(key_id)
        try:
            decoded = jwt.decode(token, keys, algorithms=ALGORITHMS)
        except (JoseError, ValueError) as error:
            raise TokenRefused(type(error).__name__, key_id) from error
        payload = token.split(".")[1]
        return _parsed(payload, "claims") | dict(decoded.claims)

    def _keys_with(self, key_id: str) -> KeySet:
        """Return the cached keys, fetched anew when nobody knows the key id and it is time."""
        with self._lock:
            known = self._keys is not None and key_id in {key.kid for key in self._keys.keys}
            due = time.monotonic() - self._fetched >= REFETCH_SECONDS
            if not known and (self._keys is None or due):
                self._fetched = time.monotonic()
                try:
                    self._keys = KeySet.import_key_set(dict(self.fetch()))  # type: ignore[arg-type]  # joserfc's TypedDict
                except Exception as error:
                    if self._keys is None:
                        raise TokenRefused("jwks_unavailable", key_id) from error
            if self._keys is None:
                raise TokenRefused("jwks_unavailable", key_id)
            return self._keys

    def _check(self, claims: Mapping[str, Any]) -> None:
        now = self.now()
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        checks = {
            "issuer": claims.get("iss") == self.rules.issuer,
            "audience": self.rules.audience in audiences,
            "expired": _number(claims.get("exp")) and claims["exp"] + LEEWAY_SECONDS > now,
            "issued": _number(claims.get("iat")) and claims["iat"] - LEEWAY_SECONDS <= now,
            "not_before": "nbf" not in claims
            or (_number(claims["nbf"]) and claims["nbf"] - LEEWAY_SECONDS <= now),
            "subject": isinstance(claims.get("sub"), str) and 0 < len(claims["sub"]) <= 255,
            "id_token": not {"nonce", "at_hash", "c_hash"} & set(claims),
        }
        for reason, holds in checks.items():
            if not holds:
                raise TokenRefused(reason)

    def _actor(self, claims: Mapping[str, Any]) -> Actor:
        roles = tuple(
            Role(name) for name in _texts(claims, self.rules.roles_claim) if name in set(Role)
        )
        kind = claims.get(self.rules.kind_claim)
        machine = kind == "service" or Role.AUTOMATION in roles
        behalf = claims.get("on_behalf_of")
        act = claims.get("act")
        if isinstance(act, dict) and isinstance(act.get("sub"), str):
            behalf = act["sub"]
        return Actor(
            id=str(claims["sub"]),
            kind=ActorKind.SERVICE if machine else ActorKind.USER,
            roles=roles,
            tenants=_texts(claims, self.rules.tenants_claim),
            on_behalf_of=behalf if isinstance(behalf, str) and behalf else None,
            issuer=self.rules.issuer,
            session=claims["sid"] if isinstance(claims.get("sid"), str) else None,
            methods=_texts(claims, "amr"),
        )


def _header(token: str) -> dict[str, Any]:
    if len(token) > MAX_TOKEN or token.count(".") != 2:
        raise TokenRefused("shape")
    header = _parsed(token.split(".", 1)[0], "header")
    if set(header) - _HEADERS:
        raise TokenRefused("header")
    if header.get("alg") not in ALGORITHMS:
        raise TokenRefused("algorithm")
    if str(header.get("typ", "")).lower() not in TYPES:
        raise TokenRefused("type")
    return header


def _parsed(part: str, what: str) -> dict[str, Any]:
    """Return a JSON object in which no name repeats."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name repeats")
        return found

    try:
        padded = part + "=" * (-len(part) % 4)
        found = json.loads(base64.urlsafe_b64decode(padded), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise TokenRefused(what) from error
    if not isinstance(found, dict):
        raise TokenRefused(what)
    return found


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _texts(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = claims.get(name)
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, list):
        return ()
    return tuple(item for item in value if isinstance(item, str))[:200]
