"""The queue of runs and builds: looking at it, pausing and resuming it for maintenance."""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.domain.actor import Role
from control_plane.domain.errors import Conflict, IllegalTransition, InvalidInput
from control_plane.domain.queue_pause import QueuePause
from control_plane.services.permission import require_role, require_visibility
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record, refused_as

OPERATORS = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
READERS = (*OPERATORS, Role.PLATFORM_AUDITOR)


@dataclass(frozen=True, kw_only=True)
class QueueView:
    """The pause that stands, if one does, and what the caller may ask of the queue."""

    pause: QueuePause | None
    allowed_actions: tuple[str, ...]


def may_steer(act: Act, wanted: str) -> None:
    """Refuse who may not pause or resume the queue. Raises ``NotAllowed``, ``NotFound``."""
    require_role(act, *OPERATORS, wanted=f"queue.{wanted}")
    require_visibility(act, None, wanted=f"queue.{wanted}")


def show_queue(act: Act) -> QueueView:
    """Return whether the queue is paused, since when and why."""
    require_role(act, *READERS, wanted="queue.read")
    require_visibility(act, None, wanted="queue.read")
    return _view(act, standing_pause(act))


def pause_queue(act: Act, *, reason: str) -> QueueView:
    """Pause the queue: workers finish what they have and take nothing up until it is resumed.

    Requests are accepted meanwhile, and wait. Raises ``IllegalTransition`` while it is paused.
    """
    may_steer(act, "pause")
    with refused_as(act, "queue.refused", tree=None, wanted="pause"):
        _require_reason(reason)
        present = standing_pause(act)
        if present is not None:
            raise IllegalTransition(
                f"the queue is paused already, by {present.paused_by}", present_status="paused"
            )
        pause = QueuePause(
            id=act.new_id("pause"),
            reason=reason.strip(),
            paused_by=act.caller.actor.id,
            paused_at=act.now(),
        )
        try:
            act.uow.add(pause)
        except Conflict as error:
            raise IllegalTransition(
                "the queue is paused already", present_status="paused"
            ) from error
        record(act, "queue.paused", tree=None, personal={"reason": pause.reason})
        return _view(act, pause)


def resume_queue(act: Act, *, reason: str) -> QueueView:
    """End the pause of the queue; workers take up what waits. Raises ``IllegalTransition``."""
    may_steer(act, "resume")
    with refused_as(act, "queue.refused", tree=None, wanted="resume"):
        _require_reason(reason)
        present = standing_pause(act)
        if present is None:
            raise IllegalTransition("the queue is not paused", present_status="running")
        ended = present.ended(act.caller.actor.id, reason.strip(), act.now())
        act.uow.pauses.save(ended)
        act.uow.queue.wake()
        record(
            act, "queue.resumed", tree=None, personal={"reason": reason.strip()}, pause=present.id
        )
        return _view(act, None)


def standing_pause(act: Act) -> QueuePause | None:
    """Return the pause that stands."""
    return next(iter(act.uow.pauses.find(resumed_at=None)), None)


def _view(act: Act, pause: QueuePause | None) -> QueueView:
    steers = act.caller.actor.has(*OPERATORS)
    action = "resume" if pause is not None else "pause"
    return QueueView(pause=pause, allowed_actions=(action,) if steers else ())


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidInput("a reason is required", field="reason")
