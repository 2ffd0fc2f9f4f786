"""Where everything of a tenant is: evidence at each look, a finding and a hold where it is not."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.engine import Place
from control_plane.domain.errors import FindingNotDecidable
from control_plane.domain.finding import FindingKind
from control_plane.domain.finding_decision import Verdict
from control_plane.domain.hold import HoldKind
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.domain.tenant import TenantStatus
from control_plane.services import findings, residences
from control_plane.services.performing import perform
from tests.workflows.held import release
from tests.workflows.test_drift import Looked
from tests.world import ADMIN, AUDITOR, OPS, World, person

COPY = Place(
    subject="s3:bucket copy", type="aws:s3/bucket:Bucket", what="replica", region="us-east-1",
    of="urn::data",
)  # fmt: skip
FAR = Place(subject="rds:snapshot s", type="rds:snapshot", what="backup", region="us-east-1")
PARIS = Place(subject="rds:snapshot p", type="rds:snapshot", what="backup", region="eu-west-3")


class Resident(Looked):
    """A ready Mode B tenant that was promised to stay in the EU."""

    def residence(self) -> Any:
        return perform(self.world.core, AUDITOR, residences.residence_of, self.tenant_id)

    def misplaced(self) -> list[Any]:
        return [each for each in self.findings() if each.kind is FindingKind.MISPLACED]

    def standing(self) -> list[Any]:
        return [h for h in self.world.rows("hold").values() if h.stands]


@pytest.fixture
def resident(world: World) -> Resident:
    return Resident(world)


@pytest.mark.requirement("J-045")
def test_an_apply_leaves_evidence_of_where_everything_is(resident: Resident) -> None:
    found = resident.residence()
    (at,) = found.deployments
    assert (at.verdict, found.misplaced) == ("kept", [])
    assert found.summary == "Everything is where it was promised to be."
    assert (at.residence.first_seen_by, at.residence.searched_at) == (resident.first_run, None)
    assert {place.region for place in at.residence.places} == {"eu-west-1", "global"}
    assert found.promise.allowed[0] == "eu-west-1"
    events = [e for e in resident.world.events() if e.action == "residency.recorded"]
    assert [(e.data["digest"], e.data["promised"], e.data["misplaced"]) for e in events] == [
        (at.residence.digest, True, 0)
    ]


def test_a_look_that_finds_the_same_confirms_the_evidence(resident: Resident) -> None:
    resident.world.clock.advance(hours=1)
    run = resident.look()
    (at,) = resident.residence().deployments
    assert (at.residence.last_seen_by, at.residence.last_seen_at) == (
        run.id, resident.world.clock.now()
    )  # fmt: skip
    assert at.residence.searched_at == resident.world.clock.now()
    assert len(resident.world.rows("residence")) == 1
    assert resident.world.actions().count("residency.recorded:completed") == 1


@pytest.mark.requirement("K-035")
def test_what_is_out_of_place_is_a_finding_and_places_a_hold(resident: Resident) -> None:
    resident.world.engine.places = (COPY,)
    resident.look()
    (found,) = resident.misplaced()
    assert (found.subject, found.path, found.actual["what"]) == (
        "s3:bucket copy", "us-east-1", "replica"
    )  # fmt: skip
    assert "eu-west-1" in found.expected["regions"]
    (hold,) = resident.standing()
    assert (hold.kind, hold.placed_by) == (HoldKind.COMPLIANCE, "system:worker")
    assert "s3:bucket copy in us-east-1" in hold.reason
    assert resident.tenant().hold
    assert resident.tenant().drifted
    assert resident.tenant().status is TenantStatus.READY
    shown = resident.residence()
    assert shown.deployments[0].verdict == "broken"
    assert "compliance hold" in shown.summary
    assert "us-east-1" in findings.to_do(found)
    (task,) = perform(resident.world.core, OPS, findings.list_open, limit=9, before=None)
    assert task.id == found.id


def test_nothing_is_applied_until_a_person_releases_it(resident: Resident) -> None:
    resident.world.engine.places = (COPY,)
    resident.look()
    change = resident.change()
    resident.world.work()
    resident.world.approve(change.run_id)
    assert resident.world.run(change.run_id).blocked_on is BlockedOn.HOLD
    resident.world.engine.places = ()
    resident.look()
    assert resident.misplaced() == []
    (hold,) = resident.standing()  # a person looks at it before it is released
    release(resident.world, hold, ADMIN)
    assert resident.world.run(change.run_id).status is RunStatus.APPLIED


def test_one_hold_stands_however_much_is_out_of_place(resident: Resident) -> None:
    resident.world.engine.places = (COPY,)
    resident.look()
    resident.world.engine.places = (COPY, FAR)
    resident.look()
    assert len(resident.misplaced()) == 2
    assert len(resident.standing()) == 1
    release(resident.world, resident.standing()[0], ADMIN)
    resident.look()
    assert resident.standing() == []  # what is known places no second one


def test_the_zone_is_promised_unless_it_is_strict(world: World) -> None:
    wide, strict = Resident.__new__(Resident), Resident.__new__(Resident)
    residency = {"zone": "eu", "regions": ["eu-west-1"], "strict": True}
    for number, each in enumerate((wide, strict), 1):
        changes = {"residency": residency} if each is strict else {}
        accepted = world.submit("B", number, **changes)
        world.work()
        world.approve(accepted.run_id)
        each.world, each.tenant_id = world, accepted.tenant.id
    world.engine.places = (PARIS,)
    wide.look(), strict.look()
    assert wide.misplaced() == []
    assert [each.path for each in strict.misplaced()] == ["eu-west-3"]


def test_no_promise_is_said_and_nothing_is_out_of_place(world: World) -> None:
    free = Resident.__new__(Resident)
    accepted = world.submit("B", 1, residency=None)
    world.work()
    world.approve(accepted.run_id)
    free.world, free.tenant_id = world, accepted.tenant.id
    world.engine.places = (COPY,)
    free.look()
    found = free.residence()
    assert (found.summary, found.deployments[0].verdict) == (
        "No residency was promised.", "none_promised"
    )  # fmt: skip
    assert (free.misplaced(), free.standing()) == ([], [])


def test_without_an_answer_nothing_is_said_to_be_kept_or_gone(resident: Resident) -> None:
    resident.world.engine.places = (COPY,)
    resident.look()
    resident.world.engine.places = ()
    resident.world.engine.unplaced = "us-east-1 did not say where it is: AccessDenied"
    resident.look()
    assert len(resident.misplaced()) == 1
    resident.world.engine.unplaced = ""
    resident.look()
    assert resident.misplaced() == []
    resident.world.engine.unplaced = "ec2 did not say where it is: AccessDenied"
    resident.look()
    assert resident.residence().deployments[0].verdict == "unknown"


def test_other_regions_are_searched_about_once_a_day_and_remembered_between(
    resident: Resident,
) -> None:
    asked: list[bool] = []
    resident.world.engine.during = lambda what, call: (
        asked.append(call.everywhere) if what == "look" else None
    )
    resident.world.engine.places = (FAR,)
    resident.look()
    resident.world.engine.places = ()
    resident.look()  # does not search, so the copy is still there as far as anybody knows
    assert len(resident.misplaced()) == 1
    resident.world.clock.advance(hours=21)
    resident.look()
    assert resident.misplaced() == []
    assert asked == [True, False, True]


@pytest.mark.parametrize("verdict", [Verdict.ADOPT, Verdict.REVERT])
def test_a_promise_is_not_decided_away(resident: Resident, verdict: Verdict) -> None:
    resident.world.engine.places = (COPY,)
    resident.look()
    (found,) = resident.misplaced()
    assert findings.allowed_actions(found, OPS.actor) == []
    with pytest.raises(FindingNotDecidable):
        perform(
            resident.world.core, OPS, findings.decide, found.id, verdict=verdict, reason="why not"
        )


def test_a_slice_and_a_customers_own_are_told_apart(world: World) -> None:
    world.ready_hub()
    own, slice_ = world.submit("C", 1).tenant.id, world.submit("A", 2).tenant.id
    world.work()
    reader = person("audrey", Role.AUDITOR)
    customers = perform(world.core, reader, residences.residence_of, own)
    assert "not verified by us" in customers.summary
    assert [each.verdict for each in customers.deployments] == ["not_ours"]
    ours = perform(world.core, reader, residences.residence_of, slice_)
    assert [each.verdict for each in ours.deployments] == ["kept"]
