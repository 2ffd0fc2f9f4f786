"""The world of the audit tests, over one database a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.audit_world import Database, World


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
