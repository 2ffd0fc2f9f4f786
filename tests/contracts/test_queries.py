"""Each named query: what it finds, in which order, and what it leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from control_plane.domain.bundle import BundleStatus
from control_plane.domain.calls import CallOutcome
from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.domain.engine import Operation
from control_plane.domain.plan import PlanHead
from control_plane.domain.run import RUN_TRANSITIONS, BlockedOn, Run, RunKind, RunStatus
from control_plane.domain.standing_counts import StandingCount
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.ports.rows import EnvelopeHistory, Newest, PlacedRun
from tests.contracts.rows import store
from tests.entities import Entities
from tests.storage import Storage

pytestmark = pytest.mark.timeout(120)


@dataclass(frozen=True)
class Scene:
    """A tenant's deployment and another one, to be left out."""

    storage: Storage
    make: Entities
    mine: Deployment
    other: Deployment

    def run(self, deployment: Deployment, **changes: Any) -> Run:
        """Store a run."""
        run = self.make.run(deployment, **changes)
        store(self.storage, "runs", run)
        return run

    def blocked(self, on: BlockedOn, deployment: Deployment, **changes: Any) -> str:
        """Store a run that waits, and return its id; time goes on."""
        run = self.run(
            deployment, status=RunStatus.BLOCKED, blocked_on=on,
            blocked_from=RunStatus.REQUESTED, **changes,
        )  # fmt: skip
        self.make.clock.advance(seconds=1)
        return run.id


@pytest.fixture
def scene(storage: Storage, make: Entities) -> Scene:
    tenants = [make.tenant(), make.tenant()]
    mine, other = (make.deployment(tenant) for tenant in tenants)
    store(storage, "tenants", *tenants)
    store(storage, "deployments", mine, other)
    return Scene(storage, make, mine, other)


# --- runs --------------------------------------------------------------------------------------
def test_the_newest_run_is_that_with_the_highest_number(storage: Storage, scene: Scene) -> None:
    second = scene.run(scene.mine, number=2)
    scene.run(scene.mine, number=1)  # its id is newer
    scene.run(scene.other, number=9)
    with storage.unit_of_work() as uow:
        assert uow.queries.newest_run(scene.mine.id) == second
        assert uow.queries.newest_run("dep_unknown") is None


def test_a_look_is_never_the_newest_run_and_has_a_number_of_its_own(
    storage: Storage, make: Entities, scene: Scene
) -> None:
    change = scene.run(scene.mine, number=1)
    look = scene.run(
        scene.mine, number=2, kind=RunKind.REFRESH, requested_at=make.clock.advance(hours=1)
    )
    ended = scene.run(
        scene.other, number=4, kind=RunKind.REFRESH, status=RunStatus.NO_CHANGES
    )  # fmt: skip
    with storage.unit_of_work() as uow:
        ask = uow.queries
        assert ask.newest_run(scene.mine.id) == change
        assert ask.newest_run(scene.other.id) is None
        assert ask.newest_runs([scene.mine.id, scene.other.id]) == {change.id}
        newest = ask.newest_of_tenants([str(scene.mine.tenant_id), str(scene.other.tenant_id)])
        assert [each.run_id for each in newest.values()] == [change.id, None]
        placed = ask.placed_runs([change.id, ended.id])
        assert [placed[run.id].is_newest for run in (change, ended)] == [True, True]
        assert [ask.open_look(each.id) for each in (scene.mine, scene.other)] == [look, None]
        numbers = [ask.last_number(each) for each in (scene.mine.id, scene.other.id, "dep_unknown")]
        assert numbers == [2, 4, 0]


def test_blocked_runs_are_found_by_what_they_wait_for_longest_first(
    storage: Storage, make: Entities, scene: Scene
) -> None:
    far = make.deployment(None, region="eu-central-1")
    store(storage, "deployments", far)
    first = scene.blocked(BlockedOn.HUB_UNAVAILABLE, scene.mine)
    scene.blocked(BlockedOn.NO_ACCOUNT, scene.mine)
    away = scene.blocked(BlockedOn.HUB_UNAVAILABLE, far)
    third = scene.blocked(BlockedOn.HUB_UNAVAILABLE, scene.other)
    scene.run(scene.mine)
    with storage.unit_of_work() as uow:
        blocked = uow.queries.blocked_runs
        assert blocked(BlockedOn.HUB_UNAVAILABLE, limit=9) == [first, away, third]
        assert blocked(BlockedOn.HUB_UNAVAILABLE, limit=2) == [first, away]
        assert blocked(BlockedOn.HUB_UNAVAILABLE, limit=0) == []
        assert blocked(BlockedOn.HUB_UNAVAILABLE, limit=9, region="eu-west-1") == [first, third]
        assert blocked(BlockedOn.HUB_UNAVAILABLE, limit=9, region="us-east-1") == []
        assert blocked(BlockedOn.FOREIGN_LOCK, limit=9) == []


