"""A terminal with an API behind it; the environment is put back after each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog.testing

from tests.storage import Storage
from tests.unit.cli.terminal import Server, Terminal
from tests.world import World


@pytest.fixture(autouse=True)
def settings_of_the_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands see no setting of the machine that runs the tests, but the size of a terminal."""
    for name in list(os.environ):
        if name.startswith("TENANTPLANE_"):
            monkeypatch.delenv(name)
    # both are set by the terminal of a test; this notes that they are to be taken away again
    monkeypatch.setenv("TENANTPLANE_URL", "")
    monkeypatch.setenv("TENANTPLANE_TOKEN", "")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(scope="module")
def cli_server(
    module_storage: Storage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The API that commands of a module's tests call."""
    server = Server(World(module_storage), tmp_path_factory.mktemp("issuer"))
    with server.running():
        yield server


@pytest.fixture
def tenantctl(cli_server: Server, world: World, tmp_path: Path) -> Iterator[Terminal]:
    """``tenantctl`` with an API over an empty control plane."""
    # the API lives in this process, and its log is not what a command prints
    with structlog.testing.capture_logs():
        yield Terminal(cli_server, world, tmp_path)
