"""``tenantctl subscription``, over the API in memory and a receiver on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from control_plane.cli.errors import HIDDEN, REFUSED, UNAVAILABLE, USAGE
from control_plane.domain.actor import Role
from control_plane.services.performing import perform
from control_plane.workflows.core import WORKER
from control_plane.workflows.publishing import claim_turns, publish_sealing_key, take_turn
from tests.receivers import Receiver, Reply, receiving
from tests.unit.cli.helped import flags_of
from tests.unit.cli.terminal import Terminal
from tests.world import World

OPS, ADMIN, AUDITOR = Role.OPS_APPROVER, Role.PLATFORM_ADMIN, Role.AUDITOR
ROOT = "subscription"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def subscription(tenantctl: Terminal, receiver: Receiver) -> str:
    perform(tenantctl.world.core, WORKER, publish_sealing_key)
    added = tenantctl(ROOT, "add", receiver.url, "--type", "tenant.*", "--json", who=ADMIN).json
    return str(added["id"])


def deliver(world: World) -> None:
    for each in claim_turns(world.core, limit=10):
        take_turn(world.core, each)


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("types", {"--json"}),
        ("add", {"--type", "--tenant", "--description", "--json"}),
        ("list", {"--limit", "--json"}),
        ("show", {"--json"}),
        ("change", {"--url", "--type", "--description", "--json"}),
        ("pause", {"--json"}),
        ("resume", {"--json"}),
        ("rotate", {"--json"}),
        ("remove", {"--json"}),
        ("test", {"--json"}),
        ("deliveries", {"--status", "--limit", "--json"}),
        ("replay", {"--delivery", "--since", "--json"}),
    ],
)
def test_each_command_says_what_it_takes(command: str, flags: set[str]) -> None:
    assert flags <= flags_of(ROOT, command)


def test_the_types_are_listed(tenantctl: Terminal) -> None:
    assert "journey.step_waiting" in tenantctl(ROOT, "types", who=OPS).out
    names = {each["name"] for each in tenantctl(ROOT, "types", "--json", who=OPS).json}
    assert "tenant.ready" in names
    assert "journey.step_moved" not in names


@pytest.mark.requirement("K-032")
def test_a_secret_is_shown_once(tenantctl: Terminal, receiver: Receiver) -> None:
    nobody = tenantctl(ROOT, "add", receiver.url, who=ADMIN, code=UNAVAILABLE)
    assert "worker" in nobody.err
    perform(tenantctl.world.core, WORKER, publish_sealing_key)
    tenant = tenantctl.world.submit().tenant
    added = tenantctl(
        ROOT, "add", receiver.url, "--type", "tenant.ready", "--type", "run.*",
        "--tenant", tenant.id, "--description", "our portal", who=ADMIN,
    ).out  # fmt: skip
    assert "whsec_" in added
    assert "keep the secret now" in added
    (found,) = tenantctl(ROOT, "list", "--json", who=OPS).json
    assert (found["types"], found["tenant_id"]) == (["tenant.ready", "run.*"], tenant.id)
    shown = tenantctl(ROOT, "show", found["id"], who=OPS).out
    assert "our portal" in shown
    assert "whsec_" not in shown
    rotated = tenantctl(ROOT, "rotate", found["id"], who=ADMIN)
    assert "whsec_" in rotated.out
    assert tenantctl(ROOT, "show", found["id"], "--json", who=OPS).json["secret_generation"] == 2


def test_who_may_not_subscribe_is_refused_and_wrong_input_too(
    tenantctl: Terminal, receiver: Receiver, subscription: str
) -> None:
    tenantctl(ROOT, "add", receiver.url, who=OPS, code=HIDDEN)
    tenantctl(ROOT, "add", receiver.url, "--type", "tenant.redy", who=ADMIN, code=USAGE)
    tenantctl(ROOT, "add", receiver.url, "--tenant", "ten_none", who=ADMIN, code=USAGE)
    refused = tenantctl(ROOT, "add", "https://10.0.0.1/x", who=ADMIN, code=REFUSED)
    assert "not public" in refused.err
    tenantctl(ROOT, "list", "--limit", "0", who=OPS, code=USAGE)
    for command in ("show", "pause", "resume", "rotate", "remove", "test", "deliveries"):
        tenantctl(ROOT, command, "sub_none", who=ADMIN, code=HIDDEN)
    tenantctl(ROOT, "change", "sub_none", "--url", receiver.url, who=ADMIN, code=HIDDEN)
    for command in ("pause", "rotate", "remove"):
        tenantctl(ROOT, command, subscription, who=AUDITOR, code=HIDDEN)


def test_a_subscription_is_changed_paused_and_resumed(
    tenantctl: Terminal, receiver: Receiver, subscription: str
) -> None:
    changed = tenantctl(
        ROOT, "change", subscription, "--url", f"{receiver.url}/other", "--type", "run.*",
        "--description", "another", "--json", who=ADMIN,
    ).json  # fmt: skip
    assert (changed["url"], changed["types"], changed["description"]) == (
        f"{receiver.url}/other", ["run.*"], "another",
    )  # fmt: skip
    assert "paused" in tenantctl(ROOT, "pause", subscription, who=ADMIN).out
    assert "active" in tenantctl(ROOT, "resume", subscription, who=ADMIN).out
    tenantctl(ROOT, "resume", subscription, who=ADMIN, code=REFUSED)
    tenantctl(ROOT, "change", subscription, "--type", "none", who=ADMIN, code=USAGE)


def test_what_was_sent_is_listed_and_sent_again(
    tenantctl: Terminal, receiver: Receiver, subscription: str
) -> None:
    world = tenantctl.world
    receiver.answer = lambda _: Reply(status=500)
    world.submit()
    deliver(world)
    (waits,) = tenantctl(ROOT, "deliveries", subscription, "--json", who=OPS).json
    assert (waits["status"], waits["answer_code"]) == ("pending", 500)
    assert tenantctl(ROOT, "deliveries", subscription, "--status", "sent", who=OPS).out == (
        "no events\n"
    )  # fmt: skip
    tenantctl(ROOT, "deliveries", subscription, "--status", "gone", who=OPS, code=USAGE)
    receiver.answer = lambda _: Reply()
    world.clock.advance(seconds=10)
    deliver(world)
    assert "sent" in tenantctl(ROOT, "deliveries", subscription, "--limit", "1", who=OPS).out
    one = tenantctl(ROOT, "replay", subscription, "--delivery", str(waits["id"]), who=OPS)
    assert "pending" in one.out
    deliver(world)
    since = "2026-01-01T00:00:00Z"
    assert tenantctl(ROOT, "replay", subscription, "--since", since, "--json", who=OPS).json == {
        "count": 1
    }  # fmt: skip
    deliver(world)
    assert len({got.event["id"] for got in receiver.got}) == 1
    assert len(receiver.got) == 4
    tenantctl(ROOT, "replay", subscription, who=OPS, code=USAGE)
    both = ("--delivery", "1", "--since", since)
    tenantctl(ROOT, "replay", subscription, *both, who=OPS, code=USAGE)
    tenantctl(ROOT, "replay", subscription, "--since", "yesterday", who=OPS, code=USAGE)
    tenantctl(ROOT, "replay", subscription, "--delivery", "999999", who=OPS, code=HIDDEN)


def test_a_test_event_goes_out_and_a_removed_subscription_is_gone(
    tenantctl: Terminal, receiver: Receiver, subscription: str
) -> None:
    tested = tenantctl(ROOT, "test", subscription, who=OPS).out
    assert f"tenantctl subscription deliveries {subscription}" in tested
    deliver(tenantctl.world)
    assert [got.event["type"] for got in receiver.got] == ["tenantplane.subscription.ping"]
    removed = tenantctl(ROOT, "remove", subscription, "--json", who=ADMIN).json
    assert removed["id"] == subscription
    assert tenantctl(ROOT, "list", who=OPS).out == "no subscriptions\n"
    tenantctl(ROOT, "show", subscription, who=OPS, code=HIDDEN)
