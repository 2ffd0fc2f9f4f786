"""Commands about the one-time link to the onboarding portal."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.refusing import Json
from control_plane.domain.errors import InvalidInput

LINK: Final = (
    "id", "tenant_id", "status", "issued_by", "issued_at", "expires_at", "first_viewed_at",
    "codes_sent", "failures", "used_at", "replayed_at", "ended_at", "end_reason", "ended_by",
    "links_issued", "allowed_actions",
)  # fmt: skip


class Act(StrEnum):
    """What is done with the link of a tenant."""

    SHOW = "show"
    ISSUE = "issue"
    REVOKE = "revoke"


def tenant_link(
    tenant: Annotated[str, typer.Argument(help="Id or slug of the tenant.")],
    act: Annotated[Act, typer.Argument(help="show, issue or revoke.")] = Act.SHOW,
    reason: Annotated[
        str | None,
        typer.Option(help="Reason of `revoke`, recorded in the audit log."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show, issue or revoke the one-time link to the onboarding portal.

    A link is mailed to the IT admin and shown nowhere else. A new one revokes the one before.
    """
    if (act is Act.REVOKE) != (reason is not None):
        raise InvalidInput("`revoke` needs --reason; nothing else takes it", field="reason")
    path, api = f"/v1/tenants/{segment(tenant)}/onboarding-link", from_environment()
    if act is Act.SHOW:
        found = api.get(path)
    elif act is Act.ISSUE:
        found = api.post(path)
    else:
        found = api.change("DELETE", path, {"reason": reason}, key=None)
    output.show(found, as_json=as_json, fields=LINK)
    if not as_json:
        output.say(next_step(found))


def next_step(found: Mapping[str, Any]) -> str:
    """Return what follows, in one line."""
    if found["replayed_at"]:
        return (
            "a used link came again from another network: ask the IT admin whether that was they; "
            f"if not: tenantctl tenant link {found['tenant_id']} revoke --reason …"
        )
    if found["status"] == "issued":
        return f"the IT admin has until {found['expires_at']} to open it"
    if found["status"] == "used":
        return "the IT admin has signed in"
    return f"to send another one: tenantctl tenant link {found['tenant_id']} issue"
