"""Commands about drift: what differs, what becomes of it, sweeps, and where everything is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.errors import USAGE
from control_plane.cli.refusing import Json, refuse

FINDINGS: Final = (
    "id", "kind", "what", "path", "expected", "actual", "waived_until", "first_seen_at",
    "closed_at",
)  # fmt: skip
TASKS: Final = ("id", "owner", "kind", "what", "path", "to_do")
SWEEP: Final = ("id", "requested_by", "requested_at", "minutes", "deployments", "looked at",
                "differ", "could not be looked at", "gave way", "waiting")  # fmt: skip
SWEEPS: Final = ("id", "requested_at", "deployments", "looked at", "differ",
                 "could not be looked at", "waiting")  # fmt: skip
PLACES: Final = ("region", "what", "type", "subject", "of", "ok")
Most = Annotated[int, typer.Option("--limit", min=1, max=5000, help="Maximum number of items.")]
Closed = Annotated[bool, typer.Option("--all", help="Also what is as it was applied again.")]
Key = Annotated[
    str | None, typer.Option("--key", help="Idempotency key (default: a new one).")
]  # fmt: skip

drift = typer.Typer(no_args_is_help=True, help="What is not as it was applied.")


@drift.command("list")
def list_open(limit: Most = 50, as_json: Json = False) -> None:
    """List the open findings of everything that you see, with what is to be done."""
    found = from_environment().pages("/v1/findings", most=limit)
    shown = found if as_json else [
        {**item, "what": what(item), "owner": item["tenant_id"] or "platform"} for item in found
    ]  # fmt: skip
    output.table(shown, as_json=as_json, fields=TASKS, empty="no findings")


@drift.command("show")
def show_finding(finding_id: str, as_json: Json = False) -> None:
    """Show a finding, what is to be done about it, and every decision on it."""
    api = from_environment()
    found = api.get(f"/v1/findings/{segment(finding_id)}")
    decisions = api.get(f"/v1/findings/{segment(finding_id)}/decisions")["items"]
    if as_json:
        output.show({**found, "decisions": decisions}, as_json=True)
        return
    output.show(found, as_json=False, fields=(
        "id", "kind", "subject", "type", "path", "expected", "actual", "first_seen_at",
        "last_seen_at", "closed_at", "waived_until", "to_do", "allowed_actions",
    ))  # fmt: skip
    output.table(
        decisions, as_json=False,
        fields=("verdict", "decided_by", "decided_at", "until", "run_id", "reason"), empty="",
    )  # fmt: skip


@drift.command("decide")
def decide(
    finding_ids: Annotated[list[str], typer.Argument(help="One or more findings.")],
    verdict: Annotated[str, typer.Option("--as", help="adopt, revert or waive.")],
    reason: Annotated[str, typer.Option(help="Reason, recorded in the audit log.")],
    until: Annotated[
        str | None,
        typer.Option(help="End of a waiver: a date, a time with its offset, or days such as 14d."),
    ] = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Adopt, revert, or waive until a date, what findings say (ops).

    Adopting and reverting request a run of exactly these resources, which the rules may want
    approved.
    """
    api = from_environment()
    body: dict[str, Any] = {"decision": verdict, "reason": reason, "until": _end(until)}
    if len(finding_ids) == 1:
        path = f"/v1/findings/{segment(finding_ids[0])}/decision"
    else:
        tenant = api.get(f"/v1/findings/{segment(finding_ids[0])}")["tenant_id"]
        if tenant is None:
            refuse("findings of a Hub are decided one by one", USAGE)
        path, body = f"/v1/tenants/{tenant}/drift/decisions", {**body, "findings": finding_ids}
    found = api.post(path, body, key=key)
    if as_json:
        output.show(found, as_json=True)
        return
    shown = [{**item, "what": what(item)} for item in found["findings"]]
    output.table(shown, as_json=False, fields=TASKS[:1] + TASKS[2:5], empty="")
    if found["run_id"]:
        output.say(f"to follow: tenantctl run watch {found['run_id']}")


