"""Mail over SMTP (RFC 5321): one connection for each mail, by TLS except on loopback."""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from control_plane.adapters.systems.credentials import Credential
from control_plane.adapters.systems.mime import WRITTEN, bare_address, message_of
from control_plane.domain.networks import is_loopback
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable
from control_plane.ports.systems import Mail

SYSTEM: Final = "smtp"
_ENHANCED: Final = re.compile(rb"\b[245]\.\d{1,3}\.\d{1,3}\b")  # RFC 3463


@dataclass(frozen=True, kw_only=True)
class SmtpServer:
    """Where mail is handed over. ``security`` is ``tls``, ``starttls`` or ``plain``."""

    host: str
    port: int
    security: str
    username: str | None = None
    seconds: float = 30.0  # for the connection and for each answer


class SmtpMailer:
    """The port ``Mailer`` over a server. A server does not know which mails it had before."""

    system = SYSTEM
    is_exactly_once = False

    def __init__(
        self,
        server: SmtpServer,
        *,
        password: Credential | None,
        now: Callable[[], datetime],
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Raise ``ValueError`` for an open connection to another machine."""
        if server.security == "plain" and not is_loopback(server.host):
            raise ValueError("without TLS only a server on loopback is used")
        self._server = server
        self._password = password
        self._now = now
        self._context = context

    def send(self, mail: Mail) -> str:
        """Hand a mail over; returns its Message-ID, since not every server names another id."""
        message = message_of(mail, system=SYSTEM, date=self._now())
        content = message.as_bytes(policy=WRITTEN)
        sender, recipient = bare_address(mail.sender), bare_address(mail.recipient)
        with self._session() as session:
            needs_utf8 = not (sender.isascii() and recipient.isascii())
            if needs_utf8 and not session.has_extn("smtputf8"):
                raise _refused("the server takes no address with letters beyond ASCII", "recipient")
            options = ["SMTPUTF8", "BODY=8BITMIME"] if needs_utf8 else []
            _require(session.mail(sender, options), "sender")
            _require(session.rcpt(recipient), "recipient")
            _hand_over(session, content)
        return str(message["Message-ID"])

    def check(self) -> str:
        """Connect and log in, send nothing; returns what was found, in words."""
        with self._session() as session:
            _require(session.noop(), "session")
        return f"{self._server.host} answers" + (" and accepts the login" if self._password else "")

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        session = self._connect()
        try:
            with _translated():
                self._log_in(session)
            yield session
        finally:
            _leave(session)

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        with _translated():
            if server.security == "tls":
                return smtplib.SMTP_SSL(
                    server.host, server.port, timeout=server.seconds, context=self._tls()
                )
            session = smtplib.SMTP(server.host, server.port, timeout=server.seconds)
        try:
            with _translated():
                if server.security == "starttls":
                    session.starttls(context=self._tls())
        except BaseException:
            session.close()
            raise
        return session

    def _tls(self) -> ssl.SSLContext:
        return self._context or ssl.create_default_context()

    def _log_in(self, session: smtplib.SMTP) -> None:
        session.ehlo_or_helo_if_needed()
        if self._server.username is not None and self._password is not None:
            session.login(self._server.username, self._password())


def _hand_over(session: smtplib.SMTP, content: bytes) -> None:
    """Send the content. An answer that does not come leaves open whether it was taken."""
    try:
        answer = session.data(content)
    except smtplib.SMTPDataError as error:  # DATA itself was refused, so nothing was sent
        raise _of_code(error.smtp_code, error.smtp_error, "message") from None
    except (smtplib.SMTPException, OSError) as error:
        raise SystemUnavailable(
            "the mail server did not say whether it took the mail",
            system=SYSTEM,
            may_have_acted=True,
        ) from error
    _require(answer, "message")


def _require(answer: tuple[int, bytes], what: str) -> None:
    code, text = answer
    if not 200 <= code < 300:
        raise _of_code(code, text, what)


def _of_code(code: int, text: bytes | str, what: str) -> SystemRefused | SystemUnavailable:
    """Return the error of an answer; its text may name people, so only its codes are kept."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    found = _ENHANCED.search(raw)
    shown = f"{code} {found[0].decode('ascii')}" if found else str(code)
    if 500 <= code < 600:
        return _refused(f"the mail server refuses the {what}: {shown}", what, answer=shown)
    return SystemUnavailable(
        f"the mail server asks to try again later: {shown}", system=SYSTEM, answer=shown
    )


def _refused(sentence: str, what: str, **data: str) -> SystemRefused:
    return SystemRefused(sentence, system=SYSTEM, reason=what, **data)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise what connecting and logging in raise as facts. Nothing was handed over by then."""
    try:
        yield
    except smtplib.SMTPNotSupportedError as error:
        raise _refused(f"the mail server cannot do what is asked: {error}", "session") from None
    except smtplib.SMTPResponseException as error:  # its text may repeat what was sent
        what = "login" if isinstance(error, smtplib.SMTPAuthenticationError) else "session"
        raise _of_code(error.smtp_code, error.smtp_error, what) from None
    except ssl.SSLCertVerificationError as error:
        reason = f"its certificate is not accepted: {error.verify_message}"
        raise _refused(f"the mail server is not trusted: {reason}", "certificate") from error
    except (smtplib.SMTPException, OSError) as error:
        raise SystemUnavailable(
            f"the mail server cannot be reached ({type(error).__name__})", system=SYSTEM
        ) from error


def _leave(session: smtplib.SMTP) -> None:
    """Say goodbye; what became of the mail is known by now."""
    try:
        session.quit()
    except (smtplib.SMTPException, OSError):
        session.close()
