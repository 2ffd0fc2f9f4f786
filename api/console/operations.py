"""Operations: parts, the queue, what could not be sent or taken, rules and settings in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeVar

from fastapi import APIRouter, Path, Response
from fastapi.responses import RedirectResponse

from api.console.visiting import FormDep, PageRoute, VisitorDep
from control_plane.domain.delivery import Delivery, DeliveryStatus
from control_plane.domain.errors import InvalidInput
from control_plane.domain.message import Message, MessageStatus
from control_plane.domain.run import Run
from control_plane.domain.waiting import Waiting
from control_plane.services import deliveries, messages, queue
from control_plane.services.performing import perform
from control_plane.services.waiting import queued_runs
from control_plane.workflows.core import Act

router = APIRouter(prefix="/console/operations", include_in_schema=False, route_class=PageRoute)
_HERE: Final = "/console/operations"
_MOST: Final = 20  # of each list
_SAID: Final = {
    "replay": "Take it again", deliveries.ACCEPT_ADDITIONAL: "Make another tenant",
    deliveries.DISMISS: "Dismiss",
}  # fmt: skip
Chosen = TypeVar("Chosen")
Id = Annotated[str, Path(max_length=64)]


@dataclass(frozen=True, kw_only=True)
class Stuck:
    """What people have to look at, as far as somebody may read it."""

    queue: queue.QueueView
    waiting: list[tuple[Run, Waiting]]
    messages: list[tuple[Message, list[str]]] = field(default_factory=list)
    deliveries: list[tuple[Delivery, list[str]]] = field(default_factory=list)


@router.get("")
def show_operations(who: VisitorDep) -> Response:
    """Show what an operator looks at first."""
    have = who.have
    rules = have.core.rules
    return who.page(
        "operations.html", here=_HERE, stuck=perform(have.core, who.reading, _read),
        parts_ready={**have.readiness(), "identity": have.identity.keys.problem() or "ok"},
        background=have.background(), documents=sorted(rules.digests.items()),
        labels=_labels, overdue=rules.overdue(have.core.clock.now().date()), settings=have.settings,
    )  # fmt: skip


def _read(act: Act) -> Stuck:
    actor = act.caller.actor
    found = Stuck(queue=queue.show_queue(act), waiting=queued_runs(act))
    if actor.has(*messages.READERS):
        dead = messages.list_messages(act, limit=_MOST, before=None, status=MessageStatus.DEAD)
        found.messages.extend((each, messages.allowed_actions(each, actor)) for each in dead)
    if actor.has(*deliveries.READERS):
        for status in (DeliveryStatus.HELD, DeliveryStatus.REFUSED):
            open_ones = deliveries.list_deliveries(act, limit=_MOST, before=None, status=status)
            found.deliveries.extend(
                (each, deliveries.allowed_actions(each, actor)) for each in open_ones
            )
    return found


# --- deciding ------------------------------------------------------------------------------------
@router.post("/queue")
def steer_queue(who: VisitorDep, form: FormDep) -> Response:
    """Pause or resume the queue, with a reason."""
    chosen = _chosen(
        form.text("action"), {"pause": queue.pause_queue, "resume": queue.resume_queue}
    )
    perform(who.have.core, who.writing, chosen, reason=form.text("reason"))
    return _back()


@router.post("/messages/{message_id}")
def settle_message(who: VisitorDep, form: FormDep, message_id: Id) -> Response:
    """Send a message again, or cancel it, with a reason."""
    chosen = _chosen(
        form.text("action"),
        {"send_again": messages.send_message_again, "cancel": messages.cancel_message},
    )
    perform(who.have.core, who.writing, chosen, message_id, reason=form.text("reason"))
    return _back()


@router.post("/deliveries/{delivery_id}")
def settle_delivery(who: VisitorDep, form: FormDep, delivery_id: Id) -> Response:
    """Let a delivery be taken again, or decide what follows from it, with a reason."""
    action, reason = form.text("action"), form.text("reason")

    def do(act: Act) -> None:
        if action == "replay":
            deliveries.replay_delivery(act, delivery_id, reason=reason)
        else:
            deliveries.decide_delivery(act, delivery_id, decision=action, reason=reason)

    _chosen(action, dict.fromkeys(("replay", *deliveries.DECISIONS), do))
    perform(who.have.core, who.writing, do)
    return _back()


def _chosen(action: str, known: Mapping[str, Chosen]) -> Chosen:
    if action not in known:
        raise InvalidInput("choose one of the buttons", field="action")
    return known[action]


def _labels(actions: list[str]) -> list[tuple[str, str]]:
    """Return the buttons of a delivery with what they say."""
    return [(action, _SAID.get(action, action.replace("_", " "))) for action in actions]


def _back() -> Response:
    return RedirectResponse(_HERE, status_code=303)
