"""Receipts: what the customer's apply sends back makes the tenant ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.domain.bundle import Bundle, BundleStatus, Receipt
from control_plane.domain.canonical import digest
from control_plane.domain.errors import InvalidInput, ReceiptAlreadyRegistered, ReceiptMismatch
from control_plane.domain.receipt import fixed_resources, made_keys
from control_plane.services.bundles import taken_up
from control_plane.workflows.core import Act
from control_plane.workflows.owners import let_saga_look, sync_tenant
from control_plane.workflows.recording import record


def register_receipt(act: Act, bundle_id: str, body: Mapping[str, Any]) -> Receipt:
    """Register the output ``receipt`` of the customer's apply.

    A later one corrects it: ids that the apply made may have been sent wrong. Raises
    ``InvalidInput`` for an incomplete receipt, ``ReceiptMismatch`` naming the field that does not
    belong to this bundle, ``ReceiptAlreadyRegistered`` for the same one again. The schema lets only
    ids and digests be kept.
    """
    with taken_up(act, bundle_id, "receipts") as bundle:
        _require_belongs(act, bundle, body)
        earlier = act.uow.receipts.find(bundle_id=bundle.id)
        if earlier and earlier[-1].digest == digest(dict(body)):
            raise ReceiptAlreadyRegistered("exactly this receipt is already registered")
        return _store(act, bundle, body, earlier)


def _require_belongs(act: Act, bundle: Bundle, body: Mapping[str, Any]) -> None:
    tenant = act.uow.tenants.need(bundle.tenant_id)
    inputs = bundle.inputs
    expected = {
        "content_digest": bundle.content_digest,
        "tenant": tenant.slug,
        "deployment": bundle.deployment_id,
        "environment": inputs["owner"]["environment"],
        "account_id": inputs["account_id"],
        "region": inputs["region"],
    }
    for field, value in expected.items():
        if field in body and body[field] != value:
            raise ReceiptMismatch(f"{field} of this bundle is {value}", field=field)
    if "content_digest" not in body:
        raise InvalidInput(
            "content_digest is missing: send what `terraform output -json receipt` prints",
            field="receipt.content_digest",
        )
    try:
        act.core.specs.validate("receipt", body)
    except InvalidInput as error:
        raise error.renamed(lambda name: f"receipt.{name}") from error
    resources = body["resources"]
    for name, value in fixed_resources(inputs).items():
        if resources[name] != value:
            raise ReceiptMismatch(
                f"resources.{name} is {resources[name]}, but this bundle's apply creates {value}",
                field=f"resources.{name}",
            )
    for name, beginning in made_keys(inputs).items():
        if not resources[name].startswith(beginning):
            raise ReceiptMismatch(
                f"resources.{name} is not a key of the account and region of this bundle",
                field=f"resources.{name}",
            )


def _store(
    act: Act,
    bundle: Bundle,
    body: Mapping[str, Any],
    earlier: Sequence[Receipt],
) -> Receipt:
    now = act.now()
    receipt = Receipt(
        id=act.new_id("receipt"),
        bundle_id=bundle.id,
        digest=digest(dict(body)),
        body=dict(body),
        registered_by=act.caller.actor.id,
        registered_at=now,
    )
    act.uow.receipts.add(receipt)
    _show_outputs(act, bundle, body)
    record(
        act, "receipt.registered",
        tree=bundle.tenant_id, targets=(("bundle", bundle.id), ("receipt", receipt.id)),
        receipt=receipt.id, receipt_digest=receipt.digest, content_digest=bundle.content_digest,
        corrects=earlier[-1].id if earlier else None,
    )  # fmt: skip
    if earlier:
        return receipt
    act.uow.bundles.save(bundle.moved(BundleStatus.APPLIED, now))
    let_saga_look(act, sync_tenant(act, bundle.tenant_id))
    return receipt


def _show_outputs(act: Act, bundle: Bundle, body: Mapping[str, Any]) -> None:
    """Keep what the receipt names as outputs, unless a later version has been applied."""
    others = act.uow.bundles.find(deployment_id=bundle.deployment_id, status=BundleStatus.APPLIED)
    if any(other.number > bundle.number for other in others):
        return
    deployment = act.uow.deployments.need(bundle.deployment_id, lock=True)
    act.uow.deployments.save(
        deployment.changed(
            act.now(), account_id=body["account_id"], outputs=dict(body["resources"])
        )
    )
