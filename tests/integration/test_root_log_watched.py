"""The watch compares the trees with the root log, and a crash leaves both whole."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, NullPool, event, select, update

from control_plane.adapters.audit.checkpoints import CheckpointPublisher
from control_plane.adapters.audit.keys import KeyFileSigner
from control_plane.adapters.audit.rootlog import RootLog
from control_plane.adapters.audit.sequencer import Sequencer
from control_plane.adapters.audit.signer_process import SignerLoop
from control_plane.adapters.audit.signing import CheckpointSigner, SigningJournal
from control_plane.adapters.audit.watch import LogWatch
from control_plane.adapters.db.audit_tables import audit_checkpoint, audit_tree
from control_plane.adapters.db.roles import SEQUENCER
from control_plane.domain.deployment import ROOT
from tests.integration.audit_attacker import restore_backup
from tests.integration.audit_world import ACME, HOST, OTHER, World
from tests.integration.test_audit_signer import many_trees, record_in_each
from tests.integration.test_root_log import heads, leaves, remove_a_tree, sign_another_history

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def grow(world: World) -> None:
    world.grow(ACME, 40)
    world.grow(OTHER, 10)


def watch_of(world: World) -> tuple[LogWatch, list[float]]:
    """Return a watch that has looked already, and its clock."""
    now = [1000.0]
    watch = LogWatch(lambda: world.auditor, host=HOST)
    watch.root.clock = lambda: now[0]
    return watch, now


def look(world: World, watch: LogWatch) -> str:
    watch.look_on(100_000, [world.key.public_key])
    return watch.first_fault()


def test_a_watch_reads_the_root_log_as_well(rooted: World) -> None:
    grow(rooted)
    watch, _ = watch_of(rooted)
    assert look(rooted, watch) == ""
    rooted.record(3)
    rooted.settle()
    for _ in range(10):
        watch.look_on(1, [rooted.key.public_key])
    assert watch.first_fault() == ""


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (lambda c, _: restore_backup(c, 20), "root log has its head of size 40, but it has 20"),
        (remove_a_tree, "the root log has its head of size 40, but it has 0 entries"),
        (sign_another_history, "FORKED: its head of size 40 in the root log is another one"),
    ],
)
def test_a_watch_that_began_afterwards_finds_it_by_the_root_log(
    rooted: World, attack: Callable[[Connection, World], None], said: str
) -> None:
    grow(rooted)
    rooted.database.attack(lambda connection: attack(connection, rooted))
    watch, _ = watch_of(rooted)
    assert said in look(rooted, watch)


def test_a_head_that_stays_out_of_the_root_log_is_a_fault_after_the_limit(rooted: World) -> None:
    grow(rooted)
    watch, now = watch_of(rooted)
    assert look(rooted, watch) == ""
    rooted.has_root = False
    rooted.restart()
    rooted.record(2)
    rooted.settle()
    assert look(rooted, watch) == ""
    now[0] += 301
    assert look(rooted, watch) == f"{ACME}: UNROOTED: its head of size 42 is not in the root log"
    rooted.has_root = True
    rooted.restart()
    rooted.settle()
    assert look(rooted, watch) == ""


# --- damage and crashes -------------------------------------------------------------------------
def test_a_damaged_root_log_stops_no_tree_and_is_named(rooted: World) -> None:
    grow(rooted)
    row = update(audit_tree).where(audit_tree.c.tenant_id == ROOT)
    (size,) = rooted.database.attack(
        lambda c: c.execute(select(audit_tree.c.size).where(audit_tree.c.tenant_id == ROOT)).one()
    )
    rooted.database.attack(lambda c: c.execute(row.values(size=1)))
    rooted.record(2)
    report = rooted.loop.tick()
    assert (report.sequenced, report.signed, list(report.refused)) == (2, 1, [ROOT])
    rooted.database.attack(lambda c: c.execute(row.values(size=size, held=None)))
    assert rooted.settle()[0].error is None
    assert heads(rooted) == {(item["tree"], item["size"]) for item in leaves(rooted)}
    assert rooted.verify().exit_code == 0


def test_a_head_that_the_signer_did_not_sign_gets_no_leaf(rooted: World) -> None:
    grow(rooted)
    rooted.has_root = False
    rooted.restart()
    rooted.record(1)
    rooted.settle()
    newest = (audit_checkpoint.c.tenant_id == ACME, audit_checkpoint.c.size == 41)
    note = rooted.notes(ACME)[-1]
    forged = f"{note.rpartition('— ')[0]}— x {'A' * 92}\n"
    rooted.database.attack(
        lambda c: c.execute(update(audit_checkpoint).where(*newest).values(note=forged))
    )
    rooted.has_root = True
    rooted.restart()
    report = rooted.loop.tick()
    assert "is not ours" in report.refused[ACME]
    assert (ACME, 41) not in {(item["tree"], item["size"]) for item in leaves(rooted)}


class KilledWhenSigningTheRoot:
    """A key whose process dies when the head of the root log is signed."""

    def __init__(self, key: KeyFileSigner) -> None:
        self.public_key = key.public_key
        self._key = key

    def sign(self, message: bytes) -> bytes:
        if message.startswith(f"{HOST}/audit/{ROOT}\n".encode()):
            os.kill(os.getpid(), signal.SIGKILL)
        return self._key.sign(message)


def tick_and_die(world: World, kind: str, at: int) -> bool:
    """Tick in a child that is killed at its n-th statement or commit; tell whether it was."""
    pid = os.fork()
    if pid:
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    engine = world.database.engine(SEQUENCER, poolclass=NullPool)
    left = [at]

    def reached(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    if kind != "sign":
        event.listen(engine, kind, reached)
    key = KilledWhenSigningTheRoot(world.key) if kind == "sign" else world.key
    signer = CheckpointSigner(key, SigningJournal(world.journal_path))
    loop = SignerLoop(
        Sequencer(engine, clock=world.clock),
        CheckpointPublisher(engine, engine, signer, host=HOST),
        sweep_interval=0,
        root=RootLog(engine, signer, host=HOST, clock=world.clock),
    )
    os._exit(0 if loop.tick().error is None else 3)


def crash_and_check(world: World, kind: str, at: int) -> bool:
    world.record(2)
    world.record(1, OTHER)
    world.journal.close()
    was_killed = tick_and_die(world, kind, at)
    assert world.verify().exit_code == 0
    world.open()
    notes = world.notes(ROOT)
    world.settle()
    found = [(item["tree"], item["size"]) for item in leaves(world)]
    assert len(found) == len(set(found))
    assert set(found) == heads(world)
    report = world.verify(pins=notes)
    assert report.exit_code == 0, report.to_text()
    assert [tree.covered for tree in report.trees] == [tree.entries for tree in report.trees]
    return was_killed


@pytest.mark.parametrize(("kind", "points"), [("before_cursor_execute", 28), ("commit", 9)])
def test_a_crash_at_any_point_leaves_each_head_with_one_leaf(
    rooted: World, kind: str, points: int
) -> None:
    rooted.record(1)
    rooted.settle()
    fired = 0
    while crash_and_check(rooted, kind, fired + 1):
        fired += 1
    assert fired >= points


def test_a_crash_before_the_root_is_signed_signs_it_again(rooted: World) -> None:
    rooted.record(1)
    rooted.settle()
    for _ in range(3):
        assert crash_and_check(rooted, "sign", 0)


# --- many trees ---------------------------------------------------------------------------------
def test_as_many_statements_for_many_heads_as_for_few(rooted: World) -> None:
    engine = rooted.database.engine(SEQUENCER)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    publisher = CheckpointPublisher(engine, engine, rooted.signer, host=HOST)
    root = RootLog(engine, rooted.signer, host=HOST, clock=rooted.clock)
    sequencer = Sequencer(engine, clock=rooted.clock)
    rooted.loop = SignerLoop(sequencer, publisher, sweep_interval=60, root=root)
    counts = []
    for trees in (many_trees(200), many_trees(3), many_trees(200)):
        record_in_each(rooted, trees)
        statements.clear()
        assert rooted.loop.tick().error is None
        counts.append(len(statements))
    engine.dispose()
    assert max(counts) < 50
    assert abs(counts[1] - counts[2]) <= 3  # complete subtrees of the root log are stored
    assert rooted.verify().exit_code == 0


def test_heads_wait_for_the_interval_and_no_longer_than_the_last_tick(rooted: World) -> None:
    engine = rooted.database.engine(SEQUENCER)
    root = RootLog(engine, rooted.signer, host=HOST, clock=rooted.clock)
    loop = SignerLoop(
        rooted.sequencer, rooted.publisher, sweep_interval=3600, root=root, root_interval=3600
    )
    loop.tick()
    for _ in range(3):
        rooted.record(1)
        assert loop.tick().signed == 1
    assert leaves(rooted) == []
    loop.tick(is_last=True)
    engine.dispose()
    assert [item["size"] for item in leaves(rooted)] == [1, 2, 3]
    assert len(rooted.notes(ROOT)) == 1


def test_many_heads_are_added_in_portions(rooted: World) -> None:
    rooted.has_root = False
    rooted.restart()
    record_in_each(rooted, many_trees(25))
    rooted.settle()
    engine = rooted.database.engine(SEQUENCER)
    root = RootLog(engine, rooted.signer, host=HOST, clock=rooted.clock, at_once=10)
    loop = SignerLoop(rooted.sequencer, rooted.publisher, sweep_interval=0, root=root)
    assert loop.tick().error is None
    engine.dispose()
    assert len(leaves(rooted)) == 25
    assert rooted.verify().exit_code == 0
