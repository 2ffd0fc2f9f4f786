"""What single migrations do with rows that an earlier release has left."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from control_plane.adapters.db import migrate
from control_plane.adapters.postgres import EmbeddedPostgres
from control_plane.domain.errors import Conflict
from tests.databases import Database, drop_database, new_database

pytestmark = pytest.mark.timeout(120)

CONTRACT = """
    INSERT INTO contract (id, provider, envelope_id, contract_id, digest, signed_at, subscription,
                          mode, seats, tenant_id, created_at)
    VALUES (%(id)s, %(provider)s, %(id)s, %(number)s, 'sha256:1', now(), 'enterprise', 'B', 12,
            %(tenant)s, now())"""
TENANT = """
    INSERT INTO tenant (id, slug, legal_name, domain, country, time_zone, status, hold, drifted,
                        mode, region, facts, decision, editors, created_at, updated_at, version)
    VALUES (%(tenant)s, %(tenant)s, 'Acme', 'acme.example', 'IT', 'Europe/Rome', 'pending', false,
            false, 'B', 'eu-west-1', '{}', '{}', '[]', now(), now(), 1)"""


@pytest.fixture
def older(postgres_server: EmbeddedPostgres, revision: str) -> Iterator[Database]:
    name = new_database(postgres_server)
    database = Database(server=postgres_server, name=name)
    migrate.upgrade(database.owner, revision)
    yield database
    drop_database(postgres_server, name)


def contracts(database: Database, *given: tuple[str, str]) -> None:
    """Write a contract and its tenant for each provider and number."""
    with psycopg.connect(database.owner) as owner:
        for place, (provider, number) in enumerate(given):
            row = {"id": f"ctr_{place:026d}", "tenant": f"ten_{place:026d}",
                   "provider": provider, "number": number}  # fmt: skip
            owner.execute(TENANT, row)
            owner.execute(CONTRACT, row)


@pytest.mark.parametrize("revision", ["0002"])
def test_contract_numbers_held_twice_are_named_with_what_to_do(older: Database) -> None:
    contracts(older, ("docusign", "C-1"), ("docusign", "C-2"), ("docusign", "C-1"), ("own", "C-1"))
    with pytest.raises(Conflict) as caught:
        migrate.upgrade(older.owner)
    first, second = f"ctr_{0:026d}", f"ctr_{2:026d}"
    said = caught.value.message
    assert f"the same contract number: C-1 of docusign ({first}, {second});" in said
    assert "docs/operations.md" in said
    assert "C-2" not in said
    assert migrate.pending(older.owner)[0] == "0003"
    with psycopg.connect(older.owner) as owner:  # what docs/operations.md says
        owner.execute("ALTER TABLE contract DISABLE TRIGGER refuse_change")
        owner.execute(
            "UPDATE contract SET contract_id = contract_id || ' (second)' WHERE id = %s", [second]
        )
        owner.execute("ALTER TABLE contract ENABLE TRIGGER refuse_change")
    migrate.upgrade(older.owner)
    assert migrate.pending(older.owner) == ()


@pytest.mark.parametrize("revision", ["0005"])
def test_every_checkpoint_of_before_counts_as_served(older: Database) -> None:
    """Nobody knows which were: one that was thinned out could no longer be proven to its holder."""
    kept = [("platform", 3), ("platform", 9), ("ten_a", 2)]
    with psycopg.connect(older.admin) as admin:  # row security binds the owner
        for tree, size in kept:
            admin.execute(
                "INSERT INTO audit_checkpoint (tenant_id, size, note, signed_at)"
                " VALUES (%s, %s, 'note', now() - interval '3 days')",
                [tree, size],
            )
    migrate.upgrade(older.owner)
    with psycopg.connect(older.admin) as admin:
        served = admin.execute("SELECT tenant_id, size FROM audit_served ORDER BY 1, 2").fetchall()
        forced = admin.execute(
            "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'audit_checkpoint'"
        ).fetchone()
    assert served == kept
    assert forced == (True,)  # lifted for the copy alone


SAGA = """
    INSERT INTO saga (id, tenant_id, kind, status, step, is_undoing, reason, requested_by,
                      requesters, data, turn, started_at, updated_at, version)
    VALUES (%(saga)s, %(tenant)s, %(kind)s, 'working', %(step)s, false, 'it ends', 'ada', '[]',
            '{}', 1, now(), now(), 1)"""
STEP = """
    INSERT INTO saga_step (id, saga_id, number, name, is_undo, result, started_at, version)
    VALUES (%(saga)s || '.1', %(saga)s, 1, %(step)s, false, '{}', now(), 1)"""


@pytest.mark.parametrize("revision", ["0021"])
def test_a_saga_at_a_step_that_changed_takes_the_one_that_replaces_it(older: Database) -> None:
    given = [
        ("removal", "certify", False), ("removal", "close", False),
        ("mode_upgrade", "empty", True), ("mode_replacement", "empty", False),
    ]  # fmt: skip
    with psycopg.connect(older.owner) as owner:
        for place, (kind, step, is_begun) in enumerate(given):
            row = {"tenant": f"ten_{place}", "saga": f"sga_{place}", "kind": kind, "step": step}
            owner.execute(TENANT, row)
            owner.execute(SAGA, row)
            owner.execute("UPDATE tenant SET saga_id = %(saga)s WHERE id = %(tenant)s", row)
            if is_begun:
                owner.execute(STEP, row)
    migrate.upgrade(older.owner)
    with psycopg.connect(older.owner) as owner:
        steps = owner.execute("SELECT step FROM saga ORDER BY id").fetchall()
        begun = owner.execute("SELECT outcome, result ->> 'why' FROM saga_step").fetchall()
    assert [step for (step,) in steps] == ["forget", "close", "destroy", "destroy"]
    assert begun == [("skipped", "the destroy erases the settings of the application")]
