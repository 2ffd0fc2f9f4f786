"""Worlds with a playbook in force and handlers that do as a test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from control_plane.adapters.rules.documents import Document
from control_plane.adapters.rules.journeys import FolderPlaybooks
from control_plane.adapters.rules.playbooks import parse_playbook
from control_plane.domain.canonical import digest
from control_plane.domain.journey import Journey, JourneyStep
from control_plane.domain.playbook import Playbook
from control_plane.workflows.core import Act, Core
from control_plane.workflows.step_actions import (
    ActInRows,
    ActionHandler,
    ActionOutcome,
    ActOutside,
    Did,
    Given,
)
from control_plane.workflows.timers import fire_due
from tests.world import SOURCE, World

HEAD = """
document:
  {key: sample, version: 1, status: active, owner_role: platform_admin, next_review: "2027-06-30"}
title: A sample
applies_to: {trigger: contract.signed}
retries: {attempts: 3, first_pause_seconds: 60, within_hours: 48}
steps:
"""


def sample(steps: str) -> Playbook:
    """Return a playbook in force with the steps of a document."""
    content = yaml.safe_load(HEAD + steps)
    return parse_playbook(Document(file="sample", content=content, digest=digest(content)))


def day_0() -> Playbook:
    """Return the shipped playbook of Day 0, as if it were in force."""
    content = yaml.safe_load((SOURCE / "rules" / "playbooks" / "day-0.yaml").read_text())
    content["document"]["status"] = "active"
    return parse_playbook(Document(file="day-0", content=content, digest=digest(content)))


def with_playbooks(world: World, *playbooks: Playbook) -> World:
    """Let playbooks be in force in a world."""
    world.core = replace(world.core, playbooks=FolderPlaybooks(playbooks))
    return world


@dataclass
class Scripted:
    """Handlers that record what they were asked and answer what a test says.

    ``answers`` has for an action what it does in turn, the last one again and again; without one
    it is done.
    """

    answers: dict[str, list[ActionOutcome | Exception]] = field(default_factory=dict)
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    before: Callable[[Given], None] = field(default=lambda _: None)

    def outside(self, action: str) -> ActOutside:
        """Return a handler outside of rows."""

        def do(_: Core, given: Given) -> ActionOutcome:
            return self._answer(action, given)

        return ActOutside(do)

    def in_rows(self, action: str) -> ActInRows:
        """Return a handler in rows."""

        def do(_: Act, given: Given) -> ActionOutcome:
            return self._answer(action, given)

        return ActInRows(do)

    def _answer(self, action: str, given: Given) -> ActionOutcome:
        self.asked.append((action, given.step.key, given.step.round))
        self.before(given)
        answers = self.answers.get(action, [Did()])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def steps(self) -> list[str]:
        """Return the steps that were asked, in order."""
        return [step for _, step, _ in self.asked]


def with_actions(world: World, handlers: Mapping[str, ActionHandler]) -> World:
    """Let actions be done by handlers of a test."""
    world.core = replace(world.core, actions=handlers)
    return world


def go_on(world: World, *, times: int = 6) -> None:
    """Fire what is due and do what is enqueued, as often as is said."""
    for _ in range(times):
        world.work()
        fire_due(world.core)
    world.work()


def journey_of(world: World) -> Journey:
    """Return the only journey."""
    (found,) = world.rows("journey").values()
    return found  # type: ignore[no-any-return]


def steps_of(world: World) -> dict[str, JourneyStep]:
    """Return all steps by their keys."""
    return {step.key: step for step in world.rows("journey_step").values()}


def statuses(world: World) -> dict[str, str]:
    """Return the status of each step by its key."""
    return {key: str(step.status) for key, step in steps_of(world).items()}


def tasks_of(world: World, **equals: Any) -> Sequence[Any]:
    """Return the tasks whose fields equal what is given."""
    return [
        task
        for task in world.rows("task").values()
        if all(getattr(task, name) == value for name, value in equals.items())
    ]
