"""The roles of the database: what none is, and what each may do."""

from __future__ import annotations

import psycopg
import pytest

from control_plane.adapters.db import audit_tables, roles, tables
from control_plane.adapters.postgres import SUPERUSER, EmbeddedPostgres
from tests.databases import Database

pytestmark = pytest.mark.timeout(120)

NAMES = [table.name for table in tables.BUSINESS_TABLES]
DELETABLE = {
    "account",
    "console_session",
    "delivery",
    "engine_call",
    "event_subscription",
    "event_turn",
    "outgoing_event",
    "tenant_event",
    "idempotency_record",
    "onboarding_attempt",
    "onboarding_session",
    "run_event",
    "timer",
    "run",
    "evidence",
    "sweep",
    "sweep_item",
    "transferred",
}
# what they read and for whom: test_personal_values_in_sql.py
READ_FOR_OTHERS = {
    "tenantplane_disclosed",
    "tenantplane_erase",
    "tenantplane_granted",
    "tenantplane_is_recorded",
    "tenantplane_values_at",
    "tenantplane_values_of",
}
# a sweep and what could be watched are deleted when they are old
WRITTEN_ONCE = {"sweep", "sealing_key", "tenant_event"}


def rights(database: Database, role: str, table: str) -> set[str]:
    with psycopg.connect(database.admin) as connection:
        return {
            right
            for right in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES")
            for (held,) in connection.execute(
                "SELECT has_table_privilege(%s, %s, %s)", [role, table, right]
            )
            if held
        }


def test_no_role_is_a_superuser_or_passes_by_row_security(database: Database) -> None:
    with psycopg.connect(database.admin) as connection:
        rows = connection.execute(
            "SELECT rolname, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb"
            " OR rolreplication FROM pg_roles WHERE rolname LIKE 'tenantplane%%'"
        ).fetchall()
        members = connection.execute(
            "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members"
            " WHERE member::regrole::text LIKE 'tenantplane%%'"
        ).fetchall()
    assert dict(rows) == dict.fromkeys(roles.ROLES, False)
    assert members == []


@pytest.mark.parametrize("role", roles.ROLES)
def test_each_role_connects_as_itself_and_cannot_become_more(database: Database, role: str) -> None:
    with psycopg.connect(database.server.url(role, database.name), autocommit=True) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (role,)
        for other in (SUPERUSER, *(set(roles.ROLES) - {role})):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f'SET ROLE "{other}"')


@pytest.mark.parametrize("table", NAMES)
def test_the_application_has_what_it_needs_and_no_more(database: Database, table: str) -> None:
    wanted = {"SELECT", "INSERT"}
    if table not in {*WRITTEN_ONCE, *(immutable.name for immutable in tables.IMMUTABLE)}:
        wanted |= {"UPDATE"}
    if table in DELETABLE:
        wanted |= {"DELETE"}
    assert rights(database, roles.APP, table) == wanted


@pytest.mark.parametrize("role", [roles.SEQUENCER, roles.AUDITOR])
def test_the_roles_of_the_audit_log_see_no_business_table(database: Database, role: str) -> None:
    assert [name for name in NAMES if rights(database, role, name)] == []


def test_nobody_else_has_rights_on_a_table(database: Database) -> None:
    with psycopg.connect(database.admin) as connection:
        rows = connection.execute(
            "SELECT DISTINCT grantee FROM information_schema.table_privileges"
            " WHERE table_schema = 'public'"
        ).fetchall()
    assert {grantee for (grantee,) in rows} == set(roles.ROLES)


@pytest.mark.parametrize("role", [roles.APP, roles.SEQUENCER, roles.AUDITOR])
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (n int)",
        "CREATE SCHEMA mine",
        "DROP TABLE decision",
        "ALTER TABLE decision DISABLE TRIGGER ALL",
        "DROP TRIGGER check_decision ON decision",
        "ALTER TABLE audit_entry DISABLE ROW LEVEL SECURITY",
        "TRUNCATE run_event",
        "SET session_replication_role = replica",
        "ALTER ROLE tenantplane_app BYPASSRLS",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('postgresql.conf')",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TEMPORARY TABLE mine (n int)",
    ],
)
def test_none_but_the_owner_changes_the_schema_and_none_leaves_the_database(
    database: Database, role: str, statement: str
) -> None:
    url = database.server.url(role, database.name)
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_row_security_is_forced_on_every_table_of_the_audit_log(database: Database) -> None:
    with psycopg.connect(database.admin) as connection:
        rows = connection.execute(
            "SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        ).fetchall()
    forced = {name for name, both in rows if both}
    assert forced == {table.name for table in audit_tables.AUDIT_TABLES}


def test_no_view_reads_with_the_rights_of_somebody_else(database: Database) -> None:
    with psycopg.connect(database.admin) as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('v', 'm')"
            " AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        definers = connection.execute(
            "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
        ).fetchall()
        public = connection.execute(
            "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
            " AND (has_function_privilege('public', oid, 'EXECUTE')"
            " OR NOT 'search_path=public, pg_temp' = ANY (proconfig))"
        ).fetchall()
    assert rows == []
    assert {name for (name,) in definers} == READ_FOR_OTHERS
    assert public == []


def test_another_database_is_closed_to_everybody_else(postgres_server: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres_server.url(SUPERUSER, SUPERUSER), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS somebody_else")
        connection.execute("CREATE ROLE somebody_else LOGIN")
    roles.bootstrap(postgres_server.url(SUPERUSER, SUPERUSER), "closed")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(postgres_server.url("somebody_else", "closed"))


def test_setting_the_server_up_again_puts_flags_right_and_keeps_the_rest(
    postgres_server: EmbeddedPostgres,
) -> None:
    admin = postgres_server.url(SUPERUSER, SUPERUSER)
    roles.bootstrap(admin, "again")
    with psycopg.connect(postgres_server.url(roles.OWNER, "again")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("ALTER ROLE tenantplane_auditor BYPASSRLS CREATEDB NOLOGIN")
    roles.bootstrap(admin, "again")
    with psycopg.connect(admin) as connection:
        flags = connection.execute(
            "SELECT rolcanlogin, rolbypassrls, rolcreatedb FROM pg_roles"
            " WHERE rolname = 'tenantplane_auditor'"
        ).fetchone()
    assert flags == (True, False, False)
    with psycopg.connect(postgres_server.url(roles.OWNER, "again")) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
