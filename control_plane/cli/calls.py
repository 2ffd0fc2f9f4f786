"""Commands that call the API: one per route, each with ``--json``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from control_plane.cli import (
    changing,
    drift,
    handing_over,
    holds,
    journeys,
    links,
    modes,
    onboarding,
    output,
    people,
    queueing,
    removals,
    tenant_watching,
    timelines,
)
from control_plane.cli.client import ENDED, from_environment, segment
from control_plane.cli.comparing import show_comparison, show_differences
from control_plane.cli.errors import FAILED, REFUSED, ctrl_c_ends_at_once
from control_plane.cli.plans import show_plan
from control_plane.cli.reading import read_json
from control_plane.cli.refusing import Json
from control_plane.cli.run_help import show_next
from control_plane.cli.watching import follow

Brief = Annotated[bool, typer.Option("--brief", help="Omit the values.")]
Most = Annotated[int, typer.Option("--limit", min=1, max=5000, help="Maximum number of items.")]
TENANT = ("id", "slug", "mode", "region", "status", "waiting_on", "hold", "holds")
TENANTS = ("slug", "mode", "region", "status", "waiting_on", "holds", "id")
RUN = ("id", "stack", "kind", "status", "blocked_on", "requested_at")
RUNS = ("id", "kind", "status+blocked_on", "stack", "requested_at", "waiting=waiting.sentence")
BUNDLE = ("id", "tenant=inputs.owner.tenant", "number", "status", "rehearsal", "archive_digest")
BUNDLES = ("id", "number", "status", "rehearsal", "archive_digest", "tenant=inputs.owner.tenant")

request = typer.Typer(no_args_is_help=True, help="Provisioning requests.")
tenant = typer.Typer(no_args_is_help=True, help="Tenants.")
hub = typer.Typer(no_args_is_help=True, help="Shared Hubs.")
run = typer.Typer(no_args_is_help=True, help="Runs, their plans and progress.")
tenant.command("change")(changing.change_tenant)
tenant.command("amendments")(changing.list_amendments)
hub.command("change")(changing.change_hub)
hub.command("update-slices")(changing.update_slices)
tenant.command("pause")(queueing.pause_tenant)
tenant.command("resume")(queueing.resume_tenant)
tenant.command("hold")(holds.hold_tenant)
tenant.command("holds")(holds.list_tenant_holds)
tenant.command("release")(holds.release_hold)
tenant.command("link")(links.tenant_link)
tenant.command("people")(people.tenant_people)
tenant.add_typer(onboarding.onboarding, name="onboarding")
tenant.command("residency")(drift.residency)
hub.command("hold")(holds.hold_hub)
hub.command("holds")(holds.list_hub_holds)
hub.command("release")(holds.release_hold)
tenant.command("mode")(modes.tenant_mode)
tenant.command("journey")(journeys.tenant_journey)
tenant.command("timeline")(timelines.tenant_timeline)
tenant.command("standing")(timelines.count_tenants)
tenant.command("watch")(tenant_watching.watch_tenant)
tenant.command("handover-manifest")(handing_over.download_manifest)
tenant.command("first-copy")(handing_over.say_first_copy)
tenant.command("record-dump")(handing_over.record_dump)
tenant.command("import-report")(handing_over.register_report)
tenant.command("remove")(removals.remove_tenant)
tenant.command("removal")(removals.show_tenant_removal)
tenant.command("acknowledge-export")(removals.acknowledge_tenant_export)
tenant.command("waive-export")(removals.waive_tenant_export)
tenant.command("attest-destroy")(removals.attest_destroy)
tenant.command("certificate")(removals.tenant_certificate)
tenant.command("retain")(removals.retain_tenant)
hub.command("remove")(removals.remove_hub)
hub.command("removal")(removals.show_hub_removal)
hub.command("acknowledge-export")(removals.acknowledge_hub_export)
hub.command("waive-export")(removals.waive_hub_export)
hub.command("certificate")(removals.hub_certificate)


@request.command("submit")
def submit_request(
    file: Annotated[Path, typer.Argument(help="JSON body (example in the README); - for stdin.")],
    dry_run: Annotated[bool, typer.Option(help="Only validate and resolve the mode.")] = False,
    key: Annotated[str | None, typer.Option(help="Idempotency key (default: a new one).")] = None,
    as_json: Json = False,
) -> None:
    """Submit a signed contract."""
    api = from_environment()
    flag = "true" if dry_run else None
    found = api.post("/v1/provisioning-requests", read_json(file), key=key, dry_run=flag)
    fields = ("outcome", "mode", "region", "summary") if dry_run else (
        "id", "tenant.id", "tenant.slug", "tenant.mode", "tenant.status", "run_id", "bundle_id",
    )  # fmt: skip
    output.show(found, as_json=as_json, fields=fields)
    if dry_run and not as_json:
        _show_reasons(found)


@request.command("show")
def show_request(request_id: str, as_json: Json = False) -> None:
    """Show a request."""
    found = from_environment().get(f"/v1/provisioning-requests/{segment(request_id)}")
    fields = ("id", "contract_id", "tenant.slug", "tenant.status", "run_id", "bundle_id")
    output.show(found, as_json=as_json, fields=fields)


@request.command("list")
def list_requests(limit: Most = 50, as_json: Json = False) -> None:
    """List requests, newest first."""
    found = from_environment().pages("/v1/provisioning-requests", most=limit)
    fields = ("id", "contract_id", "tenant.slug", "tenant.mode", "tenant.status")
    output.table(found, as_json=as_json, fields=fields, empty="no requests")


@request.command("resolve")
def resolve(
    file: Annotated[Path, typer.Argument(help="JSON facts; - for stdin.")], as_json: Json = False
) -> None:
    """Show which mode the facts lead to, and why."""
    found = from_environment().post("/v1/mode-resolutions", read_json(file))
    output.show(found, as_json=as_json, fields=("outcome", "mode", "required_min", "summary"))
    if not as_json:
        _show_reasons(found)


def _show_reasons(decision: Mapping[str, Any]) -> None:
    fields = ("rule", "min_mode", "sentence")
    output.table(decision["reasons"], as_json=False, fields=fields, empty="")


@tenant.command("list")
def list_tenants(
    status: Annotated[str | None, typer.Option(help="Only this status.")] = None,
    domain: Annotated[str | None, typer.Option(help="Only of the company's domain.")] = None,
    contract: Annotated[str | None, typer.Option(help="Only of this contract_id.")] = None,
    envelope: Annotated[str | None, typer.Option(help="Only of this envelope_id.")] = None,
    drifted: Annotated[bool, typer.Option("--drifted", help="Only with open findings.")] = False,
    limit: Most = 50,
    as_json: Json = False,
) -> None:
    """List tenants, newest first; find one by its company or its contract."""
    found = from_environment().pages(
        "/v1/tenants", most=limit, status=status, domain=domain, contract_id=contract,
        envelope_id=envelope, drifted="true" if drifted else None,
    )  # fmt: skip
    output.table(found, as_json=as_json, fields=TENANTS, empty="no tenants")


@tenant.command("show")
def show_tenant(key: str, as_json: Json = False) -> None:
    """Show a tenant by id or slug, what its newest run says, and the reasons for its mode."""
    found = from_environment().get(f"/v1/tenants/{segment(key)}")
    output.show(found, as_json=as_json, fields=(
        *TENANT, "drifted", "run_id", "bundle_id", "error.message", "decision.summary",
        "allowed_actions",
    ))  # fmt: skip
    if not as_json:
        _show_reasons(found["decision"])
        if "mode-decision" in found["allowed_actions"]:
            typer.echo(f"  to decide: tenantctl tenant decide-mode {found['slug']} --help")


@tenant.command("outputs")
def show_outputs(key: str, as_json: Json = False) -> None:
    """Show what a tenant's deployments export: the current one, one to be, former ones."""
    found = from_environment().get(f"/v1/tenants/{segment(key)}/outputs")["items"]
    if as_json:
        output.show(found, as_json=True)
    for item in () if as_json else found:
        about = ("deployment_id", "position", "stack", "account_id")
        output.show(item, as_json=False, fields=about)
        output.show(item["outputs"], as_json=False, fields=sorted(item["outputs"]))
    if not as_json and not found:
        typer.echo("no deployments")


