"""Minisign signatures (prehashed Ed25519), as Debian's ``minisign`` verifies them.

Format: https://jedisct1.github.io/minisign/. A signature file has four lines: a comment, base64 of
``ED`` + key id + signature over BLAKE2b-512 of the file, a trusted comment, and base64 of a
signature over the first signature followed by the trusted comment.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from control_plane.adapters.audit.note import Signer

_KEY: Final = b"Ed"
_PREHASHED: Final = b"ED"
_UNTRUSTED: Final = "untrusted comment: "
_TRUSTED: Final = "trusted comment: "


class SignatureInvalid(ValueError):
    """A signature does not belong to these bytes and this key."""


@dataclass(frozen=True)
class MinisignKey:
    """A signing key. Its id is derived from the public key, so that one file is enough."""

    signer: Signer

    @property
    def key_id(self) -> bytes:
        """The 8 bytes that name the key."""
        return hashlib.sha256(b"tenantplane/bundle-key\0" + self.signer.public_key).digest()[:8]

    def public_file(self) -> str:
        """Return the public key file."""
        name = self.key_id[::-1].hex().upper()
        line = _b64(_KEY + self.key_id + self.signer.public_key)
        return f"{_UNTRUSTED}minisign public key {name}\n{line}\n"

    def sign(self, content: bytes, trusted: str) -> str:
        """Return the signature file of ``content``; ``trusted`` is signed too, one line."""
        if "\n" in trusted:
            raise ValueError("a trusted comment must be one line")
        first = self.signer.sign(hashlib.blake2b(content).digest())
        second = self.signer.sign(first + trusted.encode())
        return (
            f"{_UNTRUSTED}signature of a tenantplane bundle\n"
            f"{_b64(_PREHASHED + self.key_id + first)}\n"
            f"{_TRUSTED}{trusted}\n{_b64(second)}\n"
        )


def verify(public_file: str, signature_file: str, content: bytes) -> str:
    """Return the trusted comment. Raises ``SignatureInvalid``."""
    try:
        key = base64.b64decode(public_file.splitlines()[1], validate=True)
        lines = signature_file.splitlines()
        first = base64.b64decode(lines[1], validate=True)
        second = base64.b64decode(lines[3], validate=True)
    except (IndexError, ValueError) as error:
        raise SignatureInvalid("not a signature") from error
    shape = (
        len(key) == 42 and key[:2] == _KEY and len(first) == 74 and first[:2] == _PREHASHED
        and first[2:10] == key[2:10] and lines[2].startswith(_TRUSTED)
    )  # fmt: skip
    if not shape:
        raise SignatureInvalid("the signature belongs to another key or has another type")
    trusted = lines[2].removeprefix(_TRUSTED)
    public = Ed25519PublicKey.from_public_bytes(key[10:])
    try:
        public.verify(first[10:], hashlib.blake2b(content).digest())
        public.verify(second, first[10:] + trusted.encode())
    except InvalidSignature as error:
        raise SignatureInvalid("the signature does not match these bytes") from error
    return trusted


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()
