"""Mode B and Mode C build the same Hub: one spec, two tools, one judge.

Terraform plans the modules, and the same provider plans what the program registers; both plans are
put into one form and must be equal, except for what is listed here.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.terraform.toolchain import MIRROR_SETTING, find_toolchain
from control_plane.domain.errors import TerraformUnavailable
from stacks.sandbox.provider.policy_document import canonical_policy
from tests.stacks import sample_specs
from tests.stacks.fidelity.judge import Judge, running_judge
from tests.stacks.registrations import preview_of
from tests.terraform.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

INSTALL_ID = "a1b2c3"
# who looks after the Hub has alarms: in Mode C that is the customer, with tools of its own
ONLY_IN_B = {"aws_cloudwatch_metric_alarm"}
# The bucket that a part belongs to is known before the apply in one tool and not in the other; the
# tags of the deployment (in ``tags_all``) say which mode and tool it was.
NOT_COMPARED = {"bucket", "tags_all", "target_bucket", "timeouts"}
POLICIES = {"policy", "assume_role_policy"}


def spec() -> dict[str, Any]:
    return sample_specs.dedicated(
        owner=sample_specs.owner(
            "dainese", "dainese-q7w2e4", mode="B", deployment="dep_01JD3ZK4Q0V8X2M6N7P9R5T1WY"
        )
    )


def variables(dedicated: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of the modules for the spec of a dedicated Hub."""
    owner = {key: value for key, value in dedicated["owner"].items() if key != "mode"}
    same = ("schema_version", "account_id", "region", "database", "retention")
    return {
        **{name: dedicated[name] for name in same},
        "owner": owner | {"install_id": INSTALL_ID},
        "network": dedicated["network"] | {"mode": "create"},
        "keys": {"mode": "create"},
        "permissions_boundary": {"mode": "create"},
        "uninstall": False,
    }


def by_terraform(plan: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield type and planned values of every resource of Terraform's plan."""

    def walk(module: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        for one in module.get("resources", ()):
            yield one["type"], one["values"]
        for child in module.get("child_modules", ()):
            yield from walk(child)

    yield from walk(plan["planned_values"]["root_module"])


def normalised(type_: str, values: Mapping[str, Any]) -> str:
    """Return a resource in the form in which both tools' are compared."""
    kept = {name: value for name, value in values.items() if name not in NOT_COMPARED}
    for name in POLICIES & kept.keys():
        if kept[name] is not None:
            kept[name] = canonical_policy(kept[name])
    text = json.dumps([type_, meaning(kept)], sort_keys=True)
    # Mode C keeps the names free that AWS reserves after a removal
    return text.replace(f"dainese-q7w2e4/{INSTALL_ID}/", "dainese-q7w2e4/").replace(
        f"-final-{INSTALL_ID}", "-final"
    )


def meaning(value: Any) -> Any:
    """Return a value without what says nothing: absent, empty, order of lists."""
    if isinstance(value, Mapping):
        inner = {key: meaning(one) for key, one in value.items()}
        return {key: one for key, one in inner.items() if one not in (None, "", [], {})}
    if isinstance(value, list):
        items = [one for one in map(meaning, value) if one not in (None, "", [], {})]
        return sorted(items, key=lambda one: json.dumps(one, sort_keys=True))
    return int(value) if isinstance(value, float) and value.is_integer() else value


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    yield from running_judge({})


@pytest.fixture(scope="module")
def terraform_plan(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    mirror = os.environ.get(MIRROR_SETTING)
    try:
        toolchain = find_toolchain(environment=os.environ, mirror=Path(mirror) if mirror else None)
    except TerraformUnavailable as unavailable:
        pytest.skip(unavailable.message)
    if toolchain.mirror is None:
        pytest.skip(f"no mirror of the provider was found; set {MIRROR_SETTING} to one")
    folder = tmp_path_factory.mktemp("same") / "bundle"
    workspace = Workspace.make(folder, toolchain, "created")
    (folder / "terraform.tfvars.json").write_text(json.dumps(variables(spec())))
    initialised = workspace.init()
    assert initialised.code == 0, initialised.text
    try:
        return workspace.offline_plan()
    finally:
        shutil.rmtree(folder)


def test_both_modes_build_the_same_hub(judge: Judge, terraform_plan: dict[str, Any]) -> None:
    mode_b = Counter(
        normalised(*judge.judge(one.type, one.inputs))
        for one in preview_of("mode_b", spec()).resources
    )
    mode_c = Counter(normalised(type_, values) for type_, values in by_terraform(terraform_plan))
    only_b = [text for text in (mode_b - mode_c).elements() if json.loads(text)[0] not in ONLY_IN_B]
    only_c = list((mode_c - mode_b).elements())
    assert only_b == []
    assert only_c == []
    assert sum((mode_b & mode_c).values()) > 60


def test_another_size_is_seen_as_another_hub(judge: Judge, terraform_plan: dict[str, Any]) -> None:
    larger = spec()
    larger["database"] = larger["database"] | {"storage_gb": 100}
    mode_c = Counter(normalised(type_, values) for type_, values in by_terraform(terraform_plan))
    mode_b = Counter(
        normalised(*judge.judge(one.type, one.inputs))
        for one in preview_of("mode_b", larger).resources
    )
    differing = {json.loads(text)[0] for text in (mode_c - mode_b).elements()}
    assert "aws_db_instance" in differing
