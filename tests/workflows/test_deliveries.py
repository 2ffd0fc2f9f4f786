"""From a signed payload to a tenant: each outcome, and nothing lost or done twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from control_plane.domain.delivery import Delivery, DeliveryStatus
from control_plane.domain.errors import (
    AuditUnavailable,
    IllegalTransition,
    InvalidInput,
    NotAllowed,
    NotFound,
    SettingInvalid,
    Unavailable,
)
from control_plane.domain.hold import HoldKind
from control_plane.domain.intake_errors import SignatureInvalid
from control_plane.domain.run import RunStatus
from control_plane.domain.tenant import TenantStatus
from control_plane.domain.timers import TimerKind
from control_plane.ports.rows import Ids
from control_plane.services import deliveries, holds, provisioning
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.timers import fire_due
from tests.signed import (
    ACCOUNT,
    DOCUSIGN_KEY,
    NEXT_DOCUSIGN_KEY,
    allowing_account,
    as_bytes,
    docusign,
    docusign_headers,
    envelope_of,
    install_keys,
    signing,
    webhook_headers,
    with_accounts,
)
from tests.workflows.removed import remove_all, steps_of
from tests.world import ADMIN, ARCHITECT, AUDITOR, AUTOMATION, OPS, World, machine, person

STRANGER = replace(AUTOMATION, actor=replace(AUTOMATION.actor, id="unknown", roles=(), tenants=()),
                   address="203.0.113.7")  # fmt: skip
S = DeliveryStatus


class Intake:
    """A world in which providers deliver."""

    def __init__(self, world: World) -> None:
        self.world = world
        install_keys(world.core)
        world.core = allowing_account(world.core)

    @property
    def core(self) -> Core:
        return self.world.core

    def post(self, payload: Any, *keys: str, **headers: str) -> str:
        """Post an event as DocuSign does; returns the id of its delivery."""
        body = payload if isinstance(payload, bytes) else as_bytes(payload)
        return deliveries.receive_delivery(
            self.core, STRANGER, "docusign",
            headers=headers or docusign_headers(body, *keys), body=body,
        )  # fmt: skip

    def take(self, payload: Any) -> Delivery:
        """Post an event and let a worker take it."""
        found = self.post(payload)
        self.world.work()
        return self.row(found)

    def row(self, delivery_id: str) -> Delivery:
        found: Delivery = self.world.rows("delivery")[delivery_id]
        return found

    def replay(self, delivery_id: str, who: Caller = OPS) -> Delivery:
        perform(self.core, who, deliveries.replay_delivery, delivery_id, reason="mended")
        self.world.work()
        return self.row(delivery_id)

    def decide(self, delivery_id: str, decision: str, who: Caller = OPS) -> Delivery:
        perform(
            self.core, who, deliveries.decide_delivery, delivery_id,
            decision=decision, reason="the customer asked for it",
        )  # fmt: skip
        self.world.work()
        return self.row(delivery_id)

    def actions(self, name: str) -> int:
        return sum(action.startswith(name) for action in self.world.actions())


@pytest.fixture
def intake(world: World) -> Intake:
    world.ready_hub()
    return Intake(world)


@pytest.mark.requirement("K-009")
def test_a_signed_envelope_makes_a_tenant_that_is_ready(intake: Intake) -> None:
    found = intake.take(docusign())
    assert (found.status, found.code, found.key_name) == (S.ACCEPTED, None, "docusign-1")
    tenant = intake.world.tenant(found.tenant_id or "")
    assert tenant.status is TenantStatus.READY
    request = intake.world.rows("provisioning_request")[found.request_id]
    assert request.requested_by == "intake:docusign"
    taken = [event for event in intake.world.events() if event.action == "delivery.taken"]
    assert [event.tree for event in taken] == [tenant.id]
    assert taken[0].body["actor"]["id"] == "intake:docusign"
    assert "Ida" not in str([event.body for event in intake.world.events()])


def test_the_same_contract_by_the_api_and_by_a_provider_is_one(intake: Intake) -> None:
    accepted = intake.take(docusign())
    request = intake.world.rows("provisioning_request")[accepted.request_id]
    again = perform(intake.core, AUTOMATION, provisioning.submit_request, request.body)
    assert again.request.id == request.id
    assert len(intake.world.rows("tenant")) == 1


def test_a_standard_webhook_makes_a_tenant(intake: Intake) -> None:
    body = as_bytes(signing())
    now = intake.world.clock.now()
    for message in ("msg_1", "msg_1", "msg_2"):
        headers = webhook_headers(body, now, message_id=message)
        found = deliveries.receive_delivery(
            intake.core, STRANGER, "signing", headers=headers, body=body
        )
    intake.world.work()
    assert intake.row(found).status is S.ACCEPTED
    assert intake.row(found).times_received == 3
    assert len(intake.world.rows("tenant")) == 1


def test_ten_deliveries_at_once_are_one_row_and_one_tenant(intake: Intake) -> None:
    attempts = [docusign(retry=retry) for retry in range(10)]
    with ThreadPoolExecutor(10) as pool:
        ids = set(pool.map(intake.post, attempts))
    assert len(ids) == 1
    intake.world.work()
    intake.world.work()
    (row,) = intake.world.rows("delivery").values()
    assert (row.status, row.times_received) == (S.ACCEPTED, 10)
    assert len(intake.world.rows("tenant")) == 1
    assert intake.actions("delivery.received") == 1
    assert intake.actions("delivery.taken") == 1


def test_another_delivery_of_the_same_facts_is_repeated(intake: Intake) -> None:
    first = intake.take(docusign())
    payload = docusign()
    payload["data"]["userId"] = "somebody else sent it"
    payload["data"]["envelopeId"] = f" {envelope_of().upper()} "
    second = intake.take(payload)
    assert second.id != first.id
    assert (second.status, second.tenant_id) == (S.REPEATED, first.tenant_id)
    assert len(intake.world.rows("tenant")) == 1


@pytest.mark.parametrize(("change", "code"), [
    (lambda other: other["data"].update(envelopeId=envelope_of(7)), "contract_already_used"),
    (lambda other: other["data"]["envelopeSummary"].update(
        completedDateTime="2026-11-21T14:03:00Z"), "contract_already_used"),
])  # fmt: skip
def test_a_contract_that_has_a_tenant_is_held_for_a_person(
    intake: Intake, change: Any, code: str
) -> None:
    first = intake.take(docusign())
    other = docusign()
    change(other)
    held = intake.take(other)
    assert (held.status, held.code, held.tenant_id) == (S.HELD, code, first.tenant_id)
    with pytest.raises(IllegalTransition, match="its company has a tenant"):
        intake.decide(held.id, "accept_additional")
    dismissed = intake.decide(held.id, "dismiss")
    assert (dismissed.status, dismissed.decided_by) == (S.DISMISSED, OPS.actor.id)


def test_a_second_contract_of_a_company_waits_and_can_be_accepted(intake: Intake) -> None:
    first = intake.take(docusign())
    held = intake.take(docusign(2, Domain="c1.example.com"))
    assert (held.status, held.code) == (S.HELD, "company_has_tenant")
    assert held.tenant_id == first.tenant_id
    accepted = intake.decide(held.id, "accept_additional")
    assert accepted.status is S.ACCEPTED
    assert accepted.tenant_id not in {None, first.tenant_id}
    request = intake.world.rows("provisioning_request")[accepted.request_id]
    assert request.body["additional_tenant"] is True
    assert request.on_behalf_of == OPS.actor.id  # and so cannot approve what follows


def test_a_held_delivery_is_taken_again_once_the_reason_is_gone(intake: Intake) -> None:
    intake.take(docusign())
    held = intake.take(docusign(2, Domain="c1.example.com"))
    assert intake.replay(held.id).status is S.HELD
    assert intake.actions("delivery.replayed") == 1


@pytest.mark.parametrize(("changes", "code", "field"), [
    ({"Legal entity": None}, "mapping_failed", "company.legal_name"),
    ({"Plan": "Gold"}, "mapping_failed", "contract.subscription"),
    ({"IT admin e-mail": None}, "mapping_failed", "contacts.it_admin.email"),
    ({"IT admin e-mail": "ida"}, "invalid_input", "contacts.0.email"),
    ({"Country": "Italy"}, "invalid_input", "company.country"),
    ({"Domain": "localhost"}, "invalid_input", "company.domain"),
    ({"Legal entity": "\u200b"}, "invalid_input", "company.legal_name"),
    ({"Regions": "eu-west-9"}, "unknown_region", None),
    ({"Time zone": "Europe/Roma"}, "invalid_input", "company.time_zone"),
    ({"Uptime": "100.5"}, "invalid_input", "contract.sla_uptime_min"),
    ({"Seats": "99999999999"}, "invalid_input", "contract.seats"),
])  # fmt: skip
def test_half_a_contract_is_kept_with_the_field_that_is_wrong(
    intake: Intake, changes: dict[str, Any], code: str, field: str | None
) -> None:
    refused = intake.take(docusign(**changes))
    assert (refused.status, refused.code) == (S.REFUSED, code)
    assert refused.error is not None
    if field is not None:
        assert refused.error["data"]["field"] == field
    assert refused.body == as_bytes(docusign(**changes))
    assert not intake.world.rows("tenant")


def test_a_refused_delivery_is_replayed_after_the_mapping_was_mended(intake: Intake) -> None:
    refused = intake.take(docusign(Plan="Gold"))
    rules = intake.core.rules
    source = rules.intake.sources["docusign"]
    fields = tuple(
        replace(rule, values={**(rule.values or {}), "Gold": "enterprise"})
        if rule.target == "contract.subscription" else rule
        for rule in source.fields
    )  # fmt: skip
    mended = replace(rules.intake, sources={"docusign": replace(source, fields=fields)})
    intake.world.core = replace(intake.core, rules=replace(rules, intake=mended))
    accepted = intake.replay(refused.id, AUTOMATION)
    assert (accepted.status, accepted.code) == (S.ACCEPTED, None)
    with pytest.raises(IllegalTransition):
        intake.replay(refused.id)


def test_contradictory_facts_make_a_tenant_in_conflict(intake: Intake) -> None:
    found = intake.take(docusign(Plan="Lite", Delivery="Customer account"))
    assert found.status is S.ACCEPTED
    assert intake.world.tenant(found.tenant_id or "").status is TenantStatus.MODE_CONFLICT


@pytest.mark.parametrize("name", ["...", "\u6771\u4eac", "S.p.A."])
def test_a_name_that_gives_no_slug_takes_that_of_the_domain(intake: Intake, name: str) -> None:
    found = intake.take(docusign(**{"Legal entity": name}))
    assert found.status is S.ACCEPTED
    assert intake.world.tenant(found.tenant_id or "").slug


@pytest.mark.requirement("J-014")
@pytest.mark.parametrize("event", [
    "envelope-sent", "recipient-completed", "an event of next year", "envelope-voided",
    "envelope-declined",
])  # fmt: skip
def test_an_event_that_asks_for_nothing_is_ignored_by_name(intake: Intake, event: str) -> None:
    found = intake.take(docusign(event=event))
    assert (found.status, found.event) == (S.IGNORED, event)


def test_a_contract_that_is_voided_after_its_tenant_was_made_waits_for_a_person(
    intake: Intake,
) -> None:
    accepted = intake.take(docusign())
    held = intake.take(docusign(event="envelope-voided"))
    assert (held.status, held.code) == (S.HELD, "contract_withdrawn")
    assert held.tenant_id == accepted.tenant_id
    assert held.error is not None
    assert "was voided, and has the tenant" in held.error["message"]


def test_a_contract_that_was_voided_before_it_arrived_makes_no_tenant(intake: Intake) -> None:
    intake.take(docusign(event="envelope-voided"))
    held = intake.take(docusign())
    assert (held.status, held.code, held.tenant_id) == (S.HELD, "contract_withdrawn", None)
    assert not intake.world.rows("tenant")


def test_an_account_that_nobody_named_is_refused_until_it_is_named(intake: Intake) -> None:
    rules = intake.core.rules
    intake.world.core = replace(
        intake.core, rules=replace(rules, intake=with_accounts(rules.intake))
    )
    refused = intake.take(docusign())
    assert (refused.status, refused.code) == (S.REFUSED, "account_not_allowed")
    intake.world.core = replace(
        intake.core,
        rules=replace(rules, intake=with_accounts(rules.intake, ACCOUNT.upper(), ACCOUNT)),
    )
    assert intake.replay(refused.id).status is S.ACCEPTED


def test_a_source_that_was_taken_out_of_the_rules_refuses_what_waits(intake: Intake) -> None:
    waiting = intake.post(docusign())
    rules = intake.core.rules
    intake.world.core = replace(
        intake.core, rules=replace(rules, intake=replace(rules.intake, sources={}))
    )
    intake.world.work()
    assert intake.row(waiting).code == "source_unknown"
    with pytest.raises(NotFound):
        intake.post(docusign(2))


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"null"])
def test_what_is_no_event_is_kept_and_refused(intake: Intake, body: bytes) -> None:
    found = intake.take(body)
    assert (found.status, found.code, found.body) == (S.REFUSED, "delivery_unreadable", body)


# --- signatures --------------------------------------------------------------------------------
def test_a_wrong_signature_is_kept_without_content_and_cannot_be_replayed(intake: Intake) -> None:
    body = as_bytes(docusign())
    for _ in range(2):
        with pytest.raises(SignatureInvalid):
            intake.post(body, "a key of somebody else")
    (row,) = intake.world.rows("delivery").values()
    assert (row.status, row.code, row.body) == (S.REFUSED, "signature_invalid", None)
    assert (row.size, row.times_received, row.key_name) == (len(body), 2, None)
    assert (row.envelope_id, row.account) == (None, None)
    with pytest.raises(IllegalTransition, match="signature was wrong"):
        intake.replay(row.id)
    assert intake.take(body).status is S.ACCEPTED  # and it does not stand in its way
    assert intake.actions("delivery.denied") == 2


def test_a_flood_of_wrong_signatures_is_summed_up(intake: Intake) -> None:
    for number in range(60):
        with pytest.raises(SignatureInvalid):
            intake.post(docusign(number), "a key of somebody else")
    assert len(intake.world.rows("delivery")) == 30
    assert intake.actions("delivery.denied") == 30


@pytest.mark.requirement("J-014")
def test_a_key_is_rotated_without_a_gap(intake: Intake) -> None:
    assert intake.take(docusign(1)).key_name == "docusign-1"
    install_keys(intake.core, **{"docusign-2": NEXT_DOCUSIGN_KEY})
    both = intake.post(docusign(2), DOCUSIGN_KEY, NEXT_DOCUSIGN_KEY)
    alone = intake.post(docusign(3), NEXT_DOCUSIGN_KEY)
    assert intake.row(both).key_name == "docusign-1"
    assert intake.row(alone).key_name == "docusign-2"
    (intake.world.folder / "intake" / "docusign-1.key").unlink()
    with pytest.raises(SignatureInvalid):
        intake.post(docusign(4), DOCUSIGN_KEY)


def test_without_any_key_the_provider_is_asked_to_come_again(intake: Intake) -> None:
    (intake.world.folder / "intake" / "docusign-1.key").unlink()
    with pytest.raises(Unavailable, match="no key of the source docusign"):
        intake.post(docusign())
    assert not intake.world.rows("delivery")


# --- faults ------------------------------------------------------------------------------------
def test_without_the_log_nothing_is_taken_and_nothing_lost(intake: Intake) -> None:
    waiting = intake.post(docusign(1))
    intake.world.trail.behind = "the sequencer is down"
    with pytest.raises(AuditUnavailable):
        intake.post(docusign(2))
    intake.world.trail.behind = ""
    with intake.world.storage.without_log():
        intake.world.work()
    row = intake.row(waiting)
    assert (row.status, row.code) == (S.RECEIVED, "audit_unavailable")
    assert not intake.world.rows("tenant")
    _later(intake, minutes=2)
    assert intake.row(waiting).status is S.ACCEPTED


class Unset:
    """Ids of an installation that lacks a setting for those of tenants."""

    def __init__(self, ids: Ids) -> None:
        self.secret = ids.secret
        self._ids = ids

    def new(self, kind: str) -> str:
        if kind == "tenant":
            raise SettingInvalid("a setting is missing")
        return self._ids.new(kind)


def test_a_fault_of_the_installation_is_not_one_of_the_contract(intake: Intake) -> None:
    waiting, core = intake.post(docusign()), intake.core
    intake.world.core = replace(core, ids=Unset(core.ids))
    intake.world.work()
    row = intake.row(waiting)
    assert (row.status, row.code) == (S.RECEIVED, "setting_invalid")
    intake.world.core = core
    _later(intake, minutes=2)
    assert intake.row(waiting).status is S.ACCEPTED


def _later(intake: Intake, **span: float) -> None:
    intake.world.clock.advance(**span)
    while fire_due(intake.core):
        pass
    intake.world.work()


def test_a_worker_that_dies_before_or_after_it_took_a_delivery_takes_it_once(
    intake: Intake,
) -> None:
    found = intake.post(docusign())

    class Killed(Exception):
        pass

    def dies_first(phase: str, _subject: str) -> None:
        raise Killed(phase)

    with pytest.raises(Killed):
        intake.world.work(dies_first)
    assert intake.row(found).status is S.RECEIVED
    _later(intake, minutes=1)
    row = intake.row(found)
    assert (row.status, row.turn, row.lost_turns) == (S.ACCEPTED, 2, 0)
    intake.core.take_delivery(intake.core, found)  # its death was seen too late
    assert intake.row(found) == row
    assert len(intake.world.rows("tenant")) == 1


def test_two_workers_that_take_a_delivery_at_once_make_one_tenant(intake: Intake) -> None:
    found = intake.post(docusign())
    with ThreadPoolExecutor(4) as pool:
        for taken in [pool.submit(intake.core.take_delivery, intake.core, found) for _ in range(4)]:
            taken.result()
    assert intake.row(found).status is S.ACCEPTED
    assert len(intake.world.rows("tenant")) == 1
    assert intake.actions("delivery.taken") == 1


def test_a_delivery_on_which_workers_fail_again_and_again_ends_with_a_person(
    intake: Intake,
) -> None:
    found = intake.post(docusign())

    def fails(_core: Core, _delivery: str) -> None:
        raise RuntimeError("a bug")

    core = intake.core
    intake.world.core = replace(core, take_delivery=fails)
    for _ in range(12):
        with pytest.raises(RuntimeError):
            intake.world.work()
        intake.world.clock.advance(minutes=1)
        fire_due(intake.core)
        if intake.row(found).status is S.REFUSED:
            break
    row = intake.row(found)
    assert (row.status, row.code, row.body is None) == (S.REFUSED, "internal", False)
    intake.world.core = core
    assert intake.replay(found).status is S.ACCEPTED


# --- people ------------------------------------------------------------------------------------
def test_contents_are_read_by_few_and_that_is_recorded(intake: Intake) -> None:
    found = intake.take(docusign())
    for who in (OPS, ARCHITECT, AUDITOR, person("paula")):
        with pytest.raises(NotAllowed):
            perform(intake.core, who, deliveries.read_content, found.id)
    read = perform(intake.core, ADMIN, deliveries.read_content, found.id)
    assert read.body == as_bytes(docusign())
    assert intake.actions("delivery.read") == 1
    assert intake.world.actions(found.tenant_id)[-1] == "delivery.read:completed"


def test_a_person_decides_and_says_why(intake: Intake) -> None:
    held = intake.take(docusign(Plan="Gold"))
    for who, error in (
        (machine("robot", *OPS.actor.roles), NotAllowed), (AUTOMATION, NotAllowed),
    ):  # fmt: skip
        with pytest.raises(error):
            intake.decide(held.id, "dismiss", who)
    with pytest.raises(InvalidInput, match="reason"):
        perform(
            intake.core, OPS, deliveries.decide_delivery, held.id, decision="dismiss", reason=" "
        )
    assert intake.decide(held.id, "dismiss", ADMIN).status is S.DISMISSED
    assert intake.actions("delivery.refused") == 2


def test_deliveries_are_found_by_any_spelling_of_an_envelope(intake: Intake) -> None:
    one = intake.take(docusign())
    intake.take(docusign(2))
    found = perform(
        intake.core, OPS, deliveries.list_deliveries, limit=10, before=None,
        envelope_id=f" {envelope_of().upper()}", status=S.ACCEPTED, source="docusign",
    )  # fmt: skip
    assert [each.id for each in found] == [one.id]


# --- retention ---------------------------------------------------------------------------------
def _begin_retention(intake: Intake) -> None:
    """Set the timer that the migration sets."""
    with intake.core.uow() as uow:
        uow.timers.set(TimerKind.RETENTION, "deliveries", intake.world.clock.now())
        uow.commit()


def test_contents_are_erased_in_time_and_digests_stay(intake: Intake) -> None:
    taken, refused = intake.take(docusign()), intake.take(docusign(2, Plan="Gold"))
    with pytest.raises(SignatureInvalid):
        intake.post(docusign(3), "a key of somebody else")
    _begin_retention(intake)
    _later(intake, days=91)
    rows = intake.world.rows("delivery")
    assert set(rows) == {taken.id, refused.id}
    assert (rows[taken.id].body, rows[taken.id].sha256) == (None, taken.sha256)
    assert rows[refused.id].body == refused.body  # somebody has to decide
    with pytest.raises(NotFound):
        perform(intake.core, ADMIN, deliveries.read_content, taken.id)


def test_a_legal_hold_keeps_the_contents(intake: Intake) -> None:
    taken = intake.take(docusign())
    hold = perform(
        intake.core, OPS, holds.place_on_tenant, taken.tenant_id or "",
        kind=HoldKind.LEGAL, reason="a court asked for it",
    )  # fmt: skip
    _begin_retention(intake)
    _later(intake, days=91)
    assert intake.row(taken.id).body is not None
    perform(intake.core, ADMIN, holds.release_hold, hold.id, reason="settled")
    _later(intake, days=1)
    assert intake.row(taken.id).body is None


def test_a_mode_b_delivery_waits_for_its_approval(intake: Intake) -> None:
    found = intake.take(docusign(Delivery="Dedicated"))
    (run,) = [run for run in intake.world.rows("run").values() if run.tenant_id == found.tenant_id]
    assert run.status is RunStatus.AWAITING_APPROVAL


def test_the_contents_of_a_tenant_go_with_it(intake: Intake) -> None:
    taken = intake.take(docusign())
    other = intake.take(docusign(2))
    saga_id = remove_all(intake.world, taken.tenant_id or "")
    steps = {step.name for step in steps_of(intake.world, saga_id)}
    assert "close" in steps
    row = intake.row(taken.id)
    assert (row.status, row.body, row.sha256) == (S.ACCEPTED, None, taken.sha256)
    assert intake.row(other.id).body == other.body
    again = intake.post(docusign(retry=5))  # the provider posts it once more
    intake.world.work()
    assert (again, intake.row(again).body) == (taken.id, None)
