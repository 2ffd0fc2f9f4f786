"""What is asked of a keeper in a wrong way: it is refused in words, and recorded nowhere."""

from __future__ import annotations

import gzip
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stacks.engine import protocol
from stacks.engine.backend import Backend, backend_for
from stacks.engine.sdk import VERSION
from stacks.engine.sealing import Sealer
from tests.stacks.kept_stacks import (
    JOURNAL,
    PASSPHRASE,
    PLACE,
    STACK,
    TOKEN,
    UPDATE,
    Served,
    entries,
    keeping,
    order,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

KNOWN = f"Authorization: token {TOKEN}\r\n"
CANARY = "canary-in-a-body"


@pytest.fixture
def keeper(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Served]:
    """A keeper that has taken the stack; it says nothing whatever it is asked."""
    with keeping(order(tmp_path)) as served:
        served.post("/take")
        yield served
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def stored(tmp_path: Path) -> Backend:
    return backend_for(
        f"file://{tmp_path}/states",
        STACK,
        engine=f"v{VERSION}",
        sealer=Sealer(PASSPHRASE, STACK),
    )


def raw(keeper: Served, sent: bytes, *, end: bool = True) -> tuple[int, bytes]:
    """Send bytes; return the status of the first answer, 0 for none, and all that was answered."""
    with closing(socket.create_connection(("127.0.0.1", keeper.port), timeout=30)) as client:
        client.sendall(sent)
        if end:
            client.shutdown(socket.SHUT_WR)
        said = b""
        while more := client.recv(65536):
            said += more
    found = re.match(rb"HTTP/1\.[01] (\d+) ", said)
    return int(found[1]) if found else 0, said


def asked(method: str, path: str, headers: str = "", body: bytes = b"") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode() + body


def goes_on(keeper: Served, stored: Backend) -> None:
    """Whatever was asked has been recorded nowhere, and the engine's own words still are."""
    assert stored.newest == 1
    assert keeper.ask("PATCH", JOURNAL, {"entries": entries()}) == (200, {})
    assert [r["id"] for r in (stored.state() or {})["resources"]] == ["one"]


# --- bodies ----------------------------------------------------------------------------------
NO_OBJECT = [
    b"", b"{", b"no json", b"\xff\xfe", b"null", b"[]", b"7", b'"text"', b"[" * 100_000,
    b'{"a":' * 100_000, b"9" * 10_000,
]  # fmt: skip
WITH_BODY = [
    ("POST", f"{PLACE}/encrypt"),
    ("POST", f"{PLACE}/batch-encrypt"),
    ("POST", f"{PLACE}/decrypt"),
    ("POST", f"{PLACE}/batch-decrypt"),
    ("POST", UPDATE),
    ("PATCH", JOURNAL),
    ("POST", f"{UPDATE}/update/complete"),
]


@pytest.mark.parametrize(("method", "path"), WITH_BODY, ids=[path for _, path in WITH_BODY])
def test_a_body_that_is_no_object_is_refused(
    keeper: Served, stored: Backend, method: str, path: str
) -> None:
    # a journal without entries is one that says nothing
    others = [] if path == JOURNAL else [b"{}", json.dumps({"other": CANARY}).encode()]
    for body in (*NO_OBJECT, *others):
        status, said = keeper.ask(method, path, body)
        assert status == 400, body[:20]
        assert said["code"] == 400
        assert said["message"]
        assert CANARY not in said["message"]
    goes_on(keeper, stored)


def entry(**changes: Any) -> dict[str, Any]:
    return {"entries": [entries()[0], {**entries()[1], **changes}]}


WRONG: list[tuple[str, str, Any]] = [
    *(("POST", f"{PLACE}/encrypt", {"plaintext": v}) for v in (None, 7, ["eA=="], "a b", "é")),
    *(("POST", f"{PLACE}/batch-encrypt", {"plaintexts": v}) for v in (None, "eA==", [7], ["!"])),
    *(("POST", f"{PLACE}/decrypt", {"ciphertext": v}) for v in (None, 7, [])),
    *(("POST", f"{PLACE}/batch-decrypt", {"ciphertexts": v}) for v in (None, "x", {}, [None])),
    *(("POST", UPDATE, {"options": v}) for v in (None, [], "x", {}, {"dryRun": "no"})),
    *(("POST", f"{UPDATE}/update/complete", {"status": v}) for v in (None, 7, ["succeeded"])),
    *(("PATCH", JOURNAL, {"entries": v}) for v in ("x", {}, 7, [None], ["x"], [[]], [{}])),
    *(("PATCH", JOURNAL, entry(kind=v)) for v in (None, "1", 1.5, True, 99, -1, [])),
    *(("PATCH", JOURNAL, entry(sequenceID=v)) for v in (None, "x", {}, 0.5)),
    *(("PATCH", JOURNAL, entry(operationID=v)) for v in (None, "x", [], False)),
    *(("PATCH", JOURNAL, entry(state=v)) for v in ("x", 7, [])),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body"), WRONG)
def test_a_value_of_a_wrong_type_is_refused(
    keeper: Served, stored: Backend, method: str, path: str, body: Any
) -> None:
    status, said = keeper.ask(method, path, body)
    assert (status, said["code"]) == (400, 400), said
    assert said["message"]
    goes_on(keeper, stored)


@pytest.mark.parametrize("text", ["é", "no base64", "djEg", ""])
def test_a_secret_that_is_none_is_told(keeper: Served, text: str) -> None:
    for path, body in (
        ("decrypt", {"ciphertext": text}),
        ("batch-decrypt", {"ciphertexts": [text]}),
    ):
        status, said = keeper.ask("POST", f"{PLACE}/{path}", body)
        assert (status, said["failed"]["code"]) == (424, "backend")


def test_a_text_that_is_half_a_character_is_refused(keeper: Served, stored: Backend) -> None:
    for half, status in (("\ud83d", 400), ("\ude00 \\ud", 400), ("\\ud83d \U0001f600", 200)):
        said = entries()
        said[1]["state"]["outputs"] = {"text": half}
        assert keeper.ask("PATCH", JOURNAL, {"entries": said})[0] == status
        assert stored.newest == (1 if status == 400 else 2)
    (made,) = keeper.get(f"{PLACE}/export")["deployment"]["resources"]
    assert made["outputs"] == {"text": "\\ud83d \U0001f600"}


def test_a_body_that_is_packed_wrongly_is_refused(keeper: Served, stored: Backend) -> None:
    packed = gzip.compress(json.dumps({"entries": entries()}).encode())
    for body in (b"no gzip", packed[:-9], packed[:12], packed + b"more", packed + packed):
        assert keeper.ask("PATCH", JOURNAL, body, Content_Encoding="gzip")[0] == 400, body[:9]
    status, _ = keeper.ask("PATCH", JOURNAL, packed, Content_Encoding="br")
    assert status == 415
    goes_on(keeper, stored)


def test_a_body_that_is_too_large_is_refused_before_it_is_there(
    keeper: Served, stored: Backend
) -> None:
    for length in (protocol.LARGEST_BODY + 1, 10**12, 10**400):
        headers = f"{KNOWN}Content-Length: {length}\r\n"
        assert raw(keeper, asked("PATCH", JOURNAL, headers))[0] == 413
    bomb = gzip.compress(b" " * (protocol.LARGEST_BODY + 1))
    assert keeper.ask("PATCH", JOURNAL, bomb, Content_Encoding="gzip")[0] == 413
    goes_on(keeper, stored)


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "0x10", "+5", "²", "5, 5"])
def test_a_length_that_is_none_is_refused(keeper: Served, stored: Backend, length: str) -> None:
    sent = asked("PATCH", JOURNAL, f"{KNOWN}Content-Length: {length}\r\n", b"{}")
    assert raw(keeper, sent)[0] == 400
    goes_on(keeper, stored)


