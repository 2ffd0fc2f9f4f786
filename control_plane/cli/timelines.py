"""Commands about what happened to a tenant, and where all of them stand."""

from __future__ import annotations

from typing import Final

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.refusing import Json

MOMENTS: Final = ("at", "what", "text", "about")
COUNTS: Final = ("status", "waiting_on", "count", "drifted", "held", "since")


def tenant_timeline(key: str, as_json: Json = False) -> None:
    """Show what happened to a tenant from its signature to today, newest first."""
    found = from_environment().get(f"/v1/tenants/{segment(key)}/timeline")["items"]
    output.table(found, as_json=as_json, fields=MOMENTS, empty="nothing happened yet")


def count_tenants(as_json: Json = False) -> None:
    """Count the tenants by status and by whom they wait for; those that wait come first."""
    found = from_environment().get("/v1/standing")["items"]
    output.table(found, as_json=as_json, fields=COUNTS, empty="no tenants")
