"""Who may do what with the tables of the audit log, asked of a real PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from control_plane.adapters.audit import reading
from control_plane.adapters.db.audit_tables import AUDIT_TABLES, audit_pending, audit_quarantine
from control_plane.adapters.db.roles import APP, AUDITOR, OWNER, SEQUENCER
from control_plane.domain.audit import event_uuid
from tests.integration.audit_world import ACME, OTHER, Database, World, make_event

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


FORBIDDEN = [
    (role, f"{verb} {table}{rest}")
    for table in ("audit_entry", "audit_tree", "audit_checkpoint", "audit_disclosure", "audit_key")
    for verb, rest in (("DELETE FROM", ""), ("TRUNCATE", ""), ("DROP TABLE", ""))
    for role in (APP, AUDITOR, SEQUENCER)
    if (role, table, verb) != (SEQUENCER, "audit_checkpoint", "DELETE FROM")  # see thinning
] + [
    (APP, f"SELECT count(*) FROM {table.name}") for table in AUDIT_TABLES  # noqa: S608 - our names
    if table is not audit_quarantine  # findings of the signer, which people release
] + [
    (APP, "INSERT INTO audit_served (tenant_id, size) VALUES ('platform', 1)"),
    (AUDITOR, "DELETE FROM audit_served"),
    (APP, "UPDATE audit_entry SET entry = entry"),
    (APP, "UPDATE audit_pending SET body = body"),
    (APP, "UPDATE audit_checkpoint SET note = note"),
    (APP, "UPDATE audit_tree SET size = 0"),
    (APP, "DELETE FROM audit_pending"),
    (APP, "TRUNCATE audit_pending"),
    (APP, "SELECT body FROM audit_pending"),
    (APP, "SELECT value FROM audit_disclosure"),
    (APP, "INSERT INTO audit_checkpoint (tenant_id, size, note) VALUES ('platform', 1, 'x')"),
    (APP, "ALTER TABLE audit_entry DISABLE ROW LEVEL SECURITY"),
    (APP, "DROP POLICY audit_pending_insert_app ON audit_pending"),
    (APP, "SET ROLE tenantplane_sequencer"),
    (AUDITOR, "INSERT INTO audit_pending (tenant_id, body) VALUES ('platform', 'x')"),
    (AUDITOR, "SELECT value FROM audit_disclosure"),
    (AUDITOR, "SELECT body FROM audit_pending"),
    (AUDITOR, "UPDATE audit_entry SET entry = entry"),
    (SEQUENCER, "UPDATE audit_entry SET entry = entry"),
    (SEQUENCER, "UPDATE audit_checkpoint SET note = note"),
    (SEQUENCER, "SELECT value FROM audit_disclosure"),
    (SEQUENCER, "UPDATE audit_pending SET body = body"),
]  # fmt: skip


@pytest.mark.parametrize(("role", "statement"), FORBIDDEN)
def test_the_database_refuses_what_a_role_may_not_do(
    audit_database: Database, role: str, statement: str
) -> None:
    engine = audit_database.engine(role)
    with engine.connect() as connection, pytest.raises(ProgrammingError) as refused:
        connection.execute(text(statement))
    engine.dispose()
    assert getattr(refused.value.orig, "sqlstate", None) == "42501"  # insufficient_privilege


def test_row_security_is_forced_and_no_role_passes_by_it(world: World) -> None:
    tables = [table.name for table in AUDIT_TABLES]
    with world.auditor.connect() as connection:
        forced = connection.execute(
            text(
                "SELECT count(*) FROM pg_class WHERE relname = ANY (:names)"
                " AND relrowsecurity AND relforcerowsecurity"
            ),
            {"names": tables},
        ).scalar_one()
        passing = connection.execute(
            text(
                "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'tenantplane_%'"
                " AND (rolbypassrls OR rolsuper)"
            )
        ).scalar_one()
    assert (forced, passing) == (len(tables), 0)
    world.record(2)
    world.settle()
    owner = world.database.engine(OWNER)
    with owner.connect() as connection:  # forced: the owner is bound by it too
        for table in AUDIT_TABLES:
            count = connection.execute(select(func.count()).select_from(table)).scalar_one()
            assert count == 0, table.name
    owner.dispose()


def test_a_reader_sees_only_the_trees_it_named_and_only_in_that_transaction(world: World) -> None:
    world.record(2)
    world.record(3, OTHER)
    world.settle()
    count = text("SELECT count(*) FROM audit_entry")
    with world.auditor.connect() as connection:
        assert connection.execute(count).scalar_one() == 0
        for trees, wanted in (([ACME], 2), ([OTHER], 3), ([ACME, OTHER], 5), (["*"], 5)):
            reading.limit_to(connection, trees)
            assert connection.execute(count).scalar_one() == wanted
        reading.limit_to(connection, [ACME])
        assert reading.events_page(connection, OTHER) == []
        connection.commit()
        assert connection.execute(count).scalar_one() == 0  # nothing outlives it


def test_rows_of_no_tree_are_refused_by_the_schema(world: World) -> None:
    for tree in ("acme", "", "platform\n", "ten_1", "*"):
        row = {"event_id": event_uuid(make_event(1).id), "tenant_id": tree, "body": b"{}"}
        with world.app.connect() as connection, pytest.raises(DBAPIError):
            connection.execute(insert(audit_pending).inline(), row)
