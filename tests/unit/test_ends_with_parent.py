"""What `serve` starts ends with it, also when it was killed before the child could look."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from control_plane.adapters.home import Home, Key
from control_plane.bootstrap import Parts
from control_plane.cli.serving import _clean_environment
from control_plane.config import Settings

WATCHED = "TENANTPLANE_END_WITH_PARENT"
NOBODY = 2**22 + 1  # above the largest number of a process on Linux


@pytest.fixture
def ended() -> threading.Event:
    return threading.Event()


def test_a_child_whose_parent_is_gone_before_it_looks_ends(
    ended: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WATCHED, str(NOBODY))
    Parts(Settings()).end_with_parent(os.getppid(), ended.set)
    assert ended.wait(10)


def test_a_child_stays_with_a_parent_that_is_there_and_one_without_watches_nobody(
    ended: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WATCHED, str(os.getppid()))
    Parts(Settings()).end_with_parent(NOBODY, ended.set)
    monkeypatch.delenv(WATCHED)
    Parts(Settings()).end_with_parent(NOBODY, ended.set)
    assert not ended.wait(1)


def test_serve_names_itself_to_what_it_starts(tmp_path: Path) -> None:
    assert _clean_environment(Settings(), tmp_path)[WATCHED] == str(os.getpid())


def test_a_signer_whose_parent_is_gone_ends(tmp_path: Path) -> None:
    Home(tmp_path).create_keys([Key.AUDIT])
    given = {
        WATCHED: str(NOBODY),
        "TENANTPLANE_HOME": str(tmp_path),
        "TENANTPLANE_DATABASE_SEQUENCER_URL": "postgresql://nobody@127.0.0.1:1/x",
    }
    own = {name: value for name, value in os.environ.items() if "TENANTPLANE_" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "control_plane.cli", "signer"],
        env=own | given, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
