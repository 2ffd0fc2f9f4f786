"""What the steps of sagas do, by kind and name: what ``domain/sagas`` declares has a row here.

A step in rows is taken in the transaction that records it, so that it happens exactly once. One
outside is taken without a transaction, at least once: it must bear to be taken again. A step that
waits is asked again when something happened that may concern it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from control_plane.domain.errors import DomainError
from control_plane.domain.run import TERMINAL_RUN, Run, RunStatus
from control_plane.domain.saga import Saga, SagaStep
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act, Core
from control_plane.workflows.moving import as_json


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The step is done; ``data`` is added to the saga's. With ``skipped`` nothing had to be done,
    and it says why."""

    result: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    skipped: str = ""


@dataclass(frozen=True, kw_only=True)
class Waits:
    """The step waits for what ``says`` names in words, until ``until`` at the latest."""

    says: str
    until: datetime | None = None
    run_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The step failed: a person retries it, or withdraws the saga. ``error`` is as in rows."""

    error: Mapping[str, Any]


Outcome = Ended | Waits | Failed


@dataclass(frozen=True)
class InRows:
    """Done in the transaction that records it."""

    do: Callable[[Act, Saga, SagaStep], Outcome]


@dataclass(frozen=True)
class Outside:
    """Done without a transaction, at least once."""

    do: Callable[[Core, Saga, SagaStep], Outcome]


@dataclass(frozen=True, kw_only=True)
class Handler:
    """What a step does, and what takes it back."""

    do: InRows | Outside
    undo: InRows | Outside | None = None


def run_step(request: Callable[[Act, Saga], Run | str]) -> InRows:
    """Return what requests a run and ends as that does; the saga's own requesters asked for it.

    ``request`` returns the run, or says why none is needed.
    """

    def do(act: Act, saga: Saga, step: SagaStep) -> Outcome:
        if step.run_id is None:
            run = request(act, saga)
            return Ended(skipped=run) if isinstance(run, str) else _waits_for(run)
        run = act.uow.runs.need(last_of(act.uow, step.run_id), lock=True)
        if run.status not in TERMINAL_RUN:
            return _waits_for(run)
        if run.status in {RunStatus.APPLIED, RunStatus.NO_CHANGES}:
            return Ended(result={"run": run.id, "status": str(run.status)})
        return Failed(error=dict(run.error) if run.error else _ended_as(run))

    return InRows(do)


def _waits_for(run: Run) -> Waits:
    return Waits(says=f"{run.id} to end; it is {run.status}", run_id=run.id)


def _ended_as(run: Run) -> Mapping[str, Any]:
    error = as_json(DomainError(f"{run.id} ended as {run.status}", run=run.id))
    return {**error, "code": f"run_{run.status}"}


def last_of(uow: UnitOfWork, run_id: str) -> str:
    """Return the run that repeats a run last: people may retry the run of a step by itself."""
    while repeated := uow.runs.find(retry_of=run_id):
        run_id = repeated[-1].id
    return run_id
