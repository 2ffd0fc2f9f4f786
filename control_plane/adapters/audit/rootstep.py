"""The part of a tick that brings signed heads into the root log and signs its own head.

It comes after the heads of the trees are stored, so that a root log that is damaged, or a head that
is not ours, stops none of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from control_plane.adapters.audit.checkpoints import CheckpointPublisher
from control_plane.adapters.audit.rootlog import RootLog
from control_plane.adapters.audit.sequencer import Growth, TreeDamaged
from control_plane.domain.deployment import ROOT

_DAMAGED: Final = "row and entries differ"


class RootStep:
    """Adds heads at most every ``interval`` seconds; those signed in between wait."""

    def __init__(self, root: RootLog, publisher: CheckpointPublisher, *, interval: float) -> None:
        self._root = root
        self._publisher = publisher
        self._interval = interval
        self._notes: dict[str, str] = {}  # the newest that was signed since, by tree
        self._is_behind = True  # what was signed before is not known: all trees are looked at
        self._faults: dict[str, str] = {}  # by tree
        self._next_at = 0.0

    def take(
        self, notes: Mapping[str, str], *, is_sweep: bool, is_last: bool = False
    ) -> Mapping[str, str]:
        """Take what a tick signed and add what is due; return the trees at fault, with reasons.

        Raises what the database raises; what was not added is found by the next call.
        """
        self._notes |= {tree: note for tree, note in notes.items() if tree != ROOT}
        self._is_behind |= is_sweep
        now = time.monotonic()
        is_due = now >= self._next_at or is_last
        if is_due and (self._notes or self._is_behind):
            self._next_at = now + self._interval
            self._add()
        return self._faults

    def _add(self) -> None:
        looks_at_all, self._is_behind = self._is_behind, True  # until it is done
        if looks_at_all:
            self._faults = {}
        growth: list[Growth] = []
        has_more = True
        try:
            while has_more:
                trees: Sequence[str] | None = None if looks_at_all else sorted(self._notes)
                step = self._root.append(trees, self._notes)
                self._faults |= {item.origin.rpartition("/")[2]: item.why for item in step.refused}
                growth += [step.growth] if step.growth is not None else []
                has_more = step.has_more
        except TreeDamaged:
            self._faults[ROOT] = _DAMAGED
            self._notes.clear()
            self._is_behind = False  # the next sweep tries again
            return
        self._notes.clear()
        signed = self._publisher.sign([ROOT]) if growth or looks_at_all else None
        if signed is not None:
            for item in signed.refused:
                self._faults[ROOT] = item.why
            self._publisher.read_back(growth[-1:], signed.notes)
        self._is_behind = False
