"""Commands about holds, of tenants and of Hubs."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.refusing import Json

HOLD: Final = (
    "id", "kind", "applying", "reason", "placed_by", "placed_at", "released_by", "release_reason",
    "released_at", "allowed_actions",
)  # fmt: skip
HOLDS: Final = ("id", "kind", "applying", "placed_by", "placed_at", "released_by", "reason")
Kind = Annotated[str, typer.Option("--kind", help="legal, compliance, safety or pause.")]
Applying = Annotated[
    str,
    typer.Option(
        "--applying",
        help="What an apply that began before does when it is interrupted: finishes or stops.",
    ),
]
Reason = Annotated[str, typer.Option(help="Reason, recorded in the audit log.")]
Key = Annotated[
    str | None, typer.Option("--key", help="Idempotency key (default: a new one).")
]  # fmt: skip


def hold_tenant(
    key: str,
    kind: Kind,
    reason: Reason,
    applying: Applying = "finishes",
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Place a hold on a tenant: nothing begins to be applied until the last one is released."""
    _place(f"/v1/tenants/{segment(key)}/holds", kind, reason, applying, idempotency_key, as_json)


def list_tenant_holds(key: str, as_json: Json = False) -> None:
    """List every hold on a tenant, released ones too, oldest first."""
    _list(f"/v1/tenants/{segment(key)}/holds", as_json)


def hold_hub(
    hub_id: str,
    kind: Kind,
    reason: Reason,
    applying: Applying = "finishes",
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Place a hold on a Hub; the slices on it are not held."""
    _place(f"/v1/hubs/{segment(hub_id)}/holds", kind, reason, applying, idempotency_key, as_json)


def list_hub_holds(hub_id: str, as_json: Json = False) -> None:
    """List every hold on a Hub, released ones too, oldest first."""
    _list(f"/v1/hubs/{segment(hub_id)}/holds", as_json)


def release_hold(hold_id: str, reason: Reason, as_json: Json = False) -> None:
    """Release a hold; with the last one, runs that waited for it continue."""
    path = f"/v1/holds/{segment(hold_id)}/release"
    found = from_environment().post(path, {"reason": reason})
    output.show(found, as_json=as_json, fields=HOLD)


def _place(
    path: str, kind: str, reason: str, applying: str, key: str | None, as_json: bool
) -> None:
    body = {"kind": kind, "reason": reason, "applying": applying}
    output.show(from_environment().post(path, body, key=key), as_json=as_json, fields=HOLD)


def _list(path: str, as_json: bool) -> None:
    found = from_environment().get(path)["items"]
    output.table(found, as_json=as_json, fields=HOLDS, empty="no holds")
