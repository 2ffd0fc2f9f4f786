"""Cosignatures of witnesses: that one has seen a checkpoint, and when.

Source: c2sp.org/tlog-cosignature. Those of Ed25519 (``cosignature/v1``, type 0x04) are verified;
lines of other algorithms are left out, as lines of unknown keys are.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from control_plane.adapters.audit.checks import CLOCKS_DIFFER
from control_plane.adapters.audit.note import (
    NoteInvalid,
    check_name,
    decode_base64,
    parse_signature,
)

COSIGNATURE_V1: Final = 0x04
_TIME_BYTES: Final = 8
_LATEST: Final = 253402300799  # the last second of the year 9999


class CosignatureMisdated(NoteInvalid):
    """A cosignature verifies, but names a time at which it cannot have been made."""


@dataclass(frozen=True, kw_only=True)
class WitnessKey:
    """The named public key of a witness; ``str()`` gives ``name+<key id in hex>+<base64>``."""

    name: str
    public_key: bytes

    @property
    def id(self) -> bytes:
        """The key id, 4 bytes."""
        blob = bytes([COSIGNATURE_V1]) + self.public_key
        return hashlib.sha256(self.name.encode() + b"\n" + blob).digest()[:4]

    def __str__(self) -> str:
        encoded = base64.b64encode(bytes([COSIGNATURE_V1]) + self.public_key).decode()
        return f"{self.name}+{self.id.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> WitnessKey:
        """Read a verifier key of type 0x04. Raises ``NoteInvalid``."""
        name, separator, rest = text.partition("+")
        wanted, also, encoded = rest.partition("+")
        if not separator or not also:
            raise NoteInvalid("a verifier key has the form name+id+key")
        check_name(name)
        content = decode_base64(encoded)
        if content[:1] != bytes([COSIGNATURE_V1]) or len(content) != 33:
            kind = f"0x{content[0]:02x}" if content else "none"
            raise NoteInvalid(f"a witness has an Ed25519 key of type 0x04, not {kind}")
        key = cls(name=name, public_key=content[1:])
        if key.id.hex() != wanted:
            raise NoteInvalid("the key id does not belong to name and key")
        return key


@dataclass(frozen=True, kw_only=True)
class Cosignature:
    """That the witness of a key has seen a checkpoint at ``time``; ``line`` says so in the note."""

    name: str
    key_id: str
    time: datetime
    line: str

    def to_json(self) -> dict[str, Any]:
        """Return it as the database keeps it; ``time`` is in seconds."""
        return {
            "name": self.name, "key_id": self.key_id,
            "time": int(self.time.timestamp()), "line": self.line,
        }  # fmt: skip


def read_cosignatures(
    lines: Iterable[str],
    text: str,
    known: Iterable[WitnessKey],
    *,
    since: datetime | None = None,
    now: datetime | None = None,
) -> list[Cosignature]:
    """Return the cosignatures of known keys under the text of a checkpoint, the newest of each.

    ``lines`` have no newline. Raises ``NoteInvalid`` for a line that is none, for a known key's
    signature that does not verify, and for a time that is before ``since`` or after ``now``, each
    by more than clocks differ.
    """
    keys = {(key.name, key.id): key for key in known}
    found: dict[str, Cosignature] = {}
    for line in lines:
        signature = parse_signature(line)
        key = keys.get((signature.name, signature.key_id))
        if key is None:
            continue
        time = _verified_time(key, signature.signature, text)
        if since is not None and time < since - CLOCKS_DIFFER:
            raise CosignatureMisdated("a cosignature is dated before the checkpoint was signed")
        if now is not None and time > now + CLOCKS_DIFFER:
            raise CosignatureMisdated("a cosignature is dated in the future")
        item = Cosignature(name=key.name, key_id=key.id.hex(), time=time, line=line)
        if item.key_id not in found or found[item.key_id].time < time:
            found[item.key_id] = item
    return list(found.values())


def _verified_time(key: WitnessKey, blob: bytes, text: str) -> datetime:
    seconds = int.from_bytes(blob[:_TIME_BYTES], "big")
    if len(blob) != _TIME_BYTES + 64 or seconds > _LATEST:
        raise NoteInvalid("a cosignature is malformed")
    message = f"cosignature/v1\ntime {seconds}\n{text}".encode()
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(blob[_TIME_BYTES:], message)
    except (InvalidSignature, ValueError) as exc:
        raise NoteInvalid("a cosignature of a known key does not verify") from exc
    return datetime.fromtimestamp(seconds, UTC)
