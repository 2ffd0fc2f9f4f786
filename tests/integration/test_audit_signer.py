"""Sequencer and signer: what they refuse, what a crash leaves, what races do."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, NullPool, delete, event, insert, select, update

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.checkpoints import CheckpointPublisher
from control_plane.adapters.audit.keys import KeyFileSigner
from control_plane.adapters.audit.merkle import Frontier
from control_plane.adapters.audit.recorder import SqlAuditLog
from control_plane.adapters.audit.sequencer import Sequencer
from control_plane.adapters.audit.signer_process import SignerLoop
from control_plane.adapters.audit.signing import CheckpointSigner, SigningJournal
from control_plane.adapters.db.audit_tables import (
    audit_checkpoint,
    audit_entry,
    audit_pending,
    audit_served,
    audit_tree,
)
from control_plane.adapters.db.roles import SEQUENCER
from control_plane.domain.audit import encode_body, event_uuid
from control_plane.domain.ids import make_id
from tests.integration.audit_attacker import (
    ORIGIN,
    edit_and_hash,
    edited,
    entries,
    of_acme,
    put,
    restore_backup,
)
from tests.integration.audit_world import (
    ACME,
    HOST,
    OTHER,
    World,
    in_parallel,
    make_event,
    verdicts,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


# --- what it refuses --------------------------------------------------------------------------
def test_the_signer_refuses_a_database_that_was_rolled_back(world: World) -> None:
    world.grow(ACME, 40)
    world.database.attack(lambda connection: restore_backup(connection, 20))
    refusal = world.loop.tick()
    assert refusal.error is None  # 20 entries are covered; nothing asks for a signature
    world.record(5)
    refusal = world.loop.tick()
    assert refusal.error == "signing_refused"
    assert "25 entries, but 40 are already signed" in refusal.refused[ORIGIN]
    world.record(20)
    assert "not the signed ones" in world.loop.tick().refused[ORIGIN]
    assert len(world.notes()) == 2


def test_the_signer_refuses_entries_that_were_changed_under_it(world: World) -> None:
    world.grow(ACME, 40)
    world.database.attack(edit_and_hash)
    world.record(1)
    assert "not the signed ones" in world.loop.tick().refused[ORIGIN]


def test_the_signer_refuses_a_row_that_does_not_fit_the_entries(world: World) -> None:
    world.grow(ACME, 10)
    world.record(5)
    world.sequencer.sequence()
    forged = Frontier().extend([bytes(32)] * 15).to_bytes()
    world.database.attack(
        lambda c: c.execute(update(audit_tree).where(of_acme(audit_tree)).values(frontier=forged))
    )
    assert world.loop.tick().error == "signing_refused"
    assert verdicts(world.verify()) == {"TAMPERED"}


def test_the_signer_leaves_a_damaged_tree_alone_and_goes_on_with_the_others(world: World) -> None:
    world.grow(ACME, 10)
    world.loop = type(world.loop)(world.sequencer, world.publisher, sweep_interval=60)
    world.loop.tick()
    world.database.attack(
        lambda c: c.execute(update(audit_tree).where(of_acme(audit_tree)).values(size=3))
    )
    world.record(2)
    world.record(4, OTHER)
    going_on = world.loop.tick()
    assert going_on.sequenced == 4
    assert list(going_on.refused) == [ACME]  # said as long as it is so
    assert world.pending() == 2
    assert world.verify([OTHER]).exit_code == 0


def shorten(world: World) -> None:
    """Damage the row of one tree."""
    world.database.attack(
        lambda c: c.execute(update(audit_tree).where(of_acme(audit_tree)).values(size=3))
    )


def forget_the_row(world: World) -> None:
    world.database.attack(lambda c: c.execute(delete(audit_tree).where(of_acme(audit_tree))))


def lose_the_last_entry(world: World) -> None:
    last = (of_acme(audit_entry), audit_entry.c.idx == 9)
    world.database.attack(lambda c: c.execute(delete(audit_entry).where(*last)))


def repeat_an_event(world: World) -> None:
    """Write an event that is logged already, as a hijacked application can."""
    logged = event_uuid(world.logged(ACME)[0][2])
    row = {"event_id": logged, "tenant_id": ACME, "body": encode_body(make_event(1), {})}
    with world.app.begin() as connection:
        connection.execute(insert(audit_pending).inline(), row)


@pytest.mark.parametrize(
    "damage", [shorten, forget_the_row, lose_the_last_entry, repeat_an_event, None]
)
def test_a_damaged_tree_stops_only_its_own_tenant(
    world: World, damage: Callable[[World], None] | None
) -> None:
    world.grow(ACME, 10)
    if damage is not None:
        damage(world)
    else:
        world.database.attack(edit_and_hash_above(5))  # a tree that the signer refuses
    world.restart()
    for _ in range(2):  # at every sweep anew
        world.record(2)
        world.record(3, OTHER)
        world.loop.tick()
        world.database.attack(age)
        with world.auditor.connect() as connection:
            found = reading.freshness(connection)
        assert found.problem() is None
        assert list(found.held) == [ACME]
    assert [item[0] for item in world.logged(OTHER)] == [OTHER] * 6
    assert world.verify([OTHER]).exit_code == 0


def edit_and_hash_above(size: int) -> Callable[[Connection], None]:
    """Return an attack that changes an entry and everything that needs no key."""

    def attack(connection: Connection) -> None:
        rows = entries(connection)
        rows[size] = edited(rows[size])
        put(connection, rows)

    return attack


def age(connection: Connection) -> None:
    """Let what waits wait for an hour."""
    since = datetime.now(UTC) - timedelta(hours=1)
    connection.execute(update(audit_pending).values(enqueued_at=since))
    waiting = audit_tree.c.unsigned_since.is_not(None)
    connection.execute(update(audit_tree).where(waiting).values(unsigned_since=since))


def test_a_tree_that_was_mended_is_let_go(world: World) -> None:
    world.grow(ACME, 10)
    shorten(world)
    world.record(1)
    world.loop.tick()
    world.database.attack(
        lambda c: c.execute(update(audit_tree).where(of_acme(audit_tree)).values(size=10))
    )
    assert world.settle()[0].error is None
    with world.auditor.connect() as connection:
        assert reading.freshness(connection).held == {}
    assert world.verify().exit_code == 0


def test_when_the_signer_is_down_everybody_waits(world: World) -> None:
    world.record(1)
    world.database.attack(age)
    with world.auditor.connect() as connection:
        found = reading.freshness(connection)
    assert found.problem() is not None
    assert found.held == {}


# --- many trees -------------------------------------------------------------------------------
def many_trees(count: int) -> list[str]:
    return [make_id("tenant", 1_800_000_100_000 + n, bytes(10)) for n in range(count)]


def record_in_each(world: World, trees: Sequence[str]) -> None:
    made = [make_event(n, tree) for n, tree in enumerate(trees)]
    rows = [
        {"event_id": event_uuid(item.id), "tenant_id": item.tree, "body": encode_body(item, {})}
        for item in made
    ]
    with world.app.begin() as connection:
        connection.execute(insert(audit_pending).inline(), rows)


def test_a_tick_takes_as_many_statements_for_many_trees_as_for_few(world: World) -> None:
    engine = world.database.engine(SEQUENCER)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    world.sequencer = Sequencer(engine, clock=world.clock)
    world.publisher = CheckpointPublisher(engine, engine, world.signer, host=HOST)
    world.loop = SignerLoop(world.sequencer, world.publisher, sweep_interval=60)
    counts = []
    for trees in (many_trees(300), many_trees(3), many_trees(300)):
        record_in_each(world, trees)
        statements.clear()
        report = world.loop.tick()
        assert (report.error, report.signed) == (None, len(trees))
        counts.append(len(statements))
    engine.dispose()
    assert max(counts) < 30
    assert counts[1] == counts[2]
    assert world.verify().exit_code == 0


def test_what_waits_is_sequenced_in_batches_and_signed_once(world: World) -> None:
    world.batch = 10
    world.restart()
    world.record(25)
    world.record(12, OTHER)
    report = world.loop.tick()
    assert (report.sequenced, report.trees, report.signed, report.error) == (37, 2, 2, None)
    assert report.has_more is False
    assert [note.split("\n")[1] for note in world.notes()] == ["25"]
    assert world.verify().exit_code == 0


def test_a_damaged_tree_between_two_batches_stops_none_that_grew(world: World) -> None:
    world.grow(OTHER, 10)
    world.batch = 4
    world.restart()
    world.record(4)  # a batch of its own
    shorten_other(world)
    world.record(3, OTHER)
    report = world.loop.tick()
    assert report.sequenced == 4
    assert OTHER in report.refused
    assert ORIGIN not in report.refused
    assert world.verify([ACME]).exit_code == 0
    assert len(world.notes()) == 1


def shorten_other(world: World) -> None:
    of_other = audit_tree.c.tenant_id == OTHER
    world.database.attack(lambda c: c.execute(update(audit_tree).where(of_other).values(size=3)))


@pytest.mark.timeout(300)
def test_ten_thousand_waiting_trees_are_all_signed(world: World) -> None:
    trees = many_trees(10_000)
    record_in_each(world, trees)
    reports = world.settle()
    assert sum(report.signed for report in reports) == 10_000
    assert {report.error for report in reports} == {None}


# --- nothing grows for ever -------------------------------------------------------------------
def test_old_checkpoints_that_nobody_was_given_are_thinned(world: World) -> None:
    notes = world.grow(ACME, 100)
    # served marks of the last 90 days count
    hour = datetime.now(UTC).replace(minute=0, second=0) - timedelta(days=10)
    signed = [hour + timedelta(minutes=n * 10) for n in range(10)]  # 20 and 70 minutes: two hours
    with world.auditor.begin() as connection:
        reading.limit_to(connection, [ACME])
        reading.mark_served(connection, ACME, 30)

    def backdate(connection: Connection) -> None:
        for n, at in enumerate(signed, 1):
            chosen = (of_acme(audit_checkpoint), audit_checkpoint.c.size == 10 * n)
            connection.execute(update(audit_checkpoint).where(*chosen).values(signed_at=at))

    world.database.attack(backdate)
    assert world.publisher.thin(limit=2) == 2
    world.restart()
    world.loop.tick()  # the first sweep does the rest
    left = [note for note in notes if note.split("\n")[1] in {"30", "60", "100"}]
    assert world.notes() == left
    assert world.verify(pins=notes).exit_code == 0  # what somebody kept is confirmed all the same
    assert world.publisher.thin() == 0


def test_that_a_checkpoint_was_given_is_forgotten_after_some_months(world: World) -> None:
    notes = world.grow(ACME, 60)
    hour = datetime.now(UTC).replace(minute=0) - timedelta(days=91)
    signed = {10: hour, 20: hour, 30: hour + timedelta(days=2), 40: hour + timedelta(days=2)}
    with world.auditor.begin() as connection:
        reading.limit_to(connection, [ACME])
        for size in (10, 30, 60):
            reading.mark_served(connection, ACME, size)

    def backdate(connection: Connection) -> None:
        for size, at in signed.items():
            chosen = (of_acme(audit_checkpoint), audit_checkpoint.c.size == size)
            connection.execute(update(audit_checkpoint).where(*chosen).values(signed_at=at))

    world.database.attack(backdate)
    assert (
        world.publisher.thin() == 1
    )  # 10; 30 is younger, and 20 and 40 are the last of their hour
    served = world.database.attack(
        lambda c: sorted(c.execute(select(audit_served.c.size)).scalars())
    )
    assert served == [30, 60]
    assert [note.split("\n")[1] for note in world.notes()] == ["20", "30", "40", "50", "60"]
    assert world.verify(pins=notes).exit_code == 0


def test_the_signer_cannot_forget_that_a_young_checkpoint_was_given(world: World) -> None:
    world.grow(ACME, 10)
    with world.auditor.begin() as connection:
        reading.limit_to(connection, [ACME])
        reading.mark_served(connection, ACME, 10)
    engine = world.database.engine(SEQUENCER)
    with engine.begin() as connection:
        assert connection.execute(delete(audit_served)).rowcount == 0
    engine.dispose()


def test_young_and_served_checkpoints_cannot_be_removed_by_the_signer(world: World) -> None:
    world.grow(ACME, 30)
    with world.auditor.begin() as connection:
        reading.limit_to(connection, [ACME])
        reading.mark_served(connection, ACME, 20)
    old = datetime.now(UTC) - timedelta(days=30)
    served = (of_acme(audit_checkpoint), audit_checkpoint.c.size == 20)
    world.database.attack(
        lambda c: c.execute(update(audit_checkpoint).where(*served).values(signed_at=old))
    )
    engine = world.database.engine(SEQUENCER)
    with engine.begin() as connection:
        assert connection.execute(delete(audit_checkpoint)).rowcount == 0
    engine.dispose()
    assert len(world.notes()) == 3


def test_the_journal_is_compacted_while_it_is_used(world: World) -> None:
    world.journal.close()
    journal = SigningJournal(world.journal_path, compact_at=10)
    signer = CheckpointSigner(world.key, journal)
    engine = world.database.engine(SEQUENCER)
    publisher = CheckpointPublisher(engine, engine, signer, host=HOST)
    world.loop = SignerLoop(world.sequencer, publisher, sweep_interval=60)
    longest = 0
    for _ in range(40):
        world.record(1)
        assert world.settle()[0].error is None
        longest = max(longest, world.journal_path.read_bytes().count(b"\n"))
    journal.close()
    engine.dispose()
    world.open()
    assert longest == 10
    last = world.signer.last(ORIGIN)
    assert last is not None
    assert last.size == 40
    assert world.verify().exit_code == 0


# --- its journal ------------------------------------------------------------------------------
def test_the_signer_takes_over_its_own_checkpoints_after_its_journal_was_lost(world: World) -> None:
    notes = world.grow(ACME, 20)
    world.journal_path.unlink()
    world.restart()
    world.record(3)
    assert world.loop.tick().error is None
    last = world.signer.last(ORIGIN)
    assert last is not None
    assert last.size == 23
    assert world.verify(pins=notes).exit_code == 0


def test_the_signer_does_not_go_on_under_another_key_unasked(world: World) -> None:
    world.grow(ACME, 10)
    world.key = KeyFileSigner.generate()
    world.restart()
    world.record(1)
    assert "signed with another key" in world.loop.tick().refused[ORIGIN]


# --- what a broken writer does ----------------------------------------------------------------
@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[" * 3000,
        b'{"actor":{"id":"u-1"},"approval":[],"run":7}',
        b'{"actor":{"id":"u-1"},"actor":{"id":"u-2"}}',
        encode_body(make_event(1, OTHER), {}),
        encode_body(make_event(1), {}).replace(b'"sha256":"sha256:', b'"sha256":"sha256:0')[:-2]
        + b"}}",
    ],
    ids=["no json", "deep", "other shape", "repeated key", "other tree", "spoiled"],
)
def test_what_no_release_writes_is_logged_and_named(world: World, body: bytes) -> None:
    world.record(2)
    row = {"event_id": event_uuid(make_event(3).id), "tenant_id": ACME, "body": body}
    with world.app.begin() as connection:
        connection.execute(insert(audit_pending).inline(), row)
        SqlAuditLog(connection).record(make_event(4))
    world.record(2)
    assert world.settle()[0].error is None
    report = world.verify()
    assert (report.exit_code, report.verdict) == (11, "MALFORMED")
    assert [item.idx for item in report.trees[0].findings] == [2]


# no two alike, so that PostgreSQL cannot compress them
HAN = random.Random(7)  # noqa: S311 - no secret


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        (b"u\\u0000", "OK"),
        ("".join(chr(HAN.randrange(0x4E00, 0x9FA5)) for _ in range(2000)).encode(), "OK"),
        (b"\\ud800", "MALFORMED"),
        (b"\xed\xa0\x80", "MALFORMED"),
        (b"x" * 50_000, "MALFORMED"),
    ],
    ids=["nul", "long", "escaped surrogate", "surrogate", "huge"],
)
def test_a_name_that_no_index_takes_stops_no_log(world: World, name: bytes, verdict: str) -> None:
    event = make_event(3)
    body = encode_body(event, {}).replace(b'"u-0"', b'"' + name + b'"', 1)
    row = {"event_id": event_uuid(event.id), "tenant_id": ACME, "body": body}
    with world.app.begin() as connection:
        connection.execute(insert(audit_pending).inline(), row)
    world.record(2, OTHER)
    world.record(2)
    assert {report.error for report in world.settle()} == {None}
    assert (world.pending(), len(world.logged())) == (0, 5)
    assert world.verify().verdict == verdict


# --- what a crash leaves ----------------------------------------------------------------------
class KilledWhenSigning:
    """A key whose process dies between journal and signature."""

    def __init__(self, key: KeyFileSigner) -> None:
        self.public_key = key.public_key

    def sign(self, message: bytes) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return message


def tick_and_die(
    world: World, *, statement: int = 0, commit: int = 0, at_sign: bool = False
) -> bool:
    """Tick in a child that is killed at a point; tell whether it was.

    The points are the n-th statement and the n-th commit of a tick, and the signature.
    """
    pid = os.fork()
    if pid:
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    engine = world.database.engine(SEQUENCER, poolclass=NullPool)
    left = {"statement": statement, "commit": commit}

    def count(kind: str) -> Callable[..., None]:
        def reached(*_: object) -> None:
            left[kind] -= 1
            if left[kind] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        return reached

    event.listen(engine, "before_cursor_execute", count("statement"))
    event.listen(engine, "commit", count("commit"))
    key = KilledWhenSigning(world.key) if at_sign else world.key
    signer = CheckpointSigner(key, SigningJournal(world.journal_path))
    loop = SignerLoop(
        Sequencer(engine, clock=world.clock),
        CheckpointPublisher(engine, engine, signer, host=HOST),
        sweep_interval=0,
    )
    os._exit(0 if loop.tick().error is None else 3)


def crash_and_check(world: World, expected: list[str], **point: Any) -> bool:
    """Crash at a point with 6 events waiting; the log must be whole, and whole again later."""
    expected += world.record(4) + world.record(2, OTHER)
    world.journal.close()
    was_killed = tick_and_die(world, **point)
    assert world.verify().exit_code == 0
    world.open()
    notes = world.notes()
    world.settle()
    assert sorted(item[2] for item in world.logged()) == sorted(expected)
    report = world.verify(pins=notes)
    assert report.exit_code == 0, report.to_text()
    assert [tree.covered for tree in report.trees] == [tree.entries for tree in report.trees]
    return was_killed


@pytest.mark.parametrize("kind", ["statement", "commit"])
def test_a_crash_at_any_point_of_a_tick_loses_and_doubles_nothing(world: World, kind: str) -> None:
    expected: list[str] = world.record(3) + world.record(3, OTHER)
    world.settle()
    points = 0
    while crash_and_check(world, expected, **{kind: points + 1}):
        points += 1
    assert points >= {"statement": 18, "commit": 6}[kind]  # so many points there are, and all fired


def test_a_crash_between_journal_and_signature_signs_the_same_head_again(world: World) -> None:
    expected = world.record(5)
    world.settle()
    for _ in range(3):
        assert crash_and_check(world, expected, at_sign=True)


def test_a_line_that_a_crash_cut_off_was_never_signed(world: World) -> None:
    notes = world.grow(ACME, 20)
    world.journal.close()
    with world.journal_path.open("ab") as file:
        file.write(f"{ORIGIN} 99 ".encode())
    world.open()
    last = world.signer.last(ORIGIN)
    assert last is not None
    assert last.size == 20
    world.grow(ACME, 10)
    assert world.verify(pins=notes).exit_code == 0
    world.restart()
    assert world.journal_path.read_bytes().count(b"\n") == 3


# --- sequencers -------------------------------------------------------------------------------
def test_events_of_parallel_writers_are_all_logged_once(world: World) -> None:
    acknowledged: list[str] = []
    rolled_back: list[str] = []
    trees = [ACME, OTHER, "platform"]

    def write(writer: int) -> None:
        for n in range(100):
            event = make_event(writer * 1000 + n, trees[n % 3])
            with world.app.connect() as connection:
                SqlAuditLog(connection).record(event)
                if n % 10 == 9:
                    connection.rollback()
                    rolled_back.append(event.id)
                else:
                    connection.commit()
                    acknowledged.append(event.id)
            if writer == 0 and n % 5 == 0:
                world.loop.tick()

    in_parallel(8, write)
    world.settle()
    logged = world.logged()
    assert sorted(item[2] for item in logged) == sorted(acknowledged)
    assert len(acknowledged) == 720
    assert not set(rolled_back) & {item[2] for item in logged}
    assert world.verify().exit_code == 0


@pytest.fixture
def rival(world: World, tmp_path: Path) -> Iterator[World]:
    """A second sequencer with the same key, as on another machine."""
    folder = tmp_path / "rival"
    folder.mkdir()
    rival = World(world.database, folder, world.key, batch=7)
    yield rival
    rival.close()


def test_two_sequencers_cannot_fork_a_tree(world: World, rival: World) -> None:
    ids = world.record(150) + world.record(150, OTHER)
    world.batch = 7  # many small batches meet more often
    world.restart()

    def sequence(number: int) -> None:
        mine = (world, rival)[number]
        while mine.pending():
            report = mine.loop.tick()
            assert report.error in {None, "tree_moved"}, report

    in_parallel(2, sequence)
    world.settle()
    logged = world.logged()
    assert sorted(item[2] for item in logged) == sorted(ids)
    for tree in (ACME, OTHER):
        assert [idx for name, idx, _ in logged if name == tree] == list(range(150))
    assert world.verify().exit_code == 0


def test_a_sequencer_that_was_overtaken_moves_nothing(world: World, rival: World) -> None:
    world.record(1)
    world.settle()
    first = world.record(1)
    second: list[str] = []

    def be_overtaken() -> datetime:
        if not second:  # the clock is read after the rows are claimed and the tree is looked at
            second.extend(world.record(1))
            assert len(rival.sequencer.sequence()) == 1
        return datetime.now(UTC)

    world.clock = be_overtaken
    assert world.loop.tick().error == "tree_moved"
    assert [item[2] for item in world.logged()][1:] == second
    world.settle()
    assert [item[2] for item in world.logged()][1:] == second + first
    assert world.verify().exit_code == 0
