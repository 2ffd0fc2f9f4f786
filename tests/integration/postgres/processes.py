"""What the tests of the embedded server share: its processes, and how they are killed."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg

from control_plane.adapters.postgres import SUPERUSER, EmbeddedPostgres

HOLD = """
import os, pathlib, sys, time
from control_plane.adapters.postgres import EmbeddedPostgres
folder = pathlib.Path(sys.argv[1])
server = EmbeddedPostgres(folder, short_folder=folder.parent).start()
print(server.pid, server.url("postgres", "postgres"), flush=True)
sys.stdin.read()
server.stop()
"""
WRITE = """
import sys, psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    connection.execute("CREATE TABLE written (n int PRIMARY KEY)")
    for n in range(1_000_000):
        connection.execute("INSERT INTO written VALUES (%s)", [n])
        print(n, flush=True)
"""


def prepare(folder: Path, created: Path) -> Path:
    """Put a copy of the created data under ``folder`` and return it."""
    folder.mkdir(mode=0o700)
    shutil.copytree(created, folder / "data")
    return folder


def ask(server: EmbeddedPostgres, query: str = "SELECT 1") -> object:
    with psycopg.connect(server.url(SUPERUSER, "postgres"), autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchone() if cursor.description else None


def everything(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def kill_all(pid: int) -> None:
    for process in everything(pid):
        with suppress(psutil.NoSuchProcess):  # a child that noticed the end of its parent
            process.kill()


def wait_gone(pid: int, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, f"process {pid} still lives"
            time.sleep(0.02)


def told_pid(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline().split()[0])
