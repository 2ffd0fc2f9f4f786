"""Deciding what becomes of findings: adopted, reverted, or waived until a date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from control_plane.domain.actor import Actor, ActorKind
from control_plane.domain.adoption import ADOPTABLE, Adopted, spec_path, value_at, with_adopted
from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.domain.errors import (
    FindingGone,
    FindingNotDecidable,
    IllegalTransition,
    InvalidInput,
    MachineMayNotDecide,
    NotFound,
    RunInProgress,
    StackUnsettled,
)
from control_plane.domain.finding import OF_DRIFT, Finding, FindingKind
from control_plane.domain.finding_decision import (
    LONGEST_WAIVER,
    FindingDecision,
    Verdict,
    by_hand,
    verdicts_for,
)
from control_plane.domain.kinds import KINDS
from control_plane.domain.run import TERMINAL_RUN, Run, Scope
from control_plane.domain.spec import PROGRAMS
from control_plane.services.permission import READ_TENANTS, listed, require_role, visible
from control_plane.services.starting import request_run
from control_plane.services.tenants import CHECKERS, get_tenant
from control_plane.workflows.core import Act
from control_plane.workflows.drift import findings_told, is_looked_at, show_drifted, value_digest
from control_plane.workflows.placing import spec_document, spec_of
from control_plane.workflows.recording import record, refused_as
from control_plane.workflows.waiving import waive

DECIDERS: Final = CHECKERS
MOST: Final = 100  # findings that are decided at once
_REASON_LENGTH: Final = 1000
_RESOURCES: Final = frozenset({FindingKind.CHANGED, FindingKind.MISSING})


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What was decided: the findings as they are now, and the run that carries it out, if any."""

    findings: tuple[Finding, ...]
    decisions: tuple[FindingDecision, ...]
    run_id: str | None


def may_decide(act: Act, finding_id: str) -> Finding:
    """Return a finding on which the caller's role decides. Raises ``NotFound``, ``NotAllowed``."""
    finding = visible(act, act.uow.findings.get(finding_id), wanted="finding_decisions.create")
    require_role(act, *DECIDERS, wanted="finding_decisions.create", tree=finding.tenant_id)
    return finding


def may_decide_of_tenant(act: Act, key: str) -> str:
    """Return the id of a tenant on whose findings the caller's role decides."""
    tenant = get_tenant(act, key)
    require_role(act, *DECIDERS, wanted="finding_decisions.create", tree=tenant.id)
    return tenant.id


def decide(
    act: Act, finding_id: str, *, verdict: Verdict, reason: str, until: datetime | None = None
) -> Decided:
    """Decide on one finding, as ``decide_all`` does."""
    finding = may_decide(act, finding_id)
    return _decide(act, finding.tenant_id, [finding_id], verdict, reason, until)


def decide_of_tenant(
    act: Act,
    key: str,
    finding_ids: Sequence[str],
    *,
    verdict: Verdict,
    reason: str,
    until: datetime | None = None,
) -> Decided:
    """Decide the same on several findings of a tenant: on all of them or on none.

    A waiver needs ``until``, at most ``LONGEST_WAIVER`` from now. Adopting and reverting request a
    run that is limited to the resources named; it asks for the approval that the rules want.
    Raises ``FindingGone`` for one that has closed, ``FindingNotDecidable`` for what cannot be
    decided so, ``MachineMayNotDecide``, ``InvalidInput``, and ``RunInProgress`` where another run
    of the deployment is open.
    """
    tenant_id = may_decide_of_tenant(act, key)
    return _decide(act, tenant_id, finding_ids, verdict, reason, until)


