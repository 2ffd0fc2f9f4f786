"""An embedded installation that is served, and what tests report of interrupted runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.installation import Served

FACTS = "facts"  # a test's property: what it found, by name


@pytest.fixture
def served(tmp_path: Path, pulumi_cli: Path) -> Iterator[Served]:
    """What `tenantctl serve` starts, on a home of its own."""
    running = Served(home=tmp_path / "home", cli=pulumi_cli)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what the tests have recorded."""
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)]
    found = [(r, dict(r.user_properties)) for r in reports if r.when == "call"]
    lines = [(r, told[FACTS]) for r, told in found if FACTS in told]
    if lines:
        terminalreporter.section("what became of interrupted runs")
    for report, facts in lines:
        said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())
        name = report.nodeid.rpartition("::")[2]
        terminalreporter.write_line(f"{name}: {said}, {report.duration:.0f} s")


@pytest.fixture
def record_facts(request: pytest.FixtureRequest) -> Callable[[Mapping[str, object]], None]:
    """Record what a test found, for the summary."""
    return lambda facts: request.node.user_properties.append((FACTS, dict(facts)))
