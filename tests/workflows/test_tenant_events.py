"""What happens to a tenant can be watched, and subscribed to as far as it is of use to others."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from control_plane.domain.errors import NotFound
from control_plane.domain.public_events import PUBLIC_TYPES, WATCHED_TYPES
from control_plane.domain.system_errors import SystemRefused
from control_plane.ports.events import TenantEvent
from control_plane.ports.systems import Systems
from control_plane.services import journeys, tasks, watching
from control_plane.services.performing import perform
from control_plane.workflows.action_handlers import HANDLERS
from control_plane.workflows.core import WORKER
from control_plane.workflows.publishing import publish_sealing_key
from tests.journeys import (
    Scripted,
    go_on,
    journey_of,
    sample,
    tasks_of,
    with_actions,
    with_playbooks,
)
from tests.receivers import receiving
from tests.scripted_mailer import ScriptedMailer
from tests.storage import Storage
from tests.workflows.test_publishing import hold, sent, subscribe
from tests.world import ADMIN, OPS, World, person

STEPS = (
    "- {key: record, kind: action, title: A record, owner: sales, action: crm.upsert_company}\n"
    "- {key: mail, kind: action, title: A mail, owner: csm, action: message.send,"
    " with: {event: tenant.ready, persona: it_admin}}\n"
    "- {key: talk, kind: task, title: Talk, owner: ops}\n"
)
CRM = "crm.upsert_company"


def begun(world: World, *answers: Any) -> str:
    """Let a contract be signed; the record of the customer is made as the answers say."""
    scripted = Scripted(answers={CRM: list(answers)} if answers else {})
    world.core = replace(world.core, systems=Systems(mailer=ScriptedMailer()))
    with_actions(with_playbooks(world, sample(STEPS)), {**HANDLERS, CRM: scripted.outside(CRM)})
    world.ready_hub()
    return world.submit("A").tenant.id


def watched(world: World, tenant_id: str, after: int = 0) -> list[TenantEvent]:
    return list(perform(world.core, OPS, watching.events_after, tenant_id, after))


def test_runs_steps_tasks_and_messages_are_in_one_stream_in_order(world: World) -> None:
    tenant_id = begun(world)
    go_on(world)
    (task,) = tasks_of(world, title="Talk")
    perform(world.core, OPS, tasks.finish_task, task.id, answer="Joe Secret was there")
    go_on(world)
    told = watched(world, tenant_id)
    names = [each.name for each in told]
    wanted = [
        "tenant.accepted", "run.requested", "journey.started", "message.queued",
        "journey.step_waiting", "task.opened", "message.sent", "run.applied", "tenant.ready",
        "task.ended", "journey.ended",
    ]  # fmt: skip
    assert set(wanted) <= set(names)
    assert names[:3] == wanted[:3]
    assert [each.seq for each in told] == list(range(1, len(told) + 1))
    assert watched(world, tenant_id, after=4) == told[4:]
    moved = [each.data for each in told if each.name == "journey.step_moved"]
    assert {(data["step"], data["status"]) for data in moved} >= {
        ("record", "working"), ("record", "done"), ("mail", "done"), ("talk", "done"),
    }  # fmt: skip
    assert "Secret" not in str(told)
    known = {**PUBLIC_TYPES, **WATCHED_TYPES}
    for each in told:
        assert set(known[each.name].always) <= each.data.keys() <= known[each.name].fields.keys()
    assert {each.event_id for each in told} <= {each.body["id"] for each in world.events()}


def test_a_step_that_failed_says_its_code(world: World) -> None:
    tenant_id = begun(world, SystemRefused("no such field", system="crm"))
    go_on(world)
    (failed,) = (
        each for each in watched(world, tenant_id) if each.name == "journey.step_failed"
    )  # fmt: skip
    assert (failed.data["step"], failed.data["code"]) == ("record", "system_refused")
    perform(world.core, ADMIN, journeys.cancel_journey, journey_of(world).id, reason="Joe says so")
    go_on(world)
    names = [each.name for each in watched(world, tenant_id)]
    assert names[-1] == "journey.ended"
    assert "journey.canceled" in names


def test_subscribers_get_what_others_can_use_and_not_each_move(world: World) -> None:
    perform(world.core, WORKER, publish_sealing_key)
    with receiving() as receiver:
        found = subscribe(world, receiver, "journey.*", "task.*", "message.*")
        tenant_id = begun(world)
        go_on(world)
        got = sent(world, found)
    told = {each.seq: each.name for each in watched(world, tenant_id)}
    assert {each.name for each in got} == {
        "journey.started", "journey.step_waiting", "task.opened", "message.sent",
    }  # fmt: skip
    assert {each.sequence: each.name for each in got}.items() <= told.items()
    assert not WATCHED_TYPES.keys() & PUBLIC_TYPES.keys()


def test_of_another_tenant_nothing_is_seen(world: World) -> None:
    first, second = world.submit("A", 1).tenant.id, world.submit("A", 2).tenant.id
    assert {each.tenant_id for each in watched(world, second)} == {second}
    stranger = person("olaf", *OPS.actor.roles, tenants=(first,))
    with pytest.raises(NotFound):
        perform(world.core, stranger, watching.events_after, second, 0)


def test_what_is_rolled_back_is_not_told(world: World) -> None:
    tenant_id = world.submit("A").tenant.id
    before = watched(world, tenant_id)
    with world.core.act(ADMIN) as act:
        journeys.list_journeys(act, limit=1, before=None)
    hold(world, tenant_id)
    (new,) = watched(world, tenant_id, after=before[-1].seq)
    assert new.name == "tenant.held"


def test_numbers_of_a_tenant_are_those_of_commits_side_by_side(world: World) -> None:
    """Who has read up to a number misses nothing that is committed later."""
    tenant_id = world.submit("A").tenant.id
    seen: list[int] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            new = watched(world, tenant_id, after=seen[-1] if seen else 0)
            seen.extend(each.seq for each in new)

    reader = threading.Thread(target=read)
    reader.start()
    writers = [threading.Thread(target=hold, args=(world, tenant_id)) for _ in range(6)]
    for each in writers:
        each.start()
    for each in writers:
        each.join(60)
    stop.set()
    reader.join(60)
    seen.extend(each.seq for each in watched(world, tenant_id, after=seen[-1]))
    assert seen == [each.seq for each in watched(world, tenant_id)]
    assert len(seen) == seen[-1]


def test_whoever_listens_is_told_of_the_tenant(world: World, storage: Storage) -> None:
    with psycopg.connect(storage.database.app, autocommit=True) as connection:
        connection.execute("LISTEN run_events")
        tenant_id = world.submit("A").tenant.id
        heard = {each.payload for each in connection.notifies(timeout=5, stop_after=1)}
    assert tenant_id in heard


@pytest.mark.parametrize("change", ["data = '{}'", "seq = 99", "tenant_id = 'ten_other'"])
def test_what_was_told_is_not_changed(world: World, storage: Storage, change: str) -> None:
    world.submit("A")
    with (
        psycopg.connect(storage.database.app, autocommit=True) as connection,
        pytest.raises(psycopg.Error),
    ):
        connection.execute(f"UPDATE tenant_event SET {change}")  # noqa: S608 - our own words
