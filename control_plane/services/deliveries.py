"""Deliveries of signed contracts: received and kept, shown, replayed, decided on.

What becomes of one is in ``taking.py``: a worker does that after the provider had its answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.audit import Stage
from control_plane.domain.delivery import (
    OPEN_DELIVERY,
    SIGNATURE_INVALID,
    Delivery,
    DeliveryStatus,
    actor_of,
)
from control_plane.domain.errors import (
    CompanyHasTenant,
    IllegalTransition,
    InvalidInput,
    NotAllowed,
    NotFound,
    SettingInvalid,
    Unavailable,
)
from control_plane.domain.intake import IntakeSource, SourceKind
from control_plane.domain.intake_errors import SignatureInvalid
from control_plane.domain.payloads import Glance, glance
from control_plane.domain.signatures import (
    docusign_key,
    standard_webhooks_key,
    standard_webhooks_secret,
)
from control_plane.domain.spellings import identifier
from control_plane.services.performing import perform
from control_plane.services.permission import listed, require_role, visible, within_budget
from control_plane.workflows.core import Act, Caller, Core
from control_plane.workflows.deliveries import (
    enqueue_delivery,
    facts_of,
    new_delivery,
    targets_of,
)
from control_plane.workflows.moving import as_json
from control_plane.workflows.recording import record, refused_as

READERS: Final = (
    Role.AUTOMATION, Role.OPS_APPROVER, Role.PLATFORM_ADMIN, Role.PLATFORM_AUDITOR
)  # fmt: skip
CONTENT_READERS: Final = (Role.AUTOMATION, Role.PLATFORM_ADMIN)  # contents name people
REPLAYERS: Final = (Role.AUTOMATION, Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
DECIDERS: Final = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
ACCEPT_ADDITIONAL: Final = "accept_additional"
DISMISS: Final = "dismiss"
DECISIONS: Final = (ACCEPT_ADDITIONAL, DISMISS)


# --- receiving ---------------------------------------------------------------------------------
def receive_delivery(
    core: Core, caller: Caller, source_key: str, *, headers: Mapping[str, str], body: bytes
) -> str:
    """Keep what a source posted, and return the id of its delivery; equal content has one.

    ``caller`` is the sender, known by address alone; ``headers`` have names in lower case.
    Raises ``NotFound`` for an unknown source, ``SignatureInvalid``, and ``Unavailable`` when no
    key of the source is installed: then the provider posts it again.
    """
    source = core.rules.intake.sources.get(source_key)
    if source is None:
        raise NotFound("not found")
    key_name = _key_of(core, source, headers, body)
    if key_name is None:
        _refuse_unsigned(core, caller, source, body)
    posted = glance(source, body)
    sender = Caller(
        actor=actor_of(source.key),
        request_id=caller.request_id,
        address=caller.address,
        writes=True,
    )
    return perform(core, sender, _keep, source, posted, body, str(key_name))


def _key_of(
    core: Core, source: IntakeSource, headers: Mapping[str, str], body: bytes
) -> str | None:
    try:
        texts = core.provider_keys.read(source.keys)
    except SettingInvalid as error:
        raise Unavailable(error.message) from None
    if not texts:
        raise Unavailable(f"no key of the source {source.key} is installed here")
    if source.kind is SourceKind.DOCUSIGN:
        keys = {name: text.encode() for name, text in texts.items()}
        return docusign_key(headers, body, keys)
    keys = {name: _secret(name, text) for name, text in texts.items()}
    return standard_webhooks_key(headers, body, keys, core.clock.now())


def _secret(name: str, text: str) -> bytes:
    try:
        return standard_webhooks_secret(text)
    except ValueError as error:
        raise Unavailable(f"the key {name} cannot be used: it {error}") from None


def _refuse_unsigned(core: Core, caller: Caller, source: IntakeSource, body: bytes) -> None:
    """Keep digest and size of what nobody signed, and refuse it; of a flood there is a count."""
    error = SignatureInvalid("none of its signatures was made with an active key of the source")

    def write() -> None:
        with core.act(caller) as act:
            digest = hashlib.sha256(body).hexdigest()
            key = hashlib.sha256(f"unsigned\0{source.key}\0{digest}".encode()).hexdigest()
            unsigned = new_delivery(
                act, source, Glance(dedupe_key=key), body,
                status=DeliveryStatus.REFUSED, content=None, key_name=None,
                error=as_json(error), settled_at=act.now(),
            )  # fmt: skip
            delivery_id, _ = act.uow.intake.keep(unsigned)
            record(
                act, "delivery.denied",
                tree=None, targets=(("delivery", delivery_id),), stage=Stage.DENIED,
                code=SIGNATURE_INVALID, source=source.key, content_sha256=digest,
            )  # fmt: skip
            act.uow.commit()

    within_budget(core, caller, "delivery.denied", write)
    error.is_recorded = True
    raise error


def _keep(act: Act, source: IntakeSource, posted: Glance, body: bytes, key_name: str) -> str:
    delivery = new_delivery(
        act, source, posted, body,
        status=DeliveryStatus.RECEIVED, content=body, key_name=key_name, error=None,
        settled_at=None,
    )  # fmt: skip
    delivery_id, is_new = act.uow.intake.keep(delivery)
    if is_new:
        enqueue_delivery(act, delivery)
        record(
            act, "delivery.received",
            tree=None, targets=targets_of(delivery), key=key_name, **facts_of(delivery),
        )  # fmt: skip
    return delivery_id


# --- looking -----------------------------------------------------------------------------------
def list_deliveries(
    act: Act,
    *,
    limit: int,
    before: str | None,
    source: str | None = None,
    status: DeliveryStatus | None = None,
    envelope_id: str | None = None,
) -> list[Delivery]:
    """Return deliveries, newest first; an envelope is found under each spelling of its id."""
    require_role(act, *READERS, wanted="deliveries.read")
    if envelope_id is not None:
        try:
            envelope_id = identifier(envelope_id)
        except ValueError as error:
            raise InvalidInput(f"envelope_id: {error}", field="envelope_id") from error
    wanted = listed(act, source=source, status=status, envelope_id=envelope_id)
    return act.uow.deliveries.page(limit=limit, before=before, **wanted)


def get_delivery(act: Act, delivery_id: str) -> Delivery:
    """Return a delivery. Raises ``NotFound``."""
    require_role(act, *READERS, wanted="deliveries.read")
    return visible(act, act.uow.deliveries.get(delivery_id), wanted="deliveries.read")


def read_content(act: Act, delivery_id: str) -> Delivery:
    """Return a delivery for its content, and record who read it.

    Raises ``NotFound`` for one whose content was not kept, or was erased.
    """
    require_role(act, *CONTENT_READERS, wanted="deliveries.content")
    found = visible(act, act.uow.deliveries.get(delivery_id), wanted="deliveries.content")
    if found.body is None:
        raise NotFound("the content of this delivery is not there")
    record(
        act, "delivery.read",
        tree=found.tenant_id, targets=targets_of(found), source=found.source,
        content_sha256=found.sha256,
    )  # fmt: skip
    return found


def allowed_actions(delivery: Delivery, actor: Actor) -> list[str]:
    """Return what somebody may ask of a delivery now."""
    if delivery.status not in OPEN_DELIVERY or not delivery.is_authentic:
        return []
    found = ["replay"] if actor.has(*REPLAYERS) else []
    if actor.has(*DECIDERS) and actor.kind is ActorKind.USER:
        found += [ACCEPT_ADDITIONAL] if _may_be_additional(delivery) else []
        found += [DISMISS]
    return found


def _may_be_additional(delivery: Delivery) -> bool:
    """Tell whether another tenant would remove the reason for which a delivery is held."""
    return delivery.status is DeliveryStatus.HELD and delivery.code == CompanyHasTenant.code


# --- deciding ----------------------------------------------------------------------------------
def may_replay(act: Act, delivery_id: str) -> Delivery:
    """Return a delivery that the caller's roles may replay. Raises ``NotFound``, ``NotAllowed``."""
    require_role(act, *REPLAYERS, wanted="deliveries.replay")
    return visible(act, act.uow.deliveries.get(delivery_id), wanted="deliveries.replay")


