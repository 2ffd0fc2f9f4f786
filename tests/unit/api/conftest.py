"""The API over a control plane: one that a module reads, and a new one per test."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from control_plane.adapters.postgres import EmbeddedPostgres
from tests.databases import Database, drop_database, new_database
from tests.storage import Storage, opened
from tests.unit.api.scene import Api, Scene
from tests.world import World


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What the test logs, as events; nothing is rendered."""
    with capture_logs() as events:
        yield events


@pytest.fixture
def api(world: World, tmp_path: Path) -> Api:
    """An API over an empty control plane."""
    return Api(world, tmp_path)


@pytest.fixture(scope="session")
def first_scene(
    postgres_server: EmbeddedPostgres,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """The scene that all others are copies of, since making one takes a second; left alone."""
    folder = tmp_path_factory.mktemp("first-scene")
    database = Database(
        server=postgres_server, name=new_database(postgres_server, template=migrated_template)
    )
    storage = Storage(database, folder)
    scene = Scene(World(storage), folder)
    storage.keep()
    storage.close()  # a database that others are copied from has no sessions
    yield scene
    drop_database(postgres_server, database.name)


@pytest.fixture(scope="module")
def scene_storage(
    postgres_server: EmbeddedPostgres,
    first_scene: Scene,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Storage]:
    """A database with the rows of a scene; use ``scene``, where they are as they were."""
    name = first_scene.world.storage.database.name
    with opened(postgres_server, name, tmp_path_factory.mktemp("scenes")) as storage:
        yield storage


@pytest.fixture
def scene(first_scene: Scene, scene_storage: Storage, tmp_path: Path) -> Scene:
    """An API with tenants of every sort."""
    scene_storage.put_back()
    return Scene(World(scene_storage, like=first_scene.world), tmp_path, like=first_scene)


@pytest.fixture(scope="module")
def shown(
    postgres_server: EmbeddedPostgres,
    first_scene: Scene,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """A scene for tests that only read, or whose changes disturb nobody."""
    folder = tmp_path_factory.mktemp("scene")
    name = first_scene.world.storage.database.name
    with opened(postgres_server, name, folder) as storage:
        yield Scene(World(storage, like=first_scene.world), folder, like=first_scene)
