"""Mail over SMTP, against a server of another library: what arrives, and what each answer means."""

from __future__ import annotations

import email
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.systems.smtp import SmtpMailer, SmtpServer
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable
from control_plane.ports.systems import CalendarPart
from tests.systems.certificates import served_and_trusted
from tests.systems.mails import INVITATION, Sink, a_mail, mail_server, noon


def mailer(sink: Sink, **changes: Any) -> SmtpMailer:
    facts: dict[str, Any] = {"host": "127.0.0.1", "port": sink.port, "security": "plain"}
    context = changes.pop("context", None)
    password = changes.pop("password", None)
    server = SmtpServer(**{**facts, "seconds": 5.0, **changes})
    return SmtpMailer(
        server, password=(lambda: password) if password else None, now=noon, context=context
    )


def taken(sink: Sink) -> EmailMessage:
    (envelope,) = sink.taken
    assert isinstance(envelope.content, bytes)
    found = email.message_from_bytes(envelope.content, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


@pytest.mark.requirement("J-034")
def test_a_mail_arrives_with_its_text_html_and_invitation() -> None:
    with mail_server() as sink:
        assert mailer(sink).send(a_mail()) == "<msg_1.1@mail.example.com>"
    message = taken(sink)
    assert message["Message-ID"] == "<msg_1.1@mail.example.com>"
    assert message["To"] == "Ida Kivelä <ida@example.fi>"
    assert message["Subject"] == "Willkommen – your tenant"
    assert message["Date"].datetime == noon()
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"
    kinds = [part.get_content_type() for part in message.iter_parts()]
    assert kinds == ["text/plain", "text/html", "text/calendar"]
    text, _, calendar = message.iter_parts()
    assert isinstance(text, EmailMessage)
    assert text.get_content().splitlines() == ["Hello Ida,", "all is ready – grüße."]
    assert calendar.get_param("method") == "REQUEST"
    assert calendar.get_payload(decode=True) == INVITATION.encode()
    assert sink.taken[0].rcpt_tos == ["ida@example.fi"]
    assert sink.taken[0].mail_from == "team@vendor.example"


def test_a_cancelled_invitation_says_so() -> None:
    with mail_server() as sink:
        calendar = CalendarPart(method="CANCEL", content=INVITATION.replace("REQUEST", "CANCEL"))
        mailer(sink).send(a_mail(html=None, calendar=calendar))
    assert [part.get_param("method") for part in taken(sink).iter_parts()] == [None, "CANCEL"]


def test_a_domain_in_another_script_is_written_in_ascii() -> None:
    with mail_server() as sink:
        mailer(sink).send(a_mail(recipient="ida@bücher.example"))
    assert sink.taken[0].rcpt_tos == ["ida@xn--bcher-kva.example"]


@pytest.mark.parametrize("changes", [
    {"subject": "Hello\r\nBcc: eve@example.net"},
    {"recipient_name": "Ida\r\nBcc: eve@example.net"},
    {"recipient": "ida@example.fi\r\nBcc: eve@example.net"},
    {"recipient": "ida@example.fi, eve@example.net"},
    {"recipient": "ida"},
    {"recipient": "ida@"},
    {"recipient": "a b@example.fi"},
    {"reply_to": "nobody"},
])  # fmt: skip
def test_what_no_mail_can_have_is_refused_and_not_repeated(changes: dict[str, str]) -> None:
    with mail_server() as sink, pytest.raises(SystemRefused) as refused:
        mailer(sink).send(a_mail(**changes))
    assert sink.taken == []
    assert "eve@" not in refused.value.message
    assert "ida" not in refused.value.message


@pytest.mark.parametrize(("part", "answer", "error", "reason"), [
    ("RCPT", "550 5.1.1 <ida@example.fi> unknown", SystemRefused, "recipient"),
    ("RCPT", "450 4.2.1 <ida@example.fi> is busy", SystemUnavailable, None),
    ("MAIL", "553 5.7.1 <team@vendor.example> is not yours", SystemRefused, "sender"),
    ("DATA", "552 5.2.3 too large for ida@example.fi", SystemRefused, "message"),
    ("DATA", "451 4.3.0 later", SystemUnavailable, None),
])  # fmt: skip
def test_each_answer_has_its_meaning_and_names_nobody(
    part: str, answer: str, error: type[SystemRefused], reason: str | None
) -> None:
    with mail_server() as sink:
        sink.answers[part] = answer
        with pytest.raises(error) as refused:
            mailer(sink).send(a_mail())
    assert refused.value.data.get("reason") == reason
    assert refused.value.data["answer"] == answer[:9]
    assert "may_have_acted" not in refused.value.data
    assert "@" not in f"{refused.value.message} {refused.value.data}"


def test_a_connection_that_ends_after_the_content_leaves_open_whether_it_was_taken() -> None:
    with mail_server() as sink:
        sink.cuts_after_data = True
        with pytest.raises(SystemUnavailable) as lost:
            mailer(sink).send(a_mail())
    assert lost.value.data["may_have_acted"] is True
    assert len(sink.taken) == 1


def test_a_server_that_is_not_there_has_certainly_done_nothing() -> None:
    with mail_server() as sink:
        pass
    with pytest.raises(SystemUnavailable) as lost:
        mailer(sink).send(a_mail())
    assert "may_have_acted" not in lost.value.data


def test_an_address_beyond_ascii_needs_a_server_that_takes_it() -> None:
    with mail_server() as sink, pytest.raises(SystemRefused) as refused:
        mailer(sink).send(a_mail(recipient="ída@example.fi"))
    assert refused.value.data["reason"] == "recipient"
    assert sink.taken == []


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_by_tls_with_a_login(tmp_path: Path, security: str) -> None:
    server, client = served_and_trusted(tmp_path / "tls")
    with mail_server(server, starttls=security == "starttls") as sink:
        made = mailer(sink, security=security, username="team", password="right", context=client)
        made.send(a_mail())
        assert "accepts the login" in made.check()
    assert sink.logins == [("team", "right")] * 2
    assert len(sink.taken) == 1


def test_a_wrong_password_is_refused_and_stands_nowhere(tmp_path: Path) -> None:
    server, client = served_and_trusted(tmp_path / "tls")
    with mail_server(server) as sink, pytest.raises(SystemRefused) as refused:
        mailer(sink, security="tls", username="team", password="wr0ng-one", context=client).send(
            a_mail()
        )
    assert refused.value.data["reason"] == "login"
    assert "wr0ng" not in f"{refused.value!r} {refused.value.data}"


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    server, _ = served_and_trusted(tmp_path / "tls")
    with mail_server(server) as sink, pytest.raises(SystemRefused) as refused:
        mailer(sink, security="tls").send(a_mail())
    assert refused.value.data["reason"] == "certificate"
    assert sink.taken == []


def test_a_server_without_starttls_gets_no_mail() -> None:
    with mail_server() as sink, pytest.raises(SystemRefused):
        mailer(sink, security="starttls").send(a_mail())
    assert sink.taken == []


def test_plain_is_for_loopback_alone() -> None:
    with pytest.raises(ValueError, match="loopback"):
        SmtpMailer(
            SmtpServer(host="mail.example.com", port=25, security="plain"), password=None, now=noon
        )
