"""What the actions of playbooks do: what ``domain/actions.py`` names has a handler here.

An action in rows is done in the transaction that records it, so that it happens exactly once. One
outside is done without a transaction, at least once: its effect has the key of its cause, and it
bears to be done again. An action that waits is asked again when something happened that may
concern it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from control_plane.domain.cause import Cause
from control_plane.domain.journey import Journey, JourneyStep
from control_plane.domain.playbook import Step
from control_plane.domain.tenant import Contract, Tenant
from control_plane.workflows.core import Act, Core


@dataclass(frozen=True, kw_only=True)
class Given:
    """What an action is done for. ``contacts`` are those of the request: role, name, email, locale.

    ``declared`` is the step as the playbook has it, with the action's arguments.
    """

    tenant: Tenant
    contract: Contract
    contacts: tuple[Mapping[str, str], ...]
    journey: Journey
    step: JourneyStep
    declared: Step
    cause: Cause


@dataclass(frozen=True, kw_only=True)
class Did:
    """The action is done; ``result`` is shown with the step and read by later ones."""

    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NotNeeded:
    """Nothing had to be done, or there is no system to do it in; it says why."""

    why: str


NO_MAIL: Final = NotNeeded(why="no system: this installation sends no mail")


@dataclass(frozen=True, kw_only=True)
class StillWaits:
    """The action waits for what ``says`` names in words, asked again at ``until`` at the latest.

    ``result`` is what is known meanwhile, shown with the step.
    """

    says: str
    until: datetime | None = None
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Asks:
    """A person does the rest: a task with these instructions, for the step's owner role."""

    title: str
    instructions: str
    result: Mapping[str, Any] = field(default_factory=dict)  # what was done before
    owner: str | None = None  # a role of ``domain.actions.OWNERS``; None: the step's


@dataclass(frozen=True, kw_only=True)
class DidFail:
    """The action failed for good; ``error`` is as in rows. A person retries or skips the step."""

    error: Mapping[str, Any]


ActionOutcome = Did | NotNeeded | StillWaits | Asks | DidFail


@dataclass(frozen=True)
class ActInRows:
    """Done in the transaction that records it."""

    do: Callable[[Act, Given], ActionOutcome]


@dataclass(frozen=True)
class ActOutside:
    """Done without a transaction, at least once.

    ``DomainError`` that is transient is tried again within the step's budget.
    """

    do: Callable[[Core, Given], ActionOutcome]


ActionHandler = ActInRows | ActOutside