@tenant.command("decide-mode")
def decide_mode(
    key: str,
    reason: Annotated[str, typer.Option(help="Reason, recorded in the audit log.")],
    facts: Annotated[Path | None, typer.Option(help="JSON of the facts to change.")] = None,
    as_json: Json = False,
) -> None:
    """Confirm a reviewed mode, or correct facts (solutions architect)."""
    body = {"reason": reason, "facts": read_json(facts) if facts else None}
    found = from_environment().post(f"/v1/tenants/{segment(key)}/mode-decision", body)
    output.show(found, as_json=as_json, fields=TENANT)


@tenant.command("check-drift")
def check_drift(key: str, as_json: Json = False) -> None:
    """Look whether the cloud is as it was applied: a run that changes nothing (ops)."""
    found = from_environment().post(f"/v1/tenants/{segment(key)}/drift-checks")
    output.show(found, as_json=as_json, fields=("id", "kind", "status"))


@tenant.command("findings")
def list_findings(
    key: str, with_closed: drift.Closed = False, limit: Most = 50, as_json: Json = False
) -> None:
    """List what is not as it was applied, with both values; secrets are masked."""
    drift.show_findings(f"/v1/tenants/{segment(key)}/findings", with_closed, limit, as_json)


@hub.command("create")
def create_hub(
    region: str,
    cell: Annotated[str, typer.Option(help="Cell: 1 to 8 lower-case letters and digits.")] = "c1",
    capacity: Annotated[int, typer.Option(help="Maximum number of slices, at most 900.")] = 100,
    as_json: Json = False,
) -> None:
    """Request a shared Hub; its plan waits for a decision (platform admin)."""
    body = {"region": region, "cell": cell, "capacity": capacity}
    found = from_environment().post("/v1/hubs", body)
    output.show(found, as_json=as_json, fields=("id", "region", "cell", "status", "run_id"))


