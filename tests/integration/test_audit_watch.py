"""Verifying the logs on and on, a bounded number of entries at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg import Cursor
from sqlalchemy import Connection, delete, event, insert, update

from control_plane.adapters.audit.trail import SqlTrail
from control_plane.adapters.audit.watch import PORTION
from control_plane.adapters.db.audit_tables import audit_entry, audit_tree
from control_plane.adapters.db.engine import connect
from control_plane.domain.errors import Unavailable
from tests.integration.audit_attacker import (
    edit_and_hash,
    edited,
    entries,
    of_acme,
    put,
    resign,
    restore_backup,
)
from tests.integration.audit_world import ACME, HOST, OTHER, World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def trail(world: World, tmp_path: Path) -> SqlTrail:
    """The log as an API process sees it, with the signer's public key."""
    key = tmp_path / "audit.key.pub"
    key.write_bytes(world.key.public_pem())
    return SqlTrail(lambda: world.auditor, host=HOST, public_key=key)


def test_a_look_reads_only_what_was_added(world: World, trail: SqlTrail) -> None:
    world.grow(ACME, 60)
    world.grow(OTHER, 20)
    read: list[int] = []
    event.listen(
        world.auditor,
        "after_cursor_execute",
        lambda _c, cursor, statement, *_: (
            read.append(cursor.rowcount) if "FROM audit_entry" in statement else None
        ),
    )
    for _ in range(6):
        trail.look_on(15)
    assert trail.first_fault() == ""
    looked = len(read)
    trail.look_on(1000)
    assert len(read) == looked  # everything was verified: nothing is read again
    world.record(3)
    world.settle()
    trail.look_on(1000)
    assert len(read) == looked + 1
    assert trail.first_fault() == ""


def test_a_look_pauses_between_portions_of_few_entries(world: World, trail: SqlTrail) -> None:
    world.grow(ACME, 2 * PORTION + 10)
    world.grow(OTHER, 20)
    read: list[int] = []
    pauses: list[int] = []  # how much was read before each

    def note(_c: object, cursor: Cursor[object], statement: str, *_: object) -> None:
        if "FROM audit_entry" in statement:
            read.append(cursor.rowcount)

    event.listen(world.auditor, "after_cursor_execute", note)
    trail.look_on(1000, lambda _: pauses.append(sum(read)))
    assert pauses == [PORTION, 2 * PORTION]
    assert read == [PORTION, PORTION, 10 + 20]
    assert trail.first_fault() == ""


@pytest.mark.parametrize("content", [None, b"not a key"])
def test_without_the_signers_key_the_database_is_not_believed_silently(
    world: World, trail: SqlTrail, tmp_path: Path, content: bytes | None
) -> None:
    world.grow(ACME, 10)
    file, key = tmp_path / "audit.key.pub", world.key.public_pem()
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    trail.look_on(100)
    assert trail.first_fault().startswith("the public key audit.key.pub" if content is None else
                                          "audit.key.pub holds no public key")  # fmt: skip
    assert trail.first_fault().endswith("compared with keys from the database alone")
    file.write_bytes(key)
    trail.look_on(100)
    assert trail.first_fault() == ""


@pytest.mark.parametrize(
    "read",
    [SqlTrail.pressure, lambda trail: trail.checkpoint(ACME),
     lambda trail: trail.proof(ACME, 0), lambda trail: trail.tile(ACME, "tile/0/000"),
     lambda trail: trail.events(ACME, after=0, limit=1, action=None)],
)  # fmt: skip
def test_a_database_that_is_away_is_unavailable(
    tmp_path: Path, read: Callable[[SqlTrail], object]
) -> None:
    away = connect("postgresql://nobody@127.0.0.1:9/none", name="tests")
    trail = SqlTrail(lambda: away, host=HOST, public_key=tmp_path / "audit.key.pub")
    with pytest.raises(Unavailable):
        read(trail)


def test_a_look_finds_what_was_changed_before_it_was_read(world: World, trail: SqlTrail) -> None:
    world.grow(ACME, 40)
    world.grow(OTHER, 10)
    world.database.attack(edit_and_hash)
    for _ in range(10):
        trail.look_on(15)
    assert trail.first_fault().startswith(
        f"{ACME}: TAMPERED: entries from 0 to 39 are not the signed ones"
    )


def test_a_look_finds_a_history_that_was_changed_after_it_was_read(
    world: World, trail: SqlTrail
) -> None:
    world.grow(ACME, 40)
    trail.look_on(1000)

    def rewrite(connection: Connection) -> None:
        rows = entries(connection)
        rows[30] = edited(rows[30])
        put(connection, rows)
        resign(connection, world.key)

    world.database.attack(rewrite)
    world.journal_path.unlink()  # the signer's memory is gone too, and its key is the attacker's
    world.restart()
    world.grow(ACME, 10)
    trail.look_on(1000)
    assert "TAMPERED" in trail.first_fault()
    trail.look_on(1000)
    assert "TAMPERED" in trail.first_fault()


def test_a_look_finds_a_log_that_became_shorter(world: World, trail: SqlTrail) -> None:
    world.grow(ACME, 40)
    trail.look_on(1000)
    world.database.attack(lambda connection: restore_backup(connection, 20))
    trail.look_on(1000)
    assert trail.first_fault() == f"{ACME}: GAP: 40 entries were verified, but now there are 20"


def test_a_fault_that_was_mended_goes_away(world: World, trail: SqlTrail) -> None:
    world.grow(ACME, 20)
    rows = world.database.attack(entries)
    world.database.attack(
        lambda c: c.execute(delete(audit_entry).where(of_acme(audit_entry), audit_entry.c.idx == 7))
    )
    trail.look_on(1000)
    assert "GAP" in trail.first_fault()
    world.database.attack(lambda connection: put(connection, rows))
    trail.look_on(1000)
    assert trail.first_fault() == ""
    world.database.attack(
        lambda c: c.execute(update(audit_entry).where(of_acme(audit_entry)).values(leaf=bytes(32)))
    )
    assert trail.first_fault() == ""  # it tells what looks found, and reads nothing itself


def test_what_must_wait_for_the_logs_is_asked_once_for_many_mutations(
    world: World, tmp_path: Path
) -> None:
    key = tmp_path / "audit.key.pub"
    patient, hasty = (
        SqlTrail(lambda: world.auditor, host=HOST, public_key=key, pressure_seconds=seconds)
        for seconds in (60.0, 0.0)
    )
    assert not patient.pressure().held
    world.database.attack(
        lambda connection: connection.execute(
            insert(audit_tree).values(tenant_id=ACME, size=0, frontier=b"", held="damaged")
        )
    )
    assert not patient.pressure().held
    assert hasty.pressure().held == {ACME: "damaged"}
