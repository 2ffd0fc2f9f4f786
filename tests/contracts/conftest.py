"""What the contract tests of rows and of the engine start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.domain.errors import EngineUnavailable
from tests.contracts.engine_bench import Bench, pulumi_bench, scripted_bench
from tests.entities import Entities, Waiting, store_waiting
from tests.stacks.cloud_process import CloudProcess
from tests.storage import Storage

ENGINES = ["scripted", pytest.param("pulumi", marks=pytest.mark.slow)]


@pytest.fixture
def make() -> Entities:
    return Entities()


@pytest.fixture
def waiting(storage: Storage, make: Entities) -> Waiting:
    with storage.unit_of_work() as uow:
        found = store_waiting(uow, make)
        uow.commit()
    return found


@pytest.fixture(scope="module")
def emulated() -> Iterator[str]:
    """The endpoint of an emulated cloud."""
    with CloudProcess() as cloud:
        yield cloud.endpoint


@pytest.fixture
def bench_of_processes(emulated: str, pulumi_cli: Path, tmp_path: Path) -> Iterator[Bench]:
    """The real engine, for what only an engine of processes can do."""
    made = pulumi_bench(lambda: pulumi_cli, emulated, tmp_path)
    yield made
    calls = tmp_path / "calls"
    assert not calls.exists() or list(calls.iterdir()) == []


@pytest.fixture(params=ENGINES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """Each engine in turn."""
    if request.param == "scripted":
        return scripted_bench(tmp_path)
    real: Bench = request.getfixturevalue("bench_of_processes")
    return real


@pytest.fixture(params=ENGINES)
def bench_without_command(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """Each engine where there is nothing that it could run."""
    if request.param == "scripted":
        return scripted_bench(tmp_path, unavailable=True)

    def cli() -> Path:
        raise EngineUnavailable("nothing there")

    return pulumi_bench(cli, "http://127.0.0.1:9", tmp_path)
