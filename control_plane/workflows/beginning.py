"""Beginning journeys: when a contract is accepted, and for some when the mode is settled.

What begins is known before anything of it is stored, so that the run or the bundle that a step
follows has its cause from the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from control_plane.domain.cause import Cause
from control_plane.domain.errors import Conflict
from control_plane.domain.journey import (
    ENDED,
    Journey,
    JourneyStatus,
    JourneyStep,
    StepStatus,
    step_id,
)
from control_plane.domain.playbook import Anchor, KeptPlaybook, Playbook
from control_plane.domain.tenant import Contract, Tenant
from control_plane.workflows.core import Act
from control_plane.workflows.journey_rows import (
    cause_of,
    facts_of,
    playbook_of,
    steps_of,
    targets_of,
)
from control_plane.workflows.journeys import enqueue_turn
from control_plane.workflows.outside import chat_of
from control_plane.workflows.recording import record

_PROVISION: Final = "tenant.provision"
_MODE: Final = "mode"


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """A journey as it begins, with its steps; nothing of it is stored yet."""

    journey: Journey
    steps: Sequence[JourneyStep]
    playbook: Playbook


def journeys_of(
    act: Act,
    tenant: Tenant,
    contract: Contract,
    *,
    trigger: str,
    is_settled: bool,
) -> Sequence[Beginning]:
    """Return the journeys by each playbook in force that fits; stores nothing.

    While the mode is not settled, no playbook fits that asks for one.
    """
    chat = chat_of(act.core, tenant, contract)
    facts = facts_of(tenant, contract.subscription, chat, is_settled=is_settled)
    return [
        _beginning(act, playbook, tenant, contract)
        for playbook in act.core.playbooks.active()
        if playbook.fits(trigger, facts)
    ]


def journeys_once_settled(
    act: Act, tenant: Tenant, contract: Contract, *, trigger: str
) -> Sequence[Beginning]:
    """Return the journeys that waited for the tenant's mode; stores nothing."""
    begun = {each.playbook_key for each in act.uow.journeys.find(contract_ref=contract.id)}
    found = journeys_of(act, tenant, contract, trigger=trigger, is_settled=True)
    return [
        each
        for each in found
        if _MODE in each.playbook.applies_to and each.playbook.key not in begun
    ]


def cause_of_provision(beginnings: Sequence[Beginning]) -> Cause | None:
    """Return the first step of what begins that follows the tenant's provisioning."""
    for each in beginnings:
        steps = {step.key: step for step in each.steps}
        for declared in each.playbook.steps:
            if declared.action == _PROVISION:
                return cause_of(each.journey, steps[declared.key])
    return None


def standing_cause_of_provision(act: Act, tenant: Tenant) -> Cause | None:
    """Return the step of an open journey that still follows the tenant's provisioning."""
    for journey in act.uow.journeys.find(tenant_id=tenant.id, status=JourneyStatus.OPEN):
        steps = steps_of(act.uow, journey)
        for declared in playbook_of(act.core, act.uow, journey).steps:
            step = steps[declared.key]
            if declared.action == _PROVISION and step.status not in ENDED:
                return cause_of(journey, step)
    return None


def begin_journeys(act: Act, beginnings: Sequence[Beginning]) -> None:
    """Begin journeys, in the caller's transaction."""
    for each in beginnings:
        _keep_document(act, each.playbook)
        act.uow.add(each.journey, *each.steps)
        record(
            act, "journey.started",
            tree=each.journey.tenant_id, targets=targets_of(each.journey),
            playbook=each.journey.playbook, version=each.playbook.version,
            digest=each.playbook.digest,
        )  # fmt: skip
        enqueue_turn(act, each.journey)


def _beginning(act: Act, playbook: Playbook, tenant: Tenant, contract: Contract) -> Beginning:
    now = act.now()
    journey = Journey(
        id=act.new_id("journey"),
        tenant_id=tenant.id,
        contract_ref=contract.id,
        playbook_key=playbook.key,
        playbook_version=playbook.version,
        playbook_digest=playbook.digest,
        status=JourneyStatus.OPEN,
        anchors={str(Anchor.SIGNED): contract.signed_at},
        started_at=now,
        updated_at=now,
    )
    steps = [
        JourneyStep(
            id=step_id(journey.id, step.key),
            journey_id=journey.id,
            tenant_id=tenant.id,
            key=step.key,
            kind=step.kind,
            owner=step.owner,
            status=StepStatus.WAITING,
            updated_at=now,
        )
        for step in playbook.steps
    ]
    return Beginning(journey=journey, steps=steps, playbook=playbook)


def _keep_document(act: Act, playbook: Playbook) -> None:
    if act.uow.playbooks.get(playbook.digest) is not None:
        return
    kept = KeptPlaybook(
        id=playbook.digest,
        key=playbook.key,
        version=playbook.version,
        content=playbook.content,
        kept_at=act.now(),
    )
    try:
        act.uow.add(kept)
    except Conflict:  # another request keeps the same document
        act.uow.playbooks.need(playbook.digest)
