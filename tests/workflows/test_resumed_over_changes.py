"""An interrupted apply looks at what it touches before it continues, as the first apply did."""

from __future__ import annotations

from typing import Literal

import pytest

from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.ports.engine import EngineCall
from tests.scripted_faults import Fault
from tests.workflows.test_approvals_stay_true import DATABASE, NETWORK, STACK, Changing, urn
from tests.world import World

S = RunStatus
DONE = 9  # everything is done, and only the answer is lost


class Interrupted(Changing):
    """A change of two resources that is interrupted; somebody acts before it is continued."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        facts = {"seats": 3000, "ip_allow_list": ["203.0.113.0/24"]}
        self.run_id = self.change(**facts)
        plan = world.rows("plan")[self.run().plan_id]
        self.touched = [each.urn for each in plan.operations if each.op == "update"]
        assert {urn(DATABASE), urn(NETWORK)} <= set(self.touched)
        self.wanted = {each.urn: each.inputs for each in plan.resources}

    def interrupt(self, kind: Literal["runner_dies", "provider_dies"], *, after: int) -> None:
        self.world.engine.faults.append(Fault(kind=kind, after=after))
        self.world.approve(self.run_id)

    def before_settling(self, act: object) -> None:
        """Do something when the next call compares, which is before the state is written."""

        def during(what: str, call: EngineCall) -> None:
            if what == "compare" and self.run().status is S.APPLYING:
                self.world.engine.during = lambda what, call: None
                assert callable(act)
                act()

        self.world.engine.during = during

    def resume(self) -> None:
        for _ in range(3):
            self.world.clock.advance(minutes=2)
            self.world.work()


@pytest.fixture
def interrupted(world: World) -> Interrupted:
    return Interrupted(world)


@pytest.mark.parametrize("resource", [DATABASE, NETWORK])
def test_what_somebody_changed_meanwhile_is_named_and_not_overwritten(
    interrupted: Interrupted, resource: str
) -> None:
    interrupted.before_settling(lambda: interrupted.by_hand(resource, value="by hand"))
    interrupted.interrupt("runner_dies", after=DONE)
    interrupted.resume()
    run = interrupted.run()
    assert (run.status, run.blocked_on) == (S.BLOCKED, BlockedOn.STATE_MOVED)
    assert run.error is not None
    assert run.error["data"]["parts"] == ["cloud"]
    (found,) = interrupted.differences(run)
    assert (found[0], found[2], found[4]) == (urn(resource), "value", "by hand")
    assert interrupted.world.engine.stacks[STACK].changed  # nobody has written over it


@pytest.mark.parametrize("kind", ["runner_dies", "provider_dies"])
def test_without_a_change_it_is_resumed_under_its_approval(
    interrupted: Interrupted, kind: Literal["runner_dies", "provider_dies"]
) -> None:
    told: list[str] = []
    interrupted.world.engine.during = lambda what, _: told.append(what)
    interrupted.interrupt(kind, after=DONE)
    interrupted.resume()
    assert interrupted.run().status is S.APPLIED
    assert told.index("compare", told.index("inspect")) < told.index("resolve")


def test_what_the_apply_made_itself_and_did_not_record_is_no_change_of_others(
    interrupted: Interrupted,
) -> None:
    value = interrupted.wanted[urn(NETWORK)]["value"]
    interrupted.before_settling(lambda: interrupted.by_hand(NETWORK, value=value))
    interrupted.interrupt("runner_dies", after=DONE)
    interrupted.resume()
    assert interrupted.run().status is S.APPLIED


def test_what_differs_elsewhere_becomes_a_finding_before_the_state_takes_it_over(
    interrupted: Interrupted,
) -> None:
    world = interrupted.world
    (other,) = [
        each
        for each in world.engine.stacks[STACK].resources
        if "ssm/parameter" in each and each not in interrupted.touched
    ][:1]
    name = other.partition("::tenantplane::")[2]
    interrupted.before_settling(lambda: interrupted.by_hand(name, value="by hand"))
    interrupted.interrupt("runner_dies", after=DONE)
    interrupted.resume()
    found = [each for each in world.rows("finding").values() if each.subject == other]
    assert [(each.kind, each.path, each.actual, each.closed_at) for each in found] == [
        ("changed", "value", "by hand", None)
    ]
    assert world.tenant(interrupted.tenant_id).drifted
