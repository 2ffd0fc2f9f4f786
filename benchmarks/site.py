"""The running installation that figures are measured on."""

from __future__ import annotations

import time
from typing import Any

import psutil
import psycopg

from control_plane.bootstrap import Parts
from control_plane.cli.client import Api
from control_plane.cli.serving import EmbeddedInstallation
from control_plane.domain.actor import Role

REGION = "eu-west-1"
_FAILED = frozenset({"errored", "policy_failed", "blocked"})


class Site:
    """An embedded installation, and those who use it."""

    def __init__(self, running: EmbeddedInstallation) -> None:
        self.running = running
        self.parts = Parts(running.settings)
        self.automation = self.api("crm", Role.AUTOMATION)
        self.ops = self.api("olga", Role.OPS_APPROVER)
        self.admin = self.api("ada", Role.PLATFORM_ADMIN)
        self._hub: dict[str, Any] | None = None

    def api(self, subject: str, role: Role) -> Api:
        """Return the API as one person or machine uses it."""
        return Api(self.running.url, self.token(subject, role))

    def token(self, subject: str, role: Role, tenants: tuple[str, ...] = ("*",)) -> str:
        """Return a token for the time of a benchmark."""
        return self.parts.embedded_issuer.mint(
            subject, roles=[role], tenants=tenants, machine=role is Role.AUTOMATION, minutes=600
        )

    def process(self, name: str) -> psutil.Process:
        """Return a process of the installation: api, worker or signer."""
        return psutil.Process(next(c for c in self.running.children if c.name == name).process.pid)

    @property
    def server(self) -> list[psutil.Process]:
        """The processes of the embedded PostgreSQL."""
        with psycopg.connect(self.database_url) as connection:
            found = psutil.Process(connection.info.backend_pid).parent()
        if found is None:
            raise SystemExit("PostgreSQL has no parent process")
        return [found, *found.children()]

    def worker_parts(self) -> Parts:
        """Return the parts of a worker of this installation, for this process to use."""
        return Parts(self.running.child_settings())

    @property
    def database_url(self) -> str:
        """The database as the application sees it."""
        return self.running.environment["TENANTPLANE_DATABASE_URL"]

    def database_url_of(self, role: str) -> str:
        """Return the database as another role sees it: OWNER, SEQUENCER or AUDITOR."""
        return self.running.environment[f"TENANTPLANE_DATABASE_{role}_URL"]

    @property
    def database_process(self) -> psutil.Process:
        """The embedded database's first process, which starts the others."""
        return next(
            process
            for process in psutil.Process().children()
            if "cluster_name=tenantplane" in process.cmdline()
        )

    def hub(self) -> dict[str, Any]:
        """Return the Hub that slices are part of, and build it when it is asked for first."""
        if self._hub is None:
            made = self.admin.post("/v1/hubs", {"region": REGION, "cell": "c1", "capacity": 900})
            run = self._run(made["run_id"], "awaiting_approval")
            approval = self.ops.get(f"/v1/approvals/{run['approval_id']}")
            body = {
                "decision": "approve", "plan_digest": approval["plan_digest"], "reason": "bench",
            }  # fmt: skip
            self.ops.post(f"/v1/approvals/{approval['id']}/decisions", body)
            self._run(made["run_id"], "applied")
            self._hub = self.admin.get("/v1/hubs")["items"][0]
        return self._hub

    def _run(self, run_id: str, wanted: str) -> dict[str, Any]:
        while True:
            run: dict[str, Any] = self.ops.get(f"/v1/runs/{run_id}")
            if run["status"] == wanted:
                return run
            if run["status"] in _FAILED:
                raise SystemExit(f"{run_id} is {run['status']}: {run['error']}")
            time.sleep(0.05)


def request_body(key: str, *, mode: str = "A") -> dict[str, Any]:
    """Return a provisioning request of a company of its own, known by ``key``."""
    return {
        "contract": {
            "provider": "bench", "envelope_id": f"e-{key}", "contract_id": f"c-{key}",
            "signed_at": "2026-11-20T14:03:00Z", "subscription": "standard", "mode": mode,
        },
        "company": {
            "legal_name": f"Bench {key} Ltd", "domain": f"bench-{key}.example.com",
            "country": "IE", "time_zone": "Europe/Dublin",
        },
        "requirements": {"residency": {"zone": "eu", "regions": [REGION], "strict": False}},
    }  # fmt: skip
