"""What people say and record while a tenant's data is handed over to an account of the customer.

The steps are those of ``domain/sagas/handover.py``; the customer has no account here, so that an
architect or an operator records what it sends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.bundle import BundleStatus
from control_plane.domain.canonical import digest
from control_plane.domain.errors import (
    IllegalTransition,
    InvalidInput,
    MachineMayNotDecide,
    NotFound,
    ReceiptAlreadyRegistered,
)
from control_plane.domain.handover import ImportReport, require_equal_import
from control_plane.domain.saga import Saga, SagaKind, SagaStatus
from control_plane.domain.spellings import instant
from control_plane.domain.tenant import Tenant
from control_plane.services.permission import require_role
from control_plane.services.sagas import newest_of
from control_plane.services.tenants import get_tenant
from control_plane.workflows.core import Act
from control_plane.workflows.listing import GUIDE, Manifest, manifest_in
from control_plane.workflows.recording import record, refused_as
from control_plane.workflows.sagas import wake

RECORDERS: Final = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN, Role.SOLUTIONS_ARCHITECT)
READERS: Final = (*RECORDERS, Role.AUDITOR)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}\Z")
# step -> what may be asked for while it waits
ACTIONS: Final[Mapping[str, str]] = {
    "first_copy": "first-copy",
    "dump": "database-dump",
    "import": "import-report",
}


@dataclass(frozen=True, kw_only=True)
class HandedManifest:
    """A manifest as it is handed over: its name, digest and bytes, its signature and runbook."""

    manifest: Manifest
    content: bytes
    signature: bytes
    guide: bytes


def allowed_actions(saga: Saga, actor: Actor) -> list[str]:
    """Return what somebody may say now of a hand-over, by the last part of its route."""
    is_waiting = saga.status is SagaStatus.WAITING and not saga.is_undoing
    if saga.kind is not SagaKind.MODE_HANDOVER or not is_waiting or not actor.has(*RECORDERS):
        return []
    action = ACTIONS.get(saga.step)
    return [action] if action is not None else []


def say_first_copy(act: Act, key: str, *, reason: str) -> Saga:
    """Say that the first copy has arrived; the time without writes begins.

    Raises ``InvalidInput`` without a reason, ``IllegalTransition`` while it is not waited for,
    ``MachineMayNotDecide``.
    """
    with _taken_up(act, key, "first_copy") as (tenant, saga):
        said = _said(act, reason)
        _record_word(act, tenant, saga, "first_copy_arrived", reason, None)
        return _keep(act, saga, first_copy=said)


def record_dump(act: Act, key: str, *, dump_digest: str, reason: str) -> Saga:
    """Record the digest of the database's dump, made under the freeze. Raises as the first copy."""
    with _taken_up(act, key, "dump") as (tenant, saga):
        if not _DIGEST.match(dump_digest):
            raise InvalidInput("a digest has the form sha256: and 64 digits", field="dump_digest")
        said = {**_said(act, reason), "digest": dump_digest}
        _record_word(act, tenant, saga, "database_dumped", reason, dump_digest)
        return _keep(act, saga, dump=said)


def register_import(act: Act, key: str, body: Mapping[str, Any]) -> ImportReport:
    """Register the report of what the customer has imported, if it equals the newest manifest.

    Raises ``InvalidInput`` for one that is incomplete, ``ReceiptMismatch`` naming the field that
    belongs to another tenant, Hub or manifest, ``ImportDiffers`` naming what differs,
    ``ReceiptAlreadyRegistered`` for a second one on the same manifest.
    """
    with _taken_up(act, key, "import") as (tenant, saga):
        made = manifest_in(saga)
        if made is None:
            raise NotFound("nothing was listed yet")
        try:
            act.core.specs.validate("import_report", body)
            instant(body["made_at"])
        except InvalidInput as error:
            raise error.renamed(lambda name: f"report.{name}") from error
        except ValueError as error:
            raise InvalidInput(f"made_at {error}", field="report.made_at") from error
        require_equal_import(
            body,
            expected=_expected(act, tenant, saga, made),
            sums=made.totals,
            dump=(saga.data.get("dump") or {}).get("digest"),
        )
        if act.uow.import_reports.find(saga_id=saga.id, manifest_digest=made.digest):
            raise ReceiptAlreadyRegistered("a report on this manifest is registered")
        return _store(act, saga, made, body)


