"""What a run means for its tenant depends on its kind, from its request to its end."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.deployment import Desired
from control_plane.domain.run import RunKind, RunStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.services import approvals, runs
from control_plane.services.performing import perform
from control_plane.services.starting import request_run
from tests.world import ADMIN, OPS, World, person

T, W = TenantStatus, WaitingOn
PETRA = person("petra", Role.OPS_APPROVER)


class Ready:
    """A ready Mode B tenant whose facts ask for a larger database than it has."""

    def __init__(self, world: World) -> None:
        self.world = world
        accepted = world.submit("B")
        world.work()
        world.approve(accepted.run_id)
        self.tenant_id = accepted.tenant.id
        with world.core.uow() as uow:
            (self.deployment,) = uow.deployments.find(tenant_id=self.tenant_id)
            tenant = uow.tenants.need(self.tenant_id)
            facts = {**tenant.facts, "seats": 2000}
            uow.tenants.save(replace(tenant, facts=facts, version=tenant.version + 1))
            uow.commit()
        assert self.shown() == (T.READY, None)

    def start(self, desired: Desired) -> str:
        """Request a run and do it as far as it goes; what it removes is not protected."""
        self.world.engine.is_bare = desired is Desired.ABSENT
        asked = partial(request_run, desired=desired)
        run = perform(self.world.core, ADMIN, asked, self.deployment)
        assert self.shown() == (T.READY, W.PLATFORM)
        self.world.work()
        return run.id

    def shown(self) -> tuple[TenantStatus, WaitingOn | None]:
        """Return what the tenant's row says."""
        tenant = self.world.tenant(self.tenant_id)
        return tenant.status, tenant.waiting_on

    def decide(self, run_id: str, verdict: str) -> None:
        """Decide on a plan and do what follows."""
        approval = perform(
            self.world.core, OPS, approvals.get_approval, self.world.run(run_id).approval_id
        ).approval
        perform(
            self.world.core, OPS, approvals.decide, approval.id,
            verdict=verdict, plan_digest=approval.plan_digest, reason="read it",
        )  # fmt: skip
        self.world.work()

    def seen_during(self, what: str) -> list[tuple[TenantStatus, WaitingOn | None]]:
        """Return a list that gets what the tenant's row says whenever the engine does ``what``."""
        seen: list[tuple[TenantStatus, WaitingOn | None]] = []
        self.world.engine.during = lambda done, _: (
            seen.append(self.shown()) if done == what else None
        )
        return seen

    def specs(self) -> list[Any]:
        """Return the specs of the deployment, oldest first."""
        with self.world.core.uow() as uow:
            return uow.specs.find(deployment_id=self.deployment.id)


@pytest.fixture
def ready(world: World) -> Ready:
    return Ready(world)


def test_a_tenant_stays_ready_while_an_update_waits_and_when_it_is_rejected(ready: Ready) -> None:
    run_id = ready.start(Desired.PRESENT)
    assert ready.world.run(run_id).kind is RunKind.UPDATE
    assert ready.shown() == (T.READY, W.OPS)
    ready.decide(run_id, "reject")
    assert ready.world.run(run_id).status is RunStatus.REJECTED
    assert ready.shown() == (T.READY, None)


def test_an_update_that_applies_leaves_a_tenant_ready_only_with_new_evidence(ready: Ready) -> None:
    run_id = ready.start(Desired.PRESENT)
    seen = ready.seen_during("change")
    ready.decide(run_id, "approve")
    assert seen == [(T.PROVISIONING, W.PLATFORM)]
    assert ready.world.run(run_id).status is RunStatus.APPLIED
    assert ready.shown() == (T.READY, None)
    assert [spec.desired for spec in ready.specs()] == [Desired.PRESENT, Desired.PRESENT]


def test_a_destroy_waits_for_two_people_and_deprovisions_from_then_on(ready: Ready) -> None:
    run_id = ready.start(Desired.ABSENT)
    assert ready.world.run(run_id).kind is RunKind.DESTROY
    assert ready.specs()[-1].desired is Desired.ABSENT
    ready.world.approve(run_id)
    assert ready.world.run(run_id).status is RunStatus.AWAITING_APPROVAL
    assert ready.shown() == (T.READY, W.OPS)
    seen = ready.seen_during("change")
    ready.world.approve(run_id, PETRA)
    assert seen == [(T.DEPROVISIONING, W.PLATFORM)]


def test_nothing_counts_as_removed_while_nobody_looked_for_what_is_left(ready: Ready) -> None:
    """An engine of an earlier release makes no check of what is gone."""
    run_id = ready.start(Desired.ABSENT)
    ready.world.engine.skipped_checks = {"nothing_in_state", "nothing_by_tag"}
    ready.world.approve(run_id)
    ready.world.approve(run_id, PETRA)
    run = ready.world.run(run_id)
    assert run.status is RunStatus.ERRORED
    checks = {check.name: check.ok for check in ready.world.evidence(run).checks}
    assert not any(checks[name] for name in ("nothing_in_state", "nothing_by_tag"))
    assert checks["nothing_by_name"]
    assert ready.shown() == (T.DEPROVISIONING, W.OPS)
    again = perform(ready.world.core, OPS, runs.retry_run, run_id)
    assert again.kind is RunKind.DESTROY


def test_a_tenant_is_deprovisioned_with_evidence_that_nothing_is_left(ready: Ready) -> None:
    run_id = ready.start(Desired.ABSENT)
    ready.world.approve(run_id)
    ready.world.approve(run_id, PETRA)
    run = ready.world.run(run_id)
    assert run.status is RunStatus.APPLIED
    evidence = ready.world.evidence(run)
    assert evidence.ok
    names = {check.name for check in evidence.checks}
    assert {"nothing_in_state", "nothing_by_tag", "nothing_by_name"} <= names
    assert ready.world.engine.stacks[ready.deployment.stack].resources == {}
    assert ready.shown() == (T.DEPROVISIONED, None)


def test_a_destroy_of_what_is_protected_ends_before_anything_is_called(ready: Ready) -> None:
    asked = partial(request_run, desired=Desired.ABSENT)
    run_id = perform(ready.world.core, ADMIN, asked, ready.deployment).id
    ready.world.work()
    run = ready.world.run(run_id)
    assert run.status is RunStatus.ERRORED
    assert run.error is not None
    assert run.error["data"]["details"]["names"] == ["key.data"]
    assert ready.world.engine.stacks[ready.deployment.stack].resources
    assert ready.shown() == (T.READY, None)


def test_a_destroy_that_is_rejected_leaves_a_tenant_as_it_was(ready: Ready) -> None:
    run_id = ready.start(Desired.ABSENT)
    ready.decide(run_id, "reject")
    assert ready.shown() == (T.READY, None)
    assert ready.world.run(ready.start(Desired.PRESENT)).kind is RunKind.UPDATE
