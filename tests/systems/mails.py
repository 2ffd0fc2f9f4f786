"""Mails, and a mail server on loopback that answers as a test says."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from control_plane.ports.systems import CalendarPart, Mail

INVITATION = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"


def a_mail(number: int = 1, **changes: Any) -> Mail:
    facts: dict[str, Any] = {
        "message_id": f"msg_{number}.1@mail.example.com",
        "sender": "Your team <team@vendor.example>",
        "recipient": "ida@example.fi",
        "recipient_name": "Ida Kivelä",
        "reply_to": None,
        "subject": "Willkommen – your tenant",
        "text": "Hello Ida,\nall is ready – grüße.\n",
        "html": "<p>Hello Ida</p>",
        "calendar": CalendarPart(method="REQUEST", content=INVITATION),
    }
    return Mail(**{**facts, **changes})


@dataclass
class Sink:
    """What a server took, and what it answers to parts of a session (by their names)."""

    port: int = 0
    taken: list[Envelope] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    cuts_after_data: bool = False
    logins: list[tuple[str, str]] = field(default_factory=list)

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "MAIL" in self.answers:
            return self.answers["MAIL"]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "RCPT" in self.answers:
            return self.answers["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if "DATA" in self.answers:
            return self.answers["DATA"]
        self.taken.append(envelope)
        if self.cuts_after_data:
            assert server.transport is not None
            server.transport.abort()
        return "250 2.0.0 Ok: queued as 4F2"

    def log_in(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password == b"right", handled=False)


@contextmanager
def mail_server(tls: ssl.SSLContext | None = None, *, starttls: bool = False) -> Iterator[Sink]:
    """Serve on a free port of loopback until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as free:  # the library cannot take port 0
        sink = Sink(port=free.getsockname()[1])
    controller = Controller(
        sink,
        hostname="127.0.0.1",
        port=sink.port,
        ssl_context=tls if tls and not starttls else None,
        tls_context=tls if starttls else None,
        authenticator=sink.log_in,
        auth_require_tls=False,
        enable_SMTPUTF8=False,
    )
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()


def noon() -> datetime:
    return datetime(2026, 12, 1, 12, tzinfo=UTC)
