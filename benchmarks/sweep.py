"""A sweep of many unchanged Mode A stacks: what a look at each of them takes.

The slices are real: each is born by a contract of its own. Their births are not measured.
"""

from __future__ import annotations

import os
import time
from typing import Any

from benchmarks.figures import Figure
from benchmarks.site import Site, request_body

_AT_ONCE = 8
_GOOD = frozenset({"applied", "no_changes"})


def measure(site: Site, *, stacks: int) -> list[Figure]:
    """Make ``stacks`` slices, sweep once for the searches of a day, and measure the next sweep."""
    site.hub()
    runs = [each for first in range(0, stacks, _AT_ONCE) for each in _born(site, first, stacks)]
    print(f"  {len(runs)} slices were made")
    _swept(site)  # it searches the other regions, as one look a day does
    seconds, sweep = _swept(site)
    looked = sweep["outcomes"]["agrees"]
    if looked != sweep["deployments"] or looked < stacks:
        raise SystemExit(f"not every stack was found unchanged: {sweep}")
    return [
        Figure(
            name="sweep of unchanged Mode A stacks, for each", value=seconds / looked, unit="s",
            detail=f"{stacks} slices and {looked - stacks} more in {seconds:.1f} s on"
            f" {os.cpu_count()} cores",
        )
    ]  # fmt: skip


def _born(site: Site, first: int, stacks: int) -> list[str]:
    """Ask for some slices together, and wait for them."""
    asked = [
        str(site.automation.post("/v1/provisioning-requests", request_body(f"sweep{n}"))["run_id"])
        for n in range(first, min(first + _AT_ONCE, stacks))
    ]
    for run_id in asked:
        for _ in site.ops.events(run_id):
            pass
        run = site.ops.get(f"/v1/runs/{run_id}")
        if run["status"] not in _GOOD:
            raise SystemExit(f"{run_id} is {run['status']}: {run['error']}")
    return asked


def _swept(site: Site) -> tuple[float, dict[str, Any]]:
    started = time.perf_counter()
    sweep: dict[str, Any] = site.ops.post("/v1/drift-sweeps", {"minutes": 0})
    while sweep["waiting"]:
        time.sleep(0.2)
        sweep = site.ops.get(f"/v1/drift-sweeps/{sweep['id']}")
    seconds = time.perf_counter() - started
    print(f"  swept in {seconds:.1f} s: {sweep['outcomes']}")
    return seconds, sweep
