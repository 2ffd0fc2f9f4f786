"""The session that holds a worker's name is ended by the server when its host vanishes.

Sockets of a machine's own have no such settings, so that the server listens on TCP here.
"""

from __future__ import annotations

import re
import select
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
import psycopg
import pytest

from control_plane.adapters.dbos.liveness import Liveness
from control_plane.adapters.postgres import SUPERUSER, EmbeddedPostgres
from control_plane.adapters.postgres.identity import choose_identity, environment, launch_command
from control_plane.domain.errors import Unavailable

SECONDS: Final = 60.0  # for what should take one or two
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tcp_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a server that listens on a free loopback port, with the session's programs."""
    with tempfile.TemporaryDirectory(prefix="tenantplane-tcp-") as made:
        folder = Path(made)
        with EmbeddedPostgres(folder / "pg", short_folder=folder, durable=False) as server:
            program = Path(psutil.Process(server.pid).exe())
        hba = server.data / "pg_hba.conf"
        hba.write_text("host all all 127.0.0.1/32 trust\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        arguments = [
            "-D", str(server.data), "-p", str(port), "-c", "listen_addresses=127.0.0.1",
            "-c", "unix_socket_directories=",
        ]  # fmt: skip
        identity = choose_identity(server.folder, program)
        process = subprocess.Popen(
            launch_command(identity, server.folder, program, arguments),
            env=environment(server.folder), stderr=subprocess.DEVNULL,
        )  # fmt: skip
        url = f"postgresql://{SUPERUSER}@127.0.0.1:{port}/{SUPERUSER}"
        try:
            _wait_for(url)
            yield url
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown
            process.wait(SECONDS)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


class Shown(Liveness):
    """A session that tells its settings."""

    def shows(self, name: str) -> str:
        row = self._of().execute("SELECT current_setting(%s)", [name]).fetchone()
        assert row is not None
        return str(row[0])


def test_the_server_ends_the_session_of_a_silent_host_within_half_a_minute(tcp_url: str) -> None:
    with Shown(tcp_url, "one") as held:
        idle, interval, count = (
            int(held.shows(f"tcp_keepalives_{name}")) for name in ("idle", "interval", "count")
        )
        assert 0 < idle + interval * count <= 25  # seconds until it is found to be gone
        assert held.shows("tcp_user_timeout") == "20000"  # milliseconds without an acknowledgement


class Cut(socketserver.BaseRequestHandler):
    """Passes a session on until it asks for a lock, which the connection does not survive."""

    def handle(self) -> None:
        port = self.server.behind  # type: ignore[attr-defined] # given by the test
        with socket.create_connection(("127.0.0.1", port)) as server:
            while ready := select.select([self.request, server], [], [], SECONDS)[0]:
                for one in ready:
                    data = one.recv(65536)
                    if not data or b"pg_try_advisory_lock" in data:
                        return
                    (server if one is self.request else self.request).sendall(data)


def test_a_session_that_ends_while_the_name_is_taken_is_an_outage(tcp_url: str) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Cut) as relay:
        port = re.search(r":(\d+)/", tcp_url)
        assert port is not None
        relay.behind = int(port[1])  # type: ignore[attr-defined] # for its handler
        relay.daemon_threads = True
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        held = Liveness(tcp_url.replace(port[1], str(relay.server_address[1])), "one")
        with pytest.raises(Unavailable, match="unreachable"):
            held.take()
        assert not held.is_held()
        relay.shutdown()


def test_no_statement_of_the_session_waits_for_long(tcp_url: str) -> None:
    with Shown(tcp_url, "one") as held:
        assert held.shows("statement_timeout") == "10s"


def test_a_session_that_is_taken_anew_has_the_same_settings(tcp_url: str) -> None:
    with Shown(tcp_url, "one") as held:
        assert held.take()
        assert held.shows("tcp_user_timeout") == "20000"
        assert held.shows("statement_timeout") == "10s"
