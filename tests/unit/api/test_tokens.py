"""Bearer tokens: what RFC 8725 warns of, keys that rotate, an issuer that is down."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey, RSAKey

from api.auth import Identity
from control_plane.adapters.identity.embedded import ISSUER
from control_plane.domain.actor import Role
from tests.unit.api.scene import AUDIENCE, Api, is_problem
from tests.world import World

PATH: Final = "/v1/tenants"
RSA: Final = RSAKey.generate_key(2048, {"kid": "rsa-1"})
HOUR: Final = 3600


class Mint:
    """Signs any token with the issuer's RSA key; ``claims`` of None are left out."""

    def __init__(self) -> None:
        self.keys = [RSA]
        self.fetched = 0
        self.is_down = False

    def jwks(self) -> dict[str, Any]:
        self.fetched += 1
        if self.is_down:
            raise ConnectionError("no route to the issuer")
        return dict(KeySet(list(self.keys)).as_dict(private=False))

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": "olga", "iat": now, "exp": now + HOUR,
            "roles": ["ops_approver"], "tenants": ["*"], **changes,
        }  # fmt: skip
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, key: Any = RSA, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        fields = {"alg": "RS256", "kid": key.kid, "typ": "at+jwt", **(header or {})}
        fields = {name: value for name, value in fields.items() if value is not None}
        return signed(fields, json.dumps(self.claims(**changes)).encode(), key)


def signed(header: dict[str, Any], payload: bytes, key: RSAKey) -> str:
    """Sign whatever is given, as no library would."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    start = f"{_b64(json.dumps(header).encode())}.{_b64(payload)}"
    assert key.private_key is not None
    signature = key.private_key.sign(start.encode(), PKCS1v15(), SHA256())
    return f"{start}.{_b64(signature)}"


def _b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@pytest.fixture
def mint() -> Mint:
    """An issuer with an RSA key."""
    return Mint()


@pytest.fixture
def api(world: World, tmp_path: Path, mint: Mint) -> Api:
    """An API over an empty control plane, trusting the issuer; a test moves its keys' clock."""
    found = Api(world, tmp_path)
    found.identity = found.shared.identity = Identity(
        rules=found.identity.rules, fetch=mint.jwks, ticks=found.now
    )
    return found


def takes(api: Api, mint: Mint, **rules: Any) -> None:
    """Let the API trust the issuer under other rules."""
    changed = replace(api.identity.rules, **rules)
    api.identity = api.shared.identity = Identity(rules=changed, fetch=mint.jwks, ticks=api.now)


def _none(mint: Mint) -> str:
    head = _b64(json.dumps({"alg": "none", "kid": "rsa-1", "typ": "at+jwt"}).encode())
    return f"{head}.{_b64(json.dumps(mint.claims()).encode())}."


def _public_key_as_secret(mint: Mint) -> str:
    header = {"alg": "HS256", "kid": "rsa-1", "typ": "at+jwt"}
    start = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(mint.claims()).encode())}"
    secret = RSA.as_pem(private=False)
    return f"{start}.{_b64(hmac.new(secret, start.encode(), hashlib.sha256).digest())}"


def _repeated_claim(mint: Mint) -> str:
    text = json.dumps(mint.claims())
    payload = (text[:-1] + ', "sub": "admin"}').encode()
    return signed({"alg": "RS256", "kid": "rsa-1", "typ": "at+jwt"}, payload, RSA)


def _other_key(mint: Mint) -> str:
    stranger = RSAKey.generate_key(2048, {"kid": "rsa-1"})
    return mint.token(stranger)


def _changed_after_signing(mint: Mint) -> str:
    head, _, tail = mint.token().split(".")
    body = _b64(json.dumps(mint.claims(roles=["platform_admin"])).encode())
    return f"{head}.{body}.{tail}"


def _own_key_in_header(mint: Mint) -> str:
    stranger = RSAKey.generate_key(2048, {"kid": "mine"})
    return mint.token(stranger, header={"jwk": dict(stranger.as_dict(private=False))})