def replay_delivery(act: Act, delivery_id: str, *, reason: str) -> Delivery:
    """Let a delivery that is held or refused be taken again, by the rules that hold now.

    Raises ``IllegalTransition`` for any other, and for one whose signature was wrong.
    """
    may_replay(act, delivery_id)
    with refused_as(
        act, "delivery.refused", tree=None, targets=(("delivery", delivery_id),), wanted="replay"
    ):
        delivery = _open(act, delivery_id, reason)
        again = delivery.taken_again(
            act.caller.actor, reason.strip(), act.now(), is_additional=delivery.is_additional
        )
        _enqueue_again(act, again)
        _record_decision(act, again, "delivery.replayed", delivery.code, reason)
        return again


def may_decide(act: Act, delivery_id: str) -> Delivery:
    """Return a delivery that the caller's roles may decide on.

    Raises ``NotFound``, ``NotAllowed``.
    """
    require_role(act, *DECIDERS, wanted="deliveries.decide")
    return visible(act, act.uow.deliveries.get(delivery_id), wanted="deliveries.decide")


def decide_delivery(act: Act, delivery_id: str, *, decision: str, reason: str) -> Delivery:
    """Let a held delivery make another tenant of its company, or dismiss what is open.

    The person who accepts counts as a requester of what follows. Raises ``NotAllowed`` for a
    machine, ``IllegalTransition``.
    """
    may_decide(act, delivery_id)
    with refused_as(
        act, "delivery.refused", tree=None, targets=(("delivery", delivery_id),), wanted=decision
    ):
        actor = act.caller.actor
        if actor.kind is not ActorKind.USER:
            raise NotAllowed("a person decides on a delivery, not a machine")
        delivery = _open(act, delivery_id, reason)
        if decision == DISMISS:
            decided = delivery.dismissed(actor, reason.strip(), act.now())
            act.uow.deliveries.save(decided)
        elif not _may_be_additional(delivery):
            raise IllegalTransition(
                "only a delivery that is held because its company has a tenant can be accepted as "
                "an additional tenant",
                present_status=str(delivery.status), held_for=delivery.code,
            )  # fmt: skip
        else:
            decided = delivery.taken_again(actor, reason.strip(), act.now(), is_additional=True)
            _enqueue_again(act, decided)
        _record_decision(act, decided, "delivery.decided", delivery.code, reason, decision=decision)
        return decided


def _open(act: Act, delivery_id: str, reason: str) -> Delivery:
    if not reason.strip():
        raise InvalidInput("a reason is required", field="reason")
    delivery = act.uow.deliveries.need(delivery_id, lock=True)
    if delivery.status not in OPEN_DELIVERY:
        raise IllegalTransition(
            f"the delivery is {delivery.status}: there is nothing to decide",
            present_status=str(delivery.status),
        )
    if not delivery.is_authentic:
        raise IllegalTransition(
            "its signature was wrong, so its content was not kept: let the provider post it again",
            present_status=str(delivery.status),
        )
    return delivery


def _enqueue_again(act: Act, delivery: Delivery) -> None:
    act.uow.deliveries.save(delivery)
    enqueue_delivery(act, delivery)


def _record_decision(
    act: Act, delivery: Delivery, action: str, code: str | None, reason: str, **data: Any
) -> None:
    record(
        act, action,
        tree=None, targets=targets_of(delivery), personal={"reason": reason.strip()},
        status=str(delivery.status), code=code,
        **facts_of(delivery), **data,
    )  # fmt: skip