def test_runs_come_with_what_they_are_for(storage: Storage, make: Entities, scene: Scene) -> None:
    hub = make.hub()
    place = make.deployment(None, kind=DeploymentKind.HUB, hub_id=hub.id)
    store(storage, "hubs", hub)
    store(storage, "deployments", place)
    older, newer = (scene.run(scene.mine, number=number) for number in (1, 2))
    of_platform = scene.run(place, tenant_id=None)
    scene.run(scene.other)
    asked = [newer.id, of_platform.id, older.id, "run_unknown"]
    with storage.unit_of_work() as uow:
        tenant = uow.tenants.need(scene.mine.tenant_id)
        assert uow.queries.placed_runs(asked) == {
            older.id: PlacedRun(run=older, deployment=scene.mine, tenant=tenant, is_newest=False),
            newer.id: PlacedRun(run=newer, deployment=scene.mine, tenant=tenant, is_newest=True),
            of_platform.id: PlacedRun(
                run=of_platform, deployment=place, tenant=None, is_newest=True
            ),
        }
        assert uow.queries.placed_runs([]) == {}


def test_plan_heads_say_how_much_changes_and_what_cannot_be_undone(
    storage: Storage, make: Entities, scene: Scene
) -> None:
    run = scene.run(scene.mine)
    harmless = Operation(urn="urn:a", type="t", name="a", op="create")
    lost = [
        Operation(urn=f"urn:{name}", type="t", name=name, op="delete", irreversible=True)
        for name in ("b", "c")
    ]
    plans = [
        make.plan(run, operations=(lost[0], harmless, lost[1]), summary={"create": 1, "delete": 2}),
        make.plan(run, operations=(harmless,)),
        make.plan(run, operations=()),
    ]
    store(storage, "plans", *plans)
    with storage.unit_of_work() as uow:
        heads = uow.queries.plan_heads([plans[0].id, plans[1].id, "pln_unknown"])
        assert heads == {
            plan.id: PlanHead(
                id=plan.id,
                summary=plan.summary,
                irreversible=cannot_be_undone,
                risks=plan.risks,
                state=plan.parts.get("state", ""),
                created_at=plan.created_at,
            )
            for plan, cannot_be_undone in ((plans[0], tuple(lost)), (plans[1], ()))
        }
        assert heads[plans[0].id].irreversible == plans[0].irreversible
        assert uow.queries.plan_heads([]) == {}


# --- requests ----------------------------------------------------------------------------------
def test_an_envelope_has_its_contract_and_its_newest_refusals(
    storage: Storage, make: Entities, scene: Scene
) -> None:
    tenant = make.tenant()
    contract = make.contract(tenant, envelope_id="envelope-1")
    refusals = [make.refusal(envelope_id="envelope-1") for _ in range(3)]
    others = make.refusal(envelope_id="envelope-2"), make.refusal(provider="adobe")
    store(storage, "tenants", tenant)
    store(storage, "contracts", contract)
    store(storage, "refusals", *refusals, *others)
    newest_first = [refused.id for refused in reversed(refusals)]
    with storage.unit_of_work() as uow:
        ask = uow.queries.envelope
        assert ask("docusign", "envelope-1", refusals=2) == EnvelopeHistory(
            contract_id=contract.id, refusals=newest_first[:2]
        )
        assert ask("docusign", "envelope-1", refusals=9).refusals == newest_first
        assert ask("docusign", "envelope-2", refusals=9) == EnvelopeHistory(
            contract_id=None, refusals=[others[0].id]
        )
        assert ask("docusign", "unknown", refusals=9) == EnvelopeHistory(
            contract_id=None, refusals=[]
        )


def test_a_key_that_was_taken_is_durable_at_once(storage: Storage, make: Entities) -> None:
    mine = make.idempotency()
    with storage.unit_of_work() as uow:
        assert uow.queries.claim_key(mine, dead_before=mine.created_at)
    with storage.unit_of_work() as uow:
        assert not uow.queries.claim_key(mine, dead_before=mine.created_at)
        assert uow.idempotency.get(mine.id) == mine
    with storage.unit_of_work() as uow:  # the connection is one with transactions again
        uow.tenants.add(make.tenant())
    with storage.unit_of_work() as uow:
        assert uow.tenants.count() == 0


