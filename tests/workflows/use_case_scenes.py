"""Scenes for every use case: what must be there before it is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.errors import (
    DomainError,
    Unavailable,
)
from control_plane.domain.run import BlockedOn
from control_plane.services import (
    approvals,
    auditing,
    bundles,
    hubs,
    provisioning,
    receipts,
    runs,
    tenants,
)
from control_plane.services.sweeps import revive_stalled
from control_plane.workflows.core import Caller, Core
from tests.world import (
    ARCHITECT,
    AUDITOR,
    AUTOMATION,
    OPS,
    World,
    person,
    request_body,
)

EVERYBODY = person("eve", *Role)
NOBODY = person("norman")
CUSTOMERS_ACCOUNT = "210987654321"


class Scene(World):
    """A world, and the ids that the acts of the tables are about."""

    def __init__(self) -> None:
        super().__init__()
        self.link = ""

    def waiting_b(self) -> Any:
        """Return a Mode B run that waits for its decision."""
        accepted = self.submit("B")
        self.work()
        return self.run(accepted.run_id)

    def bundle(self, *, upto: str = "queued") -> str:
        """Return a bundle that is queued, accepted, built or handed over."""
        bundle_id = self.submit("C").bundle_id or ""
        if upto == "queued":
            return bundle_id
        taken = bundles.accept_bundle(self.core, ARCHITECT, bundle_id)
        bundles.edit_bundle(
            self.core, ARCHITECT, bundle_id,
            inputs={"account_id": CUSTOMERS_ACCOUNT}, if_version=taken.version,
        )  # fmt: skip
        if upto == "accepted":
            return bundle_id
        bundles.build_bundle(self.core, ARCHITECT, bundle_id)
        self.work()
        if upto == "handed_over":
            self.link = hand_over(self, bundle_id).token
        return bundle_id

    def receipt(self, bundle_id: str) -> dict[str, Any]:
        """Return the receipt of a bundle's apply."""
        bundle = bundles.get_bundle(self.core, AUDITOR, bundle_id)
        return {
            "content_digest": bundle.content_digest,
            "tenant": self.tenant(bundle.tenant_id).slug,
            "deployment": bundle.deployment_id,
            "environment": "production",
            "account_id": CUSTOMERS_ACCOUNT,
            "region": bundle.inputs["region"],
        }


