"""The quick rehearsal: the emitted bytes, unpacked, through every check that needs no cloud."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from python_terraform import IsFlagged

from control_plane.adapters.terraform.commands import Answer, TerraformCommands
from control_plane.adapters.terraform.packing import read_tree, sums, unpack
from control_plane.adapters.terraform.running import Running
from control_plane.adapters.terraform.toolchain import Toolchain
from control_plane.domain.evaluation import Evaluation

Judge = Callable[[Mapping[str, Any]], Evaluation]
OnCheck = Callable[[Mapping[str, Any]], None]
OVERRIDE: Final = "offline_override.tf"
# The tests of the whole Hub; those of single modules are in the archive too, for who wants to run
# them, and our own tests run them at every change of the modules.
TESTS: Final = "tests/hub.tftest.hcl"


class QuickRehearsal:
    """fmt, offline init, validate, test, offline plan, policies, and that no byte changed.

    ``on_check`` gets each check when it is done.
    """

    def __init__(
        self,
        archive: bytes,
        folder: Path,
        toolchain: Toolchain,
        running: Running,
        judge: Judge,
        on_check: OnCheck,
    ) -> None:
        self._root = unpack(archive, folder)
        self._commands = TerraformCommands(self._root, toolchain, running)
        self._judge = judge
        self._on_check = on_check
        self.checks: list[dict[str, Any]] = []

    def run(self) -> list[dict[str, Any]]:
        """Return {name, ok, detail, seconds} of every check; after a failed init the rest fails."""
        commands = self._commands
        self._keep("fmt", commands.run("fmt", check=IsFlagged, recursive=IsFlagged))
        if self._keep("init", commands.init_offline(locked=True)):
            self._validate_and_test()
            self._plan()
        self._unchanged()
        return self.checks

    def _validate_and_test(self) -> None:
        """Run both side by side: they read the same files, write none, and wait a lot."""
        commands = self._commands
        with commands.one_provider(), ThreadPoolExecutor(max_workers=2) as both:
            validated = both.submit(commands.run, "validate", no_color=IsFlagged)
            tested = both.submit(commands.run, "test", no_color=IsFlagged, filter=TESTS)
            self._keep("validate", validated.result())
            self._keep("test", tested.result())

    def _plan(self) -> None:
        override = self._root / OVERRIDE
        shutil.copyfile(self._root / "ops" / OVERRIDE, override)
        try:
            answer, plan = self._commands.plan_json()
        finally:
            override.unlink()
            (self._root / "offline.plan").unlink(missing_ok=True)
        if not self._keep("offline_plan", answer):
            return
        started = time.monotonic()
        found = self._judge(plan)
        bad = found.mandatory
        detail = "; ".join(f"{v.rule}: {v.address}: {v.reason}" for v in bad[:5])
        self._add("policies", not bad, detail, time.monotonic() - started)

    def _unchanged(self) -> None:
        files = read_tree(self._root)
        listed = set(files.pop("SHA256SUMS", b"").decode().splitlines())
        differing = sorted({line[66:] for line in listed ^ set(sums(files).splitlines())})
        self._add("bytes_unchanged", not differing, ", ".join(differing[:5]), 0.0)

    def _keep(self, name: str, answer: Answer) -> bool:
        ok = answer.code == 0
        self._add(name, ok, "" if ok else answer.detail, answer.seconds)
        return ok

    def _add(self, name: str, ok: bool, detail: str, seconds: float) -> None:
        check = {"name": name, "ok": ok, "detail": detail, "seconds": round(seconds, 1)}
        self.checks.append(check)
        self._on_check(check)
