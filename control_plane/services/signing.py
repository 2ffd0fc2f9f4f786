"""Taking a signed decision: whose key it is, what it says, and that it was not used before."""

from __future__ import annotations

from typing import Any

from control_plane.domain.approval import Approval
from control_plane.domain.approver_errors import SignatureNeeded, SignatureRefused
from control_plane.domain.deployment import Deployment
from control_plane.domain.run import Run
from control_plane.domain.signed_decision import SignedStatement, require_in_time
from control_plane.workflows.core import Act
from control_plane.workflows.signed import expected_of, verified


def check_signed(
    act: Act,
    approval: Approval,
    run: Run,
    deployment: Deployment,
    signed: SignedStatement | None,
    *,
    verdict: str,
    reason: str,
    ticks: tuple[str, ...],
) -> None:
    """Refuse a decision whose signature is missing or is not of exactly this decision.

    Raises ``SignatureNeeded``, ``SignatureRefused``.
    """
    if signed is None:
        if approval.signed:
            raise SignatureNeeded(
                "a rule asks for signed decisions: run `tenantctl approval "
                f"{verdict} {approval.id} --key FILE.pub`"
            )
        return
    actor = act.caller.actor.id
    found = act.uow.approver_keys.find(fingerprint=signed.approver_key)
    if not found or found[0].actor_id != actor:
        raise SignatureRefused("the key is not enrolled as yours")
    if found[0].status != "confirmed":
        raise SignatureRefused(
            "the key was revoked" if found[0].revoked_at else "nobody has confirmed the key yet"
        )
    plan = act.uow.plans.need(approval.plan_id)
    said = verified(
        act.core.approvers, signed, expected_of(act, run, deployment, plan, plan.parts),
        actor=actor, verdict=verdict, reason=reason, acknowledged=ticks,
    )  # fmt: skip
    require_in_time(said, act.now())
    if said["expires_at"] > approval.expires_at:
        raise SignatureRefused("the statement lasts longer than the approval")


def told_of(signed: SignedStatement | None) -> dict[str, Any]:
    """Return what an event says of a signature: all that is needed to verify it from the log."""
    if signed is None:
        return {}
    return {
        "statement": signed.statement, "signature": signed.signature,
        "approver_key": signed.approver_key,
    }  # fmt: skip
