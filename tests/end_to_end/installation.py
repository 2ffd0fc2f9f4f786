"""A whole installation as its users have it: ``tenantctl serve`` as a process, used over HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from control_plane.adapters.cache import cache_folder
from control_plane.bootstrap import Parts, read_settings
from control_plane.cli.client import Api
from control_plane.domain.actor import Role

WAIT_SECONDS = 420.0
SELDOM_SECONDS = 0.5  # between two requests while a run works for many seconds: each takes time too
APPROVERS = ("olga", "otto")
REGION = "eu-west-1"
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")


@dataclass
class Served:
    """A running ``serve`` on a home folder; may be started again after its end."""

    home: Path
    cli: Path
    port: int = 0  # the first start finds one, later ones take it again
    process: subprocess.Popen[bytes] | None = None
    apis: list[Api] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)  # more than those of each test

    def start(self) -> None:
        """Start and wait until it is ready."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TENANTPLANE_", "XDG_")) and name.lower() != "no_proxy"
        }
        for folder in ("home", "temporary"):
            (self.elsewhere / folder).mkdir(parents=True, exist_ok=True)
        environment |= {
            "HOME": str(self.elsewhere / "home"),
            "TMPDIR": str(self.elsewhere / "temporary"),
            # nobody listens there: what is on this machine must not be asked through a proxy
            **dict.fromkeys(PROXIES, "http://127.0.0.1:9"),
            "TENANTPLANE_CACHE": str(cache_folder()),
            "TENANTPLANE_HOME": str(self.home),
            "TENANTPLANE_PULUMI": str(self.cli),
            **self.settings,
        }
        self.log = self.home.with_suffix(".log")
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "control_plane.cli", "serve", "--port", str(self.port)],
                env=environment, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        seen = self.log.stat().st_size
        ready = re.compile(rb"^ready +http://[^:\s]+:(\d+)", re.MULTILINE)

        def look() -> re.Match[bytes] | None:
            assert self.process is not None
            assert self.process.poll() is None, f"it did not start: {self.said()}"
            return ready.search(self.log.read_bytes()[seen:])

        self.port = int(self.until(look, "it is ready")[1])

    @property
    def elsewhere(self) -> Path:
        """Folders of the user's in which it has nothing to write."""
        return self.home.with_name("elsewhere")

    def written_elsewhere(self) -> list[str]:
        """Return what lies in folders of the user's."""
        return [
            str(path.relative_to(self.elsewhere))
            for path in self.elsewhere.rglob("*")
            if path.is_file()
        ]

    def until(self, holds: Callable[[], Any], what: str, *, pause: float = 0.1) -> Any:
        """Wait until something holds and return it; ``pause`` is in seconds between two looks."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            found = holds()
            if found:
                return found
            assert time.monotonic() < deadline, f"waited too long until {what}: {self.said()}"
            time.sleep(pause)

    def said(self) -> str:
        """Return the end of what it printed."""
        return self.log.read_text(errors="replace")[-2000:]

    def stop(self) -> int:
        """Stop it as Ctrl-C does and return its exit code."""
        for api in self.apis:
            api.close()
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(120)

    def api(self, subject: str, role: Role) -> Api:
        """Return a connection with a token of a role."""
        settings = read_settings(home=self.home, port=self.port)
        token = Parts(settings).embedded_issuer.mint(
            subject, roles=[role], machine=role is Role.AUTOMATION
        )
        api = Api(f"http://127.0.0.1:{self.port}", token, timeout=90.0)
        self.apis.append(api)
        return api

    def descendants(self) -> list[psutil.Process]:
        """Return every process under it; of one that has ended, none."""
        assert self.process is not None
        if self.process.poll() is not None:
            return []
        return psutil.Process(self.process.pid).children(recursive=True)

    def named(self, *words: str) -> psutil.Process:
        """Return the process under it that has all the words as its name or in its command."""

        def look() -> psutil.Process | None:
            for process in self.descendants():
                try:
                    if set(words) <= {process.name(), *process.cmdline()}:
                        return process
                except psutil.Error:
                    continue
            return None

        found = self.until(look, f"there is a process {words}")
        assert isinstance(found, psutil.Process)
        return found

    def left(self) -> dict[str, str]:
        """Return where things are, as serve has left it."""
        found = json.loads((self.home / "serve.json").read_text())["settings"]
        return {name.removeprefix("TENANTPLANE_").lower(): value for name, value in found.items()}


def request_body(mode: str) -> dict[str, Any]:
    """Return a signed contract of a company."""
    return {
        "contract": {
            "provider": "docusign", "envelope_id": f"env-{mode}", "contract_id": f"C-{mode}",
            "signed_at": "2026-11-20T14:03:00Z", "subscription": "enterprise", "mode": mode,
            "seats": 100,
        },
        "company": {
            "legal_name": f"Example {mode} GmbH", "domain": f"example-{mode.lower()}.com",
            "country": "DE", "time_zone": "Europe/Berlin",
        },
        "requirements": {"residency": {"zone": "eu", "regions": [REGION], "strict": False}},
    }  # fmt: skip


def approve(served: Served, run_id: str) -> str:
    """Wait for the plan, approve it as the people that its risks want, and return its digest."""
    ops = served.api("olga", Role.OPS_APPROVER)
    run = served.until(
        lambda: _at(ops, run_id, {"awaiting_approval", "errored", "policy_failed", "blocked"}),
        "the plan waits",
        pause=SELDOM_SECONDS,
    )
    assert run["status"] == "awaiting_approval", run
    approval = ops.get(f"/v1/approvals/{run['approval_id']}")
    for name in APPROVERS[: approval["needed"]]:
        decide(served.api(name, Role.OPS_APPROVER), approval)
    return str(approval["plan_digest"])


def decide(ops: Api, approval: dict[str, Any]) -> None:
    """Approve a plan, acknowledging what it cannot undo."""
    body = {
        "decision": "approve",
        "plan_digest": approval["plan_digest"],
        "reason": "read it",
        "acknowledge": [each["urn"] for each in approval["irreversible"]],
    }
    ops.post(f"/v1/approvals/{approval['id']}/decisions", body)


def ended(served: Served, run_id: str) -> dict[str, Any]:
    """Wait for a run's end and return it."""
    ops = served.api("olga", Role.OPS_APPROVER)
    ends = {"applied", "no_changes", "errored", "policy_failed", "blocked", "canceled"}
    found: dict[str, Any] = served.until(
        lambda: _at(ops, run_id, ends), "the run ends", pause=SELDOM_SECONDS
    )
    return found


def _at(api: Api, run_id: str, statuses: set[str]) -> dict[str, Any] | None:
    run: dict[str, Any] = api.get(f"/v1/runs/{run_id}")
    return run if run["status"] in statuses else None
