"""Merkle trees of RFC 6962 section 2.1 (RFC 9162 section 2.1): roots, proofs and their check.

Hashes are SHA-256: leaf = H(0x00 || entry), node = H(0x01 || left || right), empty = H("").
``hashes[lo:hi]`` in the comments means MTH(D[lo:hi]) of the RFC. Everything here is pure; a
``RangeHash`` finds the hashes where they are kept, so that one implementation of the proofs serves
memory, database and tiles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

RangeHash = Callable[[int, int], bytes]  # (lo, hi) -> MTH(D[lo:hi]), lo aligned as the RFC splits


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry as a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """What must be known of a tree to append to it: its perfect subtrees, left to right.

    There is one per set bit of ``size``, the largest first, hence at most 64 hashes.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise ValueError("a frontier has one hash per set bit of its size")
        if any(len(item) != HASH_BYTES for item in self.hashes):
            raise ValueError("a hash has 32 bytes")

    def extend(self, leaves: Iterable[bytes]) -> Frontier:
        """Return the frontier after appending leaf hashes."""
        size, stack = self.size, list(self.hashes)
        for leaf in leaves:
            stack.append(leaf)
            size += 1
            for _ in range((size & -size).bit_length() - 1):
                right = stack.pop()
                stack[-1] = node_hash(stack[-1], right)
        return Frontier(size=size, hashes=tuple(stack))

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        return _fold(self.hashes) if self.hashes else EMPTY_ROOT

    def to_bytes(self) -> bytes:
        """Return the hashes one after the other; the size is kept beside them."""
        return b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, size: int, content: bytes) -> Frontier:
        """Read what ``to_bytes`` wrote. Raises ``ValueError`` when it does not fit ``size``."""
        hashes = tuple(content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES))
        return cls(size=size, hashes=hashes)


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    return Frontier().extend(leaves).root


def join_ranges(parts: Iterable[tuple[bytes, int]]) -> bytes:
    """Return the hash over adjacent perfect subtrees, given as (hash, number of leaves).

    The first must start at a multiple of the largest power of two within the whole, as every range
    of a proof does. Raises ``ValueError`` for none.
    """
    stack: list[tuple[bytes, int]] = []
    for part in parts:
        current = part
        while stack and stack[-1][1] == current[1]:
            left, width = stack.pop()
            current = node_hash(left, current[0]), 2 * width
        stack.append(current)
    if not stack:
        raise ValueError("no subtrees to join")
    return _fold([item for item, _ in stack])


def _fold(hashes: Sequence[bytes]) -> bytes:
    """Combine perfect subtrees of falling size from the right."""
    result = hashes[-1]
    for left in reversed(hashes[:-1]):
        result = node_hash(left, result)
    return result


def _split(size: int) -> int:
    """Return the largest power of two smaller than ``size`` (> 1)."""
    return 1 << (size - 1).bit_length() - 1


# --- making proofs ----------------------------------------------------------------------------
def inclusion_proof(index: int, size: int, range_hash: RangeHash) -> list[bytes]:
    """Return PATH(index, D[size]) of RFC 6962 section 2.1.1, nearest to the leaf first.

    Raises ``ValueError`` when there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError("no such leaf in a tree of that size")
    lo, hi, path = 0, size, []
    while hi - lo > 1:
        middle = lo + _split(hi - lo)
        if index < middle:
            path.append((middle, hi))
            hi = middle
        else:
            path.append((lo, middle))
            lo = middle
    return [range_hash(start, end) for start, end in reversed(path)]


def consistency_proof(old: int, new: int, range_hash: RangeHash) -> list[bytes]:
    """Return PROOF(old, D[new]) of RFC 6962 section 2.1.2.

    Raises ``ValueError`` unless 0 < old <= new: an empty tree is a prefix of all and proves none.
    """
    if not 0 < old <= new:
        raise ValueError("sizes must satisfy 0 < old <= new")
    lo, hi, path = 0, new, []
    while hi != old:
        middle = lo + _split(hi - lo)
        if old <= middle:
            path.append((middle, hi))
            hi = middle
        else:
            path.append((lo, middle))
            lo = middle
    if lo > 0:  # the old tree is not itself a subtree on the left edge: its last part is a node
        path.append((lo, hi))
    return [range_hash(start, end) for start, end in reversed(path)]


# --- checking proofs --------------------------------------------------------------------------
def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Tell whether ``proof`` shows the old tree as a prefix (RFC 9162 section 2.1.4.2).

    An old size of 0 is refused: nothing is proved by it.
    """
    if not 0 < old <= new or any(len(item) != HASH_BYTES for item in (old_root, new_root, *proof)):
        return False
    if old == new:
        return not proof and old_root == new_root
    if not proof:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    # a power of two is a subtree of the new tree: its root is the implied first hash
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    old_result = new_result = path[0]
    for item in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old_result, new_result = node_hash(item, old_result), node_hash(item, new_result)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new_result = node_hash(new_result, item)
        place, last = place >> 1, last >> 1
    return last == 0 and old_result == old_root and new_result == new_root


def verify_inclusion(
    index: int, size: int, leaf: bytes, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Tell whether ``proof`` shows a leaf hash at ``index`` (RFC 9162 section 2.1.3.2)."""
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
