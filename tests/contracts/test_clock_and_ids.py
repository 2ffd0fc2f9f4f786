"""What every clock and every source of ids does."""

from __future__ import annotations

import base64
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from control_plane.adapters.system import RandomIds, SystemClock
from control_plane.domain.ids import PREFIXES, is_id
from control_plane.ports.rows import Clock, Ids
from tests.time_and_ids import FixedClock, SeededIds


@pytest.fixture(params=["fixed", "system"])
def clock(request: pytest.FixtureRequest) -> Clock:
    return FixedClock() if request.param == "fixed" else SystemClock()


@pytest.fixture(params=["seeded", "random"])
def ids(request: pytest.FixtureRequest) -> Ids:
    return SeededIds() if request.param == "seeded" else RandomIds()


def test_time_is_aware_utc_and_never_goes_back(clock: Clock) -> None:
    first, second = clock.now(), clock.now()
    assert first.tzinfo is UTC
    assert first <= second


def test_ids_name_their_kind(ids: Ids) -> None:
    for kind in PREFIXES:
        assert is_id(kind, ids.new(kind))
    with pytest.raises(KeyError):
        ids.new("job")


def test_ids_differ_and_sort_by_the_order_in_which_they_were_made(ids: Ids) -> None:
    made = [ids.new("run") for _ in range(5000)]
    assert len(set(made)) == 5000
    assert made == sorted(made)


def test_secrets_are_32_bytes_and_differ(ids: Ids) -> None:
    made = {ids.secret() for _ in range(100)}
    assert len(made) == 100
    assert all(len(base64.urlsafe_b64decode(secret + "=")) == 32 for secret in made)


def test_threads_never_get_the_same_id() -> None:
    ids = RandomIds()
    with ThreadPoolExecutor(8) as pool:
        parts = pool.map(lambda _: [ids.new("event") for _ in range(1000)], range(8))
    made = [one for part in parts for one in part]
    assert len(set(made)) == len(made)


def test_a_forked_process_makes_ids_of_its_own() -> None:
    ids = RandomIds()
    ids.new("run")
    time.sleep(0.002)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, ids.new("run").encode())
        os._exit(0)
    own, theirs = ids.new("run"), os.read(reading, 100).decode()
    os.waitpid(child, 0)
    assert own[14:] != theirs[14:]


def test_a_random_id_carries_the_present_time() -> None:
    before = datetime.now(UTC)
    text = RandomIds().new("run")[4:14]
    milliseconds = 0
    for character in text:
        milliseconds = milliseconds * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(character)
    told = datetime.fromtimestamp(milliseconds / 1000, UTC)
    assert before - timedelta(milliseconds=1) <= told <= datetime.now(UTC)


def test_the_same_seed_gives_the_same_ids_and_another_does_not() -> None:
    one, same, other = SeededIds(7), SeededIds(7), SeededIds(8)
    assert [one.new("run"), one.secret()] == [same.new("run"), same.secret()]
    assert other.new("run") != SeededIds(7).new("run")


def test_the_fixed_clock_stands_until_it_is_moved() -> None:
    clock = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))
    assert clock.now() == clock.now()
    assert clock.advance(hours=72, seconds=1) == datetime(2026, 1, 4, 0, 0, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="zone"):
        FixedClock(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test
