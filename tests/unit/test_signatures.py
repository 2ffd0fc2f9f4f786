"""Signatures of providers: over the raw bytes, by any active key, and by nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from control_plane.domain.signatures import (
    docusign_key,
    standard_webhooks_key,
    standard_webhooks_secret,
)
from tests.signed import (
    DOCUSIGN_KEY,
    NEXT_DOCUSIGN_KEY,
    SIGNING_KEY,
    as_bytes,
    docusign,
    docusign_headers,
    signing,
    webhook_headers,
)

NOW = datetime(2026, 11, 20, 14, 5, tzinfo=UTC)
BODY = as_bytes(docusign())
KEYS = {"one": DOCUSIGN_KEY.encode(), "two": NEXT_DOCUSIGN_KEY.encode()}
HOOK = as_bytes(signing())
SECRETS = {"one": standard_webhooks_secret(SIGNING_KEY)}


def test_docusign_signs_as_its_documentation_says() -> None:
    # made with OpenSSL: printf '{"a":1}' | openssl dgst -sha256 -hmac key -binary | base64
    headers = {"x-docusign-signature-1": "iKZ/JLvNrtDmyZdAS7eadDuvRMa6svTCcyjjAJ0i40I="}
    assert docusign_key(headers, b'{"a":1}', {"k": b"key"}) == "k"


@pytest.mark.parametrize(("signers", "name"), [
    ((DOCUSIGN_KEY,), "one"), ((NEXT_DOCUSIGN_KEY,), "two"),
    (("retired", DOCUSIGN_KEY), "one"), (("retired", "older", NEXT_DOCUSIGN_KEY), "two"),
])  # fmt: skip
def test_any_signature_by_any_active_key_is_taken(signers: tuple[str, ...], name: str) -> None:
    assert docusign_key(docusign_headers(BODY, *signers), BODY, KEYS) == name


def test_the_hundredth_signature_counts_and_a_next_one_does_not() -> None:
    (right,) = docusign_headers(BODY).values()
    assert docusign_key({"x-docusign-signature-100": right}, BODY, KEYS) == "one"
    assert docusign_key({"x-docusign-signature-101": right}, BODY, KEYS) is None


def _base64_of_hex(body: bytes) -> str:
    found = hmac.new(DOCUSIGN_KEY.encode(), body, hashlib.sha256).hexdigest()
    return base64.b64encode(found.encode()).decode()


def _key_as_base64(body: bytes) -> str:
    key = base64.b64decode(DOCUSIGN_KEY + "==")
    return base64.b64encode(hmac.new(key, body, hashlib.sha256).digest()).decode()


@pytest.mark.parametrize("sign", [
    _base64_of_hex, _key_as_base64, lambda _: "", lambda _: "not base64 at all", lambda _: "é",
    lambda body: hmac.new(DOCUSIGN_KEY.encode(), body, hashlib.sha256).hexdigest(),
])  # fmt: skip
def test_a_signature_of_another_form_is_refused(sign: Callable[[bytes], str]) -> None:
    assert docusign_key({"x-docusign-signature-1": sign(BODY)}, BODY, KEYS) is None


@pytest.mark.requirement("J-014")
def test_a_body_that_was_written_again_or_altered_is_refused() -> None:
    headers = docusign_headers(BODY)
    assert docusign_key(headers, json.dumps(json.loads(BODY), indent=1).encode(), KEYS) is None
    assert docusign_key(headers, BODY.replace(b"120", b"121"), KEYS) is None
    assert docusign_key({}, BODY, KEYS) is None
    assert docusign_key(headers, BODY, {}) is None


@pytest.mark.parametrize("seconds", [0, 299, -299])
def test_standard_webhooks_within_five_minutes_are_taken(seconds: int) -> None:
    headers = webhook_headers(HOOK, NOW - timedelta(seconds=seconds))
    assert standard_webhooks_key(headers, HOOK, SECRETS, NOW) == "one"


@pytest.mark.parametrize("seconds", [300, -300, 3600, -3600])
def test_standard_webhooks_that_are_older_or_newer_are_refused(seconds: int) -> None:
    headers = webhook_headers(HOOK, NOW - timedelta(seconds=seconds))
    assert standard_webhooks_key(headers, HOOK, SECRETS, NOW) is None


@pytest.mark.parametrize("wrong", [
    {"webhook-id": ""}, {"webhook-id": "msg_2"}, {"webhook-timestamp": ""},
    {"webhook-timestamp": "now"}, {"webhook-timestamp": "1e9"},
    {"webhook-timestamp": "999999999999"}, {"webhook-signature": ""},
    {"webhook-signature": "v2,AAAA"}, {"webhook-signature": "AAAA"},
])  # fmt: skip
def test_standard_webhooks_without_one_of_their_headers_are_refused(wrong: dict[str, str]) -> None:
    headers = {**webhook_headers(HOOK, NOW), **wrong}
    assert standard_webhooks_key(headers, HOOK, SECRETS, NOW) is None


@pytest.mark.parametrize("separator", [" ", ",", ", "])
def test_standard_webhooks_may_carry_several_signatures(separator: str) -> None:
    other = webhook_headers(HOOK, NOW, key="whsec_" + "A" * 32)["webhook-signature"]
    headers = webhook_headers(HOOK, NOW)
    several = separator.join((other, headers["webhook-signature"], "v1a,unknown"))
    assert standard_webhooks_key({**headers, "webhook-signature": several}, HOOK, SECRETS, NOW)


def test_the_vector_of_the_specification_is_taken() -> None:
    # https://github.com/standard-webhooks/standard-webhooks: the example of its libraries
    body = b'{"test": 2432232314}'
    secrets = {"s": standard_webhooks_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert standard_webhooks_key(headers, body, secrets, datetime.fromtimestamp(1614265330, UTC))


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_AAAA", "whsec_!!!!", "with a space in it"])
def test_a_secret_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        standard_webhooks_secret(text)
