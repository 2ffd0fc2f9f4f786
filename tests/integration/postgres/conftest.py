"""Fixtures of the tests of the embedded server."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.adapters.postgres import EmbeddedPostgres
from tests.integration.postgres.processes import HOLD, prepare


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path that others may pass through."""
    made = Path(tempfile.mkdtemp(prefix="tp-pg-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def created() -> Iterator[Path]:
    """A data folder as the first start leaves it, made once because that takes its time."""
    made = Path(tempfile.mkdtemp(prefix="tp-pg-"))
    with EmbeddedPostgres(made / "pg", short_folder=made) as server:
        data = server.data
    yield data
    shutil.rmtree(made)


@pytest.fixture
def server(folder: Path, created: Path) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(prepare(folder / "pg", created), short_folder=folder)
    yield made
    made.stop()


@pytest.fixture
def holder(server: EmbeddedPostgres) -> Iterator[subprocess.Popen[str]]:
    """Another process that started a server on the folder of ``server`` and holds it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(server.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield process
    process.kill()
    process.wait(20)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
