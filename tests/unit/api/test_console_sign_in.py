"""Signing in to the console: whom it lets in, what a session is, and forms that are not taken."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from flask import Flask
from werkzeug.serving import make_server

from api.auth import Identity
from api.claims import TokenRules
from api.console.signing_in import _NEXT
from control_plane.adapters.identity.jwks import fetch_jwks
from control_plane.adapters.identity.oidc import OidcClient, OidcSignIn
from control_plane.domain.actor import ActorKind, Role
from control_plane.domain.console_session import SESSION_IDLE, SESSION_LIFE
from tests.end_to_end.identity_provider import AUDIENCE, PASSWORD, application
from tests.unit.api.scene import Api
from tests.unit.api.visitors import HERE, Visitor, fields_of, query_of


@pytest.fixture
def visitor(api: Api) -> Visitor:
    return Visitor(api)


# --- the page of an embedded installation ---------------------------------------------------------
def test_who_knows_the_code_signs_in_and_gets_where_they_wanted(visitor: Visitor) -> None:
    asked = visitor.get("/console/tenants?status=ready")
    assert asked.status_code == 200
    assert visitor.seen[1].startswith("/console/sign-in?next=")
    fields = [*fields_of(asked), ("name", "ada"), ("role", "platform_admin"),
              ("code", visitor.api.local.secret().upper().replace("-", " "))]  # fmt: skip
    shown = visitor.post("/console/who", fields)
    assert shown.status_code == 200
    assert visitor.seen[-1] == "/console/tenants?status=ready"
    assert "<h1>Tenants</h1>" in shown.text
    assert "ada" in shown.text


@pytest.mark.parametrize(("name", "roles", "code", "says"), [
    ("ada", ["ops_approver"], "aaaa-bbbb-cccc-dddd", "not the code"),
    ("ada", ["ops_approver"], "", "not the code"),
    ("", ["ops_approver"], None, "Enter a name"),
    ("<script>", ["ops_approver"], None, "Enter a name"),
    ("ada", [], None, "Choose at least one role"),
    ("ada", ["automation"], None, "Choose at least one role"),
    ("ada", ["god"], None, "Choose at least one role"),
])  # fmt: skip
def test_nobody_else_does_and_the_page_says_why(
    visitor: Visitor, name: str, roles: list[str], code: str | None, says: str
) -> None:
    page = visitor.get("/console")
    typed = visitor.api.local.secret() if code is None else code
    fields = [*fields_of(page), ("name", name), ("code", typed)]
    fields += [("role", role) for role in roles]
    answer = visitor.post("/console/who", fields)
    assert answer.status_code == 422
    assert says in answer.text
    assert "<script>" not in answer.text.replace("<script src", "")
    assert "console" not in visitor.cookies


def test_what_comes_back_is_taken_once_and_by_the_browser_that_began(visitor: Visitor) -> None:
    page = visitor.get("/console")
    fields = [*fields_of(page), ("name", "ada"), ("role", "auditor"),
              ("code", visitor.api.local.secret())]  # fmt: skip
    back = visitor.ask("POST", "/console/who", fields=fields, headers=HERE).headers["location"]
    stranger = Visitor(visitor.api)
    assert "begun elsewhere" in stranger.get(back).text
    other = Visitor(visitor.api)
    other.get("/console")  # begins a sign-in of its own
    state = other.cookies["console-sign-in"].partition(".")[0]
    stolen = f"/console/signed-in?state={state}&code={query_of(back)['code']}"
    assert "belongs to another sign-in" in other.get(stolen).text
    kept = dict(visitor.cookies)
    assert visitor.get(back).status_code == 200
    visitor.cookies = kept
    assert "was used already" in visitor.get(back).text


def test_a_code_is_not_an_access_token_and_the_other_way_round(visitor: Visitor) -> None:
    page = visitor.get("/console")
    challenge = dict(fields_of(page))["challenge"]
    code = visitor.api.local.code_for("ada", [Role.PLATFORM_ADMIN], ("*",), challenge=challenge)
    assert visitor.api.call("GET", "/v1/tenants", code).status_code == 401
    token = visitor.api.token(Role.PLATFORM_ADMIN)
    state = visitor.cookies["console-sign-in"].partition(".")[0]
    answer = visitor.get(f"/console/signed-in?state={state}&code={token}")
    assert "not one of this installation" in answer.text


# --- sessions -------------------------------------------------------------------------------------
def test_cookies_are_for_this_host_alone_where_it_has_https(api: Api) -> None:
    api.shared.base_url = "https://console.example.com"
    visitor = Visitor(api)
    begun = visitor.ask("GET", "/console/sign-in").headers["set-cookie"]
    assert begun.startswith("__Host-console-sign-in=")
    for part in ("HttpOnly", "Secure", "Path=/", "SameSite=lax"):
        assert part in begun
    visitor.sign_in(Role.AUDITOR)
    assert set(visitor.cookies) == {"__Host-console"}


@pytest.mark.parametrize("spent", [SESSION_IDLE, SESSION_LIFE])
def test_a_session_ends_when_nobody_uses_it_and_after_eight_hours(
    visitor: Visitor, spent: timedelta
) -> None:
    visitor.sign_in(Role.OPS_APPROVER)
    clock = visitor.api.world.clock
    gone = timedelta(0)
    while spent == SESSION_LIFE and gone < spent - timedelta(minutes=30):
        clock.advance(minutes=30)
        gone += timedelta(minutes=30)
        assert visitor.ask("GET", "/console").status_code == 200
    clock.advance(seconds=(spent - gone).total_seconds())
    answer = visitor.ask("GET", "/console")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/console/sign-in?next=%2Fconsole"


def test_signing_out_ends_the_session_and_not_only_the_cookie(visitor: Visitor) -> None:
    page = visitor.sign_in(Role.OPS_APPROVER)
    kept = dict(visitor.cookies)
    assert "You are signed out" in visitor.post(
        "/console/sign-out", fields_of(page, "/console/sign-out")
    ).text  # fmt: skip
    assert "console" not in visitor.cookies
    visitor.cookies = kept
    assert visitor.ask("GET", "/console").status_code == 303
    actions = visitor.api.world.actions()
    assert [each for each in actions if each.startswith("console.")] == [
        "console.signed_in:completed", "console.signed_out:completed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "token", ["", "x", "cns_0.x", "cns_01JD0000000000000000000000." + "A" * 43]
)
def test_a_made_up_session_opens_nothing(visitor: Visitor, token: str) -> None:
    visitor.cookies["console"] = token
    assert visitor.ask("GET", "/console").status_code == 303


def test_no_row_holds_what_opens_a_session(visitor: Visitor) -> None:
    visitor.sign_in(Role.OPS_APPROVER)
    secret = visitor.cookies["console"].partition(".")[2]
    (row,) = visitor.api.world.rows("console_session").values()
    assert row.actor.id == "ada"
    assert secret not in str(row)


@pytest.mark.parametrize(("wanted", "taken"), [
    ("/console", True), ("/console/tenants?status=ready&page=a-b_c", True),
    ("//evil.example", False), ("https://evil.example/console", False),
    ("/console/../x", True), ("/consolex", False), ("/v1/tenants", False), ("/console\\x", False),
    ("/console\n", False),
])  # fmt: skip
def test_after_signing_in_nobody_is_sent_elsewhere(wanted: str, taken: bool) -> None:
    assert (_NEXT.match(wanted) is not None) is taken


# --- forms ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("headers", [
    {}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"}, {"Origin": "https://evil.example"}, {"Origin": "null"},
])  # fmt: skip
def test_a_form_of_another_site_is_not_taken_and_not_offered_again(
    visitor: Visitor, headers: dict[str, str]
) -> None:
    page = visitor.sign_in(Role.OPS_APPROVER)
    fields = fields_of(page, "/console/sign-out")
    answer = visitor.post("/console/sign-out", fields, headers=headers)
    assert answer.status_code == 403
    assert "Send again" not in answer.text
    assert visitor.ask("GET", "/console").status_code == 200


def test_a_form_of_an_earlier_session_keeps_what_was_entered(visitor: Visitor) -> None:
    visitor.sign_in(Role.OPS_APPROVER)
    fields = [("csrf", "0" * 64), ("reason", 'as <b>"agreed"</b>')]
    answer = visitor.post("/console/sign-out", fields, headers={"Origin": "http://localhost:8080"})
    assert answer.status_code == 409
    assert "Nothing was done" in answer.text
    again = fields_of(answer, "/console/sign-out")
    assert ("reason", 'as <b>"agreed"</b>') in again
    assert "<b>" not in answer.text
    assert "You are signed out" in visitor.post("/console/sign-out", again).text


@pytest.mark.parametrize(
    "content", [b"a=%ff", b"a=%00", b"&".join([b"a=1"] * 401), b"a=\xff", b"a&b"]
)
def test_a_form_that_cannot_be_read_is_a_page_and_no_fault(
    visitor: Visitor, content: bytes
) -> None:
    visitor.sign_in(Role.OPS_APPROVER)
    answer = visitor.api.call("POST", "/console/sign-out", content=content, key=None, headers={
        **HERE, "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": f"console={visitor.cookies['console']}",
    })  # fmt: skip
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/html")


# --- pages ----------------------------------------------------------------------------------------
def test_what_every_page_carries(visitor: Visitor) -> None:
    visitor.sign_in(Role.PLATFORM_ADMIN)
    for path in ("/console", "/console/tenants", "/console/design", "/console/nothing"):
        answer = visitor.get(path)
        assert answer.headers["cache-control"] == "no-store"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert not re.search(r"<script(?! src=)|<style|\son[a-z]+=|style=", answer.text)
        assert not re.search(r'(src|href|action)="(?!/|#|\?)', answer.text)
        for asset in re.findall(r'="(/assets/[^"]+)"', answer.text):
            found = visitor.get(asset)
            assert found.status_code == 200
            assert "immutable" in found.headers["cache-control"]
    assert visitor.get("/console/nothing").status_code == 404


def test_a_page_that_the_role_does_not_allow_is_a_page(visitor: Visitor) -> None:
    home = visitor.sign_in(Role.PLATFORM_AUDITOR)
    assert 'href="/console/tenants"' not in home.text
    answer = visitor.get("/console/tenants")
    assert answer.status_code == 403
    assert "needs one of the roles" in answer.text


# --- an identity provider of somebody else --------------------------------------------------------
@pytest.fixture
def provider(api: Api) -> Iterator[str]:
    """An authorization server by Authlib, at which the console is a client with a secret."""
    server = make_server("127.0.0.1", 0, Flask("later"), threaded=True)
    issuer = f"http://127.0.0.1:{server.server_port}"
    server.app = application(issuer, redirect="http://localhost:8080/console/signed-in")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    api.shared.local_sign_in = None
    api.shared.sign_in = OidcSignIn(
        OidcClient(issuer=issuer, client_id="console", scopes="openid"),
        secret=lambda: PASSWORD, now=api.world.clock.now,
    )  # fmt: skip
    api.shared.identity = Identity(
        rules=TokenRules(issuer=issuer, audience=AUDIENCE),
        fetch=lambda: fetch_jwks(f"{issuer}/jwks"),
    )
    yield issuer
    server.shutdown()
    thread.join()
    server.server_close()


def signed_in_there(url: str, name: str) -> httpx.Response:
    """Sign in at the provider; returns its answer."""
    return httpx.post(
        url, data={"username": name, "password": PASSWORD}, headers={"Connection": "close"}
    )


def test_a_person_signs_in_at_the_companys_provider(visitor: Visitor, provider: str) -> None:
    begun = visitor.ask("GET", "/console/sign-in?next=/console/tenants")
    url = begun.headers["location"]
    assert url.startswith(f"{provider}/authorize?")
    asked = query_of(url)
    assert (asked["code_challenge_method"], asked["client_id"]) == ("S256", "console")
    back = signed_in_there(url, "olga").headers["location"]
    shown = visitor.get(back.removeprefix("http://localhost:8080"))
    assert "<h1>Tenants</h1>" in shown.text
    assert "olga" in shown.text
    with visitor.api.world.core.act() as act:
        (session,) = act.uow.console_sessions.find()
    assert session.actor.roles == (Role.OPS_APPROVER,)
    assert session.actor.kind is ActorKind.USER


def test_the_page_of_an_embedded_installation_is_not_there(visitor: Visitor, provider: str) -> None:
    assert visitor.get("/console/who").status_code == 404
    fields = [("name", "ada"), ("role", "platform_admin"), ("code", visitor.api.local.secret())]
    assert visitor.post("/console/who", fields).status_code == 404


def test_a_code_without_the_verifier_that_began_it_is_refused(
    visitor: Visitor, provider: str
) -> None:  # fmt: skip
    back = signed_in_there(
        visitor.ask("GET", "/console/sign-in").headers["location"], "olga"
    ).headers["location"]  # fmt: skip
    other = Visitor(visitor.api)
    other.get("/console/sign-in")
    state = other.cookies["console-sign-in"].partition(".")[0]
    answer = other.get(f"/console/signed-in?state={state}&code={query_of(back)['code']}")
    assert answer.status_code == 502
    assert "invalid_grant" in answer.text
    assert "console" not in other.cookies


@pytest.mark.parametrize(("answer", "says"), [
    ("error=access_denied", "refused: access_denied"), ("", "sent no code"),
    ("code=x&iss=https://evil.example", "another identity provider"),
    ("code=nothing", "invalid_grant"),
])  # fmt: skip
def test_what_a_provider_answers_otherwise_is_said(
    visitor: Visitor, provider: str, answer: str, says: str
) -> None:  # fmt: skip
    visitor.ask("GET", "/console/sign-in")
    state = visitor.cookies["console-sign-in"].partition(".")[0]
    shown = visitor.get(f"/console/signed-in?state={state}&{answer}")
    assert shown.status_code == 502
    assert says in shown.text


def test_a_provider_that_is_away_is_said(visitor: Visitor, api: Api) -> None:
    api.shared.sign_in = OidcSignIn(
        OidcClient(issuer="http://127.0.0.1:9", client_id="console", scopes="openid"),
        secret=None, now=api.world.clock.now,
    )  # fmt: skip
    shown = visitor.get("/console/sign-in")
    assert shown.status_code == 502
    assert "does not answer" in shown.text
