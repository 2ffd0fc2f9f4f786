"""The world of the audit tests, over one database a module, and the queue of one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.adapters.postgres import EmbeddedPostgres
from tests import databases
from tests.integration.audit_world import Database, World
from tests.integration.queue_plant import Plant
from tests.integration.witness_scene import WitnessScene
from tests.scripted_witness import witnessing


@pytest.fixture(scope="module")
def audit_database(postgres_url: str) -> Database:
    """A database of its own for each module."""
    database = Database(owner_url=postgres_url)
    database.create()
    return database


@pytest.fixture
def world(audit_database: Database, tmp_path: Path) -> Iterator[World]:
    """Signer, roles and trees over that database, which is empty again afterwards."""
    world = World(audit_database, tmp_path)
    yield world
    world.close()
    audit_database.empty()


@pytest.fixture
def rooted(audit_database: Database, tmp_path: Path) -> Iterator[World]:
    """The same with a root log."""
    world = World(audit_database, tmp_path, has_root=True)
    yield world
    world.close()
    audit_database.empty()


@pytest.fixture
def plant(
    postgres_server: EmbeddedPostgres, migrated_template: str, tmp_path: Path
) -> Iterator[Plant]:
    """Each test has a queue of its own: what one leaves, workers of the next would take up."""
    name = databases.new_database(postgres_server, template=migrated_template)
    plant = Plant(databases.Database(server=postgres_server, name=name), tmp_path)
    yield plant
    plant.close()
    databases.drop_database(postgres_server, name)


@pytest.fixture
def scene(rooted: World) -> Iterator[WitnessScene]:
    """Two scripted witnesses that answer, of a root log."""
    scene = WitnessScene(rooted)
    with witnessing(*scene.witnesses):
        yield scene
    scene.engine.dispose()
