"""The audit log on a real PostgreSQL: recording, sequencing, reading, rights."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.event import listen

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.checkpoints import ReadBackFailed
from control_plane.adapters.audit.merkle import (
    leaf_hash,
    root_of,
)
from control_plane.adapters.audit.note import VerifierKey, open_checkpoint
from control_plane.adapters.audit.recorder import SqlAuditLog, record_alone
from control_plane.adapters.db.audit_tables import (
    audit_checkpoint,
    audit_disclosure,
    audit_entry,
    audit_pending,
    audit_tree,
)
from control_plane.adapters.db.roles import OWNER
from control_plane.domain.audit import commitment, event_uuid
from control_plane.domain.errors import AuditUnavailable
from tests.integration.audit_world import (
    ACME,
    HOST,
    OTHER,
    World,
    make_event,
    verdicts,
)
from tests.memory_tree import verify_inclusion

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


# --- recording --------------------------------------------------------------------------------
def test_an_event_is_written_exactly_when_its_transaction_is(world: World) -> None:
    kept, lost = make_event(1), make_event(2)
    with world.app.begin() as connection:
        SqlAuditLog(connection).record(kept)
    with world.app.connect() as connection:
        SqlAuditLog(connection).record(lost)
        connection.rollback()
    world.settle()
    assert world.logged() == [(ACME, 0, kept.id)]


def test_a_refusal_is_recorded_although_its_transaction_rolls_back(world: World) -> None:
    denied = make_event(1)
    with world.app.connect() as connection:
        SqlAuditLog(connection).record(make_event(2))
        record_alone(world.app, denied)
        connection.rollback()
    world.settle()
    assert [item[2] for item in world.logged()] == [denied.id]


def test_personal_values_lie_beside_the_log_and_open_its_commitments(world: World) -> None:
    [event] = world.record(personal={"reason": "Ada said so"})
    world.settle()
    entry, row = world.database.attack(
        lambda c: (
            bytes(c.execute(select(audit_entry.c.entry)).scalar_one()),
            c.execute(select(audit_disclosure)).one(),
        )
    )
    body = json.loads(entry.split(b"\n", 1)[1])
    assert b"Ada" not in entry
    assert (row.tenant_id, row.event_id, row.path) == (ACME, event_uuid(event), "reason")
    assert commitment(bytes(row.salt), json.loads(row.value)) == body["pii"]["reason"]


def test_erasing_a_disclosure_changes_no_hash(world: World) -> None:
    world.record(5, personal={"reason": "Ada said so"})
    world.settle()
    before = world.notes()
    erased = update(audit_disclosure).values(
        salt=None,
        value=None,
        erased_at=datetime.now(UTC),
        erasure_event=event_uuid(make_event(9).id),
    )
    world.database.attack(lambda c: c.execute(erased))
    assert world.verify(pins=before).exit_code == 0


def test_a_log_that_cannot_be_written_says_so_within_its_deadline(world: World) -> None:
    engine = world.database.engine(OWNER)
    with engine.begin() as blocker:
        blocker.execute(text("LOCK TABLE audit_pending IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(AuditUnavailable):  # while the table is held: nothing waits for it
            record_alone(world.app, make_event(1), deadline_ms=300)
    engine.dispose()
    record_alone(world.app, make_event(2))  # and recovers without a restart
    with pytest.raises(AuditUnavailable), world.auditor.begin() as connection:
        SqlAuditLog(connection).record(make_event(3))


# --- sequencing and reading -------------------------------------------------------------------
def test_events_become_a_signed_log_with_proofs(world: World) -> None:
    ids = world.record(7) + world.record(5, OTHER)
    world.settle()
    ids += world.record(6)
    world.settle()
    assert world.verify().exit_code == 0
    key = VerifierKey(name=f"{HOST}/audit/{ACME}", public_key=world.key.public_key)
    with world.auditor.begin() as connection:
        reading.limit_to(connection, [ACME])
        events = reading.events_page(connection, ACME, limit=100)
        assert [event.event_id for event in events] == ids[:7] + ids[12:]
        assert all(event.is_covered for event in events)
        newest = reading.newest_checkpoint(connection, ACME)
        assert newest is not None
        head = open_checkpoint(newest.note, [key])
        assert head.size == 13
        assert head.root == root_of([event.leaf for event in events])
        for event in events:
            proof = reading.inclusion(connection, ACME, event.idx)
            assert proof is not None
            assert verify_inclusion(event.idx, 13, event.leaf, head.root, proof.hashes)
        assert reading.inclusion(connection, ACME, 13) is None
        assert reading.inclusion(connection, ACME, -1) is None


def test_headers_point_back_to_the_same_actor_approver_and_run(world: World) -> None:
    world.record(2)
    world.settle()
    world.record(10)  # actors and approvers repeat every 3 events, runs every 4
    world.settle()
    with world.auditor.begin() as connection:
        reading.limit_to(connection, [ACME])
        events = reading.events_page(connection, ACME)
    for event in events:
        prev = {"actor": event.idx - 3, "approver": event.idx - 3, "run": event.idx - 4}
        assert event.header["idx"] == event.idx
        assert event.header["prev"] == {key: idx for key, idx in prev.items() if idx >= 0}


def test_pages_go_through_a_log(world: World) -> None:
    world.record(23)
    world.record(3, action="log.read", data={}, approval=None)
    world.settle()
    with world.auditor.begin() as connection:
        reading.limit_to(connection, [ACME])
        seen: list[int] = []
        while page := reading.events_page(
            connection, ACME, after=seen[-1] if seen else None, limit=5
        ):
            seen += [event.idx for event in page]
        assert seen == list(range(26))
        reads = reading.events_page(connection, ACME, action="log.read")
        assert [event.idx for event in reads] == [23, 24, 25]


def test_events_of_an_action_are_found_by_an_index(world: World) -> None:
    world.record(3)
    world.settle()
    plans: list[str] = []

    def explain(_: object, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        cursor.execute(f"EXPLAIN {statement}", parameters)
        plans.append("\n".join(row[0] for row in cursor.fetchall()))

    with world.auditor.begin() as connection:
        reading.limit_to(connection, [ACME])
        connection.execute(
            text("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        )
        listen(connection, "before_cursor_execute", explain)
        reading.events_page(connection, ACME, after=0, action="log.read")
    conditions = [line for line in plans[0].splitlines() if "Index Cond" in line]
    assert len(conditions) == 1
    assert all(name in conditions[0] for name in ("tenant_id", "action", "idx"))


def test_what_no_checkpoint_covers_is_shown_as_such_and_not_proved(world: World) -> None:
    world.record(3)
    world.settle()
    world.record(2)
    world.sequencer.sequence()
    with world.auditor.begin() as connection:
        reading.limit_to(connection, [ACME])
        page = reading.events_page(connection, ACME)
        assert [event.is_covered for event in page] == [True] * 3 + [False] * 2
        assert reading.inclusion(connection, ACME, 3) is None
        assert reading.tile(connection, ACME, "tile/0/000.p/5") is None
        assert reading.tile(connection, ACME, "tile/0/000.p/3") is not None
    report = world.verify()
    assert (report.exit_code, report.trees[0].entries, report.trees[0].covered) == (0, 5, 3)


def test_tiles_hold_the_whole_tree(world: World) -> None:
    with world.app.begin() as connection:
        log = SqlAuditLog(connection)
        for number in range(700):
            log.record(make_event(number))
    world.settle()
    with world.auditor.begin() as connection:
        reading.limit_to(connection, [ACME])
        newest = reading.newest_checkpoint(connection, ACME)
        assert newest is not None
        key = VerifierKey(name=f"{HOST}/audit/{ACME}", public_key=world.key.public_key)
        head = open_checkpoint(newest.note, [key])
        leaves: list[bytes] = []
        entries: list[bytes] = []
        for name in ("000", "001", "002.p/188"):
            hashes = reading.tile(connection, ACME, f"tile/0/{name}")
            bundle = reading.tile(connection, ACME, f"tile/entries/{name}")
            assert hashes is not None
            assert bundle is not None
            leaves += [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
            while bundle:
                size = int.from_bytes(bundle[:2], "big")
                entries.append(bundle[2 : 2 + size])
                bundle = bundle[2 + size :]
        assert [leaf_hash(entry) for entry in entries] == leaves
        assert root_of(leaves) == head.root
        upper = reading.tile(connection, ACME, "tile/1/000.p/2")
        assert upper == root_of(leaves[:256]) + root_of(leaves[256:512])
        for path in (
            "tile/0/003.p/1",
            "tile/0/002",
            "tile/0/002.p/189",
            "tile/1/000.p/3",
            "tile/1/000",
            "tile/0/2",
            "tile/0/x000/002.p/188",
            "tile/0/002.p/0",
            "tile/0/000.p/256",
            "tile/00/000",
            "tile/8/000.p/1",
            "tile/64/000.p/1",
            "tile/entries/003.p/1",
            "tile/0/000/",
            "../audit",
        ):
            assert reading.tile(connection, ACME, path) is None, path
        for idx in (0, 255, 256, 511, 512, 699):
            proof = reading.inclusion(connection, ACME, idx)
            assert proof is not None
            assert verify_inclusion(idx, 700, leaves[idx], head.root, proof.hashes)


def test_verification_shows_its_progress_and_its_limits(world: World) -> None:
    world.record(4)
    world.settle()
    trusting = world.verify(keys=[])
    assert verdicts(trusting) == {"BADSIG"}
    text_with_pin = world.verify(pins=world.notes()).to_text()
    assert "Verdict: OK" in text_with_pin
    assert "extends the given checkpoint of size 4" in text_with_pin
    assert "rewritten" not in text_with_pin
    alone = world.verify().to_text()
    assert "could have rewritten everything" in alone.replace("\n", " ")
    assert world.verify().to_json()["trees"][0]["newest_checkpoint"] == world.notes()[0]
    missing = world.verify(trees=[OTHER])
    assert (missing.exit_code, verdicts(missing)) == (12, {"GAP"})


# --- freshness --------------------------------------------------------------------------------
def test_back_pressure_tells_which_part_is_behind(world: World) -> None:
    def freshness() -> reading.Freshness:
        with world.auditor.connect() as connection:
            return reading.freshness(connection)

    for _ in range(12):  # as often as it takes until the server keeps the statement and its plan
        assert freshness().problem() is None
    assert freshness().oldest_pending == timedelta(0)
    world.record(2)
    assert freshness().problem() is None
    assert freshness().oldest_pending > timedelta(0)
    late = datetime.now(UTC) - timedelta(seconds=61)
    world.database.attack(lambda c: c.execute(update(audit_pending).values(enqueued_at=late)))
    assert freshness().problem() == "events have been waiting too long for the sequencer"
    world.sequencer.sequence()
    assert freshness().problem() is None
    assert freshness().oldest_unsigned > timedelta(0)
    late = datetime.now(UTC) - timedelta(seconds=301)
    world.database.attack(lambda c: c.execute(update(audit_tree).values(unsigned_since=late)))
    assert freshness().problem() == "entries have been waiting too long for a signed checkpoint"
    world.record(1)
    world.settle()
    assert freshness().problem() is None
    assert freshness().oldest_unsigned == timedelta(0)


def test_reading_back_through_a_new_connection_finds_what_is_gone(world: World) -> None:
    world.record(3)
    growth = world.sequencer.sequence()
    signed = world.publisher.sign()
    world.publisher.read_back(growth, signed.notes)
    world.database.attack(lambda c: c.execute(delete(audit_checkpoint)))
    with pytest.raises(ReadBackFailed, match="checkpoint of size 3"):
        world.publisher.read_back(growth, signed.notes)
    world.database.attack(lambda c: c.execute(delete(audit_entry)))
    with pytest.raises(ReadBackFailed, match="entry 2"):
        world.publisher.read_back(growth, {})
