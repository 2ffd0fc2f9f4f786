"""Listing a tenant's data for its hand-over: the manifest, and what lies beside the bundle.

What was read once is kept in rows, so that under the freeze only what has changed is read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from control_plane.domain.bundle import Bundle
from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.domain.handover import Source, manifest_bytes, manifest_digest, manifest_of
from control_plane.domain.handover_guide import handover_guide
from control_plane.domain.saga import Saga, SagaKind, SagaStep
from control_plane.domain.tenant import Tenant
from control_plane.domain.transfer import KINDS, Kind, Place
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.calling import patiently
from control_plane.workflows.core import Act, Core
from control_plane.workflows.recording import record
from control_plane.workflows.saga_steps import Ended, Outcome
from control_plane.workflows.transferring import (
    differing,
    keep_rows,
    parts,
    place_of,
    source_of,
    target_of,
)

GUIDE: Final = "HANDOVER.md"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest that was made; as JSON it is kept in its saga."""

    number: int
    digest: str
    reference: str  # of its bytes in the object store
    totals: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"handover-manifest-{self.number}.json"

    @property
    def signature_name(self) -> str:
        """The name of the file with its signature."""
        return f"{self.name}.minisig"

    def beside(self, name: str) -> str:
        """Return where a file is stored that belongs to it."""
        return f"{self.reference.rpartition('/')[0]}/{name}"

    def to_document(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "number": self.number, "digest": self.digest, "reference": self.reference,
            "totals": dict(self.totals),
        }  # fmt: skip


def manifest_in(saga: Saga) -> Manifest | None:
    """Return the newest manifest of a hand-over."""
    found = saga.data.get("manifest")
    return Manifest(**found) if found is not None else None


def list_data(core: Core, saga: Saga, step: SagaStep) -> Outcome:
    """List what the source holds, and make the manifest of it."""
    made = make_manifest(core, saga, is_frozen=step.name != "manifest")
    if made is None:
        return Ended(result={"withdrawn": True})
    return Ended(
        result={"manifest": made.number, "digest": made.digest, "totals": dict(made.totals)},
        data={"manifest": made.to_document()},
    )


def make_manifest(core: Core, saga: Saga, *, is_frozen: bool) -> Manifest | None:
    """Read what differs from what was read before, and make the next manifest.

    Returns None when the saga was withdrawn meanwhile.
    """
    with core.act() as act:
        source = source_for_handover(act.uow, saga)
    for kind in KINDS:
        if not _read(core, saga, source.place, kind):
            return None
    with core.act() as act:
        rows = {kind: tuple(act.uow.transfers.known(saga.id, kind).values()) for kind in KINDS}
        before = manifest_in(act.uow.sagas.need(saga.id))
        target = target_of(act.uow, saga)
    number = before.number + 1 if before is not None else 1
    document = manifest_of(
        source, target.id, rows, number=number, is_frozen=is_frozen, made_at=core.clock.now()
    )
    content = manifest_bytes(document)
    reference = f"handovers/{saga.id}/{core.ids.new('event')[4:]}/manifest-{number}.json"
    patiently(partial(core.objects.put, reference, content))
    made = Manifest(
        number=number,
        digest=manifest_digest(content),
        reference=reference,
        totals=document["totals"],
    )
    files = _beside(core, saga, document, made, content)
    patiently(partial(_keep, core, saga, target, made, files))
    return made


def _read(core: Core, saga: Saga, place: Place, kind: Kind) -> bool:
    with core.act() as act:
        known = act.uow.transfers.known(saga.id, kind)
    seen: set[str] = set()
    for part in parts(differing(core.data.things(place, kind), known, seen)):
        if not keep_rows(core, saga, kind, copied=core.data.describe(place, part)):
            return False
    gone = sorted(set(known) - seen)
    return keep_rows(core, saga, kind, gone=gone)


def source_for_handover(uow: UnitOfWork, saga: Saga) -> Source:
    """Return where the data of a hand-over comes from."""
    tenant, source = uow.tenants.need(str(saga.tenant_id)), source_of(uow, saga)
    database = None
    if source.kind is DeploymentKind.DEDICATED:
        database = str(source.outputs.get("database_id", "db"))
    return Source(
        tenant=tenant.slug,
        mode=str(saga.data["from"]),
        place=place_of(uow, source),
        database=database,
    )


def has_changed(core: Core, saga: Saga) -> bool:
    """Tell whether the source holds something else than the newest manifest; reads no content."""
    with core.act() as act:
        place = place_of(act.uow, source_of(act.uow, saga))
        rows = {kind: act.uow.transfers.known(saga.id, kind) for kind in KINDS}
    for kind in KINDS:
        seen: set[str] = set()
        if any(True for _ in differing(core.data.things(place, kind), rows[kind], seen)):
            return True
        if seen != set(rows[kind]):
            return True
    return False


# --- beside the bundle ---------------------------------------------------------------------------
def _beside(
    core: Core, saga: Saga, document: Mapping[str, Any], made: Manifest, content: bytes
) -> dict[str, str]:
    """Store what lies beside the bundle; returns names and references."""
    signature = core.builder.sign(made.name, content)
    guide = handover_guide(document, made.digest, keep_days=int(saga.data["keep_days"]))
    found = {made.name: made.reference}
    for name, each in ((made.signature_name, signature), (GUIDE, guide.encode())):
        found[name] = made.beside(name)
        patiently(partial(core.objects.put, found[name], each))
    return found


def _keep(
    core: Core, saga: Saga, target: Deployment, made: Manifest, files: Mapping[str, str]
) -> None:
    with core.act() as act:
        bundle = newest_given(act.uow, target.id)
        if bundle is not None:
            bundle = act.uow.bundles.need(bundle.id, lock=True)
            both = {**bundle.files, **files}
            act.uow.bundles.save(bundle.changed(act.now(), files=both))
        _record_made(act, saga, made)
        act.uow.commit()


def _record_made(act: Act, saga: Saga, made: Manifest) -> None:
    sums = sorted(made.totals.items())
    record(
        act, "handover.manifest_made",
        tree=saga.tenant_id, targets=(("tenant", str(saga.tenant_id)), ("saga", saga.id)),
        saga=saga.id, number=made.number, digest=made.digest,
        counts=[f"{kind} {of['count']}" for kind, of in sums],
        digests=[f"{kind} {of['digest']}" for kind, of in sums],
    )  # fmt: skip


def newest_given(uow: UnitOfWork, deployment_id: str) -> Bundle | None:
    """Return the newest version of a bundle that was handed over."""
    found = [b for b in uow.bundles.find(deployment_id=deployment_id) if b.handed_over_at]
    return max(found, key=lambda bundle: bundle.number, default=None)


def files_of_handover(core: Core, tenant: Tenant, bundle: Bundle) -> Mapping[str, bytes]:
    """Return what a bundle has of a hand-over that is in progress; nothing where there is none."""
    with core.act() as act:
        saga = act.uow.sagas.get(tenant.saga_id) if tenant.saga_id is not None else None
        made = manifest_in(saga) if saga is not None else None
    if saga is None or made is None or saga.kind is not SagaKind.MODE_HANDOVER:
        return {}
    if saga.data["target"] != bundle.deployment_id:
        return {}
    return {
        "manifest.json": core.objects.get(made.reference),
        GUIDE: core.objects.get(made.beside(GUIDE)),
    }
