"""Waivers of findings: what is waived does not count until a date, or until it changes further."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from control_plane.domain.finding import Finding
from control_plane.domain.timers import TimerKind
from control_plane.workflows.core import Act
from control_plane.workflows.drift import findings_told, show_drifted
from control_plane.workflows.recording import record


def waive(act: Act, finding: Finding, until: datetime) -> Finding:
    """Waive a finding that is open; the decision is stored."""
    waived = finding.waived(until)
    act.uow.findings.save(waived)
    act.uow.timers.set(TimerKind.WAIVER_END, finding.id, until)
    return waived


def end_waiver(act: Act, finding_id: str) -> None:
    """Do what the timer of a waiver's end is for: the finding counts again."""
    found = act.uow.findings.get(finding_id)
    if found is None:
        return
    act.uow.deployments.need(found.deployment_id, lock=True)
    finding = act.uow.findings.need(finding_id, lock=True)
    if finding.waived_until is None:
        return
    if act.now() < finding.waived_until:
        act.uow.timers.set(TimerKind.WAIVER_END, finding.id, finding.waived_until)
        return
    act.uow.findings.save(finding.waived(None))
    record_ended(act, [finding], why="expired")
    show_drifted(act, finding.tenant_id)


def record_ended(act: Act, findings: Sequence[Finding], *, why: str) -> None:
    """Record that waivers ended."""
    if findings:
        first = findings[0]
        record(
            act, "drift.waiver_ended",
            tree=first.tenant_id, targets=(("deployment", first.deployment_id),),
            code=why, findings=findings_told(findings), count=len(findings),
        )  # fmt: skip
