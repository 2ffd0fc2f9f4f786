"""Commands about the steps of a tenant's onboarding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.reading import read_json
from control_plane.cli.refusing import Json

STEPS: Final = ("key", "status", "version", "waits_for", "missing", "changed_by", "changed_at")
STEP: Final = (
    "key", "title", "who", "status", "version", "needs", "waits_for", "resets", "changed_by",
    "changed_at", "document", "allowed_actions",
)  # fmt: skip
ANSWERS: Final = ("field", "answer", "missing")
CHECKS: Final = ("check", "holds", "why")
Tenant = Annotated[str, typer.Argument(help="Id or slug of the tenant.")]
Step = Annotated[str, typer.Argument(help="Key of the step, such as sso.")]

onboarding = typer.Typer(no_args_is_help=True, help="Steps of a tenant's onboarding.")


@onboarding.command("show")
def show_steps(
    tenant: Tenant,
    step: Annotated[
        str | None, typer.Argument(help="Key of one step (default: all of them).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the steps of a tenant, or one with its answers and checks."""
    if step is not None:
        _show(from_environment().get(_path(tenant, step)), as_json=as_json)
        return
    found = from_environment().get(f"/v1/tenants/{segment(tenant)}/onboarding/steps")
    if as_json:
        output.as_json_text(found)
        return
    lines = [{**each, "missing": len(each["missing"])} for each in found["items"]]
    output.table(lines, as_json=False, fields=STEPS, empty="no steps")


@onboarding.command("save")
def save_step(
    tenant: Tenant,
    step: Step,
    answers: Annotated[
        Path, typer.Option(help="JSON file with all answers of the step; - reads standard input.")
    ],
    version: Annotated[
        int | None,
        typer.Option(min=0, help="Version that the answers replace (default: the newest)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Save all answers of a step, also when some are missing."""
    given, api = read_json(answers), from_environment()
    path = _path(tenant, step)
    seen = api.get(path)["version"] if version is None else version
    body = {"version": seen, "answers": given}
    _show(api.change("PUT", path, body, key=None), as_json=as_json)


@onboarding.command("complete")
def complete_step(tenant: Tenant, step: Step, as_json: Json = False) -> None:
    """Complete a step with the answers that were saved."""
    api, path = from_environment(), _path(tenant, step)
    body = {"version": api.get(path)["version"]}
    _show(api.post(f"{path}/complete", body), as_json=as_json)


@onboarding.command("reopen")
def reopen_step(
    tenant: Tenant,
    step: Step,
    reason: Annotated[str, typer.Option(help="Reason, recorded in the audit log.")],
    resets: Annotated[
        list[str] | None,
        typer.Option("--reset", help="A step that is opened again as well; repeat for each."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Open a complete step again, and those that need it, which are named."""
    api, path = from_environment(), _path(tenant, step)
    body = {"version": api.get(path)["version"], "resets": resets or [], "reason": reason}
    _show(api.post(f"{path}/reopen", body), as_json=as_json)


def _path(tenant: str, step: str) -> str:
    return f"/v1/tenants/{segment(tenant)}/onboarding/steps/{segment(step)}"


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    output.show(found, as_json=as_json, fields=STEP)
    if as_json:
        return
    missing = {each["field"]: each["detail"] for each in found["missing"]}
    fields = [*found["answers"], *(each for each in missing if each not in found["answers"])]
    lines = [
        {"field": each, "answer": found["answers"].get(each), "missing": missing.get(each)}
        for each in fields
    ]
    output.table(lines, as_json=False, fields=ANSWERS, empty="nothing was answered")
    if found["checks"]:
        output.table(found["checks"], as_json=False, fields=CHECKS, empty="")
