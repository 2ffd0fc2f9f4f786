"""All keys of a control plane from one master secret.

HKDF with SHA-256 (RFC 5869) gives each purpose and subject a key of its own, so that a leaked one
opens nothing else; AES-256 in GCM (NIST SP 800-38D) seals.
"""

from __future__ import annotations

import base64
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from control_plane.domain.errors import Conflict

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_MAGIC: Final = b"TPS1"  # form and version of what seal() gives: magic, nonce, ciphertext and tag


def derive(master: bytes, purpose: str, subject: str) -> bytes:
    """Return the 32-byte key of a purpose for a subject."""
    info = f"tenantplane/{purpose}/v1\0{subject}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(master)


def passphrase(master: bytes, deployment_id: str) -> str:
    """Return the engine's passphrase of a deployment's stack, base64url."""
    return base64.urlsafe_b64encode(derive(master, "passphrase", deployment_id)).decode().strip("=")


def hmac_key(master: bytes, deployment_id: str) -> bytes:
    """Return the key that hides secrets in a deployment's state digest."""
    return derive(master, "state-hmac", deployment_id)


def seal(master: bytes, content: bytes, context: str) -> bytes:
    """Encrypt with authentication, bound to ``context``."""
    nonce = os.urandom(_NONCE_BYTES)
    cipher = AESGCM(derive(master, "seal", context))
    return _MAGIC + nonce + cipher.encrypt(nonce, content, context.encode())


def unseal(master: bytes, sealed: bytes, context: str) -> bytes:
    """Decrypt what ``seal`` made with the same context. Raises ``Conflict`` otherwise."""
    nonce, encrypted = sealed[4 : 4 + _NONCE_BYTES], sealed[4 + _NONCE_BYTES :]
    if not sealed.startswith(_MAGIC) or len(encrypted) < 16:
        raise Conflict("it was not sealed by this control plane", constraint="sealed")
    try:
        return AESGCM(derive(master, "seal", context)).decrypt(nonce, encrypted, context.encode())
    except InvalidTag:
        raise Conflict(
            "it was sealed for something else, or has changed since", constraint="sealed"
        ) from None
