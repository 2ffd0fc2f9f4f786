"""A dedicated Hub by the real engine: what somebody changes between approval and apply is found.

The plan is a wide one: another environment tag, a larger database, another allow list. So it
touches everything of the Hub that carries tags. `TESTS_TRIALS` sets how many changes are tried one
by one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.plan import CHANGING, Plan
from control_plane.domain.risk import RiskKind, kinds_of
from control_plane.domain.run import BlockedOn, Run, RunStatus
from control_plane.services import runs
from control_plane.services.changes import request_change
from control_plane.services.performing import perform
from stacks.engine.backend import backend_for
from stacks.engine.sdk import VERSION
from stacks.engine.sealing import Sealer
from tests.contracts.engine_bench import pulumi_engine
from tests.stacks.by_hand import CHANGES, changed
from tests.stacks.cloud_process import CloudProcess
from tests.storage import Storage
from tests.world import AUTOMATION, OPS, World, person

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

TRIALS = int(os.environ.get("TESTS_TRIALS", "6"))
OTTO = person("otto", Role.OPS_APPROVER)
UNTOUCHED = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
# read, since the flow log that the plan touches depends on it
READ = ("aws:iam/rolePolicy:RolePolicy", "flow-logs")


class Site:
    """A ready dedicated Hub, and a change of it that waits for its decision."""

    def __init__(self, storage: Storage, cloud: CloudProcess, cli: Path, folder: Path) -> None:
        self.storage, self.cloud, self._folder = storage, cloud, folder
        (folder / "state").mkdir()
        engine = pulumi_engine(lambda: cli, cloud.endpoint, folder)
        self.world = World(storage)
        self.world.core = replace(self.world.core, engine=engine)
        accepted = self.world.submit("B")
        self.world.work()
        self.world.approve(accepted.run_id)
        assert self.run(accepted.run_id).status is RunStatus.APPLIED, self.run(accepted.run_id)
        self.tenant_id = accepted.tenant.id
        with self.world.core.act() as act:
            (deployment,) = act.uow.deployments.find(tenant_id=self.tenant_id)
            act.uow.deployments.save(deployment.changed(act.now(), environment="staging"))
            act.uow.commit()
        self.deployment = deployment
        self.run_id = self.change({"seats": 2000, "ip_allow_list": ["203.0.113.0/24"]})
        self.plan: Plan = perform(self.world.core, OPS, runs.get_plan, self.run_id)
        self.resources = self._resources()

    def change(self, facts: dict[str, Any]) -> str:
        """Change facts of the tenant and let the run plan."""
        found = perform(
            self.world.core, AUTOMATION, request_change, self.tenant_id, facts=facts, reason="grown"
        )
        self.world.work()
        return found.run_id or ""

    def run(self, run_id: str | None = None) -> Run:
        """Return a run, the waiting one unless one is named."""
        found: Run = self.world.run(run_id or self.run_id)
        return found

    def touched(self, resource_type: str) -> list[dict[str, Any]]:
        """Return the resources of a type that exist and that the plan touches."""
        urns = {o.urn for o in self.plan.operations if o.op in CHANGING}
        return [r for r in self.resources if r["type"] == resource_type and r["urn"] in urns]

    def of(self, resource_type: str, name: str = "") -> dict[str, Any]:
        """Return the first resource of a type, or the one that is named."""
        found = [r for r in self.resources if r["type"] == resource_type]
        return next(r for r in found if r["urn"].endswith(f"::{name}") or not name)

    def refused(self) -> list[dict[str, Any]]:
        """Approve as if for the first time; returns the differences that stopped the apply."""
        self.storage.put_back()
        known, records = len(self.world.events()), self.records()
        self.world.approve(self.run_id)
        run = self.run()
        assert (run.status, run.blocked_on) == (
            RunStatus.BLOCKED, BlockedOn.STATE_MOVED
        ), run.error  # fmt: skip
        assert run.error is not None
        assert run.error["data"]["parts"] == ["cloud"]
        done = [event.action for event in self.world.events()[known:]]
        assert "run.blocked" in done
        assert "run.apply" not in done
        assert self.records() == records
        return list(run.error["data"]["differences"])

    def records(self) -> list[str]:
        """Return the names of everything that is stored of the stack's state."""
        folder = self._folder / "state" / "stacks" / self.deployment.stack
        return sorted(path.name for path in folder.iterdir())

    def _resources(self) -> list[dict[str, Any]]:
        engine: Any = self.world.core.engine
        with self.world.core.uow() as uow:
            salt = uow.salts.get(self.deployment.id)
        order = engine.order_to_read(self.deployment.id, self.deployment.stack, salt)
        backend = backend_for(
            order["backend_url"],
            self.deployment.stack,
            engine=f"v{VERSION}",
            sealer=Sealer(order["passphrase"], self.deployment.stack),
            endpoint=self.cloud.endpoint,
        )
        state = backend.state() or {}
        return [r for r in state["resources"] if r["type"].startswith("aws:")]


