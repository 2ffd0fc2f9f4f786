"""What happened to a tenant, from its signature to today, in one list; and all that it has now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from control_plane.domain.approval import Approval, Decision
from control_plane.domain.bundle import Bundle, BundleStatus, Handover, Receipt
from control_plane.domain.deployment import Deployment
from control_plane.domain.finding import OF_DRIFT, Finding
from control_plane.domain.hold import Hold
from control_plane.domain.invitation import Meeting
from control_plane.domain.journey import Journey, JourneyStep, StepStatus
from control_plane.domain.run import CHANGING, TERMINAL_RUN, Run
from control_plane.domain.tenant import Contract, Tenant
from control_plane.services.tenants import Shown, show_tenant
from control_plane.workflows.core import Act

SHOWN: Final = 200  # runs and findings, the newest: a tenant of years has thousands of looks
GOOD, WRONG, WAIT, PLAIN = "good", "wrong", "wait", "plain"
_BAD_RUN: Final = frozenset({"errored", "rejected", "expired", "policy_failed", "blocked"})
_OF_STEP: Final = {
    StepStatus.DONE: GOOD, StepStatus.SKIPPED: PLAIN, StepStatus.FAILED: WRONG,
    StepStatus.ASKED: WAIT,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One thing that happened, or will: ``about`` is the kind and id of what it is about.

    ``tone`` is one of ``good``, ``wrong``, ``wait``, ``plain``.
    """

    at: datetime
    what: str
    text: str = ""
    tone: str = PLAIN
    about: tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Life:
    """A tenant and what belongs to it; lists are newest first."""

    shown: Shown
    contracts: Sequence[Contract]
    deployments: Sequence[Deployment]
    runs: Sequence[Run]
    approvals: Sequence[Approval]
    decisions: Sequence[Decision]
    bundles: Sequence[Bundle]
    handovers: Sequence[Handover]
    receipts: Sequence[Receipt]
    holds: Sequence[Hold]
    findings: Sequence[Finding]
    journeys: Sequence[Journey]
    steps: Sequence[JourneyStep]
    meetings: Sequence[Meeting]

    @property
    def tenant(self) -> Tenant:
        """Whose life it is."""
        return self.shown[0]

    @property
    def moments(self) -> list[Moment]:
        """What happened, newest first; meetings may be ahead."""
        found = [
            *_of_the_tenant(self), *_of_runs(self), *_of_decisions(self), *_of_bundles(self),
            *_of_holds(self), *_of_findings(self), *_of_journeys(self), *_of_meetings(self),
        ]  # fmt: skip
        return sorted(found, key=lambda each: (each.at, each.about), reverse=True)


def life_of_tenant(act: Act, key: str) -> Life:
    """Return a tenant by id or slug with what belongs to it. Raises ``NotFound``."""
    shown = show_tenant(act, key)
    uow, tenant = act.uow, shown[0].id
    runs = uow.runs.page(limit=SHOWN, before=None, tenant_id=tenant)
    asked = tuple(run.approval_id for run in runs if run.approval_id is not None)
    bundles = uow.bundles.find(tenant_id=tenant)[::-1]
    handed = tuple(each.id for each in bundles if each.handed_over_at is not None)
    return Life(
        shown=shown,
        contracts=uow.contracts.find(tenant_id=tenant),
        deployments=uow.deployments.find(tenant_id=tenant),
        runs=runs,
        approvals=uow.approvals.find(id=asked) if asked else [],
        decisions=uow.decisions.find(approval_id=asked) if asked else [],
        bundles=bundles,
        handovers=uow.handovers.find(bundle_id=handed) if handed else [],
        receipts=uow.receipts.find(bundle_id=handed) if handed else [],
        holds=uow.holds.find(tenant_id=tenant),
        findings=uow.findings.page(limit=SHOWN, before=None, tenant_id=tenant, kind=OF_DRIFT),
        journeys=uow.journeys.find(tenant_id=tenant),
        steps=uow.journey_steps.find(tenant_id=tenant),
        meetings=uow.meetings.find(tenant_id=tenant),
    )


# --- what each kind of row tells ------------------------------------------------------------------
def _of_the_tenant(life: Life) -> Iterator[Moment]:
    tenant = life.tenant
    for each in life.contracts:
        text = f"{each.subscription}, contract {each.contract_id}, {each.provider}"
        yield Moment(at=each.signed_at, what="contract signed", text=text, tone=GOOD,
                     about=("tenant", tenant.id))  # fmt: skip
    mode = f"Mode {tenant.mode}" if tenant.mode else "its mode is not settled"
    yield Moment(at=tenant.created_at, what="contract accepted", text=mode,
                 about=("tenant", tenant.id))  # fmt: skip
    if tenant.removed_at is not None:
        yield Moment(at=tenant.removed_at, what="tenant removed", about=("tenant", tenant.id))


