"""A leaf of the root log: the signed head of one tree.

Its entry has the form of every other, a header line and a body in canonical JSON:
``{"prev":…,"root":"…","size":…,"tree":"…"}``. ``prev`` is the index of the leaf before it of the
same tree, null for the first; ``root`` is base64, as in a checkpoint.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from control_plane.adapters.audit.merkle import HASH_BYTES
from control_plane.domain.audit import AuditEventInvalid, event_id
from control_plane.domain.canonical import canonical_json
from control_plane.domain.deployment import PLATFORM

_KEYS: Final = {"prev", "root", "size", "tree"}
_ID_PREFIX: Final = b"tenantplane/root/v1\x00"
_TENANT: Final = re.compile(r"ten_[0-9A-HJKMNP-TV-Z]{26}\Z")


@dataclass(frozen=True, kw_only=True)
class RootLeaf:
    """The head of ``tree`` at ``size``; ``idx`` is where the root log has it."""

    idx: int
    tree: str
    size: int
    root: bytes
    prev: int | None

    def body(self) -> bytes:
        """Return the body of its entry."""
        encoded = base64.b64encode(self.root).decode()
        return canonical_json(
            {"prev": self.prev, "root": encoded, "size": self.size, "tree": self.tree},
            closed_keys=True,
        )


def leaf_id(tree: str, size: int) -> UUID:
    """Return the id of the entry: there is one head of a tree and size, so the database has one."""
    content = _ID_PREFIX + f"{tree}\n{size}".encode()
    return UUID(bytes=hashlib.sha256(content).digest()[:16])


def parse_leaf(idx: int, body: Any) -> RootLeaf:
    """Read a parsed body. Raises ``AuditEventInvalid``."""
    if not isinstance(body, dict) or body.keys() != _KEYS:
        raise AuditEventInvalid("root: has missing or unknown keys")
    tree, size, prev = body["tree"], body["size"], body["prev"]
    if not isinstance(tree, str) or not (tree == PLATFORM or _TENANT.match(tree)):
        raise AuditEventInvalid("tree: names no log")
    if not _is_count(size) or size < 1:
        raise AuditEventInvalid("size: must be a positive integer")
    if prev is not None and not (_is_count(prev) and prev < idx):
        raise AuditEventInvalid("prev: must be an earlier index or null")
    return RootLeaf(idx=idx, tree=tree, size=size, root=_root(body["root"]), prev=prev)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _root(value: Any) -> bytes:
    try:
        found = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != HASH_BYTES or base64.b64encode(found).decode() != value:
        raise AuditEventInvalid("root: must be 32 bytes in base64")
    return found


@dataclass
class RootLeaves:
    """The leaves of a root log, fed in the order of their index.

    ``contradictions`` are sentences on leaves that cannot both be true, with the later index.
    """

    is_whole: bool = True  # whether it was fed from the first leaf on, so that prev can be checked
    by_tree: dict[str, list[RootLeaf]] = field(default_factory=dict)
    contradictions: list[tuple[int, str]] = field(default_factory=list)

    def add(self, idx: int, body: Any, row_id: str) -> None:
        """Take a leaf. Raises ``AuditEventInvalid`` for one that is malformed."""
        leaf = parse_leaf(idx, body)
        found = self.by_tree.setdefault(leaf.tree, [])
        last = found[-1] if found else None
        if last is not None and leaf.size <= last.size:
            said = f"entry {idx} has a head of {leaf.tree} of size {leaf.size}"
            self.contradictions.append((idx, f"{said}, after one of size {last.size}"))
            return
        found.append(leaf)
        if row_id != event_id(leaf_id(leaf.tree, leaf.size)):
            raise AuditEventInvalid("id: the row names another head")
        if self.is_whole and leaf.prev != (last.idx if last else None):
            raise AuditEventInvalid("prev: is not the leaf before it of that log")
