"""The roles of the database. None is a superuser and none passes by row level security.

``owner`` owns the tables and runs migrations; ``app`` reads and writes what the application does;
``sequencer`` writes the audit log; ``auditor`` reads it. On the private socket of the embedded
server they need no password; elsewhere the administrator sets one and gives the URLs as settings.
"""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

OWNER: Final = "tenantplane_owner"
APP: Final = "tenantplane_app"
SEQUENCER: Final = "tenantplane_sequencer"
AUDITOR: Final = "tenantplane_auditor"
ROLES: Final = (OWNER, APP, SEQUENCER, AUDITOR)
DATABASE: Final = "tenantplane"

_FLAGS: Final = sql.SQL("LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS")

_MEMBERSHIP: Final = """
    DO $$ BEGIN
        IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
            EXECUTE format('GRANT tenantplane_owner TO %I', current_user);
        END IF;
    END $$
"""


def bootstrap(admin_url: str, database: str = DATABASE) -> None:
    """Create the roles and an empty database, as far as they are missing.

    ``admin_url`` is that of a role that may do so, connected to any other database. Running it
    again puts the roles' flags right and changes nothing else.
    """
    with psycopg.connect(admin_url, autocommit=True) as connection:
        for role in ROLES:
            _have_role(connection, role)
        name = sql.Identifier(database)
        if not connection.execute(
            "SELECT FROM pg_database WHERE datname = %s", [database]
        ).rowcount:
            # whoever is no superuser must be a member of the owner to give it a database
            connection.execute(_MEMBERSHIP)
            # template0 holds nothing that an administrator may have put into template1
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'").format(
                    name, sql.Identifier(OWNER)
                )
            )
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                name, sql.SQL(", ").join(map(sql.Identifier, ROLES))
            )
        )


def _have_role(connection: psycopg.Connection[TupleRow], role: str) -> None:
    right = connection.execute(
        "SELECT rolcanlogin AND NOT (rolsuper OR rolcreatedb OR rolcreaterole OR rolbypassrls)"
        " FROM pg_roles WHERE rolname = %s",
        [role],
    ).fetchone()
    if right == (True,):
        return  # an administrator who is no superuser may not even repeat NOSUPERUSER
    verb = sql.SQL("CREATE ROLE {} {}" if right is None else "ALTER ROLE {} {}")
    connection.execute(verb.format(sql.Identifier(role), _FLAGS))
