"""Drift against the bare script: a check of an unchanged stack, an update of one tag.

The bare side does what an engineer would: select the stack and `refresh --preview-only`. Where one
tag differs, it has the difference in its program, and so is spared the reading of the cloud that
our run does: select, `preview` and `up`. Pairs are interleaved: read the ratio, not the seconds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import boto3

from benchmarks.figures import Figure, median_and_range
from benchmarks.mode_a import slice_spec
from benchmarks.site import REGION, Site, request_body

_TAG = "tenantplane:data-class"


def measure(site: Site, *, pairs: int) -> list[Figure]:
    """Measure so many pairs of each kind, the order alternating."""
    sides = _Sides(site)
    checks = [sides.pair(number, sides.check, sides.bare_refresh) for number in range(pairs)]
    updates = [sides.pair(number, sides.update, sides.bare_update) for number in range(pairs)]
    return [
        *_compared("drift check of an unchanged stack", "bare refresh, preview only", checks, 0.4),
        *_compared("update of one changed tag", "bare select, preview and up", updates, 0.8),
        Figure(
            name="first look of a day, which searches every region", value=sides.first, unit="s"
        ),
    ]  # fmt: skip


def _compared(
    ours: str, theirs: str, found: Sequence[tuple[float, float]], target: float
) -> list[Figure]:
    mine, bare = zip(*found, strict=True)
    ratios = [one / other for one, other in found]
    return [
        Figure(name=ours, value=statistics.median(mine), unit="s", detail=median_and_range(mine)),
        Figure(name=theirs, value=statistics.median(bare), unit="s", detail=median_and_range(bare)),
        Figure(
            name=f"{ours}, over {theirs}", value=statistics.median(ratios), unit="",
            target=target, detail=median_and_range(ratios),
        ),
    ]  # fmt: skip


class _Sides:
    """One tenant of ours and one stack of the bare script, with the same program."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._folder = site.running.settings.home.absolute()
        (self._folder / "bare-state").mkdir(exist_ok=True)
        self._log_days = 365
        self._bare("up")
        self._tenant = self._ready("drift0")
        self.first = self.check()

    def pair(
        self, number: int, ours: Callable[[], float], bare: Callable[[], float]
    ) -> tuple[float, float]:
        """Measure both sides, the order alternating."""
        if number % 2:
            other, mine = bare(), ours()
        else:
            mine, other = ours(), bare()
        print(f"  {ours.__name__} {number}: ours {mine:.2f} s, bare {other:.2f} s")
        return mine, other

    # --- ours ----------------------------------------------------------------------------------
    def check(self) -> float:
        """Return seconds from the request of a look to its end."""
        started = time.perf_counter()
        run = self._site.ops.post(f"/v1/tenants/{self._tenant}/drift-checks")
        return self._ended(run["id"], started)

    def update(self) -> float:
        """Return seconds from the decision on a tag that somebody changed to the end of its run."""
        self._retag(f"{self._short(self._tenant)}-")
        self.check()
        (finding, *rest) = self._site.ops.get(f"/v1/tenants/{self._tenant}/findings")["items"]
        if rest or finding["path"] != f'tags["{_TAG}"]':
            raise SystemExit(f"other findings than of one tag: {[finding, *rest]}")
        started = time.perf_counter()
        body = {"decision": "revert", "reason": "bench"}
        decided = self._site.ops.post(f"/v1/findings/{finding['id']}/decision", body)
        return self._ended(decided["run_id"], started)

    def _ready(self, key: str) -> str:
        found = self._site.automation.post("/v1/provisioning-requests", request_body(key))
        self._ended(found["run_id"], 0.0)
        return str(found["tenant"]["id"])

    def _ended(self, run_id: str, started: float) -> float:
        """Follow a run to its end, as `tenantctl run watch` does."""
        for _ in self._site.ops.events(run_id):
            pass
        seconds = time.perf_counter() - started
        run = self._site.ops.get(f"/v1/runs/{run_id}")
        if run["status"] not in {"applied", "no_changes"}:
            raise SystemExit(f"{run_id} is {run['status']}: {run['error']}")
        return seconds

    def _short(self, tenant_id: str) -> str:
        (outputs,) = self._site.ops.get(f"/v1/tenants/{tenant_id}/outputs")["items"]
        role = str(outputs["outputs"]["app_role_arn"]).rpartition("/")[2]
        return role.removesuffix("-app")

    # --- the cloud, and the bare script ----------------------------------------------------------
    def _retag(self, prefix: str) -> None:
        """Change one tag of the role of a stack, as somebody does by hand."""
        iam = boto3.client(
            "iam", region_name=REGION, aws_access_key_id="testing",
            aws_secret_access_key="testing",  # noqa: S106 - of the emulated cloud
            endpoint_url=self._site.running.environment["TENANTPLANE_SANDBOX_URL"],
        )  # fmt: skip
        names = [
            role["RoleName"]
            for page in iam.get_paginator("list_roles").paginate()
            for role in page["Roles"]
            if role["RoleName"].startswith(prefix)
        ]
        iam.tag_role(RoleName=names[0], Tags=[{"Key": _TAG, "Value": "by-hand"}])

    def bare_refresh(self) -> float:
        """Return seconds of the bare script that selects the stack and refreshes, preview only."""
        return self._bare("refresh")

    def bare_update(self) -> float:
        """Return seconds of the bare script whose program has one other value than before."""
        self._log_days = {365: 400, 400: 365}[self._log_days]
        return self._bare("up")

    def _bare(self, act: str) -> float:
        spec = slice_spec("bare-drift", self._site.hub())
        spec["retention"]["log_days"] = self._log_days
        order: dict[str, Any] = {
            "act": act,
            "stack": "bare-drift.production.a",
            "program": "mode_a.slice",
            "spec": spec,
            "backend_url": f"file://{self._folder / 'bare-state'}?metadata=skip",
            "folder": str(self._folder / "bare" / "drift"),
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
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.bare"],
            env=environment, input=json.dumps(order), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise SystemExit(f"the bare script failed: {done.stderr[-2000:]}")
        return time.perf_counter() - started
