"""The log of logs: every signed head becomes a leaf, once, whatever crashes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.merkle import Frontier, leaf_hash, verify_inclusion
from control_plane.adapters.audit.note import (
    Checkpoint,
    VerifierKey,
    open_checkpoint,
    tree_origin,
)
from control_plane.adapters.audit.rootleaf import RootLeaf, leaf_id
from control_plane.adapters.audit.rootlog import evidence
from control_plane.adapters.audit.verify import verify
from control_plane.adapters.db.audit_tables import (
    audit_checkpoint,
    audit_entry,
    audit_key,
    audit_pending,
    audit_root_leaf,
    audit_subtree,
    audit_tree,
)
from control_plane.adapters.db.roles import APP, AUDITOR, SEQUENCER
from control_plane.domain.audit import event_uuid
from control_plane.domain.deployment import ROOT
from tests.integration.audit_attacker import edit_and_hash, resign
from tests.integration.audit_world import ACME, HOST, OTHER, Database, World, make_event, verdicts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def leaves(world: World) -> list[dict[str, Any]]:
    """Return the bodies of the root log's entries."""
    query = select(audit_entry.c.entry).where(audit_entry.c.tenant_id == ROOT)
    rows = world.database.attack(lambda c: c.execute(query.order_by("idx")).scalars().all())
    return [json.loads(bytes(row).partition(b"\n")[2]) for row in rows]


def heads(world: World) -> set[tuple[str, int]]:
    """Return the signed heads of all trees but the root log."""
    query = select(audit_checkpoint.c.tenant_id, audit_checkpoint.c.size)
    rows = world.database.attack(lambda c: c.execute(query).all())
    return {(row.tenant_id, row.size) for row in rows if row.tenant_id != ROOT}


def test_each_signed_head_is_one_leaf_that_names_the_one_before(rooted: World) -> None:
    for count in (3, 2):
        rooted.record(count)
        rooted.record(1, OTHER)
        assert rooted.settle()[0].error is None
    found = leaves(rooted)
    assert [(item["tree"], item["size"], item["prev"]) for item in found] == [
        (ACME, 3, None), (OTHER, 1, None), (ACME, 5, 0), (OTHER, 2, 1),
    ]  # fmt: skip
    assert [item["root"] for item in found if item["tree"] == ACME] == [
        note.split("\n")[2] for note in rooted.notes(ACME)
    ]
    key = VerifierKey(name=tree_origin(HOST, ROOT), public_key=rooted.key.public_key)
    assert [open_checkpoint(note, [key]).size for note in rooted.notes(ROOT)] == [2, 4]


def test_the_evidence_for_a_tree_is_proved_under_the_checkpoint_beside_it(rooted: World) -> None:
    for _ in range(5):
        rooted.record(2)
        rooted.record(1, OTHER)
        rooted.settle()
    with rooted.auditor.connect() as connection:
        reading.limit_to(connection, [ACME, ROOT])
        found = evidence(connection, ACME)
    assert found is not None
    key = VerifierKey(name=tree_origin(HOST, ROOT), public_key=rooted.key.public_key)
    head = open_checkpoint(found["checkpoint"], [key])
    proof = [base64.b64decode(item) for item in found["proof"]]
    leaf = leaf_hash(found["entry"].encode())
    assert head.size == found["size"] == 10
    assert verify_inclusion(found["idx"], head.size, leaf, head.root, proof)
    body = json.loads(found["entry"].partition("\n")[2])
    assert (body["tree"], body["size"]) == (ACME, 10)


def test_a_tree_without_a_head_has_no_evidence(rooted: World) -> None:
    rooted.record(1)
    rooted.settle()
    with rooted.auditor.connect() as connection:
        reading.limit_to(connection, [OTHER, ROOT])
        assert evidence(connection, OTHER) is None


# --- what a verification finds with it ----------------------------------------------------------
def cut(connection: Connection, tree: str, size: int) -> None:
    """Put a tree back to an earlier size with everything that needs no key."""
    later = [
        (audit_entry, audit_entry.c.idx >= size),
        (audit_checkpoint, audit_checkpoint.c.size > size),
    ]
    for table, is_later in later:
        connection.execute(delete(table).where(table.c.tenant_id == tree, is_later))
    connection.execute(delete(audit_subtree).where(audit_subtree.c.tenant_id == tree))
    query = select(audit_entry.c.leaf).where(audit_entry.c.tenant_id == tree)
    kept = connection.execute(query.order_by(audit_entry.c.idx)).scalars().all()
    frontier = Frontier().extend(bytes(leaf) for leaf in kept)
    moved = update(audit_tree).where(audit_tree.c.tenant_id == tree)
    connection.execute(moved.values(size=frontier.size, frontier=frontier.to_bytes()))