# --- engine calls ------------------------------------------------------------------------------
def test_the_newest_calls_are_those_with_the_highest_numbers(
    storage: Storage, make: Entities, scene: Scene
) -> None:
    run, other = scene.run(scene.mine), scene.run(scene.other)
    calls = [make.call(run, number) for number in (1, 2, 3)]
    store(storage, "calls", *reversed(calls), make.call(other, 9))
    with storage.unit_of_work() as uow:
        assert uow.queries.newest_call(scene.mine.id) == calls[2]
        assert uow.queries.calls_of(scene.mine.id, limit=2) == [calls[2], calls[1]]
        assert uow.queries.calls_of(scene.mine.id, limit=9) == calls[::-1]
        assert uow.queries.newest_call("dep_unknown") is None
        assert uow.queries.calls_of("dep_unknown", limit=9) == []


@pytest.mark.parametrize("status", list(RUN_TRANSITIONS))
def test_calls_of_canceled_runs_are_to_be_stopped_until_they_are_applied(
    storage: Storage, make: Entities, scene: Scene, status: RunStatus
) -> None:
    blocked = {"blocked_on": BlockedOn.NO_ACCOUNT, "blocked_from": RunStatus.REQUESTED}
    run = scene.run(
        scene.mine, status=status, cancel_requested=True,
        **(blocked if status is RunStatus.BLOCKED else {}),
    )  # fmt: skip
    store(storage, "calls", make.call(run))
    wanted = [f"{run.id}.1"] if status in (RunStatus.APPLYING, RunStatus.CANCELED) else []
    with storage.unit_of_work() as uow:
        assert uow.queries.calls_to_stop("worker-1") == wanted


def test_calls_of_others_that_ended_or_that_nobody_canceled_are_left_alone(
    storage: Storage, make: Entities, scene: Scene
) -> None:
    run = scene.run(scene.mine, status=RunStatus.APPLYING, cancel_requested=True)
    wanted = scene.run(scene.other, status=RunStatus.APPLYING)
    over = {"outcome": CallOutcome.ENDED, "ended_at": make.clock.now()}
    store(
        storage, "calls", make.call(run, 1, worker="worker-2"), make.call(run, 2, **over),
        make.call(wanted, 1),
    )  # fmt: skip
    with storage.unit_of_work() as uow:
        assert uow.queries.calls_to_stop("worker-1") == []
        assert uow.queries.calls_to_stop("worker-2") == [f"{run.id}.1"]


# --- owners ------------------------------------------------------------------------------------
def test_the_newest_bundle_is_that_with_the_highest_number(
    storage: Storage, make: Entities, scene: Scene
) -> None:
    second = make.bundle(scene.mine, number=2)
    first = make.bundle(scene.mine, number=1, status=BundleStatus.SUPERSEDED)
    store(storage, "bundles", second, first, make.bundle(scene.other, number=9))
    with storage.unit_of_work() as uow:
        assert uow.queries.newest_bundle(scene.mine.id) == second
        assert uow.queries.newest_bundle("dep_unknown") is None


@pytest.mark.parametrize("status", list(BundleStatus))
def test_a_deployment_was_applied_when_one_of_its_bundles_was(
    storage: Storage, make: Entities, scene: Scene, status: BundleStatus
) -> None:
    older = make.bundle(scene.mine, number=1, status=status)
    newer = make.bundle(scene.mine, number=2, status=BundleStatus.EXPIRED)
    elsewhere = make.bundle(scene.other, status=BundleStatus.APPLIED)
    store(storage, "bundles", older, newer, elsewhere)
    with storage.unit_of_work() as uow:
        assert uow.queries.was_applied(scene.mine.id) == (status is BundleStatus.APPLIED)
        assert uow.queries.was_applied(scene.other.id)
        assert not uow.queries.was_applied("dep_unknown")


