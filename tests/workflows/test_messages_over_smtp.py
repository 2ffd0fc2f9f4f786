"""A message on its whole way: from the row over SMTP to what a mail program reads."""

from __future__ import annotations

import email
from email import policy
from email.message import EmailMessage
from typing import Any

import pytest

from control_plane.adapters.systems.smtp import SmtpMailer, SmtpServer
from control_plane.domain.message import Message, MessageStatus, Reason, Recipient
from control_plane.ports.systems import CalendarPart
from tests.systems.mails import INVITATION, Sink, mail_server
from tests.workflows.sending import Sender
from tests.world import World

TIMES = {
    "title": "Kickoff", "starts_at": "2026-11-24T09:00:00+00:00",
    "ends_at": "2026-11-24T10:00:00+00:00",
}  # fmt: skip


def sent(world: World, sink: Sink, **given: Any) -> Message:
    sender = Sender(world)
    server = SmtpServer(host="127.0.0.1", port=sink.port, security="plain")
    mailer: Any = SmtpMailer(server, password=None, now=world.clock.now)
    sender.with_mail(mailer)
    return sender.sent(**given)


def read(sink: Sink) -> EmailMessage:
    (envelope,) = sink.taken
    assert isinstance(envelope.content, bytes)
    return email.message_from_bytes(envelope.content, policy=policy.default)


def part(mail: EmailMessage, kind: str) -> str:
    (found,) = (each for each in mail.walk() if each.get_content_type() == kind)
    return str(found.get_content())


def test_a_mail_arrives_as_it_was_written(world: World) -> None:
    with mail_server() as sink:
        message = sent(
            world, sink, event="kickoff.invited", data=TIMES,
            calendar=CalendarPart(method="REQUEST", content=INVITATION),
        )  # fmt: skip
        mail = read(sink)
    assert message.status is MessageStatus.SENT
    assert mail["Message-ID"] == message.message_id
    assert message.message_id.endswith("@tenantplane.example>")
    assert mail["To"] == "Ida Admin <ida@example.com>"
    assert mail["From"] == "Tenantplane onboarding <onboarding@tenantplane.example>"
    assert mail["Subject"] == "Invito: Kickoff, 24 novembre 2026, ore 10:00 (Europe/Rome)"
    assert "modalità di fornitura dell'Hub" in " ".join(part(mail, "text/plain").split())
    assert "<li>Che cosa: Kickoff</li>" in part(mail, "text/html")
    assert "METHOD:REQUEST" in part(mail, "text/calendar")


def test_a_name_with_a_header_in_it_adds_none(world: World) -> None:
    name = "Ida\r\nBcc: all@example.com"
    with mail_server() as sink:
        message = sent(world, sink, recipient=Recipient(name=name, email="ida@example.com"))
        mail = read(sink)
    assert message.status is MessageStatus.SENT
    assert mail["Bcc"] is None
    assert sink.taken[0].rcpt_tos == ["ida@example.com"]


def test_a_domain_in_any_alphabet_is_reached(world: World) -> None:
    with mail_server() as sink:
        sent(world, sink, recipient=Recipient(name="Jörg Müller", email="j@müller.example"))
        mail = read(sink)
    assert sink.taken[0].rcpt_tos == ["j@xn--mller-kva.example"]
    assert "Jörg Müller" in mail["To"]


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        ("550 5.1.1 no such mailbox", MessageStatus.DEAD, Reason.REFUSED),
        ("451 4.7.1 greylisted", MessageStatus.QUEUED, Reason.PUT_OFF),
    ],
)
def test_what_the_server_says_of_a_recipient_counts(
    world: World, answer: str, status: MessageStatus, reason: Reason
) -> None:
    with mail_server() as sink:
        sink.answers["RCPT"] = answer
        message = sent(world, sink)
    assert (message.status, message.reason) == (status, reason)


def test_a_connection_cut_after_the_mail_is_a_possible_duplicate(world: World) -> None:
    with mail_server() as sink:
        sink.cuts_after_data = True
        message = sent(world, sink)
    assert (message.status, message.reason) == (MessageStatus.QUEUED, Reason.PUT_OFF)
    assert message.may_be_twice
    assert len(sink.taken) == 1
