"""What people read of an approval that no longer holds, and of the plan that takes its place."""

from __future__ import annotations

from typing import Final

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.run import BlockedOn
from control_plane.services import runs
from control_plane.services.changes import request_change
from control_plane.services.performing import perform
from tests.unit.cli.terminal import Terminal
from tests.world import AUTOMATION
from tests.world import OPS as OLGA

OPS: Final = Role.OPS_APPROVER
STACK: Final = "dainese.production.b"
PARAMETER: Final = "aws:ssm/parameter:Parameter"


class Moved:
    """A change whose plan was approved, and whose apply found the cloud changed."""

    def __init__(self, tenantctl: Terminal, **values: object) -> None:
        self.tenantctl, self.world = tenantctl, tenantctl.world
        made = tenantctl.submit("B")
        self.world.approve(made["run_id"])
        found = perform(
            self.world.core, AUTOMATION, request_change, made["tenant"]["id"],
            facts={"seats": 2000}, reason="grown",
        )  # fmt: skip
        self.world.work()
        self.run_id = found.run_id or ""
        self.plan_id = self.world.run(self.run_id).plan_id
        self.world.engine.change(STACK, f"{PARAMETER}::database", **values)
        self.world.engine.change(STACK, f"{PARAMETER}::network", value="also")
        self.world.approve(self.run_id)
        assert self.world.run(self.run_id).blocked_on is BlockedOn.STATE_MOVED

    def retried(self) -> str:
        """Retry; returns the run that waits for its decision."""
        fresh = perform(self.world.core, OLGA, runs.retry_run, self.run_id)
        self.world.work()
        return fresh.id

    def page(self, *command: str) -> list[str]:
        """Return the lines of a command."""
        answer = self.tenantctl(*command, who=OPS)
        assert answer.code == 0, answer.err
        return answer.out.splitlines()


@pytest.fixture
def moved(tenantctl: Terminal) -> Moved:
    return Moved(tenantctl, tier="Advanced", token={"secret": True})


def test_a_blocked_run_shows_what_the_cloud_has(moved: Moved) -> None:
    lines = moved.page("run", "show", moved.run_id)
    assert f"  ! database  {PARAMETER}" in lines
    at = lines.index(f"  ! database  {PARAMETER}")
    assert lines[at + 1 :] == [
        "      tier: nothing in the plan, Advanced in the cloud",
        "      token: nothing in the plan, (secret) in the cloud",
    ]
    (message,) = [line for line in lines if line.startswith("error.message")]
    assert message.endswith("changed since the approval: cloud; in the cloud differ: "
                            "database (tier), database (token)")  # fmt: skip


def test_the_api_answers_the_same_and_says_what_was_superseded(moved: Moved) -> None:
    fresh = moved.retried()
    old = moved.tenantctl("run", "show", moved.run_id, "--json", who=OPS).json
    new = moved.tenantctl("run", "show", fresh, "--json", who=OPS).json
    assert (old["status"], new["supersedes"]) == ("superseded", moved.run_id)
    assert [each["path"] for each in old["error"]["data"]["differences"]] == ["tier", "token"]
    plan = moved.tenantctl("run", "plan", fresh, "--json", who=OPS).json
    assert plan["replaces"] == moved.run_id
    found = moved.tenantctl("run", "compare", fresh, "--json", who=OPS).json
    assert (found["run_id"], found["earlier_run_id"]) == (fresh, moved.run_id)
    assert (found["plan_id"], found["earlier_plan_id"]) == (plan["id"], moved.plan_id)
    assert found["differences"] == old["error"]["data"]["differences"]
    assert [each["name"] for each in found["added"]] == ["network"]
    assert [each["after"]["name"] for each in found["changed"]] == ["database"]
    assert found["removed"] == []


@pytest.mark.parametrize("command", ["run compare", "approval show"])
def test_a_page_compares_the_fresh_plan_with_the_one_it_replaces(
    moved: Moved, command: str
) -> None:
    fresh = moved.retried()
    subject = fresh if command == "run compare" else moved.world.run(fresh).approval_id
    lines = moved.page(*command.split(), subject)
    at = lines.index(f"takes the place of {moved.run_id}, plan {moved.plan_id}")
    shown = lines[at + 1 :]
    assert shown[:5] == [
        "which was stopped, since the cloud differed from what that plan was made over",
        f"  ! database  {PARAMETER}",
        "      tier: nothing in the plan, Advanced in the cloud",
        "      token: nothing in the plan, (secret) in the cloud",
        "compared with that plan",
    ]
    assert shown[5] == f"  added      ~ update  network  {PARAMETER}"
    assert shown[6].startswith("      value: also -> ")
    assert shown[7:10] == [
        f"  changed    ~ update  database  {PARAMETER}",
        "      tier: Advanced -> (removed)",
        "      token: (secret) -> (removed)",
    ]


def test_a_plan_that_takes_no_ones_place_says_so(moved: Moved) -> None:
    assert moved.page("run", "compare", moved.run_id) == ["it takes the place of no other plan"]
