"""A look at a source of contracts: what it says is compared with what is here.

It asks without a transaction and keeps what it learned page by page, with the position up to which
it has compared; it may end anywhere and be done again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice, takewhile
from typing import Final, TypeVar

from control_plane.domain.canonical import digest
from control_plane.domain.delivery import Delivery, DeliveryStatus, actor_of
from control_plane.domain.errors import ContractAlreadyUsed, DomainError
from control_plane.domain.intake import EventMeaning, IntakeSource, request_of
from control_plane.domain.json_paths import NOTHING, Several
from control_plane.domain.payloads import glance
from control_plane.domain.reconciling import (
    CRM,
    READ_BACK,
    Difference,
    DifferenceKind,
    IntakeFinding,
    IntakeFindingStatus,
    IntakeLook,
    fields_that_differ,
)
from control_plane.domain.tenant import Contract, Tenant, TenantStatus
from control_plane.ports.intake import Posted
from control_plane.ports.systems import Signatures, SignedDeal, SignedEnvelope
from control_plane.services.performing import perform
from control_plane.services.request_form import read_request
from control_plane.workflows.core import Act, Caller, Core
from control_plane.workflows.deliveries import (
    enqueue_delivery,
    facts_of,
    new_delivery,
)
from control_plane.workflows.deliveries import targets_of as targets_of_delivery
from control_plane.workflows.moving import as_json
from control_plane.workflows.reconciling import agree, open_finding
from control_plane.workflows.recording import record

T = TypeVar("T")
_AT_ONCE: Final = 50  # envelopes of one transaction
_MOST_ASKED: Final = 200  # single questions to a provider in one look
_WITHDRAWN: Final = frozenset({EventMeaning.VOIDED, EventMeaning.DECLINED})
_UNDER_WAY: Final = frozenset(
    {DeliveryStatus.RECEIVED, DeliveryStatus.HELD, DeliveryStatus.REFUSED}
)
_OPEN: Final = IntakeFindingStatus.OPEN


def look_at_source(core: Core, source_key: str) -> None:
    """Compare what a source says since the last look with what is here, and keep what differs.

    What is in the way for now is kept with the look, which continues from the same position next
    time. Raises ``Unavailable`` without a database.
    """
    with core.act() as act:
        look = act.uow.intake_looks.get(source_key)
    if look is None:
        return
    caller = Caller(actor=actor_of(source_key))
    error: DomainError | None = None
    try:
        if source_key == CRM:
            _look_at_deals(core, caller, look)
        else:
            _look_at_envelopes(core, caller, look)
    except DomainError as caught:
        error = caught
    perform(core, caller, _end, source_key, error)


def _pages(items: Iterable[T]) -> Iterator[tuple[T, ...]]:
    """Yield items in order, as many at once as one transaction takes."""
    rest = iter(items)
    while page := tuple(islice(rest, _AT_ONCE)):
        yield page


def _end(act: Act, source_key: str, error: DomainError | None) -> None:
    look = act.uow.intake_looks.need(source_key, lock=True)
    act.uow.intake_looks.save(look.ended(act.now(), as_json(error) if error else None))


# --- envelopes ---------------------------------------------------------------------------------
def _look_at_envelopes(core: Core, caller: Caller, look: IntakeLook) -> None:
    source = core.rules.intake.sources.get(look.id)
    asked = [each for each in core.systems.signatures if each.source == look.id]
    if source is None or not asked:
        return  # the rules ask nobody any more
    signatures, rules = asked[0], core.rules.intake.looks
    judged_until = core.clock.now() - rules.grace
    changed = signatures.changed_since(look.position - rules.overlap)
    seen: set[str] = set()
    for page in _pages(_until(changed, judged_until)):
        perform(core, caller, _compare, source, page)
        seen.update(each.envelope_id for each in page)
    _ask_about_deliveries(core, caller, source, signatures, judged_until, seen)
    _ask_about_findings(core, caller, source, signatures)


def _until(changed: Iterator[SignedEnvelope], end: datetime) -> Iterable[SignedEnvelope]:
    """Return what changed until ``end``, oldest first: what follows may still be under way."""
    return takewhile(lambda each: each.changed_at <= end, changed)


def _compare(act: Act, source: IntakeSource, page: tuple[SignedEnvelope, ...]) -> None:
    look = act.uow.intake_looks.need(source.key, lock=True)
    for envelope in page:
        _deliver_missing(act, source, envelope)
        for difference in _differences(act, source, envelope):
            open_finding(act, source.key, difference)
    act.uow.intake_looks.save(look.advanced(page[-1].changed_at, act.now()))


def _deliver_missing(act: Act, source: IntakeSource, envelope: SignedEnvelope) -> None:
    """Make a delivery of what should have been delivered and was not.

    A withdrawal is made a delivery too, so that no contract which was withdrawn is taken when its
    signature arrives late. Only a contract that is missing here is a finding.
    """
    meaning = source.meaning(envelope.event)
    if meaning is EventMeaning.IGNORED or not _is_contract(source, envelope):
        return
    kept = _kept(act, source, envelope.envelope_id)
    alike = _WITHDRAWN if meaning in _WITHDRAWN else {EventMeaning.SIGNED}
    if any(source.meaning(each.event or "") in alike for each in kept):
        return
    if meaning is EventMeaning.SIGNED and _contract(act, source, envelope.envelope_id) is not None:
        return  # somebody submitted it
    delivery = _delivered(act, source, envelope)
    if delivery is not None and meaning is EventMeaning.SIGNED:
        at = f"{envelope.changed_at:%Y-%m-%d %H:%M:%SZ}"
        missing = Difference(
            kind=DifferenceKind.MISSING_HERE,
            subject=envelope.envelope_id,
            explanation=f"the provider says that the envelope was signed by {at}, and nothing of "
            "it was delivered; a delivery was made from what the provider has",
            digest=delivery.sha256,
        )
        open_finding(act, source.key, missing, delivery_id=delivery.id)


def _delivered(act: Act, source: IntakeSource, envelope: SignedEnvelope) -> Delivery | None:
    """Keep what was read back as a delivery; None if an equal one is there."""
    body = json.dumps(envelope.payload, sort_keys=True).encode()
    delivery = new_delivery(
        act, source, glance(source, body), body,
        status=DeliveryStatus.RECEIVED, content=body, key_name=READ_BACK, error=None,
        settled_at=None,
    )  # fmt: skip
    _, is_new = act.uow.intake.keep(delivery)
    if not is_new:
        return None
    enqueue_delivery(act, delivery)
    record(
        act, "delivery.received",
        tree=None, targets=targets_of_delivery(delivery), key=READ_BACK, **facts_of(delivery),
    )  # fmt: skip
    return delivery


def _is_contract(source: IntakeSource, envelope: SignedEnvelope) -> bool:
    """Tell whether it has the number of a contract; accounts sign other things as well."""
    for rule in source.fields:
        if rule.target == "contract.contract_id" and rule.path is not None:
            try:
                found = rule.path.of(envelope.payload)
            except Several:
                return True  # taking it says what is wrong
            return found is not NOTHING and bool(str(found or "").strip())
    return True


def _kept(act: Act, source: IntakeSource, envelope_id: str) -> list[Delivery]:
    found = act.uow.deliveries.find(envelope_id=envelope_id, source=source.key)
    return [each for each in found if each.is_authentic]


def _contract(act: Act, source: IntakeSource, envelope_id: str) -> Contract | None:
    found = act.uow.queries.envelope(source.provider, envelope_id, refusals=1)
    return act.uow.contracts.need(found.contract_id) if found.contract_id else None


def _differences(act: Act, source: IntakeSource, envelope: SignedEnvelope) -> list[Difference]:
    """Return how the contract of an envelope differs from what lives here of it."""
    contract = _contract(act, source, envelope.envelope_id)
    if contract is None:
        return []
    tenant = act.uow.tenants.need(contract.tenant_id)
    if tenant.status is TenantStatus.DEPROVISIONED:
        return []
    kept = _kept(act, source, envelope.envelope_id)
    meaning = source.meaning(envelope.event)
    if meaning in _WITHDRAWN:
        return _withdrawn(source, envelope, tenant, kept, meaning)
    if meaning is EventMeaning.SIGNED:
        return _other_content(act, source, envelope, contract, tenant, kept)
    return []


def _withdrawn(
    source: IntakeSource,
    envelope: SignedEnvelope,
    tenant: Tenant,
    kept: list[Delivery],
    meaning: EventMeaning,
) -> list[Difference]:
    for each in kept:
        is_withdrawal = source.meaning(each.event or "") in _WITHDRAWN
        if is_withdrawal and each.status is DeliveryStatus.DISMISSED:
            return []  # a person decided on it
    return [
        Difference(
            kind=DifferenceKind.VOIDED_THERE,
            subject=envelope.envelope_id,
            explanation=f"the provider says that the contract was {meaning}, and its tenant "
            f"{tenant.slug} is not removed",
            digest=str(meaning),
            tenant_id=tenant.id,
        )
    ]


def _other_content(
    act: Act,
    source: IntakeSource,
    envelope: SignedEnvelope,
    contract: Contract,
    tenant: Tenant,
    kept: list[Delivery],
) -> list[Difference]:
    if any(each.code == ContractAlreadyUsed.code for each in kept):
        return []  # the delivery says so, and is held or decided
    try:
        there = read_request(request_of(source, envelope.payload, envelope.envelope_id))
    except DomainError as error:
        names: tuple[str, ...] = (str(error.data.get("field", "one")),)
        explanation = f"the provider has a content that makes no request any more: {error.message}"
        told = digest({"code": error.code, "fields": names})
    else:
        here = act.uow.requests.find(contract_ref=contract.id)[0].body
        names = fields_that_differ(here, there)
        if not names:
            return []
        explanation = (
            f"the tenant {tenant.slug} was made from other facts than the provider has now: "
            f"{', '.join(names)}"
        )
        told = digest(dict(there))
    return [
        Difference(
            kind=DifferenceKind.OTHER_CONTENT,
            subject=envelope.envelope_id,
            explanation=explanation,
            digest=told,
            tenant_id=tenant.id,
        )
    ]


# --- what the provider does not know -----------------------------------------------------------
def _ask_about_deliveries(
    core: Core,
    caller: Caller,
    source: IntakeSource,
    signatures: Signatures,
    before: datetime,
    seen: set[str],
) -> None:
    """Ask about each contract that was delivered, once in its life, unless this look saw it.

    Only questions are counted: what this look saw holds nothing up.
    """
    left = _MOST_ASKED
    while left > 0:
        with core.act() as act:
            checked = act.uow.intake_looks.need(source.key).checked
            page = act.uow.intake.posted_after(
                source.key, checked, before=before, limit=min(_AT_ONCE, left)
            )
        if not page:
            return
        asked = [each for each in page if _must_ask(source, each, seen)]
        unknown = [each for each in asked if signatures.find(str(each.envelope_id)) is None]
        perform(core, caller, _keep_unknown, source, unknown, page[-1].id)
        left -= len(asked)


def _must_ask(source: IntakeSource, posted: Posted, seen: set[str]) -> bool:
    if posted.envelope_id is None or posted.envelope_id in seen:
        return False
    return source.meaning(posted.event or "") is EventMeaning.SIGNED


def _keep_unknown(act: Act, source: IntakeSource, unknown: list[Posted], checked: str) -> None:
    look = act.uow.intake_looks.need(source.key, lock=True)
    for each in unknown:
        missing = Difference(
            kind=DifferenceKind.MISSING_THERE,
            subject=each.envelope_id or each.id,
            explanation=f"the delivery {each.id} has a good signature, and the provider does not "
            "know its envelope: find out who has the key that it was signed with",
            digest=each.id,
            tenant_id=each.tenant_id,
        )
        open_finding(act, source.key, missing)
    act.uow.intake_looks.save(look.asked_about(checked))


# --- whether findings still stand --------------------------------------------------------------
def _ask_about_findings(
    core: Core, caller: Caller, source: IntakeSource, signatures: Signatures
) -> None:
    with core.act() as act:
        standing = act.uow.intake_findings.find(source=source.key, status=_OPEN)
    left = _MOST_ASKED
    for finding in standing:
        is_asked = finding.kind is not DifferenceKind.MISSING_HERE
        if is_asked and not left:
            continue
        left -= is_asked
        there = signatures.find(finding.subject) if is_asked else None
        perform(core, caller, _look_again, source, finding.id, there)


def _look_again(
    act: Act, source: IntakeSource, finding_id: str, there: SignedEnvelope | None
) -> None:
    finding = act.uow.intake_findings.need(finding_id, lock=True)
    if finding.status is not _OPEN:
        return
    why = _agreement(act, source, finding, there)
    if why is not None:
        agree(act, finding, why)


def _agreement(
    act: Act, source: IntakeSource, finding: IntakeFinding, there: SignedEnvelope | None
) -> str | None:
    """Return why both sides agree again, None if they do not."""
    if finding.kind is DifferenceKind.MISSING_HERE:
        delivery = act.uow.deliveries.need(finding.delivery_id)
        return None if delivery.status in _UNDER_WAY else f"its delivery is {delivery.status}"
    if finding.kind is DifferenceKind.MISSING_THERE:
        return None if there is None else "the provider knows the envelope"
    if there is None:
        return None
    stands = any(
        (each.kind, each.digest) == (finding.kind, finding.digest)
        for each in _differences(act, source, there)
    )
    return None if stands else "the provider and the tenant do not differ so any more"


# --- deals -------------------------------------------------------------------------------------
def _look_at_deals(core: Core, caller: Caller, look: IntakeLook) -> None:
    crm, rules = core.systems.crm, core.rules.intake.looks
    if crm is None:
        return
    end = core.clock.now() - rules.deal_life
    won = takewhile(lambda deal: deal.won_at <= end, crm.won_since(look.position - rules.overlap))
    for page in _pages(won):
        perform(core, caller, _compare_deals, page)
    perform(core, caller, _look_at_deals_again)


def _compare_deals(act: Act, page: tuple[SignedDeal, ...]) -> None:
    look = act.uow.intake_looks.need(CRM, lock=True)
    for deal in page:
        if deal.contract_id and act.uow.contracts.find(contract_id=deal.contract_id):
            continue
        number = f"the contract {deal.contract_id}" if deal.contract_id else "no contract"
        missing = Difference(
            kind=DifferenceKind.WON_WITHOUT_CONTRACT,
            subject=deal.id,
            explanation=f"the deal of {deal.company} was won at "
            f"{deal.won_at:%Y-%m-%d %H:%M:%SZ} and names {number}; no contract here has it",
            digest=deal.contract_id or "",
        )
        open_finding(act, CRM, missing)
    act.uow.intake_looks.save(look.advanced(page[-1].won_at, act.now()))


def _look_at_deals_again(act: Act) -> None:
    for finding in act.uow.intake_findings.find(source=CRM, status=_OPEN):
        if finding.digest and act.uow.contracts.find(contract_id=finding.digest):
            agree(act, finding, f"the contract {finding.digest} is here")