def test_slices_are_counted_on_each_hub(storage: Storage, make: Entities, scene: Scene) -> None:
    hubs = [make.hub(), make.hub(), make.hub()]
    store(storage, "hubs", *hubs)
    kinds = [DeploymentKind.HUB, DeploymentKind.SLICE, DeploymentKind.SLICE]
    for hub, number in ((hubs[0], 3), (hubs[1], 1), (hubs[2], 2)):
        store(
            storage, "deployments",
            *(make.deployment(None, hub_id=hub.id, kind=kind) for kind in kinds[:number]),
        )  # fmt: skip
    asked = [hubs[0].id, hubs[1].id, "hub_unknown"]
    with storage.unit_of_work() as uow:
        assert uow.queries.slices(asked) == dict(zip(asked, (2, 0, 0), strict=True))
        assert uow.queries.slices([]) == {}


def test_each_tenant_has_its_newest_run_and_bundle(
    storage: Storage, make: Entities, scene: Scene
) -> None:
    mine, other = str(scene.mine.tenant_id), str(scene.other.tenant_id)
    second = make.deployment(None, tenant_id=mine, environment="staging")
    store(storage, "deployments", second)
    older = make.clock.now()
    make.clock.advance(hours=1)
    newest = scene.run(second)
    scene.run(scene.mine, requested_at=older)  # its id is newer
    make.clock.advance(hours=1)
    bundle = make.bundle(scene.mine, error={"code": "terraform_unavailable"})
    store(storage, "bundles", bundle, make.bundle(second, created_at=older))
    with storage.unit_of_work() as uow:
        assert uow.queries.newest_of_tenants([mine, other, "ten_unknown"]) == {
            mine: Newest(newest.id, None, bundle.id, bundle.error),
            other: Newest(None, None, None, None),
            "ten_unknown": Newest(None, None, None, None),
        }  # fmt: skip
        assert uow.queries.newest_of_tenants([]) == {}


# --- retention ---------------------------------------------------------------------------------
def test_answers_whose_life_is_over_are_forgotten_so_many_at_a_time(
    storage: Storage, make: Entities
) -> None:
    store(storage, "idempotency", *(make.idempotency() for _ in range(5)))
    make.clock.advance(hours=1)
    kept = make.idempotency()
    store(storage, "idempotency", kept)
    make.clock.advance(hours=47)
    with storage.unit_of_work() as uow:
        assert uow.queries.forget_answers(make.clock.now(), limit=9) == 0  # the last moment counts
        make.clock.advance(seconds=1)
        found = [uow.queries.forget_answers(make.clock.now(), limit=3) for _ in range(3)]
        assert found == [3, 2, 0]
        assert uow.idempotency.find() == [kept]
        uow.commit()


def test_ended_calls_of_a_deployment_below_a_number_are_forgotten(
    storage: Storage, make: Entities, scene: Scene
) -> None:
    run, other = scene.run(scene.mine), scene.run(scene.other)
    is_over = {"ended_at": make.clock.now(), "outcome": CallOutcome.ENDED}
    calls = [make.call(run, number, **is_over) for number in (1, 3, 4)]
    still_open, elsewhere = make.call(run, 2), make.call(other, 1, **is_over)
    store(storage, "calls", *calls, still_open, elsewhere)
    with storage.unit_of_work() as uow:
        found = [uow.queries.forget_calls(scene.mine.id, below=number) for number in (1, 4, 4)]
        assert found == [0, 2, 0]
        left = {call.id for call in uow.calls.find()}
        assert left == {still_open.id, calls[2].id, elsewhere.id}


def test_tenants_are_counted_by_status_and_whom_they_wait_for(
    storage: Storage, make: Entities
) -> None:
    first = make.tenant(status=TenantStatus.PENDING, waiting_on=WaitingOn.OPS, hold=True)
    later = make.clock.advance(hours=1)
    second = make.tenant(
        status=TenantStatus.PENDING, waiting_on=WaitingOn.OPS, updated_at=later, drifted=True
    )
    ready = make.tenant(status=TenantStatus.READY)
    gone = make.tenant(status=TenantStatus.DEPROVISIONED, removed_at=later)
    store(storage, "tenants", first, second, ready, gone)
    waiting = StandingCount(
        status=TenantStatus.PENDING, waiting_on=WaitingOn.OPS, count=2, drifted=1, held=1,
        since=first.updated_at,
    )  # fmt: skip
    done = StandingCount(
        status=TenantStatus.READY, waiting_on=None, count=1, drifted=0, held=0,
        since=ready.updated_at,
    )  # fmt: skip
    with storage.unit_of_work() as uow:
        found = uow.queries.count_tenants(None)
        assert sorted(found, key=lambda each: each.count) == [done, waiting]
        assert uow.queries.count_tenants([ready.id]) == [done]
        assert uow.queries.count_tenants([]) == []
