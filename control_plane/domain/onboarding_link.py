"""The one-time link to the onboarding portal, and the session that it opens.

Opening it shows a page and nothing else: it is redeemed with a code that goes to the same
mailbox, so that a mail scanner which follows links cannot use it up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any, Final, Self

from control_plane.domain.cause import Cause
from control_plane.domain.transitions import move

LINK_LIFE: Final = timedelta(hours=24)  # absolute; the last instant is not part of it
CODE_LIFE: Final = timedelta(minutes=10)
CODE_DIGITS: Final = 6
FAILURES: Final = 5  # wrong codes, before a link is locked
CODES: Final = 5  # that one link sends
APART: Final = timedelta(seconds=60)  # between two links of a tenant, and two codes of a link
LINKS_A_DAY: Final = 5  # of one tenant, in 24 hours
ATTEMPTS_A_MINUTE: Final = 10  # of one address
ALARM_A_MINUTE: Final = 100  # of all addresses
SESSION_IDLE: Final = timedelta(minutes=30)
SESSION_LIFE: Final = timedelta(hours=8)
IT_ADMIN: Final = "it_admin"
_TOKEN: Final = re.compile(r"(mlk_[0-9A-HJKMNP-TV-Z]{26})\.([A-Za-z0-9_-]{43})\Z")
_SESSION: Final = re.compile(r"(ons_[0-9A-HJKMNP-TV-Z]{26})\.([A-Za-z0-9_-]{43})\Z")


class LinkStatus(StrEnum):
    """Where a link stands."""

    ISSUED = "issued"
    USED = "used"  # it opened a session
    EXPIRED = "expired"
    LOCKED = "locked"  # too many wrong codes
    REVOKED = "revoked"  # terminal


_S = LinkStatus
LINK_TRANSITIONS: Final[Mapping[LinkStatus, frozenset[LinkStatus]]] = {
    _S.ISSUED: frozenset({_S.USED, _S.EXPIRED, _S.LOCKED, _S.REVOKED}),
    _S.USED: frozenset({_S.REVOKED}),  # ends the sessions that it opened
    _S.EXPIRED: frozenset(),
    _S.LOCKED: frozenset(),
    _S.REVOKED: frozenset(),
}


class EndReason(StrEnum):
    """Why a link was revoked."""

    REPLACED = "replaced"  # a newer one was issued
    BY_PERSON = "by_person"
    UNDONE = "undone"  # the step that issued it was taken back


@dataclass(frozen=True, kw_only=True)
class OnboardingLink:
    """A link to one tenant's onboarding portal, for its IT admin.

    ``nonce`` is what the token and its codes are derived with: it is gone when the link has ended,
    and so are they. ``secret_hmac`` and ``code_hmac`` are what a caller's answer is compared with.
    ``recipient_hmac`` says whom it was issued for without a name. ``code_number`` counts codes,
    ``failures`` wrong ones. ``used_from`` is the network that redeemed it, hidden likewise.
    ``issued_by`` is who asked for it.
    """

    id: str
    tenant_id: str
    recipient_hmac: str
    nonce: str | None = field(repr=False)
    secret_hmac: str = field(repr=False)
    status: LinkStatus = LinkStatus.ISSUED
    issued_by: str
    issued_at: datetime
    expires_at: datetime
    cause: Cause | None = None
    first_viewed_at: datetime | None = None
    code_number: int = 0
    code_hmac: str | None = field(default=None, repr=False)
    code_sent_at: datetime | None = None
    code_expires_at: datetime | None = None
    failures: int = 0
    used_at: datetime | None = None
    used_from: str | None = None
    replayed_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: EndReason | None = None
    ended_by: str | None = None
    version: int = 1

    def is_due(self, now: datetime) -> bool:
        """Tell whether its time has come: at exactly ``expires_at`` it is not valid any more."""
        return self.status is LinkStatus.ISSUED and now >= self.expires_at

    def has_code(self, now: datetime) -> bool:
        """Tell whether a code was sent that is valid now."""
        return self.code_expires_at is not None and now < self.code_expires_at

    def moved(self, status: LinkStatus, now: datetime, **changes: Any) -> Self:
        """Return it in another status, without what token and codes are made with.

        Raises ``IllegalTransition``.
        """
        move(LINK_TRANSITIONS, self.status, status, subject=self.id)
        return replace(
            self, **{"ended_at": now, **changes},
            status=status, nonce=None, code_hmac=None, code_expires_at=None,
            version=self.version + 1,
        )  # fmt: skip

    def with_code(self, code_hmac: str, now: datetime) -> Self:
        """Return it with the next code, in whose place no earlier one is taken."""
        return replace(
            self, code_number=self.code_number + 1, code_hmac=code_hmac, code_sent_at=now,
            code_expires_at=min(now + CODE_LIFE, self.expires_at), version=self.version + 1,
        )  # fmt: skip

    def without_code(self) -> Self:
        """Return it with its code gone: one that expired stays so, whatever the clock says."""
        return replace(self, code_hmac=None, code_expires_at=None, version=self.version + 1)

    def failed(self, now: datetime) -> Self:
        """Return it with one more wrong code; the last one that is allowed locks it."""
        counted = replace(self, failures=self.failures + 1)
        if counted.failures >= FAILURES:
            return counted.moved(LinkStatus.LOCKED, now)
        return replace(counted, version=self.version + 1)


@dataclass(frozen=True, kw_only=True)
class OnboardingSession:
    """A visit of the portal after a link was redeemed; of its tenant, with the role IT admin."""

    id: str
    link_id: str
    tenant_id: str
    role: str = IT_ADMIN
    secret_hmac: str = field(repr=False)
    started_at: datetime
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    version: int = 1

    def is_open(self, now: datetime) -> bool:
        """Tell whether it is valid now: neither ended, nor idle, nor older than it may get."""
        return self.ended_at is None and now < self.expires_at and now < self.seen_at + SESSION_IDLE

    def seen(self, now: datetime) -> Self:
        """Return it as it was seen now; a clock that moved backwards changes nothing."""
        return replace(self, seen_at=max(now, self.seen_at), version=self.version + 1)

    def ended(self, now: datetime) -> Self:
        """Return it ended."""
        return replace(self, ended_at=now, version=self.version + 1)


@dataclass(frozen=True)
class TooSoon:
    """A link, or a code, may be sent again at ``at``."""

    at: datetime


def too_soon(issued: Iterable[datetime], now: datetime) -> TooSoon | None:
    """Return from when on a tenant that got links at ``issued`` gets the next one, None: now."""
    day = timedelta(days=1)
    recent = sorted(at for at in issued if at > now - day)
    if not recent:
        return None
    waits = [recent[-1] + APART]
    if len(recent) >= LINKS_A_DAY:
        waits.append(recent[-LINKS_A_DAY] + day)
    at = max(waits)
    return TooSoon(at) if at > now else None


def read_token(text: str) -> tuple[str, str] | None:
    """Return id and secret of a link's token, None for anything else."""
    found = _TOKEN.match(text)
    return (found[1], found[2]) if found else None


def read_session(text: str) -> tuple[str, str] | None:
    """Return id and secret of a session's token, None for anything else."""
    found = _SESSION.match(text)
    return (found[1], found[2]) if found else None


def read_code(text: str) -> str | None:
    """Return the digits of a code as somebody typed it, None when it cannot be one."""
    digits = "".join(text.split()).replace("-", "")
    is_code = len(digits) == CODE_DIGITS and digits.isascii() and digits.isdigit()
    return digits if is_code else None


def network_of(address: str | None) -> str:
    """Return the network of an address: 24 bits of IPv4, 64 of IPv6."""
    host = (address or "unknown").partition("/")[0]
    try:
        found = ip_address(host)
    except ValueError:
        return host
    bits = 24 if isinstance(found, IPv4Address) else 64
    return str(ip_network(f"{found}/{bits}", strict=False))
