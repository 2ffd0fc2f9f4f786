"""The issuer's keys: entries that cannot be used, an issuer that is slow, away, or emptied."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from api.auth import Identity
from api.claims import TokenRefused, TokenRules
from api.keys import KEYS_LIFE_SECONDS, MAX_WAITING, IssuerKeys, usable_keys
from control_plane.adapters.identity.jwks import MAX_BYTES, fetch_jwks
from control_plane.domain.errors import Unavailable

RULES: Final = TokenRules(issuer="https://idp.example", audience="tenantplane")
RSA: Final = RSAKey.generate_key(2048, {"kid": "rsa"})
EC: Final = ECKey.generate_key("P-256", {"kid": "ec"})
ED: Final = OKPKey.generate_key("Ed25519", {"kid": "ed"})
Document = Mapping[str, Any]


def public(key: Key, **changes: Any) -> dict[str, Any]:
    """Return the entry of a JWKS for a key; changes of None take a member away."""
    entry = {**key.as_dict(private=False), **changes}
    return {name: value for name, value in entry.items() if value is not None}


def token(key: Key, algorithm: str) -> str:
    """Return a good token signed with a key."""
    now = int(time.time())
    claims = {
        "iss": RULES.issuer, "aud": RULES.audience, "sub": "olga", "iat": now, "exp": now + 600,
    }  # fmt: skip
    header = {"alg": algorithm, "kid": key.kid, "typ": "at+jwt"}
    start = ".".join(_b64(json.dumps(part).encode()) for part in (header, claims))
    # as a provider signs: the library takes the two names of one algorithm for two
    model = JWSRegistry.algorithms["Ed25519" if algorithm == "EdDSA" else algorithm]
    return f"{start}.{_b64(model.sign(start.encode(), key))}"


def _b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def opens(document: Document, key: Key, algorithm: str) -> bool:
    """Tell whether a token is taken by somebody who trusts a JWKS."""
    identity = Identity(rules=RULES, fetch=lambda: document)
    try:
        return identity.actor_of(token(key, algorithm)).id == "olga"
    except TokenRefused:
        return False


def _small(bits: int) -> dict[str, Any]:
    numbers = rsa.generate_private_key(65537, bits).public_key().public_numbers()
    content = numbers.n.to_bytes(bits // 8)
    return {"kty": "RSA", "kid": "rsa", "n": base64.urlsafe_b64encode(content).decode().rstrip("="),
            "e": "AQAB"}  # fmt: skip


def _curve(curve: ec.EllipticCurve, name: str) -> dict[str, Any]:
    numbers = ec.generate_private_key(curve).public_key().public_numbers()
    size = (curve.key_size + 7) // 8
    x, y = (base64.urlsafe_b64encode(v.to_bytes(size)).decode() for v in (numbers.x, numbers.y))
    return {"kty": "EC", "kid": "ec", "crv": name, "x": x.rstrip("="), "y": y.rstrip("=")}


UNUSABLE: Final[dict[str, Any]] = {
    "a text": "key",
    "nothing": None,
    "a number": 7,
    "a list": [],
    "an empty object": {},
    "no type": public(RSA, kty=None),
    "an unknown type": {"kty": "AKP", "kid": "pq", "alg": "ML-DSA-44", "pub": "AA"},
    "a type that is a list": public(RSA, kty=["RSA"]),
    "a shared secret": {"kty": "oct", "kid": "s", "k": "c2VjcmV0"},
    "no key id": public(RSA, kid=None),
    "a key id that is a number": public(RSA, kid=7),
    "an empty key id": public(RSA, kid=""),
    "a key for encryption": public(RSA, use="enc"),
    "a use that is a list": public(RSA, use=["sig"]),
    "operations of encryption": public(RSA, key_ops=["encrypt"]),
    "no operation": public(RSA, key_ops=[]),
    "operations that are a text": public(RSA, key_ops="verify"),
    "use and operations that contradict each other": public(
        RSA, use="sig", key_ops=["verify", "encrypt"]
    ),
    "another use and operations": public(RSA, use="enc", key_ops=["verify"]),
    "an algorithm that is not accepted": public(RSA, alg="RS512"),
    "an algorithm of another type": public(RSA, alg="ES256"),
    "an algorithm that is a list": public(RSA, alg=["RS256"]),
    "RSA without a modulus": public(RSA, n=None),
    "RSA with a modulus that is a number": public(RSA, n=12345),
    "RSA with a modulus that is no base64": public(RSA, n="ä" * 400),
    "RSA with an exponent of 1": public(RSA, e="AQ"),
    "RSA with an empty exponent": public(RSA, e=""),
    "RSA of 1024 bits": _small(1024),
    "RSA padded to look longer": public(RSA, n="A" * 400 + _small(1024)["n"]),
    "a private key": dict(RSA.as_dict(private=True)),
    "an unknown curve": public(EC, crv="BP-256"),
    "secp256k1": _curve(ec.SECP256K1(), "secp256k1"),
    "P-384": _curve(ec.SECP384R1(), "P-384"),
    "another curve's point": {**_curve(ec.SECP384R1(), "P-384"), "crv": "P-256"},
    "a point beside the curve": public(EC, y=public(EC)["x"]),
    "no curve": public(EC, crv=None),
    "a curve that is a list": public(EC, crv=["P-256"]),
    "X25519": public(OKPKey.generate_key("X25519", {"kid": "x"})),
    "Ed25519 that is too short": public(ED, x="AAAA"),
    "Ed25519 without a point": public(ED, x=None),
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_a_key_that_cannot_be_used_is_skipped_with_a_reason(
    fault: str, logged: list[dict[str, Any]]
) -> None:
    good = {"rsa-2": RSAKey.generate_key(2048, {"kid": "rsa-2"})}["rsa-2"]
    document = {"keys": [UNUSABLE[fault], public(good), UNUSABLE[fault]]}
    assert opens(document, good, "RS256")
    keys, skipped = usable_keys(document)
    assert set(keys) == {"rsa-2"}
    assert len(skipped) == 2
    assert all(reason.partition(": ")[2] for reason in skipped)
    told = [event["key"] for event in logged if event["event"] == "jwks.key_skipped"]
    assert told == skipped
    assert not any(part in str(skipped) for part in (public(RSA)["n"], public(ED)["x"]))


@pytest.mark.parametrize(
    ("key", "used", "shown"),
    [
        (ED, "Ed25519", "EdDSA"), (ED, "EdDSA", "Ed25519"), (ED, "EdDSA", None),
        (ED, "Ed25519", None), (ED, "EdDSA", "EdDSA"), (ED, "Ed25519", "Ed25519"),
        (RSA, "RS256", None), (RSA, "RS256", "RS256"), (EC, "ES256", None), (EC, "ES256", "ES256"),
    ],
    ids=lambda value: str(getattr(value, "key_type", value)),
)  # fmt: skip
def test_an_algorithm_is_known_by_each_of_its_names(key: Key, used: str, shown: str | None) -> None:
    for more in ({}, {"use": "sig"}, {"key_ops": ["verify"]}, {"use": "sig", "key_ops": ["verify"]},
                 {"x5c": ["!"], "x5t": "!", "unknown": {"deep": []}}):  # fmt: skip
        assert opens({"keys": [public(key, alg=shown, **more)]}, key, used), more


def test_who_calls_is_said_at_once_only_while_the_key_is_here() -> None:
    ticks, asked = [0.0], []

    def fetch() -> Document:
        asked.append(ticks[0])
        return {"keys": [public(ED)]}

    identity = Identity(rules=RULES, fetch=fetch, ticks=lambda: ticks[0])
    good = token(ED, "Ed25519")
    assert identity.known(good) is None
    assert asked == []
    actor = identity.actor_of(good)
    assert identity.known(good) == actor
    start, _, signature = good.rpartition(".")
    assert identity.known(f"{start}.{signature[::-1]}") is None
    assert identity.known(token(EC, "ES256")) is None
    ticks[0] = KEYS_LIFE_SECONDS - 1  # it may be gone before it is used
    assert identity.known(good) is None


def test_a_token_that_was_good_is_refused_when_its_key_or_its_time_is_gone() -> None:
    ticks, now, shown = [0.0], [time.time()], [[public(ED)]]
    identity = Identity(
        rules=RULES, fetch=lambda: {"keys": shown[0]}, ticks=lambda: ticks[0], now=lambda: now[0]
    )
    good = token(ED, "Ed25519")
    actor = identity.actor_of(good)
    assert identity.actor_of(good) == identity.known(good) == actor
    now[0] += 100 * 3600
    with pytest.raises(TokenRefused, match="expired"):
        identity.actor_of(good)
    assert identity.known(good) is None
    now[0] -= 100 * 3600
    assert identity.actor_of(good) == actor
    # the issuer takes the key back, and shows another one under the same id
    shown[0] = [public(OKPKey.generate_key("Ed25519", {"kid": str(ED.kid)}))]
    ticks[0] += KEYS_LIFE_SECONDS
    with pytest.raises(TokenRefused) as refused:
        identity.actor_of(good)
    assert refused.value.reason == "signature"
    assert identity.known(good) is None


def test_two_keys_may_have_one_id() -> None:
    other = RSAKey.generate_key(2048, {"kid": "same"})
    first = RSAKey.import_key(RSA.as_dict(private=True), {"kid": "same"})
    edwards = OKPKey.generate_key("Ed25519", {"kid": "same"})
    document = {"keys": [public(first), public(edwards), public(other)]}
    assert opens(document, first, "RS256")
    assert opens(document, other, "RS256")
    assert opens(document, edwards, "EdDSA")
    assert not opens(document, RSAKey.generate_key(2048, {"kid": "same"}), "RS256")


class Issuer:
    """An issuer whose answer, speed and clock a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.answer: Any = {"keys": [public(RSA)]}
        self.fetched = 0
        self.gate = threading.Event()
        self.gate.set()

    def fetch(self) -> Any:
        self.fetched += 1
        assert self.gate.wait(30)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def keys(self) -> IssuerKeys:
        return IssuerKeys(fetch=self.fetch, ticks=lambda: self.now)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer that is let go in the end."""
    found = Issuer()
    yield found
    found.gate.set()


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_an_emptied_jwks_withdraws_the_keys(issuer: Issuer) -> None:
    keys = issuer.keys()
    assert keys.find("rsa")
    issuer.answer = {"keys": []}
    issuer.now += KEYS_LIFE_SECONDS + 1
    assert keys.find("rsa") == ()
    assert keys.problem() == ""
    issuer.answer = {"keys": [public(RSA)]}
    issuer.now += 31
    assert keys.find("rsa")


def test_a_withdrawn_key_is_dropped_beside_the_requests(issuer: Issuer) -> None:
    keys = issuer.keys()
    assert keys.find("rsa")
    issuer.answer = {"keys": [public(EC)]}
    issuer.now += 301
    assert keys.find("rsa")  # the last time: the fetch that it started withdraws the key
    _until(lambda: keys.find("rsa") == ())


@pytest.mark.parametrize(
    "answer",
    [ConnectionError("away"), {}, {"keys": None}, {"keys": {}}, {"error": "no"}, [], "x", None],
    ids=str,
)
def test_what_is_no_jwks_is_no_answer(issuer: Issuer, answer: Any) -> None:
    keys = issuer.keys()
    assert keys.find("rsa")
    issuer.answer = answer
    issuer.now += KEYS_LIFE_SECONDS - 1
    assert keys.find("rsa")
    issuer.now += 2
    with pytest.raises(Unavailable):
        keys.find("rsa")
    assert keys.problem() == "the keys could not be fetched"


def test_a_known_key_never_waits_and_an_unknown_one_not_for_long(issuer: Issuer) -> None:
    keys = issuer.keys()
    assert keys.find("rsa")
    issuer.now += 31
    issuer.gate.clear()  # the issuer hangs from now on
    with ThreadPoolExecutor(60) as pool:
        strangers = [pool.submit(keys.find, f"guess-{number}") for number in range(40)]
        _until(lambda: sum(item.done() for item in strangers) == 40 - MAX_WAITING)
        started = time.monotonic()
        for _ in range(1000):
            assert keys.find("rsa")
        issuer.now += 300  # old enough to be fetched again: still nobody waits
        assert keys.find("rsa")
        assert time.monotonic() - started < 1
        refused = [item for item in strangers if item.done()]
        assert all(isinstance(item.exception(), Unavailable) for item in refused)
        issuer.gate.set()
        waited = [item for item in strangers if item not in refused]
        assert [item.result(10) for item in waited] == [()] * MAX_WAITING
    assert issuer.fetched == 2  # one flight for all


def test_unknown_key_ids_are_looked_for_twice_a_minute_at_most(issuer: Issuer) -> None:
    keys = issuer.keys()
    for second in range(300):
        issuer.now = 1000.0 + second
        for number in range(5):
            assert keys.find(f"guess-{second}-{number}") == ()
    assert issuer.fetched == 10


class Hangs(BaseHTTPRequestHandler):
    """Answers as the path says."""

    def do_GET(self) -> None:
        content = {
            "/good": json.dumps({"keys": [public(RSA)]}).encode(),
            "/list": b"[]",
            "/text": b"<html>",
            "/large": b" " * (MAX_BYTES + 1) + b"{}",
            "/error": b"{}",
            "/moved": b"{}",
        }[self.path]
        status = {"/error": 500, "/moved": 302}.get(self.path, 200)
        self.send_response(status)
        self.send_header("Location", "/good")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """The URL of an identity provider."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hangs)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_jwks_is_fetched_and_what_is_none_is_refused(provider: str) -> None:
    assert set(usable_keys(fetch_jwks(f"{provider}/good"))[0]) == {"rsa"}
    for path in ("list", "text", "large"):
        with pytest.raises(ValueError):
            fetch_jwks(f"{provider}/{path}")
    for path in ("error", "moved"):
        with pytest.raises(httpx.HTTPError):
            fetch_jwks(f"{provider}/{path}")
    with pytest.raises(httpx.HTTPError):
        fetch_jwks("http://127.0.0.1:9/away")
