"""One-time links: one of any number of callers uses one, and none lies anywhere in the clear."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from control_plane.adapters.secrets.onboarding import DerivedOnboardingKeys
from control_plane.domain.cause import Cause
from control_plane.domain.errors import NotFound, Unavailable
from control_plane.domain.hold import HoldKind
from control_plane.domain.onboarding_errors import LinkNotNow, LinkTooSoon, NoItAdmin
from control_plane.domain.onboarding_link import (
    LinkStatus,
    network_of,
    read_code,
    read_token,
    too_soon,
)
from control_plane.logging import hide_tokens
from control_plane.ports.systems import Systems
from control_plane.services import holds, onboarding, onboarding_visits, provisioning
from control_plane.services.onboarding_visits import Outcome
from control_plane.services.performing import perform
from control_plane.workflows.linking import issue_link, revoke_link
from control_plane.workflows.links import contacts_of, expire_when_due, link_value
from control_plane.workflows.step_actions import (
    NO_MAIL,
    Asks,
    Did,
    Given,
    NotNeeded,
    StillWaits,
)
from control_plane.workflows.timers import fire_due
from tests.onboarding import ELSEWHERE, HOME, Holder, visitor
from tests.scripted_mailer import ScriptedMailer
from tests.world import ADMIN, AUTOMATION, OPS, World, request_body

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(hours=24)
START = datetime.fromisoformat("2026-11-20T14:00:00+00:00")


@pytest.fixture
def holder(world: World) -> Holder:
    return Holder(world)


def moved(world: World, instant: datetime) -> None:
    """Let it be another time, be it an earlier one."""
    world.clock.advance(microseconds=(instant - world.clock.now()) / timedelta(microseconds=1))


def refusals(world: World) -> list[str]:
    return [str(e.data["why"]) for e in world.events() if e.action == "onboarding.rejected"]


def test_a_link_is_used_with_the_code_of_its_mailbox(holder: Holder) -> None:
    token = holder.issued()
    visit = holder.view(token)
    assert (visit.has_code, visit.locale) == (False, "it")
    done = holder.redeem(token, holder.with_code(token))
    assert done.outcome is Outcome.GOOD
    assert holder.link.status is LinkStatus.USED
    found = perform(holder.world.core, visitor(), onboarding_visits.welcome, done.token)
    assert (found.tenant.id, found.session.role) == (holder.tenant_id, "it_admin")
    actions = [a for a in holder.world.actions(holder.tenant_id) if a.startswith("onboarding.")]
    assert actions == [
        "onboarding.issued:completed", "onboarding.viewed:completed",
        "onboarding.code_sent:completed", "onboarding.redeemed:completed",
    ]  # fmt: skip


def test_opening_a_link_uses_nothing_up(holder: Holder) -> None:
    token = holder.issued()
    for _ in range(50):
        assert holder.view(token) is not None
    for typed in ("", "abc", "12345", "١٢٣٤٥٦"):  # a scanner that posts what it finds
        assert holder.redeem(token, typed).outcome is Outcome.NO_CODE
    assert holder.link.failures == 0
    assert holder.redeem(token, holder.with_code(token)).outcome is Outcome.GOOD


@pytest.mark.requirement("J-026")
@pytest.mark.parametrize(
    ("after", "is_valid"), [(DAY - SECOND, True), (DAY - timedelta(microseconds=1), True),
                            (DAY, False), (DAY + SECOND, False)]
)  # fmt: skip
def test_a_link_is_valid_for_less_than_24_hours(
    holder: Holder, after: timedelta, is_valid: bool
) -> None:
    token = holder.issued()
    issued = holder.link.issued_at
    moved(holder.world, issued + after - MINUTE)
    code = holder.with_code(token)
    moved(holder.world, issued + after)
    expected = Outcome.GOOD if is_valid else Outcome.UNUSABLE
    assert holder.redeem(token, code).outcome is expected


def test_a_clock_that_moves_backwards_revives_nothing(holder: Holder) -> None:
    token = holder.issued()
    issued = holder.link.issued_at
    moved(holder.world, issued + DAY)
    assert holder.view(token) is None
    moved(holder.world, issued + MINUTE)
    assert holder.view(token) is None
    assert holder.link.status is LinkStatus.EXPIRED
    assert "onboarding.expired:completed" in holder.world.actions()
    moved(holder.world, issued - MINUTE)
    with pytest.raises(LinkTooSoon):  # nor does it let another one out early
        holder.issued()


def test_a_code_that_expired_stays_expired(holder: Holder) -> None:
    token = holder.issued()
    code = holder.with_code(token)
    sent = holder.link.code_sent_at or START
    moved(holder.world, sent + timedelta(minutes=10))
    assert holder.redeem(token, code).outcome is Outcome.NO_CODE
    moved(holder.world, sent)
    assert holder.redeem(token, code).outcome is Outcome.NO_CODE


def test_a_timer_ends_a_link(holder: Holder) -> None:
    holder.issued()
    moved(holder.world, holder.link.expires_at)
    for _ in range(5):
        fire_due(holder.world.core)
    assert holder.link.status is LinkStatus.EXPIRED
    with holder.world.core.act() as act:
        expire_when_due(act, holder.link.id)  # once more does nothing
        act.uow.commit()
    assert holder.world.actions().count("onboarding.expired:completed") == 1


def test_five_wrong_codes_lock_a_link_also_side_by_side(holder: Holder) -> None:
    token = holder.issued()
    code = holder.with_code(token)
    wrong = [f"{number:06}" for number in range(30) if f"{number:06}" != code]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda typed: holder.redeem(token, typed).outcome, wrong[:20]))
    assert outcomes.count(Outcome.WRONG_CODE) == 4
    assert (holder.link.status, holder.link.failures) == (LinkStatus.LOCKED, 5)
    assert holder.redeem(token, code).outcome is Outcome.UNUSABLE


def test_only_the_newest_code_is_taken_and_five_are_sent(holder: Holder) -> None:
    token = holder.issued()
    first = holder.with_code(token)
    assert holder.with_code(token) == first  # within a minute there is no second one
    assert holder.link.code_number == 1
    for _ in range(6):
        holder.world.clock.advance(seconds=60)
        holder.with_code(token)
    assert holder.link.code_number == 5
    if first != holder.code():
        assert holder.redeem(token, first).outcome is Outcome.WRONG_CODE
    assert holder.redeem(token, holder.code()).outcome is Outcome.GOOD


@pytest.mark.requirement("J-025")
def test_a_used_link_that_comes_from_elsewhere_is_a_replay(holder: Holder) -> None:
    token = holder.issued()
    code = holder.with_code(token)
    holder.redeem(token, code)
    assert holder.redeem(token, code).outcome is Outcome.UNUSABLE
    assert holder.link.replayed_at is None
    assert holder.redeem(token, code, ELSEWHERE).outcome is Outcome.UNUSABLE
    assert holder.link.replayed_at is not None
    assert holder.world.actions().count("onboarding.replay_rejected:denied") == 1


# --- issuing again --------------------------------------------------------------------------------
@pytest.mark.requirement("J-026")
def test_a_new_link_revokes_the_one_before(holder: Holder) -> None:
    first = holder.issued()
    holder.world.clock.advance(seconds=60)
    second = holder.issued()
    assert first != second
    assert holder.view(first) is None
    assert holder.view(second) is not None
    statuses = [row.status for row in holder.world.rows("onboarding_link").values()]
    assert statuses == [LinkStatus.REVOKED, LinkStatus.ISSUED]


@pytest.mark.requirement("J-026")
def test_links_are_a_minute_apart_and_five_a_day(holder: Holder) -> None:
    holder.issued()
    start = holder.link.issued_at
    moved(holder.world, start + MINUTE - SECOND)
    with pytest.raises(LinkTooSoon):
        holder.issued()
    for number in range(1, 5):
        moved(holder.world, start + number * MINUTE)
        holder.issued()
    moved(holder.world, start + DAY - SECOND)
    with pytest.raises(LinkTooSoon) as refused:
        holder.issued()
    assert refused.value.data["retry_at"] == (start + DAY).isoformat()
    moved(holder.world, start + DAY)
    holder.issued()


def test_when_the_next_link_may_come_is_a_pure_question() -> None:
    assert too_soon([], START) is None
    assert too_soon([START - DAY], START) is None
    wait = too_soon([START - timedelta(hours=n) for n in range(1, 6)], START)
    assert wait is not None
    assert wait.at == START + timedelta(hours=19)


def test_the_holder_gets_a_new_link_to_the_registered_mailbox(holder: Holder) -> None:
    token = holder.issued()
    moved(holder.world, holder.link.expires_at)
    perform(holder.world.core, visitor(), onboarding_visits.ask_again, token)
    assert holder.link.status is LinkStatus.ISSUED
    message = list(holder.world.rows("message").values())[-1]
    assert (message.event, message.recipient_email) == ("portal.link_issued", "ida@example.com")
    perform(holder.world.core, visitor(), onboarding_visits.ask_again, token)  # an older one
    assert len(holder.world.rows("onboarding_link")) == 2


def test_a_link_that_a_person_revoked_brings_no_other(holder: Holder) -> None:
    token = holder.issued()
    perform(holder.world.core, OPS, onboarding.revoke_link, holder.tenant_id, reason="left")
    holder.world.clock.advance(seconds=60)
    perform(holder.world.core, visitor(), onboarding_visits.ask_again, token)
    assert len(holder.world.rows("onboarding_link")) == 1
    assert refusals(holder.world) == ["by_person"]


def test_revoking_ends_the_session(holder: Holder) -> None:
    session = holder.signed_in()
    perform(holder.world.core, OPS, onboarding.revoke_link, holder.tenant_id, reason="left")
    assert perform(holder.world.core, visitor(), onboarding_visits.welcome, session) is None
    with pytest.raises(NotFound):
        perform(holder.world.core, OPS, onboarding.revoke_link, holder.tenant_id, reason="again")


@pytest.mark.requirement("J-039")
def test_no_link_is_issued_during_a_hold_or_before_the_mode_is_decided(world: World) -> None:
    held = Holder(world)
    perform(world.core, OPS, holds.place_on_tenant, held.tenant_id, kind=HoldKind.PAUSE,
            reason="wait")  # fmt: skip
    with pytest.raises(LinkNotNow):
        held.issued()
    unclear = Holder(world, "A", 2, data_must_stay_in_customer_cloud=True)
    assert world.rows("tenant")[unclear.tenant_id].status == "mode_conflict"
    with pytest.raises(LinkNotNow):
        unclear.issued()
    assert world.actions().count("onboarding.refused:denied") == 2
    assert not world.rows("message")


# --- sessions -------------------------------------------------------------------------------------
def test_a_session_ends_when_it_is_idle_and_after_eight_hours(holder: Holder) -> None:
    session = holder.signed_in()
    core, clock = holder.world.core, holder.world.clock
    start = clock.now()

    def is_open_at(instant: datetime) -> bool:
        moved(holder.world, instant)
        return perform(core, visitor(), onboarding_visits.welcome, session) is not None

    at = start
    while at + timedelta(minutes=29) < start + timedelta(hours=8):
        at += timedelta(minutes=29)
        assert is_open_at(at)
    assert is_open_at(start + timedelta(hours=8) - SECOND)
    assert is_open_at(start)  # the clock moved backwards
    assert not is_open_at(start + timedelta(hours=8))
    other = Holder(holder.world, number=2)
    session = other.signed_in()
    assert not is_open_at(clock.now() + timedelta(minutes=30))


def test_a_session_shows_its_own_tenant_and_takes_no_other_secret(holder: Holder) -> None:
    other = Holder(holder.world, number=2)
    mine, theirs = holder.signed_in(), other.signed_in()
    mixed = f"{mine.partition('.')[0]}.{theirs.partition('.')[2]}"
    core = holder.world.core
    assert perform(core, visitor(), onboarding_visits.welcome, mixed) is None
    found = perform(core, visitor(), onboarding_visits.welcome, theirs)
    assert found.tenant.id == other.tenant_id
    perform(core, visitor(), onboarding_visits.sign_out, theirs)
    assert perform(core, visitor(), onboarding_visits.welcome, theirs) is None


def test_a_code_of_another_tenant_is_wrong(holder: Holder) -> None:
    other = Holder(holder.world, number=2)
    mine, theirs = holder.issued(), other.issued()
    my_code, their_code = holder.with_code(mine), other.with_code(theirs)
    mixed = f"{mine.partition('.')[0]}.{theirs.partition('.')[2]}"
    assert holder.redeem(mixed, my_code).outcome is Outcome.UNUSABLE
    if my_code != their_code:
        assert holder.redeem(mine, their_code).outcome is Outcome.WRONG_CODE


# --- secrets --------------------------------------------------------------------------------------
@pytest.mark.requirement("J-025")
def test_neither_token_nor_code_lies_in_the_database_or_the_log(holder: Holder) -> None:
    token = holder.issued()
    code = holder.with_code(token)
    session = holder.redeem(token, code).token
    secret = token.partition(".")[2]
    dump = repr(holder.world.storage.everything()) + repr(holder.world.events())
    with holder.world.storage.unit_of_work() as uow:
        queue = uow.connection.execute(text("SELECT * FROM dbos.workflow_input")).all()
    dump += repr(queue)
    for hidden in (token, secret, session, session.partition(".")[2]):
        assert hidden not in dump
    assert not re.search(rf"\b{code}\b", dump)


def test_values_are_made_again_until_the_link_has_ended(holder: Holder) -> None:
    token = holder.issued()
    assert holder.token() == token
    link_id = holder.link.id
    holder.redeem(token, holder.with_code(token))
    assert link_value(holder.world.core, link_id) is None


def test_a_process_with_another_key_sends_no_link(holder: Holder, world: World) -> None:
    holder.issued()
    keys = world.core.onboarding_keys
    assert isinstance(keys, DerivedOnboardingKeys)
    keys._kept = b"another key of thirty-two bytes!"
    with pytest.raises(Unavailable):
        holder.token()


def test_codes_are_spread_evenly(world: World) -> None:
    codes = [world.core.onboarding_keys.code("mlk_x", "nonce", n) for n in range(5000)]
    assert all(len(each) == 6 and each.isdigit() for each in codes)
    for place in range(6):
        counts = [sum(code[place] == str(digit) for code in codes) for digit in range(10)]
        assert min(counts) > 400


def test_log_lines_have_no_tokens(holder: Holder) -> None:
    token = holder.issued()
    secret = token.partition(".")[2]
    given = {
        "event": "request.answered", "path": f"/onboarding/{token}/redeem",
        "deep": [{"url": f"https://x/onboarding/{token}?a=b"}],
        "exception": f"Traceback: {token}", "escaped": token.replace(".", "%2E"),
    }  # fmt: skip
    out = io.StringIO()
    structlog.PrintLogger(out).msg(repr(hide_tokens(None, "", dict(given))))
    assert secret not in out.getvalue()
    assert holder.link.id in out.getvalue()


# --- the database refuses too ---------------------------------------------------------------------
@pytest.mark.parametrize(
    "change",
    [
        "status = 'issued', nonce = 'x', ended_at = NULL, used_at = NULL, used_from = NULL",
        "used_at = now()", "expires_at = expires_at + interval '1 hour'", "secret_hmac = 'x'",
        "failures = -1", "tenant_id = 'ten_other'",
    ],
)  # fmt: skip
def test_the_database_gives_no_second_use(holder: Holder, change: str) -> None:
    holder.signed_in()
    with holder.world.storage.unit_of_work() as uow, pytest.raises(DBAPIError):
        uow.connection.execute(text(f"UPDATE onboarding_link SET {change}"))  # noqa: S608 - a test
    with holder.world.storage.unit_of_work() as uow, pytest.raises(DBAPIError):
        uow.connection.execute(text("DELETE FROM onboarding_link"))


def test_the_database_opens_no_session_for_another_tenant(holder: Holder) -> None:
    holder.signed_in()
    copied = (
        "INSERT INTO onboarding_session SELECT 'ons_x', link_id, 'ten_other', role, secret_hmac, "
        "started_at, seen_at, expires_at, NULL, 1 FROM onboarding_session"
    )
    with holder.world.storage.unit_of_work() as uow, pytest.raises(DBAPIError):
        uow.connection.execute(text(copied))


# --- the actions of playbooks ---------------------------------------------------------------------
def given(holder: Holder, round_: int = 1, **changes: Any) -> Given:
    world = holder.world
    with world.core.act() as act:
        tenant = act.uow.tenants.need(holder.tenant_id)
        contract = act.uow.contracts.find(tenant_id=tenant.id)[0]
        contacts = tuple(contacts_of(act, tenant))
    cause = Cause(playbook="day-0/1", digest="0" * 64, journey_id="jny_1", step="portal_link",
                  round=round_)  # fmt: skip
    facts: dict[str, Any] = {
        "tenant": tenant, "contract": contract, "contacts": contacts, "journey": None,
        "step": None, "declared": None, "cause": cause, **changes,
    }  # fmt: skip
    return Given(**facts)


def acted(holder: Holder, do: Any, wanted: Given) -> Any:
    with holder.world.core.act() as act:
        outcome = do(act, wanted)
        act.uow.commit()
    return outcome


def with_mail(holder: Holder) -> None:
    systems = Systems(mailer=ScriptedMailer())
    holder.world.core = replace(holder.world.core, systems=systems)


def test_without_mail_the_action_issues_nothing(holder: Holder) -> None:
    assert acted(holder, issue_link, given(holder)) == NO_MAIL
    assert not holder.world.rows("onboarding_link")
    with_mail(holder)
    did = acted(holder, issue_link, given(holder))
    assert isinstance(did, Did)
    holder.world.core = replace(holder.world.core, systems=Systems())
    assert acted(holder, issue_link, given(holder)) == did


def test_the_action_issues_one_link_for_a_round(holder: Holder) -> None:
    with_mail(holder)
    first = acted(holder, issue_link, given(holder))
    again = acted(holder, issue_link, given(holder))
    assert isinstance(first, Did)
    assert first == again
    assert len(holder.world.rows("message")) == 1
    later = acted(holder, issue_link, given(holder, round_=2))
    assert isinstance(later, StillWaits)
    assert later.until == holder.link.issued_at + MINUTE
    assert acted(holder, revoke_link, given(holder)) == Did(result={"revoked": 1})
    assert isinstance(acted(holder, revoke_link, given(holder)), NotNeeded)


def test_the_action_waits_for_a_hold_and_asks_for_a_missing_contact(holder: Holder) -> None:
    with_mail(holder)
    contacts = given(holder).contacts
    two = (*contacts, {**contacts[0], "email": "second@example.com", "name": "Second"})
    asked = acted(holder, issue_link, given(holder, contacts=()))
    assert isinstance(asked, Asks)
    assert asked.owner == "sales"
    perform(holder.world.core, OPS, holds.place_on_tenant, holder.tenant_id, kind=HoldKind.PAUSE,
            reason="wait")  # fmt: skip
    assert isinstance(acted(holder, issue_link, given(holder)), StillWaits)
    hold = next(iter(holder.world.rows("hold")))
    perform(holder.world.core, ADMIN, holds.release_hold, hold, reason="done")
    did = acted(holder, issue_link, given(holder, contacts=two))
    assert "2 IT admins" in did.result["says"]
    recipients = {row.recipient_email for row in holder.world.rows("message").values()}
    assert recipients == {"ida@example.com"}


@pytest.mark.requirement("J-039")
def test_without_an_it_admin_nobody_gets_a_link(world: World) -> None:
    body = {**request_body(), "contacts": []}
    tenant = perform(world.core, AUTOMATION, provisioning.submit_request, body).tenant
    with pytest.raises(NoItAdmin):
        perform(world.core, ADMIN, onboarding.issue_link, tenant.id)


# --- limits ---------------------------------------------------------------------------------------
def test_an_address_has_ten_attempts_a_minute(world: World) -> None:
    def admitted() -> bool:
        return perform(world.core, visitor(), onboarding_visits.admit)

    assert [admitted() for _ in range(11)] == [True] * 10 + [False]
    assert perform(world.core, visitor(ELSEWHERE), onboarding_visits.admit)
    world.clock.advance(seconds=60)
    assert admitted()


def test_many_attempts_of_many_raise_one_alarm(world: World) -> None:
    for number in range(130):
        address = visitor(f"192.0.2.{number}")
        assert perform(world.core, address, onboarding_visits.admit)
    assert world.actions().count("onboarding.alarm:completed") == 1


@pytest.mark.parametrize(
    ("text_", "expected"),
    [("123456", "123456"), (" 123 456 ", "123456"), ("123-456", "123456"), ("12345", None),
     ("1234567", None), ("12345a", None), ("", None), ("١٢٣٤٥٦", None)],
)  # fmt: skip
def test_codes_are_read_as_people_type_them(text_: str, expected: str | None) -> None:
    assert read_code(text_) == expected


def test_a_token_has_one_form() -> None:
    good = "mlk_01JD0000000000000000000000." + "a" * 43
    assert read_token(good) is not None
    for bad in (good + "a", good[:-1], good + "\n", good.replace(".", "/"), "", good.upper()):
        assert read_token(bad) is None


def test_networks_are_those_of_a_site() -> None:
    assert network_of(HOME) == network_of("198.51.100.200")
    assert network_of(HOME) != network_of(ELSEWHERE)
    assert network_of("2001:db8:1:2::/64") == network_of("2001:db8:1:2::5")
