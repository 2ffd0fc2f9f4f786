"""What time brings about: approvals and bundles expire, waiting runs go on.

A sweep looks for everything that is due, whatever sweep was missed before it, so that it may run
in every worker and at any interval.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.bundle import BundleStatus
from control_plane.domain.deployment import DeploymentKind
from control_plane.domain.errors import DomainError
from control_plane.domain.hub import HubStatus
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.domain.tenant import WaitingOn
from control_plane.workflows.core import WORKER, Core
from control_plane.workflows.moving import as_json, expire_if_late, fail_run, locked_run
from control_plane.workflows.owners import let_wait, wake_waiting
from control_plane.workflows.recording import record

_WAITING_BUNDLES = (
    BundleStatus.AWAITING_ARCHITECT,
    BundleStatus.ACCEPTED,
    BundleStatus.BUILT,
    BundleStatus.HANDED_OVER,
)


def expire_approvals(core: Core) -> int:
    """Expire approvals whose time is over; returns how many."""
    now, expired = core.clock.now(), 0
    with core.uow() as uow:
        waiting = uow.approvals.find(status=(ApprovalStatus.WAITING, ApprovalStatus.APPROVED))
    for approval in waiting:
        if approval.expires_at > now:
            continue
        with core.uow() as uow:
            run, _ = locked_run(uow, approval.run_id)
            if run.status in {RunStatus.AWAITING_APPROVAL, RunStatus.APPROVED}:
                expired += expire_if_late(core, uow, WORKER, run)
            uow.commit()
    return expired


def expire_bundles(core: Core) -> int:
    """Expire bundles that were not used in time; returns how many."""
    now, expired = core.clock.now(), 0
    with core.uow() as uow:
        waiting = uow.bundles.find(status=_WAITING_BUNDLES)
    for found in waiting:
        if found.expires_at is None or found.expires_at > now:
            continue
        with core.uow() as uow:
            bundle = uow.bundles.get(found.id, lock=True)
            if bundle is not None and bundle.status in _WAITING_BUNDLES:
                uow.bundles.save(bundle.moved(BundleStatus.EXPIRED, now))
                record(
                    core, uow, WORKER, "bundle.expired",
                    tree=bundle.tenant_id, targets=(("bundle", bundle.id),), number=bundle.number,
                )  # fmt: skip
                let_wait(core, uow, WORKER, bundle.tenant_id, WaitingOn.ARCHITECT)
                expired += 1
            uow.commit()
    return expired


def wake_runs(core: Core) -> int:
    """Let runs go on that wait for a Hub where one has room now; returns the number of regions.

    A Hub that becomes ready wakes them itself; this finds those that a crash in between left.
    """
    with core.uow() as uow:
        waiting = uow.runs.count(status=RunStatus.BLOCKED, blocked_on=BlockedOn.HUB_UNAVAILABLE)
        if not waiting:
            return 0
        regions = {
            hub.region
            for hub in uow.hubs.find(status=HubStatus.READY)
            if uow.deployments.count(hub_id=hub.id, kind=DeploymentKind.SLICE) < hub.capacity
        }
        for region in sorted(regions):
            wake_waiting(core, uow, WORKER, region)
        uow.commit()
    return len(regions)


def calls_to_stop(core: Core) -> list[str]:
    """Return the newest engine calls of runs that somebody wants stopped."""
    with core.uow() as uow:
        applying = uow.runs.find(status=RunStatus.APPLYING, cancel_requested=True)
        recent = uow.runs.page(limit=20, status=RunStatus.CANCELED, cancel_requested=True)
    return [run.call_ids[-1] for run in (*applying, *recent) if run.call_ids]


SWEEPS = (expire_approvals, expire_bundles, wake_runs)


STALLED_AFTER = timedelta(seconds=30)
_PHASE_OF = {
    RunStatus.REQUESTED: "plan_run",
    RunStatus.PLANNING: "plan_run",
    RunStatus.APPROVED: "apply_run",
    RunStatus.APPLYING: "apply_run",
    RunStatus.VERIFYING: "apply_run",
}


def revive_stalled(core: Core, in_the_queue: Callable[[], set[str]]) -> int:
    """Enqueue again what fell out of the queue: its phase ended with a fault of ours or an outage.

    ``in_the_queue`` returns the subjects that wait or run there. A run that fell out again and
    again is ended, so that somebody looks at it. Returns how many were found.
    """
    before = core.clock.now() - STALLED_AFTER
    with core.uow() as uow:
        old = [run for run in uow.runs.find(status=tuple(_PHASE_OF)) if run.updated_at < before]
    if not old:
        return 0
    known, found = in_the_queue(), 0
    for stalled in old:
        if stalled.id in known:
            continue
        with core.uow() as uow:
            run, _ = locked_run(uow, stalled.id)
            if run.status not in _PHASE_OF or run.updated_at >= before:
                continue
            found += 1
            if run.attempt >= core.limits.engine_attempts:
                error = DomainError("its phase failed again and again; the worker's log has why")
                fail_run(core, uow, WORKER, run, as_json(error), phase=str(run.status))
            else:
                again = run.changed(core.clock.now(), attempt=run.attempt + 1)
                uow.runs.save(again)
                record(
                    core, uow, WORKER, "run.resumed",
                    tree=run.tenant_id, targets=(("run", run.id),), run=run.id,
                    phase=str(run.status), attempt=again.attempt,
                )  # fmt: skip
                uow.queue.enqueue(
                    _PHASE_OF[run.status],
                    run.id,
                    partition=run.deployment_id,
                    attempt=again.attempt,
                )
            uow.commit()
    return found
