"""An installation with workers on several hosts, and what became of its runs.

A host is a pair of namespaces of its own (host name and processes), so that no worker sees the
processes of another. Each reaches the database through a relay of its own, which can be cut.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
import psutil
import psycopg
from psycopg.rows import dict_row

from control_plane.adapters.db import roles
from control_plane.adapters.postgres import SUPERUSER, server
from tests.end_to_end.engine_watch import EngineWatch
from tests.end_to_end.installation import REGION, SELDOM_SECONDS, request_body
from tests.end_to_end.production import OBJECTS, Production
from tests.end_to_end.relay import Relay

HOSTS: Final = ("host-a", "host-b")
DOOMED: Final = HOSTS[0]  # the one that vanishes: nobody wants to wait an hour for its deadline
_ISOLATE = ("unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL", "--")
_BECOME = (  # the host, then its worker
    "import os, socket, sys; socket.sethostname(sys.argv[1]);"
    " os.execv(sys.executable, [sys.executable, '-m', 'control_plane.cli', 'worker'])"
)
DONE: Final = {
    *("applied", "errored", "canceled", "expired", "policy_failed", "no_changes", "rejected"),
}
_SLOW_SECONDS: Final = 0.5  # a call to a slow cloud: an apply takes long enough to be interrupted
_SOME: Final = 3  # resources are made: the apply is under way, and more is to come
_LET_IN: Final = "host all tenantplane_app,tenantplane_owner 127.0.0.0/8 trust"


def cannot_isolate() -> str:
    """Return why this machine cannot make hosts, or ''."""
    if shutil.which("unshare") is None:
        return "there is no unshare command"
    tried = subprocess.run([*_ISOLATE, "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"no namespaces here: {tried.stderr.strip()[:100]}"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What became of a run, told by rows, by the audit log, by logs and by the watch."""

    take_overs: int  # an engine call by another worker than the one before
    engines_at_once: int  # most processes of a changing command at one moment
    overlap_seconds: float  # the longest time at which there was more than one
    locks_broken: int
    stale_calls_refused: int
    acts_of_people: int  # since its apply began; a plan is decided before
    final_status: str


