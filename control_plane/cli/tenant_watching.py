"""`tenantctl tenant watch`: what happens to a tenant, as it happens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import RECONNECT_SECONDS, from_environment, segment
from control_plane.cli.refusing import Json

# what names a thing, and so comes first; ids of the rest are left to --json
_FIRST: Final = ("step", "event", "persona", "about", "owner", "status")
_LEFT_OUT: Final = frozenset(
    {"journey", "digest", "previous_status", "round", "attempt", "task", "message", "tenant"}
)


def watch_tenant(
    key: str,
    after: Annotated[
        int, typer.Option("--after", min=0, help="Begin after the event with this number.")
    ] = 0,
    once: Annotated[bool, typer.Option("--once", help="Print what is there, and end.")] = False,
    as_json: Json = False,
) -> None:
    """Print what happens to a tenant: runs, journey steps, tasks, messages; until Ctrl-C.

    With --json one event per line. Events of 30 days are kept.
    """
    api, path = from_environment(), f"/v1/tenants/{segment(key)}/events"
    if not once:
        for event in api.follow(path, last=after, on_cut=_say_cut):
            _tell(event, as_json=as_json)
        return
    token: str | None = str(after)
    while token is not None:
        page = api.get(path, page_token=token)
        for event in page["items"]:
            _tell(event, as_json=as_json)
        token = page["next_page_token"]


def _say_cut() -> None:
    output.say(f"the connection to the API was cut; trying again for {RECONNECT_SECONDS:.0f} s")


def _tell(event: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.line(json.dumps(event))
    else:
        time = output.text(event["time"])
        output.say(f"{event['seq']}  {time}  {event['name']}  {said(event['data'])}".rstrip())


def said(data: Mapping[str, Any]) -> str:
    """Return in one line what an event says."""
    first = [output.text(data[name]) for name in _FIRST if name in data]
    rest = [
        f"{name}={output.text(value)}"
        for name, value in data.items()
        if name not in _FIRST and name not in _LEFT_OUT
    ]
    return output.clean(" ".join((*first, *rest)))
