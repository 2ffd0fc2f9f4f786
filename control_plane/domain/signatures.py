"""Signatures of providers over what they post. Every comparison takes the same time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

TOLERANCE: Final = timedelta(minutes=5)  # of a Standard Webhooks timestamp, either way
MOST_SIGNATURES: Final = 100  # DocuSign sends one for each of up to 100 keys
_DOCUSIGN: Final = re.compile(r"x-docusign-signature-([1-9][0-9]?|100)")
_PREFIX: Final = "whsec_"
_SECONDS: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


def docusign_key(headers: Mapping[str, str], body: bytes, keys: Mapping[str, bytes]) -> str | None:
    """Return the name of the key that one of the signatures of DocuSign Connect was made with.

    A signature is the base64 of the binary HMAC-SHA256 of the raw body; the key is text and taken
    as it is (https://developers.docusign.com/platform/webhooks/connect/validate). Header names are
    in lower case.
    """
    given = [value for name, value in headers.items() if _DOCUSIGN.fullmatch(name)]
    return _made_with(given[:MOST_SIGNATURES], body, keys)


def standard_webhooks_key(
    headers: Mapping[str, str], body: bytes, keys: Mapping[str, bytes], now: datetime
) -> str | None:
    """Return the name of the key that one of the signatures was made with.

    They are over ``id.timestamp.body`` (https://www.standardwebhooks.com, 1.0.0). A timestamp that
    differs from ``now`` by five minutes or more is refused. Several signatures are separated by
    spaces; those of other versions than v1 are ignored. A proxy may have joined several
    headers with commas.
    """
    message_id, seconds = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not _SECONDS.fullmatch(seconds):
        return None
    try:
        sent = datetime.fromtimestamp(int(seconds), tz=UTC)
    except (OverflowError, ValueError):
        return None
    if not -TOLERANCE < now - sent < TOLERANCE:
        return None
    given = re.findall(r"(?:^|[ ,])v1,([A-Za-z0-9+/=]+)", headers.get("webhook-signature", ""))
    content = f"{message_id}.{seconds}.".encode() + body
    return _made_with(given[:MOST_SIGNATURES], content, keys)


def standard_webhooks_secret(text: str) -> bytes:
    """Return the bytes of a secret of Standard Webhooks: ``whsec_`` and base64.

    Raises ``ValueError`` with a sentence.
    """
    encoded = text.removeprefix(_PREFIX)
    try:
        found = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        found = b""
    if len(found) < 16:
        raise ValueError("must be whsec_ and the base64 of at least 16 bytes")
    return found


def _made_with(given: list[str], content: bytes, keys: Mapping[str, bytes]) -> str | None:
    """Return the key that made one of the signatures; as long for a wrong one as for a right."""
    made = None
    for name, key in keys.items():
        digest = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest())
        for signature in given:
            if hmac.compare_digest(digest, signature.strip().encode()) and made is None:
                made = name
    return made
