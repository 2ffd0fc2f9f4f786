"""Terraform commands in one folder, through python-terraform, with its faults kept out.

python-terraform 0.10.1 waits without a limit, hands on the whole environment or none, logs a plan
with changes as an error and reads state files itself. Only its building of command lines is used;
processes are run here: with a chosen environment, a deadline, in a session of their own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from python_terraform import IsFlagged, Terraform

from control_plane.adapters.terraform.provider import LESS_COLLECTING, shared_provider
from control_plane.adapters.terraform.running import Running, end_group
from control_plane.adapters.terraform.toolchain import Toolchain

COMMAND_SECONDS: Final = 300.0
_SHOWN: Final = 2000  # characters of output that a check keeps
_FRAME: Final = re.compile(
    "^[\u2502\u2575\u2577 ]+", re.MULTILINE
)  # Terraform's box around an error


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How a command ended. ``seconds`` is how long it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def detail(self) -> str:
        """The end of what it said, in whole lines, for people."""
        text = _FRAME.sub("", self.err or self.out).strip()
        if len(text) <= _SHOWN:
            return text
        return text[-_SHOWN:].partition("\n")[2] or text[-_SHOWN:]

    @property
    def summary(self) -> str:
        """The first error that it named, else its last line."""
        lines = [line for line in self.detail.splitlines() if line.strip()]
        errors = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
        return (errors or lines[-1:] or ["no output"])[0]


class TerraformCommands(Terraform):  # type: ignore[misc]  # the library ships no types
    """The commands a bundle is built and rehearsed with; ``running`` knows those that run."""

    def __init__(self, folder: Path, toolchain: Toolchain, running: Running) -> None:
        super().__init__(
            working_dir=str(folder),
            terraform_bin_path=str(toolchain.binary),
            is_env_vars_included=False,
        )
        self._folder = folder
        self._toolchain = toolchain
        self._running = running
        self._shared: dict[str, str] = {}

    @contextmanager
    def one_provider(self) -> Iterator[None]:
        """Let the commands of the block share a provider, which no other command has spoken to."""
        with shared_provider(self._folder, self._toolchain, self._running) as shared:
            self._shared = shared
            try:
                yield
            finally:
                self._shared = {}

    def cmd(self, cmd: str, *args: str, **options: Any) -> tuple[int, str, str]:
        """Run a command to its end and return code, output, errors; see ``run``."""
        answer = self.run(cmd, *args, **options)
        return answer.code, answer.out, answer.err

    def run(self, cmd: str, *args: str, **options: Any) -> Answer:
        """Run a command; after ``COMMAND_SECONDS`` it and its providers are ended (code 124)."""
        command = self.generate_cmd_string(cmd, *args, **options)
        started = time.monotonic()
        self._running.wait_if_ending()
        process = subprocess.Popen(
            command,
            cwd=self._folder,
            env=self._toolchain.child_environment(os.environ) | LESS_COLLECTING | self._shared,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            with self._running.process(process):
                out, err = process.communicate(timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            end_group(process.pid)
            process.communicate()
            self._running.wait_if_ending()
            out, err = "", f"{cmd} timed out after {COMMAND_SECONDS:.0f} seconds"
            return Answer(code=124, out=out, err=err, seconds=time.monotonic() - started)
        self._running.wait_if_ending()
        return Answer(code=process.returncode, out=out, err=err, seconds=time.monotonic() - started)

    def init_offline(self, *, locked: bool) -> Answer:
        """Run ``init`` with the provider of the mirror; ``locked`` demands the lock file as is."""
        options: dict[str, Any] = {"backend": False, "input": False, "no_color": IsFlagged}
        if self._toolchain.mirror is not None:
            options["plugin_dir"] = str(self._toolchain.mirror.folder)
        if locked:
            options["lockfile"] = "readonly"
        return self.run("init", **options)

    def lock(self, platforms: Sequence[str]) -> Answer:
        """Add the provider's hashes for ``platforms`` to the lock file that ``init`` made."""
        options: dict[str, Any] = {"platform": list(platforms), "no_color": IsFlagged}
        if self._toolchain.mirror is not None:
            options["fs_mirror"] = str(self._toolchain.mirror.folder)
        return self.run("providers lock", **options)

    def plan_json(self) -> tuple[Answer, Mapping[str, Any]]:
        """Plan without AWS and return how it went and the plan's JSON (empty when it failed)."""
        with self.one_provider():
            planned = self.run("plan", input=False, no_color=IsFlagged, out="offline.plan")
            if planned.code != 0:
                return planned, {}
            shown = self.run("show", "offline.plan", json=IsFlagged)
        if shown.code != 0:
            return shown, {}
        return planned, json.loads(shown.out)
