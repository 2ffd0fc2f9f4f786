"""Commands about messages to people, and about addresses that get none."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.refusing import Json

MESSAGES: Final = (
    "id", "event", "persona", "locale", "status", "why=reason", "tenant_id", "attempts",
    "queued_at",
)  # fmt: skip
MESSAGE: Final = (
    "id", "tenant_id", "event", "persona", "channel", "locale", "message_class", "status",
    "why=reason", "error=error.code", "message=error.message", "remedy=error.remedy", "attempts",
    "may_be_twice", "template", "calendar_method", "system", "system_id", "message_id",
    "step=cause.step", "journey=cause.journey", "queued_at", "settled_at", "erased_at",
    "allowed_actions",
)  # fmt: skip
SUPPRESSIONS: Final = ("id", "domain", "kind", "added_by", "added_at", "lifted_at", "reason")
Most = Annotated[int, typer.Option("--limit", min=1, max=5000, help="Maximum number of items.")]
Reason = Annotated[str, typer.Option(help="Reason, recorded in the audit log.")]


class Kind(StrEnum):
    """Why nothing is sent to an address."""

    OPTED_OUT = "opted_out"
    BOUNCED = "bounced"


message = typer.Typer(no_args_is_help=True, help="Messages to people at customers and vendor.")
suppression = typer.Typer(no_args_is_help=True, help="Addresses that get no messages.")


# --- messages ----------------------------------------------------------------------------------
@message.command("list")
def list_messages(
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant, by its id.")] = None,
    status: Annotated[
        str | None,
        typer.Option(
            help="Only with this status: queued, sending, sent, suppressed, dead or canceled."
        ),
    ] = None,
    event: Annotated[str | None, typer.Option(help="Only about this event.")] = None,
    limit: Most = 50,
    as_json: Json = False,
) -> None:
    """List messages, newest first; those that are dead wait for a person."""
    found = from_environment().pages(
        "/v1/messages", most=limit, tenant_id=tenant, status=status, event=event
    )
    output.table(found, as_json=as_json, fields=MESSAGES, empty="no messages")
    if not as_json and any(item["status"] == "dead" for item in found):
        output.say("next: tenantctl message show ID says why one was not sent, and what to do")


@message.command("show")
def show_message(message_id: str, as_json: Json = False) -> None:
    """Show what became of a message, and what may be done."""
    _show(from_environment().get(_path(message_id)), as_json=as_json)


@message.command("preview")
def preview_message(
    message_id: str,
    html: Annotated[bool, typer.Option("--html", help="Print its HTML.")] = False,
    as_json: Json = False,
) -> None:
    """Print a message as its recipient sees it, without its secrets; this is recorded."""
    found = from_environment().get(f"{_path(message_id)}/preview")
    if as_json:
        output.as_json_text(found)
        return
    if html:
        output.say(found["html"])
        return
    output.say(f"To: {found['recipient_name']} <{found['recipient_email']}>")
    output.say(f"Subject: {found['subject']}")
    output.say("")
    output.say(found["text"].rstrip())


@message.command("send-again")
def send_message_again(message_id: str, reason: Reason, as_json: Json = False) -> None:
    """Queue a message again that is dead or suppressed, after the reason is gone."""
    path = f"{_path(message_id)}/send-again"
    _show(from_environment().post(path, {"reason": reason}), as_json=as_json)


@message.command("cancel")
def cancel_message(message_id: str, reason: Reason, as_json: Json = False) -> None:
    """Decide that a message is not sent which did not go out yet."""
    path = f"{_path(message_id)}/cancel"
    _show(from_environment().post(path, {"reason": reason}), as_json=as_json)


def _path(message_id: str) -> str:
    return f"/v1/messages/{segment(message_id)}"


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    output.show(found, as_json=as_json, fields=MESSAGE)
    if not as_json:
        for line in next_steps(found):
            output.say(line)


def next_steps(found: Mapping[str, Any]) -> list[str]:
    """Return a line for each thing that may be done with a message."""
    name = found["id"]
    lines = {
        "preview": f"to read it: tenantctl message preview {name}",
        "send_again": "to send it, when the reason is gone: tenantctl message send-again "
        f"{name} --reason …",
        "cancel": f"if it is not to be sent: tenantctl message cancel {name} --reason …",
    }
    return [lines[action] for action in found["allowed_actions"] if action in lines]


# --- suppressions ------------------------------------------------------------------------------
@suppression.command("list")
def list_suppressions(
    email: Annotated[str | None, typer.Option(help="Only of this address.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only of this kind.")] = None,
    limit: Most = 50,
    as_json: Json = False,
) -> None:
    """List addresses that get no messages, by domain and digest; lifted ones too."""
    found = from_environment().pages(
        "/v1/suppressions", most=limit, email=email, kind=kind.value if kind else None
    )
    output.table(found, as_json=as_json, fields=SUPPRESSIONS, empty="no suppressions")


@suppression.command("add")
def add_suppression(
    email: str,
    reason: Reason,
    kind: Annotated[
        Kind,
        typer.Option(help="opted_out: messages that the contract needs are sent all the same."),
    ] = Kind.OPTED_OUT,
    as_json: Json = False,
) -> None:
    """Send nothing to an address any more; it is kept as a digest."""
    body = {"email": email, "kind": kind.value, "reason": reason}
    found = from_environment().post("/v1/suppressions", body)
    output.show(found, as_json=as_json, fields=SUPPRESSIONS)


@suppression.command("lift")
def lift_suppression(suppression_id: str, reason: Reason, as_json: Json = False) -> None:
    """Let an address get messages again."""
    path = f"/v1/suppressions/{segment(suppression_id)}/lift"
    found = from_environment().post(path, {"reason": reason})
    output.show(found, as_json=as_json, fields=SUPPRESSIONS)
