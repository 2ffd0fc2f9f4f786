"""A sample of the crash matrix: something is killed, and the same run ends well all the same."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from tests.crash_matrix.__main__ import sliced
from tests.crash_matrix.matrix import Matrix, installed
from tests.crash_matrix.points import Point, Result
from tests.crash_matrix.scenarios import SCENARIOS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
POINTS = 30
# About so many events have the runs of each cell. Here they are not counted by runs to which
# nothing happens, which take as long as the points; a point after the last event is missed, and
# another one is tried in its place.
EVENTS = {
    "provision/A": 84, "provision/hub": 299, "provision/B": 397,
    "update/A": 23, "update/hub": 57, "update/B": 29,
    "refresh/A": 4, "refresh/hub": 4, "refresh/B": 4,
    "plan/hub": 6, "plan/B": 9,
    "destroy/A": 105, "destroy/hub": 273, "destroy/B": 361,
    "repair/A": 18, "repair/hub": 23, "repair/B": 30,
    "upgrade/A": 700,
}  # fmt: skip


def test_a_sample_has_every_cell_also_where_points_are_missed() -> None:
    matrix = Matrix(seed=1, events=dict(EVENTS))
    for point in matrix._wanted():
        end = "missed" if point.victim in {"runner", "cli", "provider"} else "applied"
        matrix.results.append(Result(point=point.name, end=end))
        if matrix.counted == POINTS:
            break
    counted = [each.point for each in matrix.results if each.end != "missed"]
    assert {each.rsplit("/", 2)[0] for each in counted} == set(EVENTS)


def test_the_parts_of_a_matrix_are_all_of_it_and_no_point_is_in_two() -> None:
    whole = [each.name for each in Matrix(events=dict(EVENTS))._wanted()]
    parts = [
        each.name
        for which in (1, 2, 3)
        for each in Matrix(events=dict(EVENTS), part=(which, 3))._wanted()
    ]
    assert len(whole) == len(set(whole)) > 10_000
    assert sorted(parts) == sorted(whole)


def test_a_moment_that_an_earlier_point_has_struck_is_not_tried_again() -> None:
    matrix = Matrix(results=[
        Result(point="update/B/cli/10", end="applied", struck_at=16),
        Result(point="update/B/provider/10", end="missed"),
    ])  # fmt: skip
    found = {
        (victim, event)
        for victim in ("cli", "provider", "runner")
        for event in range(1, 20)
        if matrix._was_reached(Point(kind="update", mode="B", victim=victim, event=event))
    }
    assert found == {("cli", event) for event in range(11, 17)}
    matrix.every = True
    assert not matrix._was_reached(Point(kind="update", mode="B", victim="cli", event=12))


@pytest.mark.parametrize("text", ["", "2", "0/2", "3/2", "1/0", "a/b", "-1/2", "1/2/3"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="such as 2/8"):
        sliced(text)


def test_whatever_is_killed_nothing_is_lost_or_made_twice(pulumi_cli: Path, tmp_path: Path) -> None:
    assert set(EVENTS) == {"/".join(cell) for cell in SCENARIOS}
    matrix = Matrix(
        points=POINTS, seed=1, file=tmp_path / "results.jsonl", events=dict(EVENTS)
    )  # fmt: skip
    with installed(pulumi_cli) as site:
        matrix.run(site)
    assert matrix.violations == [], matrix.table()
    assert matrix.counted == POINTS
    tried = {each.point.rpartition("/")[0] for each in matrix.results if each.end != "missed"}
    assert {each.rpartition("/")[0] for each in tried} == set(EVENTS)
    assert {each.point.split("/")[2] for each in matrix.results if each.end != "missed"} == {
        "worker", "runner", "cli", "provider", "database", "api", "cancel",
    }  # fmt: skip
    again = Matrix(file=tmp_path / "results.jsonl")
    again._resume()
    assert again.results == matrix.results