@drift.command("check-hub")
def check_hub(hub_id: str, as_json: Json = False) -> None:
    """Look whether a Hub is as it was applied: a run that changes nothing (ops)."""
    found = from_environment().post(f"/v1/hubs/{segment(hub_id)}/drift-checks")
    output.show(found, as_json=as_json, fields=("id", "kind", "status"))


@drift.command("hub")
def list_of_hub(
    hub_id: str, with_closed: Closed = False, limit: Most = 50, as_json: Json = False
) -> None:
    """List what of a Hub is not as it was applied, with both values."""
    show_findings(f"/v1/hubs/{segment(hub_id)}/drift", with_closed, limit, as_json)


@drift.command("sweep")
def sweep(
    minutes: Annotated[int, typer.Option(min=0, max=1440, help="Spread over so many.")] = 10,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Look at everything that was applied, spread over minutes (ops)."""
    found = from_environment().post("/v1/drift-sweeps", {"minutes": minutes}, key=key)
    _show_sweep(found, as_json)
    if not as_json:
        output.say(f"to follow: tenantctl drift show-sweep {found['id']}")


@drift.command("show-sweep")
def show_sweep(sweep_id: str, as_json: Json = False) -> None:
    """Show how far a sweep is."""
    _show_sweep(from_environment().get(f"/v1/drift-sweeps/{segment(sweep_id)}"), as_json)


@drift.command("sweeps")
def list_sweeps(limit: Most = 20, as_json: Json = False) -> None:
    """List sweeps, newest first, with how far each is."""
    found = from_environment().pages("/v1/drift-sweeps", most=limit)
    shown = found if as_json else [*map(_counted, found)]
    output.table(shown, as_json=as_json, fields=SWEEPS, empty="no sweeps")


def residency(key: str, as_json: Json = False) -> None:
    """Show where everything of a tenant is, against what was promised."""
    found = from_environment().get(f"/v1/tenants/{segment(key)}/residency")
    if as_json:
        output.show(found, as_json=True)
        return
    promise = found["promise"]
    promised = ", ".join(promise["allowed"]) if promise["is_stated"] else "none promised"
    output.show({**found, "promised": promised}, as_json=False, fields=("summary", "promised"))
    for at in found["deployments"]:
        output.show(at, as_json=False, fields=(
            "stack", "verdict", "evidence_id", "digest", "last_seen_at", "searched_at",
            "unanswered",
        ))  # fmt: skip
        shown = [
            {**each, "subject": each["subject"].rpartition("::")[2],
             "of": each["of"].rpartition("::")[2]}
            for each in at["places"]
        ]  # fmt: skip
        output.table(shown, as_json=False, fields=PLACES, empty="nobody has looked yet")
    for each in found["misplaced"]:
        output.say(f"to do       {each['subject']}: {each['to_do']}")


def show_findings(path: str, with_closed: bool, limit: int, as_json: bool) -> None:
    """Show the findings that a route lists."""
    found = from_environment().pages(path, most=limit, with_closed="true" if with_closed else None)
    shown = found if as_json else [{**item, "what": what(item)} for item in found]
    output.table(shown, as_json=as_json, fields=FINDINGS, empty="no findings")


def what(finding: Mapping[str, Any]) -> str:
    """Return what a finding is about: of a URN, which is long, the type and the name."""
    _, colons, name = finding["subject"].rpartition("::")
    return f"{finding['type']} {name}" if colons else str(finding["subject"])


def _show_sweep(found: Mapping[str, Any], as_json: bool) -> None:
    output.show(found if as_json else _counted(found), as_json=as_json, fields=SWEEP)


def _counted(found: Mapping[str, Any]) -> dict[str, Any]:
    outcomes = found["outcomes"]
    return {
        **found,
        "looked at": outcomes["agrees"] + outcomes["differs"],
        "differ": outcomes["differs"],
        "could not be looked at": outcomes["not_looked_at"],
        "gave way": outcomes["gave_way"] + outcomes["gone"],
    }


def _end(text: str | None) -> str | None:
    """Return the end of a waiver as the API takes it."""
    if text is None:
        return None
    if text.endswith("d") and text[:-1].isdigit():
        return (datetime.now(UTC) + timedelta(days=int(text[:-1]))).isoformat()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        refuse(f"{text} is not a date such as 2027-01-31, a time, or days such as 14d", USAGE)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()
