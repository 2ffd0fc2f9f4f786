"""Every situation of some small scopes: what must hold holds, and seeded bugs are found."""

from __future__ import annotations

import pytest

from control_plane.domain.run import BlockedOn
from tests.model import seeded
from tests.model.scopes import SMALL
from tests.model.search import Violation, search
from tests.model.situation import MODE_B, Budget, Scope
from tests.model.traces import Differs, drive
from tests.storage import Storage

# of each seeded bug: what is said of it, and how many steps a shortest way to it has
FOUND = {
    "an approved run is not superseded": ("a superseded run applies", 8),
    "a hold is ignored on resume": ("something is applied under a hold", 10),
}
MOVED = Scope(modes=(MODE_B,), runs=2, budget=Budget(changes=1, drifts=1))


@pytest.mark.parametrize("name", SMALL)
def test_what_must_hold_holds_in_every_situation(name: str) -> None:
    found = search(SMALL[name])
    assert found.transitions > len(found.situations) > 100
    assert found.depth > 10


def search_all() -> None:
    """Search one scope after the other."""
    for scope in SMALL.values():
        search(scope)


@pytest.mark.parametrize("bug", seeded.BUGS)
def test_a_seeded_bug_is_found_by_a_shortest_way(bug: str) -> None:
    what, steps = FOUND[bug]
    with seeded.BUGS[bug](), pytest.raises(Violation) as found:
        search_all()
    assert found.value.what == what
    assert len(found.value.trace) == steps
    assert str(found.value).count("\n") == steps


def test_a_gate_that_does_not_compare_is_found_by_a_trace(storage: Storage) -> None:
    """No pure function has that bug, so that only the product's own steps show it."""
    found = search(MOVED, canonical=False)
    first = next(
        number
        for number, situation in enumerate(found.situations)
        for run in situation.tenants[0].runs
        if run.blocked_on == BlockedOn.STATE_MOVED
    )
    shortest = [(action, found.situations[number]) for action, number in found.way_to(first)]
    drive(storage, MOVED, shortest)
    with seeded.the_gate_does_not_compare(), pytest.raises(Differs) as caught:
        drive(storage, MOVED, shortest)
    assert str(caught.value).startswith("the product differs from the model after\n  1. a contract")
    assert "tenant 0, run 1, status: model blocked, product applying" in caught.value.what
    assert len(caught.value.trace) == len(shortest) == 15
