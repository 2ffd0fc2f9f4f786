"""The Merkle tree against public vectors, against a naive definition, and against forgers.

The known values are those of the Certificate Transparency reference tree (eight leaves), as
published with transparency-dev/merkle.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.adapters.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    inclusion_proof,
    join_ranges,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
)
from tests.memory_tree import MemoryTree, verify_inclusion

KNOWN_ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
KNOWN_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAF_1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
NODE_2_3 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
NODE_4_7 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
LEAF_4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
NODE_4_5 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
NODE_6_7 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
LEAF_6 = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f"
KNOWN_INCLUSION = [
    (0, 8, [LEAF_1, NODE_2_3, NODE_4_7]),
    (5, 8, [LEAF_4, NODE_6_7, KNOWN_ROOTS[3]]),
    (2, 3, [KNOWN_ROOTS[1]]),
    (1, 5, [KNOWN_ROOTS[0], NODE_2_3, LEAF_4]),
]
KNOWN_CONSISTENCY = [
    (1, 1, []),
    (1, 8, [LEAF_1, NODE_2_3, NODE_4_7]),
    (6, 8, [NODE_4_5, NODE_6_7, KNOWN_ROOTS[3]]),
    (2, 5, [NODE_2_3, LEAF_4]),
    (6, 7, [NODE_4_5, LEAF_6, KNOWN_ROOTS[3]]),
]
SOME_HASH = hashlib.sha256(b"some").digest()


def tree_of(size: int) -> MemoryTree:
    return MemoryTree(leaf_hash(str(n).encode()) for n in range(size))


def naive_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962 section 2.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


@pytest.fixture(scope="module")
def known() -> MemoryTree:
    tree = MemoryTree()
    for entry in KNOWN_ENTRIES:
        tree.append(entry)
    return tree


def test_roots_equal_the_published_ones(known: MemoryTree) -> None:
    assert [known.root(n + 1).hex() for n in range(8)] == KNOWN_ROOTS
    assert known.root(0) == EMPTY_ROOT


@pytest.mark.parametrize(("index", "size", "path"), KNOWN_INCLUSION)
def test_inclusion_proofs_equal_the_published_ones(
    known: MemoryTree, index: int, size: int, path: list[str]
) -> None:
    proof = known.inclusion(index, size)
    assert [item.hex() for item in proof] == path
    assert verify_inclusion(index, size, leaf_hash(KNOWN_ENTRIES[index]), known.root(size), proof)


@pytest.mark.parametrize(("old", "new", "path"), KNOWN_CONSISTENCY)
def test_consistency_proofs_equal_the_published_ones(
    known: MemoryTree, old: int, new: int, path: list[str]
) -> None:
    proof = known.consistency(old, new)
    assert [item.hex() for item in proof] == path
    assert verify_consistency(old, new, known.root(old), known.root(new), proof)


def test_every_size_up_to_130_has_the_root_of_the_definition() -> None:
    leaves = [leaf_hash(str(n).encode()) for n in range(130)]
    frontier = Frontier()
    for size in range(131):
        assert frontier.root == root_of(leaves[:size]) == naive_root(leaves[:size])
        assert Frontier.from_bytes(size, frontier.to_bytes()) == frontier
        if size < 130:
            frontier = frontier.extend([leaves[size]])


def test_every_proof_of_every_size_up_to_40_verifies() -> None:
    tree = tree_of(40)
    leaves = [leaf_hash(str(n).encode()) for n in range(40)]
    for size in range(1, 41):
        for index in range(size):
            proof = tree.inclusion(index, size)
            assert verify_inclusion(index, size, leaves[index], tree.root(size), proof)
        for old in range(1, size + 1):
            proof = tree.consistency(old, size)
            assert verify_consistency(old, size, tree.root(old), tree.root(size), proof)


@given(st.integers(1, 5000), st.data())
@settings(max_examples=60, deadline=None)
def test_proofs_of_large_trees_verify_and_are_short(size: int, data: st.DataObject) -> None:
    tree = tree_of(size)
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    path = tree.inclusion(index, size)
    assert len(path) <= size.bit_length()
    assert verify_inclusion(index, size, leaf_hash(str(index).encode()), tree.root(), path)
    assert verify_consistency(old, size, tree.root(old), tree.root(), tree.consistency(old, size))


@given(st.integers(1, 3000), st.integers(1, 3000))
@settings(max_examples=60, deadline=None)
def test_appending_in_parts_is_appending_at_once(first: int, second: int) -> None:
    leaves = [leaf_hash(str(n).encode()) for n in range(first + second)]
    assert Frontier().extend(leaves[:first]).extend(leaves[first:]).root == root_of(leaves)


@given(st.integers(1, 2000))
@settings(max_examples=40, deadline=None)
def test_perfect_subtrees_join_to_the_hash_of_their_range(size: int) -> None:
    tree = tree_of(size)
    parts, at = [], 0
    while at < size:
        width = 16 if at % 16 == 0 and at + 16 <= size else 1
        parts.append((tree.range_hash(at, at + width), width))
        at += width
    assert join_ranges(parts) == tree.root()


def forged_paths(proof: list[bytes], extra: list[bytes], bit: int) -> list[list[bytes]]:
    """Every way to spoil a path that the public test vectors know, and some more."""
    forged = [[*proof, item] for item in (b"", *extra)]
    forged += [[item, *proof] for item in (b"", *extra)]
    forged += [proof[:-1], proof[1:]] if proof else []
    for n, item in enumerate(proof):
        flipped = bytearray(item)
        flipped[bit // 8] ^= 1 << bit % 8
        forged.append([*proof[:n], bytes(flipped), *proof[n + 1 :]])
        forged.append([*proof[:n], item, item, *proof[n + 1 :]])
        forged.append([*proof[:n], *proof[n + 1 :]])
        forged.append([*proof[:n], item[:31], *proof[n + 1 :]])
    for n, (a, b) in enumerate(pairwise(proof)):
        if a != b:
            forged.append([*proof[:n], b, a, *proof[n + 2 :]])
    return [path for path in forged if path != proof]


@given(st.integers(1, 300), st.integers(0, 255), st.data())
@settings(max_examples=1000, deadline=None)
def test_no_forged_inclusion_proof_is_accepted(size: int, bit: int, data: st.DataObject) -> None:
    tree = tree_of(size)
    index = data.draw(st.integers(0, size - 1))
    leaf, root = leaf_hash(str(index).encode()), tree.root()
    proof = tree.inclusion(index, size)
    for path in forged_paths(proof, [root, leaf, SOME_HASH], bit):
        assert not verify_inclusion(index, size, leaf, root, path)
    for other in {index - 1, index + 1, index ^ 2, size, -1} - {index}:
        assert not verify_inclusion(other, size, leaf, root, proof)
    for wrong in (SOME_HASH, EMPTY_ROOT, b"", leaf[:31]):
        assert not verify_inclusion(index, size, wrong, root, proof)
        assert not verify_inclusion(index, size, leaf, wrong, proof)


def test_an_inclusion_proof_holds_for_a_tree_of_another_height_never() -> None:
    for size in range(1, 65):
        tree = tree_of(size)
        for index in range(size):
            proof, leaf = tree.inclusion(index, size), leaf_hash(str(index).encode())
            assert not verify_inclusion(index, size * 2, leaf, tree.root(), proof)
            assert not verify_inclusion(index, size // 2, leaf, tree.root(), proof) or size == 1


@given(st.integers(2, 300), st.integers(0, 255), st.data())
@settings(max_examples=1000, deadline=None)
def test_no_forged_consistency_proof_is_accepted(size: int, bit: int, data: st.DataObject) -> None:
    tree = tree_of(size)
    old = data.draw(st.integers(1, size - 1))
    roots = tree.root(old), tree.root()
    proof = tree.consistency(old, size)
    for path in [*forged_paths(proof, [*roots, SOME_HASH], bit), []]:
        assert not verify_consistency(old, size, *roots, path)
    assert not verify_consistency(old, size, roots[1], roots[0], proof)
    assert not verify_consistency(old, size, SOME_HASH, roots[1], proof)
    assert not verify_consistency(old, size, roots[0], SOME_HASH, proof)
    for other in {old - 1, old + 1, old ^ 2, 0, size + 1} - {old}:
        assert not verify_consistency(other, size, *roots, proof)
    assert not verify_consistency(old, size * 2, *roots, proof)
    assert not verify_consistency(old, size // 2, *roots, proof)


def test_an_empty_tree_proves_nothing() -> None:
    tree = tree_of(3)
    assert not verify_consistency(0, 3, EMPTY_ROOT, tree.root(), [])
    assert not verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])
    assert not verify_inclusion(0, 0, SOME_HASH, EMPTY_ROOT, [])
    with pytest.raises(ValueError, match="0 < old"):
        tree.consistency(0, 3)
    with pytest.raises(ValueError, match="no such leaf"):
        inclusion_proof(3, 3, tree.range_hash)


def test_equal_sizes_are_consistent_only_with_equal_roots_and_no_proof() -> None:
    tree = tree_of(5)
    assert verify_consistency(5, 5, tree.root(), tree.root(), [])
    assert not verify_consistency(5, 5, tree.root(), SOME_HASH, [])
    assert not verify_consistency(5, 5, tree.root(), tree.root(), [SOME_HASH])


def test_a_frontier_that_does_not_fit_its_size_is_refused() -> None:
    with pytest.raises(ValueError, match="set bit"):
        Frontier(size=3, hashes=(SOME_HASH,))
    with pytest.raises(ValueError, match="32 bytes"):
        Frontier(size=1, hashes=(b"short",))
    with pytest.raises(ValueError, match="set bit"):
        Frontier.from_bytes(2, SOME_HASH * 2)
