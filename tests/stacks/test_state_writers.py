"""Who may write the log of a stack: of those side by side one, and nobody who was written past."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from stacks.contract import Code
from stacks.engine.backend import Backend, Update
from stacks.engine.failures import CallFailed
from tests.stacks.state_logs import (
    SECRETS,
    Open,
    began,
    between,
    ids,
    made,
    outage,
    pending,
    records,
    refused,
    timeless,
    urn,
    written,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


# --- at the same time ------------------------------------------------------------------------
def test_of_those_who_take_a_stack_at_once_one_has_it(open_stack: Open) -> None:
    backends = [open_stack() for _ in range(4)]
    written(backends[0], "run_0.1", 1)
    for turn in range(5):
        start = threading.Barrier(len(backends))

        def take(
            backend: Backend, start: threading.Barrier = start, turn: int = turn
        ) -> Update | CallFailed:
            start.wait(30)
            try:
                return backend.take(f"run_{turn}.{id(backend)}")
            except CallFailed as failed:
                return failed

        with ThreadPoolExecutor(len(backends)) as pool:
            found = list(pool.map(take, backends))
        (update,) = (each for each in found if isinstance(each, Update))
        codes = [each.code for each in found if isinstance(each, CallFailed)]
        assert codes == [Code.LOCKED] * (len(backends) - 1)
        update.give_back()
    assert [kind for _, kind in records(backends[0])] == ["close"]


def test_who_reads_late_takes_what_others_left_meanwhile(open_stack: Open) -> None:
    """The records of an update are deleted with its end, so their numbers are free again."""
    other = open_stack()
    written(other, "run_0.1", 1)

    def come_and_go() -> None:
        written(other, "run_o.1", 2)

    late = between(open_stack(), "create", before=come_and_go)
    update = late.take("run_l.1")
    assert ids(update.state) == ["2", "1"]
    (lock,) = other.locks()
    assert lock.call_id == "run_l.1"
    update.record([began(3), made(3)])
    update.close("succeeded")
    assert ids(other.state()) == ["3", "2", "1"]
    assert [kind for _, kind in records(other)] == ["close"] * 3


def test_who_takes_late_does_not_take_from_a_holder(open_stack: Open) -> None:
    other, updates = open_stack(), list[Update]()

    def come_and_stay() -> None:
        written(other, "run_o.1", 1)
        updates.append(other.take("run_o.2"))

    late = between(open_stack(), "create", before=come_and_stay)
    assert "locked" in refused(lambda: late.take("run_l.1")).text
    (lock,) = other.locks()
    assert lock.call_id == "run_o.2"
    updates[0].record([began(2), made(2)])
    updates[0].close("succeeded")
    assert ids(other.state()) == ["2", "1"]


@pytest.mark.parametrize("operation", ["newest", "read"])
def test_a_state_that_is_read_as_its_update_ends_is_the_one_it_left(
    open_stack: Open, operation: str
) -> None:
    backend = open_stack()
    written(backend, "run_0.1", 1)
    update = backend.take("run_a.1")
    update.record([began(2), made(2)])
    update.record([began(3), made(3)])
    acts = {"newest": "after", "read": "before"}
    reader = between(
        open_stack(), operation, **{acts[operation]: lambda: update.close("succeeded")}
    )
    assert ids(reader.state()) == ["2", "3", "1"]
    assert reader.locks() == []


# --- who was written past --------------------------------------------------------------------
def test_a_broken_lock_leaves_exactly_what_was_recorded(open_stack: Open) -> None:
    backend, other = open_stack(), open_stack()
    written(backend, "run_0.1", 1)
    update = backend.take("run_a.1")
    update.record([SECRETS, began(2), began(3)])
    update.record([made(3)])
    (lock,) = other.locks()
    for wrong in ("0", "1", str(other.newest), f"0{lock.id}", "", "x"):
        assert wrong != lock.id
        assert other.break_lock(wrong, by="run_b.1") is False
    left = other.state()
    assert other.break_lock(lock.id, by="run_b.1") is True
    after = other.state()
    assert timeless(after) == timeless(left)
    assert (ids(after), pending(after)) == (["3", "1"], [urn("r2")])
    assert other.locks() == []
    record = other.read(other.newest)
    assert record is not None
    assert (record["result"], record["call"], record["by"]) == ("broken", "run_a.1", "run_b.1")
    assert other.history()[1] == "run_a.1"
    assert other.break_lock(lock.id, by="run_b.1") is False


@pytest.mark.parametrize("act", ["record", "close", "give_back"])
def test_who_was_written_past_can_write_no_more(open_stack: Open, act: str) -> None:
    backend, other = open_stack(), open_stack()
    update = backend.take("run_a.1")
    update.record([began(1)])
    assert other.break_lock(other.locks()[0].id, by="run_b.1")
    written(other, "run_b.1", 2)
    before = records(other), other.state()
    acts: dict[str, Callable[[], Any]] = {
        "record": lambda: update.record([made(1)]),
        "close": lambda: update.close("succeeded"),
        "give_back": update.give_back,
    }
    assert "taken over" in refused(acts[act]).text
    assert not update.is_open
    update.give_back()  # has nothing to give back
    refused(lambda: update.record([made(1)]))
    assert (records(other), other.state()) == before


def test_who_was_written_past_before_its_first_step_takes_nothing_away(open_stack: Open) -> None:
    backend, other = open_stack(), open_stack()
    update = backend.take("run_a.1")
    assert other.break_lock(other.locks()[0].id, by="run_b.1")
    held = other.take("run_b.2")
    update.give_back()
    held.record([began(1), made(1)])
    held.close("succeeded")
    assert ids(other.state()) == ["1"]


# --- answers that are lost -------------------------------------------------------------------
def lossy(backend: Backend, update: Update, name: str = "create") -> None:
    """Have the next operation of an update done, and its answer lost."""
    update._backend = between(backend, name, after=outage)


def test_a_record_whose_answer_was_lost_is_recognised(open_stack: Open) -> None:
    backend = open_stack()
    update = backend.take("run_a.1")
    update.record([began(1)])
    lossy(backend, update)
    with pytest.raises(CallFailed, match="lost"):
        update.record([made(1), began(2)])
    assert update.is_open
    update.record([made(2)])
    update.record([began(3)])
    update.close("succeeded")
    assert (ids(backend.state()), pending(backend.state())) == (["1", "2"], [urn("r3")])
    assert records(backend) == [(6, "close")]


def test_what_could_not_be_written_is_written_with_the_next(backend: Backend) -> None:
    update = backend.take("run_a.1")
    update._backend = between(backend, "create", before=outage)
    with pytest.raises(CallFailed, match="lost"):
        update.record([began(1)])
    assert backend.state() is None
    update.record([made(1)])
    assert records(backend) == [(1, "open"), (2, "entries")]
    assert ids(backend.state()) == ["1"]


@pytest.mark.parametrize("then", ["close", "give_back"])
def test_an_end_whose_answer_was_lost_is_recognised(open_stack: Open, then: str) -> None:
    backend = open_stack()
    update = backend.take("run_a.1")
    update.record([began(1), made(1)])
    lossy(backend, update)
    with pytest.raises(CallFailed, match="lost"):
        update.close("succeeded")
    update.give_back() if then == "give_back" else update.close("failed")
    assert not update.is_open
    record = backend.read(backend.newest)
    assert record is not None
    assert record["result"] == "succeeded"
    assert records(backend) == [(3, "close")]


def test_an_end_is_one_also_when_what_it_makes_needless_cannot_be_deleted(
    backend: Backend,
) -> None:
    update = backend.take("run_a.1")
    update.record([began(1), made(1)])
    update._backend = between(backend, "delete", before=outage)
    update.close("succeeded")
    assert (ids(backend.state()), backend.locks()) == (["1"], [])
    written(backend, "run_b.1", 2)
    assert ids(backend.state()) == ["2", "1"]


def test_a_stack_that_was_taken_without_an_answer_is_held_by_the_call(open_stack: Open) -> None:
    backend = open_stack()
    written(backend, "run_0.1", 1)
    with pytest.raises(CallFailed, match="lost"):
        between(backend, "create", after=outage).take("run_a.1")
    (lock,) = backend.locks()
    assert lock.call_id == "run_a.1"
    refused(lambda: backend.take("run_b.1"))
    assert backend.break_lock(lock.id, by="run_b.1")
    assert ids(backend.state()) == ["1"]


def test_giving_back_again_takes_nothing_from_the_next_holder(open_stack: Open) -> None:
    """The number is free again with the first try, though its answer was lost."""
    backend = open_stack()
    update = backend.take("run_a.1")
    lossy(backend, update, "delete")
    with pytest.raises(CallFailed, match="lost"):
        update.give_back()
    held = open_stack().take("run_b.1")
    update.give_back()
    assert [lock.call_id for lock in backend.locks()] == ["run_b.1"]
    held.give_back()