@dataclass
class TwoHosts(Production):
    """A production installation with a worker on each of two hosts."""

    backend: str = "file"
    hosts: list[str] = field(default_factory=lambda: list(HOSTS))
    relays: dict[str, Relay] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Have a server on the network, a cloud at the end of a line, and a watch."""
        # a loopback address of its own: the port is the same for every server
        self.address = f"127.{self.folder.stat().st_ino % 250 + 2}.{time.time_ns() % 250 + 2}.5"
        self.server_settings = {"listen_addresses": self.address}
        super().__post_init__()
        rules = self.server.data / "pg_hba.conf"
        rules.write_text(f"{_LET_IN}\n{rules.read_text()}")
        self.rows("SELECT pg_reload_conf()")
        cloud = urlsplit(self.cloud)
        self.line_to_cloud = self.stack.enter_context(
            Relay((cloud.hostname or "", cloud.port or 0))
        )
        self.watch = self.stack.enter_context(EngineWatch(self.folder / "homes"))

    # --- processes -----------------------------------------------------------------------------
    def settings(self, role: str) -> dict[str, str]:
        """Return the environment of a process; a host is the name of its worker."""
        if not role.startswith("host-"):
            return super().settings(role)
        home = self.home(role)
        if not home.exists():
            shutil.copytree(self.home("worker"), home)
        return super().settings("worker") | self.production(
            HOME=home,
            WORKER_ID=role,
            STATE_URL=self._state_url(role),
            SANDBOX_URL=f"http://127.0.0.1:{self.line_to_cloud.port}",
            DATABASE_URL=self._database(role, roles.APP),
            APPLY_SECONDS=60 if role == DOOMED else 600,
            PLAN_SECONDS=60 if role == DOOMED else 300,
        )

    def _database(self, host: str, role: str) -> str:
        where = f"127.0.0.1:{self.relays[host].port}/{roles.DATABASE}"
        return f"postgresql://{role}@{where}?sslmode=disable"

    def _state_url(self, host: str) -> str:
        if self.backend == "s3":
            return f"s3://{OBJECTS}?region={REGION}&endpoint={self.cloud}&s3ForcePathStyle=true"
        if self.backend == "postgres":
            return self._database(host, roles.OWNER).replace("postgresql://", "postgres://", 1)
        return f"file://{self.folder / 'state'}"

    def launch(self, role: str) -> None:
        """Start a process; a worker's on a host of its own."""
        if not role.startswith("host-"):
            super().launch(role)
            return
        self.relays[role] = self.stack.enter_context(Relay((self.address, server.PORT)))
        command = [*_ISOLATE, sys.executable, "-c", _BECOME, role]
        self._spawn_command(role, command, self.settings(role))
        self.stack.callback(self._end_worker, role)

    def _end_worker(self, host: str) -> None:
        """Ask the worker of a host to end: `unshare` takes no such signal, and passes none on."""
        launched = self.processes.get(host)
        if launched is not None and launched.poll() is None:
            for worker in psutil.Process(launched.pid).children():
                worker.terminate()

    def start(self) -> None:
        """Start signer, workers and API side by side, and wait for them."""
        for role in ("signer", *self.hosts, "api"):
            self.launch(role)
        for role in ("signer", *self.hosts):
            self.is_ready(role)
        self.until(self._answers, "the API answers")

    def is_ready(self, role: str) -> None:
        """Wait until a process says that it is ready."""
        assert self._first_line(self.processes[role]) == "ready"

    def vanish(self, host: str) -> None:
        """Take a host away with everything that runs on it; another one is put up for it."""
        self.processes[host].kill()
        self.processes.pop(host).wait()
        self.hosts.remove(host)
        self.hosts.append(f"{host}2")
        self.launch(f"{host}2")
        self.is_ready(f"{host}2")

    def on(self, host: str) -> list[psutil.Process]:
        """Return the processes of a host, the worker first."""
        return psutil.Process(self.processes[host].pid).children(recursive=True)

    def other(self, host: str) -> str:
        """Return another host."""
        return next(each for each in self.hosts if each != host)

    def end_sessions(self, host: str) -> None:
        """Let the server believe that a host is gone, as after a network that was cut."""
        self.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
            f"worker {host}",
        )

    @contextmanager
    def only(self, host: str) -> Iterator[None]:
        """Keep the other workers from the database for some moments, too few to lose a name."""
        others = [self.relays[each] for each in self.hosts if each != host]
        for relay in others:
            relay.cut()
        try:
            yield
        finally:
            for relay in others:
                relay.mend()

    @contextmanager
    def slow_cloud(self) -> Iterator[None]:
        """Have a cloud that takes its time."""
        self.line_to_cloud.pause_seconds = _SLOW_SECONDS
        try:
            yield
        finally:
            self.line_to_cloud.pause_seconds = 0.0

    # --- runs ----------------------------------------------------------------------------------
    def make_hub(self) -> None:
        """Make the Hub that slices go to."""
        account = {"account_id": "123456789012", "shared": True}
        self.api("ada").post("/v1/accounts", account)
        hub = self.api("ada").post("/v1/hubs", {"region": REGION, "cell": "c1", "capacity": 50})
        self.approve(hub["run_id"], by=self.other(DOOMED))
        run = self.ended(hub["run_id"])
        assert run["status"] == "applied", run["error"]

    def request(self, mode: str, company: str) -> str:
        """Send the contract of a company and return the run."""
        body = request_body(mode)
        body["contract"] |= {"envelope_id": f"env-{company}", "contract_id": f"C-{company}"}
        body["company"] |= {"legal_name": f"{company} GmbH", "domain": f"{company}.com"}
        return str(self.api("crm").post("/v1/provisioning-requests", body)["run_id"])

    def approve(self, run_id: str, *, by: str) -> None:
        """Wait for the plan of a run, approve it, and see to it that a certain host applies it."""
        run = self.until(
            lambda: self.at(run_id, {"awaiting_approval", *DONE}),
            "there is a plan",
            pause=SELDOM_SECONDS,
        )
        assert run["status"] == "awaiting_approval", run["error"]
        approval = self.api("olga").get(f"/v1/approvals/{run['approval_id']}")
        decision = {
            "decision": "approve", "plan_digest": approval["plan_digest"], "reason": "read it",
        }  # fmt: skip
        before = self.calls_by(run_id, by)
        with self.only(by):
            self.api("olga").post(f"/v1/approvals/{approval['id']}/decisions", decision)
            self.until(lambda: self.calls_by(run_id, by) > before, f"{by} goes on")

    def at(self, run_id: str, statuses: set[str]) -> Any:
        """Return a run as ops see it, if it has one of these statuses."""
        run = self.api("olga").get(f"/v1/runs/{run_id}")
        return run if run["status"] in statuses else None

    def applying(self, run_id: str) -> str:
        """Wait until the cloud has some resources of a run; return the host that applies."""

        def host() -> str | None:
            items = self.api("olga").get(f"/v1/runs/{run_id}/events", after=0)["items"]
            done = [
                i for i in items if i["kind"] == "resource" and i["body"].get("phase") == "apply"
            ]
            engines = self.watch.changing(run_id)
            return engines[0].host if engines and len(done) >= _SOME else None

        found: str = self.until(host, "the run applies")
        return found

    def ended(self, run_id: str) -> Any:
        """Wait until a run has ended, and return it."""
        return self.until(lambda: self.at(run_id, DONE), f"{run_id} ends", pause=SELDOM_SECONDS)

    def calls_by(self, run_id: str, host: str) -> int:
        """Return how many engine calls of a run a host has made."""
        return sum(call["host"] == host for call in self.calls(run_id))

    def calls(self, run_id: str) -> list[dict[str, Any]]:
        """Return the engine calls of a run, in order."""
        return self.rows("SELECT * FROM engine_call WHERE run_id = %s ORDER BY number", run_id)

    # --- facts ---------------------------------------------------------------------------------
    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Read the installation's tables past all of its rules."""
        url = self.server.url(SUPERUSER, roles.DATABASE if values else "postgres")
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as admin:
            return admin.execute(query, values).fetchall()  # type: ignore[arg-type] # our own

    def facts(self, run_id: str) -> Facts:
        """Return what became of a run that has ended, checked against what was seen of engines."""
        run = self.at(run_id, DONE)
        (stack,) = self.rows(
            "SELECT deployment.stack, run.tenant_id FROM run"
            " JOIN deployment ON deployment.id = run.deployment_id WHERE run.id = %s",
            run_id,
        )
        calls = self.calls(run_id)
        self._was_watched(calls)
        events = [
            item["body"]
            for item in self.api("audrey").get(
                f"/v1/tenants/{stack['tenant_id']}/audit/events", limit=500
            )["items"]
        ]
        begun = next(event["time"] for event in events if event["action"] == "run.apply")
        broken = [event for event in events if event["action"] == "lock.broken"]
        for event in broken:
            self._was_broken_rightly(event, calls)
        return Facts(
            take_overs=sum(a["worker"] != b["worker"] for a, b in itertools.pairwise(calls)),
            engines_at_once=self.watch.most[stack["stack"]],
            overlap_seconds=round(self.watch.overlap[stack["stack"]], 1),
            locks_broken=len(broken),
            stale_calls_refused=sum(
                line["run"] == run_id
                for host in {call["host"] for call in calls}
                for line in self.logged(host, "call.stale")
            ),
            acts_of_people=sum(
                event["actor"]["type"] == "user"
                and event["time"] > begun
                and event["action"] != "log.read"
                for event in events
            ),
            final_status=run["status"],
        )

    def _was_watched(self, calls: list[dict[str, Any]]) -> None:
        """Check that the watch has missed no call that it had the time to see."""
        for call in calls:
            lasted = (call["ended_at"] or call["deadline_at"]) - call["begun_at"]
            assert self.watch.seen[call["id"]] or lasted < timedelta(seconds=1), call

    def _was_broken_rightly(self, event: dict[str, Any], calls: list[dict[str, Any]]) -> None:
        """Check that no engine of a lock's call lived any more when the lock was broken.

        On another host nobody sees that: there the call's deadline must have been over.
        """
        broken_at = datetime.fromisoformat(event["time"])
        holder = next(call for call in calls if call["id"] == event["data"]["call"])
        breaker = [call for call in calls if call["begun_at"] <= broken_at][-1]
        assert self.watch.last_seen.get(holder["id"], 0.0) < broken_at.timestamp(), event
        assert holder["host"] == breaker["host"] or holder["deadline_at"] <= broken_at, event

    def logged(self, host: str, event: str) -> list[dict[str, Any]]:
        """Return the lines of an event in the log of a host's worker."""
        lines = (self.folder / f"{host}.log").read_text(errors="replace").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in found if line["event"] == event]

    def exists_once(self, run_id: str) -> None:
        """Check that the cloud has one of each thing that would double without an error."""
        ((found),) = self.rows("SELECT deployment_id FROM run WHERE id = %s", run_id)
        tag, value = "tenantplane:deployment", found["deployment_id"]
        ec2, kms = self._client("ec2"), self._client("kms")
        filters = [{"Name": f"tag:{tag}", "Values": [value]}]
        names = ["vpc" for _ in ec2.describe_vpcs(Filters=filters)["Vpcs"]]
        for endpoint in ec2.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]:
            names.append(endpoint["ServiceName"])
        for page in kms.get_paginator("list_keys").paginate():
            for key in page["Keys"]:
                tags = kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]
                if {"TagKey": tag, "TagValue": value} in tags:
                    described = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
                    names.append(described["Description"])
        assert names
        assert len(names) == len(set(names)), names

    def _client(self, service: str) -> Any:
        return boto3.client(
            service, region_name=REGION, endpoint_url=self.cloud,  # type: ignore[call-overload]
            aws_access_key_id="testing", aws_secret_access_key="testing",
        )  # fmt: skip