def test_a_body_in_chunks_is_refused_and_not_taken_for_a_request(
    keeper: Served, stored: Backend
) -> None:
    hidden = asked("POST", "/give-back", KNOWN)
    for more in ("", "Content-Length: 3\r\n"):
        headers = f"{KNOWN}Transfer-Encoding: chunked\r\n{more}"
        status, said = raw(keeper, asked("PATCH", JOURNAL, headers, b"0\r\n\r\n" + hidden))
        assert (status, said.count(b"HTTP/1.1 ")) == (411, 1)
    assert len(stored.locks()) == 1
    goes_on(keeper, stored)


# --- what is no request ----------------------------------------------------------------------
@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "NONSENSE"])
def test_another_method_is_refused(keeper: Served, stored: Backend, method: str) -> None:
    status, said = raw(keeper, asked(method, f"{PLACE}/export", KNOWN))
    assert 400 <= status < 500
    assert b"<html" not in said.lower()
    goes_on(keeper, stored)


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n", b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00" * 20, b"\x00" * 300 + b"\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: token \xff\xfe\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_request_ends_its_connection_alone(
    keeper: Served, stored: Backend, sent: bytes
) -> None:
    status, said = raw(keeper, sent)
    assert status == 0 or 400 <= status < 500, said
    assert TOKEN.encode() not in said
    goes_on(keeper, stored)


