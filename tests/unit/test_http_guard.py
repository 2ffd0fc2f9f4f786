"""URLs that somebody else names lead to public addresses, briefly, or nowhere."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from control_plane.adapters.http_guard import GuardedHttp
from control_plane.domain.addresses import is_public
from control_plane.domain.event_errors import ReceiverFailed, UrlRefused
from tests.receivers import Receiver, Reply, receiving

PUBLIC = "93.184.215.14"
HOSTILE = [
    "http://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "//example.com/",
    "https:///path",
    "https://",
    "https://joe:hunter2@example.com/",
    "https://example.com@127.0.0.1/",
    "https://@example.com/",
    "https://example.com:22/",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://example.com:x/",
    "https://example.com/#part",
    "https://exa mple.com/",
    "https://example.com\\@127.0.0.1/",
    "https://example.com/\r\nHost: internal",
    "https://exämple.com/",
    "https://example..com/",
    "https://-example.com/",
    "https://" + "a" * 64 + ".com/",
    "https://example.com/" + "a" * 2000,
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://1.2.3.4.5/",
    "https://0.0.0.0/",
    "https://10.1.2.3/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://100.100.100.200/",
    "https://169.254.169.254/latest/meta-data/",
    "https://168.63.129.16/",
    "https://192.0.2.1/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::a00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/",
    "https://[2001:db8::1]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[not-an-address]/",
]


def names(*addresses: str) -> GuardedHttp:
    """Return a guard for which every name has these addresses."""
    return GuardedHttp(resolve=lambda *_: list(addresses))


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(UrlRefused) as error:
        names(PUBLIC).check(url)
    assert "hunter2" not in error.value.message
    with pytest.raises(UrlRefused):
        names(PUBLIC).post(url, {}, b"")


@pytest.mark.parametrize(
    "url",
    ["https://example.com", "https://example.com:8443/a?b=c", "https://xn--exmple-cua.com./",
     "https://93.184.215.14/", "https://[2606:2800:21f::1]/"],
)  # fmt: skip
def test_a_public_url_is_taken(url: str) -> None:
    names(PUBLIC).check(url)


@pytest.mark.parametrize(
    "addresses", [("10.0.0.1",), (PUBLIC, "127.0.0.1"), ("::1",), ("::ffff:10.0.0.1",), ()]
)
def test_a_name_with_any_private_address_is_refused(addresses: tuple[str, ...]) -> None:
    with pytest.raises(UrlRefused):
        names(*addresses).check("https://example.com/")


def test_even_where_loopback_is_allowed_nothing_else_that_is_private_is() -> None:
    guard = GuardedHttp(loopback=True, resolve=lambda *_: ["127.0.0.1", "10.0.0.1"])
    for url in ("http://10.0.0.1/", "https://10.0.0.1/", "http://name.example/",
                "http://93.184.215.14/", "https://93.184.215.14:9000/"):  # fmt: skip
        with pytest.raises(UrlRefused):
            guard.check(url)
    guard.check("http://127.0.0.1:9000/")


def test_the_special_ranges_are_those_that_python_knows_too() -> None:
    for text in ("8.8.8.8", "1.1.1.1", "2606:4700::1", "2a00:1450::1"):
        assert is_public(ipaddress.ip_address(text))
    for number in range(0, 2**32, 65521 * 16):
        address = ipaddress.IPv4Address(number)
        if not address.is_global or address.is_multicast:
            assert not is_public(address), address


def test_the_call_goes_to_the_address_that_was_checked() -> None:
    """A name that answers public first and private then is asked once for each call."""
    answers = iter([["93.184.215.14"], ["127.0.0.1"]])
    guard = GuardedHttp(resolve=lambda *_: next(answers))
    guard.check("https://rebinding.example/")
    with pytest.raises(UrlRefused):
        guard.post("https://rebinding.example/", {}, b"")


def test_a_call_resolves_once_and_keeps_the_name_as_its_host(receiver: Receiver) -> None:
    asked: list[str] = []

    def once(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.9"]

    port = receiver.server.server_address[1]
    answer = GuardedHttp(loopback=True, resolve=once).post(
        f"http://somewhere.example:{port}/", {"content-type": "text/plain"}, b"hello"
    )
    assert (answer.status, asked) == (204, ["somewhere.example"])
    assert receiver.got[0].headers["host"] == f"somewhere.example:{port}"
    assert receiver.got[0].body == b"hello"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def post(receiver: Receiver, **given: float) -> ReceiverFailed:
    with pytest.raises(ReceiverFailed) as error:
        GuardedHttp(loopback=True, **given).post(receiver.url, {}, b"x")  # type: ignore[arg-type]  # seconds alone
    return error.value


@pytest.mark.parametrize(
    ("status", "failure"),
    [(301, "redirect_refused"), (307, "redirect_refused"), (400, "refused"), (410, "gone"),
     (429, "too_many_requests"), (500, "refused"), (503, "unavailable")],
)  # fmt: skip
def test_everything_but_success_is_a_failure(receiver: Receiver, status: int, failure: str) -> None:
    receiver.answer = lambda _: Reply(status, {"Location": receiver.url}, b"why")
    found = post(receiver)
    assert (found.failure, found.status, found.answer) == (failure, status, b"why")
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120), ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("soon", None), ("-1", None),
     ("99999999999999999999", 10**6)],
)  # fmt: skip
def test_what_an_answer_asks_for_is_read_as_seconds_or_a_date(
    receiver: Receiver, value: str, seconds: int | None
) -> None:
    receiver.answer = lambda _: Reply(503, {"Retry-After": value})
    found = post(receiver).pause
    assert (None if found is None else found.total_seconds()) == seconds


def test_of_a_long_answer_the_beginning_is_read(receiver: Receiver) -> None:
    receiver.answer = lambda _: Reply(200, body=b"y" * 5_000_000)
    answer = GuardedHttp(loopback=True).post(receiver.url, {}, b"")
    assert answer.text == b"y" * 1024


def test_nobody_there_is_not_reached() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(ReceiverFailed) as error:
            GuardedHttp(loopback=True).post(f"http://127.0.0.1:{free.getsockname()[1]}/", {}, b"")
    assert error.value.failure == "not_reached"


def test_an_answer_that_drips_ends_with_the_time_of_the_call() -> None:
    """Each byte comes in time; a timeout of one read would never end it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nx-long: ")
                    while not ended.wait(0.05):
                        connection.sendall(b"a")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        begun = time.monotonic()
        with pytest.raises(ReceiverFailed) as error:
            GuardedHttp(loopback=True, seconds=0.5).post(
                f"http://127.0.0.1:{server.getsockname()[1]}/", {}, b""
            )
        took = time.monotonic() - begun
        ended.set()
        dripping.join()
    assert error.value.failure == "timeout"
    assert took < 20  # it would never end


