"""Verifying the logs on and on, a bounded number of entries at a time.

What was verified is kept in memory: of each tree its frontier at a checkpoint that held. The next
look begins there, so that its cost is that of what was added since, however long the log is. It
takes up a log where the process began to look; `tenantctl audit verify` reads a log whole.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, Engine, select

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.checks import (
    Findings,
    KeyInForce,
    LogCheck,
    StoredEntry,
    check_checkpoint,
)
from control_plane.adapters.audit.merkle import Frontier
from control_plane.adapters.audit.note import Checkpoint, NoteInvalid, tree_origin
from control_plane.adapters.audit.report import Verdict
from control_plane.adapters.audit.rootleaf import RootLeaves
from control_plane.adapters.audit.rootwatch import RootWatch
from control_plane.adapters.audit.verify import entries_between, keys_in_force, stored_keys
from control_plane.adapters.db.audit_tables import audit_tree
from control_plane.domain.deployment import ROOT

PORTION: Final = 50  # entries that are verified in one go: some milliseconds


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What is checked of one tree: its entries from ``start`` up to, not including, ``end``.

    ``head`` is the newest head that holds, None when there is none; ``is_new`` says whether it
    covers more than was verified before.
    """

    tree: str
    size: int  # what the tree's row says
    start: Frontier
    end: int
    head: Checkpoint | None
    is_new: bool
    findings: Findings
    leaves: RootLeaves | None = None  # of the root log

    @property
    def is_shorter(self) -> bool:
        """Whether the log lost entries that were verified."""
        return self.size < self.start.size

    @property
    def reaches_head(self) -> bool:
        """Whether what is read can be compared with a head."""
        return self.is_new and self.head is not None and self.head.size == self.end

    def check(self, stored: Iterable[StoredEntry]) -> Frontier:
        """Check the entries and return where they end; ``findings`` has what is wrong."""
        if self.is_shorter:
            said = f"{self.start.size} entries were verified, but now there are {self.size}"
            self.findings.add(Verdict.GAP, said)
            return self.start
        heads = [self.head] if self.head is not None and self.reaches_head else []
        covered = self.head.size if self.head is not None else 0
        check = LogCheck(
            self.tree, heads, [], self.findings,
            now=datetime.now(UTC), start=self.start, covered=covered, leaves=self.leaves,
        )  # fmt: skip
        for entry in stored:
            check.add(entry)
        check.finish()
        if check.next_idx < self.end:
            said = f"the log ends at {check.next_idx}, but its row says {self.size}"
            self.findings.add(Verdict.GAP, said)
        return check.frontier


