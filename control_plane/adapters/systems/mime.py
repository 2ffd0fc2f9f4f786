"""A mail as its bytes: MIME (RFC 2045) by the standard library, with an invitation (RFC 6047)."""

from __future__ import annotations

from datetime import datetime
from email import policy
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses
from typing import Final

import idna

from control_plane.domain.system_errors import SystemRefused
from control_plane.ports.systems import Mail

WRITTEN: Final = policy.SMTP  # CRLF, as it goes out


def message_of(mail: Mail, *, system: str, date: datetime) -> EmailMessage:
    """Return a mail as a message: text first, then HTML, then the calendar part.

    Raises ``SystemRefused`` for an address or header that no mail can have; the sentence does not
    repeat it.
    """
    message = EmailMessage(policy=WRITTEN)
    try:
        message["From"] = address_of(mail.sender)
        message["To"] = address_of(mail.recipient, mail.recipient_name)
        if mail.reply_to is not None:
            message["Reply-To"] = address_of(mail.reply_to)
        message["Subject"] = mail.subject
        message["Message-ID"] = f"<{mail.message_id.strip('<>')}>"
    except (ValueError, IndexError, HeaderParseError) as error:
        raise SystemRefused(
            "the mail cannot be written: an address, a name or the subject is not one that a mail "
            "can have",
            system=system,
            reason="message",
        ) from error
    message["Date"] = format_datetime(date)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: absence notes are not sent to it
    message.set_content(mail.text, cte="quoted-printable")
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    if mail.calendar is not None:
        message.add_alternative(
            mail.calendar.content,
            subtype="calendar",
            params={"method": mail.calendar.method, "name": "invite.ics"},
            cte="base64",  # what is folded there must arrive as it is
        )
    return message


def address_of(text: str, name: str | None = None) -> Address:
    """Return ``ada@example.com`` or ``Ada <ada@example.com>``, with its domain in ASCII.

    Raises ``ValueError`` for what is not an address.
    """
    found = getaddresses([text])
    if len(found) != 1 or not text.isprintable():
        raise ValueError("not one address")
    shown, bare = found[0]
    local, _, domain = bare.rpartition("@")
    if not local or not domain or any(sign.isspace() for sign in bare):
        raise ValueError("not an address")
    try:
        ascii_domain = idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise ValueError("not a domain") from error
    return Address(display_name=name or shown, username=local, domain=ascii_domain)


def bare_address(text: str) -> str:
    """Return the address alone. Raises ``ValueError`` as ``address_of`` does."""
    return address_of(text).addr_spec
