"""Processes that run for weeks load nothing that only a terminal or a rare question needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

ONLY_FOR_TERMINALS = ("rich.console", "rich.text", "pygments")
ONLY_WHEN_ASKED = ("holidays",)  # 20 MB
_LOADED = "import sys, {}; print([name for name in {!r} if name in sys.modules])"


@pytest.mark.parametrize(
    "modules",
    [
        "control_plane.cli.processes, control_plane.worker, control_plane.adapters.dbos.executor",
        "control_plane.adapters.audit.signer_process",
        "api.__main__",
    ],
)
def test_a_process_at_rest_has_loaded_neither_rich_nor_holidays(modules: str) -> None:
    code = _LOADED.format(modules, ONLY_FOR_TERMINALS + ONLY_WHEN_ASKED)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


def test_rich_can_be_imported_after_the_logs_are_set_up() -> None:
    code = "import control_plane.logging, rich.console; print(rich.console.Console.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "Console"
