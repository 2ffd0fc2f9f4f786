"""Progress lines and audit events of a unit of work."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from control_plane.domain.errors import AuditUnavailable, Conflict
from control_plane.domain.run import RunEvent, RunStatus
from tests.contracts.rows import make_event, run_all
from tests.entities import Entities, Waiting
from tests.storage import Storage

pytestmark = pytest.mark.timeout(120)


# --- progress lines ----------------------------------------------------------------------------
def test_progress_lines_are_numbered_without_gaps(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    run, now = waiting.run, make.clock.now()
    other = make.run(waiting.deployment, number=2, status=RunStatus.ERRORED)
    lines = [make.event(run, number, body={"text": f"'{number}' ü"}) for number in (1, 2, 3)]
    with storage.unit_of_work() as uow:
        uow.runs.add(other)
        uow.run_events.append(run.id, now, *said(lines[:1]))
        uow.run_events.append(run.id, now)
        uow.run_events.append(other.id, now, *said(lines[:1]))
        uow.run_events.append(run.id, now, *said(lines[1:]))
        uow.commit()
    with storage.unit_of_work() as uow:
        assert uow.run_events.after(run.id, 0) == lines
        assert uow.run_events.after(run.id, 1, limit=1) == lines[1:2]
        assert [line.seq for line in uow.run_events.after(other.id, 0)] == [1]
        assert uow.run_events.after("run_other", 0) == []


def said(lines: Sequence[RunEvent]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return lines as they are added: their numbers are given to them."""
    return [(line.kind, line.body) for line in lines]


def test_of_two_who_add_lines_at_the_same_time_one_is_told(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    run, now = waiting.run, make.clock.now()
    added = threading.Event()
    outcomes: list[str] = []

    def first() -> None:
        with storage.unit_of_work() as uow:
            uow.run_events.append(run.id, now, ("a", {}))
            added.set()
            storage.wait_for_a_lock()
            uow.commit()

    def second() -> None:
        assert added.wait(60)
        with storage.unit_of_work() as uow, pytest.raises(Conflict) as refused:
            uow.run_events.append(run.id, now, ("b", {}))
        outcomes.append(refused.value.data["constraint"])

    run_all([first, second])
    with storage.unit_of_work() as uow:
        kinds = [line.kind for line in uow.run_events.after(run.id, 0)]
    assert (outcomes, kinds) == (["pk_run_event"], ["a"])


def test_only_a_run_that_has_ended_loses_its_lines(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    goes_on, ended = waiting.run, make.run(waiting.deployment, number=2, status=RunStatus.ERRORED)
    with storage.unit_of_work() as uow:
        uow.runs.add(ended)
        for run in (goes_on, ended):
            uow.run_events.append(run.id, make.clock.now(), ("a", {}), ("b", {}))
        uow.commit()
    with storage.unit_of_work() as uow:
        with pytest.raises(Conflict) as refused:
            uow.run_events.forget(goes_on.id)
        assert refused.value.data["constraint"] == "run_event_is_immutable"
    with storage.unit_of_work() as uow:
        assert uow.run_events.forget(ended.id) == 2
        assert uow.run_events.forget(ended.id) == 0
        uow.commit()
    with storage.unit_of_work() as uow:
        assert len(uow.run_events.after(goes_on.id, 0)) == 2
        assert uow.run_events.after(ended.id, 0) == []


# --- the audit log -----------------------------------------------------------------------------
def test_one_event_is_recorded_once(storage: Storage, make: Entities) -> None:
    event = make_event(make)
    with storage.unit_of_work() as uow:
        uow.audit.record(event)
        uow.commit()
    assert len(storage.events()) == 1


def test_what_cannot_be_recorded_is_not_done(storage: Storage, make: Entities) -> None:
    """Fail closed: the right to write is taken away, and the row of the same transaction goes."""
    with storage.without_log(), storage.unit_of_work() as uow:
        uow.tenants.add(make.tenant())
        uow.audit.record(make_event(make))
        with pytest.raises(AuditUnavailable):
            uow.commit()
    with storage.unit_of_work() as uow:
        assert uow.tenants.count() == 0
