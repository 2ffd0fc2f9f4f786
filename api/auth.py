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

import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.errors import NotAuthenticated

log = structlog.get_logger()
ALGORITHMS: Final = ["EdDSA", "Ed25519", "ES256", "RS256"]
TYPES: Final = frozenset({"at+jwt", "application/at+jwt"})
MAX_TOKEN: Final = 8192
LEEWAY_SECONDS: Final = 30
REFETCH_SECONDS: Final = 30.0  # between fetches for key ids that nobody knows
RETRY_SECONDS: Final = 1.0  # between fetches while there are no keys at all
KEYS_LIFE_SECONDS: Final = 600.0  # a key that the issuer withdrew is accepted this long
MAX_SUBJECT: Final = 255
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
    ticks: Callable[[], float] = time.monotonic
    _keys: KeySet | None = None
    _fetched: float = float("-inf")
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
        """Return the issuer's keys.

        They are fetched when they are old, or when nobody knows the key id, and not too often.
        While they cannot be fetched the known ones stay; without any, nobody gets in.
        """
        with self._lock:
            if self.ticks() - self._fetched >= self._wait(key_id):
                self._fetched = self.ticks()
                try:
                    self._keys = KeySet.import_key_set(dict(self.fetch()))  # type: ignore[arg-type]  # joserfc's TypedDict
                except Exception as error:
                    if self._keys is None:
                        raise TokenRefused("jwks_unavailable", key_id) from error
                    log.warning("jwks.unavailable", error=type(error).__name__)
            if self._keys is None:
                raise TokenRefused("jwks_unavailable", key_id)
            return self._keys

    def _wait(self, key_id: str) -> float:
        """Return how many seconds lie between the last fetch and the next."""
        if self._keys is None:
            return RETRY_SECONDS
        known = key_id in {key.kid for key in self._keys.keys}
        return KEYS_LIFE_SECONDS if known else REFETCH_SECONDS

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
            "subject": _is_name(claims.get("sub")),
            "on_behalf_of": _behalf(claims) is None or _is_name(_behalf(claims)),
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
        return Actor(
            id=str(claims["sub"]),
            kind=ActorKind.SERVICE if machine else ActorKind.USER,
            roles=roles,
            tenants=_texts(claims, self.rules.tenants_claim),
            on_behalf_of=_behalf(claims),
            issuer=self.rules.issuer,
            session=claims["sid"] if _is_name(claims.get("sid")) else None,
            methods=tuple(filter(_is_name, _texts(claims, "amr"))),
        )


def _behalf(claims: Mapping[str, Any]) -> Any:
    """Return for whom a machine acts (``act`` of RFC 8693, or our own claim), or None."""
    act = claims.get("act")
    return act["sub"] if isinstance(act, dict) and "sub" in act else claims.get("on_behalf_of")


def _is_name(value: Any) -> bool:
    """Tell whether a claim can be stored and shown as a name."""
    return isinstance(value, str) and 0 < len(value) <= MAX_SUBJECT and value.isprintable()


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
