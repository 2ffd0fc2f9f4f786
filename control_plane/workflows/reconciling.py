"""Looks at sources of contracts on their way: set, enqueued, and what they find kept.

What a look compares is in ``services/looking.py``: it maps what a provider says to requests.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from control_plane.domain.delivery import OPEN_DELIVERY, Delivery, DeliveryStatus, actor_of
from control_plane.domain.reconciling import (
    CRM,
    Difference,
    IntakeFinding,
    IntakeFindingStatus,
    IntakeLook,
    jitter,
)
from control_plane.domain.timers import TimerKind
from control_plane.workflows.core import Act, Caller, Core
from control_plane.workflows.recording import record

LOOK_PHASE: Final = "look_at_source"
_SOURCES: Final = "sources"  # the timer that finds sources which have none yet
_SOURCES_AGAIN: Final = timedelta(minutes=15)
_LASTING: Final = (IntakeFindingStatus.OPEN, IntakeFindingStatus.SETTLED)
_UNDER_WAY: Final = OPEN_DELIVERY | {DeliveryStatus.RECEIVED}


def look_at_source(core: Core, source: str) -> None:
    """Look at a source, as the services do; the composition root handed that in."""
    core.look_at_source(core, source)


def sources_asked(core: Core) -> dict[str, datetime | None]:
    """Return the sources that can be asked, each with the instant from which on.

    None means from the first look on.
    """
    found: dict[str, datetime | None] = {}
    for each in core.systems.signatures:
        source = core.rules.intake.sources.get(each.source)
        if source is not None and source.read_back is not None:
            found[each.source] = source.read_back.since
    return found if core.systems.crm is None else {**found, CRM: None}


def look_when_due(act: Act, subject: str) -> None:
    """Enqueue the look at a source that is due, and set when the next one is."""
    asked = sources_asked(act.core)
    if subject == _SOURCES:
        for source in act.uow.timers.due(TimerKind.INTAKE_LOOK, list(asked)).keys() ^ asked.keys():
            act.uow.timers.set(TimerKind.INTAKE_LOOK, source, act.now())
        act.uow.timers.set(TimerKind.INTAKE_LOOK, _SOURCES, act.now() + _SOURCES_AGAIN)
        return
    if subject not in asked:
        return  # its rules ask nobody any more
    look = enqueue_look(act, subject)
    rules = act.core.rules.intake.looks
    pause = rules.every + jitter(subject, look.turn, rules.jitter)
    act.uow.timers.set(TimerKind.INTAKE_LOOK, subject, act.now() + pause)


def enqueue_look(act: Act, source: str) -> IntakeLook:
    """Let a worker look at a source, unless a look waits already; returns how far looks came."""
    look = act.uow.intake_looks.get(source, lock=True)
    if look is None:
        since = sources_asked(act.core)[source]
        look = IntakeLook(
            id=source, position=since or act.now(), checked="", turn=0, looked_at=None, error=None,
            version=1,
        )  # fmt: skip
        act.uow.intake_looks.add(look)
    elif act.uow.queue.place(LOOK_PHASE, source, attempt=look.turn) is not None:
        return look
    look = look.next_turn()
    act.uow.intake_looks.save(look)
    owner = actor_of(source).id
    act.uow.queue.enqueue(LOOK_PHASE, source, partition=owner, owner=owner, attempt=look.turn)
    return look


def open_finding(
    act: Act, source: str, difference: Difference, *, delivery_id: str | None = None
) -> None:
    """Keep a difference: one that stands already is seen again, one that was settled stays so."""
    known = act.uow.intake_findings.find(
        source=source, kind=difference.kind, subject=difference.subject, digest=difference.digest,
        status=_LASTING,
    )  # fmt: skip
    if known:
        if known[0].status is IntakeFindingStatus.OPEN:
            act.uow.intake_findings.save(known[0].seen_again(act.now()))
        return
    finding = IntakeFinding(
        id=act.new_id("intake_finding"),
        source=source,
        kind=difference.kind,
        subject=difference.subject,
        digest=difference.digest,
        explanation=difference.explanation,
        delivery_id=delivery_id,
        tenant_id=difference.tenant_id,
        status=IntakeFindingStatus.OPEN,
        found_at=act.now(),
        last_seen_at=act.now(),
        reason=None,
        settled_by=None,
        ended_at=None,
        version=1,
    )
    act.uow.intake_findings.add(finding)
    record(
        act, "intake_finding.opened",
        tree=finding.tenant_id, targets=targets_of(finding), source=source,
        kind=str(finding.kind), subject=finding.subject, delivery=delivery_id,
    )  # fmt: skip


def agree(act: Act, finding: IntakeFinding, why: str) -> None:
    """Close a finding as both sides say the same again."""
    act.uow.intake_findings.save(finding.agreed(why, act.now()))
    record(
        act, "intake_finding.agreed",
        tree=finding.tenant_id, targets=targets_of(finding), source=finding.source,
        kind=str(finding.kind), subject=finding.subject, why=why,
    )  # fmt: skip


def agree_on_delivery(act: Act, delivery: Delivery) -> None:
    """Close the finding that a delivery was made for, once nothing is left to do with it."""
    if delivery.status in _UNDER_WAY:
        return
    caller = Caller(actor=actor_of(delivery.source), request_id=delivery.id)
    for finding in act.uow.intake_findings.find(
        delivery_id=delivery.id, status=IntakeFindingStatus.OPEN
    ):
        agree(act.by(caller), finding, f"its delivery is {delivery.status}")


def targets_of(finding: IntakeFinding) -> tuple[tuple[str, str], ...]:
    """Return what an event about a finding is about."""
    return (("intake_finding", finding.id),)
