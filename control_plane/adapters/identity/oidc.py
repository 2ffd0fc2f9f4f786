"""Signing in at the company's identity provider: authorization code with PKCE.

RFC 6749 section 4.1, RFC 7636, RFC 9207; the endpoints come from OpenID Connect Discovery. What is
asked for is an access token for this API. It is verified as every other token is, so nothing here
trusts the provider's answer.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote_plus, urlencode, urlsplit

from control_plane.adapters.systems.web import JsonApi
from control_plane.domain.console_errors import SignInFailed
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.networks import is_loopback
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable

SYSTEM: Final = "the identity provider"
_KEPT: Final = timedelta(minutes=10)
_SECONDS: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class OidcClient:
    """The console as the identity provider knows it.

    ``parameters`` are added to the request as they are: with them some providers are asked for the
    API that the token is for (``audience=...`` or ``resource=...``).
    """

    issuer: str
    client_id: str
    scopes: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Endpoints:
    found_at: datetime
    authorization: str
    token: str
    posts_secret: bool


class OidcSignIn:
    """Sends people to the identity provider, and gets their access token when they come back."""

    def __init__(
        self,
        client: OidcClient,
        *,
        secret: Callable[[], str] | None,
        now: Callable[[], datetime],
    ) -> None:
        """``secret`` is the client's; a public client has none."""
        self._client = client
        self._secret = secret
        self._now = now
        self._endpoints: _Endpoints | None = None

    def url(self, *, state: str, verifier: str, redirect_uri: str) -> str:
        """Return where a person signs in. Raises ``SignInFailed``."""
        wanted = {
            **self._client.parameters,
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": redirect_uri,
            "scope": self._client.scopes,
            "state": state,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        endpoint = self._found().authorization
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(wanted)}"

    def redeem(self, answer: Mapping[str, str], *, verifier: str, redirect_uri: str) -> str:
        """Return the access token for what the provider answered with. Raises ``SignInFailed``."""
        if "error" in answer:
            raise SignInFailed(f"the identity provider refused: {_plain(answer['error'])}")
        if answer.get("iss", self._client.issuer) != self._client.issuer:
            raise SignInFailed("the answer came from another identity provider")
        if not answer.get("code"):
            raise SignInFailed("the identity provider sent no code")
        endpoints = self._found()
        form = {
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": redirect_uri,
            "client_id": self._client.client_id,
            "code_verifier": verifier,
        }
        found = self._ask(
            endpoints.token, "POST", form, lambda: self._proof(form, posts=endpoints.posts_secret)
        )
        token = found.get("access_token")
        if not isinstance(token, str):
            raise SignInFailed("the identity provider sent no access token")
        return token

    def _found(self) -> _Endpoints:
        """Return the endpoints, asked for when they are older than ten minutes."""
        now = self._now()
        if self._endpoints is None or now >= self._endpoints.found_at + _KEPT:
            url = f"{self._client.issuer.rstrip('/')}/.well-known/openid-configuration"
            document = self._ask(url, "GET", None, dict)
            if document.get("issuer") != self._client.issuer:
                raise SignInFailed(f"{url} belongs to another issuer")
            methods = document.get("token_endpoint_auth_methods_supported")
            self._endpoints = _Endpoints(
                found_at=now,
                authorization=_safe(document, "authorization_endpoint"),
                token=_safe(document, "token_endpoint"),
                posts_secret=isinstance(methods, list) and "client_secret_post" in methods,
            )
        return self._endpoints

    def _proof(self, form: dict[str, str], *, posts: bool) -> Mapping[str, str]:
        """Prove who the client is, in a header or in the form (RFC 6749, section 2.3.1).

        The form is preferred where it is allowed: of the header not every provider decodes what it
        must be encoded with.
        """
        if self._secret is None:
            return {}
        try:
            secret = self._secret()
        except SettingInvalid as error:
            raise SignInFailed(error.message) from error
        if posts:
            form["client_secret"] = secret
            return {}
        pair = f"{quote_plus(self._client.client_id)}:{quote_plus(secret)}"
        return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    def _ask(
        self, url: str, method: str, form: Mapping[str, str] | None,
        proof: Callable[[], Mapping[str, str]],
    ) -> Mapping[str, object]:  # fmt: skip
        headers = {"accept": "application/json", **proof()}
        api = JsonApi(
            system=SYSTEM, url=url, headers=lambda: headers, now=self._now, seconds=_SECONDS
        )
        try:
            answer = api.call(method, "", form=form, acts=False)
        except (SystemRefused, SystemUnavailable) as error:
            raise SignInFailed(error.message) from error
        if not answer.is_success:
            code = _plain(str(answer.object().get("error") or answer.status))
            raise SignInFailed(f"the identity provider refused: {code}")
        return answer.object()


def challenge_of(verifier: str) -> str:
    """Return the challenge of a verifier, as S256 (RFC 7636, section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _safe(document: Mapping[str, object], name: str) -> str:
    url = document.get(name)
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or not (parts.scheme == "https" or is_loopback(parts.hostname or "")):
        raise SignInFailed(f"the identity provider names no {name} with https")
    return parts.geturl()


def _plain(text: str) -> str:
    return ascii(text[:60])[1:-1]
