"""Who calls: OIDC bearer access tokens (RFC 9068, checked as RFC 8725 demands).

The issuer is the company's identity provider or, embedded, this installation's own. Its keys are
kept by ``api/keys.py``; what the claims mean is said in ``api/claims.py``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from joserfc.jwk import Key
from joserfc.jws import JWSRegistry

from api.claims import TokenRefused, TokenRules, actor_of, is_number
from api.keys import ALGORITHMS, IssuerKeys
from control_plane.domain.actor import Actor

MAX_TOKEN: Final = 12 * 1024  # letters; room for 200 tenant ids and a long signature
LEEWAY_SECONDS: Final = 30
MOST_SEEN: Final = 2000  # tokens that are not verified again; then all are
_TYPES: Final = frozenset({"at+jwt", "application/at+jwt"})
_ID_STYLE_TYPES: Final = _TYPES | {"jwt", "application/jwt"}
# a header may carry these and nothing else: a key in the token is a key of the caller's choice
_HEADERS: Final = frozenset({"alg", "kid", "typ"})
_ID_STYLE_HEADERS: Final = _HEADERS | {"x5t", "x5t#S256"}  # digests of a certificate: not used
# claims of ID tokens (OpenID Connect Core, section 2 and 3.1.3.6)
_URL_SAFE: Final = bytes.maketrans(b"-_+/", b"+/~~")  # `+` and `/` are not of base64url
_OF_ID_TOKENS: Final = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What a token said whose signature ``key`` verified: its bytes and the key decide that."""

    key_id: str
    key: Key
    claims: Mapping[str, Any]
    actor: Actor


