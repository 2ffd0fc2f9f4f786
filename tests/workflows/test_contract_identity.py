"""One contract, one company: a second tenant is never made by a different spelling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.errors import (
    CompanyHasTenant,
    ContractAlreadyUsed,
    DomainError,
    InvalidInput,
)
from control_plane.domain.tenant import RefusedRequest, TenantStatus
from control_plane.services import provisioning, tenants
from control_plane.services.performing import perform
from control_plane.services.provisioning import Accepted, dry_run_request
from control_plane.workflows.core import Caller
from tests.world import ARCHITECT, AUTOMATION, World, machine, request_body


def submit(world: World, number: int, who: Caller = AUTOMATION, **changes: Any) -> Accepted:
    """Submit a company's request; ``changes`` are by path, such as ``contract__envelope_id``."""
    body = request_body("B", number)
    for path, value in changes.items():
        part, _, name = path.partition("__")
        if name:
            body[part][name] = value
        else:
            body[part] = value
    return perform(world.core, who, provisioning.submit_request, body)


def refused_events(world: World) -> list[dict[str, Any]]:
    return [dict(e.data) for e in world.events() if e.action == "request.refused"]


def test_another_envelope_of_the_same_contract_is_refused(world: World) -> None:
    first = submit(world, 1)
    with pytest.raises(ContractAlreadyUsed, match="another envelope") as refused:
        submit(world, 2, contract__contract_id="C-2026-0001", additional_tenant=True)
    assert refused.value.data == {"request_id": first.request.id, "tenant_id": first.tenant.id}
    assert refused_events(world)[-1]["code"] == "contract_already_used"
    assert len(world.rows("tenant")) == 1


def test_the_same_number_of_another_provider_is_another_contract(world: World) -> None:
    first = submit(world, 1)
    other = submit(world, 2, contract__contract_id="C-2026-0001", contract__provider="adobesign")
    assert other.tenant.id != first.tenant.id


def test_a_company_with_a_live_tenant_gets_no_second_one_by_chance(world: World) -> None:
    first = submit(world, 1)
    with pytest.raises(CompanyHasTenant) as refused:
        submit(world, 2, company__domain="customer1.example.com")
    assert refused.value.data == {"tenant_id": first.tenant.id}
    assert refused_events(world)[-1]["code"] == "company_has_tenant"
    assert len(world.rows("tenant")) == 1


def test_a_dry_run_is_refused_as_the_request_would_be(world: World) -> None:
    first = world.submit("A", 1)

    def tried(body: dict[str, Any]) -> str:
        try:
            return str(perform(world.core, AUTOMATION, dry_run_request, body).outcome)
        except DomainError as error:
            return error.code

    again = dict(first.request.body)
    assert tried(again) == "resolved"
    amended = {**again, "contract": {**again["contract"], "seats": 4711}}
    assert tried(amended) == "contract_already_used"
    other_envelope = {**again, "contract": {**again["contract"], "envelope_id": "another"}}
    assert tried(other_envelope) == "contract_already_used"
    new = request_body("A", 2)
    assert tried({**new, "company": again["company"]}) == "company_has_tenant"
    assert tried({**new, "company": again["company"], "additional_tenant": True}) == "resolved"
    assert list(world.rows("tenant")) == [first.tenant.id]


def test_a_further_tenant_that_is_meant_is_made(world: World) -> None:
    submit(world, 1)
    domain = "customer1.example.com"
    second = submit(world, 6, company__domain=domain, additional_tenant=True)
    assert second.tenant.slug == "dainese-2"
    with pytest.raises(CompanyHasTenant):
        submit(world, 11, company__domain=domain)


def test_a_company_whose_tenant_is_gone_may_come_back(world: World) -> None:
    first = submit(world, 1)
    with world.core.uow() as uow:
        tenant = uow.tenants.get(first.tenant.id)
        assert tenant is not None
        gone = replace(tenant, status=TenantStatus.DEPROVISIONED, version=tenant.version + 1)
        uow.tenants.save(gone)
        uow.commit()
    again = submit(world, 2, company__domain="customer1.example.com")
    assert again.tenant.id != first.tenant.id


