"""Starting what a resolved mode leads to: a run, or a bundle that waits for an architect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from control_plane.domain.bundle import Bundle, BundleStatus, Rehearsal
from control_plane.domain.cause import Cause
from control_plane.domain.deployment import Deployment, DeploymentKind, stack_name
from control_plane.domain.errors import DomainError
from control_plane.domain.mode import Mode
from control_plane.domain.owner_status import Holding
from control_plane.domain.run import Run
from control_plane.domain.tenant import Tenant
from control_plane.domain.timers import Timer, TimerKind
from control_plane.workflows.core import Act
from control_plane.workflows.queueing_bundles import first_bundle
from control_plane.workflows.recording import record_bundle, record_caused
from control_plane.workflows.requesting import request_run

__all__ = ["KINDS_OF_MODES", "Start", "begin", "first_start", "next_bundle", "request_run"]
KINDS_OF_MODES: Final = {
    Mode.A: DeploymentKind.SLICE,
    Mode.B: DeploymentKind.DEDICATED,
    Mode.C: DeploymentKind.CUSTOMER_RUN,
}


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a resolved mode leads to: a deployment, and its first bundle in Mode C."""

    deployment: Deployment
    bundle: Bundle | None
    cause: Cause | None = None  # the step of a journey that follows it

    @property
    def rows(self) -> tuple[object, ...]:
        """What is to be stored before ``begin``."""
        bundle = self.bundle
        if bundle is None or bundle.expires_at is None:
            return (self.deployment,)
        expiry = Timer(kind=TimerKind.BUNDLE_EXPIRY, subject=bundle.id, due_at=bundle.expires_at)
        return (self.deployment, bundle, expiry)

    @property
    def holding(self) -> Holding:
        """The deployment as its owner's status sees it before there is a run."""
        return Holding(bundle=self.bundle.status if self.bundle is not None else None)


def first_start(
    act: Act, tenant: Tenant, mode: Mode, environment: str, cause: Cause | None = None
) -> Start:
    """Return the deployment of a mode and its first bundle; stores nothing."""
    if tenant.region is None:
        raise DomainError("a resolved mode has a region")
    now = act.now()
    # the account is known when the deployment has a place (workflows/placing.py)
    deployment = Deployment(
        id=act.new_id("deployment"),
        tenant_id=tenant.id,
        hub_id=None,
        kind=KINDS_OF_MODES[mode],
        environment=environment,
        region=tenant.region,
        account_id="",
        stack=stack_name(tenant.slug, environment, str(mode).lower()),
        created_at=now,
        updated_at=now,
    )
    is_bundle = mode is Mode.C
    bundle = first_bundle(act, tenant, deployment, cause=cause) if is_bundle else None
    return Start(deployment=deployment, bundle=bundle, cause=cause)


def begin(act: Act, start: Start) -> Run | None:
    """Request the first run of a deployment that was stored, or queue its bundle."""
    bundle = start.bundle
    if bundle is None:
        return request_run(act, start.deployment, cause=start.cause)
    record_caused(act, "bundle.queued", bundle, region=start.deployment.region)
    return None


def next_bundle(act: Act, old: Bundle) -> Bundle:
    """Let a new version take a bundle's place; its inputs start as the old ones.

    A bundle that was applied stays so: its version is what exists until the next is applied.
    """
    now, is_applied = act.now(), old.status is BundleStatus.APPLIED
    if not is_applied:
        act.uow.bundles.save(old.moved(BundleStatus.SUPERSEDED, now))
    new = replace(
        old,
        id=act.new_id("bundle"),
        number=old.number + 1,
        status=BundleStatus.ACCEPTED,
        accepted_by=act.caller.actor.id,
        builds=0,
        rehearsal=Rehearsal.NONE,
        content_digest=None,
        archive_digest=None,
        archive_name=None,
        files={},
        checks=(),
        error=None,
        handed_over_at=None,
        cause=None if is_applied else old.cause,  # what was applied did what the step asked for
        expires_at=now + act.core.limits.bundle_life,
        created_at=now,
        updated_at=now,
        version=1,
    )
    act.uow.bundles.add(new)
    act.uow.timers.cancel(TimerKind.BUNDLE_EXPIRY, old.id)
    act.uow.timers.set(TimerKind.BUNDLE_EXPIRY, new.id, now + act.core.limits.bundle_life)
    action = "bundle.continued" if is_applied else "bundle.superseded"
    record_bundle(act, action, old, superseded_by=new.id)
    return new
