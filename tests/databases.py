"""Databases of tests: a server for the session, a migrated database for a module."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import psycopg
from psycopg import sql

from control_plane.adapters.db import migrate, roles
from control_plane.adapters.postgres import SUPERUSER, EmbeddedPostgres

TEMPLATE = "tests_migrated"
_KEPT = ("alembic_version",)


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
        """Remove every row that a test left; a session that holds one is named by the error."""
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '10s'")
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
                " AND tablename <> ALL (%s)",
                [list(_KEPT)],
            ).fetchall()
            names = sql.SQL(", ").join(sql.Identifier(str(name)) for (name,) in tables)
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(names))


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
    roles.bootstrap(server.url(SUPERUSER, SUPERUSER), TEMPLATE)
    migrate.upgrade(server.url(roles.OWNER, TEMPLATE))
    return TEMPLATE
