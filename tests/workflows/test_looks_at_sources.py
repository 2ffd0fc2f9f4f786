"""A source of contracts is asked what was signed: each difference is found once and explained."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from control_plane.domain.delivery import DeliveryStatus
from control_plane.domain.errors import IllegalTransition, NotAllowed, NotFound
from control_plane.domain.intake import LookRules
from control_plane.domain.reconciling import (
    CRM,
    READ_BACK,
    DifferenceKind,
    IntakeFinding,
    IntakeFindingStatus,
    IntakeLook,
    fields_that_differ,
    jitter,
)
from control_plane.domain.timers import TimerKind
from control_plane.ports.systems import SignedDeal
from control_plane.services import deliveries, intake_findings
from control_plane.services.performing import perform
from control_plane.workflows.timers import fire_due
from tests.scripted_provider import ScriptedDeals, ScriptedProvider, asking, envelope
from tests.signed import (
    allowing_account,
    as_bytes,
    docusign,
    docusign_headers,
    install_keys,
)
from tests.world import ADMIN, AUTOMATION, OPS, World, machine

K, S = DifferenceKind, IntakeFindingStatus
HOUR = timedelta(hours=1)


class Asked:
    """A world in which a provider is asked; what it signs is a day old unless told otherwise."""

    def __init__(self, world: World) -> None:
        self.world = world
        install_keys(world.core)
        self.provider, self.crm = ScriptedProvider(), ScriptedDeals()
        self.begin = world.clock.now() - timedelta(days=30)
        world.core = asking(allowing_account(world.core), self.provider, self.begin, self.crm)

    def signs(self, number: int = 1, *, ago: timedelta = 24 * HOUR, **changes: Any) -> None:
        """Let an envelope be signed, or withdrawn, at the provider alone."""
        at = self.world.clock.now() - ago
        self.provider.has.append(envelope(docusign(number, **changes), at))

    def posts(self, number: int = 1, **changes: Any) -> str:
        """Let an event arrive and be taken, whatever the provider says later."""
        found = self.receives(number, **changes)
        self.world.work()
        return found

    def receives(self, number: int = 1, **changes: Any) -> str:
        """Let an event arrive."""
        body = as_bytes(docusign(number, **changes))
        return deliveries.receive_delivery(
            self.world.core, machine("unknown"), "docusign",
            headers=docusign_headers(body), body=body,
        )  # fmt: skip

    def look(self, source: str = "docusign") -> IntakeLook:
        perform(self.world.core, OPS, intake_findings.request_look, source)
        self.world.work()
        found: IntakeLook = self.world.rows("intake_look")[source]
        return found

    @property
    def findings(self) -> list[IntakeFinding]:
        return list(self.world.rows("intake_finding").values())

    def found(self) -> list[tuple[DifferenceKind, IntakeFindingStatus]]:
        return [(each.kind, each.status) for each in self.findings]

    def settle(self) -> None:
        for each in self.findings:
            if each.status is S.OPEN:
                perform(
                    self.world.core, OPS, intake_findings.settle_intake_finding, each.id,
                    reason="clarified",
                )  # fmt: skip


@pytest.fixture
def asked(world: World) -> Asked:
    world.ready_hub()
    return Asked(world)


def test_what_was_signed_and_never_delivered_makes_a_tenant_and_explains_itself(
    asked: Asked,
) -> None:
    asked.signs()
    asked.look()
    (delivery,) = asked.world.rows("delivery").values()
    assert (delivery.status, delivery.key_name) == (DeliveryStatus.ACCEPTED, READ_BACK)
    (finding,) = asked.findings
    assert (finding.kind, finding.status) == (K.MISSING_HERE, S.AGREED)
    assert finding.delivery_id == delivery.id
    assert "nothing of it was delivered" in finding.explanation
    asked.look()
    late = asked.posts()
    assert asked.world.rows("delivery")[late].status is DeliveryStatus.REPEATED
    assert len(asked.world.rows("tenant")) == len(asked.findings) == 1
    actions = [each for each in asked.world.actions() if each.startswith("intake_finding")]
    assert actions == ["intake_finding.opened:completed", "intake_finding.agreed:completed"]


def test_what_agrees_on_both_sides_is_no_finding(asked: Asked) -> None:
    asked.posts()
    asked.signs()
    asked.look()
    assert asked.findings == []
    assert asked.provider.searched == []


def test_what_is_still_under_way_is_left_to_its_delivery(asked: Asked) -> None:
    asked.signs(ago=timedelta(minutes=5))
    position = asked.look().position
    assert asked.findings == []
    assert position == asked.begin
    asked.world.clock.advance(hours=1)
    asked.look()
    assert asked.found() == [(K.MISSING_HERE, S.AGREED)]


def test_what_is_half_a_contract_stays_open_until_somebody_decided(asked: Asked) -> None:
    asked.signs(Plan="Gold")
    asked.look()
    asked.look()
    assert asked.found() == [(K.MISSING_HERE, S.OPEN)]
    (delivery,) = asked.world.rows("delivery").values()
    assert delivery.status is DeliveryStatus.REFUSED
    perform(asked.world.core, OPS, deliveries.decide_delivery, delivery.id, decision="dismiss",
            reason="a test")  # fmt: skip
    asked.look()
    assert asked.found() == [(K.MISSING_HERE, S.AGREED)]


def test_an_envelope_without_the_number_of_a_contract_is_none(asked: Asked) -> None:
    asked.signs(**{"Contract number": None})
    asked.look()
    assert asked.findings == []
    assert not asked.world.rows("delivery")


def test_an_envelope_that_the_provider_does_not_know_is_found_and_asked_about_once(
    asked: Asked,
) -> None:
    asked.posts()
    asked.world.clock.advance(hours=1)
    asked.look()
    assert asked.found() == [(K.MISSING_THERE, S.OPEN)]
    assert asked.findings[0].tenant_id is not None
    asked.look()
    assert len(asked.findings) == 1
    asked.signs(ago=40 * 24 * HOUR)  # so that no listing has it
    asked.look()
    assert asked.found() == [(K.MISSING_THERE, S.AGREED)]


def test_other_facts_are_named_and_close_when_they_are_right_again(asked: Asked) -> None:
    asked.posts()
    asked.signs(Seats="500", Domain="other.example.com")
    asked.look()
    asked.look()
    (finding,) = asked.findings
    assert (finding.kind, finding.status) == (K.OTHER_CONTENT, S.OPEN)
    assert finding.explanation.endswith(": company.domain, contract.seats")
    asked.provider.has.clear()
    asked.signs()
    asked.look()
    assert asked.found() == [(K.OTHER_CONTENT, S.AGREED)]


def test_a_contract_that_was_voided_while_its_tenant_lives(asked: Asked) -> None:
    asked.posts()
    asked.signs(event="envelope-voided")
    asked.look()
    asked.look()
    assert asked.found() == [(K.VOIDED_THERE, S.OPEN)]
    held = [each for each in asked.world.rows("delivery").values() if each.key_name == READ_BACK]
    assert [each.code for each in held] == ["contract_withdrawn"]
    perform(asked.world.core, OPS, deliveries.decide_delivery, held[0].id, decision="dismiss",
            reason="they signed again on paper")  # fmt: skip
    asked.look()
    assert asked.found() == [(K.VOIDED_THERE, S.AGREED)]


def test_a_contract_that_was_voided_is_not_taken_when_its_signature_arrives_late(
    asked: Asked,
) -> None:
    asked.signs(event="envelope-voided")
    asked.look()
    late = asked.posts()
    assert asked.world.rows("delivery")[late].code == "contract_withdrawn"
    assert asked.findings == []
    assert not asked.world.rows("tenant")


def test_a_finding_that_was_settled_is_not_found_again_unless_it_differs(asked: Asked) -> None:
    asked.posts()
    asked.signs(Seats="500")
    asked.look()
    asked.settle()
    asked.look()
    assert asked.found() == [(K.OTHER_CONTENT, S.SETTLED)]
    with pytest.raises(IllegalTransition):
        perform(asked.world.core, OPS, intake_findings.settle_intake_finding,
                asked.findings[0].id, reason="again")  # fmt: skip
    asked.provider.has.clear()
    asked.signs(Seats="600")
    asked.look()
    assert asked.found() == [(K.OTHER_CONTENT, S.SETTLED), (K.OTHER_CONTENT, S.OPEN)]


def test_a_machine_settles_nothing(asked: Asked) -> None:
    asked.signs(Plan="Gold")
    asked.look()
    with pytest.raises(NotAllowed):
        perform(asked.world.core, AUTOMATION, intake_findings.settle_intake_finding,
                asked.findings[0].id, reason="clarified")  # fmt: skip


def test_a_provider_that_is_down_for_a_day_leaves_no_gap(asked: Asked) -> None:
    for number in range(1, 121):
        asked.signs(number, ago=timedelta(days=2) - number * timedelta(minutes=1))
    asked.provider.stops_after = 70  # in the middle of a page
    look = asked.look()
    assert look.error is not None
    assert (look.error["code"], look.looked_at) == ("system_unavailable", None)
    stored = len(asked.world.rows("delivery"))
    assert stored == 50  # whole pages
    assert look.position == sorted(each.changed_at for each in asked.provider.has)[49]
    asked.world.clock.advance(hours=24)
    asked.provider.stops_after = None
    look = asked.look()
    assert (look.error, look.looked_at) == (None, asked.world.clock.now())
    assert asked.provider.asked[-1] < sorted(each.changed_at for each in asked.provider.has)[49]
    assert len(asked.world.rows("delivery")) == 120
    assert len(asked.findings) == 120


def test_a_clock_that_was_wrong_moves_no_position(asked: Asked) -> None:
    asked.signs(1)
    first = asked.look().position
    assert first == asked.provider.has[0].changed_at
    asked.world.clock.advance(hours=24 * 365)
    assert asked.look().position == first
    asked.world.clock.advance(hours=-24 * 365 - 2)
    asked.signs(2, ago=timedelta(minutes=30))
    asked.look()
    assert len(asked.world.rows("tenant")) == 2


def test_a_deal_without_a_contract_is_found_after_its_hours(asked: Asked) -> None:
    asked.look(CRM)
    now = asked.world.clock.now()
    asked.crm.won += [
        SignedDeal(id="d1", contract_id="C-2026-0001", company="Dainese", won_at=now),
        SignedDeal(id="d2", contract_id="C-2026-0002", company="Other", won_at=now),
        SignedDeal(id="d3", contract_id=None, company="Third", won_at=now),
    ]
    asked.posts(1)
    asked.look(CRM)
    assert asked.findings == []
    asked.world.clock.advance(hours=25)
    asked.look(CRM)
    asked.look(CRM)
    assert [each.subject for each in asked.findings] == ["d2", "d3"]
    assert {each.kind for each in asked.findings} == {K.WON_WITHOUT_CONTRACT}
    asked.posts(2)
    asked.look(CRM)
    assert [each.status for each in asked.findings] == [S.AGREED, S.OPEN]
    asked.settle()
    asked.look(CRM)
    assert [each.status for each in asked.findings] == [S.AGREED, S.SETTLED]


def test_looks_are_set_by_timers_and_one_waits_at_most(asked: Asked) -> None:
    world = asked.world
    with world.core.act() as act:
        act.uow.timers.set(TimerKind.INTAKE_LOOK, "sources", world.clock.now())
        act.uow.commit()
    fire_due(world.core)  # finds both sources
    asked.signs()
    fire_due(world.core)  # enqueues a look at each
    world.work()
    assert asked.found() == [(K.MISSING_HERE, S.AGREED)]
    with world.core.uow() as uow:
        due = uow.timers.due(TimerKind.INTAKE_LOOK, ["docusign", CRM])
    rules = world.core.rules.intake.looks
    for at in due.values():
        assert rules.every <= at - world.clock.now() <= rules.every + rules.jitter
    perform(world.core, OPS, intake_findings.request_look, "docusign")
    again = perform(world.core, OPS, intake_findings.request_look, "docusign")
    assert again.turn == world.rows("intake_look")["docusign"].turn == 2


def test_a_source_that_nobody_is_asked_about_does_not_exist(asked: Asked) -> None:
    with pytest.raises(NotFound):
        perform(asked.world.core, ADMIN, intake_findings.request_look, "signing")


def test_jitter_is_another_one_each_time_and_bounded() -> None:
    found = {jitter("docusign", turn, LookRules().jitter) for turn in range(50)}
    assert len(found) == 50
    assert timedelta(0) <= min(found)
    assert max(found) < LookRules().jitter


def test_a_position_never_goes_back_and_never_ahead_of_the_clock() -> None:
    now = datetime.fromisoformat("2026-11-20T14:00:00+00:00")
    look = IntakeLook(
        id="docusign", position=now, checked="", turn=1, looked_at=None, error=None, version=1
    )
    assert look.advanced(now - HOUR, now).position == now
    assert look.advanced(now + HOUR, now).position == now
    assert replace(look, position=now - HOUR).advanced(now, now).position == now


@pytest.mark.parametrize(("there", "names"), [
    ({"a": {"b": 1}}, ()),
    ({"a": {"b": 2}, "c": None}, ("a.b",)),
    ({"a": {"b": 1}, "contacts": [{"email": "x"}]}, ("contacts",)),
    ({}, ("a.b",)),
])  # fmt: skip
def test_fields_that_differ_are_named_without_their_values(
    there: dict[str, Any], names: tuple[str, ...]
) -> None:
    assert fields_that_differ({"a": {"b": 1}, "additional_tenant": True}, there) == names


MOST_ASKED = 200  # single questions to a provider in one look


def test_what_a_look_has_seen_costs_no_question(asked: Asked) -> None:
    """However many were delivered since the last look, what nobody knows is found by this one."""
    for number in range(1, MOST_ASKED + 11):
        asked.signs(number, Plan="Gold")  # nothing is made of these: that would take long
        asked.receives(number, Plan="Gold")
    unknown = asked.receives(MOST_ASKED + 11, Plan="Gold")
    asked.world.clock.advance(hours=1)
    asked.look()
    assert [(each.kind, each.digest) for each in asked.findings] == [(K.MISSING_THERE, unknown)]
    # about the only one that it did not see, and again whether its finding still stands
    assert asked.provider.searched == [asked.findings[0].subject] * 2


def test_a_look_asks_no_more_than_it_may_and_the_next_one_continues(asked: Asked) -> None:
    for number in range(1, MOST_ASKED + 4):
        asked.receives(number, Plan="Gold")
    asked.world.clock.advance(hours=1)
    asked.look()
    assert len(asked.findings) == MOST_ASKED
    asked.look()
    assert len(asked.findings) == MOST_ASKED + 3


def test_differences_that_need_no_question_keep_no_other_waiting(asked: Asked) -> None:
    for number in range(1, MOST_ASKED + 2):
        asked.signs(number, Plan="Gold")  # each stays open until somebody decides
    asked.look()
    unknown = asked.posts(MOST_ASKED + 2)
    asked.world.clock.advance(hours=1)
    asked.look()
    assert asked.found()[-1] == (K.MISSING_THERE, S.OPEN)
    asked.signs(MOST_ASKED + 2)
    asked.look()
    assert {each.digest: each.status for each in asked.findings}[unknown] is S.AGREED
