"""Commands about people who work for tenants, and meetings with customers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.errors import USAGE
from control_plane.cli.refusing import Json, refuse

PEOPLE: Final = (
    "key", "name", "roles", "segments", "languages", "time_zone", "points", "max_points", "away",
)  # fmt: skip
PERSON: Final = (
    "key", "name", "email", "roles", "segments", "languages", "time_zone", "works_from",
    "works_to", "points", "max_points", "sponsored", "level", "certifications", "last_assigned_at",
    "away",
)  # fmt: skip
STAFF: Final = ("role", "person", "name", "email", "segment", "queue=is_queue_owner", "since")
WHY: Final = ("role", "person", "points", "max_points", "why")
MEETINGS: Final = ("id", "tenant_id", "kind", "status", "starts_at", "ends_at", "zone", "missing")
MEETING: Final = (
    "id", "tenant_id", "kind", "title", "status", "starts_at", "ends_at", "zone", "sequence",
    "invited", "missing", "updated_at", "allowed_actions",
)  # fmt: skip
Most = Annotated[int, typer.Option("--limit", min=1, max=5000, help="Maximum number of items.")]
Reason = Annotated[str, typer.Option(help="Reason, recorded in the audit log.")]
Tenant = Annotated[str, typer.Argument(help="Id or slug of the tenant.")]

people = typer.Typer(no_args_is_help=True, help="People who work for tenants.")
meeting = typer.Typer(no_args_is_help=True, help="Meetings with customers.")


@people.command("list")
def list_people(as_json: Json = False) -> None:
    """List everybody of the team, with the points that they have and may have."""
    found = [_with_absences(each) for each in _team()]
    output.table(found, as_json=as_json, fields=PEOPLE, empty="nobody is in the team document")


@people.command("show")
def show_person(
    key: Annotated[str, typer.Argument(help="Key of the person.")], as_json: Json = False
) -> None:
    """Show somebody of the team."""
    found = next((each for each in _team() if each["key"] == key), None)
    if found is None:
        refuse(f"the team document has no person {key}; tenantctl people list names all", USAGE)
    output.show(_with_absences(found), as_json=as_json, fields=PERSON)


@people.command("explain")
def explain(tenant: Tenant, as_json: Json = False) -> None:
    """Say of each role of a tenant why it is this person, and why nobody else."""
    found = _staff(tenant)
    lines = [
        {
            "role": each["role"],
            "person": candidate["person"],
            "points": candidate["points"],
            "max_points": candidate["max_points"],
            "why": candidate["why_not"] or _why(candidate),
        }
        for each in found["assigned"]
        for candidate in each["candidates"]
    ]
    output.table(lines, as_json=as_json, fields=WHY, empty="nobody is assigned")
    if not as_json:
        output.say(f"segment: {found['segment']}")
        for each in found["assigned"]:
            if each["is_queue_owner"]:
                output.say(f"{each['role']}: nobody could; {each['person']} owns the queue")


@people.command("assign")
def assign_person(
    tenant: Tenant,
    role: Annotated[
        str,
        typer.Argument(help="Role: csm, solutions_engineer or executive_sponsor_partner."),
    ],
    reason: Reason,
    person: Annotated[
        str | None,
        typer.Option(help="Key of the person (default: who fits and has most capacity)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Assign somebody to a tenant, instead of who has the role now."""
    path = f"/v1/tenants/{segment(tenant)}/people"
    body = {"role": role, "person": person, "reason": reason}
    _show_staff(from_environment().post(path, body), as_json=as_json)


def tenant_people(tenant: Tenant, as_json: Json = False) -> None:
    """Show who works for a tenant."""
    _show_staff(_staff(tenant), as_json=as_json)


@meeting.command("list")
def list_meetings(
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only with this status: invited or canceled.")
    ] = None,
    limit: Most = 50,
    as_json: Json = False,
) -> None:
    """List meetings, newest first."""
    found = from_environment().pages("/v1/meetings", most=limit, tenant=tenant, status=status)
    output.table(found, as_json=as_json, fields=MEETINGS, empty="no meetings")


@meeting.command("show")
def show_meeting(meeting_id: str, as_json: Json = False) -> None:
    """Show a meeting and who is invited."""
    _show(from_environment().get(f"/v1/meetings/{segment(meeting_id)}"), as_json=as_json)


@meeting.command("move")
def move_meeting(
    meeting_id: str,
    starts_at: Annotated[
        str, typer.Option("--to", help="New start, such as 2026-12-04T10:00:00+01:00.")
    ],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Move a meeting, and tell everybody who is invited."""
    path = f"/v1/meetings/{segment(meeting_id)}/move"
    body = {"starts_at": starts_at, "reason": reason}
    _show(from_environment().post(path, body), as_json=as_json)


@meeting.command("cancel")
def cancel_meeting(meeting_id: str, reason: Reason, as_json: Json = False) -> None:
    """Call a meeting off, and tell everybody who is invited."""
    path = f"/v1/meetings/{segment(meeting_id)}/cancel"
    _show(from_environment().post(path, {"reason": reason}), as_json=as_json)


def _team() -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = from_environment().get("/v1/people")["items"]
    return found


def _with_absences(person: Mapping[str, Any]) -> dict[str, Any]:
    away = [f"{each['first']} to {each['last']}" for each in person["absences"]]
    return {**person, "away": away}


def _staff(tenant: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = from_environment().get(f"/v1/tenants/{segment(tenant)}/people")
    return found


def _show_staff(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.as_json_text(found)
        return
    output.table(found["assigned"], as_json=False, fields=STAFF, empty="nobody is assigned")
    output.say(f"why: tenantctl people explain {found['tenant_id']}")


def _why(candidate: Mapping[str, Any]) -> str:
    despite = candidate.get("despite")
    return f"assigned, though the person {despite}" if despite else "assigned"


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    invited = [f"{', '.join(each['roles'])}: {each['name']}" for each in found["attendees"]]
    shown = found if as_json else {**found, "invited": invited}
    output.show(shown, as_json=as_json, fields=MEETING)