def test_a_caller_learns_nothing_of_tenants_outside_its_token(world: World) -> None:
    submit(world, 1)
    stranger = machine("other-crm", *AUTOMATION.actor.roles)
    stranger = replace(stranger, actor=replace(stranger.actor, tenants=("ten_other",)))
    with pytest.raises(CompanyHasTenant) as company:
        submit(world, 2, stranger, company__domain="customer1.example.com")
    with pytest.raises(ContractAlreadyUsed) as contract:
        submit(world, 2, stranger, contract__contract_id="C-2026-0001")
    assert (company.value.data, contract.value.data) == ({}, {})


def test_a_contract_signed_in_the_future_is_refused(world: World) -> None:
    accepted = submit(world, 1, contract__signed_at="2026-11-21T14:03:00Z")
    assert accepted.tenant.id in world.rows("tenant")
    with pytest.raises(InvalidInput, match="in the future") as refused:
        submit(world, 2, contract__signed_at="2026-11-21T14:03:00.000001Z")
    assert refused.value.data["field"] == "contract.signed_at"


def test_an_acceptance_names_the_earlier_refusals_of_its_contract(world: World) -> None:
    for wrong in ({"ip_allow_list": ["0.0.0.0/0"]}, {"residency": {"zone": "mars"}}):
        with pytest.raises(InvalidInput):
            submit(world, 1, requirements=wrong)
    with pytest.raises(InvalidInput):
        submit(world, 2, requirements={"ip_allow_list": ["::/0"]})  # another contract
    accepted = submit(world, 1)
    (event,) = (e for e in world.events() if e.action == "request.accepted")
    refusals = [
        target
        for refused in world.events()
        if refused.action == "request.refused" and refused.data["envelope_id"] == "env-0001"
        for kind, target in refused.targets
        if kind == "refusal"
    ]
    assert event.tree == accepted.tenant.id
    assert len(refusals) == 2
    assert event.data["earlier_requests"] == refusals
    with world.core.uow() as uow:
        kept = [(r.id, r.code) for r in uow.refusals.find(envelope_id="env-0001")]
    assert kept == [(each, "invalid_input") for each in refusals]


def test_two_thousand_refusals_do_not_make_a_contract_impossible(world: World) -> None:
    """A machine repeats a wrong request every minute for a day and a half, and then corrects it."""
    body = request_body("B", 1)
    with world.core.uow() as uow:
        for _ in range(2000):
            uow.refusals.add(
                RefusedRequest(
                    id=world.core.ids.new("refusal"),
                    provider=body["contract"]["provider"],
                    envelope_id=body["contract"]["envelope_id"],
                    body_digest="sha256:" + "0" * 64,
                    code="invalid_input",
                    requested_by="crm",
                    refused_at=world.clock.now(),
                )
            )
        uow.commit()
    accepted = submit(world, 1)
    assert accepted.tenant.id in world.rows("tenant")
    (event,) = (e for e in world.events() if e.action == "request.accepted")
    assert event.data["earlier_requests"] == list(world.rows("refused_request"))[-50:]
    assert event.data["count"] == 2000


def test_a_repeated_contract_of_a_hidden_tenant_says_nothing_of_it(world: World) -> None:
    submit(world, 1)
    stranger = Caller(actor=replace(AUTOMATION.actor, tenants=("ten_x",)))
    with pytest.raises(ContractAlreadyUsed) as refused:
        submit(world, 1, stranger)
    assert refused.value.data == {}
    with pytest.raises(ContractAlreadyUsed) as refused:  # of other facts
        submit(world, 1, stranger, environment="staging")
    assert refused.value.data == {}


