"""Commands about event subscriptions: who gets public events, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.refusing import Json

SUBSCRIPTIONS: Final = (
    "id", "url", "types", "tenant_id", "status", "why=code", "failures", "last_success_at",
)  # fmt: skip
SUBSCRIPTION: Final = (
    "id", "url", "types", "tenant_id", "description", "status", "why=code", "secret_generation",
    "secret", "failures", "failing_since", "retry_at", "last_success_at", "created_by",
    "created_at", "updated_at", "allowed_actions",
)  # fmt: skip
SENT: Final = (
    "id", "event_id", "type", "tenant_id", "status", "attempts", "answer_code", "failure",
    "occurred_at", "tried_at", "next_at",
)  # fmt: skip
TYPES: Final = ("name", "version", "description")
Most = Annotated[int, typer.Option("--limit", min=1, max=5000, help="Maximum number of items.")]
Wanted = Annotated[
    list[str] | None,
    typer.Option("--type", help="Type of event, tenant.* for all of a kind, * for all; repeat it."),
]
Note = Annotated[str | None, typer.Option("--description", help="What it is for.")]
_ROOT: Final = "/v1/event-subscriptions"

subscription = typer.Typer(no_args_is_help=True, help="Who gets public events.")


@subscription.command("types")
def list_types(as_json: Json = False) -> None:
    """List the types of public events."""
    found = from_environment().get("/v1/event-types")["types"]
    output.table(found, as_json=as_json, fields=TYPES, empty="no types")


@subscription.command("add")
def add_subscription(
    url: Annotated[str, typer.Argument(help="https:// URL that events are posted to.")],
    types: Wanted = None,
    tenant: Annotated[str | None, typer.Option(help="Only events of this tenant, by id.")] = None,
    description: Note = None,
    as_json: Json = False,
) -> None:
    """Subscribe a URL to public events; its secret is printed this once."""
    body = {
        "url": url, "types": types or ["*"], "tenant_id": tenant, "description": description
    }  # fmt: skip
    _show(from_environment().post(_ROOT, body), as_json=as_json)


@subscription.command("list")
def list_subscriptions(limit: Most = 50, as_json: Json = False) -> None:
    """List event subscriptions, newest first."""
    found = from_environment().pages(_ROOT, most=limit)
    output.table(found, as_json=as_json, fields=SUBSCRIPTIONS, empty="no subscriptions")


@subscription.command("show")
def show_subscription(subscription_id: str, as_json: Json = False) -> None:
    """Show an event subscription and how it fares."""
    _show(from_environment().get(_path(subscription_id)), as_json=as_json)


@subscription.command("change")
def change_subscription(
    subscription_id: str,
    url: Annotated[str | None, typer.Option(help="Another URL.")] = None,
    types: Wanted = None,
    description: Note = None,
    as_json: Json = False,
) -> None:
    """Change where events go, or which ones."""
    given = {"url": url, "types": types, "description": description}
    body = {name: value for name, value in given.items() if value is not None}
    _show(from_environment().patch(_path(subscription_id), body), as_json=as_json)


@subscription.command("pause")
def pause_subscription(subscription_id: str, as_json: Json = False) -> None:
    """Send nothing for now; what is published meanwhile waits, for 30 days at most."""
    found = from_environment().patch(_path(subscription_id), {"paused": True})
    _show(found, as_json=as_json)


@subscription.command("resume")
def resume_subscription(subscription_id: str, as_json: Json = False) -> None:
    """Send again to a subscription that is paused or disabled, with all that waited."""
    _show(from_environment().post(_path(subscription_id, "resume"), None), as_json=as_json)


@subscription.command("rotate")
def rotate_secret(subscription_id: str, as_json: Json = False) -> None:
    """Make a new secret, printed this once; the former one signs too for a day."""
    _show(from_environment().post(_path(subscription_id, "rotate"), None), as_json=as_json)


@subscription.command("remove")
def remove_subscription(subscription_id: str, as_json: Json = False) -> None:
    """Remove a subscription with everything that waits for it."""
    found = from_environment().change("DELETE", _path(subscription_id), key=None)
    output.show(found, as_json=as_json, fields=SUBSCRIPTIONS)


@subscription.command("test")
def ping_subscription(subscription_id: str, as_json: Json = False) -> None:
    """Send a test event."""
    found = from_environment().post(_path(subscription_id, "test"), None)
    output.show(found, as_json=as_json, fields=SENT)
    if not as_json:
        output.say(
            f"what the receiver answers: tenantctl subscription deliveries {subscription_id}"
        )


@subscription.command("deliveries")
def list_sent(
    subscription_id: str,
    status: Annotated[
        str | None, typer.Option(help="Only with this status: pending, sent or failed.")
    ] = None,
    limit: Most = 50,
    as_json: Json = False,
) -> None:
    """List what goes to a subscription, newest first, with how the newest attempt ended."""
    found = from_environment().pages(
        _path(subscription_id, "deliveries"), most=limit, status=status
    )
    output.table(found, as_json=as_json, fields=SENT, empty="no events")


@subscription.command("replay")
def replay(
    subscription_id: str,
    delivery: Annotated[str | None, typer.Option(help="One of its deliveries, by id.")] = None,
    since: Annotated[
        str | None, typer.Option(help="All since this time, such as 2026-11-20T14:00:00Z.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send events again, with the ids that they had: one, or all since a time."""
    if (delivery is None) == (since is None):
        raise typer.BadParameter("give either --delivery or --since")
    client = from_environment()
    if delivery is not None:
        path = f"{_path(subscription_id, 'deliveries')}/{segment(delivery)}/replay"
        output.show(client.post(path, None), as_json=as_json, fields=SENT)
        return
    found = client.post(_path(subscription_id, "replay"), {"since": since})
    output.show(found, as_json=as_json, fields=("count",))


def _path(subscription_id: str, *more: str) -> str:
    return "/".join((_ROOT, segment(subscription_id), *more))


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    output.show(found, as_json=as_json, fields=SUBSCRIPTION)
    if not as_json and "secret" in found:
        output.say("keep the secret now: it is not shown again (docs/events.md says how to verify)")
