"""Mode A against the bare script: request to ready, many at a time, and the memory of a run.

Pairs are interleaved, since machines are noisy: read the ratio, not the seconds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import psutil

from benchmarks.figures import Figure, median_and_range
from benchmarks.site import REGION, Site, request_body

_MANY = 16
_AT_ONCE = 2
POLL_SECONDS = 0.1  # each question costs the two sides of one machine CPU, so not more often


def measure(site: Site, *, pairs: int) -> list[Figure]:
    """Measure so many pairs, the order alternating."""
    idle = _megabytes(site, "api", "worker")  # before there is a first run
    site.hub()
    sides = _Sides(site)
    ours, bare = zip(*(sides.pair(number) for number in range(1, pairs + 1)), strict=True)
    ratios = [mine / theirs for mine, theirs in zip(ours, bare, strict=True)]
    return [
        _median("Mode A, request to ready", ours, "s"),
        _median("bare script, start to end", bare, "s"),
        _median("Mode A over the bare script", ratios, "", target=0.55),
        _median("control plane's share of a run", sides.shares, "s", target=0.2),
        Figure(name="api + worker idle, RSS", value=idle, unit="MB", target=220,
               detail=f"{_megabytes(site, 'api', 'worker'):.0f} in the five minutes after a run"),
        Figure(name="a run with its CLI and provider, largest PSS", value=sides.peak, unit="MB",
               target=230, detail=f"the bare script {sides.bare_peak:.0f}"),
    ]  # fmt: skip


def measure_many(site: Site) -> list[Figure]:
    """Measure sixteen tenants, two at a time, against a pool of two threads of bare scripts."""
    site.hub()
    sides = _Sides(site)
    started = time.perf_counter()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(sides.bare, range(1001, 1001 + _MANY)))
    bare = time.perf_counter() - started
    started = time.perf_counter()
    found = [
        site.automation.post("/v1/provisioning-requests", request_body(f"m{number}"))
        for number in range(_MANY)
    ]
    for each in found:
        sides.wait_until_ready(each["tenant"]["id"])
    ours = time.perf_counter() - started
    print(f"  ours {ours:.1f} s, bare {bare:.1f} s")
    return [
        Figure(name=f"{_MANY} Mode A tenants, two at a time, over two threads of bare scripts",
               value=ours / bare, unit="", target=0.65, detail=f"{ours:.1f} s, {bare:.1f} s"),
    ]  # fmt: skip


def _median(
    name: str, values: Sequence[float], unit: str, *, target: float | None = None
) -> Figure:
    return Figure(
        name=name, value=statistics.median(values), unit=unit, target=target,
        detail=median_and_range(values),
    )  # fmt: skip


def _megabytes(site: Site, *names: str) -> float:
    """Return the memory of processes together, and of what they started, at rest."""
    time.sleep(2)
    processes = [site.process(name) for name in names]
    below = [child for process in processes for child in process.children(recursive=True)]
    return sum(process.memory_info().rss for process in (*processes, *below)) / 1e6


class _Sides:
    """The two sides of a pair."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._folder = site.running.settings.home.absolute()
        self.peak = self.bare_peak = 0.0
        self.shares: list[float] = []  # seconds of a run in which neither engine nor cloud worked

    def pair(self, number: int) -> tuple[float, float]:
        """Measure both sides, the order alternating."""
        kinds = (self.ours, self.bare) if number % 2 else (self.bare, self.ours)
        found = {kind.__name__: kind(number) for kind in kinds}
        print(f"  pair {number}: ours {found['ours']:.2f} s, bare {found['bare']:.2f} s")
        return found["ours"], found["bare"]

    def ours(self, number: int) -> float:
        """Return seconds from the POST to a ready tenant."""
        automation = self._site.automation
        with _Peak(self._site.process("worker")) as peak:
            started = time.perf_counter()
            found = automation.post("/v1/provisioning-requests", request_body(f"a{number}"))
            tenant = self.wait_until_ready(found["tenant"]["id"])
            seconds = time.perf_counter() - started
        self.peak = max(self.peak, peak.megabytes)
        self.shares.append(seconds - self._engine_seconds(tenant["run_id"]))
        return seconds

    def wait_until_ready(self, tenant_id: str) -> dict[str, Any]:
        """Follow the tenant's run to its end, as `tenantctl run watch` does; return the tenant."""
        run_id = self._site.automation.get(f"/v1/tenants/{tenant_id}")["run_id"]
        for _ in self._site.ops.events(run_id):
            pass
        while True:  # the run has ended: this is for the moment until the tenant says so
            tenant: dict[str, Any] = self._site.automation.get(f"/v1/tenants/{tenant_id}")
            if tenant["status"] == "ready":
                return tenant
            if tenant["status"] == "failed":
                raise SystemExit(f"{tenant['slug']} failed: {tenant['error']}")
            time.sleep(POLL_SECONDS)

    def _engine_seconds(self, run_id: str) -> float:
        """Return how long the engine planned, applied and looked in a run."""
        after, total = 0, 0.0
        while True:
            page = self._site.ops.get(f"/v1/runs/{run_id}/events", after=after)
            for line in page["items"]:
                body = line["body"]
                if line["kind"] == "phase" and body["phase"] != "gate":
                    total += body.get("seconds") or 0.0
            if not page["items"] or page["items"][-1]["seq"] == after:
                return total
            after = page["items"][-1]["seq"]

    def bare(self, number: int) -> float:
        """Return seconds of the bare script for the same program with a spec of its own."""
        (self._folder / "bare-state").mkdir(exist_ok=True)
        order = {
            "stack": f"bare{number}.production.a",
            "program": "mode_a.slice",
            "spec": slice_spec(f"bare{number}", self._site.hub()),
            # without notes beside each file, which would only cost it time
            "backend_url": f"file://{self._folder / 'bare-state'}?metadata=skip",
            "folder": str(self._folder / "bare" / str(number)),
            "cli": str(self._site.parts._cli()),
            "passphrase": "bench-passphrase",
        }
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": self._site.running.environment["TENANTPLANE_SANDBOX_URL"],
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }
        started = time.perf_counter()
        pipe = subprocess.PIPE
        with (
            psutil.Popen(
                [sys.executable, "-m", "benchmarks.bare"],
                env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True,
            ) as script,
            _Peak(script, with_itself=True) as peak,
        ):  # fmt: skip
            _, said = script.communicate(json.dumps(order))
            seconds = time.perf_counter() - started
        if script.returncode != 0:
            raise SystemExit(f"the bare script failed: {said[-2000:]}")
        self.bare_peak = max(self.bare_peak, peak.megabytes)
        return seconds


class _Peak:
    """Samples the memory of a run: what a process has started, such as runner, CLI and provider."""

    def __init__(self, parent: psutil.Process, *, with_itself: bool = False) -> None:
        self.megabytes = 0.0
        self._parent = parent
        self._own = [parent] if with_itself else []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.1):
            total = 0.0
            try:
                started = self._parent.children(recursive=True)
            except psutil.NoSuchProcess:
                return
            for process in (*self._own, *started):
                try:
                    memory = process.memory_full_info()
                    total += getattr(memory, "pss", memory.rss) / 1e6
                except psutil.Error:
                    continue
            self.megabytes = max(self.megabytes, total)


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
