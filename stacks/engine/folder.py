"""The private folder of a call: project, config, engine home and plugin; mode 0700."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stacks.contract import Code, Request
from stacks.engine.backend import PROJECT
from stacks.engine.failures import CallFailed
from stacks.engine.guard import CALL_FILE
from stacks.engine.outages import is_outage

PLUGINS_VARIABLE = "TENANTPLANE_PULUMI_PLUGINS"  # folder with the official plugins


@dataclass(frozen=True)
class CallFolder:
    """The folders and files of one call."""

    root: Path
    stack: str

    @property
    def home(self) -> Path:
        """The engine's home: nothing is shared with other calls or with people."""
        return self.root / "home"

    @property
    def project(self) -> Path:
        """Where the engine is started."""
        return self.root / "project"

    @property
    def plugin(self) -> Path:
        """The executable of the sandbox's provider, if the call uses it."""
        return self.root / "plugin" / "pulumi-resource-aws"

    def provider(self, version: str) -> Path | None:
        """Return the executable of an installed official provider, None if the sandbox's is used.

        Raises ``CallFailed`` when it is not installed.
        """
        if self.plugin.exists():
            return None
        path = self.home / "plugins" / f"resource-aws-v{version}" / self.plugin.name
        if not path.exists():
            raise CallFailed(Code.ENGINE, f"The provider aws {version} is not installed.")
        return path

    @property
    def settings(self) -> Path:
        """The stack's settings: its config."""
        return self.project / f"Pulumi.{self.stack}.yaml"


def make_folder(root: Path, call_id: str) -> None:
    """Make the private folder and mark it as this call's. Raises ``CallFailed``."""
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        root.mkdir(mode=0o700)
        (root / CALL_FILE).write_text(call_id, encoding="utf-8")
    except FileExistsError:
        raise CallFailed(
            Code.BAD_REQUEST, "The work folder already exists: each call needs its own."
        ) from None
    except OSError as error:
        raise CallFailed(
            Code.BACKEND_UNAVAILABLE if is_outage(error) else Code.BAD_REQUEST,
            f"The work folder could not be created: {error.strerror}.",
        ) from error


def write_folder(request: Request) -> CallFolder:
    """Write project and settings of a call into its folder.

    The files are JSON, which is YAML. No secret is among them: a spec holds references.
    """
    folder = CallFolder(root=Path(request.work_folder), stack=request.stack)
    folder.home.mkdir()
    folder.project.mkdir()
    project: dict[str, Any] = {"name": PROJECT, "runtime": "python"}
    if request.cloud.provider == "sandbox":
        # Imported here: the official plugin's calls do not need the sandbox.
        from stacks.sandbox.provider import sdk_version, write_plugin  # noqa: PLC0415

        path = write_plugin(folder.plugin.parent)
        project["plugins"] = {
            "providers": [{"name": "aws", "path": str(path.parent), "version": sdk_version()}]
        }
    else:
        _link_plugins(folder.home)
    _write(folder.project / "Pulumi.yaml", project)
    _write(folder.settings, _settings(request))
    return folder


def _settings(request: Request) -> dict[str, Any]:
    config: dict[str, Any] = {
        f"{PROJECT}:program": str(request.program),
        f"{PROJECT}:spec": json.dumps(request.spec, sort_keys=True, separators=(",", ":")),
        # No resource can slip through to ambient credentials.
        "pulumi:disable-default-providers": ["*"],
    }
    if request.cloud.role_arn:
        config[f"{PROJECT}:roleArn"] = request.cloud.role_arn
    if request.cloud.external_id:
        config[f"{PROJECT}:externalId"] = request.cloud.external_id
    return {"config": config}


def _link_plugins(home: Path) -> None:
    """Show the installed official plugins to the engine, whose own home is private."""
    set_folder = os.environ.get(PLUGINS_VARIABLE)
    installed = Path(set_folder) if set_folder else Path.home() / ".pulumi" / "plugins"
    if installed.is_dir():
        (home / "plugins").symlink_to(installed)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
