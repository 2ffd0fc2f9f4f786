"""What the watch of the logs remembers of the root log, and compares the other trees with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from control_plane.adapters.audit.merkle import Frontier
from control_plane.adapters.audit.reading import UNSIGNED_LIMIT
from control_plane.adapters.audit.report import Verdict
from control_plane.adapters.audit.rootleaf import RootLeaf, RootLeaves
from control_plane.domain.deployment import ROOT


@dataclass
class RootWatch:
    """The newest head of each tree in the root log, and ``faults`` of trees that differ from it.

    Heads count once a checkpoint of the root log covers them. ``clock`` is monotonic, in seconds:
    how long a head has no leaf is measured here, since a time in the database can be changed.
    """

    clock: Callable[[], float] = time.monotonic
    faults: dict[str, str] = field(default_factory=dict)
    _newest: dict[str, RootLeaf] = field(default_factory=dict)
    _read: list[RootLeaf] = field(default_factory=list)  # not under a compared checkpoint yet
    _behind: dict[str, tuple[int, float]] = field(default_factory=dict)  # size, and since when

    def take(self, leaves: RootLeaves, *, is_covered: bool) -> None:
        """Take leaves that were read; with ``is_covered`` they and those before count."""
        self._read += [found[-1] for found in leaves.by_tree.values()]
        if is_covered:
            self._newest |= {leaf.tree: leaf for leaf in self._read}
            self._read.clear()

    def forget_uncovered(self) -> None:
        """Forget what was read since the last checkpoint that held: it is read again."""
        self._read.clear()

    def compare(
        self, sizes: Mapping[str, int], compared: Mapping[str, Frontier], *, is_current: bool
    ) -> None:
        """Compare what trees are now: their sizes, and where they agreed with a checkpoint.

        ``is_current`` says whether the root log was read to its end.
        """
        self.faults = {}
        for tree, leaf in self._newest.items():
            fault = _differs(leaf, sizes.get(tree, 0), compared.get(tree))
            if fault:
                self.faults[tree] = f"{tree}: {fault}"
        if is_current:
            self._note_behind(compared)

    def _note_behind(self, compared: Mapping[str, Frontier]) -> None:
        now = self.clock()
        for tree, end in compared.items():
            leaf = self._newest.get(tree)
            in_root = leaf.size if leaf is not None else 0
            if tree == ROOT or end.size <= in_root:
                self._behind.pop(tree, None)
                continue
            size, since = self._behind.get(tree, (end.size, now))
            if in_root >= size:  # that one has its leaf: a newer one waits
                size, since = end.size, now
            self._behind[tree] = size, since
            if now - since > UNSIGNED_LIMIT.total_seconds() and tree not in self.faults:
                said = f"its head of size {size} is not in the root log"
                self.faults[tree] = f"{tree}: {Verdict.UNROOTED}: {said}"


def _differs(leaf: RootLeaf, size: int, compared: Frontier | None) -> str:
    """Say how a tree differs from its newest leaf, or ''."""
    if size < leaf.size:
        said = f"the root log has its head of size {leaf.size}, but it has {size} entries"
        return f"{Verdict.GAP}: {said}"
    if compared is not None and compared.size == leaf.size and compared.root != leaf.root:
        said = f"its head of size {leaf.size} in the root log is another one"
        return f"{Verdict.FORKED}: {said}"
    return ""