# --- who has no token ------------------------------------------------------------------------
def test_a_stranger_s_body_is_not_waited_for(keeper: Served, stored: Backend) -> None:
    started = time.monotonic()
    headers = "Content-Length: 1000000000000\r\n"
    status, said = raw(keeper, asked("PATCH", JOURNAL, headers, b"[" * 1000))
    assert status == 401
    assert b"Connection: close" in said
    assert time.monotonic() - started < protocol.STRANGERS_SECONDS
    goes_on(keeper, stored)


def test_a_stranger_is_told_the_same_whatever_it_asks(keeper: Served, stored: Backend) -> None:
    requests = [
        asked(method, path, headers, body)
        for method in ("GET", "POST", "PATCH")
        for path in (f"{PLACE}/export", "/take", "/no/such/route", JOURNAL)
        for headers, body in (
            ("", b""),
            ("Content-Length: 2\r\n", b"{}"),
            ("Content-Length: x\r\n", b"{}"),
            ("Content-Length: 3\r\nContent-Encoding: gzip\r\n", b"abc"),
            ("Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        )
    ]
    answers = {raw(keeper, each) for each in requests}
    assert len(answers) == 1, answers
    assert answers.pop()[0] == 401
    goes_on(keeper, stored)


def test_a_stranger_who_says_nothing_is_not_kept(keeper: Served, stored: Backend) -> None:
    started = time.monotonic()
    assert raw(keeper, b"GET / HT", end=False) == (0, b"")
    assert time.monotonic() - started < 3 * protocol.STRANGERS_SECONDS
    goes_on(keeper, stored)


# --- a command that crashed ------------------------------------------------------------------
@pytest.mark.parametrize("part", [0, 1, 30, -1])
def test_half_a_body_records_nothing(keeper: Served, stored: Backend, part: int) -> None:
    body = json.dumps({"entries": entries()}).encode()
    headers = f"{KNOWN}Content-Length: {len(body)}\r\n"
    assert raw(keeper, asked("PATCH", JOURNAL, headers, body[:part])) == (0, b"")
    goes_on(keeper, stored)


@pytest.mark.parametrize("part", [1, 20, 150, -20, -3, -1])
def test_half_a_request_records_nothing(keeper: Served, stored: Backend, part: int) -> None:
    for more in ("Content-Length: 10\r\n", ""):
        sent = asked("PATCH", JOURNAL, KNOWN + more)[:part]
        assert raw(keeper, sent)[0] in (0, 400, 401)
    goes_on(keeper, stored)


def test_what_was_asked_is_recorded_though_nobody_waits_for_the_answer(
    keeper: Served, stored: Backend
) -> None:
    body = json.dumps({"entries": entries()}).encode()
    headers = f"{KNOWN}Content-Length: {len(body)}\r\n"
    client = socket.create_connection(("127.0.0.1", keeper.port), timeout=30)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # ends by a reset
    client.sendall(asked("PATCH", JOURNAL, headers, body))
    end = time.monotonic() + 20
    while stored.newest < 2 and time.monotonic() < end:
        time.sleep(0.01)
    client.close()
    assert [r["id"] for r in (stored.state() or {})["resources"]] == ["one"]
    keeper.post(f"{UPDATE}/update/complete", {"status": "succeeded"})
    assert stored.locks() == []