BAD: Final[dict[str, Callable[[Mint], str]]] = {
    "algorithm none": _none,
    "HS256 with the public key": _public_key_as_secret,
    "wrong issuer": lambda mint: mint.token(iss="https://evil.example"),
    "issuer of another environment": lambda mint: mint.token(iss=f"{ISSUER}:staging"),
    "wrong audience": lambda mint: mint.token(aud="another-api"),
    "audience list without ours": lambda mint: mint.token(aud=["one", "two"]),
    "no audience": lambda mint: mint.token(aud=None),
    "not yet valid": lambda mint: mint.token(nbf=int(time.time()) + HOUR),
    "issued in the future": lambda mint: mint.token(iat=int(time.time()) + HOUR),
    "algorithm that is a list": lambda mint: mint.token(header={"alg": ["RS256"]}),
    "type that is a list": lambda mint: mint.token(header={"typ": ["at+jwt"]}),
    "digest of a certificate": lambda mint: mint.token(header={"x5t": "c2hhMQ"}),
    "an ID token of Keycloak": lambda mint: mint.token(typ="ID"),
    "a refresh token of Keycloak": lambda mint: mint.token(typ="Refresh"),
    "an ID token of Cognito": lambda mint: mint.token(token_use="id"),
    "expiry without end": lambda mint: mint.token(exp=float("inf")),
    "expiry that is a giant": lambda mint: mint.token(exp=10**300),
    "issued at no time": lambda mint: mint.token(iat=float("nan")),
    "no expiry": lambda mint: mint.token(exp=None),
    "expiry that is text": lambda mint: mint.token(exp="tomorrow"),
    "expiry that is true": lambda mint: mint.token(exp=True),
    "unknown key id": lambda mint: mint.token(header={"kid": "nobody"}),
    "no key id": lambda mint: mint.token(header={"kid": None}),
    "key id that is a path": lambda mint: mint.token(header={"kid": "../../etc/passwd"}),
    "key id that is SQL": lambda mint: mint.token(header={"kid": "' OR 1=1 --"}),
    "key id that no log can hold": lambda mint: mint.token(header={"kid": "\ud800\x00\n"}),
    "key id that is a number": lambda mint: mint.token(header={"kid": 7}),
    "jku header": lambda mint: mint.token(header={"jku": "https://evil.example/jwks"}),
    "x5u header": lambda mint: mint.token(header={"x5u": "https://evil.example/cert"}),
    "own key in the header": _own_key_in_header,
    "critical header": lambda mint: mint.token(header={"crit": ["exp"]}),
    "type of an ID token": lambda mint: mint.token(header={"typ": "JWT"}),
    "no type": lambda mint: mint.token(header={"typ": None}),
    "claims of an ID token": lambda mint: mint.token(nonce="n"),
    "a claim that repeats": _repeated_claim,
    "another key with this id": _other_key,
    "changed after signing": _changed_after_signing,
    "no subject": lambda mint: mint.token(sub=None),
    "endless subject": lambda mint: mint.token(sub="x" * 300),
    "subject with a line break": lambda mint: mint.token(sub="olga\nadmin"),
    "on behalf of something odd": lambda mint: mint.token(act={"sub": 7}),
    "two dots of nothing": lambda _: "..",
    "no token at all": lambda _: "garbage",
    "not base64": lambda _: "ä.ö.ü".encode("latin-1").decode("latin-1"),
    "header that is a list": lambda _: f"{_b64(b'[]')}.{_b64(b'{}')}.{_b64(b'x')}",
    "header nested without end": lambda _: f"{_b64(b'[' * 5000)}.{_b64(b'{}')}.{_b64(b'x')}",
}


def test_the_token_that_the_bad_ones_are_made_from_is_good(api: Api, mint: Mint) -> None:
    assert api.call("GET", PATH, mint.token()).status_code == 200
    assert api.call("GET", PATH, mint.token(aud=["other", AUDIENCE])).status_code == 200


@pytest.mark.parametrize("fault", BAD, ids=str)
def test_a_bad_token_is_refused_and_leaves_an_event(api: Api, mint: Mint, fault: str) -> None:
    token = BAD[fault](mint)
    answer, events = api.events(
        lambda: api.call("GET", PATH, headers={"Authorization": f"Bearer {token}".encode()})  # type: ignore[dict-item]  # httpx takes bytes, which any client may send
    )
    content = is_problem(answer, 401, "not_authenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert content["detail"] == "the token is invalid"  # why is for the log alone
    assert events == ["authn.failed:denied"]


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic b2xnYTpwdw==", "Token x"])
def test_what_is_no_bearer_token_is_refused(api: Api, value: str) -> None:
    is_problem(api.call("GET", PATH, headers={"Authorization": value}), 401, "not_authenticated")


def test_a_flood_of_bad_tokens_does_not_flood_the_log(api: Api) -> None:
    api.world.core.refusals.ticks = lambda: 1000.0
    _, events = api.events(
        lambda: [api.call("GET", PATH, "garbage") for _ in range(40)][-1],
    )
    assert len(events) == 30


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (45, "less than a minute"), (60, "1 minute"), (12 * 60 + 5, "12 minutes"),
        (119 * 60, "119 minutes"), (2 * HOUR, "2 hours"), (50 * HOUR, "2 days"),
    ],
)  # fmt: skip
def test_an_expired_token_says_since_when(api: Api, mint: Mint, ago: int, words: str) -> None:
    now = int(time.time())
    token = mint.token(iat=now - ago - HOUR, exp=now - ago)
    answer, events = api.events(lambda: api.call("GET", PATH, token))
    content = is_problem(answer, 401, "not_authenticated")
    assert content["detail"] == f"the token expired {words} ago"
    assert events == ["authn.failed:denied"]
    assert api.world.events()[-1].data["code"] == "expired"


