"""What a worker at rest costs while many bundles wait for their people."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figure
from benchmarks.site import Site
from control_plane.adapters.db import mapping
from control_plane.adapters.db.engine import connect
from control_plane.adapters.db.mapping import Mapped
from control_plane.adapters.db.timers import SqlTimers
from control_plane.adapters.system import RandomIds, SystemClock
from control_plane.domain.bundle import Bundle, BundleStatus
from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.domain.tenant import Tenant, TenantStatus, WaitingOn
from control_plane.domain.timers import TimerKind

WAITING: Final = 10_000
SETTLE_SECONDS: Final = 10.0
WATCH_SECONDS: Final = 30.0
_LIFE: Final = timedelta(days=60)
_KINDS: Final[tuple[Mapped[Any], ...]] = (mapping.TENANT, mapping.DEPLOYMENT, mapping.BUNDLE)


def measure(site: Site) -> list[Figure]:
    """Measure what the worker uses of one core while many bundles wait."""
    add_waiting_bundles(site.database_url, WAITING)
    share = cpu_share(site.process("worker").pid)
    return [Figure(name="worker at rest, 10,000 bundles wait", value=share, unit="% CPU", target=2)]


def add_waiting_bundles(database_url: str, count: int) -> None:
    """Add tenants whose bundles wait for an architect, each with its timer, as requests would."""
    waiting = [_waiting(number) for number in range(count)]
    engine = connect(database_url, name="bench", connections=1, overflow=0)
    with engine.begin() as connection:
        for mapped, entities in zip(_KINDS, zip(*waiting, strict=True), strict=True):
            connection.execute(mapped.table.insert(), [mapped.to_row(item) for item in entities])
        timers = SqlTimers(connection)
        for _, _, bundle in waiting:
            timers.set(TimerKind.BUNDLE_EXPIRY, bundle.id, bundle.created_at + _LIFE)
    engine.dispose()


def _waiting(number: int) -> tuple[Tenant, Deployment, Bundle]:
    ids, now = RandomIds(), SystemClock().now()
    tenant = Tenant(
        id=ids.new("tenant"), slug=f"waits-{number}", legal_name=f"Waits {number} Ltd",
        domain=f"waits{number}.example.com", country="IE", time_zone="Europe/Dublin",
        status=TenantStatus.PENDING, waiting_on=WaitingOn.ARCHITECT, mode="C", region="eu-west-1",
        created_at=now, updated_at=now,
    )  # fmt: skip
    deployment = Deployment(
        id=ids.new("deployment"), tenant_id=tenant.id, hub_id=None,
        kind=DeploymentKind.CUSTOMER_RUN, environment="production", region="eu-west-1",
        account_id="", stack=f"waits{number}.production.c", created_at=now, updated_at=now,
    )  # fmt: skip
    bundle = Bundle(
        id=ids.new("bundle"), tenant_id=tenant.id, deployment_id=deployment.id, number=1,
        status=BundleStatus.AWAITING_ARCHITECT, expires_at=now + _LIFE,
        created_at=now, updated_at=now,
    )  # fmt: skip
    return tenant, deployment, bundle


def cpu_share(pid: int) -> float:
    """Return the share of one core that a process uses, in percent, once it has settled."""
    time.sleep(SETTLE_SECONDS)
    before, started = _cpu_seconds(pid), time.monotonic()
    time.sleep(WATCH_SECONDS)
    return 100 * (_cpu_seconds(pid) - before) / (time.monotonic() - started)


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process with all its threads, in seconds: proc(5), stat 14, 15."""
    with Path(f"/proc/{pid}/stat").open(encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
