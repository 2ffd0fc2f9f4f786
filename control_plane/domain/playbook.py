"""A playbook: what happens for a tenant, when, and by whom, as a document says it.

The words are those of ``rules/schemas/playbook.schema.json``. A playbook is a graph of steps: a
step begins when what it needs has ended, its condition holds and its time has come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from control_plane.domain.calendars.due import Due


class StepKind(StrEnum):
    """What a step is, and so who ends it."""

    ACTION = "action"  # the product does something
    TASK = "task"  # a person does something
    MEETING = "meeting"  # people meet; ended by who led it
    FORM = "form"  # somebody answers questions
    APPROVAL = "approval"  # somebody decides
    GATE = "gate"  # checks, of machines and of people, that all hold


OF_PEOPLE: Final = frozenset({StepKind.TASK, StepKind.MEETING, StepKind.FORM, StepKind.APPROVAL})


class Anchor(StrEnum):
    """An instant of a tenant's life that times are counted from."""

    SIGNED = "signed"
    READY = "ready"
    GO_LIVE = "go_live"
    TERM_START = "term_start"
    TERM_END = "term_end"


@dataclass(frozen=True, kw_only=True)
class Time:
    """A time that is counted from an anchor, or from the end of the step ``after``."""

    anchor: Anchor | None
    after: str | None
    due: Due


@dataclass(frozen=True, kw_only=True)
class Need:
    """A step that must have ended; with ``outcome``, ended so."""

    step: str
    outcome: str | None = None


@dataclass(frozen=True, kw_only=True)
class Unless:
    """A step that makes another one needless once it has ended, as an escalation is then.

    That one begins ``grace_hours`` after its journey at the earliest: what is late when its
    contract arrives can still be done before anybody is called.
    """

    step: str
    grace_hours: int = 0


@dataclass(frozen=True, kw_only=True)
class Again:
    """A way back: when a step ends with ``outcome``, all from the step ``back_to`` on begin again.

    That happens ``limit`` times at most.
    """

    outcome: str
    back_to: str
    limit: int


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How often an action is tried, and how long: pauses double from the first one."""

    attempts: int = 10
    first_pause_seconds: int = 5
    within_hours: int = 24


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step. ``owner`` is the role that answers for it, also when others do it.

    ``conditions`` are facts of the tenant, each with the values that it may have; with another
    value the step is skipped, and once ``unless`` has ended. ``starts`` is when it begins at the
    earliest, ``due`` when it should have ended. ``undo`` is the action that takes it back.
    """

    key: str
    kind: StepKind
    title: str
    owner: str
    needs: tuple[Need, ...] = ()
    conditions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unless: Unless | None = None
    starts: Time | None = None
    due: Time | None = None
    action: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    undo: str | None = None
    retries: Retries = Retries()
    outcomes: tuple[str, ...] = ()
    again: tuple[Again, ...] = ()
    instructions: str = ""
    checks: tuple[str, ...] = ()  # of a gate

    @property
    def is_of_people(self) -> bool:
        """Tell whether a person ends it."""
        return self.kind in OF_PEOPLE


@dataclass(frozen=True, kw_only=True)
class KeptPlaybook:
    """A playbook's document as journeys began with it; its id is the digest of the content."""

    id: str
    key: str
    version: int
    content: Mapping[str, Any]
    kept_at: datetime


@dataclass(frozen=True, kw_only=True)
class Playbook:
    """A document, parsed; ``content`` is the document itself, as it is kept for its journeys."""

    key: str
    version: int
    digest: str
    title: str
    trigger: str
    applies_to: Mapping[str, tuple[str, ...]]
    steps: tuple[Step, ...]
    content: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def by_key(self) -> Mapping[str, Step]:
        """The steps by their keys."""
        return {step.key: step for step in self.steps}

    def fits(self, trigger: str, facts: Mapping[str, str]) -> bool:
        """Tell whether a tenant's journey begins by this playbook."""
        return trigger == self.trigger and unmet(self.applies_to, facts) is None

    def from_step(self, key: str) -> frozenset[str]:
        """Return the keys of a step and of all that need it, directly or not."""
        found = {key}
        while True:
            more = {
                step.key for step in self.steps if any(need.step in found for need in step.needs)
            }
            if more <= found:
                return frozenset(found)
            found |= more


def unmet(conditions: Mapping[str, tuple[str, ...]], facts: Mapping[str, str]) -> str | None:
    """Return in words the first condition that the facts do not meet, or None."""
    for name, among in conditions.items():
        found = facts.get(name)
        if found not in among:
            return f"{name} is {found or 'unknown'}, not {' or '.join(among)}"
    return None


def circles(needs: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Yield each circle of steps that need one another, as the keys on the way round."""
    settled: set[str] = set()

    def follow(key: str, way: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if key in way:
            yield (*way[way.index(key) :], key)
            return
        if key in settled:
            return
        for needed in needs.get(key, ()):
            yield from follow(needed, (*way, key))
        settled.add(key)

    for key in needs:
        yield from follow(key, ())