def _decide(
    act: Act,
    tenant_id: str | None,
    finding_ids: Sequence[str],
    verdict: Verdict,
    reason: str,
    until: datetime | None,
) -> Decided:
    targets = tuple(("finding", each) for each in finding_ids[:MOST])
    with refused_as(
        act, "drift.refused", tree=tenant_id, targets=targets, verdict=str(verdict),
        findings=list(finding_ids[:MOST]),
    ):  # fmt: skip
        if act.caller.actor.kind is not ActorKind.USER:
            raise MachineMayNotDecide("what becomes of a finding is decided by a person")
        _check_words(act, finding_ids, verdict, reason, until)
        deployment, findings = _locked(act, tenant_id, finding_ids)
        for finding in findings:
            _require_decidable(finding, verdict)
        run = None if verdict is Verdict.WAIVE else _carried_out(act, deployment, findings, verdict)
        return _store(act, findings, verdict, reason.strip(), until, run)


def _check_words(
    act: Act, ids: Sequence[str], verdict: Verdict, reason: str, until: datetime | None
) -> None:
    if not 0 < len(ids) <= MOST:
        raise InvalidInput(f"name 1 to {MOST} findings", field="findings")
    if len(set(ids)) < len(ids):
        raise InvalidInput("a finding is named twice", field="findings")
    if not 0 < len(reason.strip()) <= _REASON_LENGTH:
        raise InvalidInput(f"reason must have 1 to {_REASON_LENGTH} characters", field="reason")
    if verdict is not Verdict.WAIVE:
        if until is not None:
            raise InvalidInput("only a waiver has an end", field="until")
        return
    latest = act.now() + LONGEST_WAIVER
    if until is None:
        raise InvalidInput("a waiver needs its end", field="until")
    if not act.now() < until <= latest:
        raise InvalidInput(
            f"a waiver ends in the future, and within {LONGEST_WAIVER.days} days: until "
            f"{latest:%Y-%m-%d} at the latest",
            field="until",
        )


def _locked(
    act: Act, tenant_id: str | None, ids: Sequence[str]
) -> tuple[Deployment, list[Finding]]:
    """Return the deployment and its findings, which stay as they are until this is committed.

    Raises ``NotFound``, and ``InvalidInput`` for findings of two deployments.
    """
    known = {each.id: each for each in act.uow.findings.find(id=tuple(ids))}
    missing = [each for each in ids if each not in known or known[each].tenant_id != tenant_id]
    if missing:
        raise NotFound(f"there is no finding {missing[0]}")
    owners = {each.deployment_id for each in known.values()}
    if len(owners) > 1:
        raise InvalidInput("the findings are of several deployments", field="findings")
    deployment = act.uow.deployments.need(owners.pop(), lock=True)
    return deployment, [act.uow.findings.need(each, lock=True) for each in ids]


def _require_decidable(finding: Finding, verdict: Verdict) -> None:
    """Raise ``FindingGone`` or ``FindingNotDecidable``, saying what can be done instead."""
    if finding.closed_at is not None:
        raise FindingGone(
            f"{finding.id} was closed on {finding.closed_at:%Y-%m-%d %H:%M} UTC: it no longer "
            "differs",
            finding=finding.id, closed_by=finding.closed_by,
        )  # fmt: skip
    if verdict in verdicts_for(finding):
        if verdict is not Verdict.ADOPT or spec_path(finding) is not None:
            return
        raise FindingNotDecidable(
            f"no spec says what {finding.path} of {finding.type} is, so it cannot be adopted; "
            f"these can: {', '.join(sorted({path for _, path in ADOPTABLE}))}",
            finding=finding.id, possible=_possible(finding),
        )  # fmt: skip
    raise FindingNotDecidable(
        _why_not(finding, verdict), finding=finding.id, possible=_possible(finding)
    )


