"""Progress lines and audit events of a unit of work."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from control_plane.domain.errors import AuditUnavailable, Conflict
from control_plane.domain.run import RunStatus
from tests.contracts.rows import make_event, run_all
from tests.entities import Entities, Waiting
from tests.storage import Storage

pytestmark = pytest.mark.timeout(120)


# --- progress lines ----------------------------------------------------------------------------
def test_progress_lines_are_numbered_without_gaps(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    run = waiting.run
    with storage.unit_of_work() as uow:
        assert uow.run_events.last_seq(run.id) == 0
        lines = [make.event(run, number) for number in (1, 2, 3)]
        uow.run_events.append(lines[0])
        uow.run_events.append()
        uow.run_events.append(*lines[1:])
        other = replace(make.event(run, 5), run_id="run_other")
        for numbers in ([3], [5], [3, 4], [4, 6], [5, 4]):
            with pytest.raises(Conflict) as refused:
                uow.run_events.append(*(make.event(run, number) for number in numbers))
            assert refused.value.data["constraint"] == "pk_run_event"
        with pytest.raises(Conflict):
            uow.run_events.append(make.event(run, 4), other)
        uow.commit()
    with storage.unit_of_work() as uow:
        assert uow.run_events.last_seq(run.id) == 3
        assert uow.run_events.after(run.id, 0) == lines
        assert uow.run_events.after(run.id, 1, limit=1) == lines[1:2]
        assert uow.run_events.after("run_other", 0) == []


def test_two_writers_of_one_progress_line_are_told(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    outcomes: list[str] = []
    together = threading.Barrier(2, timeout=60)

    def write(line: Any) -> None:
        with storage.unit_of_work() as uow:
            together.wait()
            try:
                uow.run_events.append(line)
                uow.commit()
                outcomes.append("written")
            except Conflict:
                outcomes.append("conflict")

    lines = [make.event(waiting.run, 1, kind=kind) for kind in ("a", "b")]
    run_all([lambda: write(lines[0]), lambda: write(lines[1])])
    assert sorted(outcomes) == ["conflict", "written"]


def test_only_a_run_that_has_ended_loses_its_lines(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    goes_on, ended = waiting.run, make.run(waiting.deployment, number=2, status=RunStatus.ERRORED)
    with storage.unit_of_work() as uow:
        uow.runs.add(ended)
        for run in (goes_on, ended):
            uow.run_events.append(make.event(run, 1), make.event(run, 2))
        uow.commit()
    with storage.unit_of_work() as uow:
        with pytest.raises(Conflict) as refused:
            uow.run_events.forget(goes_on.id)
        assert refused.value.data["constraint"] == "run_event_is_immutable"
        assert uow.run_events.forget(ended.id) == 2
        assert uow.run_events.forget(ended.id) == 0
        uow.commit()
    with storage.unit_of_work() as uow:
        assert uow.run_events.last_seq(goes_on.id) == 2
        assert uow.run_events.last_seq(ended.id) == 0


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
