"""The phase of a bundle: build, pack, sign, rehearse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.domain.audit import Stage
from control_plane.domain.bundle import Bundle, BundleStatus, Rehearsal
from control_plane.domain.errors import BundleInvalid, DomainError
from control_plane.domain.timers import TimerKind
from control_plane.ports import BuiltBundle, BundleOrder, EngineEvent
from control_plane.workflows.core import Act, Core
from control_plane.workflows.moving import as_json
from control_plane.workflows.owners import sync_tenant
from control_plane.workflows.recording import record


def build_bundle(core: Core, bundle_id: str) -> None:
    """Phase: build what the bundle's inputs determine; may run again, same input, same bytes."""
    with core.act() as act:
        bundle = act.uow.bundles.get(bundle_id)
        tenant = act.uow.tenants.get(bundle.tenant_id) if bundle else None
    if bundle is None or tenant is None or bundle.status is not BundleStatus.BUILDING:
        return
    residency = tenant.facts.get("residency") or {}
    order = BundleOrder(
        bundle_id=bundle.id,
        tenant_id=tenant.id,
        tenant_slug=tenant.slug,
        number=bundle.number,
        variables=bundle.inputs,
        zone=residency.get("zone"),
        strict=bool(residency.get("strict")),
    )
    try:
        built = core.builder.build(order, on_events=_Progress(core, bundle_id))
        references = _store_files(core, bundle, built)
        if not _keep_built(core, order, built, references):
            for reference in references.values():
                core.objects.remove(reference)
    except DomainError as error:
        _failed(core, bundle_id, error)
        return
    except Exception:  # a full disk, say: nobody would build it again, so let it be asked for
        _failed(
            core,
            bundle_id,
            DomainError("the build was interrupted; the worker's log has the reason"),
        )
        raise


def _keep_built(
    core: Core, order: BundleOrder, built: BuiltBundle, references: Mapping[str, str]
) -> bool:
    """Keep what was built; False when this build was given up meanwhile."""
    with core.act() as act:
        bundle = act.uow.bundles.get(order.bundle_id, lock=True)
        if bundle is None or bundle.status is not BundleStatus.BUILDING:
            return False
        if bundle.inputs != order.variables:  # another one runs
            return False
        bundle = bundle.moved(
            BundleStatus.BUILT,
            core.clock.now(),
            rehearsal=Rehearsal(built.rehearsal),
            content_digest=built.content_digest,
            archive_digest=built.archive_digest,
            archive_name=built.archive_name,
            files=references,
            checks=tuple(built.checks),
        )
        act.uow.bundles.save(bundle)
        _record_built(act, bundle, built)
        act.uow.commit()
    return True


class _Progress:
    """Keeps the checks of a build in its row as they are done, for those who wait."""

    def __init__(self, core: Core, bundle_id: str) -> None:
        self._core = core
        self._bundle_id = bundle_id
        self._checks: list[Mapping[str, Any]] = []

    def __call__(self, events: Sequence[EngineEvent]) -> None:
        self._checks += [body for kind, body in events if kind == "check"]
        with self._core.act() as act:
            bundle = act.uow.bundles.get(self._bundle_id, lock=True)
            if bundle is not None and bundle.status is BundleStatus.BUILDING:
                now = self._core.clock.now()
                act.uow.bundles.save(bundle.changed(now, checks=tuple(self._checks)))
                act.uow.commit()


def _store_files(core: Core, bundle: Bundle, built: BuiltBundle) -> dict[str, str]:
    """Store the archive and what lies beside it; a repeated build writes beside, not over."""
    folder = f"bundles/{bundle.id}/{bundle.version}-{core.ids.new('event')[4:]}"
    references = {}
    for name, content in {built.archive_name: built.archive, **built.files}.items():
        references[name] = f"{folder}/{name}"
        core.objects.put(references[name], content)
    return references


def _record_built(act: Act, bundle: Bundle, built: BuiltBundle) -> None:
    targets = (("bundle", bundle.id),)
    record(
        act, "bundle.built",
        tree=bundle.tenant_id, targets=targets, number=bundle.number,
        content_digest=built.content_digest, archive_digest=built.archive_digest,
        archive=built.archive_name, files=sorted(built.files),
    )  # fmt: skip
    record(
        act, "bundle.rehearsed",
        tree=bundle.tenant_id, targets=targets, number=bundle.number, rehearsal=built.rehearsal,
        checks=[{"name": c["name"], "ok": c["ok"]} for c in built.checks],
        failed=[c["name"] for c in built.checks if not c["ok"]],
        content_digest=built.content_digest,
    )  # fmt: skip


_WAITING = (
    BundleStatus.AWAITING_ARCHITECT,
    BundleStatus.ACCEPTED,
    BundleStatus.BUILT,
    BundleStatus.HANDED_OVER,
)


def expire_bundle(act: Act, bundle_id: str) -> None:
    """Expire a bundle that was not used in time; does nothing when it was, or has more time."""
    now = act.now()
    bundle = act.uow.bundles.get(bundle_id, lock=True)
    if bundle is None or bundle.status not in _WAITING or bundle.expires_at is None:
        return
    if bundle.expires_at > now:
        act.uow.timers.set(TimerKind.BUNDLE_EXPIRY, bundle.id, bundle.expires_at)
        return
    act.uow.bundles.save(bundle.moved(BundleStatus.EXPIRED, now))
    record(
        act, "bundle.expired",
        tree=bundle.tenant_id, targets=(("bundle", bundle.id),), number=bundle.number,
    )  # fmt: skip
    sync_tenant(act, bundle.tenant_id)


def fail_stale_build(act: Act, bundle_id: str) -> None:
    """End a build that took too long or died, so that an architect can ask for it again."""
    bundle = act.uow.bundles.get(bundle_id, lock=True)
    if bundle is None or bundle.status is not BundleStatus.BUILDING:
        return
    error = DomainError("the build was interrupted; the worker's log has the reason")
    _keep_failure(act, bundle, error)


def _failed(core: Core, bundle_id: str, error: DomainError) -> None:
    with core.act() as act:
        bundle = act.uow.bundles.get(bundle_id, lock=True)
        if bundle is not None and bundle.status is BundleStatus.BUILDING:
            _keep_failure(act, bundle, error)
        act.uow.commit()


def _keep_failure(act: Act, bundle: Bundle, error: DomainError) -> None:
    checks = error.data.get("checks") or ()
    failed = bundle.moved(
        BundleStatus.BUILD_FAILED,
        act.now(),
        error=as_json(error),
        checks=tuple(checks) if isinstance(error, BundleInvalid) else (),
    )
    act.uow.bundles.save(failed)
    record(
        act, "bundle.build_failed",
        tree=failed.tenant_id, targets=(("bundle", failed.id),), stage=Stage.FAILED,
        number=failed.number, code=error.code,
        checks=[str(c["name"]) for c in checks if not c["ok"]],
    )  # fmt: skip