def roll_a_tree_back(connection: Connection, world: World) -> None:
    cut(connection, ACME, 20)


def remove_a_tree(connection: Connection, world: World) -> None:
    for table in (audit_entry, audit_checkpoint, audit_tree, audit_key, audit_subtree):
        connection.execute(delete(table).where(table.c.tenant_id == ACME))


def remove_a_tree_and_its_places(connection: Connection, world: World) -> None:
    remove_a_tree(connection, world)
    connection.execute(delete(audit_root_leaf).where(audit_root_leaf.c.tenant_id == ACME))


def sign_another_history(connection: Connection, world: World) -> None:
    """Rewrite a tree with the stolen key, and not the root log."""
    edit_and_hash(connection)
    resign(connection, world.key)


def edit_a_leaf(connection: Connection, world: World) -> None:
    first = (audit_entry.c.tenant_id == ROOT, audit_entry.c.idx == 0)
    content = connection.execute(select(audit_entry.c.entry).where(*first)).scalar_one()
    changed = bytes(content).replace(b'"size":10', b'"size":11')
    connection.execute(update(audit_entry).where(*first).values(entry=changed))


def cut_the_root_log(connection: Connection, world: World) -> None:
    cut(connection, ROOT, 4)


def cut_both(connection: Connection, world: World) -> None:
    cut(connection, ROOT, 4)
    cut(connection, ACME, 20)
    cut(connection, OTHER, 20)


def remove_the_root_log(connection: Connection, world: World) -> None:
    for table in (audit_entry, audit_checkpoint, audit_tree, audit_key, audit_subtree):
        connection.execute(delete(table).where(table.c.tenant_id == ROOT))


def grow_both(world: World) -> None:
    """Let two trees grow to 40, a head every ten, an hour ago: nothing of it is young."""
    then = datetime.now(UTC) - timedelta(hours=1)
    world.clock = lambda: then
    for _ in range(4):
        world.record(10, time=then)
        world.record(10, OTHER, time=then)
        assert world.settle()[0].error is None


