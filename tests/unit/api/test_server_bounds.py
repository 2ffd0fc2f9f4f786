"""The HTTP server over real sockets: slow callers, strangers' bodies, a port that is taken."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from api.server import MAX_CONNECTIONS, MAX_HEADERS, listen, server_of
from control_plane.adapters.home import Home
from control_plane.adapters.home import Key as HomeKey
from control_plane.domain.actor import Role
from control_plane.domain.errors import Unavailable
from tests.unit.api.scene import ROOT, Api
from tests.unit.api.served import Served, answer_of, everything_of
from tests.world import World

BODY = b'{"region": "eu-west-1", "cell": "c1"}'


@pytest.fixture
def served(world: World, tmp_path: Path) -> Iterator[Served]:
    """A served API whose deadlines are short enough to wait for."""
    found = Served(Api(world, tmp_path))
    yield found
    found.stop()


def _bytes_taken(connection: socket.socket) -> int:
    """Send a byte now and then, 200 at most, and return how many the server took."""
    for number in range(200):
        try:
            connection.sendall(b"x")
        except OSError:
            return number
        time.sleep(0.05)
    return 200


def _seconds(act: Callable[[], object]) -> float:
    started = time.monotonic()
    act()
    return time.monotonic() - started


@pytest.mark.parametrize("start", [b"", b"G", b"GET /healthz HTTP/1.1\r\nHost: api\r\nX-A: "])
def test_headers_that_do_not_arrive_end_the_connection(served: Served, start: bytes) -> None:
    connection = served.connect()
    connection.sendall(start)
    assert 0.2 < _seconds(lambda: everything_of(connection)) < 5


def test_one_byte_now_and_then_does_not_hold_a_connection(served: Served) -> None:
    connection = served.connect()
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: api\r\nX-A: ")
    with connection:
        assert _bytes_taken(connection) < 200
    assert served.server.server_state.connections == set()


def test_a_second_request_has_its_time_too(served: Served) -> None:
    connection = served.request("GET /healthz HTTP/1.1")
    assert answer_of(connection).startswith(b"HTTP/1.1 200")
    time.sleep(0.1)
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: api\r\n\r\n")
    assert answer_of(connection).startswith(b"HTTP/1.1 200")
    connection.sendall(b"GET /heal")
    assert _seconds(lambda: everything_of(connection)) < 5


def test_a_body_that_does_not_arrive_is_answered_for(served: Served) -> None:
    token = served.api.token(Role.PLATFORM_ADMIN)
    connection = served.request(
        f"POST /v1/hubs HTTP/1.1\r\nAuthorization: Bearer {token}\r\nIdempotency-Key: k-1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}",
        BODY[:5],
    )
    found = everything_of(connection)
    assert found.startswith(b"HTTP/1.1 408")
    assert b"/problems/request_timeout" in found


@pytest.mark.parametrize("authorization", ["", "Bearer garbage", "Basic eDp5"])
def test_a_strangers_body_is_not_waited_for(
    world: World, tmp_path: Path, authorization: str
) -> None:
    patient = Served(Api(world, tmp_path), body_seconds=60)
    connection = patient.request(
        f"POST /v1/provisioning-requests HTTP/1.1\r\nAuthorization: {authorization}\r\n"
        "Content-Type: application/json\r\nContent-Length: 250000"
    )
    with connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 401")
    patient.stop()


def test_headers_without_end_are_refused(served: Served) -> None:
    connection = served.connect()
    connection.sendall(b"GET /healthz HTTP/1.1\r\nX-A: " + b"x" * (MAX_HEADERS + 10))
    assert everything_of(connection).startswith(b"HTTP/1.1 400")


def test_a_token_with_two_hundred_tenants_fits_into_the_headers(served: Served) -> None:
    ids = tuple(f"ten_{number:026d}" for number in range(200))
    token = served.api.token(Role.AUDITOR, tenants=ids)
    answer = httpx.get(
        f"http://127.0.0.1:{served.port}/v1/tenants", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.json() == {"items": [], "next_page_token": None}


def test_the_number_of_connections_is_bounded(served: Served) -> None:
    assert served.server.config.limit_concurrency == MAX_CONNECTIONS


def test_a_proxy_is_believed_only_when_it_is_named(world: World, tmp_path: Path) -> None:
    app = Api(world, tmp_path).app
    assert not server_of(app, host="h", port=1, trusted_proxies=None).config.proxy_headers
    named = server_of(app, host="h", port=1, trusted_proxies="10.0.0.0/8").config
    assert (named.proxy_headers, named.forwarded_allow_ips) == (True, "10.0.0.0/8")


def test_a_port_that_is_taken_is_one_sentence() -> None:
    (taken,) = listen("127.0.0.1", 0)
    with taken, pytest.raises(Unavailable) as refused:
        listen("127.0.0.1", taken.getsockname()[1])
    assert "Address already in use" in refused.value.message
    assert "TENANTPLANE_PORT" in refused.value.message
    with pytest.raises(Unavailable):
        listen("192.0.2.1", 0)  # an address of no machine
    with pytest.raises(Unavailable):
        listen("no-such-host.invalid", 0)


@pytest.mark.parametrize("style", ["json", "console"])
def test_the_process_says_why_it_does_not_start(tmp_path: Path, style: str) -> None:
    (taken,) = listen("127.0.0.1", 0)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("TENANTPLANE_")
    } | {
        "TENANTPLANE_HOME": str(_home(tmp_path)), "TENANTPLANE_LOG_FORMAT": style,
        "TENANTPLANE_PORT": str(taken.getsockname()[1]),
        "TENANTPLANE_DATABASE_URL": "postgresql://app@127.0.0.1:9/none",
        "TENANTPLANE_DATABASE_AUDITOR_URL": "postgresql://auditor@127.0.0.1:9/none",
    }  # fmt: skip
    with taken:
        ended = subprocess.run(
            [sys.executable, "-m", "api"], env=environment, cwd=ROOT, capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
    assert ended.returncode == 5
    (line,) = ended.stderr.splitlines()
    assert "Address already in use" in line
    if style == "json":
        found = json.loads(line)
        assert (found["event"], found["level"]) == ("api.not_started", "error")
        assert found["reason"].endswith("address of this machine")


def test_every_line_of_the_process_is_json_when_asked_for(tmp_path: Path) -> None:
    """What uvicorn and the libraries log has the form of our own lines."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("TENANTPLANE_")
    } | {
        "TENANTPLANE_HOME": str(_home(tmp_path)), "TENANTPLANE_LOG_FORMAT": "json",
        "TENANTPLANE_DATABASE_URL": "postgresql://app@127.0.0.1:9/none",
        "TENANTPLANE_DATABASE_AUDITOR_URL": "postgresql://auditor@127.0.0.1:9/none",
    }  # fmt: skip
    (probe,) = listen("127.0.0.1", 0)
    port = probe.getsockname()[1]
    probe.close()
    process = subprocess.Popen(
        [sys.executable, "-m", "api"], env={**environment, "TENANTPLANE_PORT": str(port)},
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        _until_it_answers(port)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"\x00 nonsense\r\n\r\n")  # uvicorn logs a warning of its own
            assert connection.recv(100).startswith(b"HTTP/1.1 400")
        ready = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10)
        assert ready.status_code == 503
        assert set(ready.json()["parts"]) == {"database", "audit_log", "identity"}
        assert ready.json()["parts"]["identity"] == "ok"
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    lines = [json.loads(line) for line in said.splitlines()]
    assert "Invalid HTTP request received." in [line["event"] for line in lines]
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)


def _home(folder: Path) -> Path:
    """Make the folder the home of an installation with an issuer of its own."""
    Home(folder).create_keys([HomeKey.PAGE, HomeKey.ISSUER])
    return folder


def _until_it_answers(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        except httpx.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return
