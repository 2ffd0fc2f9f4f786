"""Which step of a journey moves: by what it needs, its condition, its time, and ways back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.calendars.due import Due, DueUnit
from control_plane.domain.errors import IllegalTransition
from control_plane.domain.journey import (
    ENDED,
    STEP_TRANSITIONS,
    JourneyStep,
    StepStatus,
    begins_again,
    has_ended,
    moves,
    step_id,
    way_back,
)
from control_plane.domain.playbook import (
    Again,
    Anchor,
    Need,
    Playbook,
    Step,
    StepKind,
    Time,
    circles,
)

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
FACTS = {"mode": "A"}


def playbook(*steps: Step) -> Playbook:
    return Playbook(
        key="sample", version=1, digest="sha256:0", title="A sample", trigger="contract.signed",
        applies_to={}, steps=steps,
    )  # fmt: skip


def step(key: str, *needs: str | Need, kind: StepKind = StepKind.ACTION, **rest: object) -> Step:
    given_needs = tuple(Need(step=n) if isinstance(n, str) else n for n in needs)
    return Step(key=key, kind=kind, title=key, owner="csm", needs=given_needs, **rest)  # type: ignore[arg-type]


def row(of: Step, status: StepStatus = StepStatus.WAITING, **rest: object) -> JourneyStep:
    return JourneyStep(
        id=step_id("journey_1", of.key), journey_id="journey_1", tenant_id="tenant_1", key=of.key,
        kind=of.kind, owner=of.owner, status=status, updated_at=NOW, **rest,  # type: ignore[arg-type]
    )  # fmt: skip


def rows(of: Playbook, **statuses: StepStatus) -> dict[str, JourneyStep]:
    return {each.key: row(each, statuses.get(each.key, StepStatus.WAITING)) for each in of.steps}


def moved(
    of: Playbook,
    present: Mapping[str, JourneyStep],
    facts: Mapping[str, str] = FACTS,
    anchors: Mapping[Anchor, datetime] | None = None,
    now: datetime = NOW,
) -> dict[str, tuple[StepStatus, str | None]]:
    def instant(time: Time) -> datetime | None:
        if time.after is not None:
            start = present[time.after].ended_at
        else:
            assert time.anchor is not None
            start = (anchors or {}).get(time.anchor)
        return start + timedelta(days=time.due.amount) if start is not None else None

    found = moves(of, present, facts, instant=instant, now=now)
    return {each.key: (each.status, each.reason) for each in found}


def test_what_needs_nothing_begins_at_once_and_people_are_asked() -> None:
    of = playbook(step("act"), step("ask", kind=StepKind.TASK), step("later", "act", "ask"))
    assert moved(of, rows(of)) == {
        "act": (StepStatus.WORKING, None),
        "ask": (StepStatus.ASKED, None),
    }


@pytest.mark.requirement("W-015")
@pytest.mark.parametrize("ended", [StepStatus.DONE, StepStatus.SKIPPED])
def test_a_step_begins_when_all_that_it_needs_has_ended(ended: StepStatus) -> None:
    of = playbook(step("one"), step("two"), step("both", "one", "two"))
    assert moved(of, rows(of, one=ended, two=StepStatus.WORKING)) == {}
    assert moved(of, rows(of, one=ended, two=ended)) == {"both": (StepStatus.WORKING, None)}


def test_a_step_that_failed_stops_only_what_needs_it() -> None:
    of = playbook(step("one"), step("two"), step("after_one", "one"), step("after_two", "two"))
    present = rows(of, one=StepStatus.FAILED, two=StepStatus.DONE)
    assert moved(of, present) == {"after_two": (StepStatus.WORKING, None)}


def test_what_is_left_out_says_why_and_lets_the_next_begin() -> None:
    of = playbook(step("slack", conditions={"chat": ("slack",)}), step("after", "slack"))
    assert moved(of, rows(of)) == {
        "slack": (StepStatus.SKIPPED, "chat is unknown, not slack"),
        "after": (StepStatus.WORKING, None),
    }


@pytest.mark.requirement("W-016")
def test_a_branch_is_taken_by_its_outcome() -> None:
    of = playbook(
        step("decide", kind=StepKind.APPROVAL, outcomes=("go", "stop")),
        step("launch", Need(step="decide", outcome="go")),
        step("explain", Need(step="decide", outcome="stop")),
    )
    present = {**rows(of), "decide": row(of.steps[0], StepStatus.DONE, outcome="go")}
    assert moved(of, present) == {
        "launch": (StepStatus.WORKING, None),
        "explain": (StepStatus.SKIPPED, "decide ended as go, not as stop"),
    }


def test_a_decision_that_was_left_out_takes_no_branch() -> None:
    of = playbook(step("decide"), step("launch", Need(step="decide", outcome="go")))
    found = moved(of, rows(of, decide=StepStatus.SKIPPED))
    assert found == {"launch": (StepStatus.SKIPPED, "decide ended as skipped, not as go")}


def test_what_needs_a_canceled_step_is_canceled() -> None:
    of = playbook(step("one"), step("two", "one"), step("three", "two"))
    found = moved(of, rows(of, one=StepStatus.CANCELED))
    assert found["two"] == (StepStatus.CANCELED, "one was canceled")
    assert found["three"] == (StepStatus.CANCELED, "two was canceled")


def test_a_step_waits_for_its_time_to_the_second() -> None:
    time = Time(anchor=Anchor.READY, after=None, due=Due(amount=1, unit=DueUnit.DAY))
    of = playbook(step("one", starts=time))
    due = NOW + timedelta(days=1)
    assert moved(of, rows(of)) == {}  # the tenant is not ready yet
    ready = {Anchor.READY: NOW}
    assert moved(of, rows(of), anchors=ready) == {"one": (StepStatus.SCHEDULED, None)}
    assert moved(of, rows(of), anchors=ready, now=due) == {"one": (StepStatus.WORKING, None)}
    waits = {"one": row(of.steps[0], StepStatus.SCHEDULED, wakes_at=due)}
    assert moved(of, waits, now=due - timedelta(seconds=1)) == {}
    assert moved(of, waits, now=due) == {"one": (StepStatus.WORKING, None)}


def test_a_way_back_is_taken_as_often_as_it_says() -> None:
    again = Again(outcome="rescope", back_to="plan", limit=2)
    of = playbook(
        step("first"),
        step("plan", "first"),
        step("decide", "plan", kind=StepKind.APPROVAL, outcomes=("go", "rescope"), again=(again,)),
        step("launch", Need(step="decide", outcome="go")),
    )
    decided = row(of.by_key["decide"], StepStatus.DONE, outcome="rescope")
    assert way_back(of, decided) == again
    assert begins_again(of, again) == ("plan", "decide", "launch")
    second = row(of.by_key["decide"], StepStatus.DONE, outcome="rescope", round=2)
    third = row(of.by_key["decide"], StepStatus.DONE, outcome="rescope", round=3)
    assert (way_back(of, second), way_back(of, third)) == (again, None)
    assert way_back(of, row(of.by_key["decide"], StepStatus.DONE, outcome="go")) is None


def test_a_step_that_begins_again_keeps_nothing_but_its_count() -> None:
    ended = row(step("one")).moved(StepStatus.WORKING, NOW)
    ended = ended.moved(StepStatus.DONE, NOW, outcome="go", result={"id": "x"})
    again = ended.begun_again(NOW)
    assert (again.round, again.status, again.outcome, again.result) == (
        2, StepStatus.WAITING, None, {},
    )  # fmt: skip
    assert (again.started_at, again.ended_at) == (None, None)


@pytest.mark.parametrize("status", list(StepStatus))
@pytest.mark.parametrize("wanted", list(StepStatus))
def test_a_step_moves_as_its_table_says(status: StepStatus, wanted: StepStatus) -> None:
    present = row(step("one"), status)
    if wanted in STEP_TRANSITIONS[status]:
        found = present.moved(wanted, NOW)
        assert (found.status, found.ended_at is not None) == (wanted, wanted in ENDED)
    else:
        with pytest.raises(IllegalTransition):
            present.moved(wanted, NOW)


@st.composite
def playbooks(draw: st.DrawFn) -> Playbook:
    keys = [f"s{number}" for number in range(draw(st.integers(1, 12)))]
    drawn = []
    for number, key in enumerate(keys):
        needs = draw(st.sets(st.sampled_from(keys[:number]))) if number else ()
        kind = draw(st.sampled_from([StepKind.ACTION, StepKind.TASK]))
        conditions = draw(st.sampled_from([{}, {"mode": ("A",)}, {"mode": ("B",)}]))
        drawn.append(step(key, *sorted(needs), kind=kind, conditions=conditions))
    return playbook(*draw(st.permutations(drawn)))


@given(playbooks(), st.randoms(use_true_random=False))
def test_every_journey_comes_to_its_end_whatever_ends_first(of: Playbook, random: object) -> None:
    present, began = rows(of), []
    for _ in range(3 * len(of.steps)):
        found = moves(of, present, FACTS, instant=lambda _: NOW, now=NOW)
        for each in found:
            began.append(each.key)
            present[each.key] = present[each.key].moved(each.status, NOW, reason=each.reason)
        for each in found:
            assert all(present[need.step].status in ENDED for need in of.by_key[each.key].needs)
        open_ones = sorted(
            key
            for key, one in present.items()
            if one.status in {StepStatus.WORKING, StepStatus.ASKED}
        )
        if not open_ones:
            break
        key = random.choice(open_ones)  # type: ignore[attr-defined]
        present[key] = present[key].moved(StepStatus.DONE, NOW)
    assert has_ended(present)
    assert len(began) == len(set(began)) == len(of.steps)


@given(st.dictionaries(st.sampled_from("abcdef"), st.sets(st.sampled_from("abcdef"))))
def test_a_circle_is_one_of_steps_that_need_one_another(drawn: dict[str, set[str]]) -> None:
    needs = {key: tuple(sorted(among)) for key, among in drawn.items()}
    for circle in circles(needs):
        assert circle[0] == circle[-1]
        assert all(other in needs[one] for one, other in pairwise(circle))
    left = set(needs)
    while free := {key for key in left if not set(needs[key]) & left}:
        left -= free
    assert bool(left) == (next(circles(needs), None) is not None)
