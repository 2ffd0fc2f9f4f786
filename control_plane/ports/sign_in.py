"""Where people sign in to the console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class SignIn(Protocol):
    """An identity provider, or in its place a page of an embedded installation."""

    def url(self, *, state: str, verifier: str, redirect_uri: str) -> str:
        """Return where a person signs in; they come back with ``state`` and a code.

        Raises ``SignInFailed``.
        """

    def redeem(self, answer: Mapping[str, str], *, verifier: str, redirect_uri: str) -> str:
        """Return the access token for what a person came back with. Raises ``SignInFailed``."""
