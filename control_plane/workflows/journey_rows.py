"""Rows of journeys and of their steps: waking one, what a step is done for, how a step moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.domain.audit import Stage
from control_plane.domain.cause import Cause
from control_plane.domain.journey import Journey, JourneyStep, StepStatus
from control_plane.domain.playbook import Playbook
from control_plane.domain.tenant import Tenant, TenantStatus
from control_plane.domain.timers import TimerKind
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act, Core
from control_plane.workflows.recording import record
from control_plane.workflows.step_actions import Given


def wake_journey(act: Act, journey_id: str) -> None:
    """Let a journey look at what its steps wait for, soon: something happened.

    It takes no lock, and no turn of the journey overwrites it.
    """
    act.uow.timers.set(TimerKind.JOURNEY_TURN, journey_id, act.now())


def given(act_or_uow: Act | UnitOfWork, step: JourneyStep, *, playbook: Playbook) -> Given:
    """Return what an action is done for, as it is now."""
    uow = act_or_uow.uow if isinstance(act_or_uow, Act) else act_or_uow
    journey = uow.journeys.need(step.journey_id)
    (request,) = uow.requests.find(contract_ref=journey.contract_ref)
    return Given(
        tenant=uow.tenants.need(journey.tenant_id),
        contract=uow.contracts.need(journey.contract_ref),
        contacts=tuple(request.body.get("contacts") or ()),
        journey=journey,
        step=step,
        declared=playbook.by_key[step.key],
        cause=cause_of(journey, step),
    )


def cause_of(journey: Journey, step: JourneyStep) -> Cause:
    """Return the cause of what is made for a step in its present round."""
    return Cause(
        playbook=journey.playbook,
        digest=journey.playbook_digest,
        journey_id=journey.id,
        step=step.key,
        round=step.round,
    )


def playbook_of(core: Core, uow: UnitOfWork, journey: Journey) -> Playbook:
    """Return the playbook that a journey began with, also when its file is gone."""
    return core.playbooks.kept(uow.playbooks.need(journey.playbook_digest))


def facts_of(
    tenant: Tenant, subscription: str, chat: str | None, *, is_settled: bool | None = None
) -> Mapping[str, str]:
    """Return the facts that conditions of a playbook ask for; what is unknown is left out.

    ``is_settled`` says whether the mode is, where the tenant's status does not say it yet.
    """
    if is_settled is None:
        is_settled = tenant.status is not TenantStatus.MODE_CONFLICT
    found = {
        "mode": tenant.mode if is_settled else None,
        "subscription": subscription,
        "country": tenant.country,
        "chat": chat,
    }
    return {name: value for name, value in found.items() if value is not None}


def steps_of(uow: UnitOfWork, journey: Journey) -> dict[str, JourneyStep]:
    """Return the steps of a journey by their keys."""
    return {step.key: step for step in uow.journey_steps.find(journey_id=journey.id)}


def save_step(act: Act, before: JourneyStep, after: JourneyStep) -> JourneyStep:
    """Store a step and record its status if that changed."""
    act.uow.journey_steps.save(after)
    if (before.status, before.round) != (after.status, after.round):
        code = str(after.error["code"]) if after.error is not None else None
        is_failed = after.status is StepStatus.FAILED
        record(
            act, "journey.step_moved",
            tree=after.tenant_id, targets=targets_of(after),
            stage=Stage.FAILED if is_failed else Stage.COMPLETED,
            step=after.key, round=after.round, status=str(after.status),
            previous_status=str(before.status), outcome=after.outcome,
            attempt=after.attempts or None, code=code if is_failed else None,
        )  # fmt: skip
    return after


def targets_of(about: Journey | JourneyStep) -> tuple[tuple[str, str], ...]:
    """Return what an event about a journey, or a step of it, is about."""
    journey_id = about.id if isinstance(about, Journey) else about.journey_id
    return (("tenant", about.tenant_id), ("journey", journey_id))


def error_of(code: str, message: str, remedy: str, **data: Any) -> dict[str, Any]:
    """Return an error of a step as it is kept in a row."""
    return {"code": code, "message": message, "remedy": remedy, "data": data}
