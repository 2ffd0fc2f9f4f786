"""A damaged log is set aside with a finding, and nothing else waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import NullPool, delete, select, text, update
from sqlalchemy.exc import DBAPIError

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.quarantine import HeldTrees, SqlQuarantine
from control_plane.adapters.db.audit_tables import audit_entry, audit_quarantine, audit_tree
from control_plane.adapters.db.roles import APP, AUDITOR, SEQUENCER
from control_plane.domain.deployment import PLATFORM, ROOT
from tests.integration.audit_attacker import edit_and_hash, of_acme
from tests.integration.audit_world import ACME, OTHER, Database, World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def watched(rooted: World) -> Iterator[World]:
    """A signer that keeps its findings, as in an installation."""
    engine = rooted.database.engine(SEQUENCER)
    rooted.loop._findings = HeldTrees(engine)
    yield rooted
    engine.dispose()


def shorten(world: World) -> None:
    world.database.attack(
        lambda c: c.execute(update(audit_tree).where(of_acme(audit_tree)).values(size=3))
    )


def lose_an_entry(world: World) -> None:
    last = (of_acme(audit_entry), audit_entry.c.idx == 39)
    world.database.attack(lambda c: c.execute(delete(audit_entry).where(*last)))


def rewrite(world: World) -> None:
    world.database.attack(edit_and_hash)


def findings(world: World) -> list[tuple[str, bool, bool]]:
    """Return tree, whether it is in order again, and whether somebody released it."""
    query = select(audit_quarantine).order_by(audit_quarantine.c.id)
    rows = world.database.attack(lambda c: c.execute(query).all())
    return [(row.tree, row.ended_at is not None, row.released_at is not None) for row in rows]


def said(world: World) -> list[tuple[str, str]]:
    with world.auditor.begin() as connection:
        reading.limit_to(connection, [PLATFORM])
        found = [item.body for item in reading.events_page(connection, PLATFORM)]
    return [(body["action"], body["data"]["log"]) for body in found if body]


@pytest.mark.parametrize("damage", [shorten, lose_an_entry, rewrite])
def test_a_damaged_log_is_a_finding_and_the_others_and_the_root_log_continue(
    watched: World, damage: Callable[[World], None]
) -> None:
    watched.grow(ACME, 40)
    damage(watched)
    watched.record(1)
    watched.record(4, OTHER)
    watched.loop.tick()
    watched.record(1, OTHER)
    for _ in range(3):
        watched.loop.tick()
    assert findings(watched) == [(ACME, False, False)]
    assert said(watched) == [("log.set_aside", ACME)]
    assert watched.verify([OTHER]).exit_code == 0
    assert watched.verify([PLATFORM]).exit_code == 0
    (root,) = watched.verify([ROOT]).trees
    assert root.is_ok
    (other,) = watched.verify([OTHER]).trees
    assert other.in_root == other.entries == 5


def test_the_finding_stays_when_the_log_is_in_order_until_somebody_releases_it(
    watched: World,
) -> None:
    watched.grow(ACME, 10)
    query = select(audit_tree.c.size).where(of_acme(audit_tree))
    size = watched.database.attack(lambda c: c.execute(query).scalar_one())
    shorten(watched)
    watched.record(1)
    watched.loop.tick()

    def repair() -> None:
        watched.database.attack(
            lambda c: c.execute(update(audit_tree).where(of_acme(audit_tree)).values(size=size))
        )

    repair()
    for _ in range(3):
        watched.loop.tick()
    assert findings(watched) == [(ACME, True, False)]
    assert said(watched) == [("log.set_aside", ACME), ("log.in_order", ACME)]
    shorten(watched)
    watched.record(1)
    watched.loop.tick()
    assert findings(watched) == [(ACME, False, False)]  # the same finding, again
    size += 1
    repair()
    for _ in range(2):
        watched.loop.tick()
    with watched.app.begin() as connection:
        rows = SqlQuarantine(connection)
        found = rows.open(ACME)
        assert found is not None
        rows.release(found, by="u-1", at=found.since)
    assert findings(watched) == [(ACME, True, True)]
    shorten(watched)
    watched.record(1)
    watched.loop.tick()
    assert findings(watched) == [(ACME, True, True), (ACME, False, False)]
    with watched.app.begin() as connection:
        open_first = SqlQuarantine(connection).found(None, limit=5)
    assert [each.released_at is None for each in open_first] == [True, False]


REFUSED = [
    (APP, "UPDATE audit_quarantine SET released_at = now(), released_by = 'x'"),  # still held
    (APP, "UPDATE audit_quarantine SET ended_at = now()"),
    (APP, "UPDATE audit_quarantine SET why = ''"),
    (APP, "INSERT INTO audit_quarantine (tree, why) VALUES ('platform', 'x')"),
    (APP, "DELETE FROM audit_quarantine"),
    (SEQUENCER, "DELETE FROM audit_quarantine"),
    (SEQUENCER, "UPDATE audit_quarantine SET released_at = now(), released_by = 'x'"),
    (SEQUENCER, "INSERT INTO audit_quarantine (tree, why) VALUES ('elsewhere', 'x')"),
    (AUDITOR, "SELECT * FROM audit_quarantine"),
]


def test_the_database_refuses_what_nobody_may_do_with_findings(
    watched: World, audit_database: Database
) -> None:
    watched.grow(ACME, 10)
    shorten(watched)
    watched.record(1)
    watched.loop.tick()
    for role, statement in REFUSED:
        engine = audit_database.engine(role, poolclass=NullPool)
        with pytest.raises(DBAPIError), engine.begin() as connection:
            connection.execute(text(statement))
    assert findings(watched) == [(ACME, False, False)]
