"""Databases of tests: a server for the session, a migrated database for a module."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from control_plane.adapters.db import migrate, roles
from control_plane.adapters.postgres import SUPERUSER, EmbeddedPostgres

TEMPLATE = "tests_migrated"
_KEPT = ("alembic_version", "dbos_migrations")
_ASIDE = "aside"  # schema of what ``keep_rows`` keeps


@dataclass(frozen=True, kw_only=True)
class Database:
    """A migrated database, by the URL of each role; ``admin`` is the superuser's."""

    server: EmbeddedPostgres
    name: str

    @property
    def app(self) -> str:
        return self.server.url(roles.APP, self.name)

    @property
    def owner(self) -> str:
        return self.server.url(roles.OWNER, self.name)

    @property
    def sequencer(self) -> str:
        return self.server.url(roles.SEQUENCER, self.name)

    @property
    def auditor(self) -> str:
        return self.server.url(roles.AUDITOR, self.name)

    @property
    def admin(self) -> str:
        return self.server.url(SUPERUSER, self.name)

    def empty(self) -> None:
        """Remove every row that a test left, of DBOS's tables too."""
        with psycopg.connect(self.admin) as connection:
            remove_rows(connection)


def remove_rows(connection: psycopg.Connection[Any]) -> None:
    """Remove every row, in the transaction of an administrator's connection.

    Rows are deleted with triggers and foreign keys switched off: that takes a millisecond, where
    truncating makes new files for each table and its indexes.
    """
    connection.execute("SET LOCAL lock_timeout = '10s'")
    connection.execute("SET LOCAL session_replication_role = replica")
    connection.execute(
        sql.SQL("; ").join(
            sql.SQL("DELETE FROM {}").format(sql.Identifier(*table))
            for table in _tables(connection)
        )
    )


def keep_rows(connection: psycopg.Connection[Any]) -> None:
    """Copy all rows to where ``remove_rows`` leaves them; copies of the database have them too."""
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(_ASIDE)))
    for table in _tables(connection):
        aside = sql.Identifier(_ASIDE, ".".join(table))
        connection.execute(
            sql.SQL("CREATE TABLE {} AS TABLE {}").format(aside, sql.Identifier(*table))
        )


def put_rows_back(connection: psycopg.Connection[Any]) -> None:
    """Make the rows those that were kept."""
    remove_rows(connection)
    connection.execute(
        sql.SQL("; ").join(
            sql.SQL("INSERT INTO {0} ({1}) OVERRIDING SYSTEM VALUE SELECT {1} FROM {2}").format(
                sql.Identifier(*table), columns, sql.Identifier(_ASIDE, ".".join(table))
            )
            for table, columns in _columns(connection).items()
        )
    )


def _columns(connection: psycopg.Connection[Any]) -> dict[tuple[str, str], sql.Composable]:
    """Return the columns of each table, without those that the database computes."""
    rows = connection.execute(
        "SELECT table_schema, table_name, array_agg(column_name::text)"
        " FROM information_schema.columns WHERE is_generated = 'NEVER' GROUP BY 1, 2"
    ).fetchall()
    found = {(schema, table): names for schema, table, names in rows}
    return {
        table: sql.SQL(", ").join(map(sql.Identifier, found[table]))
        for table in _tables(connection)
    }


def _tables(connection: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    return connection.execute(
        "SELECT schemaname, tablename FROM pg_tables"
        " WHERE schemaname IN ('public', 'dbos') AND tablename <> ALL (%s)",
        [list(_KEPT)],
    ).fetchall()


def new_database(server: EmbeddedPostgres, *, template: str | None = None) -> str:
    """Create a database of the owner, empty or as ``template``, and return its name."""
    name = f"test_{secrets.token_hex(6)}"
    if template is not None:
        with psycopg.connect(server.url(SUPERUSER, SUPERUSER), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(roles.OWNER), sql.Identifier(template)
                )
            )
    roles.bootstrap(server.url(SUPERUSER, SUPERUSER), name)
    return name


def drop_database(server: EmbeddedPostgres, name: str) -> None:
    """Drop a database and end whoever is still connected to it."""
    with psycopg.connect(server.url(SUPERUSER, SUPERUSER), autocommit=True) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


def make_template(server: EmbeddedPostgres) -> str:
    """Create the migrated database that others are copied from."""
    from control_plane.adapters.dbos.migrate import (
        migrate as migrate_queue,
    )

    roles.bootstrap(server.url(SUPERUSER, SUPERUSER), TEMPLATE)
    owner = server.url(roles.OWNER, TEMPLATE)
    migrate.upgrade(owner)
    migrate_queue(owner, application_role=roles.APP)
    return TEMPLATE
