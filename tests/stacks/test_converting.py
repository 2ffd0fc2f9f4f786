"""A state that an earlier release left in the engine's own layout is taken over."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from control_plane.adapters.pulumi.converting import converted
from control_plane.domain.errors import EngineFailed
from stacks.engine.sdk import VERSION
from stacks.engine.values import SECRET, SIGNATURE
from tests.stacks.runner_calls import PASSPHRASE, ROOT, Desk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

STACK = "organization/tenantplane/acme.production.a"
SECRET_OUTPUT = "hunter2hunter2"


def old_state(desk: Desk, folder: Path) -> None:
    """Make a stack with a secret as earlier releases had the engine make it."""
    environ = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "PULUMI_HOME": str(folder / "home"),
        "PULUMI_BACKEND_URL": f"file://{desk.backend}", "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }  # fmt: skip
    stack = {
        "urn": "urn:pulumi:acme.production.a::tenantplane::pulumi:pulumi:Stack::tenantplane-acme",
        "custom": False,
        "type": "pulumi:pulumi:Stack",
        "outputs": {
            "region": "eu-west-1",
            "token": {SIGNATURE: SECRET, "plaintext": json.dumps(SECRET_OUTPUT)},
        },
    }
    manifest = {"time": "2026-11-20T08:00:00Z", "version": f"v{VERSION}",
                "magic": hashlib.sha256(f"v{VERSION}".encode()).hexdigest()}  # fmt: skip
    work = folder / "work"
    work.mkdir()
    (work / "Pulumi.yaml").write_text("name: tenantplane\nruntime: python\n")

    def pulumi(*arguments: str, given: str = "") -> None:
        command = [str(desk.cli), "--non-interactive", *arguments, "--stack", STACK]
        subprocess.run(command, cwd=work, env=environ, input=given, text=True, check=True)

    pulumi("stack", "init", "--secrets-provider", "passphrase")
    settings = yaml.safe_load((work / "Pulumi.acme.production.a.yaml").read_text())
    sealed = {"type": "passphrase", "state": {"salt": settings["encryptionsalt"]}}
    deployment = {"manifest": manifest, "secrets_providers": sealed, "resources": [stack]}
    pulumi("stack", "import", given=json.dumps({"version": 3, "deployment": deployment}))
    assert SECRET_OUTPUT not in "".join(p.read_text() for p in desk.backend.rglob("*.json"))


def order_for(desk: Desk, **changes: Any) -> dict[str, Any]:
    return {
        "call_id": "", "stack": desk.stack, "backend_url": f"file://{desk.backend}",
        "endpoint": None, "engine": f"v{VERSION}", "passphrase": PASSPHRASE, **changes,
    }  # fmt: skip


def convert(desk: Desk, **changes: Any) -> int | None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(desk.root)}
    return converted(order_for(desk, **changes), cli=desk.cli, source=ROOT, environment=environ)


def test_an_old_state_is_taken_over_once_with_its_secrets(desk: Desk, tmp_path: Path) -> None:
    assert convert(desk) is None  # there is none
    old_state(desk, tmp_path)
    before = {p: p.read_bytes() for p in desk.backend.rglob("*.json")}
    assert convert(desk) == 1
    state = desk.state()
    token = state["resources"][0]["outputs"]["token"]
    assert desk.sealer.decrypt(token["ciphertext"]) == json.dumps(SECRET_OUTPUT).encode()
    written = [p for p in desk.records.iterdir() if SECRET_OUTPUT in p.read_text()]
    assert written == []
    assert {p: p.read_bytes() for p in before} == before
    seen = desk.result("inspect")
    assert (seen["locks"], seen["pending"], seen["written_by"]) == ([], [], "converted")
    assert convert(desk) is None  # it has a state of this release
    assert desk.state() == state


def test_an_old_state_is_not_taken_over_with_another_key(desk: Desk, tmp_path: Path) -> None:
    old_state(desk, tmp_path)
    with pytest.raises(EngineFailed, match="cannot be exported"):
        convert(desk, passphrase="quite another passphrase")
    assert desk.stored.state() is None
