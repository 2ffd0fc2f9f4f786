"""Looks at deployments, and the findings that they open and close.

A look is a run of the kind `refresh`. It compares what exists with what was applied and changes
nothing. Whatever verifies a deployment keeps its findings: the checks after an apply, too.
Of looks that found nothing the newest are kept; the log has them all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from control_plane.domain.canonical import digest_bytes
from control_plane.domain.deployment import Deployment, Desired
from control_plane.domain.engine import Drift, Remaining
from control_plane.domain.errors import IllegalTransition
from control_plane.domain.finding import OF_DRIFT, Finding, FindingKind, compared
from control_plane.domain.run import Run, RunKind, RunStatus
from control_plane.domain.sweep import SweepOutcome
from control_plane.domain.timers import TimerKind
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act
from control_plane.workflows.moving import add_run, enqueue_present_turn
from control_plane.workflows.placing import spec_of
from control_plane.workflows.recording import record_run

_SPREAD: Final = 0.2  # of the time between two looks, so that those of many do not come together
_ASK_AGAIN: Final = timedelta(days=1)  # whether looks are turned on
_TOLD: Final = 500  # characters of a subject or path in an event
LOOKS_KEPT: Final = 30  # of a deployment, of those that nothing refers to


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
    number = deployment.applied_spec
    run = add_run(act, deployment, RunKind.REFRESH, spec_version=number, spec_number=number)
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
        act.uow.looks.settle_item(deployment_id, SweepOutcome.GONE)
        return
    if act.core.limits.look_every is None and not act.uow.looks.is_swept(deployment_id):
        set_next_look(act, deployment_id, after=deployment_id)
        return
    request_look(act, deployment)  # its end sets the timer again


def end_look(act: Act, run: Run, deployment: Deployment) -> None:
    """Do what the end of a look leads to: the next one, a sweep's progress, what is kept."""
    set_next_look(act, run.deployment_id, after=run.id)
    act.uow.looks.settle_item(run.deployment_id, _outcome(act.uow, run))
    owner_id = deployment.tenant_id
    is_held = act.uow.tenants.need(owner_id).hold if owner_id is not None else False
    if not is_held:  # while a hold stands nothing of its owner is deleted
        act.uow.looks.forget_looks(run.deployment_id, keep=LOOKS_KEPT)


def _outcome(uow: UnitOfWork, run: Run) -> SweepOutcome:
    if run.status is RunStatus.ERRORED:
        return SweepOutcome.NOT_LOOKED_AT
    if run.status is not RunStatus.NO_CHANGES:
        return SweepOutcome.GAVE_WAY
    open_ = uow.findings.count(deployment_id=run.deployment_id, closed_at=None, kind=OF_DRIFT)
    differs = open_ > 0
    return SweepOutcome.DIFFERS if differs else SweepOutcome.AGREES


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a look did to the findings: which opened, and whose waiver ended with another value."""

    opened: Sequence[Finding] = ()
    unwaived: Sequence[Finding] = ()


def nothing(_: Finding) -> bool:
    """Let no finding be closed."""
    return False


def keep_findings(
    act: Act,
    run: Run,
    seen: Sequence[Drift],
    *,
    closes: Callable[[Finding], bool] = lambda _: True,
) -> Kept:
    """Open, renew and close the findings of a run's deployment by what a complete look saw.

    Of those that it did not see any more, ``closes`` tells which are closed. The deployment is
    locked. What opens, what has another value now, and what closes is recorded.
    """
    known = act.uow.findings.find(deployment_id=run.deployment_id, closed_at=None)
    if not known and not seen:
        return Kept()
    now, found = act.now(), compared(known, seen)
    renewed = [(finding, finding.seen(drift, run.id, now)) for finding, drift in found.again]
    for _, again in renewed:
        act.uow.findings.save(again)
    changed = [again for before, again in renewed if _values(before) != _values(again)]
    unwaived = [
        again for before, again in renewed if before.waived_until and not again.waived_until
    ]
    opened = [_opened(act, run, drift) for drift in found.new]
    for new in opened:
        act.uow.findings.add(new)
    gone = [finding for finding in found.gone if closes(finding)]
    closed = [finding.closed(run.id, now) for finding in gone]
    for finding in closed:
        act.uow.findings.save(finding)
    for finding in (*unwaived, *(each for each in gone if each.waived_until)):
        act.uow.timers.cancel(TimerKind.WAIVER_END, finding.id)
    _record(act, run, "drift.found", [*changed, *opened])
    _record(act, run, "drift.cleared", closed)
    show_drifted(act, run.tenant_id)
    return Kept(opened=opened, unwaived=unwaived)


def _opened(act: Act, run: Run, drift: Drift) -> Finding:
    now = act.now()
    return Finding(
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


def _values(finding: Finding) -> tuple[Any, Any]:
    return finding.expected, finding.actual


def as_drift(left: Remaining) -> Drift:
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
    if findings:
        record_run(
            act, action, run, targets=(("deployment", run.deployment_id),),
            findings=findings_told(findings), count=len(findings),
        )  # fmt: skip


def findings_told(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return findings as an event has them."""
    return [
        {
            "finding": each.id,
            "kind": str(each.kind),
            "subject": each.subject[:_TOLD],
            "path": each.path[:_TOLD],
            "digest": value_digest(each),
        }
        for each in findings
    ]


def value_digest(finding: Finding) -> str:
    """Return the digest of both values of a finding."""
    values = {"expected": finding.expected, "actual": finding.actual}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return digest_bytes(text.encode())


def show_drifted(act: Act, tenant_id: str | None) -> None:
    """Bring the flag of a tenant up to date; a Hub has none. What is waived does not count."""
    if tenant_id is None:
        return
    tenant = act.uow.tenants.need(tenant_id, lock=True)
    open_ = act.uow.findings.count(
        tenant_id=tenant_id, closed_at=None, waived_until=None, kind=OF_DRIFT
    )
    drifted = open_ > 0
    if tenant.drifted is not drifted:
        changed = replace(tenant, drifted=drifted, updated_at=act.now(), version=tenant.version + 1)
        act.uow.tenants.save(changed)