@hub.command("list")
def list_hubs(limit: Most = 50, as_json: Json = False) -> None:
    """List Hubs."""
    found = from_environment().pages("/v1/hubs", most=limit)
    fields = ("id", "region", "cell", "slices", "capacity", "version", "status", "hold")
    output.table(found, as_json=as_json, fields=fields, empty="no Hubs")


@hub.command("show")
def show_hub(hub_id: str, as_json: Json = False) -> None:
    """Show a Hub."""
    found = from_environment().get(f"/v1/hubs/{segment(hub_id)}")
    fields = (
        "id", "region", "cell", "slices", "outdated_slices", "capacity", "version", "zones",
        "status", "hold", "allowed_actions", "outputs",
    )  # fmt: skip
    output.show(found, as_json=as_json, fields=fields)


@run.command("list")
def list_runs(
    tenant_id: Annotated[
        str | None, typer.Option("--tenant", help="Only this tenant (id or slug).")
    ] = None,
    status: Annotated[str | None, typer.Option(help="Only this status.")] = None,
    limit: Most = 50,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    api = from_environment()
    if tenant_id is not None and not tenant_id.startswith("ten_"):
        tenant_id = api.get(f"/v1/tenants/{segment(tenant_id)}")["id"]
    found = api.pages("/v1/runs", most=limit, tenant_id=tenant_id, status=status)
    output.table(found, as_json=as_json, fields=RUNS, empty="no runs")


def _show_checks(found: Mapping[str, Any]) -> None:
    output.table(found["checks"], as_json=False, fields=("name", "ok", "detail"), empty="")


@run.command("show")
def show_run(run_id: str, as_json: Json = False) -> None:
    """Show a run with its checks and what it waits for."""
    found = from_environment().get(f"/v1/runs/{segment(run_id)}")
    fields = (
        *RUN, "playbook=cause.playbook", "step=cause.step", "next_action", "approval_id",
        "waiting=waiting.sentence", "error.message", "error.remedy", "allowed_actions",
    )  # fmt: skip
    output.show(found, as_json=as_json, fields=fields)
    if not as_json:
        show_next(found)
        output.table(found["affected"], as_json=False, fields=("slug", "tenant_id"), empty="")
        _show_checks(found)
        show_differences((found["error"] or {}).get("data", {}).get("differences", []))


@run.command("plan")
def show_run_plan(run_id: str, brief: Brief = False, as_json: Json = False) -> None:
    """Show what a run would change, with every value; secrets are masked."""
    found = from_environment().get(f"/v1/runs/{segment(run_id)}/plan")
    if as_json:
        output.show(found, as_json=True)
    else:
        show_plan(found, brief=brief)


@run.command("compare")
def compare_run_plan(run_id: str, as_json: Json = False) -> None:
    """Show how a run's plan differs from the one whose place it takes; secrets are masked."""
    found = from_environment().get(f"/v1/runs/{segment(run_id)}/plan/comparison")
    if as_json:
        output.show(found, as_json=True)
    else:
        show_comparison(found)


@run.command("watch")
def watch_run(run_id: str, as_json: Json = False) -> None:
    """Follow a run to its end; exit 0 applied, 3 refused, 1 failed.

    With --json one line is one event.
    """
    api = from_environment()
    if not as_json and sys.stderr.isatty():
        typer.echo("Ctrl-C stops watching, not the run", err=True)
    with ctrl_c_ends_at_once():
        follow(api, run_id, as_json=as_json)
    found = api.get(f"/v1/runs/{segment(run_id)}")
    status = found["status"]
    if not as_json:
        _show_checks(found)
    if status in {"applied", "no_changes", "planned"}:
        return
    raise typer.Exit(FAILED if status == "errored" or status not in ENDED else REFUSED)


@run.command("cancel")
def cancel_run(run_id: str, as_json: Json = False) -> None:
    """Cancel a run."""
    found = from_environment().post(f"/v1/runs/{segment(run_id)}/cancel")
    output.show(found, as_json=as_json, fields=("id", "status", "cancel_requested"))


@run.command("retry")
def retry_run(run_id: str, as_json: Json = False) -> None:
    """Retry a run, and print the run that continues; you cannot approve what you retried."""
    found = from_environment().post(f"/v1/runs/{segment(run_id)}/retry")
    output.show(found, as_json=as_json, fields=("id", "status"))
