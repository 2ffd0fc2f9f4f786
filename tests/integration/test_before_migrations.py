"""A database that has its roles and not yet the tables of this release."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from api.__main__ import _report, _tell_rules
from api.edge import Traffic
from control_plane.adapters.home import Home, Key
from control_plane.adapters.postgres import EmbeddedPostgres
from control_plane.bootstrap import Parts, prepare_database
from control_plane.cli.app import invoke
from control_plane.cli.local import database_faults
from control_plane.config import Settings
from control_plane.domain.errors import Unavailable
from tests.databases import Database, drop_database, new_database

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def bare(postgres_server: EmbeddedPostgres) -> Iterator[Database]:
    """A database without tables."""
    database = Database(server=postgres_server, name=new_database(postgres_server))
    yield database
    drop_database(postgres_server, database.name)


def test_an_api_that_starts_first_watches_its_logs_once_the_tables_are_there(
    bare: Database, tmp_path: Path
) -> None:
    Home(tmp_path).create_keys([Key.PAGE])
    parts = Parts(Settings(home=tmp_path, database_url=bare.app, database_auditor_url=bare.auditor))
    is_over = threading.Event()
    is_over.set()
    _report(parts, Traffic(), is_over)  # one round
    assert not _tell_rules(parts)
    prepare_database(bare.owner)
    assert _tell_rules(parts)
    parts.app_engine.dispose()


def test_missing_tables_are_said_with_the_command_that_makes_them(
    bare: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TENANTPLANE_DATABASE_AUDITOR_URL", bare.auditor)
    assert invoke(["audit", "verify"]) == 5
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "run `tenantctl database upgrade`" in said.err


def test_an_upgrade_with_the_url_of_another_role_is_refused_in_a_sentence(
    bare: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TENANTPLANE_DATABASE_OWNER_URL", bare.app)
    assert invoke(["database", "upgrade"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("the role in the URL of TENANTPLANE_DATABASE_")
    assert "Traceback" not in said.err


def test_a_server_that_answers_is_not_called_unreachable(bare: Database) -> None:
    with psycopg.connect(bare.app) as connection:
        connection.execute("SET statement_timeout = '20ms'")
        with (
            pytest.raises(Unavailable, match="did not finish in time"),
            database_faults(),
        ):
            connection.execute("SELECT pg_sleep(5)")