def test_a_stranger_is_not_told_that_a_token_expired(api: Api, mint: Mint) -> None:
    stranger = RSAKey.generate_key(2048, {"kid": "rsa-1"})
    answer = api.call("GET", PATH, mint.token(stranger, exp=int(time.time()) - HOUR))
    assert is_problem(answer, 401, "not_authenticated")["detail"] == "the token is invalid"


def test_a_token_lives_a_day_at_most_unless_the_setting_says_else(api: Api, mint: Mint) -> None:
    now = int(time.time())
    assert api.call("GET", PATH, mint.token(exp=now + 24 * HOUR)).status_code == 200
    for claims in ({"exp": now + 24 * HOUR + 60}, {"iat": now - 30 * HOUR, "exp": now + HOUR}):
        content = is_problem(api.call("GET", PATH, mint.token(**claims)), 401, "not_authenticated")
        assert content["detail"] == "the token is valid for more than 24 hours"
    takes(api, mint, max_life_seconds=48 * HOUR)
    assert api.call("GET", PATH, mint.token(exp=now + 47 * HOUR)).status_code == 200


def test_a_token_with_more_than_200_tenants_is_refused_and_not_cut(api: Api, mint: Mint) -> None:
    ids = [f"ten_{number:026d}" for number in range(201)]
    assert len(api.identity.actor_of(mint.token(tenants=ids[:200])).tenants) == 200
    assert len(api.identity.actor_of(mint.token(tenants=" ".join(ids[:200]))).tenants) == 200
    for many in (ids, " ".join(ids), [*ids, *ids]):
        answer = api.call("GET", PATH, mint.token(tenants=many))
        detail = is_problem(answer, 401, "not_authenticated")["detail"]
        assert "201 tenants" in detail or "longer than" in detail
        assert "identity provider" in detail


def test_roles_are_found_behind_many_others(api: Api, mint: Mint) -> None:
    groups = [f"g{number}" for number in range(300)]
    assert api.call("GET", PATH, mint.token(roles=[*groups, "auditor"])).status_code == 200


def test_id_style_headers_are_taken_when_the_setting_says_so(api: Api, mint: Mint) -> None:
    styles: list[dict[str, Any]] = [
        {"typ": "JWT"}, {"typ": "jwt"}, {"typ": None}, {"typ": "JWT", "x5t": "c2hhMQ"},
        {"typ": None, "x5t#S256": "c2hhMjU2"},
    ]  # fmt: skip
    for header in styles:
        assert api.call("GET", PATH, mint.token(header=header)).status_code == 401, header
    takes(api, mint, accept_id_style=True)
    for header in styles:
        assert api.call("GET", PATH, mint.token(header=header)).status_code == 200, header
    still_refused: list[dict[str, Any]] = [
        {"typ": "logout+jwt"}, {"typ": "JWT", "x5c": ["a"]}, {"typ": "JWT", "jku": "https://e"},
        {"typ": "JWT", "crit": ["exp"]}, {"typ": 7},
    ]  # fmt: skip
    for header in still_refused:
        assert api.call("GET", PATH, mint.token(header=header)).status_code == 401, header
    for claims in ({"nonce": "n"}, {"at_hash": "h"}, {"token_use": "id"}, {"typ": "ID"}):
        token = mint.token(header={"typ": "JWT"}, **claims)
        assert api.call("GET", PATH, token).status_code == 401, claims


def test_a_rotated_key_is_picked_up_with_one_fetch(api: Api, mint: Mint) -> None:
    now = [1000.0]
    api.ticks = lambda: now[0]
    assert api.call("GET", PATH, mint.token()).status_code == 200
    fresh = RSAKey.generate_key(2048, {"kid": "rsa-2"})
    mint.keys = [RSA, fresh]
    now[0] += 31
    assert api.call("GET", PATH, mint.token(fresh)).status_code == 200
    assert mint.fetched == 2
    assert api.call("GET", PATH, mint.token()).status_code == 200  # until the overlap ends
    mint.keys = [fresh]
    now[0] += 601
    assert api.call("GET", PATH, mint.token()).status_code == 401
    assert api.call("GET", PATH, mint.token(fresh)).status_code == 200


