"""Taking over the state of a stack that an earlier release left in the engine's own layout."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from control_plane.domain.errors import EngineFailed

_SECONDS = 120.0


def converted(
    order: Mapping[str, Any], *, cli: Path, source: Path, environment: Mapping[str, str]
) -> int | None:
    """Make the state of an earlier release the first one of this; return how many resources it has.

    None when there is none, or when the stack has a state of this release. The old one is left as
    it is, and a backend without one, too. ``order`` and ``environment`` as in ``reader.served``.
    Raises ``EngineFailed``.
    """
    if not _asked(order, source, environment)["is_wanted"]:
        return None
    with tempfile.TemporaryDirectory() as home:
        old = {
            "PULUMI_BACKEND_URL": order["backend_url"],
            "PULUMI_CONFIG_PASSPHRASE": order.get("former") or order["passphrase"],
            "PULUMI_HOME": home,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        command = [str(cli), "stack", "export", "--show-secrets", "--non-interactive",
                   "--stack", f"organization/tenantplane/{order['stack']}"]  # fmt: skip
        exported = _run(command, source, {**environment, **old})
    if exported.returncode != 0:
        if "no stack named" in exported.stderr:
            return None
        raise EngineFailed(f"{order['stack']} cannot be exported: {_last(exported)}", reason="cli")
    found = _asked(order, source, environment, deployment=json.loads(exported.stdout)["deployment"])
    count: int | None = found["resources"]
    return count


def _asked(
    order: Mapping[str, Any], source: Path, environment: Mapping[str, str], **more: Any
) -> dict[str, Any]:
    command = [sys.executable, "-m", "stacks", "--convert"]
    ended = _run(command, source, environment, {"order": order, **more})
    if ended.returncode != 0:
        raise EngineFailed(
            f"{order['stack']} cannot be converted: {_last(ended)}", reason="backend"
        )
    return dict(json.loads(ended.stdout))


def _run(
    command: list[str], folder: Path, environment: Mapping[str, str], given: Any = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=dict(environment), text=True, capture_output=True, check=False,
        timeout=_SECONDS, input="" if given is None else json.dumps(given),
    )  # fmt: skip


def _last(ended: subprocess.CompletedProcess[str]) -> str:
    return (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
