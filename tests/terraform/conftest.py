"""Terraform, its provider, and the modules as a bundle holds them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.terraform.toolchain import (
    BINARY_SETTING,
    DEFAULT_BINARY,
    MIRROR_SETTING,
    Toolchain,
    find_toolchain,
)
from control_plane.domain.errors import TerraformUnavailable
from tests.terraform.workspace import Workspace


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    """Terraform or OpenTofu with a mirror of its provider."""
    mirror = os.environ.get(MIRROR_SETTING)
    try:
        found = find_toolchain(
            environment=os.environ,
            binary=os.environ.get(BINARY_SETTING, DEFAULT_BINARY),
            mirror=Path(mirror) if mirror else None,
        )
    except TerraformUnavailable as unavailable:
        pytest.skip(unavailable.message)
    if found.mirror is None:
        pytest.skip(
            "these tests reach no registry and found no mirror of the provider; "
            f"make one with `terraform providers mirror` and set {MIRROR_SETTING} to it"
        )
    return found


@pytest.fixture(scope="session")
def isolation() -> tuple[str, ...]:
    """What starts a command without any network; empty where the system does not allow that."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    command = (unshare, "--map-root-user", "--net")
    tried = subprocess.run([*command, "true"], capture_output=True, timeout=10, check=False)
    return command if tried.returncode == 0 else ()


@pytest.fixture(scope="session")
def created(
    toolchain: Toolchain, isolation: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Workspace:
    """The modules with everything created, initialised without a network."""
    folder = tmp_path_factory.mktemp("created") / "bundle"
    workspace = Workspace.make(folder, toolchain, "created", isolation=isolation)
    initialised = workspace.init()
    assert initialised.code == 0, initialised.text
    return workspace


@pytest.fixture(scope="session")
def existing(
    toolchain: Toolchain, isolation: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Workspace:
    """The modules with network, endpoints, keys and boundary brought."""
    folder = tmp_path_factory.mktemp("existing") / "bundle"
    workspace = Workspace.make(folder, toolchain, "existing", isolation=isolation)
    initialised = workspace.init()
    assert initialised.code == 0, initialised.text
    return workspace


@pytest.fixture(scope="session")
def created_plan(created: Workspace) -> Mapping[str, Any]:
    """What would be built where everything is created."""
    return created.offline_plan()


@pytest.fixture(scope="session")
def existing_plan(existing: Workspace) -> Mapping[str, Any]:
    """What would be built where network, keys and boundary are brought."""
    return existing.offline_plan()
