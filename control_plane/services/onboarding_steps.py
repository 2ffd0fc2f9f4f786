"""Steps of a tenant's onboarding, for those who look after it; the portal has its own door."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from control_plane.domain.actor import Actor, Role
from control_plane.domain.onboarding_document import Answers
from control_plane.domain.onboarding_step import StepStatus, StepVersion
from control_plane.domain.tenant import Tenant
from control_plane.services.permission import require_role
from control_plane.services.tenants import get_tenant
from control_plane.workflows import links
from control_plane.workflows import onboarding_steps as steps
from control_plane.workflows.core import Act
from control_plane.workflows.onboarding_steps import StepState
from control_plane.workflows.recording import refused_as

# who answers for a customer; there is no role of a customer success manager yet
EDITORS: Final = (Role.AUTOMATION, Role.SOLUTIONS_ARCHITECT, Role.PLATFORM_ADMIN)
# answers name people at the customer, so an auditor reads the log and not them
READERS: Final = (*EDITORS, Role.OPS_APPROVER)
_NEXT: Final = {
    StepStatus.OPEN: ("save",),
    StepStatus.SAVED: ("save", "complete"),
    StepStatus.REOPENED: ("save", "complete"),
    StepStatus.COMPLETE: ("reopen",),
}


@dataclass(frozen=True, kw_only=True)
class StepDetails:
    """A step of a tenant with each of its versions, oldest first."""

    tenant: Tenant
    state: StepState
    versions: Sequence[StepVersion]


@dataclass(frozen=True, kw_only=True)
class Onboarding:
    """Every step of a tenant, in order; a check is made for one step at a time."""

    tenant: Tenant
    document: str
    steps: Sequence[StepState]


def list_steps(act: Act, key: str) -> Onboarding:
    """Return the steps of a tenant. Raises ``NotFound``."""
    tenant = _tenant(act, key)
    return Onboarding(
        tenant=tenant,
        document=act.core.rules.onboarding.digest,
        steps=steps.board(act, tenant),
    )


def get_step(act: Act, key: str, step: str) -> StepDetails:
    """Return a step with what its checks find now. Raises ``NotFound``."""
    tenant = _tenant(act, key)
    return _details(act, tenant, steps.step_of(act, tenant, step))


def save_step(act: Act, key: str, step: str, *, answers: Answers, version: int) -> StepDetails:
    """Save answers to a step; raises what ``steps.save`` does."""
    tenant = _editable(act, key, "onboarding_steps.save")
    with refusal(act, tenant, step, "save"):
        found = steps.save(act, tenant, step, answers=answers, version=version)
        return _details(act, tenant, found)


def complete_step(act: Act, key: str, step: str, *, version: int) -> StepDetails:
    """Complete a step; raises what ``steps.complete`` does."""
    tenant = _editable(act, key, "onboarding_steps.complete")
    with refusal(act, tenant, step, "complete"):
        return _details(act, tenant, steps.complete(act, tenant, step, version=version))


def reopen_step(
    act: Act, key: str, step: str, *, resets: Collection[str], version: int, reason: str
) -> StepDetails:
    """Open a complete step again; raises what ``steps.reopen`` does."""
    tenant = _editable(act, key, "onboarding_steps.reopen")
    with refusal(act, tenant, step, "reopen"):
        found = steps.reopen(act, tenant, step, resets=resets, version=version, reason=reason)
        return _details(act, tenant, found)


def allowed_actions(actor: Actor, tenant: Tenant, state: StepState) -> list[str]:
    """Return what somebody may do with a step now."""
    if not actor.has(*EDITORS) or state.waits_for or links.is_leaving(tenant):
        return []
    return list(_NEXT[state.status])


@contextmanager
def refusal(act: Act, tenant: Tenant, step: str, wanted: str) -> Iterator[None]:
    """Let a refusal in the block leave an event; a step that nothing knows is not named in it."""
    known = step if step in act.core.rules.onboarding.by_key else None
    with refused_as(
        act, "onboarding.step_refused", tree=tenant.id, targets=(("tenant", tenant.id),),
        wanted=wanted, step=known,
    ):  # fmt: skip
        yield


def _tenant(act: Act, key: str) -> Tenant:
    tenant = get_tenant(act, key)
    require_role(act, *READERS, wanted="onboarding_steps.read", tree=tenant.id)
    return tenant


def _editable(act: Act, key: str, wanted: str) -> Tenant:
    tenant = get_tenant(act, key)
    require_role(act, *EDITORS, wanted=wanted, tree=tenant.id)
    return tenant


def _details(act: Act, tenant: Tenant, state: StepState) -> StepDetails:
    versions = act.uow.step_versions.find(step_id=state.row.id) if state.row else []
    return StepDetails(
        tenant=tenant, state=state, versions=sorted(versions, key=lambda each: each.number)
    )
