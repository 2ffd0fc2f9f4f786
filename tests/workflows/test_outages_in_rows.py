"""A database or a log that is away for a moment, while a worker or a reader is at work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from control_plane.domain.errors import AuditUnavailable, DomainError, InvalidInput
from control_plane.domain.run import RunStatus
from control_plane.services import auditing
from control_plane.services.performing import perform
from control_plane.workflows import PHASES
from control_plane.workflows.core import Core
from control_plane.workflows.reads import WINDOW_SECONDS
from tests.world import AUDITOR, World


@contextmanager
def log_that_comes_back(world: World, after: int) -> Iterator[Core]:
    """Take the log away for the first ``after`` transactions of a core."""
    with ExitStack() as away:
        away.enter_context(world.storage.without_log())
        opened = 0

        def uow() -> Any:
            nonlocal opened
            opened += 1
            if opened > after:
                away.close()
            return world.core.uow()

        yield replace(world.core, uow=uow)


def test_a_step_in_rows_waits_for_the_log(world: World) -> None:
    accepted = world.submit("B")
    with log_that_comes_back(world, after=4) as core:
        PHASES["advance_run"](core, accepted.run_id or "")
    run = world.run(accepted.run_id)
    assert run.status is RunStatus.AWAITING_APPROVAL, run.error
    assert (run.deaths, run.is_working) == (0, False)


class RefusingSpecs:
    """Specs that no schema accepts."""

    def validate(self, program: str, document: Any) -> None:
        """Refuse."""
        raise InvalidInput("the spec has no region", field="region")


def test_a_step_in_rows_that_cannot_be_done_ends_the_run_in_its_own_words(world: World) -> None:
    accepted = world.submit("B")
    PHASES["advance_run"](replace(world.core, specs=RefusingSpecs()), accepted.run_id or "")
    run = world.run(accepted.run_id)
    assert (run.status, run.deaths) == (RunStatus.ERRORED, 0)
    assert run.error["message"] == "the spec has no region"


def counted(world: World, tree: str) -> list[int]:
    return [
        event.data["count"]
        for event in world.events()
        if event.action == "log.read" and event.tree == tree
    ]


def test_reads_of_a_log_that_could_not_be_recorded_are_recorded_later(world: World) -> None:
    ticks = 0.0
    world.core.reads.ticks = lambda: ticks
    trees = [world.submit("B", number).tenant.id for number in (1, 2)]

    def read(tree: str) -> None:
        perform(world.core, AUDITOR, auditing.read_events, tree, after=0, limit=10, action=None)

    for tree in trees:
        for _ in range(3):
            read(tree)
        assert counted(world, tree) == [1]
    ticks += WINDOW_SECONDS + 1
    with world.storage.without_log(), pytest.raises(AuditUnavailable):
        auditing.report_reads(world.core)
    auditing.report_reads(world.core)
    assert [counted(world, tree) for tree in trees] == [[1, 2], [1, 2]]


def test_a_read_that_is_refused_without_the_log_keeps_those_before_it(world: World) -> None:
    ticks = 0.0
    world.core.reads.ticks = lambda: ticks
    tree = world.submit("B").tenant.id

    def read() -> None:
        perform(world.core, AUDITOR, auditing.read_events, tree, after=0, limit=10, action=None)

    read()
    read()
    ticks += WINDOW_SECONDS + 1
    with world.storage.without_log(), pytest.raises(DomainError):
        read()
    read()
    assert counted(world, tree) == [1, 2]
