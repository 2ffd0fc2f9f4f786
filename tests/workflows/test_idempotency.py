"""One effect per principal, route and key, however often and however many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from control_plane.domain.errors import (
    IdempotencyKeyInFlight,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    InvalidInput,
    NotAllowed,
)
from control_plane.ports.rows import IdempotencyRecord
from control_plane.services.idempotency import LIFE, STALE, Answer, key_digest, once
from control_plane.workflows.core import Act, Caller
from control_plane.workflows.recording import refused_as
from tests.entities import Entities
from tests.world import ADMIN, AUTOMATION, World

ROUTE = "POST /v1/things"
BODY = {"name": "one"}
SECONDS = 20.0  # what a thread of a test may take


class Effect:
    """Counts what was done; a test may hold it back or let it fail."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.done = 0
        self.fault: Exception | None = None
        self.lost: Exception | None = None
        self.started = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self._mutex = threading.Lock()

    def __call__(self, _: Act) -> Answer:
        with self._mutex:
            self.done += 1
            number = self.done
        self.started.set()
        assert self.go_on.wait(SECONDS)
        if self.fault is not None:
            raise self.fault
        return Answer(status=201, body={"id": f"thing-{number}"}, headers={"Location": "/x"})

    def ask(
        self,
        *,
        key: str = "key",
        body: Mapping[str, Any] | None = None,
        route: str = ROUTE,
        who: Caller = AUTOMATION,
        act: Callable[[Act], Answer] | None = None,
    ) -> Answer:
        caller = replace(who, idempotency_key_sha256=key_digest(key))
        return once(
            self.world.core, caller, route=route, body=BODY if body is None else body,
            act=act or self, may=self.may,
        )  # fmt: skip

    def may(self, _: Act) -> None:
        """Refuse who has lost the right to it."""
        if self.lost is not None:
            raise self.lost


@pytest.fixture
def effect(world: World) -> Effect:
    return Effect(world)


def test_a_repetition_takes_the_right_that_the_act_takes(effect: Effect) -> None:
    first = effect.ask()
    effect.lost = NotAllowed("this takes one of the roles")
    with pytest.raises(NotAllowed):
        effect.ask()
    effect.lost = None
    assert effect.ask() == replace(first, replayed=True)


def test_a_repetition_is_answered_with_the_first_answer(effect: Effect) -> None:
    first, again = effect.ask(), effect.ask()
    assert not first.replayed
    assert again == replace(first, replayed=True)
    assert effect.done == 1


def test_a_key_with_another_body_is_refused(effect: Effect) -> None:
    effect.ask()
    with pytest.raises(IdempotencyKeyReused):
        effect.ask(body={"name": "two"})
    assert effect.done == 1


@pytest.mark.parametrize("other", [{"key": "other"}, {"route": "POST /v1/others"}, {"who": ADMIN}])
def test_key_route_and_principal_together_make_one_request(
    effect: Effect, other: dict[str, Any]
) -> None:
    assert effect.ask().body != effect.ask(**other).body
    assert effect.done == 2


@pytest.mark.parametrize("key", [None, "", "x" * 256, "a\nb"])
def test_what_is_no_key_is_refused(key: str | None) -> None:
    with pytest.raises(IdempotencyKeyMissing):
        key_digest(key)


def test_who_comes_while_the_first_is_in_flight_gets_its_answer(effect: Effect) -> None:
    effect.go_on.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(effect.ask)
        assert effect.started.wait(SECONDS)
        second = pool.submit(effect.ask)
        with pytest.raises(IdempotencyKeyReused):  # another body need not wait to be refused
            effect.ask(body={"name": "two"})
        effect.go_on.set()
        assert second.result(SECONDS) == replace(first.result(SECONDS), replayed=True)
    assert effect.done == 1


def test_a_refusal_is_not_kept(effect: Effect) -> None:
    effect.fault = InvalidInput("not like this", field="name")
    with pytest.raises(InvalidInput):
        effect.ask()
    effect.fault = None
    answer = effect.ask(body={"name": "corrected"})
    assert (answer.replayed, effect.done) == (False, 2)
    assert effect.ask(body={"name": "corrected"}).replayed


def test_who_waits_for_what_is_refused_is_told_to_repeat(effect: Effect) -> None:
    effect.fault = InvalidInput("not like this", field="name")
    effect.go_on.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(effect.ask)
        assert effect.started.wait(SECONDS)
        second = pool.submit(effect.ask)
        effect.go_on.set()
        assert isinstance(first.exception(SECONDS), InvalidInput)
        # it came while the first one was there, or after it and was the next to be refused
        assert isinstance(second.exception(SECONDS), (IdempotencyKeyInFlight, InvalidInput))


