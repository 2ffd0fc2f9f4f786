"""Public events: in the transaction of their cause, in order, signed, at least once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jsonschema
import pytest
from sqlalchemy import text

from control_plane.domain.errors import IllegalTransition, InvalidInput, NotAllowed, Unavailable
from control_plane.domain.event_errors import UrlRefused
from control_plane.domain.hold import HoldKind
from control_plane.domain.public_events import PUBLIC_TYPES
from control_plane.domain.signatures import standard_webhooks_key, standard_webhooks_secret
from control_plane.domain.subscription import PAUSES, SendStatus, SubscriptionStatus
from control_plane.services import holds, subscriptions
from control_plane.services.performing import perform
from control_plane.services.subscriptions import Subscribed
from control_plane.workflows.core import WORKER
from control_plane.workflows.courier import Courier
from control_plane.workflows.publishing import claim_turns, publish_sealing_key, take_turn
from control_plane.workflows.timers import fire_due
from tests.receivers import Receiver, Reply, receiving
from tests.statements import counted_statements
from tests.workflows.removed import remove_all
from tests.world import ADMIN, AUDITOR, OPS, World

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def site(world: World) -> World:
    perform(world.core, WORKER, publish_sealing_key)
    return world


def subscribe(world: World, receiver: Receiver, *types: str, **given: Any) -> Subscribed:
    return perform(
        world.core, ADMIN, subscriptions.create_subscription,
        url=receiver.url, types=types or ["*"], **given,
    )  # fmt: skip


def deliver(world: World) -> None:
    """Take every turn that is due now, as the courier of a worker does."""
    for _ in range(50):
        claimed = claim_turns(world.core, limit=10)
        if not claimed:
            return
        for each in claimed:
            take_turn(world.core, each)
    raise AssertionError("there is no end of it")


def later(world: World, pause: timedelta) -> None:
    world.clock.advance(seconds=pause.total_seconds())
    deliver(world)


def sent(world: World, found: Subscribed) -> list[Any]:
    return list(reversed(perform(
        world.core, ADMIN, subscriptions.list_sent, found.subscription.id, limit=200, before=None
    )))  # fmt: skip


def shown(world: World, found: Subscribed) -> Subscribed:
    return perform(world.core, ADMIN, subscriptions.get_subscription, found.subscription.id)


def hold(world: World, tenant_id: str) -> str:
    found = perform(
        world.core, OPS, holds.place_on_tenant, tenant_id, kind=HoldKind.SAFETY, reason="Joe asked"
    )
    return found.id


# --- what is published -------------------------------------------------------------------------
@pytest.mark.requirement("F-094")
def test_a_whole_life_is_told_in_order_by_its_schemas_and_names_nobody(
    site: World, receiver: Receiver
) -> None:
    subscribe(site, receiver)
    site.ready_hub()
    tenant_id = site.submit("A").tenant.id
    site.work()
    hold_id = hold(site, tenant_id)
    perform(site.core, OPS, holds.release_hold, hold_id, reason="Joe said so")
    remove_all(site, tenant_id)
    deliver(site)
    of_tenant = [got.event for got in receiver.got if got.event.get("subject") == tenant_id]
    told = [event["type"].removeprefix("tenantplane.") for event in of_tenant]
    assert told[:2] == ["tenant.accepted", "run.requested"]
    # its protection is taken off by a run of its own before it is removed
    assert [each for each in told if each.startswith("tenant.")] == [
        "tenant.accepted", "tenant.ready", "tenant.held", "tenant.released", "tenant.ready",
        "tenant.removed",
    ]  # fmt: skip
    numbers = [event["sequence"] for event in of_tenant]
    assert numbers == sorted(set(numbers))
    recorded = {event.body["id"] for event in site.events()}
    for got in receiver.got:
        event = got.event
        kind = PUBLIC_TYPES[event["type"].removeprefix("tenantplane.")]
        jsonschema.validate(event["data"], kind.schema())
        assert event["data"].keys() <= kind.fields.keys()
        assert (event["specversion"], event["dataschema"]) == ("1.0", kind.schema_id)
        assert event["id"] in recorded
        assert got.headers["content-type"].startswith("application/cloudevents+json")
        assert not re.search(rb"Joe|Ida|example\.com|@|olga|ada", got.body)


def test_what_is_rolled_back_is_not_told_and_what_is_committed_is(
    site: World, receiver: Receiver
) -> None:
    found = subscribe(site, receiver, "tenant.*")
    tenant_id = site.submit("A").tenant.id
    with site.core.act(ADMIN) as act:
        holds.place_on_tenant(act, tenant_id, kind=HoldKind.SAFETY, reason="x")
    assert [each.name for each in sent(site, found)] == ["tenant.accepted"]


def test_publishing_is_one_statement_of_a_commit_and_none_where_nothing_is_public(
    site: World, receiver: Receiver
) -> None:
    tenant_id = site.submit("A").tenant.id
    for _ in range(2):  # without a subscription, and with two
        with counted_statements() as asked:
            hold_id = hold(site, tenant_id)
        perform(site.core, OPS, holds.release_hold, hold_id, reason="x")
        assert [each for each in asked if "outgoing_event" in each] == [
            each for each in asked if "INSERT INTO outgoing_event" in each
        ]
        assert sum("INSERT INTO outgoing_event" in each for each in asked) == 1
        subscribe(site, receiver, "tenant.*")
        subscribe(site, receiver, "tenant.held", tenant_id=tenant_id)
    with counted_statements() as asked:
        perform(site.core, OPS, subscriptions.list_subscriptions, limit=5, before=None)
    assert not any("outgoing_event" in each for each in asked)


def test_a_subscription_gets_its_types_and_its_tenant_alone(
    site: World, receiver: Receiver
) -> None:
    mine, other = site.submit("A", 1).tenant.id, site.submit("A", 2).tenant.id
    found = subscribe(site, receiver, "tenant.held", tenant_id=mine)
    hold(site, other)
    perform(site.core, OPS, holds.release_hold, hold(site, mine), reason="x")
    told = [(each.name, each.tenant_id) for each in sent(site, found)]
    assert told == [("tenant.held", mine)]


# --- signatures and secrets --------------------------------------------------------------------
@pytest.mark.requirement("F-094")
def test_each_message_is_signed_and_after_a_rotation_with_both_secrets_for_a_day(
    site: World, receiver: Receiver
) -> None:
    first = subscribe(site, receiver, "tenant.*")
    second = perform(site.core, ADMIN, subscriptions.rotate_secret, first.subscription.id)
    site.submit("A", 1)
    deliver(site)
    site.clock.advance(hours=25)
    site.submit("A", 2)
    deliver(site)
    both, alone = receiver.got
    old, new = (standard_webhooks_secret(each.secret or "") for each in (first, second))
    # by the rules of the standard alone
    content = f"{both.headers['webhook-id']}.{both.headers['webhook-timestamp']}.".encode()
    expected = [
        base64.b64encode(hmac.new(key, content + both.body, hashlib.sha256).digest()).decode()
        for key in (new, old)
    ]
    assert both.headers["webhook-signature"] == " ".join(f"v1,{each}" for each in expected)
    assert both.headers["webhook-id"] == both.event["id"]
    # by the code that checks the messages of providers
    keys = {"old": old, "new": new}
    assert standard_webhooks_key(alone.headers, alone.body, keys, site.clock.now()) == "new"
    only_old = {"old": old}
    assert standard_webhooks_key(alone.headers, alone.body, only_old, site.clock.now()) is None


def test_nothing_in_the_database_says_a_secret(site: World, receiver: Receiver) -> None:
    found = subscribe(site, receiver)
    rotated = perform(site.core, ADMIN, subscriptions.rotate_secret, found.subscription.id)
    site.submit("A")
    deliver(site)
    with site.storage._admin.connect() as connection:
        tables = connection.execute(text(
            "SELECT schemaname || '.' || tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )).scalars()  # fmt: skip
        dump = "\n".join(
            str(row)
            for table in tables.all()
            for row in connection.execute(text(f"SELECT t::text FROM {table} t")).scalars()  # noqa: S608 - names of tables
        )
    assert found.subscription.id in dump
    for secret in (found.secret or "", rotated.secret or ""):
        key = standard_webhooks_secret(secret)
        spelled = (secret, secret.removeprefix("whsec_"), key.hex(),
                   base64.urlsafe_b64encode(key).decode().rstrip("="))  # fmt: skip
        assert not [each for each in spelled if each in dump]


def test_a_secret_is_sealed_for_workers_and_for_its_subscription(site: World) -> None:
    sealing = site.core.sealing
    key_id, public = sealing.public()
    with site.core.uow() as uow:
        assert uow.publications.sealing_key() == (key_id, public)
    sealed = sealing.seal(public, b"key", context="event-subscription/a")
    assert sealing.open(sealed, context="event-subscription/a") == b"key"
    with pytest.raises(Unavailable):
        sealing.open(sealed, context="event-subscription/b")


def test_without_a_worker_nobody_subscribes(world: World, receiver: Receiver) -> None:
    with pytest.raises(Unavailable):
        subscribe(world, receiver)
    assert world.actions()[-1:] == ["subscription.refused:denied"]


# --- delivery ----------------------------------------------------------------------------------
def test_a_failure_holds_the_events_of_its_tenant_and_no_others(
    site: World, receiver: Receiver
) -> None:
    found = subscribe(site, receiver, "tenant.*")
    bad, good = site.submit("A", 1).tenant.id, site.submit("A", 2).tenant.id
    receiver.answer = lambda got: Reply(500 if got.event["subject"] == bad else 200)
    hold(site, bad)
    hold(site, good)
    deliver(site)
    assert [(got.event["subject"], name) for got, name in zip(
        receiver.got, receiver.types, strict=True
    )] == [(bad, "tenant.accepted"), (good, "tenant.accepted"), (good, "tenant.held")]  # fmt: skip
    receiver.answer = lambda _: Reply()
    later(site, PAUSES[0])
    assert receiver.types[3:] == ["tenant.accepted", "tenant.held"]
    first, again = receiver.got[0], receiver.got[3]
    assert (first.event, first.headers["webhook-id"]) == (again.event, again.headers["webhook-id"])
    assert first.headers["webhook-timestamp"] != again.headers["webhook-timestamp"]
    assert {each.status for each in sent(site, found)} == {SendStatus.SENT}


@pytest.mark.requirement("F-094")
def test_attempts_go_on_for_three_days_and_a_failed_event_can_be_replayed(
    site: World, receiver: Receiver
) -> None:
    found = subscribe(site, receiver, "tenant.*")
    site.submit("A")
    receiver.answer = lambda _: Reply(500, body=b"x" * 5000)
    begin = site.clock.now()
    deliver(site)
    for pause in PAUSES:
        later(site, pause - timedelta(seconds=1))
        later(site, timedelta(seconds=1))
    assert len(receiver.got) == len(PAUSES) + 1
    assert site.clock.now() - begin > timedelta(days=3)
    (failed,) = sent(site, found)
    assert (failed.status, failed.answer_code, failed.failure) == ("failed", 500, "refused")
    assert failed.answer == b"x" * 1024
    later(site, timedelta(days=1))
    assert len(receiver.got) == len(PAUSES) + 1
    receiver.answer = lambda _: Reply()
    perform(site.core, OPS, subscriptions.replay_event, found.subscription.id, str(failed.id))
    deliver(site)
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert [each.status for each in sent(site, found)] == ["sent"]


def test_everything_since_a_time_goes_out_again_in_order(site: World, receiver: Receiver) -> None:
    found = subscribe(site, receiver, "tenant.*")
    tenant_id = site.submit("A").tenant.id
    deliver(site)
    since = site.clock.advance(minutes=1)
    perform(site.core, OPS, holds.release_hold, hold(site, tenant_id), reason="x")
    deliver(site)
    before = [got.event["id"] for got in receiver.got]
    count = perform(site.core, OPS, subscriptions.replay_since, found.subscription.id, since=since)
    deliver(site)
    assert count == 2
    assert [got.event["id"] for got in receiver.got] == before + before[1:]


def test_a_receiver_that_is_gone_is_disabled_at_once_and_resumed_with_all_that_waited(
    site: World, receiver: Receiver
) -> None:
    found = subscribe(site, receiver, "tenant.*")
    tenant_id = site.submit("A").tenant.id
    receiver.answer = lambda _: Reply(410)
    deliver(site)
    disabled = shown(site, found).subscription
    assert (disabled.status, disabled.code) == (SubscriptionStatus.DISABLED, "gone")
    assert site.actions()[-1] == "subscription.disabled:completed"
    hold(site, tenant_id)
    later(site, timedelta(days=1))
    assert len(receiver.got) == 1
    with pytest.raises(IllegalTransition):
        perform(site.core, OPS, subscriptions.ping_subscription, found.subscription.id)
    receiver.answer = lambda _: Reply()
    perform(site.core, ADMIN, subscriptions.resume_subscription, found.subscription.id)
    deliver(site)
    assert receiver.types[1:] == ["tenant.accepted", "tenant.held"]


def test_a_receiver_that_fails_for_five_days_is_disabled(site: World, receiver: Receiver) -> None:
    found = subscribe(site, receiver, "tenant.*")
    receiver.answer = lambda _: Reply(500)
    tenant_id = site.submit("A").tenant.id
    deliver(site)
    for day in range(6):
        hold(site, tenant_id)
        assert shown(site, found).subscription.status is SubscriptionStatus.ACTIVE, day
        later(site, timedelta(days=1))
        if shown(site, found).subscription.code == "failing":
            break
    assert day == 4
    assert site.actions()[-1] == "subscription.disabled:completed"


@pytest.mark.parametrize(("status", "asked"), [(429, "600"), (503, "600")])
def test_a_receiver_that_asks_for_time_gets_it_for_everything(
    site: World, receiver: Receiver, status: int, asked: str
) -> None:
    subscribe(site, receiver, "tenant.*")
    site.submit("A", 1)
    site.submit("A", 2)
    receiver.answer = lambda _: Reply(status, {"Retry-After": asked})
    deliver(site)
    later(site, timedelta(seconds=599))
    assert len(receiver.got) == 1
    receiver.answer = lambda _: Reply()
    later(site, timedelta(seconds=1))
    assert len(receiver.got) == 3


def test_a_redirect_is_not_followed(site: World, receiver: Receiver) -> None:
    with receiving() as elsewhere:
        found = subscribe(site, receiver, "tenant.*")
        receiver.answer = lambda _: Reply(307, {"Location": elsewhere.url})
        site.submit("A")
        deliver(site)
        (waits,) = sent(site, found)
        assert (waits.failure, waits.answer_code) == ("redirect_refused", 307)
        assert elsewhere.got == []


def test_a_worker_that_dies_between_sending_and_recording_is_followed_by_another(
    site: World, receiver: Receiver
) -> None:
    found = subscribe(site, receiver, "tenant.*")
    site.submit("A")
    post = site.core.events.post

    class Dies(BaseException):
        pass

    def die(*given: Any) -> Any:
        post(*given)
        raise Dies

    (claimed,) = claim_turns(site.core, limit=10)
    site.receivers.post = die  # type: ignore[method-assign]  # the process ends in it
    with pytest.raises(Dies):
        take_turn(site.core, claimed)
    site.receivers.post = post  # type: ignore[method-assign]  # that of the next process
    deliver(site)
    first, second = receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert [(each.status, each.attempts) for each in sent(site, found)] == [("sent", 1)]


def test_two_workers_never_send_to_one_receiver_at_a_time(site: World, receiver: Receiver) -> None:
    subscribe(site, receiver, "tenant.*")
    site.submit("A")
    assert len(claim_turns(site.core, limit=10)) == 1
    assert claim_turns(site.core, limit=10) == []
    site.clock.advance(seconds=61)
    assert len(claim_turns(site.core, limit=10)) == 1


def test_a_slow_receiver_holds_no_other_up(site: World, receiver: Receiver) -> None:
    with receiving() as slow:
        answered = threading.Event()

        def wait(_: object) -> Reply:
            answered.wait(8)
            return Reply()

        slow.answer = wait
        subscribe(site, slow, "tenant.*")
        subscribe(site, receiver, "tenant.*")
        site.submit("A")
        arrived = threading.Event()

        def note(_: object) -> Reply:
            arrived.set()
            return Reply()

        receiver.answer = note
        courier = Courier(site.core)
        assert courier() == 2
        assert arrived.wait(6)  # while the other one has no answer yet
        assert courier() == 0
        answered.set()
        courier.wait()
        assert len(slow.got) == len(receiver.got) == 1


def test_a_test_goes_before_everything_that_waits(site: World, receiver: Receiver) -> None:
    found = subscribe(site, receiver, "tenant.*")
    receiver.answer = lambda _: Reply(503)
    site.submit("A")
    deliver(site)
    receiver.answer = lambda _: Reply()
    perform(site.core, OPS, subscriptions.ping_subscription, found.subscription.id)
    deliver(site)
    assert receiver.types == ["tenant.accepted", "subscription.ping"]


# --- subscribing -------------------------------------------------------------------------------
def test_a_pause_keeps_what_is_published(site: World, receiver: Receiver) -> None:
    found = subscribe(site, receiver, "tenant.*")
    change = subscriptions.change_subscription
    perform(site.core, ADMIN, change, found.subscription.id, is_paused=True)
    site.submit("A")
    deliver(site)
    assert receiver.got == []
    perform(site.core, ADMIN, change, found.subscription.id, is_paused=False)
    deliver(site)
    assert receiver.types == ["tenant.accepted"]


def test_what_is_removed_gets_nothing_and_leaves_nothing(site: World, receiver: Receiver) -> None:
    found = subscribe(site, receiver)
    site.submit("A")
    perform(site.core, ADMIN, subscriptions.remove_subscription, found.subscription.id)
    site.submit("A", 2)
    deliver(site)
    assert receiver.got == []
    with site.core.uow() as uow:
        assert uow.publications.page(found.subscription.id, limit=5, before=None) == []


@pytest.mark.parametrize("types", [[], ["tenant"], ["tenant.gone"], ["*.ready"], ["Tenant.ready"]])
def test_types_that_no_event_has_are_refused(
    site: World, receiver: Receiver, types: list[str]
) -> None:
    with pytest.raises(InvalidInput):
        perform(site.core, ADMIN, subscriptions.create_subscription, url=receiver.url, types=types)


def test_only_an_administrator_subscribes_and_no_private_address(site: World) -> None:
    for who in (OPS, AUDITOR):
        with pytest.raises(NotAllowed):
            perform(
                site.core, who, subscriptions.create_subscription,
                url="https://127.0.0.1/", types=["*"],
            )  # fmt: skip
    with pytest.raises(UrlRefused):
        perform(
            site.core, ADMIN, subscriptions.create_subscription,
            url="https://169.254.169.254/latest/meta-data", types=["*"],
        )  # fmt: skip
    assert site.actions()[-1] == "subscription.refused:denied"


def test_events_are_forgotten_after_thirty_days(site: World, receiver: Receiver) -> None:
    found = subscribe(site, receiver, "tenant.*")
    site.submit("A")
    site.clock.advance(days=31)
    with site.core.act() as act:
        act.uow.timers.set("retention", "events", site.clock.now())  # type: ignore[arg-type]  # as the migration does
        act.uow.commit()
    fire_due(site.core)
    assert sent(site, found) == []
