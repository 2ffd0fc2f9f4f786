"""What the API answers of approvals."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from api.schemas.views import DependentView, View, documents
from control_plane.domain.approval import ApprovalStatus, items_of, standing
from control_plane.domain.run import RunKind, RunStatus
from control_plane.services.approvals import ApprovalDetails
from control_plane.workflows.opening import shown_opening
from control_plane.workflows.state_moved import MovedWhen


class StateMovedView(View):
    """Whether somebody else changed the stack, as far as is known before the apply looks.

    ``when`` is ``before_plan`` (the plan was made over what somebody else wrote), ``since_plan``
    (the apply will be refused) or null; ``open_findings`` counts what differs from what was
    applied.
    """

    when: MovedWhen | None
    seen_at: datetime | None
    open_findings: int


class ApprovalView(View):
    """A request for decisions: its subject, the requester, its terms, and the decisions.

    ``rules`` are all that fitted, ``rule`` is the strictest. ``approvals`` counts the people who
    approve; with ``signed`` who decides signs that with a key of their own. Each of
    ``irreversible`` has the ``item`` with which it is acknowledged. ``applies_from`` and
    ``applies_until`` are when an approved plan with ``windows`` may begin to be applied.
    ``state_moved`` is null in lists, and of an approval that has ended.
    """

    id: str
    status: ApprovalStatus
    run_id: str
    run_status: RunStatus
    run_error: dict[str, Any] | None
    tenant_id: str | None
    stack: str
    region: str
    account_id: str
    plan_id: str
    plan_digest: str
    summary: dict[str, int]
    risks: list[dict[str, Any]]
    irreversible: list[dict[str, Any]]
    tenant_slug: str | None
    legal_name: str | None
    mode: str | None
    mode_reason: str | None
    kind: RunKind
    requested_by: str
    on_behalf_of: str | None
    requested_at: datetime
    rule: str
    rules: list[str]
    needed: int
    approvals: int
    roles: list[str]
    windows: list[str]
    signed: bool
    applies_from: datetime | None
    applies_until: datetime | None
    expires_at: datetime
    affected: list[DependentView]
    barred: list[dict[str, str]]
    decisions: list[dict[str, Any]]
    state_moved: StateMovedView | None
    allowed_actions: list[str]
    created_at: datetime

    @classmethod
    def of(cls, view: ApprovalDetails) -> Self:
        """Return the view of an approval."""
        tenant, run = view.tenant, view.run
        given = standing(view.decisions, view.withdrawals)
        names = {urn: name for name, urn in items_of(view.plan.irreversible).items()}
        irreversible = documents(view.plan.irreversible)
        opening = shown_opening(view.approval)
        actions = ["decide"] if view.is_open else []
        return cls.like(
            view.approval,
            run_status=run.status,
            run_error=dict(run.error) if run.error else None,
            stack=view.deployment.stack,
            region=view.deployment.region,
            account_id=view.deployment.account_id,
            summary=view.plan.summary,
            risks=documents(view.plan.risks),
            irreversible=[{**each, "item": names[each["urn"]]} for each in irreversible],
            tenant_slug=tenant.slug if tenant else None,
            legal_name=tenant.legal_name if tenant else None,
            mode=tenant.mode if tenant else None,
            mode_reason=tenant.decision.get("summary") if tenant else None,
            kind=run.kind,
            requested_by=run.requested_by,
            on_behalf_of=run.on_behalf_of,
            requested_at=run.requested_at,
            approvals=len({each.person for each in given if each.decision == "approve"}),
            applies_from=opening["applies_from"],
            applies_until=opening["applies_until"],
            affected=[DependentView.like(each) for each in view.affected],
            barred=[{"subject": subject, "reason": reason} for subject, reason in view.barred],
            decisions=_decisions(view),
            state_moved=StateMovedView.like(view.moved) if view.moved is not None else None,
            allowed_actions=[*actions, *(["withdraw"] if view.can_withdraw else [])],
        )


def _decisions(view: ApprovalDetails) -> list[dict[str, Any]]:
    withdrawn = {each.decision_id: each for each in view.withdrawals}
    found = []
    for decision in view.decisions:
        undone = withdrawn.get(decision.id)
        found.append(
            {
                "id": decision.id,
                "decision": decision.decision,
                "by": decision.actor_id,
                "reason": decision.reason,
                "plan_digest": decision.plan_digest,
                "acknowledged": list(decision.acknowledged),
                "decided_at": decision.decided_at,
                "approver_key": decision.signed.approver_key if decision.signed else None,
                "withdrawn_at": undone.withdrawn_at if undone else None,
                "withdrawn_because": undone.reason if undone else None,
            }
        )
    return found
