"""What goes wrong is one sentence on stderr, an exit code, and never a stack."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from control_plane.cli.client import Api, download_link
from control_plane.cli.refusing import Refused
from control_plane.domain.actor import Role
from tests.unit.cli.terminal import Terminal, run
from tests.world import request_body


def _dead_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("command", [("tenant", "list"), ("run", "watch", "run_1")])
def test_an_api_that_is_not_there_is_5(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = _dead_url()
    monkeypatch.setenv("TENANTPLANE_URL", url)
    monkeypatch.setenv("TENANTPLANE_TOKEN", "a.b.c")
    answer = run(*command)
    assert (answer.code, answer.out) == (5, "")
    assert answer.err.startswith(f"{url} does not respond")
    assert answer.err.count("\n") == 1


@contextmanager
def closing_at_the_second_request() -> Iterator[tuple[str, list[str]]]:
    """A server that answers the first request of a connection, and closes at its second."""
    asked: list[str] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(65536).decode().partition(" ")[0])
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                if again := connection.recv(65536).decode():
                    asked.append(again.partition(" ")[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)


def test_a_connection_that_closes_as_it_is_used_again_is_opened_anew_for_what_only_reads() -> None:
    with closing_at_the_second_request() as (url, asked):
        api = Api(url=url, token="a.b.c")
        assert (api.get("/v1/tenants"), api.get("/v1/tenants")) == ({}, {})
        assert asked == ["GET", "GET", "GET"]
        with pytest.raises(Refused) as refused:
            api.post("/v1/hubs", {})
        assert refused.value.exit_code == 5
        api.close()
        assert asked.count("POST") == 1


def test_no_token_and_a_wrong_one_are_4(tenantctl: Terminal) -> None:
    tenantctl("tenant", "list")
    import os

    os.environ["TENANTPLANE_TOKEN"] = ""
    assert "TENANTPLANE_TOKEN is not set" in run("tenant", "list").err
    os.environ["TENANTPLANE_TOKEN"] = "a.b.c"
    answer = run("tenant", "list")
    assert (answer.code, answer.out) == (4, "")
    assert "[not_authenticated]" in answer.err
    os.environ["TENANTPLANE_TOKEN"] = "a b\nc"
    assert run("tenant", "list").code == 2


@pytest.mark.parametrize("url", ["nonsense", "ftp://host", "http://", "http://[::1", "//host/x"])
def test_a_url_that_is_none_is_2_and_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTPLANE_URL", url)
    monkeypatch.setenv("TENANTPLANE_TOKEN", "a.b.c")
    answer = run("tenant", "list")
    assert answer.code == 2
    assert answer.err.startswith("TENANTPLANE_URL must be a URL")


def test_usage_is_2(tenantctl: Terminal) -> None:
    (tenantctl.folder / "broken.json").write_text("{")
    (tenantctl.folder / "list.json").write_text("[]")
    (tenantctl.folder / "deep.json").write_text("[" * 100_000)
    for command in (
        ("request", "submit", str(tenantctl.folder / "broken.json")),
        ("request", "submit", str(tenantctl.folder / "list.json")),
        ("request", "submit", str(tenantctl.folder / "deep.json")),
        ("request", "submit", str(tenantctl.folder / "missing.json")),
        ("tenant", "show", "../runs"),
        ("tenant", "show", "a b"),
        ("run", "watch", "?x=1"),
        ("approval", "approve", "apr_1"),
        ("approval", "approve", "a b", "--reason", "x", "--json"),
        ("tenant", "list", "--limit", "0"),
        ("tenant", "lst"),
        ("token", "--role", "boss"),
        ("token",),
        ("serve", "--port", "70000"),
    ):
        answer = tenantctl(*command, code=2)
        assert answer.err.strip(), command
        assert answer.out == "", command


def test_what_the_api_finds_wrong_with_input_is_2_and_named_field_by_field(
    tenantctl: Terminal,
) -> None:
    body = request_body("A")
    body["contract"]["seats"] = "many"
    body["company"]["country"] = "Italy"
    answer = tenantctl("request", "submit", tenantctl.file(body), code=2)
    assert answer.out == ""
    assert "contract.seats" in answer.err
    assert "company.country" in answer.err


def test_refused_is_3_and_not_found_or_not_allowed_is_4(tenantctl: Terminal) -> None:
    first = tenantctl.submit("C")
    changed = request_body("C", seats=None)
    changed.pop("contacts")
    changed["requirements"] = {"cloud": "aws"}
    refused = tenantctl("request", "submit", tenantctl.file(changed), code=3)
    assert "[contract_already_used]" in refused.err
    architect = Role.SOLUTIONS_ARCHITECT
    tenantctl("bundle", "build", first["bundle_id"], who=architect, code=3)
    tenantctl("bundle", "download", first["bundle_id"], who=architect, code=3)
    missing = tenantctl("tenant", "show", "nobody-here", code=4)
    assert "[not_found]" in missing.err
    tenantctl("hub", "create", "eu-west-1", who=Role.AUDITOR, code=4)


def test_an_audit_log_that_is_behind_is_5(tenantctl: Terminal) -> None:
    tenantctl.world.trail.behind = "an event waits for 61 s"
    answer = tenantctl("request", "submit", tenantctl.file(request_body("A")), code=5)
    assert "[audit_unavailable]" in answer.err


def test_a_download_into_a_file_is_a_sentence(tenantctl: Terminal) -> None:
    bundle_id = tenantctl.submit("C")["bundle_id"]
    architect = Role.SOLUTIONS_ARCHITECT
    tenantctl("bundle", "accept", bundle_id, who=architect)
    edit = tenantctl.file({"account_id": "210987654321"})
    tenantctl("bundle", "edit", bundle_id, edit, who=architect)
    with tenantctl.working():
        tenantctl("bundle", "build", bundle_id, "--json", who=architect)
    file = tenantctl.file({})
    answer = tenantctl("bundle", "download", bundle_id, f"{file}/x", who=architect, code=1)
    assert answer.err.strip().endswith("Not a directory")


class _Recorder(BaseHTTPRequestHandler):
    """A server that is no API: it notes what it is asked and answers as the test wants."""

    asked: ClassVar[list[tuple[str, str | None]]] = []
    answer: ClassVar[tuple[int, dict[str, str], bytes]] = (200, {}, b"")

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        status, headers, body = self.answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def _elsewhere(
    status: int = 200, headers: dict[str, str] | None = None, body: bytes = b"{}"
) -> Iterator[str]:
    _Recorder.asked.clear()
    _Recorder.answer = (status, headers or {}, body)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Recorder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(10)


def test_a_token_is_sent_to_the_api_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with _elsewhere() as url:
        api = Api("http://127.0.0.1:9", "secret.token.here")
        for path in (f"{url}/v1/tenants", f"//{url[7:]}/v1/tenants"):
            with pytest.raises(ValueError, match="takes a path"):
                api.get(path)
        download_link(f"{url}/v1/bundles/bnd_1/archive?token=link.secret")
        assert _Recorder.asked == [("/v1/bundles/bnd_1/archive?token=link.secret", None)]
        api.close()


def test_a_redirect_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Location": "http://127.0.0.1:9/elsewhere"}
    with _elsewhere(302, headers, b"") as url:
        monkeypatch.setenv("TENANTPLANE_URL", url)
        monkeypatch.setenv("TENANTPLANE_TOKEN", "a.b.c")
        answer = run("tenant", "list")
    assert answer.code == 1
    assert "unexpected answer 302" in answer.err


def test_something_that_is_not_the_api_is_5(monkeypatch: pytest.MonkeyPatch) -> None:
    with _elsewhere(body=b"<html>It works!</html>") as url:
        monkeypatch.setenv("TENANTPLANE_URL", url)
        monkeypatch.setenv("TENANTPLANE_TOKEN", "a.b.c")
        answer = run("tenant", "list")
    assert answer.code == 5
    assert "is not the API" in answer.err


def test_a_link_needs_no_token_and_its_name_stays_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTPLANE_TOKEN", "")
    beside = ("hub-acme-1.tar.gz.minisig", "hub-acme-1.tar.gz.attestation.json",
              "tenantplane-bundle.pub", "handover-manifest-1.json")  # fmt: skip
    headers = {
        "Content-Disposition": 'attachment; filename="hub-acme-1.tar.gz"',
        "X-Bundle-Files": ", ".join(("hub-acme-1.tar.gz", *beside)),
    }
    with _elsewhere(200, headers, b"bytes") as url:
        link = f"{url}/v1/bundles/bnd_1/archive?token=link.secret"
        answer = run("bundle", "download", link, str(tmp_path / "in"))
    assert answer.code == 0, answer.err
    assert {file.name for file in (tmp_path / "in").iterdir()} == {"hub-acme-1.tar.gz", *beside}
    assert all("token=link.secret" in path for path, _ in _Recorder.asked)
    headers["X-Bundle-Files"] = "hub-acme-1.tar.gz, ../../evil"
    with _elsewhere(200, headers, b"bytes") as url:
        answer = run("bundle", "download", f"{url}/x", str(tmp_path / "beside"))
    assert answer.code == 1
    assert {file.name for file in (tmp_path / "beside").iterdir()} == {"hub-acme-1.tar.gz"}
    headers = {"Content-Disposition": 'attachment; filename="../../evil"'}
    with _elsewhere(200, headers, b"bytes") as url:
        answer = run("bundle", "download", f"{url}/x", str(tmp_path / "out"))
    assert answer.code == 1
    assert not list((tmp_path / "out").iterdir())
    assert not list(tmp_path.parent.glob("**/evil"))


def test_what_comes_from_elsewhere_does_not_steer_the_terminal(tenantctl: Terminal) -> None:
    from control_plane.cli.output import clean, event

    assert clean("a\x1b[31mred\x1b]0;title\x07\x08\rb") == "ared  b"
    told = event({"kind": "diagnostic", "body": {"severity": "error", "text": "no\x1b[2J\nway"}})
    assert told == "  error: no\n    way"


def test_who_watches_learns_that_a_run_was_resumed() -> None:
    from control_plane.cli.output import event

    body = {"phase": "applying", "message": "the runner's process died"}
    assert event({"kind": "interrupted", "body": body}) == (
        "  interrupted: the runner's process died; what that left is checked first"
    )
    told = event({"kind": "resumed", "body": {"phase": "applying", "attempt": 2}})
    assert told == "  resumed after an interruption, in its phase applying"


class _Restarting(BaseHTTPRequestHandler):
    """An API that is restarted while a run is watched: a proxy answers for it in between."""

    answers: ClassVar[list[tuple[int, bytes]]] = []
    heard: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.heard.append(self.headers["Last-Event-ID"])
        status, body = self.answers.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_a_watch_goes_on_after_an_api_that_was_down_for_a_moment() -> None:
    line, end = b'event: line\ndata: {"seq": %d}\n\n', b"event: end\ndata: {}\n\n"
    _Restarting.answers = [
        (200, line % 1), (503, b"{}"), (502, b"<html>"), (504, b""), (200, line % 2 + end),
    ]  # fmt: skip
    _Restarting.heard.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Restarting) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        api = Api(f"http://127.0.0.1:{server.server_address[1]}", "a.b.c")
        cuts: list[int] = []
        followed = api.events("run_1", on_cut=lambda: cuts.append(1))
        assert [event["seq"] for event in followed] == [1, 2]
        assert len(cuts) == 1  # said once, however often it is tried
        _Restarting.answers = [(503, b"{}")]
        with pytest.raises(Refused) as refused:  # one that was never there is not waited for
            list(api.events("run_1"))
        assert refused.value.exit_code == 5
        api.close()
        server.shutdown()
        thread.join(10)
    assert _Restarting.heard == ["0", "1", "1", "1", "1", "0"]
