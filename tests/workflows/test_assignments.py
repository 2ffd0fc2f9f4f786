"""People are assigned in rows: never nobody, never more than somebody's points."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from control_plane.domain.assignment import Assignment, PersonUnavailable
from control_plane.domain.errors import Conflict, InvalidInput
from control_plane.domain.team import TeamRole
from control_plane.services import people
from control_plane.services.performing import perform
from control_plane.workflows.step_actions import Did, DidFail, NotNeeded
from tests.workflows.served import Served
from tests.world import ADMIN, World

CSM, ENGINEER, SPONSOR = TeamRole


@pytest.fixture
def served(world: World) -> Served:
    return Served(world)


def open_of(served: Served, tenant_id: str) -> dict[TeamRole, Assignment]:
    rows = served.world.rows("assignment").values()
    return {each.role: each for each in rows if each.tenant_id == tenant_id and each.is_open}


def test_a_customer_gets_who_speaks_its_language_with_a_word_on_everybody(served: Served) -> None:
    tenant_id = served.tenant()
    outcome = served.do(tenant_id, "people.assign", role="csm")
    assert isinstance(outcome, Did)
    assert outcome.result["person"] == "csm-1"
    found = open_of(served, tenant_id)[CSM]
    assert (found.segment, found.weight, found.capacity) == ("standard", 1, 30)
    assert found.cause is not None
    why = {each["person"]: each["why_not"] for each in found.explanation}
    assert why == {
        "csm-1": None, "csm-2": "does not speak it", "csm-3": "does not speak it",
        "lead-1": "does not work for the segment standard",
    }  # fmt: skip
    (event,) = served.actions("people.assigned")
    assert event.data["person"] == "csm-1"
    assert "Carla" not in str(event.data)


def test_an_assignment_that_is_asked_for_again_stays(served: Served) -> None:
    tenant_id = served.tenant()
    first = served.do(tenant_id, "people.assign", role="csm")
    assert served.do(tenant_id, "people.assign", role="csm") == first
    assert len(served.world.rows("assignment")) == 1
    assert len(served.actions("people.assigned")) == 1


def test_a_lite_customer_has_no_customer_success_manager(served: Served) -> None:
    tenant_id = served.tenant(contract={"subscription": "lite"})
    outcome = served.do(tenant_id, "people.assign", role="csm")
    assert outcome == NotNeeded(why="customers of the segment lite have no csm")
    assert isinstance(served.do(tenant_id, "people.assign", role="solutions_engineer"), Did)


def test_a_strategic_customer_takes_four_points(served: Served) -> None:
    tenant_id = served.tenant(segment="Strategic")
    served.do(tenant_id, "people.assign", role="csm")
    assert open_of(served, tenant_id)[CSM].weight == 4


def test_a_role_that_the_team_does_not_have_fails_the_step(served: Served) -> None:
    outcome = served.do(served.tenant(), "people.assign", role="janitor")
    assert isinstance(outcome, DidFail)
    assert outcome.error["code"] == "invalid_input"


@pytest.mark.requirement("F-002", "J-028")
def test_without_capacity_the_owner_of_the_queue_has_it_and_is_told(served: Served) -> None:
    served.changed("csm-1", max_points=1)
    first, second = served.tenant(1), served.tenant(2)
    served.do(first, "people.assign", role="csm")
    outcome = served.do(second, "people.assign", role="csm")
    assert isinstance(outcome, Did)
    assert outcome.result["person"] == "lead-1"
    found = open_of(served, second)[CSM]
    assert found.is_queue_owner
    (event,) = served.actions("staffing.exhausted")
    assert "csm-1: has 1 of 1 points, and this takes 1" in event.data["candidates"]
    (task,) = served.world.rows("task").values()
    assert (task.owner, task.about_id) == ("csm_lead", found.id)
    assert "tenantctl people assign" in task.instructions


def test_a_queue_takes_no_points_of_its_owner(served: Served) -> None:
    served.team(replace(served.person("lead-1"), max_points=1))
    for number in (1, 2, 3):
        served.do(served.tenant(number), "people.assign", role="csm")
    with served.world.core.uow() as uow:
        assert uow.staffing.loads()["lead-1"].points == 0


def test_who_works_for_the_company_gets_its_next_tenant(served: Served) -> None:
    english = [{"role": "it_admin", "name": "A", "email": "a@example.com", "locale": "en"}]
    first = served.tenant(1, contacts=english)
    person = served.do(first, "people.assign", role="csm")
    assert isinstance(person, Did)
    for number in (2, 3):
        served.do(served.tenant(number, contacts=english), "people.assign", role="csm")
    with served.world.core.uow() as uow:
        tenant = uow.tenants.need(served.tenant(4, contacts=english), lock=True)
        uow.tenants.save(
            replace(tenant, domain="customer1.example.com", version=tenant.version + 1)
        )
        uow.commit()
    again = served.do(tenant.id, "people.assign", role="csm")
    assert isinstance(again, Did)
    assert again.result["person"] == person.result["person"]


@pytest.mark.requirement("J-028")
def test_fifty_at_once_never_get_more_than_somebody_has(served: Served) -> None:
    served.changed("csm-1", max_points=20)
    tenants = [served.tenant(number) for number in range(1, 51)]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda each: served.do(each, "people.assign", role="csm"), tenants))
    assert all(isinstance(each, Did) for each in found)
    rows = [each for each in served.world.rows("assignment").values() if each.role is CSM]
    assert len(rows) == 50
    assert sum(each.person_key == "csm-1" for each in rows) == 20
    assert sum(each.is_queue_owner for each in rows) == 30


def test_a_step_that_is_done_twice_at_once_assigns_once(served: Served) -> None:
    tenant_id = served.tenant()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: served.do(tenant_id, "people.assign", role="csm"), range(8)))
    assert len(served.world.rows("assignment")) == 1


def test_the_database_refuses_more_than_somebody_has(served: Served) -> None:
    tenants = [served.tenant(number) for number in (1, 2)]
    served.do(tenants[0], "people.assign", role="csm")
    row = open_of(served, tenants[0])[CSM]
    with served.world.core.uow() as uow, pytest.raises(Conflict) as refused:
        uow.assignments.add(replace(row, id="asg_x", tenant_id=tenants[1], capacity=1))
    assert refused.value.data["constraint"] == "assignment_within_capacity"


@pytest.mark.requirement("F-010")
def test_the_database_refuses_a_fourth_tenant_of_a_sponsor(served: Served) -> None:
    tenants = [served.tenant(number, segment="strategic") for number in (1, 2, 3, 4)]
    for each in tenants[:3]:
        served.do(each, "people.assign", role="executive_sponsor_partner")
    row = open_of(served, tenants[0])[SPONSOR]
    with served.world.core.uow() as uow, pytest.raises(Conflict) as refused:
        uow.assignments.add(replace(row, id="asg_x", tenant_id=tenants[3], capacity=1000))
    assert refused.value.data["constraint"] == "assignment_sponsors_three"
    outcome = served.do(tenants[3], "people.assign", role="executive_sponsor_partner")
    assert isinstance(outcome, Did)
    assert outcome.result["queue_owner"] is True


@pytest.mark.parametrize(("change", "rule"), [
    ("person_key = 'csm-2'", "assignment_is_kept"),
    ("weight = 2", "assignment_is_kept"),
    ("reason = 'another'", "assignment_is_kept"),
    ("until = now()", "ck_assignment_ended_by_somebody"),
    ("until = since - interval '1 day', ended_by = 'a', end_reason = 'b'",
     "ck_assignment_ends_after_its_start"),
])  # fmt: skip
def test_an_assignment_stays_as_it_was_made(served: Served, change: str, rule: str) -> None:
    served.do(served.tenant(), "people.assign", role="csm")
    with served.world.storage.unit_of_work() as uow, pytest.raises(DBAPIError) as refused:
        uow.connection.execute(text(f"UPDATE assignment SET {change}"))  # noqa: S608 - our words
    cause: Any = refused.value.orig
    assert cause.diag.constraint_name == rule


def test_released_points_are_free_again(served: Served) -> None:
    tenant_id = served.tenant()
    served.do(tenant_id, "people.assign", role="csm")
    assert isinstance(served.do(tenant_id, "people.release", role="csm"), Did)
    assert isinstance(served.do(tenant_id, "people.release", role="csm"), NotNeeded)
    with served.world.core.uow() as uow:
        assert uow.staffing.loads()["csm-1"].points == 0
    assert not open_of(served, tenant_id)
    assert len(served.actions("people.released")) == 1


# --- by a person -------------------------------------------------------------------------------
def assign(served: Served, tenant_id: str, **given: Any) -> people.Staff:
    facts = {"role": CSM, "reason": "on parental leave", **given}
    return perform(served.world.core, ADMIN, people.assign_person, tenant_id, **facts)


@pytest.mark.requirement("K-052")
def test_who_takes_over_is_recorded_with_what_was_before(served: Served) -> None:
    tenant_id = served.tenant()
    served.do(tenant_id, "people.assign", role="csm")
    before = open_of(served, tenant_id)[CSM]
    staff = assign(served, tenant_id, person="csm-3")
    new = staff.assignments[0]
    assert (new.person_key, new.previous_id, new.reason) == (
        "csm-3", before.id, "on parental leave"
    )  # fmt: skip
    old = served.world.rows("assignment")[before.id]
    assert (old.ended_by, old.end_reason) == ("ada", "on parental leave")
    chosen = next(each for each in new.explanation if each["person"] == "csm-3")
    assert chosen["despite"] == "does not speak it"
    event = served.actions("people.assigned")[-1]
    assert (event.data["previous"], event.personal["reason"]) == ("csm-1", "on parental leave")


@pytest.mark.parametrize(("given", "error", "says"), [
    ({"person": "csm-9"}, InvalidInput, "no person 'csm-9'"),
    ({"person": "se-1"}, PersonUnavailable, "se-1 is not a csm"),
    ({"person": "csm-1"}, PersonUnavailable, "csm-1 has it now"),
    ({"person": "csm-2"}, PersonUnavailable, "csm-2 has 0 of 0 points"),
    ({"reason": " "}, InvalidInput, "a reason is required"),
    ({"role": SPONSOR}, InvalidInput, "the segment standard has no executive_sponsor_partner"),
])  # fmt: skip
def test_who_cannot_take_over_is_refused_and_the_rest_stays(
    served: Served, given: dict[str, Any], error: type[Exception], says: str
) -> None:
    served.changed("csm-2", max_points=0)
    tenant_id = served.tenant()
    served.do(tenant_id, "people.assign", role="csm")
    with pytest.raises(error, match=says):
        assign(served, tenant_id, **given)
    assert open_of(served, tenant_id)[CSM].person_key == "csm-1"
    assert served.world.actions()[-1] == "people.refused:denied"
