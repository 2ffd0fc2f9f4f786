"""The embedded PostgreSQL when we are root: it runs as somebody else, in one of three ways."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from control_plane.adapters.postgres import EmbeddedPostgres
from control_plane.domain.errors import Unavailable
from tests.integration.postgres.processes import HOLD, ask, prepare, wait_gone

pytestmark = pytest.mark.timeout(180)


def _start_as(server: EmbeddedPostgres) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has to become somebody else")
    try:
        server.start()
    except Unavailable as error:
        pytest.skip(f"this system does not allow it: {error.data.get('tried')}")


@pytest.mark.parametrize("identity", ["namespace", "user", "reaching"])
def test_root_runs_it_in_each_of_three_ways(folder: Path, created: Path, identity: str) -> None:
    home = prepare(folder / "pg", created)
    server = EmbeddedPostgres(home, short_folder=folder, identities=[identity])
    _start_as(server)
    try:
        assert ask(server) == (1,)
        outside = psutil.Process(server.pid).uids().real
        assert (outside == 0) == (identity == "namespace")
        kept = int(_status(server.pid, "CapEff"), 16)
        assert kept.bit_count() == (1 if identity == "reaching" else 0)
    finally:
        server.stop()


def _status(pid: int, name: str) -> str:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return line.split()[1]
    raise LookupError(name)


def test_another_user_needs_the_capability_below_a_closed_folder(
    folder: Path, created: Path
) -> None:
    home = prepare(folder / "pg", created)
    folder.chmod(0o700)
    closed = EmbeddedPostgres(home, short_folder=folder, identities=["user"])
    if os.geteuid() == 0:
        with pytest.raises(Unavailable, match="start as an ordinary user"):
            closed.start()
    reaching = EmbeddedPostgres(home, short_folder=folder, identities=["reaching"])
    _start_as(reaching)
    try:
        assert ask(reaching) == (1,)
    finally:
        reaching.stop()


def test_a_folder_changes_hands_with_the_way_it_is_run(folder: Path, created: Path) -> None:
    home = prepare(folder / "pg", created)
    for number, identity in enumerate(["namespace", "user", "namespace"]):
        server = EmbeddedPostgres(home, short_folder=folder, identities=[identity])
        _start_as(server)
        try:
            ask(server, f"CREATE TABLE kept_{number} (n int)")
            assert ask(server, "SELECT count(*) FROM pg_tables WHERE tablename ~ 'kept'") == (
                number + 1,
            )
        finally:
            server.stop()


def test_the_parent_death_signal_reaches_every_identity(folder: Path, created: Path) -> None:
    script = HOLD.replace(
        "short_folder=folder.parent)", "short_folder=folder.parent, identities=[sys.argv[2]])"
    )
    for identity in ("namespace", "user", "reaching") if os.geteuid() == 0 else ():
        holder = subprocess.Popen(
            [sys.executable, "-c", script, str(prepare(folder / identity, created)), identity],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert holder.stdout is not None
        assert holder.stdin is not None
        line = holder.stdout.readline()
        holder.kill()
        holder.wait(20)
        holder.stdout.close()
        holder.stdin.close()
        if line:  # else this system does not allow the identity, which another test prints
            wait_gone(int(line.split()[0]))
