"""Real parts that many tests share: a PostgreSQL server, databases, the Pulumi CLI."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog

from control_plane.adapters.cache import cache_folder
from control_plane.adapters.postgres import EmbeddedPostgres
from control_plane.adapters.pulumi.install import ensure_cli
from control_plane.domain.errors import EngineUnavailable, SettingInvalid, Unavailable
from tests.databases import Database, drop_database, make_template, new_database
from tests.missing_parts import cannot_be_had

if TYPE_CHECKING:
    from tests.storage import Storage
    from tests.world import World


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """What a test makes of the logs, above all the stream they go to, ends with it."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """A server for the whole session, on data that is thrown away.

    Its folder has a short path of its own, since a socket's path may not be long and pytest's may.
    """
    with tempfile.TemporaryDirectory(prefix="tenantplane-tests-") as made:
        folder = Path(made)
        server = EmbeddedPostgres(folder / "postgres", short_folder=folder, durable=False)
        try:
            server.start()
        except Unavailable as error:
            cannot_be_had("postgresql", f"no PostgreSQL for tests: {error.message}")
        yield server
        server.stop()


@pytest.fixture(scope="session")
def migrated_template(postgres_server: EmbeddedPostgres) -> str:
    """Name of the migrated database that module databases are copied from."""
    return make_template(postgres_server)


@pytest.fixture(scope="module")
def postgres_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """URL of the owner of an empty database of the test module; the roles exist."""
    name = new_database(postgres_server)
    yield Database(server=postgres_server, name=name).owner
    drop_database(postgres_server, name)


@pytest.fixture(scope="module")
def module_database(
    postgres_server: EmbeddedPostgres, migrated_template: str
) -> Iterator[Database]:
    """A migrated database of the test module; use ``database``, which is empty for each test."""
    name = new_database(postgres_server, template=migrated_template)
    yield Database(server=postgres_server, name=name)
    drop_database(postgres_server, name)


@pytest.fixture
def database(module_database: Database) -> Database:
    """A migrated database without rows."""
    module_database.empty()
    return module_database


@pytest.fixture(scope="module")
def module_storage(
    postgres_server: EmbeddedPostgres,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Storage]:
    """The database of the worlds of a module; use ``storage``, which is empty for each test."""
    from tests.storage import opened

    with opened(postgres_server, migrated_template, tmp_path_factory.mktemp("world")) as storage:
        yield storage


@pytest.fixture
def storage(module_storage: Storage) -> Storage:
    """The database of a world, without rows."""
    module_storage.empty()
    return module_storage


@pytest.fixture
def world(storage: Storage) -> World:
    """A control plane without tenants."""
    from tests.world import World

    return World(storage)


@pytest.fixture(scope="session")
def pulumi_cli() -> Path:
    """The pinned Pulumi CLI; made once per machine and kept in the cache folder."""
    try:
        return ensure_cli(cache=cache_folder(), report=_say)
    except (EngineUnavailable, SettingInvalid) as error:
        cannot_be_had("pulumi", f"no Pulumi CLI: {error.message}")


def _say(line: str) -> None:
    sys.stderr.write(f"pulumi: {line}\n")