def test_a_contract_that_was_never_refused_names_none(world: World) -> None:
    submit(world, 1)
    (event,) = (e for e in world.events() if e.action == "request.accepted")
    assert event.data["earlier_requests"] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("subscription", "lite"), ("contract_mode", "B"), ("seats", 7), ("sla_uptime_min", "99")],
)
def test_an_architect_cannot_edit_what_was_signed(world: World, name: str, value: Any) -> None:
    accepted = world.submit("A", customer_managed_key=True)
    with pytest.raises(InvalidInput, match="part of the contract") as refused:
        perform(
            world.core, ARCHITECT, tenants.decide_mode, accepted.tenant.id,
            changed_facts={name: value}, reason="cheaper",
        )  # fmt: skip
    assert refused.value.data["field"] == f"facts.{name}"


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"ip_allow_list": ["x"]}, "facts.ip_allow_list.0"),
        ({"ip_allow_list": ["203.0.113.0/24", "0.0.0.0/0"]}, "facts.ip_allow_list.1"),
        ({"ip_allow_list": ["2001:db8::/32"]}, "facts.ip_allow_list.0"),
        ({"ip_allow_list": [f"203.0.113.{n}" for n in range(61)]}, "facts.ip_allow_list"),
        ({"residency": {"zone": "mars"}}, "facts.residency.zone"),
        ({"residency": {"regions": ["eu-west-1", "eu-west-9"]}}, "facts.residency.regions.1"),
        ({"segment": "a\nb"}, "facts.segment"),
        ({"phone_sev1": "yes"}, "facts.phone_sev1"),
        ({"colour": "blue"}, "facts.colour"),
    ],
)
def test_corrected_facts_are_checked_as_submitted_ones(
    world: World, facts: dict[str, Any], field: str
) -> None:
    accepted = world.submit("A", customer_managed_key=True)
    with pytest.raises(InvalidInput) as refused:
        perform(
            world.core,
            ARCHITECT,
            tenants.decide_mode,
            accepted.tenant.id,
            changed_facts=facts,
            reason="mended",
        )
    assert refused.value.data["field"] == field
    assert world.tenant(accepted.tenant.id).facts == accepted.tenant.facts


def test_null_clears_a_fact(world: World) -> None:
    accepted = world.submit("A", customer_managed_key=True, ip_allow_list=["203.0.113.0/24"])
    cleared = {"customer_managed_key": None, "ip_allow_list": None}
    tenant, decision = perform(
        world.core,
        ARCHITECT,
        tenants.decide_mode,
        accepted.tenant.id,
        changed_facts=cleared,
        reason="not needed",
    )
    assert (tenant.facts["customer_managed_key"], tenant.facts["ip_allow_list"]) == (False, [])
    assert decision.mode == "A"


def test_a_tenant_is_found_by_its_company_and_by_its_contract(world: World) -> None:
    first, second = submit(world, 1), submit(world, 2)
    contract = first.request.body["contract"]

    def found(who: Caller = AUTOMATION, **by: str) -> list[str]:
        shown = perform(world.core, who, tenants.list_tenants, limit=9, before=None, **by)
        return [tenant.id for tenant, _ in shown]

    assert found() == [second.tenant.id, first.tenant.id]
    assert found(domain=first.tenant.domain) == [first.tenant.id]
    assert found(contract_id=contract["contract_id"]) == [first.tenant.id]
    assert found(envelope_id=contract["envelope_id"]) == [first.tenant.id]
    assert found(envelope_id=contract["envelope_id"], domain=second.tenant.domain) == []
    assert found(contract_id="unknown") == []
    everyone = machine("crm-2", Role.AUTOMATION)
    stranger = replace(everyone, actor=replace(everyone.actor, tenants=(second.tenant.id,)))
    assert found(stranger, contract_id=contract["contract_id"]) == []
    assert found(stranger) == [second.tenant.id]


def test_a_tenant_says_why_it_waits_or_failed(world: World) -> None:
    waits = world.submit("A", 1)  # there is no Hub
    world.work()
    tenant, standing = perform(world.core, AUTOMATION, tenants.show_tenant, waits.tenant.slug)
    assert (tenant.id, standing.run_id) == (waits.tenant.id, waits.run_id)
    assert standing.error is not None
    assert standing.error["code"] == "hub_unavailable"
    assert waits.tenant.region in standing.error["message"]
    bundle = world.submit("C", 2)
    _, standing = perform(world.core, AUTOMATION, tenants.show_tenant, bundle.tenant.id)
    assert (standing.run_id, standing.bundle_id, standing.error) == (None, bundle.bundle_id, None)
