"""The embedded PostgreSQL: whose child it is, what it survives, what it refuses.

Every server here is durable, since that is what is tested; kills go to process ids that the test
started or found as their children.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from control_plane.adapters.postgres import SUPERUSER, EmbeddedPostgres
from control_plane.domain.errors import Unavailable
from tests.integration.postgres.processes import (
    WRITE,
    ask,
    everything,
    kill_all,
    prepare,
    told_pid,
    wait_gone,
)

pytestmark = pytest.mark.timeout(180)


# --- starting and stopping -------------------------------------------------------------------
def test_it_starts_as_whoever_we_are_and_answers(server: EmbeddedPostgres) -> None:
    server.start()
    assert ask(server, "SELECT current_setting('server_version_num')::int / 10000") == (18,)
    assert ask(server, "SHOW synchronous_commit") == ("on",)
    assert server.running


def test_nothing_listens_on_the_network(server: EmbeddedPostgres) -> None:
    server.start()
    for process in everything(server.pid):
        kinds = {connection.family for connection in process.net_connections(kind="inet")}
        assert kinds == set()
    mode = stat.S_IMODE(server.socket_folder.stat().st_mode)
    assert mode == 0o700
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.log.stat().st_mode) == 0o600


def test_what_was_written_is_there_after_a_stop(server: EmbeddedPostgres) -> None:
    server.start()
    ask(server, "CREATE TABLE kept AS SELECT 7 AS n")
    pid = server.pid
    server.stop()
    wait_gone(pid)
    assert not server.running
    server.start()
    assert ask(server, "SELECT n FROM kept") == (7,)


def test_stopping_twice_and_before_the_start_is_harmless(server: EmbeddedPostgres) -> None:
    server.stop()
    server.start()
    server.stop()
    server.stop()
    with pytest.raises(Unavailable):
        _ = server.pid


def test_stopping_ends_sessions_that_are_in_a_transaction(server: EmbeddedPostgres) -> None:
    server.start()
    connection = psycopg.connect(server.url(SUPERUSER, "postgres"))
    connection.execute("CREATE TABLE never_committed (n int)")
    server.stop()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()


def test_an_interrupted_creation_is_begun_again(folder: Path) -> None:
    unfinished = folder / "pg" / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(folder / "pg", short_folder=folder) as server:
        assert ask(server) == (1,)
        assert not unfinished.exists()


def test_a_server_that_dies_is_noticed(server: EmbeddedPostgres) -> None:
    server.start()
    kill_all(server.pid)
    deadline = time.monotonic() + 20
    while server.running:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(Unavailable):
        _ = server.pid


# --- what it survives ------------------------------------------------------------------------
def test_no_committed_row_is_lost_when_everything_is_killed(server: EmbeddedPostgres) -> None:
    server.start()
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE, server.url(SUPERUSER, "postgres")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert writer.stdout is not None
    for _ in range(200):
        assert writer.stdout.readline()
    kill_all(server.pid)
    acknowledged = 200 + len(writer.stdout.read().split())
    writer.wait(20)
    writer.stdout.close()
    server.stop()
    server.start()
    rows = ask(server, "SELECT count(*), max(n) + 1 FROM written")
    assert rows in {(n, n) for n in (acknowledged, acknowledged + 1)}  # one may lack its answer


def test_it_recovers_when_only_the_postmaster_is_killed(server: EmbeddedPostgres) -> None:
    server.start()
    ask(server, "CREATE TABLE kept AS SELECT 7 AS n")
    session = psycopg.connect(server.url(SUPERUSER, "postgres"))
    os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while True:  # its backends notice by themselves and end
        server.stop()
        try:
            server.start()
            break
        except Unavailable:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    session.close()
    assert ask(server, "SELECT n FROM kept") == (7,)


def test_it_ends_with_its_parent(holder: subprocess.Popen[str], server: EmbeddedPostgres) -> None:
    pid = told_pid(holder)
    holder.kill()
    wait_gone(pid)
    server.start()
    assert ask(server) == (1,)
    assert "database system was shut down" in server.log.read_text()  # and not "interrupted"


def test_it_outlives_the_thread_that_started_it(server: EmbeddedPostgres) -> None:
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join(60)
    time.sleep(0.5)
    assert ask(server) == (1,)


def test_the_terminal_interrupt_of_the_parent_is_not_the_servers(
    holder: subprocess.Popen[str], server: EmbeddedPostgres
) -> None:
    pid = told_pid(holder)
    assert os.getpgid(pid) != os.getpgid(holder.pid)
    assert os.getsid(pid) != os.getsid(holder.pid)


def test_the_next_start_waits_for_a_predecessor_that_still_shuts_down(
    holder: subprocess.Popen[str], server: EmbeddedPostgres
) -> None:
    pid = told_pid(holder)
    os.kill(pid, signal.SIGSTOP)  # as slow as a shutdown can be
    holder.kill()
    holder.wait(20)
    timer = threading.Timer(1.0, os.kill, (pid, signal.SIGCONT))
    timer.start()
    server.start()
    timer.join()
    assert server.pid != pid
    assert ask(server) == (1,)


# --- what it refuses -------------------------------------------------------------------------
def test_a_second_start_on_the_same_folder_is_refused(server: EmbeddedPostgres) -> None:
    server.start()
    second = EmbeddedPostgres(server.folder, short_folder=server.folder)
    with pytest.raises(Unavailable, match="already running on this data folder"):
        second.start()
    with pytest.raises(Unavailable, match="already started"):
        server.start()
    second.stop()
    assert ask(server) == (1,)


def test_a_start_in_another_process_is_refused_too(
    holder: subprocess.Popen[str], server: EmbeddedPostgres
) -> None:
    pid = told_pid(holder)
    with pytest.raises(Unavailable, match="choose another data folder"):
        server.start()
    assert psutil.pid_exists(pid)


def test_two_servers_run_side_by_side(
    server: EmbeddedPostgres, folder: Path, created: Path
) -> None:
    server.start()
    with EmbeddedPostgres(prepare(folder / "other", created), short_folder=folder) as other:
        ask(server, "CREATE TABLE here (n int)")
        assert ask(other, "SELECT to_regclass('here')") == (None,)


def test_data_of_another_version_is_refused_and_kept(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    version = server.data / "PG_VERSION"
    version.write_text("16\n")
    with pytest.raises(Unavailable, match="written by PostgreSQL 16"):
        server.start()
    version.write_text("18\n")
    server.start()


def test_a_long_path_puts_the_socket_into_the_short_folder(folder: Path, created: Path) -> None:
    deep = folder / ("long" * 25)
    with EmbeddedPostgres(prepare(deep, created), short_folder=folder) as server:
        assert server.socket_folder.is_relative_to(folder / "sockets")
        assert ask(server) == (1,)


def test_a_path_too_long_for_any_socket_is_refused_in_a_sentence(folder: Path) -> None:
    deep = folder / ("long" * 20)
    with pytest.raises(Unavailable, match="choose a shorter data folder"):
        EmbeddedPostgres(deep / "pg", short_folder=deep)


@pytest.mark.parametrize("name", ["with space", "with'quote", "with,comma", "with%percent", "ü"])
def test_unusual_folder_names_work(folder: Path, created: Path, name: str) -> None:
    with EmbeddedPostgres(prepare(folder / name, created), short_folder=folder) as server:
        assert ask(server) == (1,)


# --- what it does not tell -------------------------------------------------------------------
def test_values_of_rows_do_not_enter_the_log(server: EmbeddedPostgres) -> None:
    server.start()
    ask(server, "CREATE TABLE people (name text UNIQUE)")
    with psycopg.connect(server.url(SUPERUSER, "postgres"), autocommit=True) as connection:
        for _ in range(2):
            with pytest.raises(psycopg.Error):
                connection.execute("INSERT INTO people VALUES ('Ada'), ('Ada')")
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT 'Ada' + 1")
    server.stop()
    log = server.log.read_text()
    assert "shut down" in log  # it is the log, and what the server does is in it
    assert "Ada" not in log


def test_the_servers_environment_has_nothing_of_ours(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for the database")
    server.start()
    assert set(psutil.Process(server.pid).environ()) <= {"PATH", "HOME", "LC_ALL", "TZ", "PGDATA"}


def test_a_socket_is_what_the_url_names(server: EmbeddedPostgres) -> None:
    server.start()
    path = server.socket_folder / ".s.PGSQL.5432"
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(path))
    assert "%2F" in server.url("tenantplane_app", "tenantplane")
