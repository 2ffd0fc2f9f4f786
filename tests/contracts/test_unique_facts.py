"""Unique facts, checks and references, by their names."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from control_plane.domain.bundle import BundleStatus
from control_plane.domain.errors import AlreadyDecided, Conflict
from control_plane.domain.run import BlockedOn, RunKind, RunStatus
from control_plane.domain.tenant import TenantStatus
from tests.contracts.rows import conflict_of, refused_save, run_all, store
from tests.entities import Entities, Waiting
from tests.storage import Storage

pytestmark = pytest.mark.timeout(120)


def test_unique_facts_are_refused_by_name(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    tenant, deployment = waiting.tenant, waiting.deployment
    contracts = [make.contract(tenant, envelope_id="e", seats=n) for n in (1, 2)]
    assert conflict_of(storage, "contracts", *contracts) == "uq_contract_provider_envelope_id"
    contracts = [make.contract(tenant, contract_id="c", seats=n) for n in (1, 2)]
    assert conflict_of(storage, "contracts", *contracts) == "uq_contract_provider_contract_id"
    slugs = [make.tenant(slug="one", status=TenantStatus.DEPROVISIONED), make.tenant(slug="one")]
    assert conflict_of(storage, "tenants", *slugs) == "uq_tenant_slug"
    assert conflict_of(storage, "tenants", tenant) == "pk_tenant"
    hubs = [make.hub(cell="c"), make.hub(cell="c")]
    assert conflict_of(storage, "hubs", *hubs) == "uq_hub_region_cell"
    places = [make.deployment(tenant, environment="staging") for _ in range(2)]
    assert conflict_of(storage, "deployments", *places) == "uq_deployment_one_is_current"
    stacks = [make.deployment(tenant, stack="s", environment=where) for where in ("test", "trial")]
    assert conflict_of(storage, "deployments", *stacks) == "uq_deployment_stack"
    accounts = [make.account(account_id="1" * 12) for _ in range(2)]
    assert conflict_of(storage, "accounts", *accounts) == "uq_account_account_id"
    claims = [make.account(claimed_by=deployment.id) for _ in range(2)]
    assert conflict_of(storage, "accounts", *claims) == "uq_account_claimed_by"
    assert conflict_of(storage, "approvals", make.approval(waiting.plan)) == "uq_approval_plan_id"
    again = replace(make.barred(waiting.approval), id="another")
    assert conflict_of(storage, "barred", again) == "uq_barred_approval_id_subject"
    specs = [make.spec(deployment), replace(make.spec(deployment), id="another")]
    assert conflict_of(storage, "specs", *specs) == "uq_deployment_spec_deployment_id_number"
    calls = [make.call(waiting.run), replace(make.call(waiting.run), id="another")]
    assert conflict_of(storage, "calls", *calls) == "uq_engine_call_deployment_id_number"
    run = make.run(deployment, number=waiting.run.number)
    assert conflict_of(storage, "runs", run) == "uq_run_deployment_id_number"
    twice = [make.decision(waiting.approval) for _ in range(2)]
    with pytest.raises(AlreadyDecided):
        store(storage, "decisions", *twice)


def test_one_run_per_deployment_applies(storage: Storage, make: Entities, waiting: Waiting) -> None:
    deployment = waiting.deployment
    applying = make.run(deployment, status=RunStatus.APPLYING)
    verifying = make.run(deployment, status=RunStatus.VERIFYING)
    constraint = conflict_of(storage, "runs", applying, verifying)
    assert constraint == "uq_run_one_applies_per_deployment"
    other = make.deployment(waiting.tenant, environment="staging")
    store(storage, "deployments", other)
    store(storage, "runs", applying, make.run(other, status=RunStatus.APPLYING))
    waits = make.run(deployment, status=RunStatus.APPROVED)
    store(storage, "runs", waits)
    early = waits.moved(RunStatus.APPLYING, make.clock.now())
    assert refused_save(storage, "runs", early) == "uq_run_one_applies_per_deployment"
    with storage.unit_of_work() as uow:
        done = applying.moved(RunStatus.VERIFYING, make.clock.now())
        uow.runs.save(done)
        uow.runs.save(done.moved(RunStatus.APPLIED, make.clock.now()))
        uow.runs.save(waits.moved(RunStatus.APPLYING, make.clock.now()))
        uow.commit()


def test_a_look_takes_no_slot_and_one_of_a_deployment_is_open(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    deployment = waiting.deployment
    store(storage, "runs", make.run(deployment, status=RunStatus.APPLYING))
    look = make.run(deployment, kind=RunKind.REFRESH, status=RunStatus.VERIFYING)
    store(storage, "runs", look)
    another = make.run(deployment, kind=RunKind.REFRESH)
    assert conflict_of(storage, "runs", another) == "uq_run_one_look_per_deployment"
    with storage.unit_of_work() as uow:
        uow.runs.save(look.moved(RunStatus.NO_CHANGES, make.clock.now()))
        uow.runs.add(another)
        uow.commit()


def test_one_finding_of_a_thing_is_open(storage: Storage, make: Entities, waiting: Waiting) -> None:
    first = make.finding(waiting.run, path="acl")
    again = make.finding(waiting.run, path="acl")
    store(storage, "findings", first, make.finding(waiting.run, path="tags"))
    assert conflict_of(storage, "findings", again) == "uq_finding_one_is_open"
    with storage.unit_of_work() as uow:
        uow.findings.save(first.closed(waiting.run.id, make.clock.now()))
        uow.findings.add(again)
        uow.commit()
    half = replace(again, closed_by=waiting.run.id, version=2)
    assert refused_save(storage, "findings", half) == "ck_finding_closed_by_a_run"


def test_one_version_of_a_bundle_is_live(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    first = make.bundle(waiting.deployment)
    store(storage, "bundles", first)
    second = make.bundle(waiting.deployment, number=2)
    assert conflict_of(storage, "bundles", second) == "uq_bundle_one_is_live_per_deployment"
    with storage.unit_of_work() as uow:
        uow.bundles.save(first.moved(BundleStatus.SUPERSEDED, make.clock.now()))
        assert uow.bundles.count(deployment_id=waiting.deployment.id) == 1
        uow.bundles.add(second)
        uow.commit()
    same = make.bundle(waiting.deployment, number=1, status=BundleStatus.EXPIRED)
    assert conflict_of(storage, "bundles", same) == "uq_bundle_deployment_id_number"


def test_one_link_per_token(storage: Storage, make: Entities, waiting: Waiting) -> None:
    bundle = make.bundle(waiting.deployment)
    handover = make.handover(bundle)
    store(storage, "bundles", bundle)
    store(storage, "handovers", handover)
    links = [make.link(handover, token_hash="h") for _ in range(2)]
    assert conflict_of(storage, "links", *links) == "uq_download_link_token_hash"


def test_of_two_tenants_that_take_one_slug_at_once_one_wins(
    storage: Storage, make: Entities
) -> None:
    outcomes: list[str] = []
    together = threading.Barrier(2, timeout=60)

    def take(tenant: Any) -> None:
        with storage.unit_of_work() as uow:
            together.wait()
            try:
                uow.tenants.add(tenant)
                uow.commit()
                outcomes.append("taken")
            except Conflict as error:
                outcomes.append(str(error.data["constraint"]))

    tenants = [make.tenant(slug="wanted") for _ in range(2)]
    run_all([lambda: take(tenants[0]), lambda: take(tenants[1])])
    assert sorted(outcomes) == ["taken", "uq_tenant_slug"]


def test_facts_that_do_not_go_together_are_refused(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    run = make.run(waiting.deployment, status=RunStatus.BLOCKED)
    assert conflict_of(storage, "runs", run) == "ck_run_blocked_names_what"
    run = make.run(waiting.deployment, blocked_on=BlockedOn.NO_ACCOUNT)
    assert conflict_of(storage, "runs", run) == "ck_run_blocked_names_what"
    account = make.account(shared=True, claimed_by=waiting.deployment.id)
    assert conflict_of(storage, "accounts", account) == "ck_account_shared_is_never_claimed"
    assert conflict_of(storage, "hubs", make.hub(capacity=-1)) == "ck_hub_capacity"
    assert conflict_of(storage, "tenants", make.tenant(mode="D")) == "ck_tenant_mode"


def test_a_reference_to_nothing_is_refused_at_commit(storage: Storage, make: Entities) -> None:
    deployment = make.deployment(make.tenant())
    with storage.unit_of_work() as uow:
        uow.deployments.add(deployment)
        with pytest.raises(Conflict) as refused:
            uow.commit()
    assert refused.value.data["constraint"] == "fk_deployment_tenant_id_tenant"
    with storage.unit_of_work() as uow:
        assert uow.deployments.count() == 0
