"""Signed decisions: what a signature must be of, when it is given and before anything is applied.

At the apply nothing of the database is believed but the signed texts themselves: keys come from the
worker's own list, the rules from its own documents, the plan from the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from control_plane.domain.approval import Decision, standing
from control_plane.domain.approver_errors import ApplyNotSigned, SignatureRefused
from control_plane.domain.audit import commitment
from control_plane.domain.deployment import PLATFORM, Deployment
from control_plane.domain.documents import Documented
from control_plane.domain.plan import Plan, plan_digest
from control_plane.domain.risk import kinds_of, risks_of
from control_plane.domain.run import Run, RunKind
from control_plane.domain.signed_decision import (
    NAMESPACE,
    SignedStatement,
    read,
    require_in_time,
    shown_digest,
    subject,
    verdict_facts,
)
from control_plane.domain.sshsig import SshInvalid, verify
from control_plane.ports.approvers import Approvers, KnownKey
from control_plane.ports.engine import EnginePlan
from control_plane.workflows.core import Act


def expected_of(
    act: Act, run: Run, deployment: Deployment, plan: Plan | EnginePlan, parts: Mapping[str, str]
) -> dict[str, Any]:
    """Return what a signed statement says of the plan of a run, with what is shown of it."""
    about = {
        "id": run.approval_id, "run_id": run.id, "stack": deployment.stack,
        "region": deployment.region, "account_id": deployment.account_id,
        "plan_digest": plan_digest(parts),
    }  # fmt: skip
    return {
        **subject(
            host=act.core.approvers.host, tree=run.tenant_id or PLATFORM, approval=about,
            parts=parts,
        ),
        "shown": shown_digest(*map(_documents, (plan.operations, plan.outputs, plan.resources))),
    }  # fmt: skip


def verified(
    approvers: Approvers,
    signed: SignedStatement,
    about: Mapping[str, Any],
    *,
    actor: str,
    verdict: str,
    reason: str,
    acknowledged: Sequence[str],
) -> dict[str, Any]:
    """Return what a signed decision says, once it is ``about`` that and says exactly the rest.

    Raises ``SignatureRefused``.
    """
    try:
        _, fingerprint = verify(
            signed.statement, signed.signature, namespace=NAMESPACE, check=approvers.check
        )
        reason_digest = commitment(bytes.fromhex(signed.reason_salt), reason)
    except SshInvalid as error:
        raise SignatureRefused(str(error)) from error
    except ValueError as error:
        raise SignatureRefused("reason_salt must be 32 bytes as hex digits") from error
    if fingerprint != signed.approver_key:
        raise SignatureRefused("the statement was signed with another key than it names")
    facts = verdict_facts(
        actor=actor, approver_key=fingerprint, verdict=verdict, reason_digest=reason_digest,
        acknowledged=acknowledged,
    )  # fmt: skip
    said = read(signed.statement, {**about, **facts}, more=())
    if said["nonce"] != signed.nonce:
        raise SignatureRefused("the nonce is not that of the statement")
    return said


def require_signed(
    act: Act, run: Run, deployment: Deployment, plan: Plan, found: EnginePlan, *, resumes: bool
) -> None:
    """Refuse to apply where rules ask for signed decisions and too few of them verify.

    What is resumed was shown in full by its plan; otherwise what the engine says now is compared
    with what was shown. Raises ``ApplyNotSigned``.
    """
    needed = _needed(act, run, deployment, plan, found)
    if not needed:
        return
    known = act.core.approvers.known()
    if known is None:
        raise ApplyNotSigned("the rules ask for signed decisions and no file of keys is set")
    about = expected_of(act, run, deployment, plan if resumes else found, plan.parts)
    people, faults = set(), []
    decisions = act.uow.decisions.find(approval_id=run.approval_id) if run.approval_id else []
    for each in standing(decisions, act.uow.withdrawals.find(approval_id=run.approval_id)):
        if each.decision != "approve":
            continue
        try:
            people.add(_signer(act, run, each, about, known, resumes=resumes))
        except SignatureRefused as error:
            faults.append(error.message)
    if len(people) < needed:
        why = f" ({'; '.join(dict.fromkeys(faults))})" if faults else ""
        raise ApplyNotSigned(
            f"{len(people)} of {needed} decisions are signed with keys that this worker knows{why}"
        )


def _needed(act: Act, run: Run, deployment: Deployment, plan: Plan, found: EnginePlan) -> int:
    """Return how many signed decisions the rules on this disk want, by what the engine shows."""
    rules = act.core.rules.approvals
    signs = act.core.policies.signs_of(found.operations, found.resources)
    seen = risks_of(
        found.operations, plan.evaluation, signs, rules.prices,
        is_first=run.kind is RunKind.PROVISION,
    )  # fmt: skip
    terms = rules.terms(
        deployment.kind, run.kind, {*kinds_of(plan.risks), *kinds_of(seen)},
        operations=found.operations, outputs=found.outputs,
    )  # fmt: skip
    return terms.needed if terms.signed else 0


def _signer(
    act: Act,
    run: Run,
    decision: Decision,
    about: Mapping[str, Any],
    known: Sequence[KnownKey],
    *,
    resumes: bool,
) -> str:
    """Return who signed a decision that verifies. Raises ``SignatureRefused``."""
    signed, now = decision.signed, act.now()
    if signed is None:
        raise SignatureRefused("a decision is not signed")
    key = next((each for each in known if each.fingerprint == signed.approver_key), None)
    if key is None:
        raise SignatureRefused("a key is not in this worker's file of approvers")
    said = verified(
        act.core.approvers, signed, about, actor=key.actor, verdict="approve",
        reason=decision.reason, acknowledged=decision.acknowledged,
    )  # fmt: skip
    if key.actor != decision.actor_id:
        raise SignatureRefused("a decision was signed by somebody else")
    if key.actor in run.requesters:
        raise SignatureRefused("who asked for the change signed it")
    begins: datetime = (run.started_at or now) if resumes else now
    require_in_time(said, begins)
    if resumes and now >= said["expires_at"] + act.core.rules.approvals.resumes_within:
        raise SignatureRefused("the statement has expired")
    if not key.is_valid(now):
        raise SignatureRefused("a key does not count any more")
    return key.actor


def _documents(items: Sequence[Documented]) -> list[dict[str, Any]]:
    return [item.to_document() for item in items]
