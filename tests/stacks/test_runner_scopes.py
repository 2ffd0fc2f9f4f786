"""Runs limited to some resources: they repair these in the cloud and touch nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.stacks.cloud_process import CloudProcess
from tests.stacks.runner_calls import (
    Desk,
    Message,
    begun,
    gone,
    kill_everything,
    take_over,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PROGRAM = """
import pulumi
import pulumi_aws as aws


def build(spec, provider):
    def parameter(name, **given):
        options = pulumi.ResourceOptions(provider=provider, **given.pop("opts", {}))
        given = {"type": "String", "value": "v", "tags": {"of": name}, **given}
        return aws.ssm.Parameter(name, name=f"/{spec.owner.short}/{name}", opts=options, **given)

    base = parameter("base")
    parameter("one", opts={"depends_on": [base]})
    parameter("two", opts={"depends_on": [base]})
    return {"x": base.arn}
"""


@pytest.fixture
def made(make_desk: Callable[..., Desk]) -> Desk:
    desk = make_desk(program=PROGRAM)
    desk.result("up")
    return desk


def urn(desk: Desk, name: str) -> str:
    return next(r["urn"] for r in desk.state()["resources"] if r["urn"].endswith(f"::{name}"))


def operations(planned: Message | None) -> dict[str, str]:
    assert planned is not None
    return {o["name"]: o["op"] for o in planned["operations"] if o["op"] not in ("same", "read")}


class Hand:
    """Somebody who changes the parameters of a desk past every engine."""

    def __init__(self, desk: Desk, cloud: CloudProcess) -> None:
        self._ssm, self._short = cloud.client("ssm"), desk.spec["owner"]["short"]

    def tag(self, *names: str, value: str = "by hand") -> None:
        for name in names:
            self._ssm.add_tags_to_resource(
                ResourceType="Parameter", ResourceId=self._name(name),
                Tags=[{"Key": "of", "Value": value}],
            )  # fmt: skip

    def tagged(self, name: str) -> str:
        found = self._ssm.list_tags_for_resource(
            ResourceType="Parameter", ResourceId=self._name(name)
        )
        return {each["Key"]: str(each["Value"]) for each in found["TagList"]}["of"]

    def delete(self, name: str) -> None:
        self._ssm.delete_parameter(Name=self._name(name))

    def _name(self, name: str) -> str:
        return f"/{self._short}/{name}"


@pytest.fixture
def hand(made: Desk, runner_cloud: CloudProcess) -> Hand:
    return Hand(made, runner_cloud)


def checks(last: Message) -> dict[str, Any]:
    return {each["name"]: (each["ok"], each["detail"]) for each in last["look"]["checks"]}


def drifted(last: Message) -> set[str]:
    return {each["subject"].rpartition("::")[2] for each in last["look"]["drift"]}


def test_a_scope_repairs_what_it_names_and_leaves_the_rest_as_it_is(made: Desk, hand: Hand) -> None:
    before = made.state_digest()
    hand.tag("base", "one", "two")
    repaired = made.call("up", gate=True, scope=[urn(made, "one")])
    assert repaired.last["outcome"] == "applied", repaired.last
    assert operations(repaired.planned) == {"one": "update"}
    assert repaired.planned is not None
    (change,) = [o["changes"] for o in repaired.planned["operations"] if o["name"] == "one"]
    assert [(c["path"], c["before"], c["after"]) for c in change if c["path"] == "tags.of"] == [
        ("tags.of", "by hand", "one")
    ]
    assert [hand.tagged(name) for name in ("base", "one", "two")] == ["by hand", "one", "by hand"]
    assert made.state_digest() == before  # nobody else's difference is in the state
    assert drifted(repaired.last) == {"base", "two"}  # still told
    assert checks(repaired.last)["as_applied"] == (
        True, "1 resources as applied; 2 known to differ or outside of the scope"
    )  # fmt: skip


def test_what_was_deleted_is_made_again(made: Desk, hand: Hand) -> None:
    hand.tag("base")
    hand.delete("two")
    repaired = made.call("up", gate=True, scope=[urn(made, "two")])
    assert operations(repaired.planned) == {"two": "create"}
    assert hand.tagged("two") == "two"
    assert drifted(repaired.last) == {"base"}


def test_a_scope_in_which_nothing_differs_any_more_plans_nothing(made: Desk, hand: Hand) -> None:
    hand.tag("base")
    planned = made.plan(scope=[urn(made, "one")])
    assert operations(planned) == {}


@pytest.mark.parametrize("how", ["stop", "preview"])
def test_a_plan_that_is_not_applied_leaves_the_difference_to_be_seen(
    made: Desk, hand: Hand, how: str
) -> None:
    hand.tag("one")
    hand.delete("two")
    scope = [urn(made, "one"), urn(made, "two")]
    before = made.state(), made.stored.newest
    if how == "preview":
        planned: Message | None = made.plan(scope=scope)
    else:
        with made.start("up", gate=True, scope=scope) as running:
            planned = running.finish("stop").planned
    assert operations(planned) == {"one": "update", "two": "create"}
    assert (made.state(), made.stored.newest) == before
    assert drifted(made.result("look")) == {"one", "two"}


def test_what_changes_further_after_the_plan_is_another_plan(made: Desk, hand: Hand) -> None:
    hand.tag("one")
    scope = [urn(made, "one")]
    first = made.plan(scope=scope)
    again = made.plan(scope=scope)
    hand.tag("one", value="by another hand")
    moved = made.plan(scope=scope)
    assert first["digest"] == again["digest"] != moved["digest"]
    assert first["parts"]["state"] == moved["parts"]["state"]


def test_a_repair_that_dies_half_way_is_settled_within_its_scope(made: Desk, hand: Hand) -> None:
    hand.tag("base")
    hand.delete("two")
    scope = [urn(made, "two")]
    with made.start("up", scope=scope) as dying:
        dying.until(lambda message: begun(message, "aws:ssm"))
        kill_everything(dying.call_id)
        assert gone(dying.call_id, within_seconds=30)
        take_over(made, dying)
    made.result("resolve", scope=scope)
    repaired = made.call("up", gate=True, scope=scope)
    assert repaired.last.get("outcome") == "applied", repaired.last
    assert hand.tagged("two") == "two"
    assert drifted(repaired.last) == {"base"}  # settling did not read what is out of the scope


def test_what_is_known_to_differ_fails_no_check_and_is_still_told(made: Desk, hand: Hand) -> None:
    hand.tag("base", "one")
    found = made.result("look", known=[urn(made, "base")])
    assert drifted(found) == {"base", "one"}
    ok, detail = checks(found)["as_applied"]
    assert not ok
    assert "base" not in detail
    both = made.result("look", known=[urn(made, "base"), urn(made, "one")])
    assert all(ok for ok, _ in checks(both).values())


def test_resolving_a_scope_takes_what_the_cloud_has_of_it_alone(made: Desk, hand: Hand) -> None:
    hand.tag("one", "two")
    made.result("resolve", scope=[urn(made, "one")])
    assert drifted(made.result("look")) == {"two"}  # what was adopted is as the state has it
    assert hand.tagged("one") == "by hand"