def _expected(act: Act, tenant: Tenant, saga: Saga, made: Manifest) -> dict[str, str]:
    target = str(saga.data["target"])
    applied = act.uow.bundles.find(deployment_id=target, status=BundleStatus.APPLIED)[-1]
    return {
        "tenant": tenant.slug,
        "deployment": target,
        "account_id": str(applied.inputs["account_id"]),
        "region": str(applied.inputs["region"]),
        "manifest_digest": made.digest,
    }


def _store(act: Act, saga: Saga, made: Manifest, body: Mapping[str, Any]) -> ImportReport:
    report = ImportReport(
        id=act.new_id("import_report"),
        saga_id=saga.id,
        manifest_digest=made.digest,
        digest=digest(dict(body)),
        body=dict(body),
        registered_by=act.caller.actor.id,
        registered_at=act.now(),
    )
    act.uow.import_reports.add(report)
    record(
        act, "handover.imported",
        tree=saga.tenant_id, targets=_targets(saga), saga=saga.id, report=report.id,
        digest=report.digest, manifest=made.digest,
        counts=[f"{kind} {of['count']}" for kind, of in sorted(made.totals.items())],
    )  # fmt: skip
    wake(act, saga)
    return report


def show_manifest(act: Act, key: str) -> HandedManifest:
    """Return the newest manifest of a tenant's hand-over, with its runbook. Raises ``NotFound``."""
    tenant = get_tenant(act, key)
    require_role(act, *READERS, wanted="handovers.read", tree=tenant.id)
    saga = newest_of(act.uow, tenant, SagaKind.MODE_HANDOVER)
    made = manifest_in(saga) if saga is not None else None
    if made is None:
        raise NotFound("no data of this tenant was listed for a hand-over")
    get = act.core.objects.get
    return HandedManifest(
        manifest=made,
        content=get(made.reference),
        signature=get(made.beside(made.signature_name)),
        guide=get(made.beside(GUIDE)),
    )


# --- what they share -----------------------------------------------------------------------------
@contextmanager
def _taken_up(act: Act, key: str, step: str) -> Iterator[tuple[Tenant, Saga]]:
    """Let somebody say something at a step of a hand-over, locked; a refusal leaves an event."""
    action = ACTIONS[step]
    tenant = get_tenant(act, key)
    require_role(act, *RECORDERS, wanted=f"handovers.{action}", tree=tenant.id)
    targets = (("tenant", tenant.id),)
    with refused_as(act, "handover.refused", tree=tenant.id, targets=targets, wanted=action):
        found = newest_of(act.uow, tenant, SagaKind.MODE_HANDOVER)
        saga = act.uow.sagas.need(found.id, lock=True) if found is not None else None
        if saga is None or not saga.is_open or saga.is_undoing:
            raise IllegalTransition(
                "no hand-over is in progress", present_status=str(tenant.status)
            )
        if saga.step != step or saga.status is not SagaStatus.WAITING:
            raise IllegalTransition(
                f"the hand-over does not wait for this: its step is {saga.step}",
                present_status=str(saga.status),
            )
        yield tenant, saga


def _said(act: Act, reason: str) -> dict[str, str]:
    if not reason.strip():
        raise InvalidInput("a reason is required", field="reason")
    actor = act.caller.actor
    if actor.kind is not ActorKind.USER:
        raise MachineMayNotDecide("this is said by a person, not by a machine")
    return {"by": actor.id, "at": act.now().isoformat()}


def _keep(act: Act, saga: Saga, **said: Mapping[str, str]) -> Saga:
    kept = saga.changed(act.now(), data={**saga.data, **said})
    act.uow.sagas.save(kept)
    return wake(act, kept)


def _record_word(
    act: Act, tenant: Tenant, saga: Saga, word: str, reason: str, named: str | None
) -> None:
    record(
        act, "handover.said",
        tree=tenant.id, targets=_targets(saga), personal={"reason": reason.strip()},
        saga=saga.id, word=word, digest=named,
    )  # fmt: skip


def _targets(saga: Saga) -> tuple[tuple[str, str], ...]:
    return (("tenant", str(saga.tenant_id)), ("saga", saga.id))
