"""Verifying the certificate of a removal without anybody: only the signer's public key is needed.

The certificate's digest is in an entry of the owner's log, the entry is in the tree of a checkpoint
(RFC 9162 section 2.1.3.2), and the audit key signed that checkpoint.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from control_plane.adapters.audit.merkle import HASH_BYTES, leaf_hash, node_hash
from control_plane.adapters.audit.note import NoteInvalid, VerifierKey, open_checkpoint, parse_note
from control_plane.domain.canonical import NotCanonical, canonical_json, digest
from control_plane.domain.engine import Check

EVENT: Final = "removal.certified"


class CertificateUnreadable(ValueError):
    """It is not the certificate of a removal."""


@dataclass(frozen=True, kw_only=True)
class CertificateReport:
    """What a verification found."""

    checks: tuple[Check, ...]
    origin: str

    @property
    def is_ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)


class _Fault(Exception):
    """Why a check failed."""


def verify_certificate(
    document: Mapping[str, Any], public_keys: Sequence[bytes]
) -> CertificateReport:
    """Verify a downloaded certificate. Raises ``CertificateUnreadable``."""
    try:
        body, log = document["certificate"], document["log"]
        proof, event, header = log["proof"], log["body"], log["header"]
        note, tree = str(proof["checkpoint"]), str(log["tree"])
        idx, hashes = int(proof["idx"]), [base64.b64decode(each) for each in proof["hashes"]]
        entry = _entry(header, event)
        found = digest(body)
        origin = parse_note(note).text.partition("\n")[0]
    except (LookupError, TypeError, ValueError, NotCanonical) as error:
        raise CertificateUnreadable("it is not the certificate of a removal") from error
    return CertificateReport(
        origin=origin,
        checks=(
            _checked("digest", lambda: _digest(document, event, found)),
            _checked("owner", lambda: _owner(body, event, tree, origin)),
            _checked("entry", lambda: _position(header, idx)),
            _checked("signature", lambda: _signed(note, origin, public_keys, entry, idx, hashes)),
        ),
    )


def _entry(header: Mapping[str, Any], event: Mapping[str, Any]) -> bytes:
    """Return the bytes of a log's entry, as they were hashed."""
    line = canonical_json(dict(header), closed_keys=True)
    return line + b"\n" + canonical_json(dict(event), closed_keys=True)


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name=name, ok=True, detail=look())
    except (_Fault, NoteInvalid) as fault:
        return Check(name=name, ok=False, detail=str(fault))


def _digest(document: Mapping[str, Any], event: Mapping[str, Any], found: str) -> str:
    recorded = (event.get("data") or {}).get("digest")
    if event.get("action") != EVENT or recorded != found:
        raise _Fault("the log's entry is about another certificate")
    if document.get("digest") != found:
        raise _Fault("the certificate is not the one that its digest names")
    return found


def _owner(body: Mapping[str, Any], event: Mapping[str, Any], tree: str, origin: str) -> str:
    owner = body.get("owner") or {}
    named = owner.get("tenant") or "platform"
    if not named == tree == event.get("tenant") or not origin.endswith(f"/audit/{tree}"):
        raise _Fault("the certificate and the log are of different owners")
    return str(owner.get("slug") or owner.get("hub") or named)


def _position(header: Mapping[str, Any], idx: int) -> str:
    if header.get("idx") != idx:
        raise _Fault("the entry and its proof are at different places of the log")
    return f"entry {idx}"


def _signed(
    note: str,
    origin: str,
    public_keys: Sequence[bytes],
    entry: bytes,
    idx: int,
    hashes: Sequence[bytes],
) -> str:
    keys = [VerifierKey(name=origin, public_key=key) for key in public_keys]
    checkpoint = open_checkpoint(note, keys)
    if root_of_inclusion(idx, checkpoint.size, leaf_hash(entry), hashes) != checkpoint.root:
        raise _Fault("the proof does not lead from the entry to the signed checkpoint")
    return f"checkpoint of {checkpoint.size} entries of {checkpoint.origin}"


def root_of_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes | None:
    """Return the root that an inclusion proof leads to (RFC 9162 section 2.1.3.2); None if none."""
    if not 0 <= index < size or any(len(item) != HASH_BYTES for item in path):
        return None
    place, last, result = index, size - 1, leaf
    for item in path:
        if last == 0:
            return None
        if place & 1 or place == last:
            result = node_hash(item, result)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            result = node_hash(result, item)
        place, last = place >> 1, last >> 1
    return result if last == 0 else None
