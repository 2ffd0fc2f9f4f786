"""One spelling per value: what people and systems write differently is read here, once.

Every function takes a text and returns its one spelling, or raises ``ValueError`` with a sentence
that says what is expected. The API and the domain use the same ones, so that a value that was
taken at submission is not refused by a later step.
"""

from __future__ import annotations

import calendar
import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from control_plane.domain.countries import COUNTRIES

NAME_LENGTH: Final = 200
FIRST_YEAR, LAST_YEAR = 1990, 2200
# whole texts; ``form`` and JSON Schemas add the anchors
REGION: Final = r"[a-z]{2,8}(-[a-z]+)+-[0-9]"
ZONE: Final = r"[a-z][a-z0-9_-]{0,19}"
CELL: Final = r"[a-z0-9]{1,8}"
ENVIRONMENT: Final = r"[a-z][a-z0-9-]{1,19}"
UPTIME: Final = r"(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)"

_EMAIL: Final = re.compile(r"[^@\s]{1,64}@([^@\s.]{1,63}\.)*[^@\s.]{1,63}")
_EMAIL_LENGTH: Final = 254
_PROVIDER: Final = re.compile(r"[a-z][a-z0-9]{0,39}")
_BETWEEN_WORDS: Final = re.compile(r"[\s._-]+")
_GUID: Final = re.compile(r"[0-9a-f]{32}")
_GUID_PREFIX: Final = re.compile(r"[\s\"'{(\[<]*(urn:)?((uuid|guid):)?")
_GUID_MARKS: Final = re.compile(r"[\s\"'{}()\[\]<>\u2010-\u2015\u2212-]")  # and other dashes
_INSTANT: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.(\d{1,30}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_LANGUAGE: Final = re.compile(  # RFC 5646, 2.1
    r"(?P<language>[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})"
    r"(?:-(?P<script>[a-z]{4}))?(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)"
    r"(?P<more>(?:-[0-9a-wy-z](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?)"
)
# what is there and does not show, beside the formatting characters that change the direction
_INVISIBLE: Final = frozenset("\u00ad\u034f\u180e\u200b\u2060\ufeff")
_MARKS_OF_DIRECTION: Final = frozenset("\u061c\u200e\u200f")
_JOINERS: Final = "\u200c\u200d"  # change how Persian and Indic words are written: kept inside


def form(text: str, pattern: str, sentence: str) -> str:
    """Return a text that has the form as a whole. Raises ``ValueError`` with the sentence."""
    if not re.fullmatch(pattern, text, re.ASCII):
        raise ValueError(sentence)
    return text


def name(text: str) -> str:
    """Return a name or other line of text: NFC, plain single spaces, nothing that does not show.

    Tabs and the other spaces of Unicode become plain ones, zero-width characters are left out.
    Raises ``ValueError`` for what is blank, longer than 200 characters, or holds control
    characters, line ends or characters that turn the direction of what follows.
    """
    shown = "".join(
        " " if _is_space(letter) else letter
        for letter in unicodedata.normalize("NFC", text)
        if letter not in _INVISIBLE and letter not in _MARKS_OF_DIRECTION
    )
    found = " ".join(shown.split(" ")).strip(f" {_JOINERS}")
    found = re.sub(" {2,}", " ", found)
    if not found:
        raise ValueError("must not be blank")
    if not "".join(letter for letter in found if letter not in _JOINERS).isprintable():
        raise ValueError("must be one line of readable text without control characters")
    if len(found) > NAME_LENGTH:
        raise ValueError(f"must have at most {NAME_LENGTH} characters")
    return found


def _is_space(letter: str) -> bool:
    return letter == "\t" or unicodedata.category(letter) == "Zs"


def provider(text: str) -> str:
    """Return the name of a signature provider: ``DocuSign`` and ``docu-sign`` are ``docusign``.

    Raises ``ValueError``.
    """
    found = _BETWEEN_WORDS.sub("", unicodedata.normalize("NFKC", name(text)).casefold())
    if not _PROVIDER.fullmatch(found):
        raise ValueError("must be the name of the provider, such as docusign: letters and digits")
    return found


def identifier(text: str) -> str:
    """Return the id that another system gave: every spelling of a GUID is one, others stay.

    A GUID may be in braces or quotes, in upper case, with other dashes or none, or a ``urn:uuid:``;
    its one spelling is that of RFC 9562. Other ids are case-sensitive. Raises ``ValueError`` as
    ``name`` does.
    """
    found = name(text)
    bare = _GUID_PREFIX.sub("", unicodedata.normalize("NFKC", found).casefold())
    digits = _GUID_MARKS.sub("", bare)
    if not _GUID.fullmatch(digits):
        return found
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def country(text: str) -> str:
    """Return an ISO 3166-1 alpha-2 code. Raises ``ValueError`` for any other text."""
    if text not in COUNTRIES:
        raise ValueError(
            "must be the ISO 3166-1 code of a country, two uppercase letters such as IT"
        )
    return text


def language(text: str) -> str:
    """Return a language tag (RFC 5646) in its usual case: ``zh-Hant``, ``es-419``, ``it-IT``.

    Raises ``ValueError`` for a malformed one; no registry is consulted.
    """
    parts = _LANGUAGE.fullmatch(text.replace("_", "-").casefold()) if text.isascii() else None
    if parts is None or len(text) > 35:  # the length that RFC 5646, 4.4.1 asks to provide for
        raise ValueError("must be a language tag (BCP 47) such as it, pt-BR or zh-Hant")
    found = parts["language"]
    if parts["script"]:
        found += f"-{parts['script'].title()}"
    if parts["region"]:
        found += f"-{parts['region'].upper()}"
    return found + parts["variants"] + parts["more"]


def email(text: str) -> str:
    """Return an e-mail address without spaces around it. Raises ``ValueError``."""
    found = text.strip()
    if len(found) > _EMAIL_LENGTH or not found.isprintable() or not _EMAIL.fullmatch(found):
        raise ValueError("must be an e-mail address such as ida@example.com")
    return found


def instant(text: str) -> datetime:
    """Return the instant of an RFC 3339 text in UTC, cut to microseconds.

    Every form of the RFC is taken: fractions of any length, ``t`` and ``z``, a space for the T,
    offsets. A leap second is the last microsecond before it, since clocks here have none. Raises
    ``ValueError`` for another text, and for a year before 1990 or after 2200.
    """
    parts = _INSTANT.fullmatch(text)
    if parts is None:
        raise ValueError("must be an instant such as 2026-11-20T14:03:00Z (RFC 3339)")
    day, minute, second, fraction, zone = parts.groups()
    if not FIRST_YEAR <= int(day[:4]) <= LAST_YEAR:
        raise ValueError(f"must lie between {FIRST_YEAR} and {LAST_YEAR}")
    is_leap = second == "60"
    micros = "999999" if is_leap else (fraction or "")[:6].ljust(6, "0")
    try:
        local = datetime.fromisoformat(f"{day}T{minute}:{'59' if is_leap else second}.{micros}")
        found = local.replace(tzinfo=_offset(zone)).astimezone(UTC)
    except ValueError as error:
        raise ValueError("must be a valid instant such as 2026-11-20T14:03:00Z") from error
    if is_leap and not _ends_a_month(found):
        raise ValueError("must have the second 60 only at the end of a month in UTC")
    return found


def _offset(zone: str) -> timezone:
    if zone in "Zz":
        return UTC
    hours, minutes = int(zone[1:3]), int(zone[4:])
    if hours > 23 or minutes > 59:
        raise ValueError("no such offset")
    ahead = timedelta(hours=hours, minutes=minutes)
    return timezone(-ahead if zone[0] == "-" else ahead)


def _ends_a_month(found: datetime) -> bool:
    last = calendar.monthrange(found.year, found.month)[1]
    return (found.day, found.hour, found.minute) == (last, 23, 59)
