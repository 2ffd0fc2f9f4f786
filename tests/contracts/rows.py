"""What the contract tests do with rows, and side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from control_plane.domain.actor import system
from control_plane.domain.audit import AuditEvent, Stage
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.errors import Conflict
from tests.entities import Entities
from tests.storage import Storage


def store(storage: Storage, repository: str, *entities: Any) -> None:
    with storage.unit_of_work() as uow:
        for entity in entities:
            getattr(uow, repository).add(entity)
        uow.commit()


def conflict_of(storage: Storage, repository: str, *entities: Any) -> str:
    """Add entities in one transaction and return the constraint that refused the last."""
    *fine, refused = entities
    with storage.unit_of_work() as uow:
        for entity in fine:
            getattr(uow, repository).add(entity)
        with pytest.raises(Conflict) as error:
            getattr(uow, repository).add(refused)
    return str(error.value.data["constraint"])


def refused_save(storage: Storage, repository: str, entity: Any) -> str:
    """Save an entity in a transaction of its own and return the constraint that refused it."""
    with storage.unit_of_work() as uow, pytest.raises(Conflict) as error:
        getattr(uow, repository).save(entity)
    return str(error.value.data["constraint"])


def make_event(make: Entities) -> AuditEvent:
    return AuditEvent(
        id=make.ids.new("event"),
        tree=PLATFORM,
        action="request.refused",
        stage=Stage.DENIED,
        time=make.clock.now(),
        actor=system("tests"),
        data={"code": "invalid_input"},
    )


def run_all(work: list[Callable[[], None]]) -> None:
    """Run functions in threads and raise the first error of any."""
    errors: list[BaseException] = []

    def run(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - raised again below, in the test's thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