@dataclass
class LogWatch:
    """Where the verification of each tree stands in this process, and what it found.

    ``faults`` are by tree; a tree with a fault is checked again from the checkpoint before it, so
    that a fault that was fixed goes away, and no other.
    """

    engine: Callable[[], Engine]
    host: str
    faults: dict[str, str] = field(default_factory=dict)
    root: RootWatch = field(default_factory=RootWatch)
    _verified: dict[str, Frontier] = field(default_factory=dict)  # how far a tree was read
    _compared: dict[str, Frontier] = field(default_factory=dict)  # up to a checkpoint that held
    _last_tree: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def first_fault(self) -> str:
        """Return the first fault of a tree, or of what the root log says of one, or ''."""
        return next(iter([*self.faults.values(), *self.root.faults.values()]), "")

    def look_on(
        self,
        entries: int,
        public_keys: Sequence[bytes] | None,
        pause: Callable[[float], object] = lambda _: None,
    ) -> None:
        """Verify at most ``entries`` more, tree by tree, from where the last look ended.

        ``pause`` is called between portions with the seconds that the last one took.
        """
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with (
            self._lock,
            self.engine().connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            reading.limit_to(connection, reading.ALL_TREES)
            every = self._sizes(connection)
            sizes = {
                tree: size
                for tree, size in every.items()
                if size != self._size(tree) or tree in self.faults
            }
            waiting = deque(sorted(sizes, key=lambda name: (name <= self._last_tree, name)))
            while waiting:
                started = time.monotonic()
                trees = self._portion(waiting, sizes, min(entries, PORTION))
                parts = self._parts(connection, trees, sizes, entries, public_keys)
                stored = entries_between(
                    connection, [(part.tree, part.start.size, part.end) for part in parts]
                )
                for part in parts:
                    if self._verify(part, stored.get(part.tree, ())):
                        waiting.appendleft(part.tree)
                    self._last_tree = part.tree
                    entries -= max(part.end - part.start.size, 1)
                if entries <= 0 or not waiting:
                    break
                pause(time.monotonic() - started)
            is_current = self._size(ROOT) == every.get(ROOT)
            self.root.compare(every, self._compared, is_current=is_current)

    def _sizes(self, connection: Connection) -> dict[str, int]:
        """Return the sizes of all trees, 0 of one that was verified and is gone."""
        query = select(audit_tree.c.tenant_id, audit_tree.c.size)
        sizes = {row.tenant_id: row.size for row in connection.execute(query)}
        return dict.fromkeys(self._verified, 0) | sizes

    def _size(self, tree: str) -> int:
        return self._verified[tree].size if tree in self._verified else 0

    def _portion(
        self, waiting: deque[str], sizes: Mapping[str, int], most: int
    ) -> Mapping[str, int]:
        """Take trees with ``most`` unverified entries together; return how many of each."""
        found: dict[str, int] = {}
        while waiting and most > 0:
            tree = waiting.popleft()
            found[tree] = max(min(sizes[tree] - self._size(tree), most), 1)
            most -= found[tree]
        return found

    def _parts(
        self,
        connection: Connection,
        trees: Mapping[str, int],
        sizes: Mapping[str, int],
        limit: int,
        public_keys: Sequence[bytes] | None,
    ) -> list[_Part]:
        """Return so many entries of some trees as what is checked, with their heads."""
        newest = reading.newest_checkpoints(connection, list(trees))
        known = stored_keys(connection, list(trees))
        parts = []
        for tree, count in trees.items():
            start, size, findings = self._verified.get(tree, Frontier()), sizes[tree], Findings()
            head = None
            if tree in newest and size >= start.size:
                keys = keys_in_force(known.get(tree, ()), tree_origin(self.host, tree), public_keys)
                head = self._head(tree, newest[tree], keys, findings)
            signed = head.size if head is not None else 0
            # first what is signed, then how long the rest waits for that
            is_new = signed > start.size
            end = min(signed, start.size + count) if is_new else min(size, start.size + limit)
            parts.append(
                _Part(
                    tree=tree, size=size, start=start, end=end, head=head, is_new=is_new,
                    findings=findings, leaves=RootLeaves(is_whole=False) if tree == ROOT else None,
                )
            )  # fmt: skip
        return parts

    def _head(
        self,
        tree: str,
        newest: reading.StoredCheckpoint,
        keys: Sequence[KeyInForce],
        findings: Findings,
    ) -> Checkpoint | None:
        try:
            return check_checkpoint(newest.note, tree_origin(self.host, tree), keys, newest.size)
        except NoteInvalid as exc:
            findings.add(Verdict.BADSIG, f"checkpoint of size {newest.size}: {exc}")
            return None

    def _verify(self, part: _Part, stored: Iterable[StoredEntry]) -> bool:
        """Check a part and keep what came of it; tell whether more of its tree is signed."""
        end = part.check(stored)
        found = part.findings.result()
        if found:
            self.faults[part.tree] = f"{part.tree}: {found[0].verdict}: {found[0].detail}"
            self._verified[part.tree] = self._compared.get(part.tree, Frontier())
            if part.tree == ROOT:
                self.root.forget_uncovered()
            return False
        if part.leaves is not None and part.is_new:
            self.root.take(part.leaves, is_covered=part.reaches_head)
        if part.is_new:
            self._verified[part.tree] = end
        if part.reaches_head:
            self._compared[part.tree] = end
            self.faults.pop(part.tree, None)
        return part.is_new and not part.reaches_head
