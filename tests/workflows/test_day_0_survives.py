"""S2 of the scenarios: a worker dies at each step of Day 0, and the contract comes again.

Whatever was interrupted, the tenant, its messages and what systems outside know are in the end as
if nothing had happened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from typing import Any, Final

import pytest

from control_plane.adapters.systems.recording import (
    RecordingChat,
    RecordingCrm,
    RecordingMailer,
    RecordingTickets,
)
from control_plane.ports.systems import Systems
from control_plane.services import deliveries
from tests.journeys import day_0, go_on, statuses, with_playbooks
from tests.onboarding import visitor
from tests.scripted_faults import ProcessDied
from tests.signed import allowing_account, as_bytes, docusign, docusign_headers, install_keys
from tests.storage import Storage
from tests.world import World

pytestmark = pytest.mark.timeout(300)

SPONSORS: Final = {
    "Executive sponsor": "Edda", "Executive sponsor e-mail": "edda@c1.example.com",
    "Business sponsor": "Bo", "Business sponsor e-mail": "bo@c1.example.com",
}  # fmt: skip
STEPS: Final = sorted(step.key for step in day_0().steps)
WORKED_ON: Final = [key for key in STEPS if not key.startswith("late_")]
KEPT_OF: Final = ("crm", "tickets")
MAILS: Final = 9  # two to the sponsor and the IT admin each, a link, and five invitations
TURNS: Final = 4  # after a death, a minute apart: the lease of what the dead worker held


@dataclass
class Day:
    """A world in which a contract is delivered and followed, by a worker that may die."""

    world: World
    commits: int = 0
    moved: dict[int, list[str]] = field(default_factory=dict)  # steps, by the number of a commit
    dies_at: tuple[int, bool] | None = None  # the number of a commit, and whether it is made
    retries: int = 0

    def __post_init__(self) -> None:
        world, folder = self.world, self.world.folder / "outside"
        world.ready_hub()
        install_keys(world.core)
        chats = {"slack": RecordingChat(folder, like="slack", longest_name=80)}
        systems = Systems(
            crm=RecordingCrm(folder), tickets=RecordingTickets(folder), chats=chats,
            mailer=RecordingMailer(folder, now=world.clock.now),
        )  # fmt: skip
        world.core = replace(allowing_account(world.core), systems=systems)
        with_playbooks(world, day_0())

    def post(self) -> None:
        """Let the provider post the contract, as it does until it has an answer."""
        body = as_bytes(docusign(**SPONSORS, retry=self.retries))
        self.retries += 1
        deliveries.receive_delivery(
            self.world.core, visitor(), "docusign", headers=docusign_headers(body), body=body
        )

    def follow(self) -> None:
        """Do everything that can be done."""
        with self._mortal():
            go_on(self.world)

    @contextmanager
    def _mortal(self) -> Iterator[None]:
        """Count what the worker commits, and let it die at the commit that was chosen."""
        whole = self.world.core
        make = whole.uow

        def counted() -> Any:
            uow: Any = make()
            commit = uow.commit

            def committed() -> None:
                self.commits += 1
                at, is_made = self.dies_at or (0, False)
                before = {} if at else statuses(self.world)
                if at == self.commits and not is_made:
                    raise ProcessDied
                commit()
                if at == self.commits:
                    raise ProcessDied
                after = {} if at else statuses(self.world)
                for key in after:
                    if after[key] != before.get(key):
                        self.moved.setdefault(self.commits, []).append(key)

            uow.commit = committed
            return uow

        self.world.core = replace(whole, uow=counted)
        try:
            yield
        finally:
            self.world.core = whole

    def end(self) -> dict[str, Any]:
        """Return what is there in the end: each thing with how often."""
        world, outside = self.world, self.world.folder / "outside"
        mails = Counter(
            str(message_from_bytes(file.read_bytes())["Message-ID"])
            for file in (outside / "mail").glob("*.eml")
        )
        messages = world.rows("message").values()
        return {
            "tenants": [(each.slug, each.mode, each.status) for each in _all(world, "tenant")],
            "deliveries": [each.status for each in _all(world, "delivery")],
            "runs": Counter((each.kind, each.status) for each in _all(world, "run")),
            "journeys": len(_all(world, "journey")),
            "steps": statuses(world),
            "tasks": Counter((each.owner, each.status) for each in _all(world, "task")),
            "links": Counter(each.status for each in _all(world, "onboarding_link")),
            "meetings": len(_all(world, "meeting")),
            "messages": Counter(
                (each.event, each.persona, each.recipient_email, each.status, each.may_be_twice)
                for each in messages
            ),
            "mails of each message": Counter(mails[each.message_id] for each in messages),
            "mails of none": set(mails) - {each.message_id for each in messages},
            "customers": [len(list((outside / kind).glob("*.json"))) for kind in KEPT_OF],
            "channel": Counter(
                each.name.partition(" ")[0] for each in (outside / "chat" / "slack").glob("[!.]*/*")
            ),
        }


def _all(world: World, table: str) -> list[Any]:
    return list(world.rows(table).values())


@pytest.fixture(scope="module")
def undisturbed(module_storage: Storage) -> tuple[dict[int, list[str]], dict[str, Any]]:
    """Return the steps that each commit moves, and the end, when nobody dies."""
    module_storage.empty()
    day = Day(World(module_storage))
    day.post()
    day.follow()
    return day.moved, day.end()


@pytest.mark.requirement("K-009", "P-014")
def test_undisturbed_the_product_does_all_of_day_0(
    undisturbed: tuple[dict[int, list[str]], dict[str, Any]],
) -> None:
    moved, end = undisturbed
    late = {key for key in STEPS if key.startswith("late_")}
    assert end["steps"] == {
        **dict.fromkeys(STEPS, "done"), **dict.fromkeys(late, "skipped"), "kickoff": "asked"
    }  # fmt: skip
    assert {key for keys in moved.values() for key in keys} == set(STEPS)
    assert end["messages"].total() == MAILS
    assert end["mails of each message"] == {1: MAILS}
    assert not end["mails of none"]
    assert end["customers"] == [1, 1]
    assert end["channel"] == {"channel.json": 1, "invitation": 2}


@pytest.mark.requirement("J-015")
@pytest.mark.parametrize("is_made", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("key", WORKED_ON)
def test_a_death_as_a_step_ends_and_the_same_webhook_again_change_nothing(
    undisturbed: tuple[dict[int, list[str]], dict[str, Any]], storage: Storage, key: str,
    is_made: bool,
) -> None:  # fmt: skip
    moved, end = undisturbed
    interrupted(storage, max(number for number, keys in moved.items() if key in keys), is_made, end)


@pytest.mark.requirement("J-015")
@pytest.mark.parametrize("is_made", [False, True], ids=["before", "after"])
def test_so_does_a_death_as_steps_begin(
    undisturbed: tuple[dict[int, list[str]], dict[str, Any]], storage: Storage, is_made: bool
) -> None:
    moved, end = undisturbed
    last = {max(number for number, keys in moved.items() if key in keys) for key in WORKED_ON}
    begin = sorted(moved.keys() - last)
    assert begin
    for commit in begin:
        storage.empty()
        interrupted(storage, commit, is_made, end)


def interrupted(storage: Storage, commit: int, is_made: bool, end: dict[str, Any]) -> None:
    """Let a worker die at a commit, post the contract again and compare the end."""
    day = Day(World(storage), dies_at=(commit, is_made))
    day.post()
    with pytest.raises(ProcessDied):
        day.follow()
    day.post()
    for _ in range(TURNS):
        day.follow()
        day.world.clock.advance(minutes=1)
    assert day.end() == end
    (delivery,) = _all(day.world, "delivery")
    assert delivery.times_received == 2
