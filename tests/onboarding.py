"""The holder of a one-time link: has it issued, reads their mailbox, and uses it."""

from __future__ import annotations

from typing import Any

from control_plane.domain.onboarding_link import OnboardingLink
from control_plane.services import onboarding, onboarding_visits
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from control_plane.workflows.links import code_value, link_value
from tests.world import ADMIN, World, person

HOME = "198.51.100.7"
ELSEWHERE = "203.0.113.9"


def visitor(address: str = HOME) -> Caller:
    """Return who opens a page, known by the address alone."""
    return Caller(actor=person("visitor").actor, request_id="rq-test-0003", address=address)


class Holder:
    """The IT admin of a tenant with their mailbox."""

    def __init__(self, world: World, mode: str = "A", number: int = 1, **changes: Any) -> None:
        self.world = world
        self.tenant_id: str = world.submit(mode, number, **changes).tenant.id

    @classmethod
    def of(cls, world: World, tenant_id: str) -> Holder:
        """Return the holder of links of a tenant that is there."""
        found = cls.__new__(cls)
        found.world, found.tenant_id = world, tenant_id
        return found

    def issued(self) -> str:
        """Have a link issued and return its token as the mail has it."""
        perform(self.world.core, ADMIN, onboarding.issue_link, self.tenant_id)
        return self.token()

    @property
    def link(self) -> OnboardingLink:
        """The newest link."""
        rows = self.world.rows("onboarding_link").values()
        found: OnboardingLink = [row for row in rows if row.tenant_id == self.tenant_id][-1]
        return found

    def token(self) -> str:
        """Return the token of the newest link, as the worker puts it into a mail."""
        value = link_value(self.world.core, self.link.id)
        assert value is not None
        return value.rpartition("/")[2]

    def code(self) -> str:
        """Return the newest code, as the worker puts it into a mail."""
        value = code_value(self.world.core, f"{self.link.id}.{self.link.code_number}")
        assert value is not None
        return value

    def view(self, token: str) -> Any:
        """Open the page."""
        return perform(self.world.core, visitor(), onboarding_visits.view_link, token)

    def with_code(self, token: str) -> str:
        """Have a code sent and return it."""
        perform(self.world.core, visitor(), onboarding_visits.send_code, token)
        return self.code()

    def redeem(self, token: str, code: str, address: str = HOME) -> Any:
        """Use the link."""
        return perform(self.world.core, visitor(address), onboarding_visits.redeem, token, code)

    def signed_in(self) -> str:
        """Issue and redeem a link; returns the token of the session."""
        token = self.issued()
        done = self.redeem(token, self.with_code(token))
        assert done.token is not None
        session: str = done.token
        return session
