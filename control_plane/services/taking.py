"""Taking a delivery: what a worker makes of it, by the use case that takes everybody's requests.

It may be taken twice, or end anywhere: the row and what follows from it are of one transaction.
"""

from __future__ import annotations

from typing import Final

from control_plane.domain.audit import Stage
from control_plane.domain.delivery import Delivery, DeliveryStatus, actor_of
from control_plane.domain.errors import (
    CompanyHasTenant,
    Conflict,
    ContractAlreadyUsed,
    DomainError,
    SettingInvalid,
)
from control_plane.domain.intake import EventMeaning, IntakeSource, request_of
from control_plane.domain.intake_errors import (
    AccountNotAllowed,
    ContractWithdrawn,
    DeliveryUnreadable,
    SourceUnknown,
)
from control_plane.domain.payloads import Event, event_of
from control_plane.domain.tenant import TenantStatus
from control_plane.services.performing import perform
from control_plane.services.provisioning import submit_request
from control_plane.services.request_form import read_request
from control_plane.workflows.core import Act, Caller, Core
from control_plane.workflows.deliveries import put_off, settle
from control_plane.workflows.moving import as_json

# what a person decides; anything else that is final is refused
_HELD: Final = (CompanyHasTenant, ContractAlreadyUsed, ContractWithdrawn)
_WITHDRAWN: Final = frozenset({EventMeaning.VOIDED, EventMeaning.DECLINED})


def take_delivery(core: Core, delivery_id: str) -> None:
    """Make of a delivery what its content asks for, and say in its row what became of it.

    What is only in the way for now puts it off. Raises ``Unavailable`` without a database.
    """
    with core.act() as act:
        delivery = act.uow.deliveries.get(delivery_id)
    if delivery is None or delivery.status is not DeliveryStatus.RECEIVED:
        return
    person = delivery.decided_by if delivery.is_additional else None
    caller = Caller(actor=actor_of(delivery.source, person), request_id=delivery.id)
    try:
        perform(core, caller, _take, delivery_id)
    except DomainError as error:
        perform(core, caller, _end_with, delivery_id, error)


def _take(act: Act, delivery_id: str) -> None:
    delivery = act.uow.deliveries.need(delivery_id)
    if delivery.status is not DeliveryStatus.RECEIVED:
        return
    source = act.core.rules.intake.sources.get(delivery.source)
    if source is None:
        raise SourceUnknown(f"the intake rules have no source {delivery.source}")
    if delivery.body is None:
        raise DeliveryUnreadable("the content was erased")
    event = event_of(source, delivery.body)
    _require_account(source, event)
    match source.meaning(event.name):
        case EventMeaning.IGNORED:
            _settle(act, delivery, DeliveryStatus.IGNORED)
        case EventMeaning.SIGNED:
            _submit(act, delivery, source, event)
        case EventMeaning.VOIDED | EventMeaning.DECLINED as meaning:
            _require_no_tenant(act, source, event, meaning)
            _settle(act, delivery, DeliveryStatus.IGNORED)


def _require_account(source: IntakeSource, event: Event) -> None:
    if source.accounts is not None and event.account not in source.accounts:
        raise AccountNotAllowed(
            f"the intake rules do not name the account {event.account} of {source.key}",
            account=event.account,
        )


def _require_no_tenant(act: Act, source: IntakeSource, event: Event, meaning: EventMeaning) -> None:
    """Refuse that a contract is withdrawn while its tenant lives. Raises ``ContractWithdrawn``."""
    found = act.uow.queries.envelope(source.provider, event.envelope_id, refusals=1)
    if found.contract_id is None:
        return
    contract = act.uow.contracts.need(found.contract_id)
    tenant = act.uow.tenants.need(contract.tenant_id)
    if tenant.status is not TenantStatus.DEPROVISIONED:
        raise ContractWithdrawn(
            f"the contract {contract.contract_id} was {meaning}, and has the tenant {tenant.slug}",
            tenant_id=tenant.id,
        )


def _submit(act: Act, delivery: Delivery, source: IntakeSource, event: Event) -> None:
    """Submit the request that a signed contract asks for.

    It comes first in its transaction, as ``submit_request`` wants it; the row is locked after it,
    and what another worker made of the delivery meanwhile is seen then.
    """
    for other in act.uow.deliveries.find(envelope_id=event.envelope_id, source=source.key):
        is_withdrawal = other.event is not None and source.meaning(other.event) in _WITHDRAWN
        if is_withdrawal and other.status is DeliveryStatus.IGNORED:
            raise ContractWithdrawn(
                f"the provider said before, in the delivery {other.id}, that the contract was "
                f"{source.meaning(other.event or '')}"
            )
    request = request_of(source, event.payload, event.envelope_id)
    if delivery.is_additional:
        request["additional_tenant"] = True
    accepted = submit_request(act, read_request(request))
    _settle(
        act, delivery,
        DeliveryStatus.ACCEPTED if accepted.is_new else DeliveryStatus.REPEATED,
        request_id=accepted.request.id, tenant_id=accepted.tenant.id,
    )  # fmt: skip


def _settle(
    act: Act,
    read: Delivery,
    status: DeliveryStatus,
    *,
    request_id: str | None = None,
    tenant_id: str | None = None,
) -> None:
    """Settle a delivery that was read before. Raises ``Conflict`` when it moved on meanwhile."""
    delivery = act.uow.deliveries.need(read.id, lock=True)
    if delivery.version != read.version:
        raise Conflict("it was taken by somebody else", constraint="version")
    settle(act, delivery.settled(
        status, act.now(), request_id=request_id, tenant_id=tenant_id
    ))  # fmt: skip


def _end_with(act: Act, delivery_id: str, error: DomainError) -> None:
    """Put a delivery off, or say why it is held or refused."""
    delivery = act.uow.deliveries.need(delivery_id, lock=True)
    if delivery.status is not DeliveryStatus.RECEIVED:
        return
    is_ours = isinstance(error, SettingInvalid) or type(error) is Conflict  # not the contract's
    if error.transient or is_ours:
        put_off(act, delivery, error)
        return
    is_held = isinstance(error, _HELD)
    settle(
        act,
        delivery.settled(
            DeliveryStatus.HELD if is_held else DeliveryStatus.REFUSED, act.now(),
            error=as_json(error), tenant_id=_tenant_of(act, error),
        ),
        stage=Stage.COMPLETED if is_held else Stage.DENIED,
    )  # fmt: skip


def _tenant_of(act: Act, error: DomainError) -> str | None:
    """Return the tenant that is in the way, if the error names one."""
    found = error.data.get("tenant_id")
    request_id = error.data.get("request_id")
    if found is None and request_id is not None:
        request = act.uow.requests.get(str(request_id))
        found = request.tenant_id if request is not None else None
    return str(found) if found is not None else None
