"""The port ``AuditReader`` over what was recorded, without a sequencer and a signer."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import datetime
from io import BytesIO
from typing import Any
from zipfile import ZipFile

from control_plane.adapters.audit.merkle import leaf_hash
from control_plane.adapters.audit.sequencer import header
from control_plane.adapters.audit.tiles import parse_tile_path
from control_plane.domain.canonical import canonical_json, digest_bytes
from control_plane.domain.errors import NotFound
from control_plane.ports import Json
from control_plane.ports.stores import Dossier, Exposure, Pressure
from tests.memory_tree import MemoryTree
from tests.storage import Recorded


class QuietTrail:
    """A log that is never behind: every event is in its tree as soon as it was recorded.

    ``note`` is the checkpoint of every tree that has an entry, and covers all of them; while it is
    None, nothing is signed. ``behind`` and ``held_trees`` are what a test sets, ``asked`` the paths
    of tiles that were asked for. ``clock`` is the exposure clock that a test sets.
    """

    def __init__(self, events: Callable[[], Sequence[Recorded]]) -> None:
        self._events = events
        self.behind = ""
        self.held_trees: dict[str, str] = {}
        self.note: str | None = None
        self.asked: list[str] = []
        self.clock: Exposure | None = None

    def first_fault(self) -> str:
        """Return no fault: there is nothing that could be damaged."""
        return ""

    def verify(self, tree: str) -> tuple[int, str]:
        """Return the entries of a tree, without a fault."""
        return len(self._entries(tree)), ""

    def pressure(self) -> Pressure:
        """Return what is set."""
        return Pressure(behind=self.behind, held=self.held_trees)

    def events(self, tree: str, *, after: int, limit: int, action: str | None) -> Sequence[Json]:
        """Return {idx, leaf, header, body, is_covered} of entries with ``idx >= after``."""
        found = [
            entry for entry in self._entries(tree)
            if entry["idx"] >= after and action in (None, entry["body"]["action"])
        ]  # fmt: skip
        return [
            {
                "idx": entry["idx"],
                "leaf": leaf_hash(_bytes(entry)).hex(),
                **entry,
                "is_covered": self.note is not None,
            }
            for entry in found[:limit]
        ]

    def checkpoint(self, tree: str) -> str | None:
        """Return the note that is set, for a tree that has an entry."""
        return self.note if self._entries(tree) else None

    def dossier(
        self,
        tree: str,
        *,
        now: datetime,
        since: datetime | None,
        until: datetime | None,
        grant: str | None = None,
    ) -> Dossier:
        """Return an archive with the bodies alone: the real one is tried on a database."""
        file, entries = BytesIO(), self._entries(tree)
        with ZipFile(file, "w") as archive:
            for name in ("entries.ndjson", "entries.csv", "page.html"):
                archive.writestr(name, b"".join(map(_bytes, entries)))
        digest = digest_bytes(file.getvalue())
        file.seek(0)
        return Dossier(file=file, size=len(entries), entries=len(entries), manifest_digest=digest)

    def exposure(self) -> Exposure | None:
        """Return what is set."""
        return self.clock

    def witnesses(self) -> Sequence[Json]:
        """Return no witness."""
        return []

    def statuses(self, tree: str | None, *, after: str, limit: int) -> Sequence[Json]:
        """Return name and size of trees: nothing of them is signed or witnessed."""
        names = sorted({event.tree for event in self._events()}) if tree is None else [tree]
        found = [{"tree": name, "size": len(self._entries(name))} for name in names if name > after]
        return [each for each in found if each["size"]][:limit]

    def proof(self, tree: str, idx: int) -> Json:
        """Return an inclusion proof under the note. Raises ``NotFound``."""
        entries = self._covered(tree)
        if not 0 <= idx < len(entries):
            raise NotFound("no checkpoint covers this entry yet")
        leaves = MemoryTree(map(leaf_hash, entries))
        hashes = leaves.inclusion(idx, len(leaves))
        return {
            "idx": idx,
            "size": len(entries),
            "leaf": leaf_hash(entries[idx]).hex(),
            "hashes": [base64.b64encode(each).decode() for each in hashes],
            "checkpoint": self.note,
        }

    def tile(self, tree: str, path: str) -> bytes:
        """Return the bytes of a tlog-tiles path of the lowest level. Raises ``NotFound``."""
        self.asked.append(path)
        entries, wanted = self._covered(tree), parse_tile_path(path)
        if path == "checkpoint" and entries:
            return str(self.note).encode()
        if wanted is None or wanted.needed_size() > len(entries):
            raise NotFound("tile not found")
        span = entries[slice(*wanted.span())]
        if wanted.level is None:
            return b"".join(len(entry).to_bytes(2, "big") + entry for entry in span)
        return b"".join(map(leaf_hash, span))

    def _entries(self, tree: str) -> list[dict[str, Any]]:
        bodies = [event.body for event in self._events() if event.tree == tree]
        return [
            {"idx": idx, "header": {"idx": idx, "prev": {}, "seq_time": body["time"]}, "body": body}
            for idx, body in enumerate(bodies)
        ]

    def _covered(self, tree: str) -> list[bytes]:
        return [] if self.note is None else [_bytes(entry) for entry in self._entries(tree)]


def _bytes(entry: Json) -> bytes:
    line = header(entry["idx"], entry["header"]["prev"], entry["header"]["seq_time"])
    return line + b"\n" + canonical_json(entry["body"], closed_keys=True)
