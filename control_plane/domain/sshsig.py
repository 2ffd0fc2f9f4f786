"""Signatures of OpenSSH over a message, as ``ssh-keygen -Y sign`` makes them, read strictly.

Source: OpenSSH, PROTOCOL.sshsig (version 1). Only ssh-ed25519 with SHA-512 is taken. What Ed25519
itself computes comes in as an argument: the domain knows no library for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Callable
from typing import Final

KIND: Final = "ssh-ed25519"
MAGIC: Final = b"SSHSIG"
HASH: Final = b"sha512"
MAX_BYTES: Final = 4096  # of a signature; those of Ed25519 take about 200
_VERSION: Final = 1
_ARMOR: Final = re.compile(
    r"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)-----END SSH SIGNATURE-----\n?\Z"
)

VerifyEd25519 = Callable[[bytes, bytes, bytes], bool]  # public key, message, signature


class SshInvalid(ValueError):
    """A key or signature is malformed, of another kind, or of something else; says which."""


def public_key_of(line: str) -> str:
    """Return ``ssh-ed25519 <base64>`` of a line of a ``.pub`` file, without its comment.

    Raises ``SshInvalid`` for any other kind of key.
    """
    words = line.split()
    if len(words) < 2:
        raise SshInvalid("this is not a public key of OpenSSH; give the file that ends with .pub")
    kind, text = words[:2]
    if kind != KIND:
        raise SshInvalid(
            f"a key of the kind {kind[:40]} is not taken, only {KIND}; "
            "make one with: ssh-keygen -t ed25519"
        )
    _key_of(_base64(text, "the public key"))
    return f"{kind} {text}"


def fingerprint(public_key: str) -> str:
    """Return the fingerprint of a key, as ``ssh-keygen -l`` shows it: ``SHA256:<base64>``."""
    blob = _base64(public_key.split()[1], "the public key")
    return _fingerprint(blob)


def verify(
    statement: str, signature: str, *, namespace: str, check: VerifyEd25519
) -> tuple[str, str]:
    """Return the key that signed a statement, as in a ``.pub`` file, and its fingerprint.

    ``signature`` is the base64 of the signature's blob. Raises ``SshInvalid``.
    """
    blob = _base64(signature, "the signature")
    if blob[: len(MAGIC)] != MAGIC or len(blob) < len(MAGIC) + 4:
        raise SshInvalid("the signature is not one of ssh-keygen -Y sign")
    (version,) = struct.unpack(">I", blob[len(MAGIC) : len(MAGIC) + 4])
    if version != _VERSION:
        raise SshInvalid("the signature has an unknown version")
    public, given, reserved, algorithm, signed = _strings(blob[len(MAGIC) + 4 :], 5)
    if given != namespace.encode():
        raise SshInvalid(f"the signature is not of the namespace {namespace}")
    if reserved or algorithm != HASH:
        raise SshInvalid(f"the signature must be made with {HASH.decode()}")
    kind, value = _strings(signed, 2)
    if kind != KIND.encode() or len(value) != 64:
        raise SshInvalid(f"the signature is not one of a key of the kind {KIND}")
    if not check(_key_of(public), signed_bytes(statement, namespace), value):
        raise SshInvalid("the signature does not match the statement")
    return f"{KIND} {base64.b64encode(public).decode()}", _fingerprint(public)


def signed_bytes(statement: str, namespace: str) -> bytes:
    """Return the bytes that the key signs for a statement."""
    parts = (namespace.encode(), b"", HASH, hashlib.sha512(statement.encode()).digest())
    return MAGIC + b"".join(struct.pack(">I", len(part)) + part for part in parts)


def unarmored(text: str) -> str:
    """Return the base64, on one line, of what ``ssh-keygen -Y sign`` writes.

    Raises ``SshInvalid``.
    """
    found = _ARMOR.match(text.replace("\r\n", "\n"))
    if found is None:
        raise SshInvalid("ssh-keygen wrote no signature")
    return found[1].replace("\n", "")


def armored(signature: str) -> str:
    """Return a signature as ``ssh-keygen -Y verify`` reads it."""
    lines = [signature[start : start + 70] for start in range(0, len(signature), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def _fingerprint(blob: bytes) -> str:
    text = base64.b64encode(hashlib.sha256(blob).digest()).decode()
    return f"SHA256:{text.rstrip('=')}"


def _key_of(blob: bytes) -> bytes:
    kind, key = _strings(blob, 2)
    if kind != KIND.encode() or len(key) != 32:
        raise SshInvalid(f"the public key is not one of the kind {KIND}")
    return key


def _strings(blob: bytes, count: int) -> list[bytes]:
    """Return the strings that a blob consists of, exactly so many and nothing after them."""
    found = []
    for _ in range(count):
        size = struct.unpack(">I", blob[:4])[0] if len(blob) >= 4 else -1
        if not 0 <= size <= len(blob) - 4:
            raise SshInvalid("the key or signature is cut off")
        found.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    if blob:
        raise SshInvalid("the key or signature is followed by something else")
    return found


def _base64(text: str, what: str) -> bytes:
    if len(text) > MAX_BYTES:
        raise SshInvalid(f"{what} is too long")
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SshInvalid(f"{what} is not base64") from None
    if base64.b64encode(blob).decode() != text:
        raise SshInvalid(f"{what} is not base64 in its one form")
    return blob
