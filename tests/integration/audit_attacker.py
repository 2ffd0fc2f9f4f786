"""What an administrator of the database can do to an audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Table, delete, insert, select, update

from control_plane.adapters.audit.keys import KeyFileSigner
from control_plane.adapters.audit.merkle import Frontier, leaf_hash
from control_plane.adapters.audit.note import Checkpoint
from control_plane.adapters.audit.sequencer import header, parse_leniently, pointer_keys
from control_plane.adapters.db.audit_tables import (
    audit_checkpoint,
    audit_entry,
    audit_subtree,
    audit_tree,
)
from control_plane.domain.audit import encode_body, event_uuid, rfc3339
from tests.integration.audit_world import ACME, HOST, make_event

ORIGIN = f"{HOST}/audit/{ACME}"


def of_acme(table: Table) -> Any:
    return table.c.tenant_id == ACME


def given(table: Table) -> list[Column[Any]]:
    """Return the columns of a table without those that the database computes."""
    return [column for column in table.c if column.computed is None]


def entries(connection: Connection) -> list[dict[str, Any]]:
    query = select(*given(audit_entry)).where(of_acme(audit_entry)).order_by(audit_entry.c.idx)
    return [dict(row._mapping) for row in connection.execute(query)]


def put(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Replace all entries and everything that is derived from them: all that needs no key."""
    newest: dict[tuple[str, str], int] = {}
    for idx, row in enumerate(rows):
        old_header, body = bytes(row["entry"]).split(b"\n", 1)
        keys = pointer_keys(parse_leniently(body))
        prev = {kind: newest[kind, value] for kind, value in keys.items()
                if (kind, value) in newest}  # fmt: skip
        newest.update(((kind, value), idx) for kind, value in keys.items())
        time = parse_leniently(old_header)["seq_time"]
        row["idx"], row["entry"] = idx, header(idx, prev, time) + b"\n" + body
        row["leaf"] = leaf_hash(row["entry"])
    frontier = Frontier().extend(row["leaf"] for row in rows)
    connection.execute(delete(audit_entry).where(of_acme(audit_entry)))
    connection.execute(delete(audit_subtree).where(of_acme(audit_subtree)))
    connection.execute(insert(audit_entry), rows)
    connection.execute(
        update(audit_tree)
        .where(of_acme(audit_tree))
        .values(size=frontier.size, frontier=frontier.to_bytes())
    )


def logged_at(row: dict[str, Any], time: datetime) -> dict[str, Any]:
    """Return an entry with another time in its header."""
    line, body = bytes(row["entry"]).split(b"\n", 1)
    found = parse_leniently(line)
    return {**row, "entry": header(found["idx"], found["prev"], rfc3339(time)) + b"\n" + body}


def edited(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "entry": bytes(row["entry"]).replace(b'"approvals":', b'"approvals":9')}


def forged_row(row: dict[str, Any]) -> dict[str, Any]:
    event = make_event(500)
    body = encode_body(event, {})
    line = bytes(row["entry"]).split(b"\n", 1)[0]
    return {**row, "event_id": event_uuid(event.id), "entry": line + b"\n" + body}


def resign(connection: Connection, key: KeyFileSigner) -> None:
    """Sign every checkpoint anew over what the entries are now."""
    frontier = Frontier()
    rows = entries(connection)
    sizes = set(
        connection.execute(select(audit_checkpoint.c.size).where(of_acme(audit_checkpoint)))
        .scalars()
        .all()
    )
    for row in rows:
        frontier = frontier.extend([bytes(row["leaf"])])
        if frontier.size in sizes:
            head = Checkpoint(origin=ORIGIN, size=frontier.size, root=frontier.root)
            connection.execute(
                update(audit_checkpoint)
                .where(of_acme(audit_checkpoint), audit_checkpoint.c.size == frontier.size)
                .values(note=head.signed(key))
            )


def edit_and_hash(connection: Connection) -> None:
    rows = entries(connection)
    rows[30] = edited(rows[30])
    put(connection, rows)


def restore_backup(connection: Connection, size: int) -> None:
    put(connection, entries(connection)[:size])
    connection.execute(
        delete(audit_checkpoint).where(of_acme(audit_checkpoint), audit_checkpoint.c.size > size)
    )
