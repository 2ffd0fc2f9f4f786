"""What tests share: an emulated cloud and desks to call the runner from; stacks made by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stacks.cloud_process import CloudProcess
from tests.stacks.made_stacks import World, make_world
from tests.stacks.runner_calls import Desk, tree_with_program
from tests.stacks.state_logs import (  # noqa: F401 - fixtures, asked for by name
    backend,
    bucket_url,
    open_stack,
    store_url,
    table_url,
)

MakeDesk = Callable[..., Desk]


@pytest.fixture(scope="session")
def runner_cloud() -> Iterator[CloudProcess]:
    """An emulated cloud for all tests of the runner; their physical names differ."""
    with CloudProcess() as cloud:
        yield cloud


@pytest.fixture
def make_desk(pulumi_cli: Path, runner_cloud: CloudProcess, tmp_path: Path) -> MakeDesk:
    """Make a desk with a backend of its own, ``program`` being the source of a slice's program."""

    def make(*, program: str | None = None, folder: str = "desk", **changes: Any) -> Desk:
        root = tmp_path / folder
        root.mkdir()
        if program is not None:
            changes["source"] = tree_with_program(root, program)
        return Desk(
            **{"root": root, "cli": pulumi_cli, "endpoint": runner_cloud.endpoint, **changes}
        )

    return make


@pytest.fixture
def desk(make_desk: MakeDesk) -> Desk:
    """A desk for a slice of its own."""
    return make_desk()


@pytest.fixture(scope="session")
def world(pulumi_cli: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A cloud of its own in which every program has been applied once; not to be changed."""
    with CloudProcess() as cloud:
        yield make_world(cloud=cloud, cli=pulumi_cli, root=tmp_path_factory.mktemp("world"))
