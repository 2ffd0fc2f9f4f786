"""``python -m tests.end_to_end.identity_provider``: an OAuth 2 authorization server, by Authlib.

Somebody else's code makes the access tokens (RFC 9068) that the API of a production installation
takes: a machine gets its own by client credentials, a person signs in with a password and gets one
for an authorization code. It listens with TLS, prints its port, and ends with its stdin.
"""

from __future__ import annotations

import argparse
import os
import ssl
import sys
import threading
import time
from typing import Any, Final

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, ClientCredentialsGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from flask import Flask, Response, jsonify, request
from joserfc.jwk import KeySet, RSAKey
from werkzeug.serving import make_server

AUDIENCE: Final = "tenantplane"
REDIRECT: Final = "https://console.example.test/signed-in"
PASSWORD: Final = "correct horse battery staple"
MACHINES: Final = {"crm": ["automation"]}
PEOPLE: Final = {
    "ada": ["platform_admin"],
    "olga": ["ops_approver"],
    "otto": ["ops_approver"],
    "sam": ["solutions_architect"],
    "audrey": ["auditor", "platform_auditor"],
}


class Person:
    """Somebody who has signed in."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.signed_in = int(time.time())

    def get_user_id(self) -> str:
        return self.name


class Client(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """A machine with a secret, or the console, in whose name people sign in."""

    def __init__(self, client_id: str, redirect: str) -> None:
        self.client_id, self.redirect = client_id, redirect

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect

    def get_allowed_scope(self, scope: str) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == PASSWORD

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return endpoint == "token" and method in METHODS

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        machine = self.client_id in MACHINES
        return grant_type == ("client_credentials" if machine else "authorization_code")


class Code:
    """An authorization code."""

    def __init__(self, code: str, client: Client, person: Person, asked: Any) -> None:
        self.code, self.client_id, self.person = code, client.client_id, person
        self.redirect = client.redirect
        self.code_challenge = asked.get("code_challenge")
        self.code_challenge_method = asked.get("code_challenge_method")

    def get_redirect_uri(self) -> str:
        return self.redirect

    def get_scope(self) -> str:
        return ""


METHODS: Final = ["client_secret_basic", "client_secret_post"]
CODES: Final[dict[str, Code]] = {}


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
    """Codes in memory; each is used once."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def save_authorization_code(self, code: str, request: Any) -> None:
        CODES[code] = Code(code, request.client, request.user, request.payload.data)

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        found = CODES.get(code)
        return found if found is not None and found.client_id == client.client_id else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        del CODES[authorization_code.code]

    def authenticate_user(self, authorization_code: Code) -> Person:
        return authorization_code.person


def _seconds(_client: Client, _grant_type: str) -> int:
    """Return how long a token lives; the library's own default is ten days."""
    return 3600


class Tokens(JWTBearerTokenGenerator):  # type: ignore[misc]  # Authlib has no types
    """Access tokens with the claims that the company has configured."""

    def __init__(self, issuer: str, keys: KeySet) -> None:
        super().__init__(issuer=issuer, alg="RS256", expires_generator=_seconds)
        self._keys = keys

    def get_jwks(self) -> Any:
        return self._keys

    def get_audiences(self, client: Client, user: Person | None, scope: str) -> str:
        return AUDIENCE

    def get_auth_time(self, user: Person | None) -> int | None:
        return user.signed_in if user else None

    def get_amr(self, user: Person | None) -> list[str] | None:
        return ["pwd"] if user else None

    def get_extra_claims(
        self, client: Client, grant_type: str, user: Person | None, scope: str
    ) -> dict[str, Any]:
        roles = PEOPLE[user.name] if user else MACHINES[client.client_id]
        return {"roles": roles, "tenants": ["*"]}


_FORM: Final = """<!doctype html><title>Example sign-in</title><form method="post">
<label>Name <input name="username"></label>
<label>Password <input name="password" type="password"></label><button>Sign in</button></form>"""


def application(issuer: str, redirect: str = REDIRECT) -> Flask:
    """Return the server's application."""
    keys = KeySet([RSAKey.generate_key(2048, {"use": "sig", "kid": "2026-11", "alg": "RS256"})])
    app = Flask("identity provider")
    names = {*MACHINES, "console"}
    server = AuthorizationServer(
        app,
        query_client=lambda name: Client(name, redirect) if name in names else None,
        save_token=lambda _token, _request: None,
    )
    server.register_token_generator("default", Tokens(issuer, keys))
    server.register_grant(ClientCredentialsGrant)
    server.register_grant(CodeGrant, [CodeChallenge(required=False)])

    @app.get("/.well-known/openid-configuration")
    def discovery() -> Any:
        names = {"authorization_endpoint": "authorize", "token_endpoint": "token",
                 "jwks_uri": "jwks"}  # fmt: skip
        urls = {name: f"{issuer}/{path}" for name, path in names.items()}
        return jsonify(issuer=issuer, token_endpoint_auth_methods_supported=METHODS, **urls)

    @app.get("/authorize")
    def who() -> str:
        return _FORM

    @app.post("/authorize")
    def authorize() -> Any:
        name = request.form.get("username", "")
        if name not in PEOPLE or request.form.get("password") != PASSWORD:
            return Response("wrong name or password", 403)
        person = Person(name)
        grant = server.get_consent_grant(end_user=person)
        return server.create_authorization_response(grant=grant, grant_user=person)

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    @app.get("/jwks")
    def jwks() -> Any:
        return jsonify(keys.as_dict(private=False))

    return app


def main() -> None:
    """Listen on a free port until stdin ends."""
    options = argparse.ArgumentParser()
    options.add_argument("--certificate", required=True)
    options.add_argument("--key", required=True)
    given = options.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(given.certificate, given.key)
    listening = make_server("127.0.0.1", 0, Flask("later"), threaded=True, ssl_context=context)
    listening.app = application(f"https://localhost:{listening.server_port}")
    sys.stdout.write(f"{listening.server_port}\n")
    sys.stdout.flush()
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
