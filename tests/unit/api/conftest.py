"""The API over a control plane in memory: one that a module reads, and a new one per test."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.api.scene import Api, Scene


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What the test logs, as events; nothing is rendered."""
    with capture_logs() as events:
        yield events


@pytest.fixture
def api(tmp_path: Path) -> Api:
    """An API over an empty control plane."""
    return Api(tmp_path)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """An API with tenants of every sort."""
    return Scene(tmp_path)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A scene for tests that only read, or whose changes disturb nobody."""
    return Scene(tmp_path_factory.mktemp("scene"))
