"""How far the audit logs are: signed, in the root log, and seen by witnesses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.refusing import Json

_TREES: Final = (
    "tree", "size", "signed", "in_root", "witnessed", "age=age", "exposed=exposed", "held",
)  # fmt: skip
_WITNESSES: Final = ("witness=name", "size", "cosigned_at", "fault", "fault_since")
_DAY: Final = 86_400


def status(
    tree: Annotated[
        str | None,
        typer.Argument(help="Tenant id or slug, or `platform` (default: every log)."),
    ] = None,
    after: Annotated[str, typer.Option(help="List the logs after this name.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="Maximum number of logs.")] = 100,
    as_json: Json = False,
) -> None:
    """Show how far logs are: signed, in the root log, and seen by a quorum of witnesses.

    `age` is how long ago the quorum saw the newest head that it knows; `exposed` how long the
    oldest signed head that it has not seen waits. Entries under a head that witnesses have seen
    can no longer be changed unseen, even with the signing key.
    """
    api = from_environment()
    if tree is not None:
        is_platform = tree == "platform"
        base = "/v1/audit/platform" if is_platform else f"/v1/tenants/{segment(tree)}/audit"
        found = api.get(f"{base}/status")
        if as_json:
            output.as_json_text(found)
        else:
            output.table([_row(found)], as_json=False, fields=_TREES, empty="")
        return
    overall = api.get("/v1/audit/status")
    page = api.get("/v1/audit/trees", after=after, limit=limit)
    if as_json:
        more = page["next_page_token"]
        output.as_json_text({**overall, "trees": page["items"], "next_page_token": more})
        return
    _show_clock(overall["clock"])
    rows = list(overall["witnesses"])
    output.table(rows, as_json=False, fields=_WITNESSES, empty="no witness is asked")
    output.table([_row(item) for item in page["items"]], as_json=False, fields=_TREES,
                 empty="no logs")  # fmt: skip
    if page["next_page_token"]:
        output.say(f"more: --after {page['next_page_token']}")


def _show_clock(clock: Mapping[str, Any] | None) -> None:
    if clock is None:
        output.say("no quorum of witnesses is asked for: set TENANTPLANE_WITNESS_POLICY")
        return
    if clock["problem"]:
        output.say(f"warning: {clock['problem']}")
    seen = f"{clock['size']} of {clock['newest']} entries of the root log"
    output.say(f"the quorum has seen {seen}, {_long(clock['age_seconds'])} ago; "
               f"exposed for {_long(clock['exposed_seconds'])}")  # fmt: skip


def _row(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **found,
        "age": _long(found.get("age_seconds")),
        "exposed": _long(found.get("exposed_seconds")),
    }


def _long(seconds: int | None) -> str:
    """Return a length of time in its largest unit, rounded down."""
    if seconds is None:
        return "-"
    for unit, length in (("d", _DAY), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
