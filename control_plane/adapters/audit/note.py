"""Signed notes and checkpoints as C2SP writes them.

Sources: c2sp.org/signed-note (v1.0.0) and c2sp.org/tlog-checkpoint. Signatures are Ed25519 (type
0x01). Parsing is strict: what another reader could take for something else is refused. Signature
lines of unknown keys are ignored, so that witnesses and other algorithms can be added to a note
without breaking anybody.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519: Final = 0x01
MAX_NOTE_BYTES: Final = 256 * 1024
MAX_SIGNATURES: Final = 64
_SIGNATURE_LINE: Final = re.compile(r"— (\S+) (\S+)\Z")
_SIZE: Final = re.compile(r"(0|[1-9][0-9]{0,18})\Z")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_ROOT_BYTES: Final = 32


class NoteInvalid(ValueError):
    """A note is malformed, or no known key signed it."""


class Signer(Protocol):
    """A private key, wherever it is kept."""

    @property
    def public_key(self) -> bytes:
        """The 32 bytes of the Ed25519 public key."""

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of RFC 8032."""


def tree_origin(host: str, tree: str) -> str:
    """Return the origin of a tree, which is also the name of the key that signs it."""
    return f"{host}/audit/{tree}"


def key_id(name: str, public_key: bytes) -> bytes:
    """Return the 4 bytes that C2SP recommends as key id."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([ED25519]) + public_key).digest()[:4]


@dataclass(frozen=True, kw_only=True)
class VerifierKey:
    """A named public key. ``str()`` gives the usual ``name+<key id in hex>+<base64>``."""

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.public_key) != 32:
            raise NoteInvalid("an Ed25519 public key has 32 bytes")

    @property
    def id(self) -> bytes:
        """The key id, 4 bytes."""
        return key_id(self.name, self.public_key)

    def __str__(self) -> str:
        encoded = base64.b64encode(bytes([ED25519]) + self.public_key).decode()
        return f"{self.name}+{self.id.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read a verifier key. Raises ``NoteInvalid``, also for an id that does not fit."""
        parts = text.strip().split("+", 2)
        if len(parts) != 3:
            raise NoteInvalid("a verifier key has the form name+id+key")
        name, wanted, encoded = parts
        content = decode_base64(encoded)
        if content[:1] != bytes([ED25519]):
            raise NoteInvalid("only Ed25519 verifier keys are known")
        key = cls(name=name, public_key=content[1:])
        if key.id.hex() != wanted:
            raise NoteInvalid("the key id does not belong to name and key")
        return key

    def is_signature(self, signature: bytes, message: bytes) -> bool:
        """Tell whether ``signature`` is this key's over ``message``."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, kw_only=True)
class NoteSignature:
    """One signature line: key name, key id, signature bytes."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, kw_only=True)
class Note:
    """A parsed note; nothing about its signatures is known before ``verified``."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def verified(self, known: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
        """Return the known keys that signed.

        Raises ``NoteInvalid`` when none did, or when a signature of a known key does not verify:
        then the whole note is worthless.
        """
        keys = {(key.name, key.id): key for key in known}
        found: dict[tuple[str, bytes], VerifierKey] = {}
        for line in self.signatures:
            key = keys.get((line.name, line.key_id))
            if key is None:
                continue
            if not key.is_signature(line.signature, self.text.encode()):
                raise NoteInvalid("a signature of a known key does not verify")
            found[line.name, line.key_id] = key
        if not found:
            raise NoteInvalid("no known key signed the note")
        return tuple(found.values())


def parse_note(content: str | bytes) -> Note:
    """Split a note into text and signatures. Raises ``NoteInvalid``."""
    try:
        text = content.decode() if isinstance(content, bytes) else content
        size = len(text.encode())
    except UnicodeError as exc:
        raise NoteInvalid("a note is UTF-8") from exc
    if size > MAX_NOTE_BYTES:
        raise NoteInvalid("the note is too large")
    if _CONTROL.search(text):
        raise NoteInvalid("a note holds no control characters but newline")
    body, separator, tail = text.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise NoteInvalid("a note ends in a blank line and signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteInvalid("the note has too many signatures")
    return Note(text=body + "\n", signatures=tuple(map(parse_signature, lines)))


def sign_note(text: str, name: str, signer: Signer) -> str:
    """Return the note of ``text`` (ending in a newline) signed under ``name``.

    Raises ``NoteInvalid`` for a text or name that a note cannot hold.
    """
    check_name(name)
    if not text.endswith("\n") or _CONTROL.search(text):
        raise NoteInvalid("the text of a note ends in a newline and holds no control characters")
    blob = key_id(name, signer.public_key) + signer.sign(text.encode())
    return f"{text}\n— {name} {base64.b64encode(blob).decode()}\n"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A tree head: whose log, how many entries, which root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the text that is signed: three lines, no extension lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def signed(self, signer: Signer) -> str:
        """Return the checkpoint as a note signed under the origin's name."""
        return sign_note(self.text(), self.origin, signer)


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint note.

    Extension lines are refused: nobody audits them, so ours have none. Raises ``NoteInvalid``.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise NoteInvalid("a checkpoint has exactly the lines origin, size and root")
    origin, size, encoded = lines[:3]
    if not origin or not _SIZE.match(size):
        raise NoteInvalid("origin or size of the checkpoint is malformed")
    root = decode_base64(encoded)
    if len(root) != _ROOT_BYTES:
        raise NoteInvalid("the root of a checkpoint has 32 bytes")
    return Checkpoint(origin=origin, size=int(size), root=root)


def open_checkpoint(content: str | bytes, known: Sequence[VerifierKey]) -> Checkpoint:
    """Return the checkpoint of a note that a known key signed. Raises ``NoteInvalid``."""
    note = parse_note(content)
    note.verified(known)
    return parse_checkpoint(note.text)


def parse_signature(line: str) -> NoteSignature:
    """Read a signature line, without its newline. Raises ``NoteInvalid``."""
    match = _SIGNATURE_LINE.match(line)
    if match is None:
        raise NoteInvalid("a signature line is malformed")
    check_name(match[1])
    blob = decode_base64(match[2])
    if len(blob) < 5:
        raise NoteInvalid("a signature line is malformed")
    return NoteSignature(name=match[1], key_id=blob[:4], signature=blob[4:])


@functools.lru_cache(maxsize=65536)  # a signer meets the same names at every tick
def check_name(name: str) -> None:
    """Raise ``NoteInvalid`` for what cannot be the name of a key."""
    if not name or "+" in name or any(c.isspace() for c in name) or _CONTROL.search(name):
        raise NoteInvalid("a key name is not empty and has no space and no plus")


def decode_base64(encoded: str) -> bytes:
    """Decode standard base64, and only its one proper spelling."""
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise NoteInvalid("not base64") from exc
    if base64.b64encode(content).decode() != encoded:
        raise NoteInvalid("not base64 in its proper spelling")
    return content
