"""The controls of the offline verifier, replayed over what the product itself records."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from typing import Any

import pytest

from control_plane.domain.actor import system
from control_plane.services import withdrawals
from control_plane.services.performing import perform
from control_plane.services.rules import record_rules
from control_plane.workflows.core import Caller
from tests.integration.dossiers import VERIFY
from tests.world import OPS, World

Body = dict[str, Any]
ALL = set(VERIFY.CONTROLS)


def replayed(
    bodies: list[Body], platform: list[Body] | None = None, since: str = "", until: str = ""
) -> Any:
    options = argparse.Namespace(controls=ALL, approvers=None, since=since, until=until)
    controls = VERIFY.Controls(options, platform or [])
    for idx, body in enumerate(bodies):
        controls.see(idx, body)
    return controls


@pytest.fixture
def told(world: World) -> tuple[list[Body], list[Body]]:
    """What is recorded of a B tenant that was approved and applied, and of the platform."""
    perform(world.core, Caller(actor=system("worker")), record_rules)
    accepted = world.submit("B")
    world.work()
    world.approve(accepted.run_id)
    world.work()
    events = world.events()
    tree = accepted.tenant.id
    return (
        [copy.deepcopy(event.body) for event in events if event.tree == tree],
        [copy.deepcopy(event.body) for event in events if event.tree == "platform"],
    )


def test_what_the_product_does_keeps_every_control(told: tuple[list[Body], list[Body]]) -> None:
    controls = replayed(*told)
    assert controls.exceptions == []
    assert {"approved", "other_person", "same_plan", "still_valid", "holds", "rules"} <= set(
        controls.population
    )
    assert controls.population["approved"] == 1
    assert controls.population["rules"] >= 2  # the mode's and the approval's


def of(bodies: list[Body], action: str, stage: str = "completed") -> Body:
    return next(body for body in bodies if (body["action"], body["stage"]) == (action, stage))


def at(bodies: list[Body], action: str, stage: str = "completed") -> int:
    return bodies.index(of(bodies, action, stage))


def no_approval(bodies: list[Body]) -> None:
    bodies[:] = [each for each in bodies if not each["action"].startswith("decision")]


def nothing_approved(bodies: list[Body]) -> None:
    bodies[:] = [each for each in bodies if each["action"] != "run.approved"]


def own_approval(bodies: list[Body]) -> None:
    of(bodies, "decision.given")["actor"] = of(bodies, "run.requested")["actor"]


def another_plan(bodies: list[Body]) -> None:
    of(bodies, "run.apply", "attempted")["data"]["plan_digest"] = "sha256:" + "1" * 64


def ended_otherwise(bodies: list[Body]) -> None:
    of(bodies, "run.apply")["data"]["plan_digest"] = "sha256:" + "1" * 64


def too_late(bodies: list[Body]) -> None:
    of(bodies, "run.approval_requested")["data"]["expires_at"] = "2000-01-01T00:00:00+00:00"


def withdrawn(bodies: list[Body]) -> None:
    given = of(bodies, "decision.given")
    taken = {**given, "action": "decision.withdrawn",
             "data": {"decision": given["approval"]["decision_id"]}}  # fmt: skip
    bodies.insert(at(bodies, "run.apply", "attempted"), taken)


def expired(bodies: list[Body]) -> None:
    ended = {**of(bodies, "decision.given"), "action": "approval.expired", "data": {}}
    bodies.insert(at(bodies, "run.apply", "attempted"), ended)


def held(bodies: list[Body]) -> None:
    placed = {**of(bodies, "run.requested"), "action": "hold.placed", "data": {},
              "target": [{"type": "hold", "id": "hld_1"}]}  # fmt: skip
    bodies.insert(0, placed)


def other_rules(bodies: list[Body]) -> None:
    of(bodies, "run.approval_requested")["data"]["rules_digest"] = "sha256:" + "1" * 64


def two_needed(bodies: list[Body]) -> None:
    of(bodies, "run.approval_requested")["data"]["needed"] = 2


@pytest.mark.parametrize(
    ("change", "control", "action", "stage"),
    [
        (no_approval, "approved", "run.apply", "attempted"),
        (nothing_approved, "approved", "run.apply", "attempted"),
        (two_needed, "approved", "run.apply", "attempted"),
        (withdrawn, "approved", "run.apply", "attempted"),
        (own_approval, "other_person", "decision.given", "completed"),
        (another_plan, "same_plan", "run.apply", "attempted"),
        (ended_otherwise, "same_plan", "run.apply", "completed"),
        (too_late, "still_valid", "run.apply", "attempted"),
        (expired, "still_valid", "run.apply", "attempted"),
        (held, "holds", "run.apply", "attempted"),
        (other_rules, "rules", "run.approval_requested", "completed"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_broken_control_is_listed_with_its_entry(
    told: tuple[list[Body], list[Body]],
    change: Callable[[list[Body]], None],
    control: str,
    action: str,
    stage: str,
) -> None:
    bodies, platform = told
    change(bodies)
    found = {(each["control"], each["idx"]) for each in replayed(bodies, platform).exceptions}
    assert (control, at(bodies, action, stage)) in found


def test_a_withdrawal_of_the_product_raises_no_alarm(world: World) -> None:
    perform(world.core, Caller(actor=system("worker")), record_rules)
    accepted = world.submit("B")
    world.work()
    approval_id = world.run(accepted.run_id).approval_id
    world.decide(approval_id)
    perform(world.core, OPS, withdrawals.withdraw, approval_id, reason="again")
    world.approve(accepted.run_id)
    world.work()
    tree = accepted.tenant.id
    bodies = [event.body for event in world.events() if event.tree == tree]
    assert "decision.withdrawn" in [body["action"] for body in bodies]
    controls = replayed(bodies, [e.body for e in world.events() if e.tree == "platform"])
    assert controls.exceptions == []
    assert controls.population["approved"] == 1


def test_a_sample_is_picked_by_its_seed_alone(told: tuple[list[Body], list[Body]]) -> None:
    controls = replayed(*told)
    (one,) = controls.sample("2026-Q4", 5)
    assert controls.sample("2026-Q4", 5) == [one]
    bodies = told[0]
    assert one["entries"] == [n for n, body in enumerate(bodies) if body.get("run") == one["run"]]
    many = replayed(
        [{**of(bodies, "run.apply", "attempted"), "run": f"run_{n}"} for n in range(100)]
    )
    first = [each["run"] for each in many.sample("a", 10)]
    assert first == [each["run"] for each in many.sample("a", 10)]
    assert first != [each["run"] for each in many.sample("b", 10)]
    assert first == [each["run"] for each in many.sample("a", 20)][:10]
