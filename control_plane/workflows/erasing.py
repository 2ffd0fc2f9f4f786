"""What a removed tenant, Hub or former place leaves with us is destroyed.

Of a tenant or a Hub that is before its removal is certified, of a former place once it is closed.

The key of a stack's state follows from the master secret and a salt that only its row has
(``salting.py``). The records of the state are deleted first, then the salt, so that copies of the
records which somebody still has can be opened by nobody. From then on a look at what remains needs
no state: there is none. A deletion that was interrupted is done again; what is of rows is one
transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.domain.saga import Saga, SagaStep
from control_plane.domain.stack_salt import StackSalt
from control_plane.domain.tenant import Tenant
from control_plane.ports.engine import EngineCall
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.calling import reading_call
from control_plane.workflows.core import Act, Core
from control_plane.workflows.forgetting import forget_people
from control_plane.workflows.holding import CHECKED_AGAIN, Owner, clocks_stand_still
from control_plane.workflows.outbox import erase_of_tenant
from control_plane.workflows.recording import record
from control_plane.workflows.removal_rules import was_applied
from control_plane.workflows.saga_rows import owner_of_saga
from control_plane.workflows.saga_steps import Ended, Outcome, Waits
from control_plane.workflows.transferring import source_of

CONTACTS: Final = "contacts"  # of the request that a tenant came from
ERASED: Final = ""


def forget(core: Core, saga: Saga, step: SagaStep) -> Outcome:
    """Delete the states of the stacks, in whose records nothing is any more."""
    with core.act() as act:
        owner = owner_of_saga(act.uow, saga)
        if clocks_stand_still(act.uow, owner):
            return _held(act)
        calls = _calls(act, owner, step.id)
    return Ended(result={"records": sum(core.engine.forget(call) for call in calls)})


def erase(act: Act, saga: Saga, _: SagaStep) -> Outcome:
    """Destroy the keys of the stacks, and people at the customer in the tenant's rows."""
    stacks = _stacks(act.uow, owner_of_saga(act.uow, saga))
    locked = [act.uow.deployments.need(each.id, lock=True) for each in stacks]
    owner = owner_of_saga(act.uow, saga, lock=True)
    if clocks_stand_still(act.uow, owner):  # it was placed meanwhile: what is left stays
        return _held(act)
    keys = [_erase_key(act, saga, each) for each in locked]
    personal = _erase_personal(act, owner) if isinstance(owner, Tenant) else {}
    if isinstance(owner, Tenant):
        forget_people(act, owner)
    return Ended(
        result={"stacks": len(keys), **personal},
        data={"erased": {"stacks": keys, "personal": personal}},
    )


def forget_former(core: Core, saga: Saga, step: SagaStep) -> Outcome:
    """Delete the state of the place that a change of mode has left."""
    with core.act() as act:
        if clocks_stand_still(act.uow, owner_of_saga(act.uow, saga)):
            return _held(act)
        former = source_of(act.uow, saga)
        if not was_applied(former):
            return Ended(skipped="nothing was ever applied")
        call = reading_call(act, former, step.id)
    return Ended(result={"records": core.engine.forget(call)})


def erase_former(act: Act, saga: Saga, _: SagaStep) -> Outcome:
    """Destroy the key of the place that a change of mode has left."""
    former = act.uow.deployments.need(source_of(act.uow, saga).id, lock=True)
    if clocks_stand_still(act.uow, owner_of_saga(act.uow, saga, lock=True)):
        return _held(act)
    return Ended(result=_erase_key(act, saga, former))


def _held(act: Act) -> Waits:
    return Waits(
        says="the release of a hold: nothing is erased while it stands",
        until=act.now() + CHECKED_AGAIN,
    )


def _stacks(uow: UnitOfWork, owner: Owner) -> Sequence[Deployment]:
    """Return all that an owner ever had a stack of, also what another has taken the place of."""
    if not isinstance(owner, Tenant):
        return uow.deployments.find(hub_id=owner.id, kind=DeploymentKind.HUB)
    every = uow.deployments.find(tenant_id=owner.id)
    return [each for each in every if each.kind is not DeploymentKind.CUSTOMER_RUN]


def _calls(act: Act, owner: Owner, call_id: str) -> list[EngineCall]:
    return [
        reading_call(act, each, f"{call_id}.{number}")
        for number, each in enumerate(_stacks(act.uow, owner), 1)
        if was_applied(each) and not _is_erased(act.uow.salts.get(each.id))
    ]


def _is_erased(salt: StackSalt | None) -> bool:
    return salt is not None and salt.erased_at is not None


# --- keys --------------------------------------------------------------------------------------
def _erase_key(act: Act, saga: Saga, deployment: Deployment) -> dict[str, Any]:
    """Erase the salt of a stack, and return what the certificate says of it.

    One that never had a salt gets none any more; the key of a former place went with that place.
    ``older_copies_open``: copies of records from before its salt are under a key that the master
    secret alone makes.
    """
    salt, now = act.uow.salts.get(deployment.id, lock=True), act.now()
    if salt is None:
        is_late = was_applied(deployment)
        salt = StackSalt(
            id=deployment.id, salt=None, is_late=is_late, made_at=now, erased_at=now
        )  # fmt: skip
        act.uow.salts.add(salt)
    elif salt.erased_at is None:
        salt = salt.erased(now)
        act.uow.salts.save(salt)
    else:
        return _destroyed(deployment, salt)
    act.uow.deployments.save(deployment.changed(now, state_digest=None))
    record(
        act, "stack.key_destroyed",
        tree=saga.tenant_id, targets=(("deployment", deployment.id), ("saga", saga.id)),
        stack=deployment.stack,
    )  # fmt: skip
    return _destroyed(deployment, salt)


def _destroyed(deployment: Deployment, salt: StackSalt) -> dict[str, Any]:
    at = salt.erased_at.isoformat() if salt.erased_at is not None else None
    return {
        "stack": deployment.stack, "key_destroyed_at": at, "older_copies_open": salt.is_late,
    }  # fmt: skip


# --- personal values ---------------------------------------------------------------------------
def _erase_personal(act: Act, tenant: Tenant) -> dict[str, int]:
    """Erase people at the customer from the tenant's rows; returns how many of each."""
    contacts = recipients = 0
    for request in act.uow.requests.find(tenant_id=tenant.id):
        people = request.body.get(CONTACTS) or ()
        if people:
            contacts += len(people)
            act.uow.requests.save(replace(request, body={**request.body, CONTACTS: []}))
    bundles = tuple(each.id for each in act.uow.bundles.find(tenant_id=tenant.id))
    for handover in act.uow.handovers.find(bundle_id=bundles) if bundles else ():
        if handover.recipient_name or handover.recipient_email:
            recipients += 1
            act.uow.handovers.save(replace(handover, recipient_name=ERASED, recipient_email=ERASED))
    messages = erase_of_tenant(act, tenant.id)
    if messages:
        record(
            act, "message.erased",
            tree=tenant.id, targets=(("tenant", tenant.id),), count=messages,
        )  # fmt: skip
    rows = act.uow.personal_rows.erase(act.now(), tenant.id)
    if contacts or recipients or rows:
        record(
            act, "tenant.personal_erased",
            tree=tenant.id, targets=(("tenant", tenant.id),),
            contacts=contacts, recipients=recipients, count=rows,
        )  # fmt: skip
    return {"contacts": contacts, "recipients": recipients, "messages": messages}
