"""What the one-time link needs of outside: its secrets, and statements that decide in one go."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class OnboardingKeys(Protocol):
    """Tokens and codes of links, derived from a key of the installation.

    ``portal_url`` is where the portal is reached, without a slash at its end.
    """

    portal_url: str

    def secret(self, link_id: str, nonce: str) -> str:
        """Return the secret of a link's token: 32 bytes as base64url, the same at each call."""

    def code(self, link_id: str, nonce: str, number: int) -> str:
        """Return a code of a link: six digits, the same at each call."""

    def hidden(self, purpose: str, text: str) -> str:
        """Return what is kept instead of a text: its HMAC for one purpose, in hexadecimal."""


class Onboarding(Protocol):
    """Rows of links and attempts, one statement each."""

    def redeem(self, link_id: str, *, code_hmac: str, used_from: str, now: datetime) -> bool:
        """Make a link used if it may be now and the code is right; tells whether it was.

        Of any number of transactions one gets True.
        """

    def view(self, link_id: str, now: datetime) -> bool:
        """Note that a link was seen; tells whether that was the first time."""

    def count(self, source: str, now: datetime) -> int:
        """Count an attempt of a source; returns how many it made in this minute."""

    def forget_attempts(self, before: datetime, *, limit: int) -> int:
        """Remove counts of minutes before; returns how many."""

    def forget_sessions(self, before: datetime, *, limit: int) -> int:
        """Remove sessions that expired before, of portal and console.

        Returns how many of the one of which there were more.
        """
