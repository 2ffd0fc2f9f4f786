"""A copy of the modules as a bundle holds them, and terraform run in it; for tests only."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from control_plane.adapters.terraform.toolchain import Toolchain

MODULES = Path(__file__).parents[2] / "stacks" / "mode_c_modules"
RELEASE = {"module_set_version": "0.1.0", "content_digest": "sha256:" + "5e" * 32}
COMMAND_SECONDS = 300.0


def provider(toolchain: Toolchain) -> tuple[str, ...]:
    """Return what ``init`` needs to find the provider."""
    return (f"-plugin-dir={toolchain.mirror.folder}",) if toolchain.mirror else ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How a command ended; ``text`` is what it said on both streams."""

    code: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A folder with the modules and their variables. ``isolation`` starts each command."""

    folder: Path
    toolchain: Toolchain
    isolation: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, toolchain: Toolchain, example: str, **facts: Any) -> Workspace:
        """Copy the modules, and the variables of one of their examples."""
        shutil.copytree(MODULES, folder)
        variables = MODULES / "examples" / f"{example}.tfvars.json"
        shutil.copyfile(variables, folder / "terraform.tfvars.json")
        (folder / "release.auto.tfvars.json").write_text(json.dumps({"release": RELEASE}))
        return cls(folder=folder, toolchain=toolchain, **facts)

    def run(self, *arguments: str, seconds: float = COMMAND_SECONDS) -> Answer:
        """Run terraform to its end; after ``seconds`` it and its providers are ended."""
        with subprocess.Popen(
            [*self.isolation, str(self.toolchain.binary), *arguments],
            cwd=self.folder,
            env={**self.toolchain.child_environment(os.environ), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                text, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return Answer(code=process.returncode, text=text)

    def init(self, *arguments: str) -> Answer:
        """Run ``init`` with the provider of the mirror."""
        return self.run("init", "-input=false", "-no-color", *provider(self.toolchain), *arguments)

    def offline_plan(self) -> dict[str, Any]:
        """Return the plan that is made without AWS, as JSON."""
        override = self.folder / "offline_override.tf"
        shutil.copyfile(self.folder / "ops" / "offline_override.tf", override)
        try:
            planned = self.run("plan", "-input=false", "-no-color", "-out=offline.plan")
            assert planned.code == 0, planned.text
            shown = self.run("show", "-json", "offline.plan")
        finally:
            override.unlink()
        assert shown.code == 0, shown.text
        plan: dict[str, Any] = json.loads(shown.text)
        return plan
