"""From a queued message to a mail: once, again later, never, and never twice without a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from control_plane.domain.errors import IllegalTransition, InvalidInput, NotAllowed, NotFound
from control_plane.domain.hold import Applying, HoldKind
from control_plane.domain.message import (
    Message,
    MessageClass,
    MessageStatus,
    Reason,
    Recipient,
    SecretRef,
)
from control_plane.domain.message_errors import SecretGone
from control_plane.domain.suppression import SuppressionKind, address_digest
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable
from control_plane.domain.timers import TimerKind
from control_plane.ports.systems import CalendarPart
from control_plane.services import holds, messages, suppressions
from control_plane.services.performing import perform
from control_plane.workflows.secret_kinds import SECRET_KINDS
from control_plane.workflows.sending import send_message
from control_plane.workflows.timers import fire_due
from tests.scripted_mailer import ScriptedMailer
from tests.workflows.sending import Died, Sender
from tests.world import ADMIN, ARCHITECT, AUDITOR, OPS, World, person

S = MessageStatus
DOWN = SystemUnavailable("down", system="scripted")
UNSURE = SystemUnavailable("no answer", system="scripted", may_have_acted=True)
NO_SUCH_PERSON = SystemRefused("refused: 550 5.1.1", system="scripted", reason="recipient")
BAD_LOGIN = SystemRefused("refused: 535", system="scripted", reason="login")


@pytest.fixture
def sender(world: World) -> Sender:
    made = Sender(world)
    made.with_mail()
    return made


def test_a_message_is_sent_as_its_template_says(sender: Sender) -> None:
    message = sender.sent()
    assert (message.status, message.system, message.system_id) == (S.SENT, "scripted", "mail-1")
    assert message.template == "step.blocked/1"
    (mail,) = sender.mailer.taken
    assert mail.message_id == message.message_id
    assert mail.recipient == "ida@example.com"
    assert "Single sign-on" in mail.subject
    assert "the metadata" in mail.text
    assert mail.html is not None
    assert "the metadata" in mail.html
    log = [a for a in sender.world.actions() if a.startswith("message.")]
    assert log == [
        "message.queued:completed", "message.sent:attempted", "message.sent:completed",
    ]  # fmt: skip


def test_an_invitation_goes_along(sender: Sender) -> None:
    part = CalendarPart(method="REQUEST", content="BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")
    sender.sent(
        event="kickoff.invited", calendar=part,
        data={"title": "Kickoff", "starts_at": "2026-11-24T09:00:00+00:00",
              "ends_at": "2026-11-24T10:00:00+00:00"},
    )  # fmt: skip
    (mail,) = sender.mailer.taken
    assert mail.calendar == part
    assert "24 novembre 2026, ore 10:00 (Europe/Rome)" in mail.text


# --- deaths ------------------------------------------------------------------------------------
def dies_at_commit(sender: Sender, number: int, message: Message) -> None:
    """Let the worker that sends a message die at its commit of that number."""
    core, count = sender.world.core, 0

    class Dying:
        def __init__(self, uow: Any) -> None:
            self._uow = uow

        def __enter__(self) -> Any:
            found = self._uow.__enter__()
            commit = found.commit

            def committing() -> None:
                nonlocal count
                count += 1
                if count == number:
                    raise Died
                commit()

            found.commit = committing
            return found

        def __exit__(self, *given: object) -> None:
            self._uow.__exit__(*given)

    with pytest.raises(Died):
        send_message(replace(core, uow=lambda: Dying(core.uow())), message.id)


@pytest.mark.requirement("J-030")
@pytest.mark.parametrize("commit", [1, 2])
def test_a_death_before_it_is_handed_over_leaves_no_trace(sender: Sender, commit: int) -> None:
    message = sender.post()
    dies_at_commit(sender, commit, message)
    assert not sender.mailer.taken
    sender.world.work()
    found = sender.row(message)
    assert (found.status, found.may_be_twice) == (S.SENT, False)
    assert len(sender.mailer.taken) == 1


@pytest.mark.requirement("J-030")
@pytest.mark.parametrize(("is_exactly_once", "copies"), [(True, 1), (False, 2)])
def test_a_death_after_it_is_handed_over_is_one_copy_or_recorded(
    sender: Sender, is_exactly_once: bool, copies: int
) -> None:
    sender.with_mail(ScriptedMailer(is_exactly_once=is_exactly_once))
    message = sender.post()
    dies_at_commit(sender, 3, message)
    assert sender.row(message).status is S.SENDING
    sender.world.work()
    found = sender.row(message)
    assert found.status is S.SENT
    assert found.may_be_twice is not is_exactly_once
    assert len(sender.mailer.taken) == copies
    assert len({each.message_id for each in sender.mailer.taken}) == 1
    assert sender.world.actions().count("message.sent:unknown") == 1


def test_a_worker_that_was_taken_for_dead_changes_nothing(sender: Sender) -> None:
    message = sender.post()
    sender.mailer.meanwhile = lambda: (
        setattr(sender.mailer, "meanwhile", lambda: None),
        send_message(sender.world.core, message.id),
    )
    send_message(sender.world.core, message.id)
    found = sender.row(message)
    assert (found.status, found.may_be_twice) == (S.SENT, True)
    assert sender.world.actions().count("message.sent:completed") == 1


def test_a_turn_that_is_lost_again_and_again_is_dead(sender: Sender) -> None:
    message = sender.post()
    for _ in range(11):
        sender.world.work(lambda *_: None)  # a fault: the phase ends, and nothing is written
        sender.later_without_work(seconds=31)
    found = sender.row(message)
    assert (found.status, found.reason) == (S.DEAD, Reason.LOST)
    assert not sender.mailer.taken


# --- again -------------------------------------------------------------------------------------
def test_an_outage_is_waited_for_longer_each_time(sender: Sender) -> None:
    sender.mailer.before = [DOWN, DOWN]
    message = sender.sent()
    assert (message.status, message.reason) == (S.QUEUED, Reason.PUT_OFF)
    sender.later(seconds=29)
    assert sender.row(message).attempts == 1
    sender.later(seconds=2)
    assert sender.row(message).attempts == 2
    sender.later(seconds=31)
    assert sender.row(message).attempts == 2  # the pause doubled
    sender.later(seconds=30)
    found = sender.row(message)
    assert (found.status, found.attempts, found.may_be_twice) == (S.SENT, 3, False)
    assert len(sender.mailer.taken) == 1


def test_a_system_that_names_a_pause_is_heeded(sender: Sender) -> None:
    sender.mailer.before = [SystemUnavailable("busy", system="scripted", retry_after=600)]
    message = sender.sent()
    sender.later(seconds=599)
    assert sender.row(message).status is S.QUEUED
    sender.later(seconds=2)
    assert sender.row(message).status is S.SENT


@pytest.mark.parametrize("is_exactly_once", [True, False])
def test_an_answer_that_does_not_come_is_a_possible_duplicate(
    sender: Sender, is_exactly_once: bool
) -> None:
    sender.with_mail(ScriptedMailer(is_exactly_once=is_exactly_once))
    sender.mailer.after = [UNSURE]
    message = sender.sent()
    sender.later(seconds=31)
    found = sender.row(message)
    assert (found.status, found.may_be_twice) == (S.SENT, not is_exactly_once)
    assert len(sender.mailer.taken) == (1 if is_exactly_once else 2)


@pytest.mark.requirement("J-030")
@pytest.mark.parametrize("error", [DOWN, BAD_LOGIN])
def test_what_is_tried_in_vain_is_given_up(sender: Sender, error: Exception) -> None:
    attempts = sender.world.core.rules.messages.pauses.attempts
    sender.mailer.before = [error] * attempts
    message = sender.sent()
    for _ in range(attempts):
        sender.later(hours=1, seconds=1)
    found = sender.row(message)
    assert (found.status, found.reason, found.attempts) == (S.DEAD, Reason.GAVE_UP, attempts)
    again = perform(sender.world.core, OPS, messages.send_message_again, message.id, reason="back")
    assert again.status is S.QUEUED
    sender.world.work()
    assert sender.row(message).status is S.SENT
    assert len(sender.mailer.taken) == 1


def test_a_recipient_that_is_refused_gets_nothing_more(sender: Sender) -> None:
    sender.mailer.before = [NO_SUCH_PERSON]
    message = sender.sent()
    assert (message.status, message.reason) == (S.DEAD, Reason.REFUSED)
    (bounced,) = sender.world.rows("suppression").values()
    assert bounced.kind is SuppressionKind.BOUNCED
    assert bounced.address_sha256 == address_digest("IDA@example.com")
    assert "ida" not in repr(bounced)
    other = sender.sent("key-2", recipient=Recipient(name="Ida", email="Ida@Example.com"))
    assert (other.status, other.reason) == (S.SUPPRESSED, Reason.BOUNCED)
    perform(
        sender.world.core, OPS, suppressions.lift_suppression, bounced.id, reason="typo corrected"
    )
    perform(sender.world.core, OPS, messages.send_message_again, other.id, reason="corrected")
    sender.world.work()
    assert sender.row(other).status is S.SENT


# --- secrets -----------------------------------------------------------------------------------
SECRET = "https://onboarding.example/mlk_lnk_1.SECRETsecretSECRET"


def posted_link(sender: Sender) -> Message:
    return sender.post(
        event="portal.link_issued", data={"expires_at": "2026-11-21T14:03:00+00:00"},
        secrets={"link": SecretRef(kind="test_link", id="lnk_1")},
    )  # fmt: skip


@pytest.fixture
def links() -> Any:
    SECRET_KINDS["test_link"] = lambda _, found: SECRET if found == "lnk_1" else found
    yield
    del SECRET_KINDS["test_link"]


@pytest.mark.usefixtures("links")
def test_a_secret_is_in_the_mail_and_nowhere_else(sender: Sender) -> None:
    message = posted_link(sender)
    seen = perform(sender.world.core, OPS, messages.preview_message, message.id)
    sender.world.work()
    (mail,) = sender.mailer.taken
    assert SECRET in mail.text
    assert f'<a href="{SECRET}"' in (mail.html or "")
    assert "SECRET" not in mail.subject
    assert "only the recipient sees it" in seen.rendered.text
    kept = [repr(seen), repr(mail), *map(repr, sender.world.rows("message").values())]
    kept += [str(event.body) + str(event.personal) for event in sender.world.events()]
    with sender.world.core.uow() as uow:
        kept.append(str(uow.connection.exec_driver_sql("TABLE message").all()))  # type: ignore[attr-defined]  # the SQL one has it
    assert not [each for each in kept if "SECRETsecret" in each]


def test_a_secret_that_nothing_resolves_is_dead_with_a_reason(sender: Sender) -> None:
    message = posted_link(sender)
    sender.world.work()
    found = sender.row(message)
    assert (found.status, found.reason) == (S.DEAD, Reason.UNPRINTABLE)
    assert found.error is not None
    assert found.error["code"] == SecretGone.code
    assert not sender.mailer.taken


# --- suppressed --------------------------------------------------------------------------------
def of_class(monkeypatch: pytest.MonkeyPatch, message_class: MessageClass) -> None:
    """Let the event of the tests be of a class."""
    from control_plane.workflows import outbox

    event = replace(outbox.EVENTS["step.blocked"], message_class=message_class)
    monkeypatch.setitem(outbox.EVENTS, "step.blocked", event)  # type: ignore[arg-type]  # a dict


@pytest.mark.parametrize(
    ("message_class", "kind", "expected"),
    [
        (MessageClass.TRANSACTIONAL, SuppressionKind.OPTED_OUT, (S.SENT, None)),
        (MessageClass.LIFECYCLE, SuppressionKind.OPTED_OUT, (S.SUPPRESSED, Reason.OPTED_OUT)),
        (MessageClass.COMMERCIAL, SuppressionKind.OPTED_OUT, (S.SUPPRESSED, Reason.OPTED_OUT)),
        (MessageClass.TRANSACTIONAL, SuppressionKind.BOUNCED, (S.SUPPRESSED, Reason.BOUNCED)),
    ],
)
def test_an_address_on_the_list_gets_what_it_may(
    sender: Sender,
    monkeypatch: pytest.MonkeyPatch,
    message_class: MessageClass,
    kind: SuppressionKind,
    expected: tuple[MessageStatus, Reason | None],
) -> None:
    of_class(monkeypatch, message_class)
    perform(
        sender.world.core, OPS, suppressions.add_suppression,
        email="IDA@example.com", kind=kind, reason="asked by phone",
    )  # fmt: skip
    message = sender.sent()
    assert (message.status, message.reason) == expected


@pytest.mark.requirement("P-045")
@pytest.mark.parametrize(("days", "status"), [(0, S.SUPPRESSED), (3, S.SUPPRESSED), (4, S.SENT)])
def test_nothing_commercial_goes_out_in_the_first_days(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, days: int, status: MessageStatus
) -> None:
    of_class(monkeypatch, MessageClass.COMMERCIAL)
    sender.world.clock.advance(days=days)
    message = sender.sent()
    assert message.status is status
    assert message.reason == (Reason.TOO_EARLY if status is S.SUPPRESSED else None)


@pytest.mark.requirement("P-032")
def test_nobody_gets_more_than_the_cap_in_a_day(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_class(monkeypatch, MessageClass.LIFECYCLE)
    cap = sender.world.core.rules.messages.daily_cap
    found = [sender.sent(f"key-{number}").status for number in range(cap + 1)]
    assert found == [S.SENT] * cap + [S.SUPPRESSED]
    other = sender.sent("other", recipient=Recipient(name="Eva", email="eva@example.com"))
    assert other.status is S.SENT
    of_class(monkeypatch, MessageClass.TRANSACTIONAL)
    assert sender.sent("needed").status is S.SENT
    of_class(monkeypatch, MessageClass.LIFECYCLE)
    sender.world.clock.advance(hours=24, seconds=1)
    assert sender.sent("tomorrow").status is S.SENT


@pytest.mark.parametrize("kind", [HoldKind.LEGAL, HoldKind.PAUSE])
def test_while_a_hold_stands_a_message_waits(sender: Sender, kind: HoldKind) -> None:
    core = sender.world.core
    hold = perform(
        core, OPS, holds.place_on_tenant, sender.tenant_id,
        kind=kind, applying=Applying.FINISHES, reason="a dispute",
    )  # fmt: skip
    message = sender.sent()
    assert (message.status, message.reason) == (S.QUEUED, Reason.HOLD)
    sender.later(days=2)
    assert sender.row(message).status is S.QUEUED
    assert not sender.mailer.taken
    perform(core, ADMIN, holds.release_hold, hold.id, reason="settled")
    sender.later(seconds=0)
    assert sender.row(message).status is S.SENT
    assert len(sender.mailer.taken) == 1


# --- people ------------------------------------------------------------------------------------
def test_a_message_that_waits_can_be_canceled_and_is_not_sent(sender: Sender) -> None:
    message = sender.post()
    found = perform(sender.world.core, ADMIN, messages.cancel_message, message.id, reason="wrong")
    assert (found.status, found.reason) == (S.CANCELED, Reason.BY_PERSON)
    sender.world.work()
    assert not sender.mailer.taken
    with pytest.raises(IllegalTransition):
        perform(sender.world.core, ADMIN, messages.cancel_message, message.id, reason="again")
    with pytest.raises(IllegalTransition):
        perform(sender.world.core, OPS, messages.send_message_again, message.id, reason="after all")


@pytest.mark.parametrize(
    "act",
    [
        lambda core, who, found: perform(core, who, messages.preview_message, found),
        lambda core, who, found: perform(core, who, messages.cancel_message, found, reason="x"),
        lambda core, who, found: perform(core, who, messages.send_message_again, found, reason="x"),
    ],
)
def test_who_may_not_is_refused(sender: Sender, act: Callable[..., object]) -> None:
    message = sender.sent()
    with pytest.raises(NotAllowed):
        act(sender.world.core, AUDITOR, message.id)
    elsewhere = person("olga", *OPS.actor.roles, tenants=("ten_other",))
    with pytest.raises(NotFound):
        act(sender.world.core, elsewhere, message.id)


def test_a_reason_is_needed(sender: Sender) -> None:
    message = sender.post()
    with pytest.raises(InvalidInput):
        perform(sender.world.core, OPS, messages.cancel_message, message.id, reason=" ")
    assert sender.world.actions()[-1] == "message.refused:denied"


def test_who_reads_a_message_is_recorded(sender: Sender) -> None:
    message = sender.post()
    seen = perform(sender.world.core, ARCHITECT, messages.preview_message, message.id)
    assert "the metadata" in seen.rendered.text
    assert sender.world.actions()[-1] == "message.read:completed"


# --- kept and erased ---------------------------------------------------------------------------
def test_contents_are_erased_when_their_time_has_come(sender: Sender) -> None:
    message = sender.sent()
    with sender.world.core.act() as act:
        act.uow.timers.set(TimerKind.RETENTION, "messages", act.now())
        act.uow.commit()
    sender.later(days=89)
    assert not sender.row(message).is_erased
    sender.later(days=2)
    found = sender.row(message)
    assert found.is_erased
    assert (found.recipient_name, found.recipient_email, found.data) == ("", "", {})
    assert found.status is S.SENT
    with pytest.raises(NotFound):
        perform(sender.world.core, OPS, messages.preview_message, message.id)
    assert fire_due(sender.world.core) == 0


def test_a_dead_one_waits_for_a_person(sender: Sender) -> None:
    sender.mailer.before = [NO_SUCH_PERSON]
    message = sender.sent()
    sender.later(days=120)
    assert not sender.row(message).is_erased
