"""``make bench``: Mode A's request-to-ready against a bare script, memory, a worker at rest.

Pairs are interleaved, since machines are noisy: read the ratio, not the seconds. Figures of one
run go to ``var/bench/figures.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.resting import add_waiting_bundles, cpu_share
from control_plane.bootstrap import Parts, read_settings
from control_plane.cli.client import Api
from control_plane.cli.serving import EmbeddedInstallation
from control_plane.domain.actor import Role
from stacks.engine.backend import engine_url

HOME = Path("var/bench")
REGION = "eu-west-1"
WAITING = 10_000
POLL_SECONDS = 0.1  # each question costs the two sides of one machine CPU, so not more often


def main() -> int:
    """Measure and print; exit 1 when a figure misses its target."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=10)
    pairs = options.parse_args().pairs
    shutil.rmtree(HOME, ignore_errors=True)
    settings = read_settings(home=HOME, port=0, log_level="warning")
    with EmbeddedInstallation(settings, lambda line: print(f"  {line}")) as running:
        bench = Bench(running)
        bench.make_hub()
        idle = bench.idle_megabytes()
        figures = [bench.pair(number) for number in range(1, pairs + 1)]
        rest = bench.rest_percent()
    return _report(figures, idle=idle, peak=bench.peak, rest=rest)


class Bench:
    """A running installation and what is measured on it."""

    def __init__(self, running: EmbeddedInstallation) -> None:
        self.running = running
        self.parts = Parts(running.settings)
        self.peak = 0.0
        self.automation = self._api("crm", Role.AUTOMATION)
        self.ops = self._api("olga", Role.OPS_APPROVER)

    def _api(self, subject: str, role: Role) -> Api:
        issuer = self.parts.embedded_issuer
        token = issuer.mint(subject, roles=[role], machine=role is Role.AUTOMATION, minutes=600)
        return Api(self.running.url, token)

    def make_hub(self) -> None:
        """Build the Hub that the slices are part of."""
        admin = self._api("ada", Role.PLATFORM_ADMIN)
        hub = admin.post("/v1/hubs", {"region": REGION, "cell": "c1", "capacity": 900})
        run = self._run(hub["run_id"], {"awaiting_approval"})
        approval = self.ops.get(f"/v1/approvals/{run['approval_id']}")
        body = {"decision": "approve", "plan_digest": approval["plan_digest"], "reason": "bench"}
        self.ops.post(f"/v1/approvals/{approval['id']}/decisions", body)
        self._run(hub["run_id"], {"applied"})

    def _run(self, run_id: str, wanted: set[str]) -> dict[str, Any]:
        while True:
            run: dict[str, Any] = self.ops.get(f"/v1/runs/{run_id}")
            if run["status"] in wanted:
                return run
            if run["status"] in {"errored", "policy_failed", "blocked"}:
                raise SystemExit(f"{run_id} is {run['status']}: {run['error']}")
            time.sleep(0.05)

    def idle_megabytes(self) -> float:
        """Return the memory of api and worker together, at rest (RSS, MB)."""
        time.sleep(2)
        total = 0.0
        for child in self.running.children:
            if child.name in {"api", "worker"}:
                total += psutil.Process(child.process.pid).memory_info().rss / 1e6
        return total

    def rest_percent(self) -> float:
        """Return what the worker uses of one core while many bundles wait, in percent."""
        add_waiting_bundles(self.running.environment["TENANTPLANE_DATABASE_URL"], WAITING)
        return cpu_share(self._worker_pid)

    def pair(self, number: int) -> dict[str, float]:
        """Measure one pair, the order alternating."""
        kinds = (self.ours, self.bare) if number % 2 else (self.bare, self.ours)
        found = {kind.__name__: kind(number) for kind in kinds}
        print(f"  pair {number}: ours {found['ours']:.2f} s, bare {found['bare']:.2f} s")
        return found

    def ours(self, number: int) -> float:
        """Return seconds from the POST to a ready tenant."""
        with self._watching_memory():
            started = time.perf_counter()
            found = self.automation.post("/v1/provisioning-requests", _body(number))
            while True:
                tenant = self.automation.get(f"/v1/tenants/{found['tenant']['id']}")
                if tenant["status"] == "ready":
                    return time.perf_counter() - started
                if tenant["status"] == "failed":
                    raise SystemExit(f"{tenant['slug']} failed")
                time.sleep(POLL_SECONDS)

    def bare(self, number: int) -> float:
        """Return seconds of the bare script for the same program with a spec of its own."""
        folder = HOME.absolute() / "bare" / str(number)
        order = {
            "stack": f"bare{number}.production.a",
            "program": "mode_a.slice",
            "spec": slice_spec(f"bare{number}", self._hub()),
            "backend_url": engine_url(f"file://{HOME.absolute() / 'bare-state'}"),
            "folder": str(folder),
            "cli": str(self.parts._cli()),
            "passphrase": "bench-passphrase",
        }
        (HOME / "bare-state").mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": self.running.environment["TENANTPLANE_SANDBOX_URL"],
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.bare"],
            input=json.dumps(order), env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        if done.returncode != 0:
            raise SystemExit(f"the bare script failed: {done.stderr[-2000:]}")
        return seconds

    def _hub(self) -> dict[str, Any]:
        hub: dict[str, Any] = self._api("ada", Role.PLATFORM_ADMIN).get("/v1/hubs")["items"][0]
        return hub

    def _watching_memory(self) -> _Peak:
        return _Peak(self, self._worker_pid)

    @property
    def _worker_pid(self) -> int:
        return next(c for c in self.running.children if c.name == "worker").process.pid


