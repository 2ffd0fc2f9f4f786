"""What a provider posts, read: one event about one envelope, whichever form it came in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain import spellings
from control_plane.domain.intake import IntakeSource, SourceKind
from control_plane.domain.intake_errors import DeliveryUnreadable
from control_plane.domain.json_paths import JsonPath, Several

DOCUSIGN_ACCOUNT: Final = JsonPath.read("data.accountId")
DOCUSIGN_ENVELOPE: Final = JsonPath.read("data.envelopeId")
DOCUSIGN_EVENT: Final = JsonPath.read("event")
# what DocuSign changes when it posts an event again, and which configuration posts it
_OF_THE_ATTEMPT: Final = frozenset({"configurationId", "generatedDateTime", "retryCount"})
_LONGEST: Final = 200  # of an event's name; an account's and an envelope's are names


@dataclass(frozen=True, kw_only=True)
class Glance:
    """What a delivery is about, as far as it can be seen at once."""

    dedupe_key: str
    account: str | None = None
    envelope_id: str | None = None
    event: str | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event about one envelope. ``account`` is None where the source names none."""

    account: str | None
    envelope_id: str
    name: str
    payload: Mapping[str, Any]


def glance(source: IntakeSource, body: bytes) -> Glance:
    """Return what a body is about; one that cannot be read is only like its equal bytes."""
    try:
        payload = _object(source, body)
        lasting = _lasting(source, payload)
    except (DeliveryUnreadable, RecursionError):
        return Glance(dedupe_key=_key(source, body))
    return Glance(
        dedupe_key=_key(source, lasting),
        account=_identifier(payload, source.account_path),
        envelope_id=_identifier(payload, source.envelope_path),
        event=_event_name(payload, source.event_path),
    )


def event_of(source: IntakeSource, body: bytes) -> Event:
    """Return the event of a body. Raises ``DeliveryUnreadable`` naming what is missing."""
    payload = _object(source, body)
    name = _event_name(payload, source.event_path)
    if name is None:
        raise _missing("the name of an event", source.event_path)
    envelope_id = _identifier(payload, source.envelope_path)
    if envelope_id is None:
        raise _missing("the id of an envelope", source.envelope_path)
    account = _identifier(payload, source.account_path)
    if account is None and source.account_path is not None:
        raise _missing("the provider's account", source.account_path)
    return Event(account=account, envelope_id=envelope_id, name=name, payload=payload)


def _missing(what: str, path: JsonPath) -> DeliveryUnreadable:
    return DeliveryUnreadable(f"{path.text} does not hold {what}")


def _object(source: IntakeSource, body: bytes) -> dict[str, Any]:
    """Return the object of a body: numbers with a fraction stay texts, as they were written."""
    try:
        found = json.loads(body.decode(), parse_float=str, object_pairs_hook=_pairs)
    except (ValueError, RecursionError):
        raise DeliveryUnreadable("the content is not JSON in UTF-8") from None
    if isinstance(found, list):
        raise DeliveryUnreadable("the content is a list; one event is expected in each message")
    if not isinstance(found, dict):
        raise DeliveryUnreadable("the content is not a JSON object")
    return _as_sim(found) if source.kind is SourceKind.DOCUSIGN else found


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name repeats")  # readers would disagree on what it means
    return found


def _as_sim(found: dict[str, Any]) -> dict[str, Any]:
    """Return an aggregate message of DocuSign in the form of JSON SIM.

    An aggregate is the envelope itself, with its status when the message was sent
    (https://developers.docusign.com/platform/webhooks/connect/legacy-message-formats).
    """
    status = found.get("status")
    if "event" in found or "envelopeId" not in found or not isinstance(status, str):
        return found
    sender = found.get("sender")
    account = sender.get("accountId") if isinstance(sender, Mapping) else None
    return {
        "event": f"envelope-{status.lower()}",
        "data": {
            "accountId": found.get("accountId", account),
            "envelopeId": found["envelopeId"],
            "envelopeSummary": found,
        },
    }


def _lasting(source: IntakeSource, payload: Mapping[str, Any]) -> bytes:
    is_docusign = source.kind is SourceKind.DOCUSIGN
    lasting = {
        name: value
        for name, value in payload.items()
        if not (is_docusign and name in _OF_THE_ATTEMPT)
    }
    return json.dumps(lasting, sort_keys=True, separators=(",", ":")).encode()


def _key(source: IntakeSource, content: bytes) -> str:
    return hashlib.sha256(source.key.encode() + b"\0" + content).hexdigest()


def _at(payload: Mapping[str, Any], path: JsonPath | None) -> Any:
    if path is None:
        return None
    try:
        return path.of(payload)
    except Several:
        return None


def _identifier(payload: Mapping[str, Any], path: JsonPath | None) -> str | None:
    found = _at(payload, path)
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    if not isinstance(found, str):
        return None
    try:
        return spellings.identifier(found)
    except ValueError:
        return None


def _event_name(payload: Mapping[str, Any], path: JsonPath) -> str | None:
    found = _at(payload, path)
    if not isinstance(found, str):
        return None
    try:
        return spellings.name(found)[:_LONGEST]
    except ValueError:
        return None
