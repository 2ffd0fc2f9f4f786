"""A journey in a worker that dies at any commit, with turns and timers in any order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from control_plane.domain.journey import JourneyStatus
from control_plane.workflows.journey_rows import wake_journey
from control_plane.workflows.journeys import advance_journey, turn_of_journey
from tests.journeys import (
    Scripted,
    go_on,
    journey_of,
    sample,
    statuses,
    with_actions,
    with_playbooks,
)
from tests.world import World

STEPS = 25


class Died(BaseException):
    """The process ended here."""


def graph(chosen: random.Random) -> str:
    lines = []
    for number in range(STEPS):
        before = [f"s{each}" for each in range(number) if chosen.random() < 2 / STEPS]
        name = chosen.choice(["crm.upsert_company", "tickets.upsert_organisation"])
        lines.append(
            f"- {{key: s{number}, kind: action, title: S, owner: csm, action: {name},"
            f" needs: [{', '.join(before)}], retries: {{attempts: 100}}}}"
        )
    return "\n".join(lines) + "\n"


def dying(world: World, chosen: random.Random, share: float) -> Callable[[], Any]:
    """Return a factory of units of work of which some end before or after their commit."""
    make = world.core.uow

    def mortal() -> Any:
        uow: Any = make()
        commit = uow.commit

        def commit_or_die() -> None:
            if chosen.random() < share:
                raise Died
            commit()
            if chosen.random() < share:
                raise Died

        uow.commit = commit_or_die
        return uow

    return mortal


@pytest.mark.requirement("F-075")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_step_begins_twice_in_whatever_order_turns_and_deaths_come(
    world: World, seed: int
) -> None:
    chosen = random.Random(seed)  # noqa: S311 - which order, no secret
    scripted = Scripted()
    keys: Counter[str] = Counter()
    scripted.before = lambda given: keys.update([given.cause.key])
    with_actions(
        with_playbooks(world, sample(graph(chosen))),
        {
            "crm.upsert_company": scripted.in_rows("crm.upsert_company"),
            "tickets.upsert_organisation": scripted.outside("tickets.upsert_organisation"),
        },
    )
    world.submit()
    whole = world.core
    mortal = replace(whole, uow=dying(world, chosen, 0.05))
    journey_id = journey_of(world).id
    for _ in range(60):
        core = chosen.choice([whole, mortal])
        try:
            match chosen.randrange(3):
                case 0:
                    advance_journey(core, journey_id)
                case 1:
                    with core.act() as act:
                        turn_of_journey(act, journey_id)
                        act.uow.commit()
                case _:
                    with core.act() as act:
                        wake_journey(act, journey_id)
                        act.uow.commit()
        except Died:
            continue
    world.core = whole
    go_on(world, times=3)
    assert set(statuses(world).values()) == {"done"}
    assert journey_of(world).status is JourneyStatus.DONE
    begun = Counter(
        str(event.data["step"])
        for event in world.events()
        if event.action == "journey.step_moved" and event.data["status"] == "working"
    )
    ended = Counter(
        str(event.data["step"])
        for event in world.events()
        if event.action == "journey.step_moved" and event.data["status"] == "done"
    )
    assert begun == ended == Counter({f"s{number}": 1 for number in range(STEPS)})
    tried = Counter(
        str(event.data["step"]) for event in world.events() if event.action == "journey.step_tried"
    )
    outside = Counter(step for action, step, _ in scripted.asked if action.startswith("tickets"))
    assert all(outside[step] <= tried[step] for step in outside)  # each recorded before it began
