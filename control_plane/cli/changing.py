"""Commands that change tenants and Hubs, or show what a change would do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from control_plane.cli import output
from control_plane.cli.client import Api, from_environment, segment
from control_plane.cli.errors import FAILED, USAGE
from control_plane.cli.plans import show_plan
from control_plane.cli.reading import read_json
from control_plane.cli.refusing import Json, refuse
from control_plane.cli.watching import follow

Reason = Annotated[str, typer.Option(help="Reason, recorded in the audit log.")]
DryRun = Annotated[bool, typer.Option(help="Only show what would change.")]
WithPlan = Annotated[
    bool,
    typer.Option(help="With --dry-run: let the engine plan the change, and show the plan."),
]
Key = Annotated[str | None, typer.Option("--key", help="Idempotency key (default: a new one).")]
Version = Annotated[str | None, typer.Option(help="Version of the Hub.")]
Zones = Annotated[int | None, typer.Option(help="Availability zones of its network.")]
AMENDMENTS = ("number", "signed_at", "ends_on", "retention_until", "subscription", "seats",
              "amended_by")  # fmt: skip
_CHANGE = ("changed", "run_id", "supersedes", "summary")


def change_tenant(
    key: str,
    reason: Reason,
    facts: Annotated[
        Path | None, typer.Option(help="JSON of the facts to change; - for stdin.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="Size of a dedicated Hub; an empty one lets the seats decide."),
    ] = None,
    version: Version = None,
    zones: Zones = None,
    amendment: Annotated[
        Path | None, typer.Option(help="JSON of a signed amendment of the contract.")
    ] = None,
    dry_run: DryRun = False,
    with_plan: WithPlan = False,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Change facts, size, version or contract of a tenant within its mode; a run follows.

    Facts, as in its request: {"seats": 150, "ip_allow_list": ["203.0.113.0/24"]}; null clears one.
    An amendment: {"number": "AM-1", "signed_at": "2026-11-30T10:00:00Z", "seats": 1500}, and any of
    effective_on, ends_on, retention_until, subscription, sla_uptime_min.
    """
    environment = _environment(version, zones)
    if size is not None:
        environment["size"] = size or None
    body = {
        "reason": reason,
        "facts": read_json(facts) if facts is not None else {},
        "environment": environment,
        "amendment": read_json(amendment) if amendment is not None else None,
    }
    path = f"/v1/tenants/{segment(key)}/changes"
    _change(path, body, ("tenant_id", "status", *_CHANGE), idempotency_key,
            dry_run=dry_run, with_plan=with_plan, as_json=as_json)  # fmt: skip


def change_hub(
    hub_id: str,
    reason: Reason,
    capacity: Annotated[int | None, typer.Option(help="Maximum number of slices.")] = None,
    version: Version = None,
    zones: Zones = None,
    dry_run: DryRun = False,
    with_plan: WithPlan = False,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Change capacity, version or zones of a shared Hub (platform admin).

    Lists the tenants that have a slice on it.
    """
    body = {
        "reason": reason, "capacity": capacity, "environment": _environment(version, zones),
    }  # fmt: skip
    path = f"/v1/hubs/{segment(hub_id)}/changes"
    _change(path, body, ("hub_id", "status", "capacity", *_CHANGE), idempotency_key,
            dry_run=dry_run, with_plan=with_plan, as_json=as_json)  # fmt: skip


def update_slices(
    hub_id: str, reason: Reason, idempotency_key: Key = None, as_json: Json = False
) -> None:
    """Update the slices that were made over other outputs than the Hub has now."""
    found = from_environment().post(
        f"/v1/hubs/{segment(hub_id)}/slice-updates", {"reason": reason}, key=idempotency_key
    )
    output.show(found, as_json=as_json, fields=("run_ids", "left"))
    if not as_json:
        output.table(found["skipped"], as_json=False, fields=("deployment_id", "reason"), empty="")


def list_amendments(key: str, as_json: Json = False) -> None:
    """List the amendments of a tenant's contract, oldest first."""
    found = from_environment().get(f"/v1/tenants/{segment(key)}/amendments")["items"]
    output.table(found, as_json=as_json, fields=AMENDMENTS, empty="no amendments")


def _environment(version: str | None, zones: int | None) -> dict[str, Any]:
    given = {"version": version, "zones": zones}
    return {name: value for name, value in given.items() if value is not None}


def _change(
    path: str,
    body: Mapping[str, Any],
    fields: tuple[str, ...],
    key: str | None,
    *,
    dry_run: bool,
    with_plan: bool,
    as_json: bool,
) -> None:
    if with_plan and not dry_run:
        refuse("--with-plan belongs to --dry-run: without it the run plans anyway", USAGE)
    api = from_environment()
    found = api.post(
        path, body, key=key, dry_run="true" if dry_run else None,
        with_plan="true" if with_plan else None,
    )  # fmt: skip
    plan = _plan(api, found["plan_run_id"], quiet=as_json) if with_plan else None
    if as_json:
        output.show(found | ({"plan": plan} if with_plan else {}), as_json=True)
        return
    output.show(found, as_json=False, fields=fields)
    for note in found.get("notes", ()):
        output.say(f"note: {note}")
    output.table(found["spec"], as_json=False, fields=("path", "before", "after"), empty="")
    output.table(found.get("affected", ()), as_json=False, fields=("slug", "tenant_id"), empty="")
    if plan is not None:
        show_plan(plan)
    if found["run_id"] is not None and not dry_run:
        output.say(f"to follow it: tenantctl run watch {found['run_id']}")


def _plan(api: Api, run_id: str, *, quiet: bool) -> Any:
    """Return the plan of a run that only plans, when it has ended; its progress is shown."""
    follow(api, run_id, show=not quiet)
    run = api.get(f"/v1/runs/{run_id}")
    if run["status"] != "planned":
        message = (run["error"] or {}).get("message", "")
        refuse(f"the run that plans it is {run['status']}: {message}", FAILED)
    return api.get(f"/v1/runs/{run_id}/plan")