Act = Callable[[], object]
Prepare = Callable[[Scene], Act]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One call: what prepares it, which events it leaves, and the error of a refusal."""

    prepare: Prepare
    events: tuple[str, ...]
    error: type[DomainError] | None = None


def decide(who: Caller, **changes: str) -> Prepare:
    def prepare(scene: Scene) -> Act:
        view = approvals.get_approval(scene.core, OPS, scene.waiting_b().approval_id)
        given = {"verdict": "approve", "plan_digest": view.approval.plan_digest, "reason": "ok"}
        given |= changes
        return lambda: approvals.decide(scene.core, who, view.approval.id, **given)

    return prepare


def decide_twice(scene: Scene) -> Act:
    act = decide(OPS)(scene)
    act()
    return act


def decide_late(scene: Scene) -> Act:
    act = decide(OPS)(scene)
    scene.clock.advance(hours=72)
    return act


def on_bundle(
    function: Callable[..., object], upto: str, who: Caller = ARCHITECT, **given: Any
) -> Prepare:
    def prepare(scene: Scene) -> Act:
        bundle_id = scene.bundle(upto=upto)
        return lambda: function(scene.core, who, bundle_id, **given)

    return prepare


def edit(upto: str, off: int = 0) -> Prepare:
    def prepare(scene: Scene) -> Act:
        bundle_id = scene.bundle(upto=upto)
        version = bundles.get_bundle(scene.core, AUDITOR, bundle_id).version + off
        return lambda: bundles.edit_bundle(
            scene.core, ARCHITECT, bundle_id, inputs={"uninstall": True}, if_version=version
        )

    return prepare


def hand_over(scene: Scene, bundle_id: str) -> bundles.HandedOver:
    return bundles.hand_over(
        scene.core, ARCHITECT, bundle_id,
        recipient_name="Carla", recipient_email="carla@example.com",
    )  # fmt: skip


def download(spoil: str = "") -> Prepare:
    def prepare(scene: Scene) -> Act:
        bundle_id = scene.bundle(upto="handed_over")
        return lambda: bundles.download_by_link(
            scene.core, NOBODY, bundle_id, scene.link + spoil, name=None
        )

    return prepare


def receipt(**changes: str) -> Prepare:
    def prepare(scene: Scene) -> Act:
        bundle_id = scene.bundle(upto="handed_over")
        body = {**scene.receipt(bundle_id), **changes}
        return lambda: receipts.register_receipt(scene.core, ARCHITECT, bundle_id, body)

    return prepare


def hub(who: Caller, *, taken: bool = False) -> Prepare:
    def prepare(scene: Scene) -> Act:
        def act() -> object:
            return hubs.request_hub(scene.core, who, region="eu-west-1", cell="c1", capacity=3)

        if taken:
            act()
        return act

    return prepare


def submit(mode: str, who: Caller = AUTOMATION, *, used: bool = False, **changes: Any) -> Prepare:
    def prepare(scene: Scene) -> Act:
        if used:
            scene.submit("B")
        body = request_body(mode, 1, **changes)
        return lambda: provisioning.submit_request(scene.core, who, body)

    return prepare


def submit_again(scene: Scene) -> Act:
    act = submit("B")(scene)
    act()
    return act


def steer(function: Callable[..., object], who: Caller = OPS, *, canceled: bool) -> Prepare:
    def prepare(scene: Scene) -> Act:
        run = scene.waiting_b()
        if canceled:
            runs.cancel_run(scene.core, OPS, run.id)
        return lambda: function(scene.core, who, run.id)

    return prepare


def retry_blocked(scene: Scene) -> Act:
    run = scene.waiting_b()
    with scene.core.uow() as uow:
        deployment = uow.deployments.get(run.deployment_id)
    assert deployment is not None
    scene.engine.hold_lock(deployment.stack)
    scene.approve(run.id)
    assert scene.run(run.id).blocked_on is BlockedOn.FOREIGN_LOCK
    return lambda: runs.retry_run(scene.core, OPS, run.id)


def decide_mode(who: Caller, **changed: Any) -> Prepare:
    def prepare(scene: Scene) -> Act:
        tenant = scene.submit("A", customer_managed_key=True).tenant
        return lambda: tenants.decide_mode(
            scene.core, who, tenant.id, changed_facts=changed or None, reason="agreed"
        )

    return prepare


def read_log(who: Caller, tree: str = "") -> Prepare:
    def prepare(scene: Scene) -> Act:
        key = tree or scene.submit("B").tenant.id
        return lambda: auditing.read_events(scene.core, who, key, after=0, limit=10, action=None)

    return prepare


def sweep(function: Callable[..., int], make: Callable[[Scene], object], **later: float) -> Prepare:
    def prepare(scene: Scene) -> Act:
        make(scene)
        scene.clock.advance(**later)
        return lambda: function(scene.core)

    return prepare


def waits_for_hub(scene: Scene) -> None:
    """Leave a request that waits, and a Hub that has room since without having woken it."""
    hub_id = scene.ready_hub(capacity=0)
    scene.submit("A")
    scene.work()
    with scene.core.uow() as uow:
        row = uow.hubs.get(hub_id, lock=True)
        assert row is not None
        uow.hubs.save(replace(row, capacity=5, version=row.version + 1))
        uow.commit()


def stalls(scene: Scene) -> None:
    """Leave a run whose phase fell out of the queue."""
    scene.submit("B")

    def outage(phase: str, subject: str) -> None:
        raise Unavailable

    with pytest.raises(Unavailable):
        scene.queue.drain(outage)


def revive(core: Core) -> int:
    """Look for stalled runs where nothing is in the queue."""
    return revive_stalled(core, set)
