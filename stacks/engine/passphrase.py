"""The engine's passphrase encryption, read in memory.

Format, from pulumi 3.259.0 (``sdk/go/common/resource/config/crypt.go`` and
``pkg/secrets/passphrase``): a stack's salt is ``v1:<base64 salt>:<ciphertext of "pulumi">``; a
ciphertext is ``v1:<base64 nonce>:<base64 AES-256-GCM>``; the key is PBKDF2-HMAC-SHA256 of the
passphrase over 1,000,000 iterations.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stacks.contract import Code
from stacks.engine.failures import CallFailed

ITERATIONS = 1_000_000
KEY_BYTES = 32

_PROOF = b"pulumi"


class Crypter:
    """Decrypts the ciphertexts of one stack; the key is derived at the first use (0.3 s)."""

    def __init__(self, passphrase: str, salt: str | None) -> None:
        self._passphrase = passphrase
        self._salt = salt
        self._cipher: AESGCM | None = None

    def decrypt(self, ciphertext: str) -> bytes:
        """Return the plain bytes. Raises ``CallFailed`` when key or ciphertext are not right."""
        try:
            return _open(self._key(), ciphertext)
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise CallFailed(
                Code.BACKEND, "A secret of the stack's state cannot be decrypted."
            ) from error

    def _key(self) -> AESGCM:
        if self._cipher is None:
            self._cipher = _derive(self._passphrase, self._salt)
        return self._cipher


class Hider:
    """Replaces ciphertexts by what distinguishes two secrets without revealing them."""

    def __init__(self, crypter: Crypter, hmac_key: str) -> None:
        self.crypter = crypter
        self._key = bytes.fromhex(hmac_key)

    def hide(self, ciphertext: str) -> str:
        """Return ``hmac-sha256:<hex>`` of the secret: equal for equal secrets of a deployment."""
        plain = self.crypter.decrypt(ciphertext)
        return "hmac-sha256:" + hmac.new(self._key, plain, hashlib.sha256).hexdigest()


def _derive(passphrase: str, salt: str | None) -> AESGCM:
    try:
        if salt is None:
            raise ValueError("the stack has no salt")  # noqa: TRY301 - told below in one place
        version, encoded, proof = salt.split(":", 2)
        if version != "v1":
            raise ValueError("unknown version of the salt")  # noqa: TRY301 - see above
        key = hashlib.pbkdf2_hmac(
            "sha256", passphrase.encode(), base64.b64decode(encoded), ITERATIONS, KEY_BYTES
        )
        cipher = AESGCM(key)
    except (ValueError, binascii.Error) as error:
        raise CallFailed(Code.BACKEND, "The salt of the stack is invalid.") from error
    try:
        if _open(cipher, proof) != _PROOF:
            raise ValueError("another proof")  # noqa: TRY301 - told below in one place
    except (InvalidTag, ValueError, binascii.Error) as error:
        raise CallFailed(Code.PASSPHRASE, "The passphrase does not match the stack.") from error
    return cipher


def _open(cipher: AESGCM, ciphertext: str) -> bytes:
    version, nonce, sealed = ciphertext.split(":")
    if version != "v1":
        raise ValueError("unknown version of a ciphertext")
    return cipher.decrypt(base64.b64decode(nonce), base64.b64decode(sealed), None)
