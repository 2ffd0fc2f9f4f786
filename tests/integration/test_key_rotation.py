"""A new signing key for all logs: what it signs, who can verify both, and what a crash leaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, event, select, text
from sqlalchemy.exc import DBAPIError

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.checkpoints import CheckpointPublisher
from control_plane.adapters.audit.keys import (
    KeyFileUnusable,
    create_key_file,
    load_key_file,
    load_public_keys,
    public_key_path,
    retired_key_path,
)
from control_plane.adapters.audit.note import VerifierKey, open_checkpoint, tree_origin
from control_plane.adapters.audit.rootlog import RootLog
from control_plane.adapters.audit.rotation import (
    Order,
    finish_swap,
    next_key_path,
    order_rotation,
    waiting_rotation,
)
from control_plane.adapters.audit.sequencer import Sequencer
from control_plane.adapters.audit.signer_process import SignerLoop
from control_plane.adapters.audit.signing import CheckpointSigner, SigningJournal
from control_plane.adapters.audit.trail import SqlTrail
from control_plane.adapters.db.audit_tables import audit_key
from control_plane.adapters.db.roles import SEQUENCER
from control_plane.domain.deployment import PLATFORM, ROOT
from tests.integration.audit_world import ACME, HOST, OTHER, Database, World, verdicts
from tests.integration.dossiers import export, verified

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
TREES = [ACME, OTHER, PLATFORM, ROOT]


class Keyed(World):
    """A signer whose key is a file, as in an installation."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.path = folder / "audit.key"
        super().__init__(database, folder, create_key_file(self.path), has_root=True)

    def fill(self) -> None:
        for tree in (ACME, OTHER, PLATFORM):
            self.record(2, tree)
        assert self.settle()[0].error is None

    def reload(self) -> None:
        """Start the signer with the key that is there, as its process does."""
        self.journal.close()
        self.start()

    def start(self) -> None:
        """Start it after its end, with the key that is there."""
        finish_swap(self.path)
        self.key = load_key_file(self.path)
        self.open_with(load_public_keys(public_key_path(self.path)))

    def open_with(self, earlier: list[bytes]) -> None:
        self.journal = SigningJournal(self.journal_path)
        self.signer = CheckpointSigner(self.key, self.journal, earlier=earlier)
        self.sequencer = Sequencer(self._engine, clock=self.clock)
        self.publisher = CheckpointPublisher(self._engine, self._fresh, self.signer, host=HOST)
        root = RootLog(self._engine, self.signer, host=HOST, clock=self.clock)
        self.loop = SignerLoop(self.sequencer, self.publisher, sweep_interval=0, root=root)

    def rotate(self) -> None:
        """Tick and step until the new key is in its place."""
        rotation = waiting_rotation(self._engine, self.path, self.key, HOST)
        assert rotation is not None
        for _ in range(5):
            if rotation.step():
                self.reload()
                return
            assert self.loop.tick().error is None
        raise AssertionError("the key was not rotated")

    def keys(self, tree: str) -> list[tuple[int, int | None, str]]:
        query = select(audit_key).where(audit_key.c.tenant_id == tree).order_by("from_size")
        rows = self.database.attack(lambda c: c.execute(query).all())
        return [(row.from_size, row.to_size, row.reason) for row in rows]

    def trusted(self) -> list[bytes]:
        return load_public_keys(public_key_path(self.path))

    def said(self) -> list[dict[str, Any]]:
        """Return the bodies of events on keys."""
        with self.auditor.begin() as connection:
            reading.limit_to(connection, [PLATFORM])
            found = [item.body for item in reading.events_page(connection, PLATFORM, limit=1000)]
        return [dict(body) for body in found if body and body["action"].startswith("key.")]


@pytest.fixture
def keyed(audit_database: Database, tmp_path: Path) -> Iterator[Keyed]:
    world = Keyed(audit_database, tmp_path)
    yield world
    world.close()
    audit_database.empty()


