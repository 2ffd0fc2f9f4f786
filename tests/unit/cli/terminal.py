"""``tenantctl`` against the API over a control plane of the test, on a free loopback port."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.auth import Identity
from api.claims import TokenRules
from api.dependencies import Shared
from control_plane.adapters.identity.embedded import ISSUER, EmbeddedIssuer, create_issuer_key
from control_plane.cli.app import invoke
from control_plane.domain.actor import Role
from tests.world import World, request_body

SECONDS = 20.0
AUDIENCE = "tenantplane"


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What is on stdout, all of it, as JSON."""
        return json.loads(self.out)


def run(*arguments: str) -> Answer:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = invoke(list(arguments))
    return Answer(code, out.getvalue(), err.getvalue())


class Server:
    """The API on a free loopback port; each test gives it a control plane of its own."""

    def __init__(self, world: World, folder: Path) -> None:
        create_issuer_key(folder / "issuer.pem")
        self.issuer = EmbeddedIssuer(folder / "issuer.pem", audience=AUDIENCE)
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.app: FastAPI = create_app(self.shared(world))

    def shared(self, world: World) -> Shared:
        """Return what the application holds over a control plane."""
        rules = TokenRules(issuer=ISSUER, audience=AUDIENCE)
        return Shared(
            core=world.core,
            identity=Identity(rules=rules, fetch=self.issuer.keys),
            base_url=self.url,
            page_key=b"k" * 32,
            readiness=lambda: {"database": "ok"},
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve until the end of the context."""
        config = uvicorn.Config(
            self.app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([self.listener],), daemon=True)
        thread.start()
        try:
            deadline = time.monotonic() + SECONDS
            while not server.started:
                assert time.monotonic() < deadline, "the API did not start"
                time.sleep(0.01)
            yield
        finally:
            server.should_exit = True
            thread.join(SECONDS)
            self.listener.close()


class Terminal:
    """Somebody at a terminal with a token; ``tenantctl`` is run in this process."""

    def __init__(self, server: Server, world: World, folder: Path) -> None:
        self.server = server
        self.url = server.url
        self.folder = folder
        self.world = world
        server.app.state.shared = server.shared(self.world)

    def __call__(self, *arguments: str, who: Role = Role.AUTOMATION, code: int = 0) -> Answer:
        """Run a command as somebody with a role; it must end with ``code``."""
        os.environ["TENANTPLANE_URL"] = self.url
        os.environ["TENANTPLANE_TOKEN"] = self.token(who)
        answer = run(*arguments)
        assert answer.code == code, (answer.code, answer.out, answer.err)
        return answer

    def token(self, who: Role) -> str:
        """Return a token of somebody with a role."""
        return self.server.issuer.mint(f"some-{who}", roles=[who], machine=who is Role.AUTOMATION)

    def file(self, content: Any, name: str = "body.json") -> str:
        """Write JSON and return the path."""
        file = self.folder / name
        file.write_text(json.dumps(content), encoding="utf-8")
        return str(file)

    def submit(self, mode: str | None = "A", number: int = 1, **changes: Any) -> Any:
        """Submit a request and do what it starts."""
        body = self.file(request_body(mode, number, **changes))
        found = self("request", "submit", body, "--json").json
        self.world.work()
        return found

    @contextmanager
    def working(self) -> Iterator[None]:
        """Do phases as they are enqueued, as a worker does."""
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(0.02):
                self.world.work()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(SECONDS)
