"""Looks at deployments, and the findings that they open and close.

A look is a run of the kind `refresh`. It compares what exists with what was applied and changes
nothing. Whatever verifies a deployment keeps its findings: the checks after an apply, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from control_plane.domain.canonical import digest_bytes
from control_plane.domain.deployment import Deployment, Desired
from control_plane.domain.engine import Drift, Look, Remaining
from control_plane.domain.errors import IllegalTransition
from control_plane.domain.finding import OF_DRIFT, Finding, FindingKind, compared
from control_plane.domain.run import Run, RunKind, RunStatus
from control_plane.domain.timers import TimerKind
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act
from control_plane.workflows.moving import enqueue_present_turn
from control_plane.workflows.placing import spec_of
from control_plane.workflows.recording import record_run

_SPREAD: Final = 0.2  # of the time between two looks, so that those of many do not come together
_ASK_AGAIN: Final = timedelta(days=1)  # whether looks are turned on
_TOLD: Final = 500  # characters of a subject or path in an event


def request_look(act: Act, deployment: Deployment) -> Run:
    """Request a look at a deployment; one that has not ended is returned in its place.

    Raises ``IllegalTransition`` where nothing was applied, or it was removed.
    """
    deployment = act.uow.deployments.need(deployment.id, lock=True)
    if not is_looked_at(act.uow, deployment):
        raise IllegalTransition("nothing was applied that a look could compare with")
    present = act.uow.queries.open_look(deployment.id)
    if present is not None:
        return present
    now, actor = act.now(), act.caller.actor
    run = Run(
        id=act.new_id("run"),
        deployment_id=deployment.id,
        tenant_id=deployment.tenant_id,
        number=act.uow.queries.last_number(deployment.id) + 1,
        kind=RunKind.REFRESH,
        status=RunStatus.REQUESTED,
        spec_number=deployment.applied_spec,
        requested_by=actor.id,
        on_behalf_of=actor.on_behalf_of,
        requesters=actor.subjects,
        requested_at=now,
        updated_at=now,
    )
    act.uow.runs.add(run)
    record_run(
        act, "run.requested", run, targets=(("deployment", deployment.id),),
        kind=str(run.kind), spec_version=run.spec_number,
    )  # fmt: skip
    enqueue_present_turn(act, run)
    return run


def is_looked_at(uow: UnitOfWork, deployment: Deployment) -> bool:
    """Tell whether something was applied that is to exist."""
    number = deployment.applied_spec
    return number > 0 and spec_of(uow, deployment, number).desired is Desired.PRESENT


def set_next_look(act: Act, deployment_id: str, *, after: str) -> None:
    """Let a timer look at a deployment again; ``after`` is any text, which spreads the times.

    While looks are turned off it only asks each day whether they still are.
    """
    every = act.core.limits.look_every or _ASK_AGAIN
    place = int(hashlib.sha256(after.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
    due = act.now() + every * (1 + _SPREAD * (place - 0.5))
    act.uow.timers.set(TimerKind.DRIFT_LOOK, deployment_id, due)


def look_when_due(act: Act, deployment_id: str) -> None:
    """Do what the timer of a deployment's next look is for."""
    deployment = act.uow.deployments.get(deployment_id)
    if deployment is None or not is_looked_at(act.uow, deployment):
        return
    if act.core.limits.look_every is None:
        set_next_look(act, deployment_id, after=deployment_id)
        return
    request_look(act, deployment)  # its end sets the timer again


def keep_findings(act: Act, run: Run, look: Look) -> None:
    """Open, renew and close the findings of a run's deployment by what a complete look saw.

    The deployment is locked. What opens, what has another value now, and what closes is recorded.
    """
    known = act.uow.findings.find(deployment_id=run.deployment_id, closed_at=None)
    drift_now = (*look.drift, *map(_as_drift, look.remaining))
    if not known and not drift_now:
        return
    now, found = act.now(), compared(known, drift_now)
    told = []
    for finding, drift in found.again:
        seen = finding.seen(drift, run.id, now)
        act.uow.findings.save(seen)
        told += [] if finding.shows(drift) else [seen]
    for drift in found.new:
        new = Finding(
            id=act.new_id("finding"),
            deployment_id=run.deployment_id,
            tenant_id=run.tenant_id,
            kind=FindingKind(drift.kind),
            subject=drift.subject,
            type=drift.type,
            path=drift.path,
            expected=drift.expected,
            actual=drift.actual,
            first_seen_by=run.id,
            first_seen_at=now,
            last_seen_by=run.id,
            last_seen_at=now,
        )
        act.uow.findings.add(new)
        told.append(new)
    closed = [finding.closed(run.id, now) for finding in found.gone]
    for finding in closed:
        act.uow.findings.save(finding)
    _record(act, run, "drift.found", told)
    _record(act, run, "drift.cleared", closed)
    _show(act, run.tenant_id)


def _as_drift(left: Remaining) -> Drift:
    """Return what has to remain for a time as a finding has it: `expected` says until when."""
    return Drift(
        kind=FindingKind.REMAINING,
        subject=f"{left.kind} {left.id}",
        type=left.kind,
        expected={"until": left.until, "why": left.why},
        actual={"arn": left.arn},
    )


def _record(act: Act, run: Run, action: str, findings: Sequence[Finding]) -> None:
    """Record what differs, and no longer does: by name. Values are in the rows; the digest binds
    them, since somebody may have written anything into them by hand."""
    if not findings:
        return
    rows: list[dict[str, Any]] = [
        {
            "finding": each.id,
            "kind": str(each.kind),
            "subject": each.subject[:_TOLD],
            "path": each.path[:_TOLD],
            "digest": _digest(each),
        }
        for each in findings
    ]
    record_run(
        act, action, run, targets=(("deployment", run.deployment_id),),
        findings=rows, count=len(rows),
    )  # fmt: skip


def _digest(finding: Finding) -> str:
    values = {"expected": finding.expected, "actual": finding.actual}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return digest_bytes(text.encode())


def _show(act: Act, tenant_id: str | None) -> None:
    """Bring the flag of a tenant up to date; a Hub has none."""
    if tenant_id is None:
        return
    tenant = act.uow.tenants.need(tenant_id, lock=True)
    open_now = act.uow.findings.count(tenant_id=tenant_id, closed_at=None, kind=OF_DRIFT)
    drifted = open_now > 0
    if tenant.drifted is not drifted:
        changed = replace(tenant, drifted=drifted, updated_at=act.now(), version=tenant.version + 1)
        act.uow.tenants.save(changed)
