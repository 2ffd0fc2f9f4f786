"""Cosignatures as they are stored: with the checkpoint, and what each witness has done last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, case, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from control_plane.adapters.audit.cosignature import Cosignature
from control_plane.adapters.audit.trustpolicy import MAX_WITNESSES, TrustPolicy
from control_plane.adapters.db.audit_tables import audit_checkpoint, audit_witness
from control_plane.domain.deployment import ROOT


def keep_cosignatures(
    connection: Connection, size: int, new: Sequence[Cosignature], policy: TrustPolicy
) -> None:
    """Store cosignatures with the root log's checkpoint of a size, and that a quorum has it.

    Of one key the newest is kept. One of a key that the policy does not name any more stays as long
    as the note has room.
    """
    of_size = (audit_checkpoint.c.tenant_id == ROOT, audit_checkpoint.c.size == size)
    held = connection.execute(select(audit_checkpoint.c.cosigs).where(*of_size)).scalar_one()
    found = {item["key_id"]: stored(item) for item in held}
    for item in new:
        if item.key_id not in found or found[item.key_id].time < item.time:
            found[item.key_id] = item
    named = {key.id.hex() for key in policy.keys}
    kept = sorted(found.values(), key=lambda item: (item.key_id not in named, item.name))
    kept = kept[:MAX_WITNESSES]
    quorum_at = policy.quorum_time(kept)
    values: dict[str, Any] = {"cosigs": [item.to_json() for item in kept]}
    if quorum_at is not None:  # what a quorum has seen stays seen, whatever the policy becomes
        values["quorum_at"] = func.greatest(audit_checkpoint.c.quorum_at, literal(quorum_at))
    connection.execute(update(audit_checkpoint).where(*of_size).values(values))
    times = {item.key_id: item.time for item in new}
    columns = ("key_id", "size", "cosigned_at")
    rows = [
        {"name": item.name, "key_id": item.key.id.hex(), "size": size,
         "cosigned_at": times[item.key.id.hex()]}
        for item in policy.witnesses if item.key.id.hex() in times
    ]  # fmt: skip
    if rows:
        statement = insert(audit_witness)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["name"],
                set_={
                    **{name: statement.excluded[name] for name in columns},
                    "fault": None,
                    "fault_since": None,
                },
            ),
            rows,
        )


def keep_faults(connection: Connection, faults: Mapping[str, str]) -> None:
    """Store by witness what is wrong with it, '' where nothing is, and since when."""
    statement = insert(audit_witness)
    is_same = audit_witness.c.fault == statement.excluded.fault
    since = case((is_same, audit_witness.c.fault_since), else_=statement.excluded.fault_since)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["name"], set_={"fault": statement.excluded.fault, "fault_since": since}
        ),
        [
            {"name": name, "fault": fault or None,
             "fault_since": datetime.now(UTC) if fault else None}
            for name, fault in faults.items()
        ],
    )  # fmt: skip


def stored(item: Mapping[str, Any]) -> Cosignature:
    """Return a cosignature as the database has it."""
    return Cosignature(
        name=item["name"], key_id=item["key_id"],
        time=datetime.fromtimestamp(item["time"], UTC), line=item["line"],
    )  # fmt: skip
