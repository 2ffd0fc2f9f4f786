"""Attempts of steps: begun, done in rows or outside, and recorded, whichever way a journey goes.

What is recorded of one that ends differs with the way, forward or back; how it is locked, compared
with what was begun and committed does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from control_plane.domain.audit import Stage
from control_plane.domain.errors import Conflict, DomainError
from control_plane.domain.journey import Journey, JourneyStep
from control_plane.domain.playbook import Playbook, Step
from control_plane.logging import get_logger
from control_plane.workflows.calling import patiently
from control_plane.workflows.core import Act, Core
from control_plane.workflows.journey_rows import error_of, playbook_of, targets_of
from control_plane.workflows.moving import as_json
from control_plane.workflows.recording import record
from control_plane.workflows.step_actions import ActInRows, ActionOutcome, DidFail, Given

log = get_logger()
_LONGEST_PAUSE: Final = timedelta(hours=1)
_Outside = Callable[[Core, Given], ActionOutcome]


@dataclass(frozen=True, kw_only=True)
class Way:
    """What becomes of an attempt that ends, as a journey goes forward or is taken back.

    ``awaits`` tells whether its end still counts, ``begun`` since when its hours count, ``take``
    records an outcome, and ``fail`` what failed for good.
    """

    awaits: Callable[[Journey, JourneyStep], bool]
    begun: Callable[[Journey, JourneyStep], datetime | None]
    take: Callable[[Act, Journey, Playbook, JourneyStep, ActionOutcome], None]
    fail: Callable[[Act, Journey, Step, JourneyStep, Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A step that was taken up: in rows it is over, ``outside`` is still to be done."""

    step: JourneyStep
    way: Way
    outside: _Outside | None = None
    given: Given | None = None


class Refused(Exception):
    """A step in rows was refused; its transaction is rolled back, and ``keep_refusal`` follows."""

    def __init__(self, step: JourneyStep, error: Mapping[str, Any], way: Way) -> None:
        super().__init__(step.id)
        self.step = step
        self.error = error
        self.way = way


def in_rows(act: Act, handler: ActInRows, found: Given, way: Way) -> ActionOutcome:
    """Do an action in rows. Raises ``Refused`` for what trying again does not change."""
    try:
        return handler.do(act, found)
    except Conflict:
        raise
    except DomainError as error:
        if error.transient:
            raise
        raise Refused(found.step, as_json(error), way) from error
    except Exception as error:
        log.exception("journey.step_broke", step=found.step.id)
        raise Refused(found.step, _fault(), way) from error


def begin_attempt(act: Act, step: JourneyStep, action: str | None) -> JourneyStep:
    """Record that an attempt begins, before anything happens outside."""
    now = act.now()
    tried = step.changed(
        now, attempts=step.attempts + 1, failures=step.failures + 1, tried_at=now, wakes_at=None
    )
    act.uow.journey_steps.save(tried)
    record(
        act, "journey.step_tried",
        tree=step.tenant_id, targets=targets_of(step), stage=Stage.ATTEMPTED,
        step=step.key, round=step.round, does=action, attempt=tried.attempts,
    )  # fmt: skip
    return tried


def _fault() -> dict[str, Any]:
    return error_of(
        "internal_error", "the action ended with a fault of the product",
        "Report it with the worker's log, then retry the step, or skip it with a reason.",
    )  # fmt: skip


# --- outside and back --------------------------------------------------------------------------
def try_outside(core: Core, attempt: Attempt) -> None:
    """Do what an attempt does outside, without a transaction, and record what became of it."""
    if attempt.outside is None or attempt.given is None:
        raise LookupError(attempt.step.id)
    try:
        outcome = attempt.outside(core, attempt.given)
    except DomainError as error:
        if error.transient:
            log.warning("journey.put_off", step=attempt.step.id, code=error.code)
            patiently(partial(_put_off, core, attempt, error))
            return
        outcome = DidFail(error=as_json(error))
    except Exception:
        log.exception("journey.step_broke", step=attempt.step.id)
        outcome = DidFail(error=_fault())
    patiently(partial(_keep, core, attempt, outcome))


def keep_refusal(core: Core, refused: Refused) -> None:
    """Record that a step in rows was refused, in a transaction of its own."""
    with _locked(core, refused.step, refused.way, lambda _: True) as found:
        if found is not None:
            act, journey, playbook, step = found
            refused.way.fail(act, journey, playbook.by_key[step.key], step, refused.error)


def _keep(core: Core, attempt: Attempt, outcome: ActionOutcome) -> None:
    with _locked(core, attempt.step, attempt.way, partial(_is_same, attempt.step)) as found:
        if found is not None:
            attempt.way.take(*found, outcome)


def _put_off(core: Core, attempt: Attempt, error: DomainError) -> None:
    """Let a step be tried again later, twice as much later each time, or fail it for good."""
    with _locked(core, attempt.step, attempt.way, partial(_is_same, attempt.step)) as found:
        if found is None:
            return
        act, journey, playbook, step = found
        declared, begun = playbook.by_key[step.key], attempt.way.begun(journey, step)
        again = _tried_again_at(declared, step, begun or act.now(), error, act.now())
        if again is None:
            attempt.way.fail(act, journey, declared, step, as_json(error))
        else:
            act.uow.journey_steps.save(
                step.changed(act.now(), error=as_json(error), wakes_at=again, tried_at=None)
            )


_Found = tuple[Act, Journey, Playbook, JourneyStep]


@contextmanager
def _locked(
    core: Core, tried: JourneyStep, way: Way, is_it: Callable[[JourneyStep], bool]
) -> Iterator[_Found | None]:
    """Lock journey and step and commit at the end; None when the end does not count any more."""
    with core.act() as act:
        journey = act.uow.journeys.need(tried.journey_id, lock=True)
        step = act.uow.journey_steps.get(tried.id, lock=True)
        if step is None or not (way.awaits(journey, step) and is_it(step)):
            yield None
            return
        yield act, journey, playbook_of(core, act.uow, journey), step
        act.uow.commit()


def _is_same(tried: JourneyStep, step: JourneyStep) -> bool:
    """Tell whether the attempt that ends is the one that is recorded as begun."""
    return step.tried_at is not None and (
        (step.round, step.attempts, step.status) == (tried.round, tried.attempts, tried.status)
    )  # fmt: skip


def _tried_again_at(
    declared: Step, step: JourneyStep, begun: datetime, error: DomainError, now: datetime
) -> datetime | None:
    """Return when a step is tried again that met an outage; None when its budget is exhausted."""
    retries = declared.retries
    if step.failures >= retries.attempts:
        return None
    pause = timedelta(seconds=retries.first_pause_seconds) * 2 ** min(step.failures - 1, 20)
    asked = error.data.get("retry_after")
    wanted = timedelta(seconds=float(asked)) if isinstance(asked, int | float) else timedelta(0)
    again = now + max(min(pause, _LONGEST_PAUSE), wanted)
    return again if again <= begun + timedelta(hours=retries.within_hours) else None
