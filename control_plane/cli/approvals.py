"""Commands about approvals: reading what is asked, deciding on it, taking an approval back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import Advise, Api, from_environment, segment
from control_plane.cli.comparing import show_comparison, show_differences
from control_plane.cli.errors import USAGE
from control_plane.cli.naming import ask_names, asks, command, missing_names
from control_plane.cli.plans import named_by, show_plan
from control_plane.cli.refusing import Json, refuse
from control_plane.cli.signing import KeyFile, require_same_digest, signed_decision, signer_of

APPROVAL: Final = (
    "id", "status", "kind", "stack", "tenant=tenant_slug", "company=legal_name", "mode",
    "because=mode_reason", "region", "account_id", "run_id", "run_status", "requested_by",
    "on_behalf_of", "requested_at", "rules", "people who approve=given", "by role=roles",
    "expires_at",
)  # fmt: skip
DECIDED: Final = (
    "id", "status", "run_id", "plan_digest", "people who approve=given",
)  # fmt: skip
Brief = Annotated[bool, typer.Option("--brief", help="Omit the values.")]
Most = Annotated[int, typer.Option("--limit", min=1, max=5000, help="Maximum number of items.")]
Digest = Annotated[
    str | None,
    typer.Option(
        "--digest", help="Digest of the plan that you read (default: show the plan and ask)."
    ),
]
Acknowledge = Annotated[
    list[str] | None,
    typer.Option(
        "--acknowledge",
        "--tick",
        help="Name of something that the plan cannot undo; once for each (default: ask).",
    ),
]
Reason = Annotated[str, typer.Option(help="Reason, recorded in the audit log.")]
_MOVED: Final = {
    "before_plan": "something else than our runs changed the state before this plan was made",
    "since_plan": "the state was changed since this plan was made: its apply will be refused",
}

approval = typer.Typer(no_args_is_help=True, help="Approvals and decisions.")


@approval.command("list")
def list_approvals(
    status: Annotated[str | None, typer.Option(help="Only this status, such as waiting.")] = None,
    limit: Most = 50,
    as_json: Json = False,
) -> None:
    """List approvals, newest first."""
    found = from_environment().pages("/v1/approvals", most=limit, status=status)
    if not as_json:
        found = [_counted(each) for each in found]
    fields = ("id", "status", "given", "stack", "requested_by", "requested_at", "expires_at",
              "summary")  # fmt: skip
    output.table(found, as_json=as_json, fields=fields, empty="no approvals")


@approval.command("show")
def show_approval(approval_id: str, brief: Brief = False, as_json: Json = False) -> None:
    """Show an approval: who requested what, its risks, and its whole plan with every value."""
    api = from_environment()
    found = api.get(f"/v1/approvals/{segment(approval_id)}")
    output.show(found if as_json else _counted(found), as_json=as_json, fields=APPROVAL)
    if as_json:
        return
    for line in (*_window(found), *_people(found)):
        output.say(line)
    _show_moved(found)
    plan = api.get(f"/v1/runs/{found['run_id']}/plan")
    show_risks(found["risks"])
    show_plan(plan, brief=brief)
    if plan["replaces"]:
        show_comparison(api.get(f"/v1/runs/{found['run_id']}/plan/comparison"))
    for line in _what_next(found):
        typer.echo(line)


@approval.command("approve")
def approve(
    approval_id: str,
    reason: Reason,
    digest: Digest = None,
    acknowledge: Acknowledge = None,
    key: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Approve exactly the plan with this digest, naming each thing that it cannot undo."""
    api, found, digest_read = from_environment(), None, digest
    if digest is None:
        found = _read_plan(api, approval_id, "approve", reason, as_json=as_json)
        digest_read = found["plan_digest"]
    ticks = list(acknowledge or ())
    if acknowledge is None and asks(as_json):
        found = found or api.get(f"/v1/approvals/{segment(approval_id)}")
        ticks = _ask_for_ticks(found["irreversible"])
    body = {
        "decision": "approve", "plan_digest": digest_read, "reason": reason, "acknowledge": ticks,
        **_signed(api, approval_id, key, "approve", str(digest_read), reason, ticks),
    }  # fmt: skip

    def advise(problem: Mapping[str, Any]) -> str:
        names = missing_names(problem, "not_acknowledged", ticks)
        return "" if names is None else _command(approval_id, str(digest_read), names, reason)

    _decide(api, approval_id, body, as_json=as_json, advise=advise)


