"""Verifying the logs on and on, a bounded number of entries at a time.

What was verified is kept in memory: of each tree its frontier at a checkpoint that held. The next
look begins there, so that its cost is that of what was added since, however long the log is. It
takes up a log where the process began to look; `tenantctl audit verify` reads a log whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, select

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.checks import Findings, LogCheck, check_checkpoint
from control_plane.adapters.audit.merkle import Frontier
from control_plane.adapters.audit.note import Checkpoint, NoteInvalid, tree_origin
from control_plane.adapters.audit.report import Verdict
from control_plane.adapters.audit.verify import keys_of, stored_entries
from control_plane.adapters.db.audit_tables import audit_tree


@dataclass
class LogWatch:
    """Where the verification of each tree stands in this process, and what it found.

    ``faults`` are by tree; a tree with a fault is checked again from the checkpoint before it, so
    that a fault that was fixed goes away, and no other.
    """

    engine: Callable[[], Engine]
    host: str
    faults: dict[str, str] = field(default_factory=dict)
    _verified: dict[str, Frontier] = field(default_factory=dict)  # how far a tree was read
    _compared: dict[str, Frontier] = field(default_factory=dict)  # up to a checkpoint that held
    _last_tree: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look_on(self, entries: int, public_keys: Sequence[bytes] | None) -> None:
        """Verify at most ``entries`` more, tree by tree, from where the last look ended."""
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with (
            self._lock,
            self.engine().connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            reading.limit_to(connection, reading.ALL_TREES)
            sizes = self._unverified(connection)
            left = entries
            for tree in sorted(sizes, key=lambda name: (name <= self._last_tree, name)):
                left -= self._look(connection, tree, sizes[tree], left, public_keys)
                self._last_tree = tree
                if left <= 0:
                    return

    def _unverified(self, connection: Connection) -> dict[str, int]:
        """Return the trees that differ in size from what was verified, with their sizes."""
        query = select(audit_tree.c.tenant_id, audit_tree.c.size)
        sizes = {row.tenant_id: row.size for row in connection.execute(query)}
        gone = {tree: 0 for tree in self._verified if tree not in sizes}
        return {
            tree: size
            for tree, size in (sizes | gone).items()
            if size != self._size(tree) or tree in self.faults
        }

    def _size(self, tree: str) -> int:
        return self._verified[tree].size if tree in self._verified else 0

    def _look(
        self,
        connection: Connection,
        tree: str,
        size: int,
        limit: int,
        public_keys: Sequence[bytes] | None,
    ) -> int:
        """Verify a tree on, up to ``limit`` entries; returns how many were checked."""
        start = self._verified.get(tree, Frontier())
        findings = Findings()
        if size < start.size:
            findings.add(
                Verdict.GAP, f"{start.size} entries were verified, but now there are {size}"
            )
            self._keep(tree, findings)
            return 1
        head = self._head(connection, tree, public_keys, findings)
        is_new = head is not None and head.size > start.size
        # first what is signed, then how long the rest waits for that
        end = min(head.size if head is not None and is_new else size, start.size + limit)
        heads = [head] if head is not None and is_new and head.size == end else []
        covered = head.size if head is not None else 0
        check = LogCheck(
            tree, heads, [], findings, now=datetime.now(UTC), start=start, covered=covered
        )
        for stored in stored_entries(connection, tree, start.size, end):
            check.add(stored)
        check.finish()
        if check.next_idx < end:
            findings.add(Verdict.GAP, f"the log ends at {check.next_idx}, but its row says {size}")
        if not findings.result() and is_new:
            self._verified[tree] = check.frontier
            if heads:
                self._compared[tree] = check.frontier
                self.faults.pop(tree, None)
        self._keep(tree, findings)
        return max(end - start.size, 1)

    def _head(
        self,
        connection: Connection,
        tree: str,
        public_keys: Sequence[bytes] | None,
        findings: Findings,
    ) -> Checkpoint | None:
        origin = tree_origin(self.host, tree)
        newest = reading.newest_checkpoint(connection, tree)
        if newest is None:
            return None
        try:
            keys = keys_of(connection, tree, origin, public_keys)
            return check_checkpoint(newest.note, origin, keys, newest.size)
        except NoteInvalid as exc:
            findings.add(Verdict.BADSIG, f"checkpoint of size {newest.size}: {exc}")
            return None

    def _keep(self, tree: str, findings: Findings) -> None:
        found = findings.result()
        if found:
            self.faults[tree] = f"{tree}: {found[0].verdict}: {found[0].detail}"
            self._verified[tree] = self._compared.get(tree, Frontier())
