"""What the server takes for a request: nothing that a proxy before it may read in another way."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.server import MAX_HEADERS
from control_plane.domain.actor import Role
from tests.unit.api.scene import Api
from tests.unit.api.served import Served, answer_of, everything_of
from tests.world import World

GET = b"GET /healthz HTTP/1.1\r\nHost: api\r\n"
POST = b"POST /v1/hubs HTTP/1.1\r\nHost: api\r\n"


@pytest.fixture
def served(world: World, tmp_path: Path) -> Iterator[Served]:
    """A served API."""
    found = Served(Api(world, tmp_path), body_seconds=5)
    yield found
    found.stop()


@pytest.mark.parametrize(
    "head",
    [
        POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        POST + b"Content-Length: 2\r\nContent-Length: 3\r\n",
        POST + b"Content-Length: +2\r\n",
        POST + b"Content-Length: 2,2\r\n",
        POST + b"Transfer-Encoding: chunked, identity\r\n",
        GET + b"X-A : b\r\n",
        GET + b"X-A: b\r\n continued\r\n",
        GET + b"X-A: a\x00b\r\n",
        GET + b"X A: b\r\n",
        b"GET /healthz HTTP/9.9\r\nHost: api\r\n",
        b"get /healthz HTTP/1.1\r\nHost: api\r\n",
        b"GET /h\xc3\xa4 HTTP/1.1\r\nHost: api\r\n",
        b"GET /healthz HTTP/2.0\r\nHost: api\r\n",
        b"GET /healthz HTTP/1.1\r\nAccept: text/plain\r\n",
        GET + b"Host: other\r\n",
        GET + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n",
    ],
)
def test_a_head_that_can_be_read_in_two_ways_is_refused(served: Served, head: bytes) -> None:
    with served.connect() as connection:
        connection.sendall(head + b"\r\n" + (b"{}" if head.startswith(b"POST") else b""))
        assert everything_of(connection).startswith(b"HTTP/1.1 400")


def test_headers_that_are_whole_and_too_large_are_refused(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(GET + b"X-A: " + b"x" * MAX_HEADERS + b"\r\n\r\n")
        assert everything_of(connection).startswith(b"HTTP/1.1 400")


def test_many_small_headers_are_refused_once_they_are_too_large(served: Served) -> None:
    with served.connect() as connection:
        line = b"X-A: " + b"x" * 1000 + b"\r\n"
        connection.sendall(GET)
        assert _taken(connection, line, most=60) < 60


def test_the_lines_between_the_parts_of_a_body_are_no_way_around(served: Served) -> None:
    known = f"Authorization: Bearer {served.api.token(Role.PLATFORM_ADMIN)}\r\n".encode()
    with served.connect() as connection:
        connection.sendall(POST + known + b"Transfer-Encoding: chunked\r\n\r\n1;")
        assert _taken(connection, b"x" * 1000, most=60) < 60


def test_requests_that_come_together_are_answered_in_their_order(served: Served) -> None:
    with served.connect() as connection:
        last = GET.replace(b"healthz", b"nowhere") + b"Connection: close\r\n\r\n"
        connection.sendall((GET + b"\r\n") * 2 + last)
        found = everything_of(connection)
    assert re.findall(rb"HTTP/1.1 (\d+)", found) == [b"200", b"200", b"404"]


@pytest.mark.parametrize("rest", [b"GARBAGE\r\n\r\n", GET + b"X A: b\r\n\r\n"])
def test_what_came_whole_is_answered_before_what_follows_is_refused(
    served: Served, rest: bytes
) -> None:
    with served.connect() as connection:
        connection.sendall((GET + b"\r\n") * 2 + rest)
        found = everything_of(connection)
    assert re.findall(rb"HTTP/1.1 (\d+)", found) == [b"200", b"200"]
    assert found.count(b"connection: close") == 1


def test_a_body_longer_than_its_length_does_not_cost_the_answer(served: Served) -> None:
    known = f"Authorization: Bearer {served.api.token(Role.PLATFORM_ADMIN)}\r\n".encode()
    body = b'{"region": "eu-west-1", "cell": "c1"}'
    head = b"Idempotency-Key: k-1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with served.connect() as connection:
        connection.sendall(POST + known + head % len(body) + body + b"and more\r\n\r\n")
        assert everything_of(connection).startswith(b"HTTP/1.1 202")


def test_after_a_body_that_is_refused_in_the_middle_nothing_is_done(served: Served) -> None:
    known = f"Authorization: Bearer {served.api.token(Role.PLATFORM_ADMIN)}\r\n".encode()
    with served.connect() as connection:
        connection.sendall(POST + known + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nx\r\n")
        assert everything_of(connection).startswith(b"HTTP/1.1 400")
    assert not served.api.world.rows("hub")


def test_large_heads_one_after_the_other_are_each_within_the_limit(served: Served) -> None:
    with served.connect() as connection:
        for _ in range(4):
            connection.sendall(GET + b"X-A: " + b"x" * (MAX_HEADERS // 2) + b"\r\n\r\n")
            assert answer_of(connection).startswith(b"HTTP/1.1 200")


def test_an_upgrade_that_nobody_offers_is_answered_as_any_request(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert answer_of(connection).startswith(b"HTTP/1.1 200")


def _taken(connection: socket.socket, line: bytes, *, most: int) -> int:
    """Send a line again and again; return how often until the server said 400 or closed."""
    connection.settimeout(0.05)
    for number in range(most):
        try:
            connection.sendall(line)
            said = connection.recv(100)
        except TimeoutError:
            continue
        except OSError:
            return number
        assert not said or said.startswith(b"HTTP/1.1 400")
        return number
    return most
