"""The exposure clock: for how long signed heads have been known to this operator alone.

What is under a head of the root log that a quorum of witnesses cosigned, the operator can no longer
change unseen, even with the signing key. The cosignatures are verified here, by the policy and not
by what the database says of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, func, literal, select, true

from control_plane.adapters.audit.addcheckpoint import ALARMS
from control_plane.adapters.audit.cosignature import read_cosignatures
from control_plane.adapters.audit.cosigned import CosignedCheckpoint, newest_quorum, newest_root
from control_plane.adapters.audit.note import NoteInvalid
from control_plane.adapters.audit.trustpolicy import TrustPolicy
from control_plane.adapters.audit.witnessing import REFRESH
from control_plane.adapters.db.audit_tables import (
    audit_checkpoint,
    audit_root_leaf,
    audit_tree,
    audit_witness,
)
from control_plane.domain.audit import rfc3339
from control_plane.domain.deployment import ROOT
from control_plane.ports.stores import Exposure

_NOW: Final = func.clock_timestamp()


def exposure(connection: Connection, policy: TrustPolicy, limit: timedelta) -> Exposure:
    """Return the clock by the database's time; the transaction must see the root log.

    ``limit`` is how long a head may wait before it is a problem.
    """
    now: datetime = connection.execute(select(_NOW)).scalar_one()
    newest = newest_root(connection)
    shown = newest_quorum(connection)
    at = None if shown is None else verified_at(shown, policy)
    seen = shown.size if shown is not None and at is not None else 0
    first_unseen = connection.execute(_first_signed(seen)).scalar_one_or_none()
    found = Exposure(
        size=seen,
        newest=0 if newest is None else newest.size,
        witnessed_at=at,
        age=None if at is None else max(now - at, timedelta(0)),
        exposed=timedelta(0) if first_unseen is None else max(now - first_unseen, timedelta(0)),
    )
    return found.judged(limit, refresh=REFRESH)


def verified_at(checkpoint: CosignedCheckpoint, policy: TrustPolicy) -> datetime | None:
    """Return since when a quorum vouches for a checkpoint by its cosignatures; None without one."""
    text = checkpoint.note.partition("\n\n")[0] + "\n"
    try:
        lines = [str(item["line"]) for item in checkpoint.cosigs]
        return policy.quorum_time(read_cosignatures(lines, text, policy.keys))
    except (NoteInvalid, KeyError, TypeError):
        return None


def _first_signed(size: int) -> Any:
    """Return a query for when the first head of the root log above a size was signed."""
    return (
        select(audit_checkpoint.c.signed_at)
        .where(audit_checkpoint.c.tenant_id == ROOT, audit_checkpoint.c.size > size)
        .order_by(audit_checkpoint.c.size)
        .limit(1)
    )


def statuses(
    connection: Connection,
    clock: Exposure | None,
    *,
    tree: str | None = None,
    after: str = "",
    limit: int = 1,
) -> list[dict[str, Any]]:
    """Return how far trees are: that one, or those after a name, in the order of their names.

    ``clock`` is that of the root log; None where no quorum is asked for. The transaction must see
    the trees and the root log.
    """
    seen = 0 if clock is None else clock.size
    chosen = select(audit_tree.c.tenant_id, audit_tree.c.size, audit_tree.c.held)
    chosen = (
        chosen.where(audit_tree.c.tenant_id > after)
        if tree is None
        else chosen.where(audit_tree.c.tenant_id == tree)
    )
    trees = chosen.order_by(audit_tree.c.tenant_id).limit(limit).subquery("trees")
    of_tree = audit_root_leaf.c.tenant_id == trees.c.tenant_id
    by_size = audit_root_leaf.c.size.desc()
    in_root = select(audit_root_leaf.c.size).where(of_tree).order_by(by_size).limit(1)
    seen_leaf = in_root.where(audit_root_leaf.c.idx < seen)
    newest = (
        select(audit_checkpoint.c.size, audit_checkpoint.c.signed_at)
        .where(audit_checkpoint.c.tenant_id == trees.c.tenant_id)
        .order_by(audit_checkpoint.c.size.desc())
        .limit(1)
        .lateral("newest")
    )
    rooted, leaf = in_root.lateral("rooted"), seen_leaf.lateral("leaf")
    unseen = (
        select(audit_checkpoint.c.signed_at)
        .where(
            audit_checkpoint.c.tenant_id == trees.c.tenant_id,
            audit_checkpoint.c.size > func.coalesce(leaf.c.size, 0),
        )
        .order_by(audit_checkpoint.c.size)
        .limit(1)
        .lateral("unseen")
    )
    query = select(
        trees.c.tenant_id, trees.c.size, trees.c.held,
        newest.c.size.label("signed"), newest.c.signed_at,
        rooted.c.size.label("in_root"), leaf.c.size.label("witnessed"),
        (_NOW - unseen.c.signed_at).label("exposed"), literal(seen).label("seen"),
    ).select_from(
        trees.outerjoin(newest, true()).outerjoin(rooted, true()).outerjoin(leaf, true())
        .outerjoin(unseen, true())
    )  # fmt: skip
    rows = connection.execute(query.order_by(trees.c.tenant_id))
    return [_status(row, clock) for row in rows]


def _status(row: Row[Any], clock: Exposure | None) -> dict[str, Any]:
    is_root = row.tenant_id == ROOT
    witnessed = (row.seen or None) if is_root else row.witnessed
    exposed = clock.exposed if clock is not None and is_root else row.exposed or timedelta(0)
    at = clock.witnessed_at if clock is not None and witnessed is not None else None
    age = clock.age if clock is not None and witnessed is not None else None
    return {
        "tree": row.tenant_id,
        "size": row.size,
        "signed": row.signed,
        "signed_at": None if row.signed_at is None else rfc3339(row.signed_at),
        "in_root": None if is_root else row.in_root,
        "witnessed": witnessed,
        "witnessed_at": None if at is None else rfc3339(at),
        "age_seconds": seconds(age),
        "exposed_seconds": None if clock is None else seconds(exposed),
        "held": row.held,
    }


def seconds(length: timedelta | None) -> int | None:
    """Return whole seconds."""
    return None if length is None else int(length.total_seconds())


def witness_statuses(connection: Connection, policy: TrustPolicy) -> Sequence[dict[str, Any]]:
    """Return what each witness of the policy did last, and what is wrong with it."""
    rows = {row.name: row for row in connection.execute(select(audit_witness))}
    found = []
    for item in policy.witnesses:
        row = rows.get(item.name)
        is_same_key = row is not None and row.key_id in {None, item.key.id.hex()}
        known = row if is_same_key else None
        found.append({
            "name": item.name,
            "key": str(item.key),
            "is_asked": item.url is not None,
            "size": 0 if known is None else known.size,
            "cosigned_at": _time(None if known is None else known.cosigned_at),
            "fault": None if known is None else known.fault,
            "fault_since": _time(None if known is None else known.fault_since),
        })  # fmt: skip
    return found


def alarm(witnesses: Sequence[Mapping[str, Any]]) -> str:
    """Say which witness has cosigned another history of the root log than there is, or ''."""
    for each in witnesses:
        if each["fault"] in ALARMS:
            since = each["fault_since"]
            return f"witness {each['name']} has cosigned another history ({each['fault']}, {since})"
    return ""


def _time(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)
