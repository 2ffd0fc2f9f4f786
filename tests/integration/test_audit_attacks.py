"""Which attack on the audit log is found by whom.

The attacker administers the database. The verifying party has the public key, and in two of three
columns a checkpoint that it kept: of size 60, or of the whole log of 100 entries. What a column
cannot find is asserted too, since that is the exposure that ``docs/audit-log.md`` tells of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from control_plane.adapters.audit.keys import KeyFileSigner
from control_plane.adapters.audit.note import Checkpoint, VerifierKey
from control_plane.adapters.audit.sequencer import parse_leniently
from control_plane.adapters.audit.verify import PinInvalid, verify
from control_plane.adapters.db.audit_tables import (
    AUDIT_TABLES,
    audit_checkpoint,
    audit_entry,
    audit_key,
    audit_subtree,
    audit_tree,
)
from tests.integration.audit_attacker import (
    ORIGIN,
    edit_and_hash,
    edited,
    entries,
    forged_row,
    given,
    logged_at,
    of_acme,
    put,
    resign,
)
from tests.integration.audit_world import ACME, HOST, OTHER, Database, World, verdicts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def world(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    database = Database(owner_url=postgres_url)
    database.create()
    world = World(database, tmp_path_factory.mktemp("signer"))
    world.grow(ACME, 100)
    world.grow(OTHER, 100)
    yield world
    world.close()


@pytest.fixture(scope="module")
def good(world: World) -> Rows:
    """Every row of the untouched log."""
    rows: Rows = {}

    def read(connection: Connection) -> None:
        for table in AUDIT_TABLES:
            rows[table.name] = [
                dict(row._mapping) for row in connection.execute(select(*given(table)))
            ]

    world.database.attack(read)
    return rows


@pytest.fixture
def log(world: World, good: Rows) -> Iterator[World]:
    yield world

    def restore(connection: Connection) -> None:
        for table in AUDIT_TABLES:
            connection.execute(delete(table))
            if good[table.name]:
                connection.execute(insert(table), good[table.name])

    world.database.attack(restore)


# --- attacks that leave traces in the rows ----------------------------------------------------
def flip_a_bit(connection: Connection, world: World) -> None:
    row = entries(connection)[42]
    content = bytearray(row["entry"])
    content[200] ^= 1
    connection.execute(
        update(audit_entry)
        .where(of_acme(audit_entry), audit_entry.c.idx == 42)
        .values(entry=bytes(content))
    )


def edit_an_entry(connection: Connection, world: World) -> None:
    connection.execute(
        update(audit_entry)
        .where(of_acme(audit_entry), audit_entry.c.idx == 42)
        .values(entry=edited(entries(connection)[42])["entry"])
    )


def delete_an_entry(connection: Connection, world: World) -> None:
    connection.execute(delete(audit_entry).where(of_acme(audit_entry), audit_entry.c.idx == 42))


def swap_two_entries(connection: Connection, world: World) -> None:
    rows = entries(connection)
    for at, other in ((42, 43), (43, 42)):
        connection.execute(
            update(audit_entry)
            .where(of_acme(audit_entry), audit_entry.c.idx == at)
            .values(entry=rows[other]["entry"])
        )


# --- attacks with everything hashed anew ------------------------------------------------------
def edit_without_a_key(connection: Connection, world: World) -> None:
    edit_and_hash(connection)


def delete_and_hash(connection: Connection, world: World) -> None:
    rows = entries(connection)
    put(connection, rows[:30] + rows[31:])


def insert_and_hash(connection: Connection, world: World) -> None:
    rows = entries(connection)
    put(connection, [*rows[:30], forged_row(rows[30]), *rows[30:]])


def cut_the_tail(connection: Connection, world: World) -> None:
    put(connection, entries(connection)[:80])


def cut_the_tail_and_its_checkpoints(connection: Connection, world: World) -> None:
    put(connection, entries(connection)[:80])
    connection.execute(
        delete(audit_checkpoint).where(of_acme(audit_checkpoint), audit_checkpoint.c.size > 80)
    )


def cut_below_sixty(connection: Connection, world: World) -> None:
    put(connection, entries(connection)[:50])
    connection.execute(
        delete(audit_checkpoint).where(of_acme(audit_checkpoint), audit_checkpoint.c.size > 50)
    )


def remove_the_whole_log(connection: Connection, world: World) -> None:
    for table in (audit_entry, audit_checkpoint, audit_tree, audit_key, audit_subtree):
        connection.execute(delete(table).where(of_acme(table)))


def long_ago(row: dict[str, Any], days: float = 1) -> dict[str, Any]:
    return logged_at(row, datetime.now(UTC) - timedelta(days=days))


def rewrite_all_and_remove_checkpoints(connection: Connection, world: World) -> None:
    """Leave a log that nobody signed, its key forgotten too."""
    put(connection, [long_ago(edited(row)) for row in entries(connection)])
    for table in (audit_checkpoint, audit_key):
        connection.execute(delete(table).where(of_acme(table)))


def rewrite_after_seventy_and_remove_checkpoints(connection: Connection, world: World) -> None:
    rows = entries(connection)
    put(connection, rows[:70] + [long_ago(edited(row)) for row in rows[70:]])
    connection.execute(
        delete(audit_checkpoint).where(of_acme(audit_checkpoint), audit_checkpoint.c.size > 70)
    )


def move_the_tail_back_in_time(connection: Connection, world: World) -> None:
    """Backdate unsigned entries by a second, too little to count as unsigned for long."""
    rows = entries(connection)
    before = datetime.fromisoformat(parse_leniently(rows[79]["entry"].split(b"\n")[0])["seq_time"])
    put(connection, rows[:80] + [logged_at(r, before - timedelta(seconds=1)) for r in rows[80:]])
    connection.execute(
        delete(audit_checkpoint).where(of_acme(audit_checkpoint), audit_checkpoint.c.size > 80)
    )


def date_the_tail_into_the_future(connection: Connection, world: World) -> None:
    """Give entries a time that makes them look as if they waited for a signature still."""
    rows = entries(connection)
    put(connection, rows[:80] + [long_ago(row, days=-1) for row in rows[80:]])
    connection.execute(
        delete(audit_checkpoint).where(of_acme(audit_checkpoint), audit_checkpoint.c.size > 80)
    )


# --- attacks with a key -----------------------------------------------------------------------
def edit_and_sign_with_the_stolen_key(connection: Connection, world: World) -> None:
    edit_and_hash(connection)
    resign(connection, world.key)


def edit_after_sixty_and_sign_with_the_stolen_key(connection: Connection, world: World) -> None:
    rows = entries(connection)
    rows[80] = edited(rows[80])
    put(connection, rows)
    resign(connection, world.key)


def fork_with_the_stolen_key(connection: Connection, world: World) -> None:
    """Leave an older checkpoint of another history among the good ones."""
    forged = Checkpoint(origin=ORIGIN, size=40, root=bytes(32)).signed(world.key)
    connection.execute(
        update(audit_checkpoint)
        .where(of_acme(audit_checkpoint), audit_checkpoint.c.size == 40)
        .values(note=forged)
    )


def edit_and_sign_with_an_own_key(connection: Connection, world: World) -> None:
    own = KeyFileSigner.generate()
    edit_and_hash(connection)
    resign(connection, own)
    key = VerifierKey(name=ORIGIN, public_key=own.public_key)
    connection.execute(
        update(audit_key).where(of_acme(audit_key)).values(key_id=key.id.hex(), vkey=str(key))
    )


def serve_another_log(connection: Connection, world: World) -> None:
    for table in (audit_entry, audit_checkpoint, audit_tree, audit_key):
        connection.execute(delete(table).where(of_acme(table)))
    for table in (audit_entry, audit_checkpoint, audit_tree, audit_key):
        rows = [
            {**row._mapping, "tenant_id": ACME}
            for row in connection.execute(select(*given(table)).where(table.c.tenant_id == OTHER))
        ]
        connection.execute(delete(table).where(table.c.tenant_id == OTHER))
        connection.execute(insert(table), rows)


Attack = Callable[[Connection, World], None]
NEVER: set[str] = set()
MATRIX: list[tuple[Attack, set[str], set[str], set[str]]] = [
    # attack, found by the key alone, with a checkpoint of 60, with one of 100
    (flip_a_bit, {"TAMPERED"}, {"REWRITTEN"}, {"REWRITTEN"}),
    (edit_an_entry, {"TAMPERED"}, {"REWRITTEN"}, {"REWRITTEN"}),
    (delete_an_entry, {"GAP", "TAMPERED"}, {"REWRITTEN"}, {"REWRITTEN"}),
    (swap_two_entries, {"TAMPERED", "MALFORMED"}, {"REWRITTEN"}, {"REWRITTEN"}),
    (edit_without_a_key, {"TAMPERED"}, {"REWRITTEN"}, {"REWRITTEN"}),
    (delete_and_hash, {"TAMPERED"}, {"REWRITTEN"}, {"REWRITTEN"}),
    (insert_and_hash, {"TAMPERED"}, {"REWRITTEN"}, {"REWRITTEN"}),
    (cut_the_tail, {"TAMPERED"}, {"TAMPERED"}, {"REWRITTEN"}),
    (cut_the_tail_and_its_checkpoints, NEVER, NEVER, {"REWRITTEN"}),
    (rewrite_all_and_remove_checkpoints, {"UNSIGNED"}, {"REWRITTEN"}, {"REWRITTEN"}),
    (rewrite_after_seventy_and_remove_checkpoints, {"UNSIGNED"}, {"UNSIGNED"}, {"REWRITTEN"}),
    (move_the_tail_back_in_time, {"MISDATED"}, {"MISDATED"}, {"REWRITTEN"}),
    (date_the_tail_into_the_future, {"MISDATED"}, {"MISDATED"}, {"REWRITTEN"}),
    (cut_below_sixty, NEVER, {"REWRITTEN"}, {"REWRITTEN"}),
    (edit_and_sign_with_the_stolen_key, NEVER, {"REWRITTEN"}, {"REWRITTEN"}),
    (edit_after_sixty_and_sign_with_the_stolen_key, NEVER, NEVER, {"REWRITTEN"}),
    (serve_another_log, {"BADSIG", "MALFORMED"}, {"BADSIG"}, {"BADSIG"}),
    (fork_with_the_stolen_key, {"FORKED"}, {"FORKED"}, {"FORKED"}),
    (edit_and_sign_with_an_own_key, {"BADSIG"}, {"BADSIG"}, {"BADSIG"}),
    (remove_the_whole_log, {"GAP"}, {"REWRITTEN"}, {"REWRITTEN"}),
]


@pytest.mark.parametrize("row", MATRIX, ids=lambda row: row[0].__name__)
def test_each_attack_is_found_by_exactly_those_who_can(
    log: World, row: tuple[Attack, set[str], set[str], set[str]]
) -> None:
    attack, *expected = row
    notes = log.notes()
    held: list[list[str]] = [[], [notes[5]], [notes[9]]]
    assert [note.split("\n")[1] for pins in held for note in pins] == ["60", "100"]
    log.database.attack(lambda connection: attack(connection, log))
    for pins, wanted in zip(held, expected, strict=True):
        report = log.verify([ACME], pins)
        assert wanted <= verdicts(report)
        assert (report.exit_code == 0) == (not wanted)
        assert (report.verdict == "OK") == (not wanted)


def test_the_untouched_logs_pass_with_every_checkpoint_held(log: World) -> None:
    report = log.verify(pins=log.notes(ACME) + log.notes(OTHER))
    assert (report.exit_code, report.verdict) == (0, "OK")
    assert [tree.entries for tree in report.trees] == [100, 100]
    assert all(len(tree.pinned) == 10 for tree in report.trees)


def test_without_the_public_key_the_report_says_that_it_trusts_the_database(log: World) -> None:
    log.database.attack(lambda connection: edit_and_sign_with_an_own_key(connection, log))
    report = verify(log.auditor, host=HOST, trees=[ACME])
    assert report.exit_code == 0
    assert "taken from the database under test" in report.to_text()
    assert report.to_json()["keys"] == "database"


def test_a_vanished_log_is_missed_only_by_those_who_never_heard_of_it(log: World) -> None:
    pin = log.notes(ACME)[-1]
    log.database.attack(lambda connection: remove_the_whole_log(connection, log))
    assert log.verify().exit_code == 0
    report = log.verify(pins=[pin])
    assert [tree.tree for tree in report.trees] == [OTHER, ACME]
    assert verdicts(report) == {"GAP", "REWRITTEN"}


def test_a_log_that_a_tenant_must_have_is_missed_by_everybody(log: World) -> None:
    log.database.attack(lambda connection: remove_the_whole_log(connection, log))
    report = verify(
        log.auditor, host=HOST, public_keys=[log.key.public_key], expected=[ACME, OTHER]
    )
    assert (report.exit_code, verdicts(report)) == (12, {"GAP"})
    assert f"{ORIGIN}: NOT OK" in report.to_text()


def test_a_log_without_its_row_is_verified_with_all_others(log: World) -> None:
    log.database.attack(lambda c: c.execute(delete(audit_tree).where(of_acme(audit_tree))))
    report = log.verify()
    assert [tree.tree for tree in report.trees] == [ACME, OTHER]
    assert verdicts(report) == {"GAP"}


def test_the_report_names_the_logs_of_which_no_checkpoint_was_kept(log: World) -> None:
    kept = log.notes(OTHER)[-1]
    text = log.verify([ACME], [kept]).to_text()
    assert f"None of the checkpoints that you gave is of {ACME}:" in text
    log.database.attack(lambda connection: edit_an_entry(connection, log))
    tampered = log.verify([ACME]).to_text()
    assert "Verdict: TAMPERED" in tampered
    assert "checkpoint of yours" not in tampered


def test_a_clock_that_was_put_back_does_not_make_a_log_go_back(log: World) -> None:
    log.clock = lambda: datetime.now(UTC) - timedelta(hours=1)
    log.record(3)
    assert log.settle()[0].error is None
    log.clock = lambda: datetime.now(UTC)
    assert log.verify([ACME]).exit_code == 0
    log.journal_path.unlink()  # the rows are put back after this test, the journal is not
    log.restart()


@pytest.mark.requirement("J-053")
def test_the_tampered_entry_is_named(log: World) -> None:
    log.database.attack(lambda connection: edit_an_entry(connection, log))
    report = log.verify([ACME])
    first = report.trees[0].findings[0]
    assert (first.verdict, first.idx) == ("TAMPERED", 42)
    assert "entry 42" in report.to_text()
    log.database.attack(edit_and_hash)
    spans = [item.detail for item in log.verify([ACME]).trees[0].findings]
    assert any("entries from 30 to 39" in detail for detail in spans)


def test_many_findings_are_counted_and_not_all_listed(log: World) -> None:
    log.database.attack(
        lambda c: c.execute(update(audit_entry).where(of_acme(audit_entry)).values(leaf=bytes(32)))
    )
    tampered = [item for item in log.verify([ACME]).trees[0].findings if item.verdict == "TAMPERED"]
    assert len(tampered) == 10
    assert tampered[-1].more == 90


def test_a_checkpoint_that_was_brought_along_must_be_readable_and_ours(log: World) -> None:
    foreign = Checkpoint(origin="elsewhere/audit/x", size=1, root=bytes(32)).signed(log.key)
    for pin, why in (("rubbish", "cannot be read"), (foreign, "not a log of localhost")):
        with pytest.raises(PinInvalid, match=why):
            log.verify([ACME], [pin])
    stranger = Checkpoint(origin=ORIGIN, size=60, root=bytes(32)).signed(KeyFileSigner.generate())
    assert verdicts(log.verify([ACME], [stranger])) == {"BADSIG"}
