"""Commands on the removal of tenants and Hubs, and on whatever else takes several steps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.errors import USAGE
from control_plane.cli.naming import ask_names, asks, command, missing_names
from control_plane.cli.reading import read_json
from control_plane.cli.refusing import Json, refuse

saga = typer.Typer(no_args_is_help=True, help="Changes that take several steps.")
SAGA: Final = (
    "id", "kind", "status", "step", "waits_for", "waiting_on", "due_at", "error.code",
    "error.message", "error.remedy", "requested_by", "started_at", "ended_at", "next_action",
    "allowed_actions",
)  # fmt: skip
STEPS: Final = ("position", "name", "outcome", "run_id", "started_at", "ended_at", "says")
REMAINING: Final = ("what", "until", "gone_at", "why")
STORES: Final = ("name", "type", "class=data_class", "items", "bytes", "detail")
SAID: Final = ("word", "by", "decided_at", "digest", "reason")
DOOMED: Final = ("name", "type", "protected", "says")
OBSTACLES: Final = ("code", "message", "remedy")
Reason = Annotated[str, typer.Option(help="Reason, recorded in the audit log.")]
Key = Annotated[
    str | None, typer.Option("--key", help="Idempotency key (default: a new one).")
]  # fmt: skip
DryRun = Annotated[bool, typer.Option(help="Only show what would be removed.")]
Unprotect = Annotated[
    list[str] | None,
    typer.Option("--unprotect", help="Name of a protected resource; once for each (default: ask)."),
]
Manifest = Annotated[str, typer.Option("--manifest", help="Digest of the manifest, sha256:….")]
Counts = Annotated[
    list[str] | None, typer.Option("--count", help="Items by store, as NAME=ITEMS; once for each.")
]
File = Annotated[
    Path | None, typer.Option("--file", help="Where to write it (default: standard output).")
]


def remove_tenant(
    key: str,
    reason: Reason,
    unprotect: Unprotect = None,
    dry_run: DryRun = False,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Request the removal of a tenant; two other people approve its destroy."""
    _remove("tenant", key, reason, unprotect, dry_run, idempotency_key, as_json)


def show_tenant_removal(key: str, as_json: Json = False) -> None:
    """Show the removal of a tenant: its steps, what it waits for, what must remain."""
    _show(from_environment().get(f"/v1/tenants/{segment(key)}/removal"), as_json)


def acknowledge_tenant_export(
    key: str, manifest: Manifest, reason: Reason, counts: Counts = None, as_json: Json = False
) -> None:
    """Acknowledge that the data of a tenant that is removed was exported."""
    _acknowledge(f"/v1/tenants/{segment(key)}/removal", manifest, reason, counts, as_json)


def waive_tenant_export(key: str, reason: Reason, as_json: Json = False) -> None:
    """Let the data of a tenant be destroyed without an export (platform admin)."""
    _waive(f"/v1/tenants/{segment(key)}/removal", reason, as_json)


