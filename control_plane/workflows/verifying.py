"""Verification: the named checks of what exists, kept as evidence for one state of the stack.

The engine's own checks come with its look; here are those that need the rules.
"""

from __future__ import annotations

from functools import partial

from control_plane.domain.audit import Stage
from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.domain.engine import Check, Look
from control_plane.domain.errors import EngineFailed, VerificationFailed
from control_plane.domain.evidence import Evidence
from control_plane.domain.finding import OF_STATE, Finding
from control_plane.domain.kinds import KINDS
from control_plane.domain.run import Run
from control_plane.ports.engine import Applied, EngineCall
from control_plane.workflows.core import Act
from control_plane.workflows.drift import as_drift, keep_findings
from control_plane.workflows.placing import policy_scope
from control_plane.workflows.recording import record_foreign_update, record_run
from control_plane.workflows.residence import hold_for, keep_residence, still_unknown
from control_plane.workflows.waiving import record_ended

_NAMED = 5  # violations named in the detail of a check
ISOLATION = "isolation"  # the policy rule whose verdict is a check of its own


def keep_evidence(act: Act, run: Run, call: EngineCall, look: Look) -> Run:
    """Store what a verification found, and what differs as findings.

    It is the newest evidence of the run's deployment, unless the run only looks: such a run leaves
    the deployment as it was. A verification that found a fault leaves the stack unsettled: the next
    run brings the state to what the cloud holds before it plans. Raises ``EngineFailed`` for a run
    that only looks and could not look at everything.
    """
    looks = KINDS[run.kind].looks
    if looks and look.unanswered:
        raise EngineFailed(f"the look is not complete: {look.unanswered}", reason="unanswered")
    deployment = act.uow.deployments.need(run.deployment_id, lock=True)
    now = act.now()
    checks = _checks(act, run, deployment, look)
    evidence = Evidence(
        id=act.new_id("evidence"),
        deployment_id=deployment.id,
        run_id=run.id,
        call_id=call.call_id,
        spec_number=run.spec_number,
        state_digest=look.state_digest,
        ok=all(check.ok for check in checks),
        checks=checks,
        looked_at=now,
    )
    act.uow.evidence.add(evidence)
    closes = partial(_closes, run, deployment, is_ok=evidence.ok)
    if not looks:
        _take_over(act, run, deployment, evidence, look)
    elif not deployment.is_unsettled and look.state_digest != deployment.state_digest:
        record_foreign_update(act, run, deployment, look.state_digest)
    run = run.changed(now, evidence_id=evidence.id, failures=0)
    act.uow.runs.save(run)
    failed = [check.name for check in checks if not check.ok]
    record_run(
        act, "run.verified", run,
        stage=Stage.FAILED if failed else Stage.COMPLETED,
        checks=[{"name": check.name, "ok": check.ok} for check in checks],
        failed=failed, state_digest=look.state_digest,
    )  # fmt: skip
    out = keep_residence(act, run, deployment, look)
    if not look.unanswered:
        unknown = still_unknown(act.uow, deployment.id, look)
        left = map(as_drift, look.remaining)
        kept = keep_findings(act, run, (*look.drift, *left, *out, *unknown), closes=closes)
        record_ended(act, kept.unwaived, why="value_changed")
        hold_for(act, run.tenant_id, kept.opened)
    return run


def _closes(run: Run, deployment: Deployment, finding: Finding, *, is_ok: bool) -> bool:
    """Tell whether a finding is closed that was not seen any more.

    Settling may have read it into the state, so that no look sees it although nobody has decided.
    Then a run ends it that was verified: of the whole, or of a scope that has the finding.
    """
    if not deployment.is_read or finding.kind not in OF_STATE:
        return True
    if KINDS[run.kind].looks or not is_ok:
        return False
    return run.scope is None or finding.subject in run.scope.urns


def _take_over(act: Act, run: Run, deployment: Deployment, evidence: Evidence, look: Look) -> None:
    """Let a deployment have what its verification found."""
    act.uow.deployments.save(
        deployment.changed(
            act.now(),
            outputs=public_outputs(look),
            state_digest=look.state_digest,
            evidence_id=evidence.id,
            applied_spec=evidence.spec_number if evidence.ok else deployment.applied_spec,
            is_unsettled=not evidence.ok,
            is_read=deployment.is_read and not (evidence.ok and run.scope is None),
        )
    )


def public_outputs(look: Look | Applied) -> dict[str, object]:
    """Return what the program exported; secret outputs stay in the engine's state alone."""
    return {name: value for name, value in look.outputs.items() if name not in look.secret_outputs}


def failure_of(evidence: Evidence) -> VerificationFailed:
    """Return the error of a run whose verification found a fault."""
    failed = [check for check in evidence.checks if not check.ok]
    names = [check.name for check in failed]
    detail = failed[0].detail if failed else ""
    return VerificationFailed(f"{', '.join(names)}: {detail or 'failed'}", checks=names)


def _checks(act: Act, run: Run, deployment: Deployment, look: Look) -> tuple[Check, ...]:
    by_engine = {check.name: check for check in look.checks}
    missing = [
        Check(name=name, ok=False, detail="the engine did not run this check")
        for name in KINDS[run.kind].checks
        if name not in by_engine
    ]
    judged = act.core.policies.evaluate_state(look.resources, policy_scope(act.uow, deployment))
    leaks = [v for v in judged.mandatory if v.rule == ISOLATION]
    others = [v for v in judged.mandatory if v.rule != ISOLATION]
    policy = "; ".join(f"{v.rule}: {v.address}" for v in others[:_NAMED])
    checks = [*look.checks, *missing, Check(name="policies_hold", ok=not policy, detail=policy)]
    if deployment.kind is DeploymentKind.SLICE:
        found = "; ".join(f"{v.address}: {v.reason}" for v in leaks[:_NAMED])
        checks.append(Check(name=ISOLATION, ok=not leaks, detail=found))
    return tuple(checks)