def test_what_is_not_http_is_a_broken_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        with pytest.raises(ReceiverFailed) as error:
            GuardedHttp(loopback=True).post(f"http://127.0.0.1:{server.getsockname()[1]}/", {}, b"")
        answering.join()
    assert error.value.failure == "broken_answer"


# --- TLS ---------------------------------------------------------------------------------------
def certificate(folder: Path, name: str) -> Path:
    """Write a certificate for a name, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def secured(receiver: Receiver, path: Path) -> str:
    """Let a receiver speak TLS, and return its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    return str(receiver.server.server_address[1])


def test_the_certificate_must_be_that_of_the_name_and_trusted(
    receiver: Receiver, tmp_path: Path
) -> None:
    path = certificate(tmp_path, "hooks.example")
    port = secured(receiver, path)
    trusting = ssl.create_default_context(cafile=str(path))

    def guard(certificates: ssl.SSLContext | None) -> GuardedHttp:
        return GuardedHttp(
            loopback=True, resolve=lambda *_: ["127.0.0.1"], certificates=certificates
        )

    answer = guard(trusting).post(f"https://hooks.example:{port}/", {}, b"x")
    assert answer.status == 204
    for certificates, name in ((trusting, "other.example"), (None, "hooks.example")):
        with pytest.raises(ReceiverFailed) as error:
            guard(certificates).post(f"https://{name}:{port}/", {}, b"x")
        assert error.value.failure == "tls_failed"
    assert len(receiver.got) == 1
