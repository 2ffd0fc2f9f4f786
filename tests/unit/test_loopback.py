"""What is on this machine is never asked through a proxy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from control_plane.adapters.loopback import (
    connection_options,
    is_loopback,
    keep_loopback_direct,
)
from control_plane.adapters.pulumi.runner_process import runner_environment

PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Hello) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9"])
def test_no_proxy_of_the_environment_is_asked(
    server: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert httpx.get(server, **connection_options(server)).text == "hello"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.10", "localhost", "LOCALHOST", "api.localhost", "::1", "[::1]"]
)
def test_this_machine_is_known_by_all_its_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost.example", "id.example", "", "::2"])
def test_another_machine_is_asked_as_the_environment_says(host: str) -> None:
    assert not is_loopback(host)
    assert connection_options("https://id.example/jwks") == {}


def test_what_the_environment_excepts_already_stays() -> None:
    environment = {"NO_PROXY": "internal.example, localhost", "no_proxy": "*"}
    keep_loopback_direct(environment)
    assert environment["NO_PROXY"] == "internal.example,localhost,127.0.0.1,::1"
    assert environment["no_proxy"] == "*"


def test_the_runner_gets_the_proxies_and_the_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "internal.example")
    monkeypatch.delenv("no_proxy", raising=False)
    environment = runner_environment(sandbox=True)
    assert {environment[name] for name in PROXIES} == {"http://127.0.0.1:9"}
    for name in ("NO_PROXY", "no_proxy"):
        assert {"127.0.0.1", "localhost", "::1"} <= set(environment[name].split(","))
    assert environment["NO_PROXY"].startswith("internal.example,")


@pytest.mark.parametrize("sandbox", [True, False])
def test_real_credentials_reach_the_runner_for_aws_alone(
    sandbox: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-REAL")
    monkeypatch.setenv("AWS_PROFILE", "production")
    environment = runner_environment(sandbox=sandbox)
    assert ("AKIA-REAL" in environment.values()) is not sandbox
    assert ("AWS_PROFILE" in environment) is not sandbox
