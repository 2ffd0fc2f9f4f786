"""Receipts: what the customer's apply sends back makes the tenant ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.domain.bundle import Bundle, BundleStatus, Receipt
from control_plane.domain.canonical import digest
from control_plane.domain.errors import InvalidInput, ReceiptAlreadyRegistered, ReceiptMismatch
from control_plane.domain.tenant import TenantStatus
from control_plane.ports import UnitOfWork
from control_plane.services.bundles import as_architect
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.owners import move_tenant
from control_plane.workflows.recording import record


def register_receipt(
    core: Core, caller: Caller, bundle_id: str, body: Mapping[str, Any]
) -> Receipt:
    """Register the output ``receipt`` of the customer's apply.

    Raises ``ReceiptMismatch`` naming the field that does not belong to this bundle,
    ``ReceiptAlreadyRegistered`` for a second one; only ids and digests are kept.
    """

    def act(uow: UnitOfWork, bundle: Bundle) -> Receipt:
        if uow.receipts.count(bundle_id=bundle.id):
            raise ReceiptAlreadyRegistered("a receipt of this bundle is registered already")
        _require_belongs(uow, bundle, body)
        return _store(core, uow, caller, bundle, body)

    result = as_architect(core, caller, bundle_id, "receipts", act)
    if not isinstance(result, Receipt):
        raise TypeError
    return result


def _require_belongs(uow: UnitOfWork, bundle: Bundle, body: Mapping[str, Any]) -> None:
    tenant = uow.tenants.get(bundle.tenant_id)
    owner = bundle.inputs["owner"]
    expected = {
        "content_digest": bundle.content_digest,
        "tenant": tenant.slug if tenant else "",
        "deployment": bundle.deployment_id,
        "environment": owner["environment"],
        "account_id": bundle.inputs["account_id"],
        "region": bundle.inputs["region"],
    }
    for field, value in expected.items():
        if field not in body:
            raise InvalidInput(f"a receipt has {field}", field=f"receipt.{field}")
        if body[field] != value:
            raise ReceiptMismatch(f"{field} is not that of this bundle", field=field)


def _store(
    core: Core, uow: UnitOfWork, caller: Caller, bundle: Bundle, body: Mapping[str, Any]
) -> Receipt:
    now = core.clock.now()
    receipt = Receipt(
        id=core.ids.new("receipt"),
        bundle_id=bundle.id,
        digest=digest(dict(body)),
        body=dict(body),
        registered_by=caller.actor.id,
        registered_at=now,
    )
    uow.receipts.add(receipt)
    applied = bundle.moved(BundleStatus.APPLIED, now)
    uow.bundles.save(applied)
    record(
        core, uow, caller, "receipt.registered",
        tree=bundle.tenant_id, targets=(("bundle", bundle.id), ("receipt", receipt.id)),
        receipt=receipt.id, receipt_digest=receipt.digest, content_digest=bundle.content_digest,
    )  # fmt: skip
    tenant = uow.tenants.get(bundle.tenant_id, lock=True)
    if tenant is not None:
        move_tenant(core, uow, caller, tenant, TenantStatus.READY)
    return receipt
