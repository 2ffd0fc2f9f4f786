"""Bringing a database to the present schema, and telling whether it is there.

Migrations go forward only: a backup is the way back, since rows of an audit log cannot be unmade.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.pool import NullPool

from control_plane.adapters.db import audit_tables, tables
from control_plane.adapters.db.engine import driver_url
from control_plane.adapters.db.faults import translated
from control_plane.adapters.db.metadata import metadata
from control_plane.domain.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

_LOCK: Final = "tenantplane:migrations"
_IN_THE_WAY: Final = "TP007"  # raised by a migration that names the rows it cannot take along
_FOLDER: Final = Path(__file__).with_name("migrations")
# the modules fill the one MetaData when they are imported
_DEFINED: Final = (tables.BUSINESS_TABLES, audit_tables.AUDIT_TABLES)


class SchemaDiffers(Exception):
    """The migrations do not give the tables in the code: one is missing or wrong."""


def upgrade(url: str, revision: str = "head") -> None:
    """Run the missing migrations, as the owner; one process at a time, all or nothing.

    Raises ``Unavailable`` when there is no database or its roles are missing, and ``Conflict`` that
    names the rows which the new schema cannot hold.
    """
    with _locked(url) as connection:
        if revision == "head" and not _pending(connection):
            return
        from alembic import command  # noqa: PLC0415 - 9 MB that a serving process does not need

        try:
            command.upgrade(_config(connection), revision)
            connection.commit()
        except ProgrammingError as error:
            if "role" in str(error.orig) and "does not exist" in str(error.orig):
                raise Unavailable(
                    "a database role is missing: an administrator must run "
                    "`tenantctl database roles` first"
                ) from error
            raise
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.Error) and error.orig.sqlstate == _IN_THE_WAY:
                raise Conflict(
                    f"nothing was changed: {error.orig.diag.message_primary}; docs/operations.md, "
                    '"Upgrade", says what to do'
                ) from error
            raise


def revisions() -> tuple[str, ...]:
    """Return all revisions, oldest first: a module's name starts with its revision."""
    modules = (_FOLDER / "versions").glob("[0-9]*_*.py")
    return tuple(sorted(module.name.partition("_")[0] for module in modules))


def pending(url: str) -> tuple[str, ...]:
    """Return the revisions that the database lacks, oldest first; empty means it is at head."""
    with _connection(url) as connection:
        return _pending(connection)


def pending_on(engine: Engine) -> tuple[str, ...]:
    """Return what ``pending`` does, by a connection that is kept. Raises ``Unavailable``."""
    with translated(), engine.connect() as connection:
        return _pending(connection)


def revision_of(engine: Engine) -> str:
    """Return the revision that the database is at. Raises ``Unavailable``."""
    with translated(), engine.connect() as connection:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())


def differences(url: str) -> list[str]:
    """Return what differs between a migrated database and the tables in the code, in words."""
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415 - as above
    from alembic.migration import MigrationContext  # noqa: PLC0415 - as above

    with _connection(url) as connection:
        context = MigrationContext.configure(connection, opts=compared())
        return [repr(found) for found in compare_metadata(context, metadata)]


def check(url: str) -> None:
    """Migrate an empty database and compare it with the tables in the code.

    Raises ``SchemaDiffers`` with the differences.
    """
    upgrade(url)
    found = differences(url)
    if found:
        raise SchemaDiffers("; ".join(found))


def compared() -> dict[str, Any]:
    """Return what the schema is compared with, and how."""
    return {
        "target_metadata": metadata,
        "compare_type": True,
        "compare_server_default": True,
    }


def _pending(connection: Connection) -> tuple[str, ...]:
    if connection.execute(text("SELECT to_regclass('public.alembic_version')")).scalar() is None:
        return revisions()
    applied = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return tuple(revision for revision in revisions() if applied is None or revision > applied)


def _config(connection: Connection) -> Config:
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _locked(url: str) -> Iterator[Connection]:
    with _connection(url) as connection:
        connection.execute(
            text("SELECT pg_advisory_lock(hashtextextended(:name, 0))"), {"name": _LOCK}
        )
        connection.commit()
        try:
            yield connection
        finally:
            connection.rollback()
            connection.execute(
                text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))"), {"name": _LOCK}
            )
            connection.commit()


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    engine = create_engine(driver_url(url), poolclass=NullPool)
    try:
        with translated():
            connection = engine.connect()
        with connection:
            yield connection
    finally:
        engine.dispose()
