"""The mode of a tenant: from the facts of a request to the recorded decision."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from control_plane.domain.errors import InvalidInput
from control_plane.domain.facts import CONTRACT_FACTS, Facts, submitted_as
from control_plane.domain.mode import Mode, ModeDecision, Outcome, resolve
from control_plane.domain.spellings import instant
from control_plane.domain.tenant import Tenant
from control_plane.services.permission import READ_TENANTS, require_role
from control_plane.workflows.core import Act, Core
from control_plane.workflows.recording import record

Resolved = tuple[Facts, ModeDecision]
_AHEAD: Final = timedelta(days=1)  # local time with the mark of another zone is signed "tomorrow"


def facts_of(body: Mapping[str, Any]) -> Facts:
    """Return the resolver's facts of a request. Raises ``InvalidInput``."""
    document = {**(body.get("requirements") or {})}
    for name, signed_as in CONTRACT_FACTS.items():
        document[name] = body["contract"].get(signed_as)
    return Facts.from_document(document)


def resolved_of(core: Core, body: Mapping[str, Any]) -> Resolved:
    """Return facts and decision of a request; what is wrong is named as the request has it."""
    if instant(body["contract"]["signed_at"]) > core.clock.now() + _AHEAD:
        raise InvalidInput(
            "The contract is signed in the future; send the instant of its last signature.",
            field="contract.signed_at",
        )
    try:
        facts = facts_of(body)
        return facts, resolve(facts, core.rules.mode)
    except InvalidInput as error:
        raise error.renamed(submitted_as) from error


def resolve_mode(act: Act, facts: Facts) -> ModeDecision:
    """Answer which mode given facts lead to; stores nothing."""
    require_role(act, *READ_TENANTS, wanted="mode_resolutions.create")
    return resolve(facts, act.core.rules.mode)


def record_decision(act: Act, tenant: Tenant, decision: ModeDecision) -> None:
    """Record what the resolver found, with every rule that fired."""
    action = "mode.resolved" if decision.outcome is Outcome.RESOLVED else "mode.conflict"
    record(
        act, action,
        tree=tenant.id, targets=(("tenant", tenant.id),),
        mode=str(decision.mode) if decision.mode else None,
        required_mode=str(decision.required_min), region=decision.region,
        rules=[fired.rule for fired in decision.fired], rules_digest=decision.rules_digest,
        facts_digest=decision.input_digest,
        needs_review=decision.outcome is Outcome.NEEDS_REVIEW,
    )  # fmt: skip


def mode_of(decision: ModeDecision) -> Mode | None:
    """Return the mode that a decision starts, None when it waits for an architect."""
    is_resolved = decision.outcome is Outcome.RESOLVED and decision.mode is not None
    return decision.mode if is_resolved else None