def attest_destroy(
    key: str,
    reason: Reason,
    receipt: Annotated[
        Path | None,
        typer.Option(
            "--receipt",
            help="Receipt of the destroy, a JSON file, - for stdin (default: not verified by us).",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say that the customer destroyed what it had applied (Mode C).

    The receipt must name the tenant, the deployment, the bundle that was applied, and nothing that
    is left, or what is left with a reason. MODE-C.md, Removal, has the commands that print it.
    """
    found = from_environment().post(
        f"/v1/tenants/{segment(key)}/removal/customer-attestation",
        {"receipt": read_json(receipt) if receipt is not None else None, "reason": reason},
    )
    output.show(found, as_json=as_json, fields=SAID)


def tenant_certificate(key: str, file: File = None, _as_json: Json = False) -> None:
    """Download the certificate of a tenant's removal; always as JSON."""
    _certificate(f"/v1/tenants/{segment(key)}/removal/certificate", file)


def retain_tenant(
    key: str,
    until: Annotated[str, typer.Option(help="Time with its zone, such as 2033-01-01T00:00:00Z.")],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Keep what a tenant has until a date; it is never brought forward."""
    body = {"until": until, "reason": reason}
    found = from_environment().post(f"/v1/tenants/{segment(key)}/retention", body)
    output.show(found, as_json=as_json, fields=("tenant_id", "retention_until"))


def remove_hub(
    hub_id: str,
    reason: Reason,
    unprotect: Unprotect = None,
    dry_run: DryRun = False,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Request the removal of a Hub without slices (platform admin)."""
    _remove("hub", hub_id, reason, unprotect, dry_run, idempotency_key, as_json)


def show_hub_removal(hub_id: str, as_json: Json = False) -> None:
    """Show the removal of a Hub."""
    _show(from_environment().get(f"/v1/hubs/{segment(hub_id)}/removal"), as_json)


def acknowledge_hub_export(
    hub_id: str, manifest: Manifest, reason: Reason, counts: Counts = None, as_json: Json = False
) -> None:
    """Acknowledge that the data in a Hub's stores was exported."""
    _acknowledge(f"/v1/hubs/{segment(hub_id)}/removal", manifest, reason, counts, as_json)


def waive_hub_export(hub_id: str, reason: Reason, as_json: Json = False) -> None:
    """Let the data in a Hub's stores be destroyed without an export (platform admin)."""
    _waive(f"/v1/hubs/{segment(hub_id)}/removal", reason, as_json)


def hub_certificate(hub_id: str, file: File = None, _as_json: Json = False) -> None:
    """Download the certificate of a Hub's removal; always as JSON."""
    _certificate(f"/v1/hubs/{segment(hub_id)}/removal/certificate", file)


@saga.command("show")
def show_saga(saga_id: str, as_json: Json = False) -> None:
    """Show where it stands, step by step."""
    show_steps(from_environment().get(f"/v1/sagas/{segment(saga_id)}"), as_json)


@saga.command("retry")
def retry_saga(saga_id: str, as_json: Json = False) -> None:
    """Take the step that failed again."""
    show_steps(from_environment().post(f"/v1/sagas/{segment(saga_id)}/retry"), as_json)


@saga.command("withdraw")
def withdraw_saga(saga_id: str, reason: Reason, as_json: Json = False) -> None:
    """Stop it: its run is canceled, and what was done is taken back."""
    path = f"/v1/sagas/{segment(saga_id)}/withdraw"
    show_steps(from_environment().post(path, {"reason": reason}), as_json)


def verify_certificate(
    file: Annotated[Path, typer.Argument(help="Certificate that was downloaded.")],
    public_key: Annotated[
        list[Path], typer.Option("--public-key", help="Signer's public key, from a trusted source.")
    ],
    as_json: Json = False,
) -> None:
    """Verify the certificate of a removal, offline: digest, log entry, signature.

    Needs no token, no API and no database. Exit 1 when a check fails.
    """
    from control_plane.adapters.audit.certificate import (  # noqa: PLC0415 - heavy
        CertificateUnreadable,
    )
    from control_plane.adapters.audit.certificate import (  # noqa: PLC0415 - heavy
        verify_certificate as verify,
    )
    from control_plane.adapters.audit.keys import (  # noqa: PLC0415 - heavy
        KeyFileUnusable,
        load_public_key,
    )

    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        report = verify(document, [load_public_key(key) for key in public_key])
    except (CertificateUnreadable, KeyFileUnusable) as error:
        refuse(str(error), USAGE)
    except (ValueError, RecursionError):
        refuse(f"{file} is not valid JSON", USAGE)
    if as_json:
        checks = [check.to_document() for check in report.checks]
        output.as_json_text({"ok": report.is_ok, "origin": report.origin, "checks": checks})
    else:
        for check in report.checks:
            output.say(f"{'ok  ' if check.ok else 'FAIL'} {check.name:<10} {check.detail}")
    if not report.is_ok:
        raise typer.Exit(1)


def _remove(
    noun: str,
    key: str,
    reason: str,
    unprotect: list[str] | None,
    dry_run: bool,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    api, path = from_environment(), f"/v1/{noun}s/{segment(key)}/removal"
    names = list(unprotect or ())
    if dry_run:
        found = api.post(path, {"reason": reason, "unprotect": names}, dry_run="true")
        _show_preview(found, noun, key, reason, as_json)
        return
    if unprotect is None and asks(as_json):
        names = _ask_unprotect(api.post(path, {"reason": reason, "unprotect": []}, dry_run="true"))

    def advise(problem: Mapping[str, Any]) -> str:
        wanted = missing_names(problem, "protection_not_named", names)
        return "" if wanted is None else _command(noun, key, wanted, reason)

    body = {"reason": reason, "unprotect": names}
    _show(api.post(path, body, key=idempotency_key, advise=advise), as_json)


def _show_preview(
    found: Mapping[str, Any], noun: str, key: str, reason: str, as_json: bool
) -> None:
    output.show(found, as_json=as_json, fields=("stack", "summary"))
    if as_json:
        return
    output.table(found["resources"], as_json=False, fields=DOOMED, empty="nothing exists")
    output.table(found["obstacles"], as_json=False, fields=OBSTACLES, empty="")
    if not found["obstacles"]:
        output.say(f"  to remove it: {_command(noun, key, found['unprotect'], reason)}")


def _ask_unprotect(found: Mapping[str, Any]) -> list[str]:
    """Ask for the name of each protected resource; what is refused anyway asks for nothing."""
    if found["obstacles"]:
        return []
    items = {name: f"PROTECTED  {name}" for name in found["unprotect"]}
    return ask_names(items, what="take its protection away", otherwise="nothing was requested")


def _command(noun: str, key: str, names: Sequence[str], reason: str) -> str:
    return command((noun, "remove", key), "--unprotect", names, reason)


_ACKNOWLEDGE: Final = "acknowledge-export"


def _show(found: Mapping[str, Any], as_json: bool) -> None:
    show_steps(found, as_json)
    if as_json:
        return
    output.table(found["stores"], as_json=False, fields=STORES, empty="")
    if (found["step"], found["status"]) == ("export", "waiting"):
        noun = f"tenant {_ACKNOWLEDGE} {found['tenant_id']}"
        if found["tenant_id"] is None:
            noun = f"hub {_ACKNOWLEDGE} {found['hub_id']}"
        rest = "--manifest sha256:… --count NAME=ITEMS --reason …"
        output.say(f"  to continue, once it was exported: tenantctl {noun} {rest}")
    output.table(found["decisions"], as_json=False, fields=SAID, empty="")
    output.table(found["remaining"], as_json=False, fields=REMAINING, empty="")
    for name in ("unprotect", "account_retired", "certificate"):
        if found[name]:
            output.say(f"{name}  {output.text(found[name])}")


def _way_back(found: Mapping[str, Any]) -> str:
    if not found["is_undoing"]:
        return ""
    return ": all of it was taken back" if found["ended_at"] else ", being taken back"


def show_steps(found: Mapping[str, Any], as_json: bool) -> None:
    """Print where a saga stands, step by step."""
    output.show(found, as_json=as_json, fields=SAGA)
    if as_json:
        return
    output.say(f"step {found['position']} of {found['of']}{_way_back(found)}")
    output.table(found["steps"], as_json=False, fields=STEPS, empty="")
    if found["status"] == "stuck" and "retry" in found["allowed_actions"]:
        output.say(f"  to retry: tenantctl saga retry {found['id']}")


def _acknowledge(
    path: str, manifest: str, reason: str, counts: list[str] | None, as_json: bool
) -> None:
    found: dict[str, int] = {}
    for each in counts or ():
        name, equals, number = each.rpartition("=")
        if not equals or not name or not number.isdecimal():
            refuse(f"{each} does not have the form NAME=ITEMS", USAGE)
        found[name] = int(number)
    body = {"manifest_digest": manifest, "counts": found, "reason": reason}
    said = from_environment().post(f"{path}/export-acknowledgement", body)
    output.show(said, as_json=as_json, fields=SAID)


def _waive(path: str, reason: str, as_json: bool) -> None:
    said = from_environment().post(f"{path}/export-waiver", {"reason": reason})
    output.show(said, as_json=as_json, fields=SAID)


def _certificate(path: str, file: Path | None) -> None:
    found = from_environment().get(path)
    if file is None:
        output.as_json_text(found)
        return
    file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    output.say(f"certificate {found['certificate']['id']} written to {file}")
