"""The traces of the model, driven through the real services on PostgreSQL."""

from __future__ import annotations

import os
from typing import Final

import pytest

from tests.model.scopes import SMALL
from tests.model.traces import drive_all
from tests.storage import Storage

# a sample; every trace with TESTS_TRACES=all, as `make model` does
STEPS: Final = None if os.environ.get("TESTS_TRACES") == "all" else 60
SEED: Final = int(os.environ.get("TESTS_SEED", "0"))


@pytest.mark.timeout(3600 if STEPS is None else 600)
@pytest.mark.parametrize("name", SMALL)
def test_the_product_does_what_the_model_does(storage: Storage, name: str) -> None:
    driven, traces, steps = drive_all(storage, SMALL[name], seed=SEED, most=STEPS)
    assert steps > driven > 0
    assert driven == traces or STEPS is not None
