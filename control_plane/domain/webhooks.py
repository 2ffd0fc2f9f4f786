"""Signing what goes out, as Standard Webhooks says (https://www.standardwebhooks.com, 1.0.0)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final

PREFIX: Final = "whsec_"


def secret_text(key: bytes) -> str:
    """Return a key as receivers configure it."""
    return PREFIX + base64.b64encode(key).decode()


def signed_headers(
    message_id: str, now: datetime, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """Return the three headers of a message; one signature for each key, the newest first.

    ``now`` is aware, and the time of this attempt.
    """
    seconds = str(int(now.timestamp()))
    content = f"{message_id}.{seconds}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        for key in keys
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(signatures),
    }