def _of_runs(life: Life) -> Iterator[Moment]:
    for run in life.runs:
        if run.kind not in CHANGING:  # looks and drafts change nothing
            continue
        about, kind = ("run", run.id), str(run.kind)
        yield Moment(at=run.requested_at, what=f"{kind} requested",
                     text=f"by {run.on_behalf_of or run.requested_by}", about=about)  # fmt: skip
        if run.status in TERMINAL_RUN and run.ended_at is not None:
            yield Moment(at=run.ended_at, what=f"{kind} {run.status}", text=_said(run),
                         tone=_tone(run), about=about)  # fmt: skip
        elif run.status in _BAD_RUN:
            yield Moment(at=run.updated_at, what=f"{kind} {run.status}", text=_said(run),
                         tone=WAIT, about=about)  # fmt: skip


def _said(run: Run) -> str:
    return str((run.error or {}).get("message", ""))


def _tone(run: Run) -> str:
    if run.status in _BAD_RUN:
        return WRONG
    return GOOD if run.error is None else PLAIN


def _of_decisions(life: Life) -> Iterator[Moment]:
    runs = {approval.id: approval.run_id for approval in life.approvals}
    for each in life.approvals:
        yield Moment(at=each.created_at, what="decision asked for", tone=WAIT,
                     text=f"rule {each.rule}, {each.needed} needed",
                     about=("run", each.run_id))  # fmt: skip
    for decision in life.decisions:
        verb = "approved" if decision.decision == "approve" else "rejected"
        yield Moment(
            at=decision.decided_at, what=f"plan {verb}", text=f"by {decision.actor_id}",
            tone=GOOD if verb == "approved" else WRONG,
            about=("run", runs[decision.approval_id]),
        )  # fmt: skip


def _of_bundles(life: Life) -> Iterator[Moment]:
    numbers = {bundle.id: bundle.number for bundle in life.bundles}
    for bundle in life.bundles:
        yield Moment(at=bundle.created_at, what=f"bundle {bundle.number} queued",
                     about=("bundle", bundle.id))  # fmt: skip
        if bundle.status is BundleStatus.BUILD_FAILED:
            text = str((bundle.error or {}).get("message", ""))
            yield Moment(at=bundle.updated_at, what=f"bundle {bundle.number} failed", text=text,
                         tone=WRONG, about=("bundle", bundle.id))  # fmt: skip
    for handover in life.handovers:
        number = numbers[handover.bundle_id]
        yield Moment(at=handover.handed_over_at, what=f"bundle {number} handed over",
                     text=f"by {handover.handed_over_by}", tone=GOOD,
                     about=("bundle", handover.bundle_id))  # fmt: skip
    for receipt in life.receipts:
        yield Moment(at=receipt.registered_at, tone=GOOD,
                     what=f"receipt of bundle {numbers[receipt.bundle_id]} registered",
                     about=("bundle", receipt.bundle_id))  # fmt: skip


def _of_holds(life: Life) -> Iterator[Moment]:
    for hold in life.holds:
        yield Moment(at=hold.placed_at, what=f"{hold.kind} hold placed",
                     text=f"by {hold.placed_by}", tone=WAIT, about=("hold", hold.id))  # fmt: skip
        if hold.released_at is not None:
            yield Moment(at=hold.released_at, what=f"{hold.kind} hold released",
                         text=f"by {hold.released_by}", about=("hold", hold.id))  # fmt: skip


def _of_findings(life: Life) -> Iterator[Moment]:
    """Yield a moment a look that found something, and one that no longer did."""
    looks: dict[tuple[datetime, str, str], int] = {}
    for finding in life.findings:
        found = (finding.first_seen_at, "found", finding.first_seen_by)
        looks[found] = looks.get(found, 0) + 1
        if finding.closed_at is not None and finding.closed_by is not None:
            closed = (finding.closed_at, "closed", finding.closed_by)
            looks[closed] = looks.get(closed, 0) + 1
    for (at, word, run), count in looks.items():
        things = "finding" if count == 1 else "findings"
        yield Moment(at=at, what=f"drift {word}", text=f"{count} {things}",
                     tone=WRONG if word == "found" else GOOD, about=("run", run))  # fmt: skip


def _of_journeys(life: Life) -> Iterator[Moment]:
    for journey in life.journeys:
        yield Moment(at=journey.started_at, what="journey started",
                     text=f"{journey.playbook_key} version {journey.playbook_version}",
                     about=("journey", journey.id))  # fmt: skip
        if journey.ended_at is not None:
            yield Moment(at=journey.ended_at, what=f"journey {journey.status}",
                         about=("journey", journey.id))  # fmt: skip
    for step in life.steps:
        tone = _OF_STEP.get(step.status)
        if tone is not None:
            yield Moment(at=step.ended_at or step.updated_at, tone=tone,
                         what=f"{step.key}: {step.status}", text=step.reason or "",
                         about=("journey", step.journey_id))  # fmt: skip


def _of_meetings(life: Life) -> Iterator[Moment]:
    for meeting in life.meetings:
        yield Moment(at=meeting.starts_at, what=f"meeting {meeting.status}", text=meeting.title,
                     about=("meeting", meeting.id))  # fmt: skip
