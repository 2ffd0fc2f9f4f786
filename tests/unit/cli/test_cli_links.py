"""``tenantctl tenant link``, over the API in memory."""

from __future__ import annotations

import pytest

from control_plane.cli.errors import HIDDEN, REFUSED, USAGE
from control_plane.domain.actor import Role
from tests.onboarding import ELSEWHERE, Holder
from tests.unit.cli.helped import flags_of
from tests.unit.cli.terminal import Terminal

OPS, ADMIN, AUDITOR = Role.OPS_APPROVER, Role.PLATFORM_ADMIN, Role.AUDITOR


@pytest.fixture
def holder(tenantctl: Terminal) -> Holder:
    return Holder(tenantctl.world)


def test_the_command_says_what_it_takes() -> None:
    assert flags_of("tenant", "link") >= {"--reason", "--json"}


def test_a_link_is_issued_shown_and_revoked_and_its_token_is_nowhere(
    tenantctl: Terminal, holder: Holder
) -> None:
    link = ("tenant", "link", holder.tenant_id)
    tenantctl(*link, who=OPS, code=HIDDEN)  # none was issued yet
    issued = tenantctl(*link, "issue", who=OPS).out
    assert "the IT admin has until" in issued
    token = holder.token()
    shown = tenantctl(*link, "show", "--json", who=OPS)
    assert shown.json["status"] == "issued"
    assert tenantctl(*link, who=OPS).out.splitlines()[0].split() == ["id", holder.link.id]
    revoked = tenantctl(*link, "revoke", "--reason", "the admin left", who=OPS).out
    assert f"tenantctl tenant link {holder.tenant_id} issue" in revoked
    again = tenantctl(*link, "revoke", "--reason", "x", who=OPS, code=HIDDEN)
    for text in (issued, shown.out, revoked, again.err):
        assert token not in text
        assert "the admin left" not in again.err


def test_what_was_used_and_came_again_is_said(tenantctl: Terminal, holder: Holder) -> None:
    link = ("tenant", "link", holder.tenant_id)
    token = holder.issued()
    code = holder.with_code(token)
    holder.redeem(token, code)
    assert "the IT admin has signed in" in tenantctl(*link, who=OPS).out
    holder.redeem(token, code, ELSEWHERE)
    assert "came again from another network" in tenantctl(*link, who=OPS).out


def test_what_cannot_be_asked_is_refused(tenantctl: Terminal, holder: Holder) -> None:
    link = ("tenant", "link", holder.tenant_id)
    for wrong in (("revoke",), ("issue", "--reason", "x"), ("show", "--reason", "x"), ("send",)):
        tenantctl(*link, *wrong, who=OPS, code=USAGE)
    tenantctl("tenant", "link", "nobody", "issue", who=OPS, code=HIDDEN)
    tenantctl(*link, "issue", who=AUDITOR, code=HIDDEN)
    assert tenantctl.world.rows("onboarding_link") == {}
    tenantctl(*link, "issue", who=OPS)
    soon = tenantctl(*link, "issue", who=OPS, code=REFUSED)
    assert soon.err
