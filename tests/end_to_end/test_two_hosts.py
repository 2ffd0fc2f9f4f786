"""Two workers on two hosts: killed, cut off, frozen, and a database that restarts.

A host is a pair of namespaces of its own (host name and processes), so that neither worker sees
the other's processes. Whatever happens, there are never two engines on a stack, no lock of a living
engine is broken, and nobody repairs anything by hand.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psutil
import psycopg
import pytest

from control_plane.adapters.db import roles
from control_plane.adapters.postgres import SUPERUSER
from tests.end_to_end.installation import REGION, request_body
from tests.end_to_end.production import OBJECTS, Production

HOSTS = ("host-a", "host-b")
ISOLATE = ("unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL", "--")
BECOME = (  # the host, then its worker
    "import os, socket, sys; socket.sethostname(sys.argv[1]);"
    " os.execv(sys.executable, [sys.executable, '-m', 'control_plane.cli', 'worker'])"
)
DONE = {"applied", "errored", "canceled", "expired", "policy_failed", "no_changes", "rejected"}


def cannot_isolate() -> str:
    """Return why this machine cannot make hosts, or ''."""
    if shutil.which("unshare") is None:
        return "there is no unshare command"
    tried = subprocess.run([*ISOLATE, "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"no namespaces here: {tried.stderr.strip()[:100]}"


pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def company(number: int) -> dict[str, Any]:
    """Return the signed contract of one of several companies."""
    body = request_body("B")
    body["contract"] |= {"envelope_id": f"env-{number}", "contract_id": f"C-{number}"}
    body["company"] |= {"legal_name": f"Company {number} GmbH", "domain": f"company{number}.com"}
    return body


@dataclass
class TwoHosts(Production):
    """A production installation with a worker on each of two hosts."""

    state_url: str = ""
    seen_together: list[tuple[str, str]] = field(default_factory=list)
    stop_watching: threading.Event = field(default_factory=threading.Event)

    def settings(self, role: str) -> dict[str, str]:
        """Return the environment of a process; a host is the name of its worker."""
        if role not in HOSTS:
            return super().settings(role)
        home = self.home(role)
        if not home.exists():
            shutil.copytree(self.home("worker"), home)
        return super().settings("worker") | self.production(
            HOME=home, WORKER_ID=role, STATE_URL=self.state_url, QUEUE_POLL_SECONDS=0.2,
            PLAN_SECONDS=60, APPLY_SECONDS=60, WORKERS=1, DATABASE_URL=self.database_of(role),
        )  # fmt: skip

    def database_of(self, host: str) -> str:
        """Return the URL under which a host reaches the database."""
        del host
        return self.server.url(roles.APP, roles.DATABASE)

    def launch(self, role: str) -> None:
        """Start a process; a worker's in its own namespaces."""
        if role == "worker":
            return
        if role not in HOSTS:
            super().launch(role)
            return
        self._spawn_command(
            role, [*ISOLATE, sys.executable, "-c", BECOME, role], self.settings(role)
        )

    def start(self) -> None:
        """Start signer, workers and API."""
        for role in ("signer", *HOSTS):
            self.launch(role)
            assert self._first_line(self.processes[role]) == "ready"
        super().launch("api")
        self.until(self._answers, "the API answers")
        threading.Thread(target=self._watch, daemon=True).start()

    def processes_of(self, host: str, *words: str) -> list[psutil.Process]:
        """Return the processes of a host whose command lines have all the words."""
        found = []
        for process in psutil.Process(self.processes[host].pid).children(recursive=True):
            try:
                if set(words) <= set(process.cmdline()) and process.is_running():
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def _watch(self) -> None:
        """Note each moment in which two engines change one stack."""
        while not self.stop_watching.wait(0.05):
            stacks: dict[str, str] = {}
            for host in HOSTS:
                for process in self._engines(host):
                    words = process.split()
                    stack = words[words.index("--stack") + 1]
                    if stack in stacks:
                        self.seen_together.append((stacks[stack], process))
                    stacks[stack] = process

    def _engines(self, host: str) -> list[str]:
        found: list[str] = []
        launched = self.processes.get(host)
        if launched is None:
            return found
        try:
            for process in psutil.Process(launched.pid).children(recursive=True):
                words = process.cmdline()
                is_engine = bool(words) and words[0].endswith("pulumi") and "--stack" in words
                if is_engine and {"up", "refresh"} & set(words):
                    found.append(" ".join(words))
        except psutil.Error:
            return found
        return found

    def run(self, run_id: str) -> Any:
        """Return a run as ops see it."""
        return self.api("olga").get(f"/v1/runs/{run_id}")

    def request(self, number: int) -> tuple[str, str]:
        """Request a dedicated Hub, approve its plan, and return run and tenant."""
        made = self.api("crm").post("/v1/provisioning-requests", company(number))
        run_id = made["run_id"]
        run = self.until(lambda: self._in(run_id, {"awaiting_approval", *DONE}), "there is a plan")
        assert run["status"] == "awaiting_approval", run["error"]
        approval = self.api("olga").get(f"/v1/approvals/{run['approval_id']}")
        decision = {
            "decision": "approve", "plan_digest": approval["plan_digest"], "reason": "read it",
        }  # fmt: skip
        self.api("olga").post(f"/v1/approvals/{approval['id']}/decisions", decision)
        return run_id, made["tenant"]["slug"]

    def applying(self, run_id: str) -> str:
        """Wait until the cloud has some resources of the run; return the host that applies."""

        def host() -> str | None:
            items = self.api("olga").get(f"/v1/runs/{run_id}/events", after=0)["items"]
            done = [
                i for i in items if i["kind"] == "resource" and i["body"].get("phase") == "apply"
            ]
            if len(done) < 15:
                return None
            return next((name for name in HOSTS if self.processes_of(name, "up", "--yes")), None)

        found: str = self.until(host, "the run applies")
        return found

    def ended(self, run_id: str) -> Any:
        """Wait until a run has ended, and return it."""
        return self.until(lambda: self._in(run_id, DONE), f"{run_id} ends")

    def _in(self, run_id: str, statuses: set[str]) -> Any:
        run = self.run(run_id)
        return run if run["status"] in statuses else None

    def exists_once(self, slug: str) -> None:
        """Check that the cloud has one of each thing that would double without an error."""
        ec2 = boto3.client(
            "ec2", region_name=REGION, endpoint_url=self.cloud,
            aws_access_key_id="testing", aws_secret_access_key="testing",
        )  # fmt: skip
        mine = [{"Name": "tag:tenantplane:tenant", "Values": [slug]}]
        assert len(ec2.describe_vpcs(Filters=mine)["Vpcs"]) == 1
        endpoints = [
            e["ServiceName"] for e in ec2.describe_vpc_endpoints(Filters=mine)["VpcEndpoints"]
        ]
        assert len(endpoints) == len(set(endpoints))


