"""How the secrets of a stack's state are sealed, and hidden in what is shown of it.

A sealed secret is ``v1``, twelve bytes of nonce and AES-256-GCM. The key is made from the stack's
passphrase by HKDF-SHA256 (RFC 5869): that is a secret of 256 random bits which no person has chosen
or types, so nothing is gained by making its derivation slow.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from stacks.contract import Code
from stacks.engine.failures import CallFailed

_VERSION = b"v1"
_KEY_BYTES = 32
_NONCE_BYTES = 12


class Sealer:
    """Seals and opens the secrets of one stack, whose name enters the key."""

    def __init__(self, passphrase: str, stack: str) -> None:
        self._cipher = AESGCM(_derived(passphrase, f"state of {stack}"))
        self._records = _derived(passphrase, f"records of {stack}")
        self.mark = _derived(passphrase, f"mark of {stack}")[:8].hex()  # tells one key from another

    def seal(self, plain: bytes) -> bytes:
        """Return what only this key opens; equal secrets are sealed differently."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, plain, None)

    def open(self, sealed: bytes) -> bytes:
        """Return the secret. Raises ``CallFailed`` when it was sealed otherwise."""
        start = len(_VERSION)
        nonce, text = sealed[start : start + _NONCE_BYTES], sealed[start + _NONCE_BYTES :]
        try:
            if not sealed.startswith(_VERSION):
                raise ValueError("unknown version")  # noqa: TRY301 - told below in one place
            return self._cipher.decrypt(nonce, text, None)
        except (InvalidTag, ValueError) as error:
            raise CallFailed(
                Code.BACKEND, "A secret of the stack's state cannot be decrypted."
            ) from error

    def sign(self, content: bytes) -> str:
        """Return what only the owner of this key can say of this content: HMAC-SHA256, in hex."""
        return hmac.new(self._records, content, hashlib.sha256).hexdigest()

    def encrypt(self, plain: bytes) -> str:
        """Return a secret as a state holds it, in base64."""
        return base64.b64encode(self.seal(plain)).decode()

    def decrypt(self, ciphertext: str) -> bytes:
        """Return a secret as a state holds it, in base64. Raises as ``open`` does."""
        try:
            return self.open(base64.b64decode(ciphertext, validate=True))
        except ValueError as error:
            raise CallFailed(
                Code.BACKEND, "A secret of the stack's state cannot be decrypted."
            ) from error


class Hider:
    """Replaces secrets by what distinguishes two of them without revealing them."""

    def __init__(self, sealer: Sealer, hmac_key: str) -> None:
        self._sealer = sealer
        self._key = bytes.fromhex(hmac_key)

    def hide(self, secret: Mapping[str, Any]) -> str | bool:
        """Return ``hmac-sha256:<hex>`` of a marked secret: equal for equal ones of a deployment.

        One that is neither encrypted nor in the open is masked: True.
        """
        if isinstance(ciphertext := secret.get("ciphertext"), str):
            plain = self._sealer.decrypt(ciphertext)
        elif "value" in secret:
            plain = json.dumps(secret["value"], sort_keys=True, separators=(",", ":")).encode()
        else:
            return True
        return "hmac-sha256:" + hmac.new(self._key, plain, hashlib.sha256).hexdigest()


def _derived(passphrase: str, purpose: str) -> bytes:
    kdf = HKDF(SHA256(), length=_KEY_BYTES, salt=None, info=f"tenantplane {purpose}".encode())
    return kdf.derive(passphrase.encode())
