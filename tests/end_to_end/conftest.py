"""An embedded installation that is served, for the tests that start from one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.installation import Served


@pytest.fixture
def served(tmp_path: Path, pulumi_cli: Path) -> Iterator[Served]:
    """What `tenantctl serve` starts, on a home of its own."""
    running = Served(home=tmp_path / "home", cli=pulumi_cli)
    running.start()
    try:
        yield running
    finally:
        running.stop()
