"""A tenant removed by the real engine: copies of its state are opened by nobody any more."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.secrets.files import FileSecretStore
from control_plane.domain.run import RunStatus
from control_plane.domain.stack_salt import StackSalt
from stacks.contract import Code
from stacks.engine.backend import Backend, backend_for
from stacks.engine.failures import CallFailed
from stacks.engine.sdk import VERSION
from stacks.engine.sealing import Sealer
from tests.stacks.cloud_process import CloudProcess
from tests.storage import Storage
from tests.workflows.removed import approve, follow, remove, run_of, saga_of
from tests.workflows.test_drift_in_the_cloud import Cloud
from tests.workflows.test_removals import waive
from tests.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

SETTINGS = 12  # more than are deleted at once


@pytest.fixture
def cloud(storage: Storage, pulumi_cli: Path) -> Iterator[Cloud]:
    with CloudProcess() as process:
        yield Cloud(World(storage), process, pulumi_cli)


def salt_of(cloud: Cloud) -> StackSalt:
    (salt,) = cloud.world.rows("stack_salt").values()
    assert isinstance(salt, StackSalt)
    return salt


def copy_of(cloud: Cloud, folder: Path, salt: StackSalt | None) -> Backend:
    """Open a copy of the states with the master secret, and with this salt."""
    deployment = cloud.deployment()
    store = FileSecretStore(cloud.world.folder / "master.key")
    keys = store.stack_keys(deployment.id, salt)
    sealer = Sealer(keys.passphrase, deployment.stack, keys.former)
    url = f"file://{folder}"
    return backend_for(url, deployment.stack, engine=f"v{VERSION}", sealer=sealer)


def said_in(folder: Path, words: tuple[str, ...]) -> set[str]:
    """Return which of some words any record of a copy says to whoever reads it."""
    text = "".join(record.read_text() for record in folder.rglob("*.json"))
    return {word for word in words if word in text}


def test_a_removed_tenant_leaves_no_setting_and_no_state_that_anybody_opens(
    cloud: Cloud, tmp_path: Path
) -> None:
    world, ssm = cloud.world, cloud.client("ssm")
    path = cloud.outputs["app_log_group"].removesuffix("/app")
    for number in range(SETTINGS):
        ssm.put_parameter(Name=f"{path}/app/{number}", Value="the customer's", Type="SecureString")
    state, copy = world.folder / "state", tmp_path / "copy"
    shutil.copytree(state, copy)
    before = salt_of(cloud)
    backend = copy_of(cloud, copy, before)
    assert len((backend.state() or {})["resources"]) > 20
    words = (cloud.role, path, cloud.outputs["data_key_arn"], "aws:kms/key:Key")
    assert said_in(copy, words) == set()

    saga_id = remove(world, cloud.tenant_id)
    waive(world, cloud.tenant_id)
    follow(world)
    approve(world, saga_id, "unprotect")
    destroy = run_of(world, saga_id, "destroy")
    plan: Any = world.rows("plan")[destroy.plan_id]
    (settings,) = [each for each in plan.operations if "application" in each.type]
    assert (settings.op, settings.irreversible) == ("delete", True)
    assert f"{path}/app/" in settings.on_removal
    approve(world, saga_id, "destroy")
    assert run_of(world, saga_id, "destroy").status is RunStatus.APPLIED
    names = [{"Key": "Name", "Option": "BeginsWith", "Values": [path]}]
    assert ssm.describe_parameters(ParameterFilters=names)["Parameters"] == []

    saga = saga_of(world, saga_id)
    assert saga.step == "remaining", saga.error
    assert [each for each in state.rglob("*") if each.is_file()] == []
    assert salt_of(cloud).salt is None
    (certificate,) = world.rows("certificate").values()
    (erased,) = certificate.body["erased"]["stacks"]
    assert (erased["stack"], erased["older_copies_open"]) == (cloud.deployment().stack, False)
    # the master secret, and every row that there still is, open no record of the copy
    for salt in (None, salt_of(cloud), replace(before, salt=None)):
        with pytest.raises(CallFailed) as failed:
            copy_of(cloud, copy, salt).state()
        assert failed.value.code is Code.PASSPHRASE
    # a backup of the database from before opens it: docs/removal.md says so
    assert copy_of(cloud, copy, before).state() is not None

    due = saga.due_at
    assert due is not None
    world.clock.advance(seconds=(due - world.clock.now()).total_seconds())
    follow(world)
    looked = run_of(world, saga_id, "remaining")
    assert looked.status is RunStatus.NO_CHANGES, looked.error
    assert "stack.foreign_update:completed" not in world.actions()
