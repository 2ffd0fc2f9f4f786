"""All keys of a control plane from one master secret.

HKDF with SHA-256 (RFC 5869) gives each purpose and subject a key of its own, so that a leaked one
opens nothing else.
"""

from __future__ import annotations

import base64
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32


def derive(master: bytes, purpose: str, subject: str, salt: bytes | None = None) -> bytes:
    """Return the 32-byte key of a purpose for a subject.

    With a random ``salt`` nobody makes it again who has the master secret alone.
    """
    info = f"tenantplane/{purpose}/v1\0{subject}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(master)


def passphrase(master: bytes, deployment_id: str, salt: bytes | None = None) -> str:
    """Return the engine's passphrase of a deployment's stack, base64url."""
    key = derive(master, "passphrase", deployment_id, salt)
    return base64.urlsafe_b64encode(key).decode().strip("=")


def hmac_key(master: bytes, deployment_id: str, salt: bytes | None = None) -> bytes:
    """Return the key that hides secrets in a deployment's state digest."""
    return derive(master, "state-hmac", deployment_id, salt)
