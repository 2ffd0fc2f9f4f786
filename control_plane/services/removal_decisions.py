"""What people say in a removal: that the data was exported, or that the customer has destroyed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final

from control_plane.domain.actor import ActorKind, Role
from control_plane.domain.errors import (
    AlreadyDecided,
    IllegalTransition,
    InvalidInput,
    MachineMayNotDecide,
)
from control_plane.domain.removal import (
    TOPIC_OF,
    RemovalDecision,
    RemovalTopic,
    RemovalWord,
    stores_to_export,
)
from control_plane.domain.removal_errors import AlreadyRemoved, ExportMissing
from control_plane.domain.saga import Saga, SagaKind, SagaStatus
from control_plane.domain.tenant import Tenant
from control_plane.services.destroy_receipts import destroy_evidence
from control_plane.services.hubs import find_hub
from control_plane.services.permission import require_role
from control_plane.services.removals import target_of, tree_of
from control_plane.services.sagas import newest_of
from control_plane.services.tenants import get_tenant
from control_plane.workflows.core import Act
from control_plane.workflows.holding import Owner, locked
from control_plane.workflows.recording import record, refused_as
from control_plane.workflows.removal_rules import decision_on, deployment_of, stores_of
from control_plane.workflows.sagas import wake

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}\Z")
ACKNOWLEDGERS: Final = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN, Role.SOLUTIONS_ARCHITECT)
WAIVERS: Final = (Role.PLATFORM_ADMIN,)
RETAINERS: Final = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
Find = Callable[[Act, str], Owner]


def tenant_with(roles: tuple[Role, ...], wanted: str) -> Find:
    """Return what finds a tenant for a caller with one of the roles."""

    def find(act: Act, key: str) -> Owner:
        tenant = get_tenant(act, key)
        require_role(act, *roles, wanted=wanted, tree=tenant.id)
        return tenant

    return find


def hub_with(roles: tuple[Role, ...], wanted: str) -> Find:
    """Return what finds a Hub for a caller with one of the roles."""

    def find(act: Act, hub_id: str) -> Owner:
        hub = find_hub(act, hub_id)
        require_role(act, *roles, wanted=wanted)
        return hub

    return find


def acknowledge_export(
    act: Act, key: str, find: Find, *, manifest_digest: str, counts: Mapping[str, int], reason: str
) -> RemovalDecision:
    """Acknowledge that the data was exported: the digest of the manifest, the items by store.

    Raises ``InvalidInput``, ``ExportMissing`` where a store is missing or has more items than were
    exported, ``AlreadyDecided``, ``MachineMayNotDecide``, ``IllegalTransition`` without a removal.
    """
    owner = find(act, key)
    with _refused(act, owner, "acknowledge_export"):
        _require_digest(manifest_digest, "manifest_digest")
        saga = _open_removal(act, owner)
        _require_counted(saga)
        _require_complete(saga, counts)
        word = RemovalWord.EXPORT_ACKNOWLEDGED
        return _decide(act, owner, saga, word, manifest_digest, counts, reason)


def waive_export(act: Act, key: str, find: Find, *, reason: str) -> RemovalDecision:
    """Let the data be destroyed without an export. Raises as ``acknowledge_export``."""
    owner = find(act, key)
    with _refused(act, owner, "waive_export"):
        saga = _open_removal(act, owner)
        _require_counted(saga)
        return _decide(act, owner, saga, RemovalWord.EXPORT_WAIVED, None, {}, reason)


def attest_customer(
    act: Act, key: str, find: Find, *, receipt: Mapping[str, Any] | None, reason: str
) -> RemovalDecision:
    """Record that the customer destroyed what it had applied, by what its receipt says.

    Without a receipt it is recorded that nobody of the vendor verified it. Raises as
    ``acknowledge_export``, and as ``destroy_evidence`` for a receipt that says something else.
    """
    owner = find(act, key)
    with _refused(act, owner, "attest_customer"):
        saga = _open_removal(act, owner)
        if saga.step != "customer":
            raise IllegalTransition(
                f"the removal does not wait for the customer: its step is {saga.step}",
                present_status=str(saga.status),
            )
        deployment = deployment_of(act.uow, owner)
        if receipt is None:
            return _decide(act, owner, saga, RemovalWord.CUSTOMER_UNVERIFIED, None, {}, reason)
        if deployment is None or not isinstance(owner, Tenant):
            raise IllegalTransition("nothing was applied", present_status=str(saga.status))
        evidence = destroy_evidence(act, owner, deployment, receipt)
        word, proof = RemovalWord.CUSTOMER_DESTROYED, str(evidence["digest"])
        return _decide(act, owner, saga, word, proof, {}, reason, evidence)


def retain_tenant(act: Act, key: str, *, until: datetime, reason: str) -> Tenant:
    """Keep what a tenant has until a date, which is never brought forward.

    Raises ``InvalidInput`` for a date that is not later than the present one.
    """
    tenant = get_tenant(act, key)
    require_role(act, *RETAINERS, wanted="retention.create", tree=tenant.id)
    targets = (("tenant", tenant.id),)
    with refused_as(act, "retention.refused", tree=tenant.id, targets=targets):
        _require_reason(reason)
        tenant = act.uow.tenants.need(tenant.id, lock=True)
        if tenant.removed_at is not None:
            raise AlreadyRemoved(f"it was removed on {tenant.removed_at.date()}")
        if until <= max(act.now(), tenant.retention_until or act.now()):
            raise InvalidInput(
                "a retention date must be in the future and later than the present one",
                field="until",
            )
        tenant = tenant.retained(until, act.now())
        act.uow.tenants.save(tenant)
        record(
            act, "retention.set",
            tree=tenant.id, targets=targets, personal={"reason": reason.strip()},
            until=until.isoformat(),
        )  # fmt: skip
        return tenant


def _refused(act: Act, owner: Owner, wanted: str) -> AbstractContextManager[None]:
    return refused_as(
        act, "removal.refused", tree=tree_of(owner), targets=(target_of(owner),), wanted=wanted
    )


def _open_removal(act: Act, owner: Owner) -> Saga:
    """Return the removal that is open, locked before its owner is."""
    found = newest_of(act.uow, owner, SagaKind.REMOVAL)
    saga = act.uow.sagas.need(found.id, lock=True) if found is not None else None
    if saga is None or not saga.is_open or saga.is_undoing:
        raise IllegalTransition("no removal is in progress", present_status=str(owner.status))
    locked(act.uow, owner)
    return saga


def _require_counted(saga: Saga) -> None:
    if "stores" not in saga.data:
        raise IllegalTransition(
            "the data stores are not counted yet", present_status=str(saga.status)
        )


def _require_complete(saga: Saga, counts: Mapping[str, int]) -> None:
    """Refuse an export that lacks a store, or items of one that were counted."""
    wanted = stores_to_export(stores_of(saga))
    known = {store.name for store in wanted}
    unknown = sorted(set(counts) - known)
    if unknown:
        raise InvalidInput(f"{unknown[0]} is not a store to export", field="counts")
    if any(number < 0 for number in counts.values()):
        raise InvalidInput("a count cannot be negative", field="counts")
    short = [
        {"store": store.name, "counted": store.items, "exported": counts.get(store.name)}
        for store in wanted
        if counts.get(store.name) is None or counts[store.name] < (store.items or 0)
    ]
    if short:
        names = ", ".join(str(each["store"]) for each in short)
        raise ExportMissing(f"the export is not complete: {names}", stores=short)


def _decide(
    act: Act,
    owner: Owner,
    saga: Saga,
    word: RemovalWord,
    digest: str | None,
    counts: Mapping[str, int],
    reason: str,
    evidence: Mapping[str, Any] | None = None,
) -> RemovalDecision:
    _require_reason(reason)
    if act.caller.actor.kind is not ActorKind.USER:
        raise MachineMayNotDecide("this is said by a person, not by a machine")
    topic = TOPIC_OF[word]
    if decision_on(act.uow, saga, topic) is not None:
        raise AlreadyDecided(_SAID[topic])
    actor = act.caller.actor
    decision = RemovalDecision(
        id=act.new_id("removal_decision"),
        saga_id=saga.id,
        topic=topic,
        word=word,
        digest=digest,
        counts=dict(counts),
        actor_id=actor.id,
        person=actor.person,
        actor_kind=str(actor.kind),
        reason=reason.strip(),
        decided_at=act.now(),
        evidence=evidence or {},
    )
    act.uow.removal_decisions.add(decision)
    proof = decision.evidence
    record(
        act, "removal.decided",
        tree=saga.tenant_id, targets=(target_of(owner), ("saga", saga.id)),
        personal={"reason": reason.strip()}, saga=saga.id, word=str(word), digest=digest,
        stores=[{"name": name, "items": number} for name, number in sorted(counts.items())],
        deployment=proof.get("deployment"), bundle=proof.get("bundle"),
        content_digest=proof.get("content_digest"), destroyed_at=proof.get("destroyed_at"),
        resources_left=proof.get("resources_left"),
        remaining=[each["what"] for each in proof.get("remaining", ())],
    )  # fmt: skip
    if saga.status is SagaStatus.WAITING:
        wake(act, saga)
    return decision


_SAID: Final[Mapping[RemovalTopic, str]] = {
    RemovalTopic.EXPORT: "the export of this removal is acknowledged or waived already",
    RemovalTopic.CUSTOMER: "somebody has said already whether the customer destroyed it",
}


def _require_digest(value: str, field: str) -> None:
    if not _DIGEST.match(value):
        raise InvalidInput("a digest has the form sha256: and 64 digits", field=field)


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidInput("a reason is required", field="reason")
