"""Sealing for workers: an ephemeral X25519 exchange with their key, HKDF-SHA-256, and AES-GCM.

The private half follows from the master secret, which only workers have; a process that seals
cannot open again, and neither can anyone who reads the database.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from control_plane.adapters.secrets.derived import derive
from control_plane.domain.errors import Unavailable

_PURPOSE: Final = "events-sealing"
_PUBLIC_BYTES: Final = 32
_NONCE: Final = bytes(12)  # each key is used once


class MasterSealing:
    """The port ``Sealing``; ``master`` gives the master secret when it is needed first."""

    def __init__(self, master: Callable[[], bytes]) -> None:
        self._master = master

    def public(self) -> tuple[str, bytes]:
        """Return id and public half of the key of this worker."""
        public = self._private().public_key().public_bytes_raw()
        return hashlib.sha256(public).hexdigest()[:16], public

    def seal(self, public: bytes, content: bytes, *, context: str) -> str:
        """Seal content for those who have the private half."""
        once = X25519PrivateKey.generate()
        shared = once.exchange(X25519PublicKey.from_public_bytes(public))
        mine = once.public_key().public_bytes_raw()
        key = derive(shared, _PURPOSE, context, mine + public)
        sealed = AESGCM(key).encrypt(_NONCE, content, context.encode())
        return base64.b64encode(mine + sealed).decode()

    def open(self, sealed: str, *, context: str) -> bytes:
        """Open what was sealed. Raises ``Unavailable`` when this process has another key."""
        content = base64.b64decode(sealed)
        theirs, rest = content[:_PUBLIC_BYTES], content[_PUBLIC_BYTES:]
        private = self._private()
        shared = private.exchange(X25519PublicKey.from_public_bytes(theirs))
        public = private.public_key().public_bytes_raw()
        key = derive(shared, _PURPOSE, context, theirs + public)
        try:
            return AESGCM(key).decrypt(_NONCE, rest, context.encode())
        except InvalidTag:
            raise Unavailable(
                "a signing secret was sealed for another master secret: rotate it"
            ) from None

    def _private(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(derive(self._master(), _PURPOSE, "private"))
