"""The phase of a bundle: build, pack, sign, rehearse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from control_plane.domain.audit import Stage
from control_plane.domain.bundle import Bundle, BundleStatus, Rehearsal
from control_plane.domain.errors import BundleInvalid, DomainError
from control_plane.domain.timers import TimerKind
from control_plane.ports.bundles import BuiltBundle, BundleOrder
from control_plane.ports.engine import EngineEvent
from control_plane.workflows.calling import patiently
from control_plane.workflows.core import Act, Core
from control_plane.workflows.holding import CHECKED_AGAIN, clocks_stand_still
from control_plane.workflows.listing import files_of_handover
from control_plane.workflows.moving import as_json
from control_plane.workflows.owners import sync_tenant
from control_plane.workflows.recording import record_bundle, record_caused


def build_bundle(core: Core, bundle_id: str) -> None:
    """Phase: build what the bundle's inputs determine; may run again, same input, same bytes."""
    with core.act() as act:
        bundle = act.uow.bundles.get(bundle_id)
        tenant = act.uow.tenants.get(bundle.tenant_id) if bundle else None
    if bundle is None or tenant is None or bundle.status is not BundleStatus.BUILDING:
        return
    residency = tenant.facts.get("residency") or {}
    order = BundleOrder(
        tenant_slug=tenant.slug,
        number=bundle.number,
        variables=bundle.inputs,
        zone=residency.get("zone"),
        strict=bool(residency.get("strict")),
        handover=files_of_handover(core, tenant, bundle),
    )
    build = Build(core, bundle)
    try:
        built = core.builder.build(order, on_events=build.progress)
        references = build.store_files(built)
        if not build.write(lambda act, present: _keep_built(act, present, built, references)):
            for reference in references.values():
                core.objects.remove(reference)
    except DomainError as error:
        failure = error
        build.write(lambda act, present: _keep_failure(act, present, failure))
    except Exception:  # a full disk, say: nobody would build it again, so let it be asked for
        build.write(lambda act, present: _keep_failure(act, present, _broken_off()))
        raise


class Build:
    """One build of a bundle: it writes nothing once it was given up, though it may still run."""

    def __init__(self, core: Core, bundle: Bundle) -> None:
        self._core = core
        self._bundle = bundle
        self._checks: list[Mapping[str, Any]] = []

    def progress(self, events: Sequence[EngineEvent]) -> None:
        """Keep the checks in the bundle's row as they are done, for those who wait."""
        self._checks += [body for kind, body in events if kind == "check"]
        self.write(
            lambda act, bundle: act.uow.bundles.save(
                bundle.changed(act.now(), checks=tuple(self._checks))
            )
        )

    def store_files(self, built: BuiltBundle) -> dict[str, str]:
        """Store the archive and what lies beside it; a repeated build writes beside, not over."""
        core, references = self._core, {}
        folder = f"bundles/{self._bundle.id}/{self._bundle.version}-{core.ids.new('event')[4:]}"
        for name, content in {built.archive_name: built.archive, **built.files}.items():
            references[name] = f"{folder}/{name}"
            patiently(partial(core.objects.put, references[name], content))
        return references

    def write(self, write: Callable[[Act, Bundle], None]) -> bool:
        """Write something of this build, patiently; False when it was given up."""
        return patiently(lambda: self._write(write))

    def _write(self, write: Callable[[Act, Bundle], None]) -> bool:
        with self._core.act() as act:
            bundle = act.uow.bundles.get(self._bundle.id, lock=True)
            if bundle is None or bundle.status is not BundleStatus.BUILDING:
                return False
            if bundle.builds != self._bundle.builds:
                return False
            write(act, bundle)
            act.uow.commit()
        return True


def _keep_built(
    act: Act, bundle: Bundle, built: BuiltBundle, references: Mapping[str, str]
) -> None:
    bundle = bundle.moved(
        BundleStatus.BUILT,
        act.now(),
        rehearsal=Rehearsal(built.rehearsal),
        content_digest=built.content_digest,
        archive_digest=built.archive_digest,
        archive_name=built.archive_name,
        files=references,
        checks=tuple(built.checks),
    )
    act.uow.bundles.save(bundle)
    _record_built(act, bundle, built)


def _record_built(act: Act, bundle: Bundle, built: BuiltBundle) -> None:
    record_caused(
        act, "bundle.built", bundle,
        content_digest=built.content_digest, archive_digest=built.archive_digest,
        archive=built.archive_name, files=sorted(built.files),
    )  # fmt: skip
    record_bundle(
        act, "bundle.rehearsed", bundle, rehearsal=built.rehearsal,
        checks=[{"name": c["name"], "ok": c["ok"]} for c in built.checks],
        failed=[c["name"] for c in built.checks if not c["ok"]],
        content_digest=built.content_digest,
    )  # fmt: skip


_WAITING = (
    BundleStatus.AWAITING_ARCHITECT,
    BundleStatus.ACCEPTED,
    BundleStatus.BUILD_FAILED,
    BundleStatus.BUILT,
    BundleStatus.HANDED_OVER,
)


def expire_bundle(act: Act, bundle_id: str) -> None:
    """Expire a bundle that was not used in time; does nothing when it was, or has more time.

    One that is being built is checked again when its build is over.
    """
    now = act.now()
    bundle = act.uow.bundles.get(bundle_id, lock=True)
    if bundle is None or bundle.expires_at is None:
        return
    if bundle.status is BundleStatus.BUILDING:
        again = max(bundle.expires_at, now + act.core.limits.build_life)
        act.uow.timers.set(TimerKind.BUNDLE_EXPIRY, bundle.id, again)
        return
    if bundle.status not in _WAITING:
        return
    if bundle.expires_at > now:
        act.uow.timers.set(TimerKind.BUNDLE_EXPIRY, bundle.id, bundle.expires_at)
        return
    if clocks_stand_still(act.uow, act.uow.tenants.need(bundle.tenant_id)):
        act.uow.timers.set(TimerKind.BUNDLE_EXPIRY, bundle.id, now + CHECKED_AGAIN)
        return
    act.uow.bundles.save(bundle.moved(BundleStatus.EXPIRED, now))
    record_bundle(act, "bundle.expired", bundle)
    sync_tenant(act, bundle.tenant_id)


def fail_stale_build(act: Act, bundle_id: str) -> None:
    """End a build that took too long or died, so that an architect can ask for it again."""
    bundle = act.uow.bundles.get(bundle_id, lock=True)
    if bundle is None or bundle.status is not BundleStatus.BUILDING:
        return
    _keep_failure(act, bundle, _broken_off())


def _broken_off() -> DomainError:
    return DomainError("the build was aborted; see the worker's log")


def _keep_failure(act: Act, bundle: Bundle, error: DomainError) -> None:
    checks = error.data.get("checks") or ()
    failed = bundle.moved(
        BundleStatus.BUILD_FAILED,
        act.now(),
        error=as_json(error),
        checks=tuple(checks) if isinstance(error, BundleInvalid) else (),
    )
    act.uow.bundles.save(failed)
    record_bundle(
        act, "bundle.build_failed", failed, stage=Stage.FAILED, code=error.code,
        checks=[str(c["name"]) for c in checks if not c["ok"]],
    )  # fmt: skip
