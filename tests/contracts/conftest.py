"""What the contract tests of rows start from."""

from __future__ import annotations

import pytest

from tests.entities import Entities, Waiting, store_waiting
from tests.storage import Storage


@pytest.fixture
def make() -> Entities:
    return Entities()


@pytest.fixture
def waiting(storage: Storage, make: Entities) -> Waiting:
    with storage.unit_of_work() as uow:
        found = store_waiting(uow, make)
        uow.commit()
    return found
