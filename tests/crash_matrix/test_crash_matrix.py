"""A sample of the crash matrix: something is killed, and the same run ends well all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash_matrix.matrix import Matrix, installed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
POINTS = 30


def test_whatever_is_killed_nothing_is_lost_or_made_twice(pulumi_cli: Path, tmp_path: Path) -> None:
    matrix = Matrix(points=POINTS, seed=1, file=tmp_path / "results.jsonl")
    with installed(pulumi_cli) as site:
        matrix.run(site)
    assert matrix.violations == [], matrix.table()
    assert matrix.counted == POINTS
    assert {each.point.split("/")[2] for each in matrix.results if each.end != "missed"} == {
        "worker", "runner", "cli", "provider", "database", "api",
    }  # fmt: skip
    again = Matrix(file=tmp_path / "results.jsonl")
    again._resume()
    assert again.results == matrix.results
