"""What worker and signer at rest cost while many bundles wait for their people."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import psutil

from benchmarks.figures import Figure
from benchmarks.site import Site
from benchmarks.under_way import done_so_far, wait_until_idle
from control_plane.adapters.audit.recorder import SqlAuditLog
from control_plane.adapters.db import mapping
from control_plane.adapters.db.engine import connect
from control_plane.adapters.db.mapping import Mapped
from control_plane.adapters.db.timers import SqlTimers
from control_plane.adapters.system import RandomIds, SystemClock
from control_plane.domain.actor import system
from control_plane.domain.audit import AuditEvent, Stage
from control_plane.domain.bundle import Bundle, BundleStatus
from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.domain.tenant import Tenant, TenantStatus, WaitingOn
from control_plane.domain.timers import TimerKind

WAITING: Final = 10_000
SETTLE_SECONDS: Final = 10.0
WATCH_SECONDS: Final = 60.0  # two sweeps of the signer
_LIFE: Final = timedelta(days=60)
_KINDS: Final[tuple[Mapped[Any], ...]] = (mapping.TENANT, mapping.DEPLOYMENT, mapping.BUNDLE)


def measure(site: Site) -> list[Figure]:
    """Measure what worker and signer use of a core each while many bundles wait.

    The tenants' logs are real ones: the signer gives their events places and signs their heads.
    It waits first until nothing is under way, such as runs that another area has left.
    """
    add_waiting_bundles(site.database_url, WAITING)
    waited = wait_until_idle(site, timers_within=SETTLE_SECONDS + WATCH_SECONDS)
    before = done_so_far(site)
    shares = cpu_shares(
        {
            "worker": [site.process("worker")],
            "signer": [site.process("signer")],
            "PostgreSQL": site.server,
        }
    )
    if done_so_far(site) != before:
        raise SystemExit("a phase was started or an event recorded during the watch")
    return [
        Figure(
            name=f"{name} at rest, 10,000 tenants",
            value=share, unit="% CPU", target=None if name == "PostgreSQL" else 2,
            detail=f"each has a log and a bundle that waits; before that {waited}",
        )
        for name, share in shares.items()
    ]  # fmt: skip


def add_waiting_bundles(database_url: str, count: int) -> None:
    """Add tenants whose bundles wait for an architect, with timers and events, as requests do."""
    waiting = [_waiting(number) for number in range(count)]
    engine = connect(database_url, name="bench", connections=1, overflow=0)
    with engine.begin() as connection:
        for mapped, entities in zip(_KINDS, zip(*waiting, strict=True), strict=True):
            connection.execute(mapped.table.insert(), [mapped.to_row(item) for item in entities])
        timers, log = SqlTimers(connection), SqlAuditLog(connection)
        for _, _, bundle in waiting:
            timers.set(TimerKind.BUNDLE_EXPIRY, bundle.id, bundle.created_at + _LIFE)
            for action in ("bundle.queued", "bundle.accepted"):
                log.record(_event(bundle, action))
    engine.dispose()


def _event(bundle: Bundle, action: str) -> AuditEvent:
    return AuditEvent(
        id=RandomIds().new("event"), tree=bundle.tenant_id, action=action, stage=Stage.COMPLETED,
        time=bundle.created_at, actor=system("bench"), targets=(("bundle", bundle.id),),
        data={"number": bundle.number},
    )  # fmt: skip


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


def cpu_shares(groups: Mapping[str, Sequence[psutil.Process]]) -> dict[str, float]:
    """Return what groups of processes use of one core, in percent, once they have settled."""
    time.sleep(SETTLE_SECONDS)
    before = {name: _cpu_seconds(group) for name, group in groups.items()}
    started = time.monotonic()
    time.sleep(WATCH_SECONDS)
    seconds = time.monotonic() - started
    after = {name: _cpu_seconds(group) for name, group in groups.items()}
    return {
        name: 100 * sum(used - before[name][pid] for pid, used in after[name].items()) / seconds
        for name in groups
    }


def _cpu_seconds(group: Sequence[psutil.Process]) -> dict[int, float]:
    """Return the CPU time of processes with all their threads, of those that live."""
    found = {}
    for process in group:
        with suppress(psutil.NoSuchProcess):  # a session of the database that has ended
            found[process.pid] = sum(process.cpu_times()[:2])
    return found
