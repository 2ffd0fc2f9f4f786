"""Commands that call the API: one per route, each with ``--json``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from control_plane.cli import drift, holds, output
from control_plane.cli.client import ENDED, from_environment, segment
from control_plane.cli.comparing import show_comparison, show_differences
from control_plane.cli.errors import FAILED, REFUSED, USAGE, ctrl_c_ends_at_once
from control_plane.cli.plans import show_plan
from control_plane.cli.refusing import Json, refuse

Brief = Annotated[bool, typer.Option("--brief", help="Omit the values.")]
Most = Annotated[int, typer.Option("--limit", min=1, max=5000, help="Maximum number of items.")]
TENANT = ("id", "slug", "mode", "region", "status", "waiting_on", "hold")
TENANTS = ("slug", "mode", "region", "status", "waiting_on", "id")
RUN = ("id", "stack", "kind", "status", "blocked_on", "requested_at")
RUNS = ("id", "kind", "status+blocked_on", "stack", "requested_at")
BUNDLE = ("id", "tenant=inputs.owner.tenant", "number", "status", "rehearsal", "archive_digest")
BUNDLES = ("id", "number", "status", "rehearsal", "archive_digest", "tenant=inputs.owner.tenant")

request = typer.Typer(no_args_is_help=True, help="Provisioning requests.")
tenant = typer.Typer(no_args_is_help=True, help="Tenants.")
hub = typer.Typer(no_args_is_help=True, help="Shared Hubs.")
run = typer.Typer(no_args_is_help=True, help="Runs, their plans and progress.")
approval = typer.Typer(no_args_is_help=True, help="Approvals and decisions.")
tenant.command("hold")(holds.hold_tenant)
tenant.command("holds")(holds.list_tenant_holds)
tenant.command("release")(holds.release_hold)
tenant.command("residency")(drift.residency)
hub.command("hold")(holds.hold_hub)
hub.command("holds")(holds.list_hub_holds)
hub.command("release")(holds.release_hold)


def read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object of a file, ``-`` being stdin; an invalid one is a sentence and exit 2.

    UTF-8 and UTF-16 are read, with and without a byte order mark: shells of Windows write them.
    """
    name = "standard input" if str(file) == "-" else file
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        found = json.loads(content)
    except OSError as error:
        refuse(f"{file} cannot be read: {error.strerror}", USAGE)
    except (ValueError, RecursionError) as error:
        refuse(f"{name} is not valid JSON: {error}", USAGE)
    if not isinstance(found, dict):
        refuse(f"{name} must contain a JSON object", USAGE)
    return found


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
    """Show what a tenant's deployments export."""
    found = from_environment().get(f"/v1/tenants/{segment(key)}/outputs")["items"]
    if as_json:
        output.show(found, as_json=True)
    for item in () if as_json else found:
        output.show(item, as_json=False, fields=("deployment_id", "stack", "account_id"))
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


