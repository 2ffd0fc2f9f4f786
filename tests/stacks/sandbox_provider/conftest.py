"""One emulated cloud and one engine for the whole conformance suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from control_plane.adapters.cache import cache_folder
from control_plane.adapters.pulumi.install import ensure_cli
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.sandbox_provider.engine import Engine
from tests.stacks.sandbox_provider.plugin_process import CONFIG, Plugin, keys, started


@pytest.fixture(scope="session")
def cloud() -> Iterator[CloudProcess]:
    with CloudProcess() as started:
        yield started


@pytest.fixture(scope="session")
def engine(cloud: CloudProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    environment = {
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    cli = ensure_cli(cache=cache_folder(), report=print)
    started = Engine(tmp_path_factory.mktemp("engine"), cli, environment)
    yield started
    started.close()


@pytest.fixture(scope="module")
def plugin(cloud: CloudProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    with started(tmp_path_factory.mktemp("a folder with spaces"), keys(cloud)) as running:
        running.configure(**CONFIG)
        yield running
