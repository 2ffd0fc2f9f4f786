"""Requests that meet in PostgreSQL: the constraints decide, nobody checks beforehand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from control_plane.domain.errors import CompanyHasTenant, ContractAlreadyUsed, DomainError
from control_plane.services import provisioning
from control_plane.services.performing import perform
from control_plane.workflows.core import Core
from tests.contracts.rows import run_all
from tests.entities import Entities
from tests.storage import Storage
from tests.world import AUTOMATION, World, request_body


@pytest.fixture
def core(storage: Storage) -> Core:
    """The services over an empty database."""
    return World(storage).core


def body(number: int, name: str = "Acme Ltd", **contract: Any) -> dict[str, Any]:
    found = request_body("B", number)
    found["company"]["legal_name"] = name
    found["contract"].update(contract)
    return found


def outcomes(core: Core, bodies: list[dict[str, Any]]) -> list[str]:
    """Submit all at the same moment; return each slug, or the code of the refusal."""
    together, found = threading.Barrier(len(bodies)), [""] * len(bodies)

    def work(index: int) -> Callable[[], None]:
        def submit() -> None:
            together.wait(20)
            try:
                accepted = perform(core, AUTOMATION, provisioning.submit_request, bodies[index])
                found[index] = accepted.tenant.slug
            except DomainError as error:
                found[index] = error.code

        return submit

    run_all([work(index) for index in range(len(bodies))])
    return found


@pytest.mark.requirement("J-021")
def test_companies_of_one_name_get_the_next_free_slugs(core: Core) -> None:
    found = outcomes(core, [body(number) for number in range(1, 7)])
    assert sorted(found) == ["acme", *(f"acme-{number}" for number in range(2, 7))]


def test_a_slug_may_come_from_two_bases_at_once(core: Core) -> None:
    names = ["Acme Ltd", "Acme 2 Ltd", "Acme Ltd", "Acme 2 Ltd", "Acme Inc", "Acme-2 Inc"]
    found = outcomes(core, [body(number, name) for number, name in enumerate(names, 1)])
    assert len(set(found)) == len(names)
    assert all(slug.startswith("acme") for slug in found), found


@pytest.mark.parametrize(("commits", "slug"), [(True, "acme-2"), (False, "acme")])
def test_a_slug_that_somebody_is_just_taking_is_waited_for(
    core: Core, storage: Storage, commits: bool, slug: str
) -> None:
    found: list[str] = []
    later = threading.Thread(
        target=lambda: found.append(
            perform(core, AUTOMATION, provisioning.submit_request, body(1)).tenant.slug
        )
    )
    with core.uow() as uow:
        uow.tenants.add(Entities().tenant(slug="acme"))
        later.start()
        storage.wait_for_a_lock()
        assert found == []
        if commits:
            uow.commit()
    later.join(20)
    assert found == [slug]


def test_one_contract_under_many_envelopes_makes_one_tenant(core: Core) -> None:
    bodies = [body(number, contract_id="C-1") for number in range(1, 6)]
    found = outcomes(core, bodies)
    assert found.count(ContractAlreadyUsed.code) == len(bodies) - 1, found
    with core.uow() as uow:
        assert uow.tenants.count() == uow.contracts.count() == 1
        assert uow.refusals.count() == len(bodies) - 1


def test_one_company_under_many_contracts_makes_one_tenant(core: Core) -> None:
    bodies = [body(number) for number in range(1, 6)]
    for each in bodies:
        each["company"]["domain"] = "acme.example.com"
    found = outcomes(core, bodies)
    assert found.count(CompanyHasTenant.code) == len(bodies) - 1, found
    with core.uow() as uow:
        assert uow.tenants.count() == 1


def test_a_repetition_of_one_contract_is_answered_alike(core: Core) -> None:
    assert outcomes(core, [body(1) for _ in range(5)]) == ["acme"] * 5