def _why_not(finding: Finding, verdict: Verdict) -> str:
    if finding.kind is FindingKind.MISPLACED:
        return (
            f"{finding.subject} is in {finding.path}, where it was promised not to be: a promise "
            "is not waived here. Remove the copy by hand; the next look closes the finding"
        )
    if finding.kind is FindingKind.REMAINING:
        return (
            f"{finding.subject} was removed and has to stay for a time: there is nothing to decide"
        )
    if finding.kind is FindingKind.FOREIGN:
        done = "deleted" if verdict is Verdict.REVERT else "adopted"
        return (
            f"{finding.subject} is in no state of ours, so it is not {done} automatically. "
            f"{by_hand(finding)} Or waive it until a date"
        )
    return f"what does not exist cannot be adopted: {finding.subject}"


def _possible(finding: Finding) -> list[str]:
    return [str(each) for each in possible(finding)]


def possible(finding: Finding) -> tuple[Verdict, ...]:
    """Return what can be decided of a finding by those who may."""
    return tuple(
        each
        for each in verdicts_for(finding)
        if each is not Verdict.ADOPT or spec_path(finding) is not None
    )


def _carried_out(
    act: Act, deployment: Deployment, findings: Sequence[Finding], verdict: Verdict
) -> Run:
    """Request the run that adopts or reverts, limited to the resources of the findings."""
    _require_free(act, deployment)
    _require_whole(act, findings)
    adopts = verdict is Verdict.ADOPT
    if adopts:
        _adopt(act, deployment, findings)
    urns = tuple(sorted({each.subject for each in findings}))
    return request_run(act, deployment, scope=Scope(urns=urns, adopts=adopts))


def _require_free(act: Act, deployment: Deployment) -> None:
    newest = act.uow.queries.newest_run(deployment.id)
    if newest is not None and newest.status not in TERMINAL_RUN:
        raise RunInProgress(
            f"{newest.id}, which {KINDS[newest.kind].purpose}, is {newest.status}: wait for its "
            "end, or cancel it, and decide then",
            run=newest.id,
        )
    if not is_looked_at(act.uow, deployment):
        raise IllegalTransition("nothing is there that could be brought back")
    if deployment.is_unsettled:
        raise StackUnsettled(
            f"{newest.id if newest else 'the last run'} left the stack unsettled, so nobody knows "
            "yet what is there",
            run=newest.id if newest else None,
        )


def _require_whole(act: Act, findings: Sequence[Finding]) -> None:
    """A run takes a resource as a whole, so what differs of it is decided together."""
    named = {each.id for each in findings}
    subjects = tuple({each.subject for each in findings})
    open_ = act.uow.findings.find(
        deployment_id=findings[0].deployment_id, subject=subjects, closed_at=None
    )
    others = [each for each in open_ if each.id not in named and each.kind in _RESOURCES]
    if others:
        raise InvalidInput(
            "a run takes a resource as a whole; decide together on what else differs of it: "
            + ", ".join(f"{each.id} ({each.path or each.kind})" for each in others),
            field="findings",
        )


def _adopt(act: Act, deployment: Deployment, findings: Sequence[Finding]) -> None:
    """Let the deployment have the values that are there. Raises ``InvalidInput`` for one that no
    spec can have, ``IllegalTransition`` where the next spec would change more than these.
    """
    if deployment.kind is not DeploymentKind.DEDICATED:
        raise FindingNotDecidable("only a dedicated Hub has properties that can be adopted")
    applied = spec_of(act.uow, deployment, deployment.applied_spec).document
    document = spec_document(act, deployment)
    if document != applied:
        raise IllegalTransition(
            "the facts lead to another spec than the applied one; apply or take back that change "
            "first"
        )
    paths = {path: each for each in findings if (path := spec_path(each)) is not None}
    kept = {each.path: each for each in deployment.adopted}
    adopted = tuple(
        Adopted(
            path=path,
            value=finding.actual,
            # what the facts lead to, also where another value was adopted before
            over=kept[path].over if path in kept else value_at(document, path),
        )
        for path, finding in paths.items()
    )
    others = tuple(each for each in deployment.adopted if each.path not in paths)
    wanted = with_adopted(spec_document(act, _without(deployment, paths)), adopted)
    try:
        act.core.specs.validate(PROGRAMS[deployment.kind], wanted)
    except InvalidInput as error:
        raise FindingNotDecidable(
            f"a spec cannot have the value that is there: {error.message}"
        ) from error
    act.uow.deployments.save(deployment.changed(act.now(), adopted=(*others, *adopted)))


