"""What playbooks do in systems outside: each effect once, and a task where a person is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as each
from hypothesis import strategies as some

from control_plane.adapters.rules.loader import load_rules
from control_plane.adapters.systems.recording import (
    RecordingChat,
    RecordingCrm,
    RecordingTickets,
)
from control_plane.domain.actions import ACTIONS as KNOWN
from control_plane.domain.cause import Cause
from control_plane.domain.journey import Journey, JourneyStatus, JourneyStep, StepStatus
from control_plane.domain.playbook import Step, StepKind
from control_plane.domain.slug import slug_for
from control_plane.domain.system_errors import SystemRefused
from control_plane.domain.systems import ChannelRules
from control_plane.ports.systems import Invited, Ref, Systems
from control_plane.workflows.core import Core
from control_plane.workflows.outside import ACTIONS, STRICTEST_NAME
from control_plane.workflows.step_actions import (
    ActionOutcome,
    ActOutside,
    Asks,
    Did,
    Given,
    NotNeeded,
)
from tests.entities import Entities
from tests.world import World

CONTACTS = (
    {"role": "it_admin", "name": "Ida", "email": "ida@acme.example", "locale": "it"},
    {"role": "executive_sponsor", "name": "Eva", "email": "eva@acme.example", "locale": "it"},
    {"role": "business_sponsor", "name": "Bo", "email": "bo@acme.example", "locale": "en"},
    {"role": "business_sponsor", "name": "Ida", "email": "IDA@acme.example", "locale": "it"},
)


def asked_for(
    action: str, contacts: tuple[Mapping[str, str], ...] = CONTACTS, **facts: Any
) -> Given:
    make = Entities()
    tenant = replace(make.tenant(), slug="acme", facts=facts)
    now = make.clock.now()
    journey = Journey(
        id="jrn_1", tenant_id=tenant.id, contract_ref="ctr_1", playbook_key="day-0",
        playbook_version=1, playbook_digest="sha256:0", status=JourneyStatus.OPEN, anchors={},
        started_at=now, updated_at=now,
    )  # fmt: skip
    step = JourneyStep(
        id="jrn_1.x", journey_id="jrn_1", tenant_id=tenant.id, key="x", kind=StepKind.ACTION,
        owner="csm", status=StepStatus.WORKING, updated_at=now,
    )  # fmt: skip
    declared = Step(key="x", kind=StepKind.ACTION, title="x", owner="csm", action=action)
    cause = Cause(playbook="day-0/1", digest="sha256:0", journey_id="jrn_1", step="x")
    return Given(
        tenant=tenant, contract=make.contract(tenant), contacts=contacts, journey=journey,
        step=step, declared=declared, cause=cause,
    )  # fmt: skip


def done(core: Core, given: Given) -> ActionOutcome:
    handler = ACTIONS[str(given.declared.action)]
    assert isinstance(handler, ActOutside)
    return handler.do(core, given)


@pytest.fixture
def recorded(world: World, tmp_path: Path) -> Core:
    folder = tmp_path / "outside"
    chats = {
        "slack": RecordingChat(folder, like="slack", longest_name=80),
        "teams": RecordingChat(folder, like="teams", longest_name=50),
    }
    systems = Systems(crm=RecordingCrm(folder), tickets=RecordingTickets(folder), chats=chats)
    return replace(world.core, systems=systems)


class Forbidding(RecordingChat):
    """A chat whose policies forbid what a test says."""

    forbidden: tuple[str, ...] = ()

    def open_channel(self, name: str, *, topic: str, key: str) -> Ref:
        if "open" in self.forbidden:
            raise SystemRefused("teams forbids it", system="teams", reason="x", kind="policy")
        return super().open_channel(name, topic=topic, key=key)

    def invite(self, channel_id: str, email: str, *, key: str) -> Invited:
        if email in self.forbidden:
            raise SystemRefused("teams forbids it", system="teams", reason="x", kind="policy")
        return super().invite(channel_id, email, key=key)


def test_each_handler_is_of_an_action_that_playbooks_know() -> None:
    assert set(ACTIONS) <= set(KNOWN)


@pytest.mark.parametrize("action", ["crm.upsert_company", "tickets.upsert_organisation"])
def test_a_record_is_made_once_and_then_updated(recorded: Core, action: str) -> None:
    first = done(recorded, asked_for(action))
    again = done(recorded, asked_for(action))
    assert isinstance(first, Did)
    assert isinstance(again, Did)
    assert (first.result["created"], again.result["created"]) == (True, False)
    assert first.result["id"] == again.result["id"]


@pytest.mark.requirement("F-092")
@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_without_a_system_nothing_is_needed(world: World, action: str) -> None:
    outcome = done(world.core, asked_for(action))
    assert isinstance(outcome, NotNeeded)
    assert outcome.why


def test_a_channel_has_its_name_and_each_contact_who_belongs_there_once(recorded: Core) -> None:
    outcome = done(recorded, asked_for("chat.open_channel"))
    assert isinstance(outcome, Did)
    assert outcome.result["id"] == "tenantplane-acme"
    assert outcome.result["system"] == "slack"
    assert [each["role"] for each in outcome.result["invites"]] == ["it_admin", "business_sponsor"]
    assert "@" not in str({**outcome.result, "url": ""}), "results hold no addresses"
    again = done(recorded, asked_for("chat.open_channel"))
    assert isinstance(again, Did)
    assert again.result == {**outcome.result, "created": False}


def test_a_second_round_of_the_step_finds_the_same_channel(recorded: Core) -> None:
    first = asked_for("chat.open_channel")
    done(recorded, first)
    second = replace(first, cause=replace(first.cause, round=2))
    outcome = done(recorded, second)
    assert isinstance(outcome, Did)
    assert (outcome.result["id"], outcome.result["created"]) == ("tenantplane-acme", False)


@pytest.mark.requirement("J-036", "J-038")
def test_a_taken_name_gets_a_number(recorded: Core) -> None:
    for name in ("tenantplane-acme", "tenantplane-acme-2"):
        recorded.systems.chats["slack"].open_channel(name, topic="other", key=name)
    outcome = done(recorded, asked_for("chat.open_channel"))
    assert isinstance(outcome, Did)
    assert outcome.result["id"] == "tenantplane-acme-3"


def test_when_every_name_is_taken_the_step_fails_with_the_reason(recorded: Core) -> None:
    for number in range(1, 10):
        name = "tenantplane-acme" + (f"-{number}" if number > 1 else "")
        recorded.systems.chats["slack"].open_channel(name, topic="other", key=name)
    with pytest.raises(SystemRefused) as refused:
        done(recorded, asked_for("chat.open_channel"))
    assert refused.value.data["reason"] == "name_taken"


@pytest.mark.requirement("F-093")
def test_what_was_agreed_decides_where_the_channel_is(recorded: Core) -> None:
    outcome = done(recorded, asked_for("chat.open_channel", chat="teams"))
    assert isinstance(outcome, Did)
    assert outcome.result["system"] == "teams"
    by_mail = done(recorded, asked_for("chat.open_channel", chat="email"))
    assert isinstance(by_mail, NotNeeded)
    lite = asked_for("chat.open_channel")
    lite = replace(lite, contract=replace(lite.contract, subscription="lite"))
    assert isinstance(done(recorded, lite), NotNeeded)


@pytest.mark.requirement("J-037")
@pytest.mark.parametrize("forbidden", [("open",), ("bo@acme.example",)])
def test_what_policies_forbid_becomes_a_task_with_steps(
    recorded: Core, tmp_path: Path, forbidden: tuple[str, ...]
) -> None:
    chat = Forbidding(tmp_path / "forbidden", like="teams", longest_name=50)
    chat.forbidden = forbidden
    core = replace(recorded, systems=replace(recorded.systems, chats={"teams": chat}))
    outcome = done(core, asked_for("chat.open_channel", chat="teams"))
    assert isinstance(outcome, Asks)
    assert "1. " in outcome.instructions
    assert "tenantplane-acme" in outcome.instructions
    assert "business sponsor" in outcome.instructions
    assert "@" not in outcome.instructions
    if forbidden == ("open",):
        assert "add a channel of the type Shared" in outcome.instructions
        assert outcome.result == {}
    else:
        assert "it admin" not in outcome.instructions.lower().split("invite the customer's")[1]
        assert [each["role"] for each in outcome.result["invites"]] == ["it_admin"]


def test_a_contract_without_contacts_asks_sales(recorded: Core) -> None:
    outcome = done(recorded, asked_for("chat.open_channel", contacts=()))
    assert isinstance(outcome, Asks)
    assert outcome.owner == "sales"
    assert outcome.result["id"] == "tenantplane-acme"


def test_a_channel_is_closed_where_it_was_opened_and_only_once_needed(recorded: Core) -> None:
    done(recorded, asked_for("chat.open_channel", chat="teams"))
    for _ in range(2):
        closed = done(recorded, asked_for("chat.close_channel"))
        assert isinstance(closed, Did)
        assert [each["system"] for each in closed.result["closed"]] == ["teams"]


SLUGS = load_rules(Path(__file__).parents[2] / "rules").slug


@pytest.mark.requirement("J-038")
@each(
    name=some.text(min_size=1, max_size=80),
    brand=some.from_regex(r"[a-z0-9][a-z0-9-]{0,19}", fullmatch=True),
    number=some.integers(1, 9),
)
def test_every_name_suits_slack_and_teams(name: str, brand: str, number: int) -> None:
    slug = slug_for(name, "acme.example", "ten_01JD0000000000000000000001", SLUGS)
    rules = ChannelRules(brand=brand, invites=(), chat={})
    found = rules.name(slug, longest=STRICTEST_NAME, number=number)
    assert 1 <= len(found) <= 50
    assert set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not found.startswith("-")
    assert number == 1 or found.endswith(f"-{number}")
