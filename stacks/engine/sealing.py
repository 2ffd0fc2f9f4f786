"""How the secrets of a stack's state are sealed, and hidden in what is shown of it.

A sealed secret is ``v1``, twelve bytes of nonce and AES-256-GCM. The key is made from the stack's
passphrase by HKDF-SHA256 (RFC 5869): that is a secret of 256 random bits which no person has chosen
or types, so nothing is gained by making its derivation slow.

A stack of an earlier release has a former passphrase as well. What that sealed is opened, and is
sealed again in the next state that is written, so that destroying the present one destroys it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from stacks.contract import Code
from stacks.engine.failures import CallFailed
from stacks.engine.values import is_secret

_VERSION = b"v1"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_FAST = 1  # level of compression: a step of the engine waits for it


class Sealer:
    """Seals and opens the secrets of one stack, whose name enters the key.

    ``former`` is the passphrase before this one: it opens and verifies, and seals nothing.
    """

    def __init__(self, passphrase: str, stack: str, former: str | None = None) -> None:
        self._cipher = AESGCM(_derived(passphrase, f"state of {stack}"))
        self._records = _derived(passphrase, f"records of {stack}")
        self.mark = _derived(passphrase, f"mark of {stack}")[:8].hex()  # tells one key from another
        self._former = None if former is None else Sealer(former, stack)

    def knows(self, mark: str) -> bool:
        """Tell whether a mark is that of this key, or of the former one."""
        return mark == self.mark or (self._former is not None and self._former.knows(mark))

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
            if self._former is not None:
                return self._former.open(sealed)
            raise CallFailed(
                Code.BACKEND, "A secret of the stack's state cannot be decrypted."
            ) from error

    def sign(self, content: bytes) -> str:
        """Return what only the owner of this key can say of this content: HMAC-SHA256, in hex."""
        return hmac.new(self._records, content, hashlib.sha256).hexdigest()

    def has_signed(self, content: bytes, mac: str) -> bool:
        """Tell whether the owner of this key, or of the former one, has signed this content."""
        if hmac.compare_digest(mac.encode(), self.sign(content).encode()):
            return True
        return self._former is not None and self._former.has_signed(content, mac)

    def resealed(self, value: Any) -> Any:
        """Return a state in which nothing is sealed with the former key.

        What neither key opens stays as it is: that a state is written matters more.
        """
        if self._former is None:
            return value
        if isinstance(value, list | tuple):
            return [self.resealed(each) for each in value]
        if not isinstance(value, Mapping):
            return value
        if is_secret(value) and isinstance(value.get("ciphertext"), str):
            with suppress(CallFailed):
                return {**value, "ciphertext": self.encrypt(self.decrypt(value["ciphertext"]))}
        return {key: self.resealed(each) for key, each in value.items()}

    def wrap(self, document: Any) -> str:
        """Return plain JSON as only this key opens it: compressed, sealed, in base64."""
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return self.encrypt(zlib.compress(text, _FAST))

    def unwrap(self, wrapped: str) -> Any:
        """Return what was wrapped. Raises ``CallFailed`` when it was with another key."""
        return json.loads(zlib.decompress(self.decrypt(wrapped)))

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