class _Peak:
    """Samples the memory of a run: runner, CLI and provider, without the worker."""

    def __init__(self, bench: Bench, pid: int) -> None:
        self._bench = bench
        self._worker = psutil.Process(pid)
        self._stop = threading.Event()

    def __enter__(self) -> None:
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.1):
            total = 0.0
            for process in self._worker.children(recursive=True):
                try:
                    memory = process.memory_full_info()
                    total += getattr(memory, "pss", memory.rss) / 1e6
                except psutil.Error:
                    continue
            self._bench.peak = max(self._bench.peak, total)


def slice_spec(tenant: str, hub: dict[str, Any]) -> dict[str, Any]:
    """Return the spec of the bare script's slice in a Hub, as the API shows that."""
    return {
        "schema_version": 1,
        "owner": {
            "tenant": tenant, "mode": "A", "environment": "production",
            "deployment": "dep_01JD3ZK4Q0V8X2M6N7P9R5T1WY", "short": f"{tenant}-aaaaaa",
        },
        "region": REGION,
        "account_id": "123456789012",
        "hub": {**hub["outputs"], "hub_id": hub["id"]},
        "retention": {"log_days": 365, "noncurrent_days": 90, "key_deletion_days": 30},
    }  # fmt: skip


def _body(number: int) -> dict[str, Any]:
    return {
        "contract": {
            "provider": "bench", "envelope_id": f"e{number}", "contract_id": f"c{number}",
            "signed_at": "2026-11-20T14:03:00Z", "subscription": "standard", "mode": "A",
        },
        "company": {
            "legal_name": f"Bench {number} Ltd", "domain": f"bench{number}.example.com",
            "country": "IE", "time_zone": "Europe/Dublin",
        },
        "requirements": {"residency": {"zone": "eu", "regions": [REGION], "strict": False}},
    }  # fmt: skip


def _report(figures: Sequence[dict[str, float]], *, idle: float, peak: float, rest: float) -> int:
    ours, bare = ([pair[name] for pair in figures] for name in ("ours", "bare"))
    ratios = [mine / theirs for mine, theirs in zip(ours, bare, strict=True)]
    rows = {
        "Mode A request-to-ready, s": ours,
        "bare script, s": bare,
        "ratio (target: at most 1)": ratios,
    }
    print(f"\n{'':34}{'median':>8}{'least':>8}{'most':>8}   pairs {len(figures)}")
    for name, values in rows.items():
        print(f"{name:34}{statistics.median(values):8.2f}{min(values):8.2f}{max(values):8.2f}")
    print(f"{'api + worker idle, MB RSS':34}{idle:8.0f}   target: at most 300")
    print(f"{'a run with its CLI, MB PSS':34}{peak:8.0f}   target: at most 450")
    print(f"{'worker at rest, 10,000 wait, % CPU':34}{rest:8.1f}   target: at most 2")
    content = {"pairs": list(figures), "idle_mb": idle, "run_peak_mb": peak, "rest_percent": rest}
    (HOME / "figures.json").write_text(json.dumps(content, indent=1))
    missed = statistics.median(ratios) > 1 or idle > 300 or peak > 450 or rest > 2
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
