"""Where people sign in to the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from control_plane.domain.actor import Role

LOCAL_PAGE: Final = "/console/who"


class SignIn(Protocol):
    """An identity provider, or in its place a page of an embedded installation."""

    def url(self, *, state: str, verifier: str, redirect_uri: str) -> str:
        """Return where a person signs in; they come back with ``state`` and a code.

        Raises ``SignInFailed``.
        """

    def redeem(self, answer: Mapping[str, str], *, verifier: str, redirect_uri: str) -> str:
        """Return the access token for what a person came back with. Raises ``SignInFailed``."""


class LocalSignIn(SignIn, Protocol):
    """The page of an embedded installation, at ``LOCAL_PAGE``, which asks for a code."""

    def secret(self) -> str:
        """Return the code."""

    def is_secret(self, typed: str) -> bool:
        """Tell whether somebody typed the code."""

    def code_for(
        self, subject: str, roles: Sequence[Role], tenants: Sequence[str], *, challenge: str
    ) -> str:
        """Return what is redeemed once for a token, by who has the verifier of a challenge."""