@pytest.fixture
def hosts(tmp_path: Path, pulumi_cli: Path, request: pytest.FixtureRequest) -> Iterator[TwoHosts]:
    reason = cannot_isolate()
    if reason:
        pytest.skip(reason)
    backend = getattr(request, "param", "file")
    with ExitStack() as stack:
        made = TwoHosts(folder=tmp_path, cli=pulumi_cli, stack=stack)
        made.install()
        made.state_url = {
            "file": f"file://{tmp_path / 'state'}",
            "s3": f"s3://{OBJECTS}?region={REGION}&endpoint={made.cloud}&s3ForcePathStyle=true",
            "postgres": made.server.url(roles.OWNER, roles.DATABASE).replace(
                "postgresql://", "postgres://", 1
            ),
        }[backend]
        made.start()
        account = {"account_id": "123456789012", "shared": True}
        made.api("ada").post("/v1/accounts", account)
        yield made
        made.stop_watching.set()
        assert made.seen_together == [], "two engines changed one stack at the same time"


@pytest.mark.parametrize("hosts", ["file", "s3", "postgres"], indirect=True)
def test_a_host_that_vanishes_is_replaced(hosts: TwoHosts) -> None:
    """Its lock is broken when its engine must have stopped, and not before."""
    run_id, slug = hosts.request(1)
    victim = hosts.applying(run_id)
    hosts.processes[victim].kill()  # and with it everything in its namespace
    hosts.processes.pop(victim).wait()
    run = hosts.ended(run_id)
    assert run["status"] == "applied", run["error"]
    assert all(check["ok"] for check in run["checks"])
    hosts.exists_once(slug)


def test_a_frozen_worker_that_wakes_after_a_take_over_writes_nothing(hosts: TwoHosts) -> None:
    run_id, slug = hosts.request(1)
    victim = hosts.applying(run_id)
    (worker,) = hosts.processes_of(victim, "control_plane.cli", "worker")[:1]
    worker.suspend()
    _end_sessions(hosts, victim)
    other = next(host for host in HOSTS if host != victim)
    hosts.until(lambda: _takes_over(hosts, other), "the other worker takes over")
    worker.resume()
    run = hosts.ended(run_id)
    assert run["status"] == "applied", run["error"]
    hosts.exists_once(slug)
    assert hosts.processes[victim].poll() is None, hosts.said(victim)
    again, _ = hosts.request(2)
    assert hosts.ended(again)["status"] == "applied"


def test_a_database_that_restarts_ends_no_worker_and_no_run(hosts: TwoHosts) -> None:
    run_id, slug = hosts.request(1)
    hosts.applying(run_id)
    hosts.server.stop()
    time.sleep(3)
    hosts.server.start()
    run = hosts.ended(run_id)
    assert run["status"] == "applied", run["error"]
    hosts.exists_once(slug)
    for host in HOSTS:
        assert hosts.processes[host].poll() is None, hosts.said(host)
    again, _ = hosts.request(2)
    assert hosts.ended(again)["status"] == "applied"


def _end_sessions(hosts: TwoHosts, worker: str) -> None:
    """Let the server believe that a host is gone, as after a network that was cut."""
    with psycopg.connect(hosts.server.url(SUPERUSER, "postgres"), autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
            [f"worker {worker}"],
        )


def _takes_over(hosts: TwoHosts, host: str) -> bool:
    return "phase.requeued" in (hosts.folder / f"{host}.log").read_text(errors="replace")


def test_the_hosts_do_not_see_each_other(hosts: TwoHosts) -> None:
    """What the other tests rest on: own names, own processes."""
    names = set()
    for host in HOSTS:
        (worker,) = hosts.processes_of(host, "control_plane.cli", "worker")[:1]
        spaces = [Path(f"/proc/{worker.pid}/ns/{kind}").readlink() for kind in ("pid", "uts")]
        names.add(tuple(spaces))
        assert spaces[0] != Path("/proc/self/ns/pid").readlink()
    assert len(names) == len(HOSTS)
