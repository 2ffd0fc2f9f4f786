"""The shape of a kind of saga: its steps in order, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from control_plane.domain.actor import Role
from control_plane.domain.saga import SagaKind
from control_plane.domain.tenant import WaitingOn


class Does(StrEnum):
    """What a step does."""

    RUN = "run"  # requests a run and ends as that does
    WORK = "work"  # does something itself
    WAIT = "wait"  # until a time, or until a person decides
    SWITCH = "switch"  # changes what rows say, at once


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step. ``says`` is what it does and ``undo`` how it is taken back, both in words.

    Without ``undo`` nothing is taken back. ``is_final``: once it is done, or its run has begun to
    apply, the saga is not withdrawn any more. ``undo_if_begun``: it is taken back also
    when it failed, or was withdrawn, half way. ``waits_on`` is who has to do something while it
    waits, where it always is the same.
    """

    name: str
    does: Does
    says: str
    undo: str | None = None
    is_final: bool = False
    undo_if_begun: bool = False
    waits_on: WaitingOn | None = None


@dataclass(frozen=True, kw_only=True)
class SagaSpec:
    """A kind of saga: what it is for, and its steps in the order in which they are taken.

    ``former`` are steps that earlier releases took: they stand in the records. ``steered_by`` are
    the roles that retry a step that failed, and withdraw the saga.
    """

    kind: SagaKind
    purpose: str
    steps: tuple[Step, ...]
    former: tuple[Step, ...] = ()
    steered_by: tuple[Role, ...] = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)

    def step(self, name: str) -> Step:
        """Return a step by its name, also a former one. Raises ``LookupError``."""
        for step in self.former:
            if step.name == name:
                return step
        return self.steps[self.position(name) - 1]

    def position(self, name: str) -> int:
        """Return which step it is, the first one being 1. Raises ``LookupError``."""
        for position, step in enumerate(self.steps, 1):
            if step.name == name:
                return position
        raise LookupError(f"{self.kind} has no step {name}")

    def after(self, name: str) -> Step | None:
        """Return the step that comes after one, None after the last."""
        rest = self.steps[self.position(name) :]
        return rest[0] if rest else None
