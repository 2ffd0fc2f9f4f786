"""The API over a control plane: one that a module reads, and a new one per test."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from control_plane.adapters.postgres import EmbeddedPostgres
from tests.storage import opened
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


@pytest.fixture
def scene(world: World, tmp_path: Path) -> Scene:
    """An API with tenants of every sort."""
    return Scene(world, tmp_path)


@pytest.fixture(scope="module")
def shown(
    postgres_server: EmbeddedPostgres,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """A scene for tests that only read, or whose changes disturb nobody."""
    folder = tmp_path_factory.mktemp("scene")
    with opened(postgres_server, migrated_template, folder) as storage:
        yield Scene(World(storage), folder)
