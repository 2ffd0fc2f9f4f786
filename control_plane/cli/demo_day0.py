"""The hour after a signature, as the demo shows it: the contract, the steps, the messages."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from control_plane.adapters.intake.keys import FileProviderKeys
from control_plane.adapters.systems.opening import RECORDED
from control_plane.cli import output
from control_plane.cli.telling import say

if TYPE_CHECKING:
    from control_plane.cli.demo import Demo

ACCOUNT: Final = "b6f1c2d4-3e5a-4f60-8a7b-9c0d1e2f3a4b"  # of DocuSign; the demo's own
_KEY_NAME: Final = "docusign-1"
_NO_ACCOUNT: Final = "accounts: []"
_DELIVERIES: Final = {"A": "Shared", "B": "Dedicated", "C": "Customer account"}
_LANGUAGES: Final = {"IT": "it", "DE": "de"}
_SECONDS: Final = 60.0
_UNDER_WAY: Final = frozenset({"waiting", "scheduled", "working"})
_BY_PEOPLE: Final = "kickoff"  # what the journey waits for in the end: people meet


def rules_with_account(source: Path, folder: Path) -> Path:
    """Copy the rules, and name the demo's account among those whose contracts are taken."""
    copied = folder / "rules"
    shutil.copytree(source, copied)
    file = copied / "intake.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(_NO_ACCOUNT, f"accounts: [{ACCOUNT}]"), encoding="utf-8")
    return copied


def install_key(keys_folder: Path) -> bytes:
    """Install a new key of DocuSign Connect, as `tenantctl keys intake` does, and return it."""
    key = secrets.token_urlsafe(32).encode()
    FileProviderKeys(keys_folder).install(_KEY_NAME, key)
    return key


def envelope(mode: str, company: tuple[str, str, str, str], region: str) -> dict[str, Any]:
    """Return the event of DocuSign Connect (JSON SIM) of a contract that everybody has signed."""
    name, domain, country, zone = company
    texts = {
        "Contract number": f"C-2026-{ord(mode):04d}", "Seats": "120", "Legal entity": name,
        "Domain": domain, "Country": country, "Time zone": zone, "Regions": region,
        "Language": _LANGUAGES.get(country, "en"),
        "IT admin": "Ida Admin", "IT admin e-mail": f"ida@{domain}",
        "Executive sponsor": "Edda Sponsor", "Executive sponsor e-mail": f"edda@{domain}",
        "Business sponsor": "Bo Sponsor", "Business sponsor e-mail": f"bo@{domain}",
    }  # fmt: skip
    choices = {
        "Plan": "Enterprise", "Delivery": _DELIVERIES[mode], "Data residency": "European Union",
        "Only these regions": "no",
    }  # fmt: skip
    signed_at = time.strftime("%Y-%m-%dT%H:%M:%S.0000000Z", time.gmtime())
    return {
        "event": "envelope-completed",
        "apiVersion": "v2.1",
        "generatedDateTime": signed_at,
        "data": {
            "accountId": ACCOUNT,
            "envelopeId": f"5d1f0c7e-0000-4000-8000-{ord(mode):012d}",
            "envelopeSummary": {
                "status": "completed",
                "completedDateTime": signed_at,
                "customFields": {
                    "textCustomFields": _fields(texts),
                    "listCustomFields": _fields(choices),
                },
            },
        },
    }


def _fields(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def deliver(demo: Demo, key: bytes, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Post a signed contract as its provider would, and return the request that it became."""
    body = json.dumps(payload, ensure_ascii=False).encode()
    signature = base64.b64encode(hmac.digest(key, body, hashlib.sha256)).decode()
    headers = {"Content-Type": "application/json", "X-DocuSign-Signature-1": signature}
    with httpx.Client(trust_env=False, timeout=_SECONDS) as client:
        answer = client.post(
            f"{demo.running.url}/v1/intake/docusign", content=body, headers=headers
        )
    answer.raise_for_status()
    path = f"/v1/deliveries/{answer.json()['delivery_id']}"
    ops = demo.api["ops"]
    found = demo.until(lambda: ops.get(path), {"accepted", "held", "refused", "ignored"})
    if found["status"] != "accepted":
        demo.fault(f"the contract is {found['status']}: {found['error']}")
    request: dict[str, Any] = demo.api["automation"].get(
        f"/v1/provisioning-requests/{found['request_id']}"
    )
    return request


def show_journey(demo: Demo, tenant: Mapping[str, Any]) -> None:
    """Wait until the product has done its part of Day 0, and show every step."""
    path, admin = f"/v1/tenants/{tenant['id']}/journey", demo.api["admin"]
    deadline = time.monotonic() + _SECONDS
    while True:
        journey = admin.get(path)
        if not any(step["status"] in _UNDER_WAY for step in journey["steps"]):
            break
        if time.monotonic() > deadline:
            demo.fault(f"Day 0 of {tenant['slug']} is not over after a minute")
            break
        time.sleep(0.2)
    for step in journey["steps"]:
        why = step["reason"] or (step["error"] or {}).get("message") or ""
        say(f"    {step['status']:8} {step['title']}{f' ({why})' if why else ''}")
    wrong = [step["key"] for step in journey["steps"] if step["status"] in {"failed", "canceled"}]
    left = [step["key"] for step in journey["steps"] if step["status"] == "asked"]
    if wrong or left != [_BY_PEOPLE]:
        demo.fault(f"Day 0 of {tenant['slug']}: wrong {wrong}, waits for people {left}")


def show_messages(demo: Demo) -> None:
    """Name the messages that were sent; they lie as files in the demo's folder."""
    folder = demo.running.settings.home / RECORDED / "mail"
    mails = sorted(folder.glob("*.txt"))
    for mail in mails:
        named = mail.stem.partition(" ")[2].rpartition(" ")[0]  # between its time and its id
        say(f"    {output.clean(named)}")
    say(f"  {len(mails)} messages, readable in {folder}")
    if not mails:
        demo.fault("no message was sent")
