"""The migrations give exactly the tables in the code, once and again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import NullPool, create_engine

from control_plane.adapters.db import audit_tables, migrate, roles, tables
from control_plane.adapters.db.engine import driver_url
from control_plane.adapters.db.metadata import metadata
from control_plane.adapters.postgres import SUPERUSER, EmbeddedPostgres
from control_plane.domain.errors import Conflict, Unavailable
from tests.databases import Database, drop_database, new_database
from tests.integration.before_0002 import ROWS, put

pytestmark = pytest.mark.timeout(120)

CATALOG = {
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity,
               collation_name
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
            -- not null is named by the server, and columns have it; triggers are only in the SQL
            AND contype NOT IN ('n', 't')
        ORDER BY 1, 2""",
    "indexes": """
        SELECT tablename, indexname, indexdef
        FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2""",
}


def catalog(url: str) -> dict[str, list[tuple[object, ...]]]:
    with psycopg.connect(url) as connection:
        return {
            what: [row for row in connection.execute(query) if row[0] != "alembic_version"]
            for what, query in CATALOG.items()
        }


@pytest.fixture
def fresh(postgres_server: EmbeddedPostgres) -> Iterator[Database]:
    name = new_database(postgres_server)
    yield Database(server=postgres_server, name=name)
    drop_database(postgres_server, name)


def test_a_fresh_database_has_everything_pending_and_then_nothing(fresh: Database) -> None:
    assert migrate.pending(fresh.owner)[0] == "0001"
    migrate.upgrade(fresh.owner)
    assert migrate.pending(fresh.owner) == ()
    assert migrate.pending(fresh.app) == ()  # a process that only serves can tell too


def test_revisions_are_those_that_alembic_knows_in_one_line() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))
    script = ScriptDirectory.from_config(config)
    assert len(script.get_heads()) == 1
    known = [found.revision for found in script.walk_revisions()]
    assert migrate.revisions() == tuple(reversed(known))


def test_migrated_tables_equal_those_in_the_code(fresh: Database) -> None:
    migrate.check(fresh.owner)


def test_every_constraint_and_index_equals_the_one_in_the_code(
    fresh: Database, postgres_url: str
) -> None:
    engine = create_engine(driver_url(postgres_url), poolclass=NullPool)
    metadata.create_all(engine)
    migrate.upgrade(fresh.owner)
    wanted, found = catalog(postgres_url), catalog(fresh.owner)
    for what in CATALOG:
        assert found[what] == wanted[what]


def test_a_difference_is_found(fresh: Database) -> None:
    migrate.upgrade(fresh.owner)
    with psycopg.connect(fresh.owner) as connection:
        connection.execute("ALTER TABLE tenant ADD COLUMN forgotten text")
        connection.execute("ALTER TABLE tenant ALTER COLUMN slug DROP NOT NULL")
    with pytest.raises(migrate.SchemaDiffers, match="forgotten"):
        migrate.check(fresh.owner)
    assert len(migrate.differences(fresh.owner)) == 2


def test_migrating_again_changes_nothing(fresh: Database) -> None:
    migrate.upgrade(fresh.owner)
    before = catalog(fresh.owner)
    migrate.upgrade(fresh.owner)
    assert catalog(fresh.owner) == before


def test_a_failed_migration_leaves_nothing(fresh: Database) -> None:
    with psycopg.connect(fresh.owner) as connection:
        connection.execute("CREATE TABLE idempotency_record (in_the_way text)")
    with pytest.raises(Exception, match="idempotency_record"):
        migrate.upgrade(fresh.owner)
    with psycopg.connect(fresh.owner) as connection:
        left = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert left.fetchall() == [("idempotency_record",)]


@pytest.mark.parametrize(
    ("before", "table", "first", "second", "named"),
    [
        ("0001", "contract", {}, {"id": "ctr_2", "envelope_id": "e-2"},
         f"the same contract number: C-1 of docusign ({ROWS['contract'][0]['id']}, ctr_2)"),
        ("0006", "decision", {"person": "olga"}, {"id": "dec_2", "person": "olga.new"},
         f"decided twice on the same approval: {ROWS['decision'][0]['approval_id']};"),
    ],
)  # fmt: skip
def test_rows_that_were_legal_before_are_named_and_nothing_is_changed(
    fresh: Database,
    before: str,
    table: str,
    first: dict[str, str],
    second: dict[str, str],
    named: str,
) -> None:
    migrate.upgrade(fresh.owner, before)
    row = ROWS[table][0] | first
    with psycopg.connect(fresh.admin) as admin:
        admin.execute("SET session_replication_role = replica")  # what it refers to is not there
        put(admin, table, row)
        put(admin, table, row | second)
    with pytest.raises(Conflict, match=re.escape(named)):
        migrate.upgrade(fresh.owner)
    assert migrate.pending(fresh.owner)[0] > before
    with psycopg.connect(fresh.owner) as owner:
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
        assert owner.execute(query).fetchone() == (2,)


@pytest.mark.parametrize(
    ("before", "table", "group", "pair"),
    [
        ("0001", "contract", "contract_id", {"envelope_id": "e-{}"}),
        ("0006", "decision", "approval_id", {"person": "olga.{}"}),
    ],
)
def test_of_many_rows_in_the_way_some_are_named_and_the_rest_is_counted(
    fresh: Database, before: str, table: str, group: str, pair: dict[str, str]
) -> None:
    migrate.upgrade(fresh.owner, before)
    with psycopg.connect(fresh.admin) as admin:
        admin.execute("SET session_replication_role = replica")  # as above
        for n in range(60):
            own = {name: value.format(n) for name, value in pair.items()}
            put(admin, table, ROWS[table][0] | {"id": f"id_{n}", group: f"G-{n // 2:02}"} | own)
    with pytest.raises(Conflict, match=r"G-19.* and 10 more") as refused:
        migrate.upgrade(fresh.owner)
    assert "G-20" not in refused.value.message


def test_missing_roles_are_named_with_what_to_do(tmp_path_factory: pytest.TempPathFactory) -> None:
    # roles belong to the server, so this needs one of its own
    folder = tmp_path_factory.mktemp("pg")
    with EmbeddedPostgres(folder / "p", short_folder=folder, durable=False) as server:
        url = server.url(SUPERUSER, SUPERUSER)
        with pytest.raises(Unavailable, match="a database role is missing"):
            migrate.upgrade(url)
        roles.bootstrap(url)
        migrate.upgrade(server.url(roles.OWNER, roles.DATABASE))


def test_a_database_that_is_away_is_unavailable(postgres_server: EmbeddedPostgres) -> None:
    with pytest.raises(Unavailable):
        migrate.pending(postgres_server.url(roles.OWNER, "nobody_made_this"))


def test_every_table_is_known_to_the_metadata_and_has_a_reason_to_be() -> None:
    known = {*tables.BUSINESS_TABLES, *audit_tables.AUDIT_TABLES}
    assert set(metadata.tables.values()) == known