@pytest.fixture(scope="module")
def site(
    module_storage: Storage, pulumi_cli: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with CloudProcess() as cloud:
        site = Site(module_storage, cloud, pulumi_cli, tmp_path_factory.mktemp("site"))
        module_storage.keep()
        yield site


def touched_types(site: Site) -> list[str]:
    return sorted({r["type"] for r in site.resources if site.touched(r["type"])})


def is_named(found: list[dict[str, Any]], resource: dict[str, Any], name: str) -> bool:
    """Tell whether a difference names a property of a resource with two values."""
    return any(
        each["urn"] == resource["urn"]
        and each["kind"] == "changed"
        and each["path"].startswith(name)
        and each["in_plan"] != each["in_cloud"]
        for each in found
    )


def test_each_type_that_the_plan_touches_can_be_changed_here(site: Site) -> None:
    types = touched_types(site)
    assert set(types) <= set(CHANGES)
    assert len(types) >= 18
    assert not site.touched(UNTOUCHED)
    assert not site.touched(READ[0])


def test_the_risks_of_the_plan_are_named_with_what_raises_them(site: Site) -> None:
    """The new allow list is a rule more in a group that exists; all else only carries other tags,
    and a larger database costs less more than the limit.
    """
    widening = [each for each in site.plan.risks if each.kind is RiskKind.WIDENING]
    assert [each.urn.rpartition("::")[2] for each in widening] == ["app-from-203.0.113.0-24"]
    assert kinds_of(site.plan.risks) == (RiskKind.WIDENING,), site.plan.risks


def test_changes_of_all_types_at_once_are_all_named(site: Site) -> None:
    with ExitStack() as changes:
        wanted = [
            (resource, changes.enter_context(changed(site.cloud.client, resource)))
            for resource in [
                *(site.touched(kind)[0] for kind in touched_types(site)),
                site.of(*READ),
            ]
        ]
        found = site.refused()
    assert [r["urn"] for r, name in wanted if not is_named(found, r, name)] == []
    assert {each["urn"] for each in found} == {r["urn"] for r, _ in wanted}


def test_a_change_of_any_type_alone_is_refused_with_its_property(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    types = touched_types(site)
    refused = 0
    for trial in range(TRIALS):
        kind = types[trial * 7 % len(types)]
        resources = site.touched(kind)
        resource = resources[trial // len(types) % len(resources)]
        with changed(site.cloud.client, resource) as name:
            found = site.refused()
        assert is_named(found, resource, name), (kind, found)
        assert {each["urn"] for each in found} == {resource["urn"]}
        refused += 1
    with capsys.disabled():
        sys.stdout.write(f"\nrefused {refused} of {TRIALS} changes, over {len(types)} types\n")


def test_a_change_that_the_plan_neither_touches_nor_reads_blocks_nothing(site: Site) -> None:
    site.storage.put_back()
    with changed(site.cloud.client, site.of(UNTOUCHED)):
        site.world.approve(site.run_id)
        run = site.run()
        assert run.started_at is not None
        failed = {c.name: c.detail for c in site.world.evidence(run).checks if not c.ok}
    # the look at everything afterwards says so
    assert set(failed) == {"as_applied"}
    assert "blockPublicPolicy" in failed["as_applied"]


def test_the_fresh_plan_repairs_what_was_changed_and_is_compared(site: Site) -> None:
    retried = perform(site.world.core, OPS, runs.retry_run, site.run_id)
    site.world.work()
    assert site.run(retried.id).status is RunStatus.NO_CHANGES, site.run(retried.id).error
    site.run_id = site.change({"seats": 100})
    instance = site.of("aws:rds/instance:Instance")
    with changed(site.cloud.client, instance):
        site.world.approve(site.run_id)
        assert site.run().blocked_on is BlockedOn.STATE_MOVED
        fresh = perform(site.world.core, OPS, runs.retry_run, site.run_id)
        site.world.work()
    assert site.run(fresh.id).status is RunStatus.AWAITING_APPROVAL, site.run(fresh.id).error
    earlier, found = perform(site.world.core, OPS, runs.compare_plans, fresh.id)
    assert earlier is not None
    assert earlier.id == site.run_id
    assert (found.added, found.removed) == ((), ())
    (compared,) = found.changed
    assert compared.after.urn == instance["urn"]
    more = {c.path: (c.before, c.after) for c in compared.after.changes}
    assert {p for p in more if p not in compared.before.diffs} == {"backupRetentionPeriod"}
    assert more["backupRetentionPeriod"] == (1, instance["inputs"]["backupRetentionPeriod"])