def test_each_log_has_the_new_key_from_its_next_checkpoint_on(keyed: Keyed) -> None:
    keyed.fill()
    old = keyed.key
    new = order_rotation(keyed.path, Order(user="ida"))
    keyed.rotate()
    assert keyed.key.public_key == new.public_key
    keyed.fill()
    for tree in TREES:
        (_, end, reason), begun = keyed.keys(tree)
        assert (reason, begun) == ("created", (end, None, "rotated"))
        for note in keyed.notes(tree):
            is_old = int(note.split("\n")[1]) < int(end or 0)
            signer = old if is_old else new
            key = VerifierKey(name=tree_origin(HOST, tree), public_key=signer.public_key)
            open_checkpoint(note, [key])
    (body,) = keyed.said()
    assert body["actor"]["id"] == "local:ida"
    assert body["data"]["new_key_id"] != body["data"]["key_id"]
    assert not next_key_path(keyed.path).exists()
    assert sorted(item.name for item in keyed.path.parent.glob("audit.key*")) == [
        "audit.key", "audit.key.pub", retired_key_path(keyed.path, old.public_key).name,
    ]  # fmt: skip
    with pytest.raises(KeyFileUnusable):
        load_key_file(keyed.path.with_name("audit.key.next"))


def test_the_event_that_names_the_new_key_is_signed_by_the_old_one(keyed: Keyed) -> None:
    keyed.fill()
    old = keyed.key.public_key
    order_rotation(keyed.path, Order(user="ida"))
    keyed.rotate()
    (_, end, _), _ = keyed.keys(PLATFORM)
    with keyed.auditor.begin() as connection:
        reading.limit_to(connection, [PLATFORM])
        (found,) = reading.events_page(connection, PLATFORM, action="key.rotated")
    assert found.idx + 1 <= int(end or 0) - 1
    key = VerifierKey(name=tree_origin(HOST, PLATFORM), public_key=old)
    assert any(open_checkpoint(note, [key]).size > found.idx for note in keyed.notes(PLATFORM))


def test_product_and_offline_verifier_take_both_keys(keyed: Keyed, tmp_path: Path) -> None:
    keyed.fill()
    old = keyed.key.public_key
    order_rotation(keyed.path, Order(user="ida"))
    keyed.rotate()
    keyed.fill()
    both = keyed.trusted()
    assert len(both) == 2
    assert keyed.verify(keys=both).exit_code == 0
    assert verdicts(keyed.verify([ACME], keys=[old])) >= {"BADSIG"}
    assert verdicts(keyed.verify([ACME], keys=both[:1])) >= {"BADSIG"}
    trail = SqlTrail(lambda: keyed.auditor, host=HOST, public_key=public_key_path(keyed.path))
    trail.look_on(1000)
    assert trail.first_fault() == ""
    path = tmp_path / "dossier.zip"
    export(keyed, path)
    report = verified(path, "--controls", "none")
    assert (report["verdict"], report["facts"]["checkpoints"]) == ("OK", 2)


def test_what_the_old_key_signs_after_its_end_counts_for_nobody(
    keyed: Keyed, tmp_path: Path
) -> None:
    keyed.fill()
    stolen = keyed.key
    order_rotation(keyed.path, Order(user="ida", is_compromised=True))
    keyed.rotate()
    keyed.fill()
    assert [body["action"] for body in keyed.said()] == ["key.rotated", "key.revoked"]
    assert [reason for *_, reason in keyed.keys(ACME)] == ["revoked", "rotated"]
    note = keyed.notes(ACME)[-1]
    forged = note.partition("\n\n")[0] + "\n"
    head = open_checkpoint(note, [VerifierKey(name=tree_origin(HOST, ACME),
                                              public_key=keyed.key.public_key)])  # fmt: skip
    assert forged.split("\n")[1] == str(head.size)
    keyed.database.attack(
        lambda c: c.execute(
            text(
                "UPDATE audit_checkpoint SET note = :note WHERE tenant_id = :tree AND size = :size"
            ),
            {"note": head.signed(stolen), "tree": ACME, "size": head.size},
        )
    )
    found = keyed.verify([ACME], keys=keyed.trusted())
    assert "BADSIG" in verdicts(found)
    assert any("not in force" in item.detail for item in found.trees[0].findings)
    path = tmp_path / "dossier.zip"
    export(keyed, path)
    assert verified(path, "--controls", "none")["verdict"] == "BADSIG"


def test_a_key_can_be_rotated_again_and_new_logs_have_one_key(keyed: Keyed) -> None:
    for tree in (ACME, PLATFORM):
        keyed.record(1, tree)
    keyed.settle()
    for user in ("ida", "joe"):
        order_rotation(keyed.path, Order(user=user))
        keyed.rotate()
        keyed.fill()
    assert len(keyed.keys(ACME)) == 3
    assert len(keyed.keys(OTHER)) == 2  # it came with the second key
    assert len(keyed.trusted()) == 3
    assert keyed.verify(keys=keyed.trusted()).exit_code == 0


