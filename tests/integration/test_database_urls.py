"""Every URL that libpq reads reaches the database, whichever part of the product opens it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, urlencode, urlsplit

import psycopg
import pytest
from dbos import DBOSClient
from psycopg import sql
from sqlalchemy import text

from control_plane.adapters.db import migrate, roles
from control_plane.adapters.db.engine import connect, driver_url
from control_plane.adapters.db.faults import translated
from control_plane.adapters.dbos import migrate as dbos_migrate
from control_plane.adapters.dbos.claiming import Claims
from control_plane.adapters.dbos.liveness import Liveness
from control_plane.domain.errors import SettingInvalid, Unavailable
from tests.databases import Database

Form = Callable[[dict[str, str], int], str]


def _parts(url: str) -> dict[str, str]:
    """Return libpq's reading of the URL of a test's database."""
    found = psycopg.conninfo.conninfo_to_dict(url)
    return {name: str(value) for name, value in found.items()}


def _url(parts: dict[str, str], hosts: str, **query: str) -> str:
    user = parts["user"] + (f":{parts['password']}" if "password" in parts else "")
    options = f"?{urlencode(query)}" if query else ""
    return f"postgresql://{user}@{hosts}/{parts['dbname']}{options}"


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


FORMS: dict[str, Form] = {
    "as it is": lambda parts, _: _url(parts, "", host=parts["host"], port=parts["port"]),
    "hosts of the authority, the first is down": lambda parts, dead: _url(
        parts, f"127.0.0.1:{dead},{_escaped(parts['host'])}:{parts['port']}"
    ),
    "hosts and ports of the query": lambda parts, dead: _url(
        parts, "", host=f"127.0.0.1,{parts['host']}", port=f"{dead},{parts['port']}"
    ),
    "a socket in the authority": lambda parts, _: _url(
        parts, f"{_escaped(parts['host'])}:{parts['port']}"
    ),
    "options": lambda parts, dead: _url(
        parts,
        f"127.0.0.1:{dead},{_escaped(parts['host'])}:{parts['port']}",
        target_session_attrs="read-write",
        sslmode="disable",
        connect_timeout="5",
    ),
}


def _escaped(host: str) -> str:
    return host.replace("/", "%2F")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_reaches_the_database_of_each_role(
    database: Database, dead_port: int, form: str
) -> None:
    for role, url in (
        (roles.APP, database.app),
        (roles.OWNER, database.owner),
        (roles.SEQUENCER, database.sequencer),
        (roles.AUDITOR, database.auditor),
    ):
        written = FORMS[form](_parts(url), dead_port)
        engine = connect(written, name="tests", connections=1)
        with engine.connect() as connection:
            found = connection.execute(text("SELECT current_user, current_database()")).one()
        engine.dispose()
        assert tuple(found) == (role, database.name)


@pytest.mark.parametrize("form", FORMS)
def test_migrations_queue_and_worker_take_the_same_urls(
    database: Database, dead_port: int, form: str
) -> None:
    owner = FORMS[form](_parts(database.owner), dead_port)
    app = FORMS[form](_parts(database.app), dead_port)
    assert migrate.pending(owner) == ()
    dbos_migrate.migrate(owner, application_role=roles.APP)
    asked = DBOSClient(system_database_url=driver_url(app))  # as the executor gives it to DBOS
    assert asked.list_workflows() == []
    asked.destroy()
    engine = connect(app, name="tests", connections=1)
    assert Claims(engine, "w1", globally=1).claim() is None
    engine.dispose()
    with Liveness(app, "w1"):
        pass


def test_a_server_that_became_a_standby_is_away_and_is_left(database: Database) -> None:
    """As after a fail-over that leaves the connections of the old primary open."""
    name = sql.Identifier(database.name)
    engine = connect(database.app, name="tests", connections=1, overflow=0)
    change = text("UPDATE tenant SET hold = true")
    with psycopg.connect(database.admin, autocommit=True) as admin:
        admin.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name)
        )
        with pytest.raises(Unavailable), translated(), engine.begin() as connection:
            connection.execute(change)
        admin.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))
    with engine.begin() as connection:  # not by the old connection, which is read-only still
        connection.execute(change)
    engine.dispose()


def test_a_password_survives_the_way() -> None:
    written = "postgresql://app:p%40ss%2Fw%3Ard%3F%23@h1:5999,[2001:db8::1]:5998/db?sslmode=require"
    found = urlsplit(driver_url(written))
    assert dict(parse_qsl(found.query)) == {
        "host": "h1,2001:db8::1", "port": "5999,5998", "sslmode": "require",
    }  # fmt: skip
    assert psycopg.conninfo.conninfo_to_dict(written)["password"] == "p@ss/w:rd?#"
    assert "p%40ss%2Fw%3Ard%3F%23@" in driver_url(written)


@pytest.mark.parametrize(
    "url",
    ["", "db", "mysql://app:s3cret@h/db", "postgresql:app:s3cret@h/db",
     "postgresql://app:s3cret@h/db?no_such_option=1", "postgresql://app:s3cret@[::1/db",
     "postgresql://app:%zzs3cret@h/db"],
)  # fmt: skip
def test_what_libpq_cannot_read_is_a_sentence_without_the_url(url: str) -> None:
    with pytest.raises(SettingInvalid, match="a database URL") as refused:
        driver_url(url)
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None
