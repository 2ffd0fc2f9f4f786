"""No silent mutation: every use case leaves exactly its events, and does nothing without a log.

The table is complete by reflection: a public function of ``control_plane/services`` that takes the
core and is in neither table fails the first test.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

from control_plane import services
from control_plane.domain.errors import (
    AuditUnavailable,
)
from tests.approver_hands import OLGA
from tests.storage import Storage
from tests.workflows.use_case_scenes import Case, Scene
from tests.workflows.use_case_tables import MUTATING, PARTS, READING

CASES = [
    pytest.param(case, id=f"{name}-{case.error.code if case.error else number}")
    for name, cases in MUTATING.items()
    for number, case in enumerate(cases)
]


@pytest.fixture
def scene(storage: Storage) -> Scene:
    return Scene(storage)


def _of_the_core() -> set[str]:
    """Return every public function that works on the core, or in a transaction on it."""
    found = set()
    for info in pkgutil.iter_modules(services.__path__):
        module = importlib.import_module(f"{services.__name__}.{info.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            names = list(inspect.signature(function).parameters)
            own = function.__module__ == module.__name__ and not name.startswith("_")
            if own and names[:1] in (["core"], ["act"]):
                found.add(f"{info.name}.{name}")
    return found


def _shape(scene: Scene) -> object:
    return scene.storage.everything(), scene.storage.enqueued(), len(scene.events())


def test_every_use_case_is_in_one_of_the_tables() -> None:
    tables = [set(MUTATING), set(READING), PARTS]
    assert set.union(*tables) == _of_the_core()
    assert sum(map(len, tables)) == len(set.union(*tables))


def test_every_mutating_use_case_is_shown_to_succeed_and_to_be_refused() -> None:
    for name, cases in MUTATING.items():
        assert any(case.error for case in cases), name
        if not name.startswith("permission."):  # which does nothing where it does not refuse
            assert any(case.error is None for case in cases), name


@pytest.mark.parametrize("case", CASES)
def test_an_act_leaves_exactly_its_events(scene: Scene, case: Case) -> None:
    act = case.prepare(scene)
    known = len(scene.events())
    if case.error is None:
        act()
    else:
        with pytest.raises(case.error) as refused:
            act()
        assert refused.value.is_recorded
    left = scene.events()[known:]
    assert tuple(f"{event.action}:{event.stage}" for event in left) == case.events


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_done_that_cannot_be_recorded(scene: Scene, case: Case) -> None:
    act = case.prepare(scene)
    before = _shape(scene)
    with scene.storage.without_log():
        if not case.events:
            act()
        else:
            with pytest.raises(AuditUnavailable):
                act()
    assert _shape(scene) == before


@pytest.mark.parametrize("name", sorted(READING))
def test_reading_changes_nothing_and_needs_no_log(scene: Scene, name: str) -> None:
    scene.hub_with_finding()
    run = scene.waiting_b()
    bundle = scene.submit("C", 2).bundle_id
    scene.suppressed_message(run.tenant_id)
    scene.legal_hold(run.tenant_id)
    scene.delivered()
    scene.subscribed()
    scene.journeying()
    scene.linked()
    scene.meeting_of(run.tenant_id)
    OLGA.enroll(scene)
    before = _shape(scene)
    with scene.storage.without_log():
        READING[name](scene, run.tenant_id, run.id, bundle or "")
    assert _shape(scene) == before