def test_a_holder_that_died_is_taken_over_once_it_is_stale(effect: Effect) -> None:
    def dies(_: Act) -> Answer:
        # what a process leaves that is killed here: a key that is held, and no answer
        kept.extend(effect.world.rows("idempotency_record").values())
        raise InvalidInput

    kept: list[IdempotencyRecord] = []
    with pytest.raises(InvalidInput):
        effect.ask(act=dies)
    with effect.world.core.uow() as uow:
        uow.idempotency.save(kept[0])
        uow.commit()
    effect.world.clock.advance(seconds=STALE.total_seconds())
    with pytest.raises(IdempotencyKeyInFlight):
        effect.ask()
    effect.world.clock.advance(seconds=1)
    assert not effect.ask().replayed
    assert effect.ask().replayed
    assert effect.done == 1


def make_tenant(act: Act) -> Answer:
    """Change something."""
    name = act.new_id("tenant")[-12:].lower()  # two may be under way at the same time
    tenant = Entities(ids=act.core.ids).tenant(slug=name)
    act.uow.tenants.add(tenant)
    return Answer(status=201, body={"id": tenant.id}, headers={})


def test_effect_and_answer_become_durable_together(effect: Effect) -> None:
    def dies(act: Act) -> Answer:
        make_tenant(act)
        assert effect.world.rows("tenant") == {}
        raise SystemExit

    with pytest.raises(SystemExit):
        effect.ask(act=dies)
    assert effect.world.rows("tenant") == {}
    first = effect.ask(act=make_tenant)
    assert list(effect.world.rows("tenant")) == [first.body["id"]]
    assert effect.ask(act=make_tenant) == replace(first, replayed=True)
    assert len(effect.world.rows("tenant")) == 1


def test_a_refusal_leaves_its_trace_and_nothing_else(effect: Effect) -> None:
    def refused(act: Act) -> Answer:
        make_tenant(act)
        with refused_as(act, "request.refused", tree=None):
            raise InvalidInput("not like this", field="name")

    with pytest.raises(InvalidInput):
        effect.ask(act=refused)
    assert effect.world.rows("tenant") == {}
    assert [event.action for event in effect.world.events()] == ["request.refused"]


def test_a_holder_that_is_too_slow_does_nothing(effect: Effect) -> None:
    def slow(act: Act) -> Answer:
        answer = make_tenant(act)
        effect.world.clock.advance(seconds=STALE.total_seconds() + 1)
        answers.append(effect.ask(act=make_tenant))
        return answer

    answers: list[Answer] = []
    with pytest.raises(IdempotencyKeyInFlight):
        effect.ask(act=slow)
    assert list(effect.world.rows("tenant")) == [answers[0].body["id"]]
    assert effect.ask(act=slow) == replace(answers[0], replayed=True)


def test_what_others_changed_meanwhile_is_done_again(effect: Effect) -> None:
    """As a database that finds at the commit that a row refers to one which is gone."""

    def interfered(act: Act) -> Answer:
        make = Entities(ids=act.core.ids)
        known = act.uow.accounts.find(account_id="000000000009")
        if known:
            return Answer(status=200, body={"id": known[0].id}, headers={})
        act.uow.accounts.add(make.account(account_id="000000000008", claimed_by="dep_gone"))
        with effect.world.core.uow() as other:
            other.accounts.add(make.account(account_id="000000000009"))
            other.commit()
        return Answer(status=201, body={}, headers={})

    answer = effect.ask(act=interfered)
    (theirs,) = [a for a in effect.world.rows("account").values() if a.account_id[-1] == "9"]
    assert (answer.status, answer.body["id"]) == (200, theirs.id)
    assert "000000000008" not in {a.account_id for a in effect.world.rows("account").values()}


def test_an_answer_is_kept_for_its_life(effect: Effect) -> None:
    effect.ask()
    effect.world.clock.advance(seconds=LIFE.total_seconds() - 1)
    assert effect.ask().replayed
    effect.world.clock.advance(seconds=1)
    assert not effect.ask().replayed
    assert effect.done == 2


def test_twenty_at_once_have_one_effect(effect: Effect) -> None:
    effect.go_on.clear()
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(effect.ask) for _ in range(20)]
        assert effect.started.wait(SECONDS)
        effect.go_on.set()
        answers = [one.result(SECONDS) for one in asked]
    assert effect.done == 1
    assert len({str(answer.body) for answer in answers}) == 1
    assert [answer.replayed for answer in answers].count(False) == 1
