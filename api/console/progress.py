"""How far a run is: its resources as a tree, each with what is done and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from api.console.rendering import length
from api.schemas.plan_reading import visible
from control_plane.domain.plan import CHANGING, Plan
from control_plane.domain.run import RunEvent

_WORDS: Final = {"started": "in progress", "done": "done", "failed": "failed"}
_TONES: Final = {"planned": "plain", "in progress": "info", "done": "good", "failed": "wrong"}
_DEEPEST: Final = 12


@dataclass
class Step:
    """What is done with one resource."""

    op: str
    type: str
    name: str
    status: str = "planned"
    began: datetime | None = None
    ended: datetime | None = None

    @property
    def tone(self) -> str:
        """The tone of its badge."""
        return _TONES.get(self.status, "plain")

    def spent(self, now: datetime) -> str:
        """Return how long it took, or takes up to now; '' before it begins."""
        if self.began is None:
            return ""
        return length(max((self.ended or now) - self.began, timedelta(0)))


@dataclass(frozen=True)
class Node:
    """A step with those of the resources inside of it."""

    step: Step
    inside: tuple[Node, ...]


@dataclass
class Progress:
    """The steps of a run by URN; lines of progress are taken once each, in their order."""

    steps: dict[str, Step] = field(default_factory=dict)
    parents: dict[str, str | None] = field(default_factory=dict)

    def plan(self, plan: Plan | None) -> None:
        """Take what a plan would do."""
        if plan is None:
            return
        self.parents = {each.urn: each.parent for each in plan.resources}
        for each in plan.operations:
            if each.op in CHANGING or each.options:
                self._step(each.urn, each.op, each.type, each.name)

    def take(self, events: Sequence[RunEvent]) -> None:
        """Take lines of progress; those of the apply alone say what is done."""
        for event in events:
            body = event.body
            if event.kind != "resource" or body.get("phase", "apply") != "apply":
                continue
            urn, name = str(body.get("urn") or ""), str(body.get("name") or "")
            step = self._step(
                urn, str(body.get("op") or ""), str(body.get("type") or ""),
                name or urn.rpartition("::")[2],
            )  # fmt: skip
            said = str(body.get("status") or "")
            step.status = _WORDS.get(said, said)
            step.began = step.began or event.time
            step.ended = None if said == "started" else event.time

    def _step(self, urn: str, op: str, kind: str, name: str) -> Step:
        made = Step(op=op, type=visible(kind), name=visible(name))
        return self.steps.setdefault(urn, made)

    @property
    def done(self) -> int:
        """How many steps are done."""
        return sum(each.status == "done" for each in self.steps.values())

    @property
    def tree(self) -> tuple[Node, ...]:
        """The steps, each below the nearest one that it is a part of."""
        inside: dict[str | None, list[str]] = {}
        for urn in self.steps:
            inside.setdefault(self._above(urn), []).append(urn)
        return self._nodes(inside, None, 0)

    def _above(self, urn: str) -> str | None:
        seen = {urn}
        parent = self.parents.get(urn)
        while parent is not None and parent not in seen:
            if parent in self.steps:
                return parent
            seen.add(parent)
            parent = self.parents.get(parent)
        return None

    def _nodes(
        self, inside: dict[str | None, list[str]], urn: str | None, deep: int
    ) -> tuple[Node, ...]:
        if deep > _DEEPEST:
            return ()
        return tuple(
            Node(self.steps[each], self._nodes(inside, each, deep + 1))
            for each in inside.get(urn, ())
        )