def _without(deployment: Deployment, paths: dict[str, Finding]) -> Deployment:
    rest = tuple(each for each in deployment.adopted if each.path not in paths)
    return deployment.changed(deployment.updated_at, adopted=rest)


def _store(
    act: Act,
    findings: Sequence[Finding],
    verdict: Verdict,
    reason: str,
    until: datetime | None,
    run: Run | None,
) -> Decided:
    actor = act.caller.actor
    decisions = tuple(
        FindingDecision(
            id=act.new_id("finding_decision"),
            finding_id=finding.id,
            tenant_id=finding.tenant_id,
            verdict=verdict,
            value_digest=value_digest(finding),
            until=until,
            run_id=run.id if run is not None else None,
            reason=reason,
            decided_by=actor.id,
            person=actor.person,
            actor_kind=actor.kind,
            decided_at=act.now(),
        )
        for finding in findings
    )
    for decision in decisions:
        act.uow.finding_decisions.add(decision)
    if until is not None:
        findings = [waive(act, finding, until) for finding in findings]
        show_drifted(act, findings[0].tenant_id)
    record(
        act, "drift.decided",
        tree=findings[0].tenant_id, targets=(("deployment", findings[0].deployment_id),),
        personal={"reason": reason}, verdict=str(verdict),
        until=until.isoformat() if until is not None else None,
        run=run.id if run is not None else None,
        findings=findings_told(findings), count=len(findings),
    )  # fmt: skip
    return Decided(
        findings=tuple(findings), decisions=decisions, run_id=run.id if run is not None else None
    )


# --- reading ---------------------------------------------------------------------------------
def list_open(act: Act, *, limit: int, before: str | None) -> list[Finding]:
    """Return the open findings of all that the caller sees, newest first: what is to be decided.

    What a removal has left until a date is none of these.
    """
    require_role(act, *READ_TENANTS, wanted="findings.read")
    equals = listed(act)
    return act.uow.findings.page(
        limit=limit, before=before, closed_at=None, kind=OF_DRIFT, **equals
    )


def get_finding(act: Act, finding_id: str) -> Finding:
    """Return a finding. Raises ``NotFound``."""
    require_role(act, *READ_TENANTS, wanted="findings.read")
    return visible(act, act.uow.findings.get(finding_id), wanted="findings.read")


def decisions_on(act: Act, finding_id: str) -> list[FindingDecision]:
    """Return every decision on a finding, oldest first. Raises ``NotFound``."""
    finding = get_finding(act, finding_id)
    return act.uow.finding_decisions.find(finding_id=finding.id)


def allowed_actions(finding: Finding, actor: Actor) -> list[str]:
    """Return what somebody may decide of a finding now."""
    may = actor.kind is ActorKind.USER and actor.has(*DECIDERS)
    return [str(each) for each in possible(finding)] if may else []


def to_do(finding: Finding) -> str:
    """Say in one sentence what is to be done about a finding; empty when it is closed."""
    if not finding.is_open:
        return ""
    if finding.waived_until is not None:
        return f"Waived until {finding.waived_until:%Y-%m-%d %H:%M} UTC; it counts again then."
    if finding.kind is FindingKind.REMAINING:
        return f"Nothing: it was removed, and stays until {finding.expected or 'it is deleted'}."
    if finding.kind is FindingKind.MISPLACED:
        return (
            f"Remove it from {finding.path}, then look again; a platform_admin releases the "
            "compliance hold."
        )
    if finding.kind is FindingKind.FOREIGN:
        return f"{by_hand(finding)} Or waive it."
    return f"Decide: {' or '.join(_possible(finding))}."