@pytest.mark.parametrize(
    ("attack", "found"),
    [
        (roll_a_tree_back, {(ACME, "GAP")}),
        (remove_a_tree, {(ACME, "GAP")}),
        (remove_a_tree_and_its_places, {(ACME, "GAP")}),
        (sign_another_history, {(ACME, "FORKED")}),
        (edit_a_leaf, {(ROOT, "TAMPERED"), (ROOT, "MALFORMED")}),
        (cut_the_root_log, {(ACME, "UNROOTED"), (OTHER, "UNROOTED")}),
        (cut_both, set()),  # what only a cosigned or kept checkpoint of the root log finds
        (remove_the_root_log, {(ROOT, "GAP")}),
    ],
)
def test_the_root_log_finds_with_the_key_alone_what_a_tree_cannot_tell_of_itself(
    rooted: World, attack: Callable[[Connection, World], None], found: set[tuple[str, str]]
) -> None:
    grow_both(rooted)
    pin = rooted.notes(ROOT)[-1]
    assert rooted.verify(pins=[pin]).exit_code == 0
    rooted.database.attack(lambda connection: attack(connection, rooted))
    report = verify(rooted.auditor, host=HOST, public_keys=[rooted.key.public_key], expected=[ROOT])
    named = {(tree.tree, str(item.verdict)) for tree in report.trees for item in tree.findings}
    assert named == found
    pinned = verdicts(rooted.verify(pins=[pin]))
    assert ("REWRITTEN" in pinned) == (ROOT in {tree for tree, _ in found} or attack in {
        cut_the_root_log, cut_both,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("attack", "found"),
    [
        (roll_a_tree_back, {"GAP"}),
        (remove_a_tree, {"GAP"}),
        (sign_another_history, {"FORKED"}),
        (cut_the_root_log, {"UNROOTED"}),
    ],
)
def test_one_tree_alone_is_compared_with_its_newest_leaf(
    rooted: World, attack: Callable[[Connection, World], None], found: set[str]
) -> None:
    grow_both(rooted)
    assert [tree.in_root for tree in rooted.verify([ACME]).trees] == [40]
    rooted.database.attack(lambda connection: attack(connection, rooted))
    assert verdicts(rooted.verify([ACME])) == found


def test_two_heads_of_one_size_in_the_root_log_are_a_fork(rooted: World) -> None:
    """A signer whose key was stolen writes a second head of a size that it has signed already."""
    rooted.record(2)
    rooted.settle()
    head = RootLeaf(idx=1, tree=ACME, size=2, root=bytes(32), prev=0)

    def forge(connection: Connection) -> None:
        first = connection.execute(
            select(audit_entry.c.entry, audit_entry.c.leaf).where(audit_entry.c.tenant_id == ROOT)
        ).one()
        line = bytes(first.entry).partition(b"\n")[0].replace(b'"idx":0', b'"idx":1')
        entry = line + b"\n" + head.body()
        frontier = Frontier().extend([bytes(first.leaf), leaf_hash(entry)])
        row = {"tenant_id": ROOT, "idx": 1, "event_id": leaf_id(ACME, 2), "entry": entry,
               "leaf": leaf_hash(entry)}  # fmt: skip
        connection.execute(
            update(audit_entry)
            .where(audit_entry.c.tenant_id == ROOT)
            .values(event_id=leaf_id(ACME, 1))
        )
        connection.execute(insert(audit_entry), row)
        connection.execute(
            update(audit_tree)
            .where(audit_tree.c.tenant_id == ROOT)
            .values(size=2, frontier=frontier.to_bytes())
        )
        signed = Checkpoint(origin=tree_origin(HOST, ROOT), size=2, root=frontier.root)
        connection.execute(
            insert(audit_checkpoint),
            {"tenant_id": ROOT, "size": 2, "note": signed.signed(rooted.key)},
        )

    with pytest.raises(IntegrityError):  # one id, so the database has one of them
        rooted.database.attack(
            lambda c: c.execute(
                insert(audit_entry),
                {"tenant_id": ROOT, "idx": 1, "event_id": leaf_id(ACME, 2), "entry": b"x",
                 "leaf": bytes(32)},
            )
        )  # fmt: skip
    rooted.database.attack(forge)
    found = rooted.verify([ROOT]).trees[0].findings
    assert {item.verdict for item in found} == {"FORKED", "MALFORMED"}


# --- rights -------------------------------------------------------------------------------------
LEAF = "INSERT INTO audit_root_leaf (tenant_id, size, idx) VALUES ('platform', 1, 0)"
ENTRY = (
    "INSERT INTO audit_entry (tenant_id, idx, event_id, entry, leaf)"
    " VALUES ('root', 0, gen_random_uuid(), 'x', decode(repeat('00', 32), 'hex'))"
)


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        *((role, statement) for role in (APP, AUDITOR) for statement in (LEAF, ENTRY)),
        (APP, "SELECT count(*) FROM audit_root_leaf"),
        (APP, "UPDATE audit_checkpoint SET cosigs = '[]'"),
        (AUDITOR, "UPDATE audit_checkpoint SET cosigs = '[]'"),
        *((role, f"{verb} audit_root_leaf")
          for role in (APP, AUDITOR, SEQUENCER) for verb in ("DELETE FROM", "TRUNCATE")),
        (SEQUENCER, "UPDATE audit_root_leaf SET idx = 7"),
        (SEQUENCER, "UPDATE audit_checkpoint SET note = 'x'"),
        (SEQUENCER, "UPDATE audit_checkpoint SET signed_at = now()"),
    ],
)  # fmt: skip
def test_only_the_sequencer_writes_the_root_log(
    audit_database: Database, role: str, statement: str
) -> None:
    engine = audit_database.engine(role)
    with engine.connect() as connection, pytest.raises(ProgrammingError) as refused:
        connection.execute(text(statement))
    engine.dispose()
    assert getattr(refused.value.orig, "sqlstate", None) == "42501"


def test_nobody_can_record_an_event_in_the_root_log(rooted: World) -> None:
    row = {"event_id": event_uuid(make_event(1).id), "tenant_id": ROOT, "body": b"{}"}
    with rooted.app.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(insert(audit_pending).inline(), row)


@pytest.mark.parametrize(
    ("row", "constraint"),
    [
        ((ACME, 99, 2), "root_leaf_is_signed"),
        ((OTHER, 1, 99), "root_leaf_is_logged"),
        ((ACME, 1, 2), "root_leaf_grows"),
    ],
)
def test_the_database_refuses_a_leaf_that_the_code_would_not_make(
    rooted: World, row: tuple[str, int, int], constraint: str
) -> None:
    for tree in (ACME, ACME, OTHER):
        rooted.record(1, tree)
        rooted.settle()
    away = audit_root_leaf.c.idx.in_([0, 2])
    rooted.database.attack(lambda c: c.execute(delete(audit_root_leaf).where(away)))
    engine = rooted.database.engine(SEQUENCER)
    values = dict(zip(("tenant_id", "size", "idx"), row, strict=True))
    with engine.connect() as connection, pytest.raises(DBAPIError) as refused:
        connection.execute(insert(audit_root_leaf), values)
    engine.dispose()
    assert isinstance(refused.value.orig, psycopg.Error)
    assert refused.value.orig.diag.constraint_name == constraint