@tenant.command("change")
def change_tenant(
    key: str,
    reason: Annotated[str, typer.Option(help="Reason, recorded in the audit log.")],
    facts: Annotated[Path, typer.Option(help="JSON of the facts to change; - for stdin.")],
    dry_run: Annotated[bool, typer.Option(help="Only show what would change.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option("--key", help="Idempotency key (default: a new one).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Change seats or the IP allow list of a tenant within its mode."""
    found = from_environment().post(
        f"/v1/tenants/{segment(key)}/changes", {"reason": reason, "facts": read_json(facts)},
        key=idempotency_key, dry_run="true" if dry_run else None,
    )  # fmt: skip
    output.show(found, as_json=as_json, fields=(
        "tenant_id", "status", "changed", "run_id", "supersedes", "summary",
    ))  # fmt: skip
    if not as_json:
        output.table(found["spec"], as_json=False, fields=("path", "before", "after"), empty="")


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
    fields = ("id", "region", "cell", "slices", "capacity", "status")
    output.table(found, as_json=as_json, fields=fields, empty="no Hubs")


@hub.command("show")
def show_hub(hub_id: str, as_json: Json = False) -> None:
    """Show a Hub."""
    found = from_environment().get(f"/v1/hubs/{segment(hub_id)}")
    fields = ("id", "region", "cell", "slices", "capacity", "status", "hold", "outputs")
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
        *RUN, "next_action", "approval_id", "error.message", "error.remedy", "allowed_actions",
    )  # fmt: skip
    output.show(found, as_json=as_json, fields=fields)
    if not as_json:
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
        for event in api.events(run_id):
            line = json.dumps(event) if as_json else output.event(event)
            if line:
                typer.echo(line)
            if not as_json and event["body"].get("status") == "awaiting_approval":
                approval_id = api.get(f"/v1/runs/{segment(run_id)}")["approval_id"]
                typer.echo(f"  waiting for a decision: tenantctl approval show {approval_id}")
    found = api.get(f"/v1/runs/{segment(run_id)}")
    status = found["status"]
    if not as_json:
        _show_checks(found)
    if status in {"applied", "no_changes"}:
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


@approval.command("list")
def list_approvals(
    status: Annotated[str | None, typer.Option(help="Only this status, such as waiting.")] = None,
    limit: Most = 50,
    as_json: Json = False,
) -> None:
    """List approvals, newest first."""
    found = from_environment().pages("/v1/approvals", most=limit, status=status)
    fields = ("id", "status", "stack", "requested_by", "requested_at", "expires_at", "summary")
    output.table(found, as_json=as_json, fields=fields, empty="no approvals")


@approval.command("show")
def show_approval(approval_id: str, brief: Brief = False, as_json: Json = False) -> None:
    """Show an approval: who requested what, and its whole plan with every value."""
    api = from_environment()
    found = api.get(f"/v1/approvals/{segment(approval_id)}")
    fields = (
        "id", "status", "kind", "stack", "tenant=tenant_slug", "company=legal_name", "mode",
        "because=mode_reason", "region", "account_id", "run_id", "requested_by", "on_behalf_of",
        "requested_at", "rule", "decisions needed=needed", "by role=roles", "expires_at",
    )  # fmt: skip
    output.show(found, as_json=as_json, fields=fields)
    if not as_json:
        for item in found["barred"]:
            output.say(f"excluded    {item['subject']} ({item['reason']})")
        for item in found["decisions"]:
            output.say(f"{item['decision']:<10}  by {item['by']}: {item['reason']}")
        plan = api.get(f"/v1/runs/{found['run_id']}/plan")
        show_plan(plan, brief=brief)
        if plan["replaces"]:
            show_comparison(api.get(f"/v1/runs/{found['run_id']}/plan/comparison"))
        if found["allowed_actions"]:
            typer.echo(
                f"\ntenantctl approval approve {found['id']} --digest {found['plan_digest']} "
                "--reason …"
            )


def _decide(approval_id: str, verdict: str, digest: str | None, reason: str, as_json: bool) -> None:
    api = from_environment()
    if digest is None:
        if as_json or not sys.stdin.isatty():
            refuse("give the digest of the plan that you read: --digest sha256:…", USAGE)
        found = api.get(f"/v1/approvals/{segment(approval_id)}")
        show_plan(api.get(f"/v1/runs/{found['run_id']}/plan"))
        typer.confirm(f"{verdict} exactly this plan?", abort=True)
        digest = found["plan_digest"]
    body = {"decision": verdict, "plan_digest": digest, "reason": reason}
    decided = api.post(f"/v1/approvals/{segment(approval_id)}/decisions", body)
    output.show(decided, as_json=as_json, fields=("id", "status", "run_id", "plan_digest"))


Digest = Annotated[
    str | None,
    typer.Option(
        "--digest", help="Digest of the plan that you read (default: show the plan and ask)."
    ),
]
Reason = Annotated[str, typer.Option(help="Reason, recorded in the audit log.")]


@approval.command("approve")
def approve(approval_id: str, reason: Reason, digest: Digest = None, as_json: Json = False) -> None:
    """Approve exactly the plan with this digest."""
    _decide(approval_id, "approve", digest, reason, as_json)


@approval.command("reject")
def reject(approval_id: str, reason: Reason, digest: Digest = None, as_json: Json = False) -> None:
    """Reject the plan with this digest."""
    _decide(approval_id, "reject", digest, reason, as_json)
