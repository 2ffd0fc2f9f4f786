"""A Merkle tree in memory: what the trees of the product are measured by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from control_plane.adapters.audit.merkle import (
    HASH_BYTES,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
)


class MemoryTree:
    """A whole tree."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._leaves = list(leaves)

    def __len__(self) -> int:
        return len(self._leaves)

    def append(self, entry: bytes) -> int:
        """Append an entry and return its index."""
        self._leaves.append(leaf_hash(entry))
        return len(self._leaves) - 1

    def range_hash(self, lo: int, hi: int) -> bytes:
        """Return MTH(D[lo:hi])."""
        return root_of(self._leaves[lo:hi])

    def root(self, size: int | None = None) -> bytes:
        """Return the root, or that of the first ``size`` leaves."""
        return self.range_hash(0, len(self) if size is None else size)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the inclusion proof of a leaf in the tree of that size."""
        return inclusion_proof(index, size, self.range_hash)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the consistency proof between two sizes."""
        return consistency_proof(old, new, self.range_hash)


def verify_inclusion(
    index: int, size: int, leaf: bytes, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Tell whether ``proof`` shows ``leaf`` at ``index`` (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size or any(len(item) != HASH_BYTES for item in (leaf, root, *proof)):
        return False
    place, last, result = index, size - 1, leaf
    for item in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            result = node_hash(item, result)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            result = node_hash(result, item)
        place, last = place >> 1, last >> 1
    return last == 0 and result == root