@dataclass
class Identity:
    """Turns a bearer token into an actor. ``fetch`` returns a JWKS document.

    The signature of a token is verified once for each time that the issuer shows its key; the
    times that a token names are compared with the clock at every use.
    """

    rules: TokenRules
    fetch: Callable[[], Mapping[str, Any]]
    now: Callable[[], float] = time.time
    ticks: Callable[[], float] = time.monotonic
    keys: IssuerKeys = field(init=False)
    _seen: dict[bytes, _Seen] = field(default_factory=dict)  # by digest of the token

    def __post_init__(self) -> None:
        """Keep the issuer's keys from now on; they are fetched when they are needed first."""
        self.keys = IssuerKeys(fetch=self.fetch, ticks=self.ticks)

    def actor_of(self, token: str) -> Actor:
        """Return who holds the token.

        Raises ``TokenRefused``, and ``Unavailable`` while the issuer's keys cannot be fetched.
        """
        mark = _mark(token)
        seen = self._seen.get(mark)
        if seen is not None and any(key is seen.key for key in self.keys.find(seen.key_id)):
            self._check(seen.claims)
            return seen.actor
        header = self._header(token)
        key, claims = self._claims(token, header)
        self._check(claims)
        seen = _Seen(
            key_id=str(header["kid"]), key=key, claims=claims, actor=actor_of(claims, self.rules)
        )
        if len(self._seen) >= MOST_SEEN:
            self._seen.clear()
        self._seen[mark] = seen
        return seen.actor

    def holder_of(self, token: str) -> tuple[Actor, datetime]:
        """Return who holds the token and when it expires. Raises as ``actor_of`` does."""
        actor = self.actor_of(token)
        expires = _parsed(token.split(".")[1], "claims")["exp"]
        return actor, datetime.fromtimestamp(expires, UTC)

    def known(self, token: str) -> Actor | None:
        """Return who holds the token if that can be said at once.

        None when the issuer would have to be asked first, or the token is refused.
        """
        try:
            seen = self._seen.get(_mark(token))
            key_id = seen.key_id if seen is not None else str(self._header(token)["kid"])
            return self.actor_of(token) if self.keys.has(key_id) else None
        except TokenRefused:
            return None

    def _header(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN:
            raise TokenRefused(
                "oversize",
                shown=f"the token is longer than {MAX_TOKEN} characters; ask your identity "
                "provider for one with fewer claims",
            )
        if token.count(".") != 2:
            raise TokenRefused("shape")
        header = _parsed(token.split(".", 1)[0], "header")
        lax = self.rules.accept_id_style
        if set(header) - (_ID_STYLE_HEADERS if lax else _HEADERS):
            raise TokenRefused("header")
        if _kind_of_key(header.get("alg")) is None:
            raise TokenRefused("algorithm")
        kind = header.get("typ")
        if not (lax and "typ" not in header) and (
            not isinstance(kind, str) or kind.lower() not in (_ID_STYLE_TYPES if lax else _TYPES)
        ):
            raise TokenRefused("type")
        if not isinstance(header.get("kid"), str):
            raise TokenRefused("kid_missing")
        return header

    def _claims(self, token: str, header: Mapping[str, Any]) -> tuple[Key, dict[str, Any]]:
        """Return the claims once their signature is verified, and the key that verified it."""
        key_id, algorithm = str(header["kid"]), str(header["alg"])
        # the library takes EdDSA for another algorithm, and warns of the name at each use
        model = JWSRegistry.algorithms["Ed25519" if algorithm == "EdDSA" else algorithm]
        signed, _, end = token.rpartition(".")
        signature = _bytes(end, "signature")
        keys = [key for key in self.keys.find(key_id) if key.key_type == model.key_type]
        if not keys:
            raise TokenRefused("key_unknown", key_id)
        for key in keys:
            if model.verify(signed.encode(), signature, key):
                return key, _parsed(signed.partition(".")[2], "claims")
        raise TokenRefused("signature", key_id)

    def _check(self, claims: Mapping[str, Any]) -> None:
        """Refuse what a signature alone does not rule out. The caller learns only of its age."""
        now, rules = self.now(), self.rules
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        issued, expires = claims.get("iat"), claims.get("exp")
        checks = {
            "issuer": claims.get("iss") == rules.issuer,
            "audience": rules.audience in audiences,
            "expiry": is_number(expires),
            "issued": is_number(issued) and claims["iat"] - LEEWAY_SECONDS <= now,
            "not_before": "nbf" not in claims
            or (is_number(claims["nbf"]) and claims["nbf"] - LEEWAY_SECONDS <= now),
            "id_token": not _OF_ID_TOKENS & set(claims)
            and str(claims.get("typ", "Bearer")).lower() in {"bearer", *_TYPES}  # Keycloak
            and claims.get("token_use", "access") == "access",  # Amazon Cognito
        }
        for reason, holds in checks.items():
            if not holds:
                raise TokenRefused(reason)
        over = now - claims["exp"]
        if over >= LEEWAY_SECONDS:
            raise TokenRefused("expired", shown=f"the token expired {_ago(over)} ago")
        if claims["exp"] - claims["iat"] > rules.max_life_seconds:
            most = rules.max_life_seconds / 3600
            raise TokenRefused("life", shown=f"the token is valid for more than {most:g} hours")


def _mark(token: str) -> bytes:
    """Return what tells tokens apart, so that none is kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _kind_of_key(algorithm: Any) -> str | None:
    """Return the type of key that an algorithm takes, None for one that is not accepted."""
    if not isinstance(algorithm, str):
        return None
    return next((kind for kind, names in ALGORITHMS.items() if algorithm in names), None)


def _ago(seconds: float) -> str:
    """Return the length of a time in words, such as ``12 minutes``."""
    for unit, size, least in (("day", 86400, 2), ("hour", 3600, 2), ("minute", 60, 1)):
        number = int(seconds // size)
        if number >= least:
            return f"{number} {unit}{'s' if number > 1 else ''}"
    return "less than a minute"


def _parsed(part: str, what: str) -> dict[str, Any]:
    """Return a JSON object without duplicate names."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("duplicate name")
        return found

    try:
        found = json.loads(_bytes(part, what), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise TokenRefused(what) from error
    if not isinstance(found, dict):
        raise TokenRefused(what)
    return found


def _bytes(part: str, what: str) -> bytes:
    """Return what base64url stands for; other letters are refused, not skipped."""
    try:
        plain = part.encode("ascii").translate(_URL_SAFE)
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except ValueError as error:
        raise TokenRefused(what) from error
