"""The receipt of a customer's destroy (Mode C): checked before anything is recorded of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.domain.bundle import Bundle, BundleStatus
from control_plane.domain.canonical import digest
from control_plane.domain.deployment import Deployment
from control_plane.domain.destroy_receipt import (
    HandedOverVersion,
    require_about,
    require_empty,
)
from control_plane.domain.errors import InvalidInput
from control_plane.domain.tenant import Tenant
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act


def destroy_evidence(
    act: Act, tenant: Tenant, deployment: Deployment, body: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a receipt of a destroy proves: the deployment, the version, what remains.

    Raises ``InvalidInput`` for one that is incomplete, ``ReceiptMismatch`` for that of another
    tenant, deployment, account or bundle, ``DestroyIncomplete`` while something is left.
    """
    try:
        act.core.specs.validate("destroy_receipt", body)
    except InvalidInput as error:
        raise error.renamed(lambda name: f"receipt.{name}") from error
    bundles = _candidates(act.uow, deployment)
    by_digest = {bundle.content_digest: bundle for bundle in bundles}
    newest = by_digest.get(body["content_digest"], bundles[-1])
    version = require_about(
        body,
        expected={
            "tenant": tenant.slug,
            "environment": deployment.environment,
            "deployment": deployment.id,
            "account_id": str(newest.inputs["account_id"]),
            "region": deployment.region,
        },
        versions=[_version(bundle) for bundle in bundles],
    )
    remaining = require_empty(body, version=version, now=act.now())
    return {
        "tenant": tenant.slug,
        "deployment": deployment.id,
        "account_id": body["account_id"],
        "bundle": by_digest[version.content_digest].id,
        "content_digest": version.content_digest,
        "destroyed_at": body["destroyed_at"],
        "resources_left": len(set(body["state"])),
        "remaining": list(remaining),
        "digest": digest(dict(body)),
    }


def _candidates(uow: UnitOfWork, deployment: Deployment) -> list[Bundle]:
    """Return the versions that may exist at the customer: the one applied last, and later ones."""
    given = [
        bundle
        for bundle in uow.bundles.find(deployment_id=deployment.id)
        if bundle.handed_over_at is not None
    ]
    applied = [bundle.number for bundle in given if bundle.status is BundleStatus.APPLIED]
    since = max(applied, default=0)
    return sorted((b for b in given if b.number >= since), key=lambda bundle: bundle.number)


def _version(bundle: Bundle) -> HandedOverVersion:
    if bundle.handed_over_at is None or bundle.content_digest is None:
        raise LookupError(f"{bundle.id} was not handed over")
    return HandedOverVersion(
        number=bundle.number,
        content_digest=bundle.content_digest,
        handed_over_at=bundle.handed_over_at,
    )