def test_without_its_journal_the_signer_takes_over_heads_of_the_key_before(keyed: Keyed) -> None:
    keyed.fill()
    order_rotation(keyed.path, Order(user="ida"))
    keyed.rotate()
    keyed.journal.close()
    keyed.journal_path.unlink()
    keyed.open_with(keyed.trusted())
    keyed.fill()
    assert keyed.verify(keys=keyed.trusted()).exit_code == 0


def test_a_second_order_is_refused_and_so_is_one_without_a_key(keyed: Keyed) -> None:
    order_rotation(keyed.path, Order(user="ida"))
    with pytest.raises(KeyFileUnusable, match="waits already"):
        order_rotation(keyed.path, Order(user="ida"))
    with pytest.raises(KeyFileUnusable, match="there is no key file"):
        order_rotation(keyed.path.with_name("other.key"), Order(user="ida"))


def test_logs_of_another_key_are_not_taken_over(keyed: Keyed, tmp_path: Path) -> None:
    keyed.fill()
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "audit.key"
    stranger = create_key_file(path)
    order_rotation(path, Order(user="ida"))
    engine = keyed.database.engine(SEQUENCER)
    rotation = waiting_rotation(engine, path, stranger, HOST)
    assert rotation is not None
    assert not rotation.step()
    assert load_key_file(path).public_key == stranger.public_key
    assert [to for _, to, _ in keyed.keys(ACME)] == [None]
    engine.dispose()


# --- crashes ------------------------------------------------------------------------------------
def rotate_and_die(keyed: Keyed, kind: str, point: int) -> bool:
    """Rotate in a child that is killed at its n-th statement, commit or renamed file."""
    pid = os.fork()
    if pid:
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    left = point

    def reached(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    engine = keyed.database.engine(SEQUENCER, poolclass=NullPool)
    keyed._engine = keyed._fresh = engine
    if kind == "rename":
        move: Callable[[Path, Path], Path] = Path.replace
        Path.replace = lambda self, to: (reached(), move(self, to))[1]  # type: ignore[assignment, method-assign]
    else:
        event.listen(engine, kind, reached)
    try:
        keyed.start()
        keyed.rotate()
    finally:
        os._exit(0)


@pytest.mark.parametrize(
    ("kind", "least"), [("before_cursor_execute", 20), ("commit", 6), ("rename", 2)]
)
def test_a_crash_at_any_point_of_a_rotation_is_taken_up(
    keyed: Keyed, kind: str, least: int
) -> None:
    points, was_killed = 0, True
    while was_killed:
        keyed.fill()
        old = keyed.key.public_key
        order_rotation(keyed.path, Order(user="ida", is_compromised=True))
        points += 1
        keyed.journal.close()
        for engine in (keyed.auditor, keyed._engine, keyed._fresh, keyed.app):
            engine.dispose()
        was_killed = rotate_and_die(keyed, kind, points)
        keyed.start()
        if next_key_path(keyed.path).exists():
            keyed.rotate()
        assert keyed.key.public_key != old
        keyed.fill()
        assert [to is None for _, to, _ in keyed.keys(ACME)].count(True) == 1
        report = keyed.verify(keys=keyed.trusted())
        assert report.exit_code == 0, report.to_text()
    assert points > least
    said = [body["action"] for body in keyed.said()]
    assert said.count("key.rotated") == said.count("key.revoked") == points


# --- what the database refuses ------------------------------------------------------------------
@pytest.mark.parametrize(
    "change",
    [
        "to_size = 99", "to_size = NULL", "vkey = 'x'", "from_size = 0", "key_id = 'x'",
    ],
)  # fmt: skip
def test_the_database_keeps_the_end_of_a_key(keyed: Keyed, change: str) -> None:
    keyed.fill()
    order_rotation(keyed.path, Order(user="ida"))
    keyed.rotate()
    engine = keyed.database.engine(SEQUENCER, poolclass=NullPool)
    statement = f"UPDATE audit_key SET {change} WHERE tenant_id = :tree AND from_size = 0"  # noqa: S608
    with pytest.raises(DBAPIError), engine.begin() as connection:
        connection.execute(text(statement), {"tree": ACME})
