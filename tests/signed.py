"""Payloads as providers post them, and their signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from control_plane.adapters.intake.keys import FileProviderKeys
from control_plane.domain.intake import IntakeRules
from control_plane.workflows.core import Core

ACCOUNT = "4e0a9d6c-1f5b-4a3e-9c27-8d1b6f0a2c55"
DOCUSIGN_KEY = "W6r5Qk1Zt0q+example/of+a+connect+key="
NEXT_DOCUSIGN_KEY = "the-next-key-is-text-too"
SIGNING_KEY = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
FIELDS = {
    "Contract number": "C-2026-0117", "Seats": "120", "Uptime": "",
    "Legal entity": "Dainese S.p.A.", "Domain": "dainese.com", "Country": "IT",
    "Time zone": "Europe/Rome", "IT admin": "Ida Admin", "IT admin e-mail": "ida@dainese.com",
    "Language": "it", "Regions": "eu-west-1",
}  # fmt: skip
CHOICES = {"Plan": "Enterprise", "Delivery": "Shared", "Data residency": "European Union",
           "Only these regions": "no"}  # fmt: skip


def envelope_of(number: int = 1) -> str:
    """Return the id of an envelope."""
    return f"9f1c0e5a-7b2d-4c3e-8f60-{number:012d}"


def docusign(
    number: int = 1, *, event: str = "envelope-completed", retry: int = 0, **changes: Any
) -> dict[str, Any]:
    """Return an event of DocuSign Connect (JSON SIM).

    ``changes`` of fields and choices are given by their names; None leaves one out.
    """
    own = {"Contract number": f"C-2026-{number:04d}", "Domain": f"c{number}.example.com"}
    given = {name: changes.pop(name) for name in list(changes) if name not in CHOICES}
    texts = {**FIELDS, **own, **given}
    choices = {**CHOICES, **changes}
    envelope = envelope_of(number)
    return {
        "event": event,
        "apiVersion": "v2.1",
        "uri": f"/restapi/v2.1/accounts/{ACCOUNT}/envelopes/{envelope}",
        "retryCount": retry,
        "configurationId": 10543210,
        "generatedDateTime": f"2026-11-20T14:03:0{retry % 10}.1230000Z",
        "data": {
            "accountId": ACCOUNT,
            "userId": "b7a1c1f0-0000-4000-8000-000000000001",
            "envelopeId": envelope,
            "envelopeSummary": {
                "status": event.removeprefix("envelope-"),
                "envelopeId": envelope,
                "completedDateTime": "2026-11-20T14:03:00.0000000Z",
                "customFields": {
                    "textCustomFields": _custom(texts),
                    "listCustomFields": _custom(choices),
                },
            },
        },
    }


def _custom(values: Mapping[str, str | None]) -> list[dict[str, Any]]:
    return [
        {"fieldId": str(place), "name": name, "show": "true", "required": "false", "value": value}
        for place, (name, value) in enumerate(values.items())
        if value is not None
    ]


def signing(number: int = 1, *, event: str = "document.signed") -> dict[str, Any]:
    """Return an event of a provider that follows Standard Webhooks."""
    return {
        "type": event,
        "timestamp": "2026-11-20T14:03:00Z",
        "data": {
            "document_id": f"doc_{number:04d}",
            "signed_at": "2026-11-20T14:03:00Z",
            "contract": {"number": f"S-{number:04d}", "plan": "enterprise", "mode": "A",
                         "seats": 120, "uptime": None},
            "company": {"legal_name": "Example Oy", "domain": f"s{number}.example.com",
                        "country": "FI", "time_zone": "Europe/Helsinki"},
            "contacts": [{"role": "it_admin", "name": "Ida", "email": "ida@example.com"}],
            "residency": {"zone": "eu", "regions": ["eu-west-1"]},
            "cloud": "aws",
        },
    }  # fmt: skip


def as_bytes(payload: Any) -> bytes:
    """Return a payload as it is posted."""
    return json.dumps(payload).encode()


def docusign_headers(body: bytes, *keys: str) -> dict[str, str]:
    """Return the signatures of DocuSign over a body, one for each key."""
    return {
        f"x-docusign-signature-{place}": _mac(key.encode(), body)
        for place, key in enumerate(keys or (DOCUSIGN_KEY,), 1)
    }


def webhook_headers(
    body: bytes, at: datetime, *, key: str = SIGNING_KEY, message_id: str = "msg_1"
) -> dict[str, str]:
    """Return the headers of Standard Webhooks over a body."""
    seconds = str(int(at.timestamp()))
    secret = base64.b64decode(key.removeprefix("whsec_"))
    signature = _mac(secret, f"{message_id}.{seconds}.".encode() + body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{signature}",
    }


def _mac(key: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def with_accounts(rules: IntakeRules, *accounts: str) -> IntakeRules:
    """Return the rules with the accounts that DocuSign may deliver for."""
    sources = dict(rules.sources)
    sources["docusign"] = replace(sources["docusign"], accounts=accounts)
    return replace(rules, sources=sources)


def install_keys(core: Core, **keys: str) -> None:
    """Install keys of providers, by default those of this module."""
    given = keys or {"docusign-1": DOCUSIGN_KEY, "signing-1": SIGNING_KEY}
    installed = core.provider_keys
    assert isinstance(installed, FileProviderKeys)
    for name, key in given.items():
        installed.install(name, key.encode())


def allowing_account(core: Core) -> Core:
    """Return a core whose rules name the account of this module."""
    intake = with_accounts(core.rules.intake, ACCOUNT)
    return replace(core, rules=replace(core.rules, intake=intake))
