"""The signing key of the audit logs: a file that only its owner can read.

One Ed25519 key signs every tree, under the name of the tree's origin, so that the key name equals
the origin as C2SP asks. The private key is PKCS #8 in PEM, mode 0600; beside it lies the public key
(SubjectPublicKeyInfo in PEM), the file that an auditor is given. The web process never opens the
private one.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from control_plane.adapters.private_files import create_once

PRIVATE_MODE: Final = 0o600
_PUBLIC_MODE: Final = 0o644
_MAX_KEY_BYTES: Final = 16 * 1024


class KeyFileUnusable(Exception):
    """A key file cannot be used; the sentence says what to do about it."""


class KeyFileSigner:
    """An Ed25519 private key held in memory; implements ``note.Signer``."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @classmethod
    def generate(cls) -> KeyFileSigner:
        """Return a new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> KeyFileSigner:
        """Return the key of a 32-byte seed (RFC 8032)."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def public_key(self) -> bytes:
        """The 32 bytes of the public key."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of ``message``."""
        return self._key.sign(message)

    def private_pem(self) -> bytes:
        """Return the key as unencrypted PKCS #8."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def public_pem(self) -> bytes:
        """Return the public key as SubjectPublicKeyInfo."""
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_key_path(path: Path) -> Path:
    """Return where the public key of the key file ``path`` lies."""
    return path.with_name(path.name + ".pub")


def retired_key_path(path: Path, public_key: bytes) -> Path:
    """Return where the public key lies that the key file ``path`` had once."""
    public = public_key_path(path)
    return public.with_name(f"{public.name}.{hashlib.sha256(public_key).hexdigest()[:16]}")


def load_public_keys(path: Path) -> list[bytes]:
    """Return the public key of a file, and those that were rotated out, which lie beside it.

    Raises ``KeyFileUnusable``.
    """
    retired = sorted(path.parent.glob(f"{path.name}.*"))
    return [load_public_key(path), *map(load_public_key, retired)]


def create_key_file(path: Path) -> KeyFileSigner:
    """Create a key file (0600) and its public key, never replacing one.

    The file appears whole or not at all. Raises ``KeyFileUnusable`` when it exists or cannot be
    written.
    """
    signer = KeyFileSigner.generate()
    try:
        create_once(path, signer.private_pem(), PRIVATE_MODE)
    except FileExistsError as exc:
        raise KeyFileUnusable(f"the key file {path.name} already exists and is kept") from exc
    except OSError as exc:
        raise KeyFileUnusable(
            f"the key file {path.name} cannot be created ({exc.strerror}); "
            "make its folder and let this user write there"
        ) from exc
    _ensure_public(path, signer)
    return signer


def load_key_file(path: Path) -> KeyFileSigner:
    """Read a key file, refusing one that others could read or write.

    Raises ``KeyFileUnusable`` for a missing, foreign, linked, too open or malformed file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError as exc:
        raise KeyFileUnusable(
            f"there is no key file {path.name}: mount the folder or restore its backup; a new "
            "installation makes it with `tenantctl keys create`"
        ) from exc
    except OSError as exc:
        raise KeyFileUnusable(
            f"the key file {path.name} cannot be opened ({exc.strerror})"
        ) from exc
    try:
        _check_private(os.fstat(descriptor), path.name)
        content = os.read(descriptor, _MAX_KEY_BYTES)
    finally:
        os.close(descriptor)
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise KeyFileUnusable(f"the key file {path.name} holds no unencrypted PEM key") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileUnusable(f"the key file {path.name} holds no Ed25519 key")
    signer = KeyFileSigner(key)
    _ensure_public(path, signer)
    return signer


def load_public_key(path: Path) -> bytes:
    """Return the 32 bytes of a public key file. Raises ``KeyFileUnusable``."""
    try:
        key = load_pem_public_key(path.read_bytes()[:_MAX_KEY_BYTES])
    except OSError as exc:
        raise KeyFileUnusable(
            f"the public key {path.name} cannot be read ({exc.strerror})"
        ) from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise KeyFileUnusable(f"{path.name} holds no public key in PEM") from exc
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileUnusable(f"{path.name} holds no Ed25519 public key")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _check_private(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        raise KeyFileUnusable(f"the key file {name} must be a file of the signer's user")
    if stat.S_IMODE(status.st_mode) & 0o177:
        raise KeyFileUnusable(
            f"the key file {name} is open to others ({stat.S_IMODE(status.st_mode):04o}); run "
            "chmod 600 on it and, unless you are sure that nobody read it, use a new key"
        )


def _ensure_public(path: Path, signer: KeyFileSigner) -> None:
    """Write the public key where it is missing; refuse one of another key."""
    public = public_key_path(path)
    try:
        create_once(public, signer.public_pem(), _PUBLIC_MODE)
    except FileExistsError:
        if load_public_key(public) != signer.public_key:
            raise KeyFileUnusable(
                f"{public.name} does not belong to {path.name}; one of them has been replaced"
            ) from None
    except OSError as exc:
        raise KeyFileUnusable(f"{public.name} cannot be written ({exc.strerror})") from exc