@approval.command("reject")
def reject(
    approval_id: str,
    reason: Reason,
    digest: Digest = None,
    key: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Reject the plan with this digest."""
    api = from_environment()
    if digest is None:
        digest = _read_plan(api, approval_id, "reject", reason, as_json=as_json)["plan_digest"]
    signed = _signed(api, approval_id, key, "reject", digest, reason)
    body = {"decision": "reject", "plan_digest": digest, "reason": reason, **signed}
    _decide(api, approval_id, body, as_json=as_json)


@approval.command("withdraw")
def withdraw(approval_id: str, reason: Reason, as_json: Json = False) -> None:
    """Withdraw the approval that you gave, until its apply begins; you may decide again."""
    path = f"/v1/approvals/{segment(approval_id)}/withdrawal"
    found = from_environment().post(path, {"reason": reason})
    output.show(found if as_json else _counted(found), as_json=as_json, fields=DECIDED)
    if not as_json:
        _say_missing(found)


def show_risks(risks: Sequence[Mapping[str, Any]]) -> None:
    """Show what of a plan people should look at, with what raises it."""
    for risk in risks:
        where = f"  [{risk['path']}]" if risk["path"] else ""
        name = named_by(risk["urn"]) if risk["urn"] else ""
        output.say(f"RISK  {risk['kind']}  {name}{where}: {risk['detail']}")


def _signed(
    api: Api,
    approval_id: str,
    key: Path | None,
    verdict: str,
    digest: str,
    reason: str,
    ticks: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the decision signed with a key, over the plan as it is fetched now, if one is given.

    Nothing is signed unless the digest of the plan, recomputed here, is the one that was read.
    """
    if key is None:
        return {}
    signer = signer_of(key.expanduser())
    found = api.get(f"/v1/approvals/{segment(approval_id)}")
    plan = api.get(f"/v1/runs/{segment(found['run_id'])}/plan")
    require_same_digest(plan, found["plan_digest"], digest)
    signed = signed_decision(
        signer, api.get("/v1/approver-keys/terms"), found, plan,
        verdict=verdict, reason=reason, acknowledge=ticks,
    )  # fmt: skip
    return {"signed": signed}


def _decide(
    api: Api,
    approval_id: str,
    body: Mapping[str, Any],
    *,
    as_json: bool,
    advise: Advise | None = None,
) -> None:
    path = f"/v1/approvals/{segment(approval_id)}/decisions"
    decided = api.post(path, body, advise=advise)
    output.show(decided if as_json else _counted(decided), as_json=as_json, fields=DECIDED)
    if not as_json:
        for line in _window(decided):
            output.say(line)
        _say_missing(decided)


def _counted(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return an approval with how many of the people that it needs have approved."""
    return {**found, "given": f"{found['approvals']} of {found['needed']}"}


def _say_missing(found: Mapping[str, Any]) -> None:
    missing = found["needed"] - found["approvals"]
    if found["status"] == "waiting" and missing > 0:
        another = "another person approves" if found["approvals"] else "one person approves"
        who = another if missing == 1 else f"{missing} people approve"
        output.say(f"nothing is applied until {who}")


def _read_plan(
    api: Api, approval_id: str, verdict: str, reason: str, *, as_json: bool
) -> dict[str, Any]:
    """Show the plan and ask whether to decide on it; a program has to name the digest."""
    found: dict[str, Any] = api.get(f"/v1/approvals/{segment(approval_id)}")
    if not asks(as_json):
        names = _items(found["irreversible"]) if verdict == "approve" else ()
        line = _command(approval_id, found["plan_digest"], names, reason, verdict=verdict)
        also = ", and the name of each thing that it cannot undo" if names else ""
        sentence = f"give the digest of the plan that you read{also}"
        problem = {"detail": sentence, "command": line}
        refuse(f"{sentence}:\n  {line}", USAGE, problem=problem)
    show_risks(found["risks"])
    show_plan(api.get(f"/v1/runs/{found['run_id']}/plan"))
    typer.confirm(f"{verdict} exactly this plan?", abort=True)
    return found


def _items(irreversible: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names with which what cannot be undone is acknowledged, each once."""
    return tuple(dict.fromkeys(str(each["item"]) for each in irreversible))


def _command(
    approval_id: str, digest: str, names: Sequence[str], reason: str, *, verdict: str = "approve"
) -> str:
    words = ("approval", verdict, approval_id, "--digest", digest)
    return command(words, "--acknowledge", names, reason)


def _ask_for_ticks(irreversible: Sequence[Mapping[str, Any]]) -> list[str]:
    """Ask for each thing that the plan cannot undo, by its name."""
    items = {
        str(each["item"]): f"CANNOT BE UNDONE  {each['op']}  {each['type']}  {each['item']}"
        for each in irreversible
    }
    return ask_names(items, what="acknowledge it", otherwise="nothing was decided")


def _window(found: Mapping[str, Any]) -> Iterator[str]:
    if not found["windows"]:
        return
    names = ", ".join(found["windows"])
    if found["status"] == "waiting":
        yield f"applies only inside the change windows: {names}"
    elif found["applies_from"] is not None:
        first, last = (output.text(found[key]) for key in ("applies_from", "applies_until"))
        yield f"applies from {first} until {last} (change windows: {names})"
    elif found["status"] == "approved":
        yield f"none of its change windows ({names}) opens before it expires"


def _people(found: Mapping[str, Any]) -> Iterator[str]:
    if found["affected"]:
        slugs = ", ".join(item["slug"] for item in found["affected"])
        yield f"affected    {len(found['affected'])} tenants are on this Hub: {slugs}"
    for item in found["barred"]:
        yield f"excluded    {item['subject']} ({item['reason']})"
    for item in found["decisions"]:
        ticks = f"  acknowledged {len(item['acknowledged'])}" if item["acknowledged"] else ""
        yield f"{item['decision']:<10}  by {item['by']}: {item['reason']}{ticks}"
        if item["withdrawn_at"] is not None:
            yield f"{'withdrawn':<10}  by {item['by']}: {item['withdrawn_because']}"


def _show_moved(found: Mapping[str, Any]) -> None:
    """Say what is known of changes by somebody else, and what stopped the run, if that did."""
    moved = found["state_moved"] or {"when": None, "open_findings": 0}
    if moved["when"] is not None:
        output.say(f"CHANGED BY SOMEBODY ELSE  {_MOVED[moved['when']]}")
    if moved["open_findings"]:
        output.say(f"findings    {moved['open_findings']} open: the last look found differences")
    error = found["run_error"] or {}
    if error and found["run_status"] == "blocked":
        output.say(f"the run is blocked: {error['message']}")
        show_differences((error.get("data") or {}).get("differences") or ())


def _what_next(found: Mapping[str, Any]) -> Iterator[str]:
    if "decide" in found["allowed_actions"]:
        names = _items(found["irreversible"])
        yield f"\n{_command(found['id'], found['plan_digest'], names, '')}"
    if "withdraw" in found["allowed_actions"]:
        yield f"\ntenantctl approval withdraw {found['id']} --reason …"
