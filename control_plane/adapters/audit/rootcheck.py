"""What the root log says of the other trees, once it was checked itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from control_plane.adapters.audit.checks import Findings, KeyInForce, check_checkpoint
from control_plane.adapters.audit.cosigned import newest_root
from control_plane.adapters.audit.merkle import leaf_hash, verify_inclusion
from control_plane.adapters.audit.note import Checkpoint, NoteInvalid, tree_origin
from control_plane.adapters.audit.report import Verdict
from control_plane.adapters.audit.rootleaf import RootLeaf, RootLeaves, parse_leaf
from control_plane.adapters.audit.rootlog import proved_leaf
from control_plane.adapters.audit.sequencer import parse_leniently
from control_plane.adapters.audit.tiles import HashesMissing
from control_plane.domain.audit import AuditEventInvalid
from control_plane.domain.deployment import ROOT


def add_contradictions(leaves: RootLeaves, findings: Findings) -> None:
    """Make findings of leaves that cannot both be true."""
    for idx, said in leaves.contradictions:
        findings.add(Verdict.FORKED, f"{said}, and both are signed", idx=idx)


def rooted_heads(
    leaves: Mapping[str, Sequence[RootLeaf]], host: str, covered: int
) -> dict[str, list[Checkpoint]]:
    """Return by tree the heads of leaves that a checkpoint of the root log covers."""
    return {
        tree: [_head(leaf, host) for leaf in found if leaf.idx < covered]
        for tree, found in leaves.items()
    }


def _head(leaf: RootLeaf, host: str) -> Checkpoint:
    return Checkpoint(origin=tree_origin(host, leaf.tree), size=leaf.size, root=leaf.root)


def rooted_head(
    connection: Connection,
    tree: str,
    host: str,
    keys: Sequence[KeyInForce],
    findings: Findings,
) -> list[Checkpoint] | None:
    """Return the newest head of one tree that the root log proves, without reading that whole.

    ``keys`` are those of the root log. None where there is no root log at all.
    """
    newest = newest_root(connection)
    if newest is None:
        return None
    try:
        head = check_checkpoint(newest.note, tree_origin(host, ROOT), keys, newest.size)
        found = proved_leaf(connection, tree, newest)
        leaf = None if found is None else _proved(found, head, tree)
    except (NoteInvalid, HashesMissing, AuditEventInvalid) as exc:
        findings.add(Verdict.TAMPERED, f"the root log: {exc}")
        return []
    return [] if leaf is None else [_head(leaf, host)]


def _proved(found: tuple[int, bytes, list[bytes]], head: Checkpoint, tree: str) -> RootLeaf:
    """Return a leaf that is under ``head`` and of ``tree``. Raises ``NoteInvalid`` or for form."""
    idx, entry, proof = found
    if not verify_inclusion(idx, head.size, leaf_hash(entry), head.root, proof):
        raise NoteInvalid("the entry of this log is not the signed one")
    leaf = parse_leaf(idx, parse_leniently(entry.partition(b"\n")[2]))
    if leaf.tree != tree:
        raise NoteInvalid("its entry for this log belongs to another one")
    return leaf