def test_unknown_key_ids_do_not_make_the_issuer_busy(api: Api, mint: Mint) -> None:
    now = [1000.0]
    api.ticks = lambda: now[0]
    api.call("GET", PATH, mint.token())
    for number in range(20):
        api.call("GET", PATH, mint.token(header={"kid": f"guess-{number}"}))
    assert mint.fetched == 1
    now[0] += 31
    api.call("GET", PATH, mint.token(header={"kid": "guess"}))
    assert mint.fetched == 2


def test_with_the_issuer_down_known_keys_are_good_for_ten_minutes(api: Api, mint: Mint) -> None:
    now = [1000.0]
    api.ticks = lambda: now[0]
    assert api.call("GET", PATH, mint.token()).status_code == 200
    mint.is_down = True
    now[0] += 599
    assert api.call("GET", PATH, mint.token()).status_code == 200
    now[0] += 2
    for _ in range(3):
        answer = api.call("GET", PATH, mint.token())
        is_problem(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0


def test_an_issuer_that_comes_back_after_an_hour_lets_everybody_in_again(
    api: Api, mint: Mint
) -> None:
    """Without a restart, with one fetch, and with the keys that it shows now."""
    now = [1000.0]
    api.ticks = lambda: now[0]
    assert api.call("GET", PATH, mint.token()).status_code == 200
    mint.is_down = True
    for _ in range(60):
        now[0] += 60
        api.call("GET", PATH, mint.token())
    is_problem(api.call("GET", PATH, mint.token()), 503, "unavailable")
    assert api.call("GET", "/readyz").json()["parts"]["identity"] == "the keys could not be fetched"
    fresh = RSAKey.generate_key(2048, {"kid": "rsa-2"})
    mint.is_down, mint.keys = False, [fresh]  # it changed its key meanwhile
    now[0] += 2
    fetched = mint.fetched
    assert api.call("GET", PATH, mint.token(fresh)).status_code == 200
    assert api.call("GET", "/readyz").json()["parts"]["identity"] == "ok"
    assert api.call("GET", PATH, mint.token()).status_code == 401  # signed with what is gone
    assert api.call("GET", PATH, mint.token(fresh)).status_code == 200
    assert mint.fetched == fetched + 1


def test_a_key_id_that_may_be_new_is_not_refused_while_the_issuer_is_down(
    api: Api, mint: Mint
) -> None:
    now = [1000.0]
    api.ticks = lambda: now[0]
    assert api.call("GET", PATH, mint.token()).status_code == 200
    mint.is_down = True
    now[0] += 31
    stranger = RSAKey.generate_key(2048, {"kid": "rsa-9"})
    is_problem(api.call("GET", PATH, mint.token(stranger)), 503, "unavailable")
    assert api.call("GET", PATH, mint.token()).status_code == 200


def test_an_issuer_that_was_never_up_lets_nobody_in_until_it_is(api: Api, mint: Mint) -> None:
    now = [1000.0]
    api.ticks = lambda: now[0]
    mint.is_down = True
    for _ in range(3):
        answer, events = api.events(lambda: api.call("GET", PATH, mint.token()))
        is_problem(answer, 503, "unavailable")
        assert events == []  # nobody failed to authenticate
    assert mint.fetched == 1
    ready = api.call("GET", "/readyz")
    assert ready.status_code == 503
    assert ready.json()["parts"] == {"database": "ok", "identity": "the keys could not be fetched"}
    mint.is_down = False
    now[0] += 2
    assert api.call("GET", PATH, mint.token()).status_code == 200
    assert api.call("GET", "/readyz").json()["parts"]["identity"] == "ok"


def test_unknown_roles_of_a_token_are_nothing(api: Api, mint: Mint) -> None:
    token = mint.token(roles=["root", "admin", "OPS_APPROVER"])
    is_problem(api.call("GET", PATH, token), 403, "not_allowed")


def test_an_ed25519_key_without_a_sound_signature_is_refused(api: Api, mint: Mint) -> None:
    stranger = OKPKey.generate_key("Ed25519", {"kid": "rsa-1"})
    token = jwt.encode(
        {"alg": "Ed25519", "kid": "rsa-1", "typ": "at+jwt"}, mint.claims(), stranger,
        algorithms=["Ed25519"],
    )  # fmt: skip
    assert api.call("GET", PATH, token).status_code == 401


def test_the_embedded_issuers_token_opens_its_api(world: World, tmp_path: Path) -> None:
    assert Api(world, tmp_path).call("GET", PATH, Role.AUDITOR).status_code == 200
