"""The cells of the matrix: how a run of a kind and a mode is requested, or why none can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from control_plane.domain.kinds import KINDS
from control_plane.domain.run import RunKind
from tests.crash_matrix.site import Site
from tests.end_to_end.installation import REGION

MODES: Final = ("A", "hub", "B")
Cell = tuple[RunKind, str]
Request = Callable[[Site], str]  # requests a run and returns its id


def provision_slice(site: Site) -> str:
    """Submit the contract of a tenant on the shared Hub."""
    return _submitted(site, "A")


def provision_dedicated(site: Site) -> str:
    """Submit the contract of a tenant with a Hub of its own."""
    return _submitted(site, "B")


def provision_hub(site: Site) -> str:
    """Request a shared Hub."""
    body = {"region": REGION, "cell": f"c{next(site.companies) + 1}", "capacity": 900}
    return str(site.api("ada").post("/v1/hubs", body)["run_id"])


def update_dedicated(site: Site) -> str:
    """Change the allow list of a ready tenant to another one."""
    tenant = _ready(site, "B")
    block = next(site.companies) % 250
    body = {
        "facts": {"ip_allow_list": [f"203.0.{block}.0/24", f"198.51.{block}.0/24"]},
        "reason": "new offices",
    }
    return str(site.api("crm").post(f"/v1/tenants/{tenant}/changes", body)["run_id"])


def refresh_slice(site: Site) -> str:
    """Ask for a look at a ready tenant on the shared Hub."""
    return _look(site, "A")


def refresh_dedicated(site: Site) -> str:
    """Ask for a look at a ready tenant with a Hub of its own."""
    return _look(site, "B")


SCENARIOS: Final[Mapping[Cell, Request]] = {
    (RunKind.PROVISION, "A"): provision_slice,
    (RunKind.PROVISION, "hub"): provision_hub,
    (RunKind.PROVISION, "B"): provision_dedicated,
    (RunKind.UPDATE, "B"): update_dedicated,
    (RunKind.REFRESH, "A"): refresh_slice,
    (RunKind.REFRESH, "B"): refresh_dedicated,
}
_REASONS: Final[Mapping[Cell, str]] = {
    (RunKind.UPDATE, "A"): "no fact that can be changed changes what a slice has",
    (RunKind.UPDATE, "hub"): "nobody changes a Hub: there is no route for it",
    (RunKind.REFRESH, "hub"): "only the timer looks at a Hub: there is no route for it",
}


def cells() -> dict[Cell, str]:
    """Return every cell, with the reason why it cannot be tried; empty where it can."""
    return {
        (kind, mode): ""
        if (kind, mode) in SCENARIOS
        else _REASONS.get((kind, mode), f"no service requests a {kind} yet")
        for kind in KINDS
        for mode in MODES
    }


def _submitted(site: Site, mode: str) -> str:
    return str(site.api("crm").post("/v1/provisioning-requests", site.company(mode))["run_id"])


def _ready(site: Site, mode: str) -> str:
    """Return the id of the oldest ready tenant of a mode; the matrix makes one first."""
    (found,) = site.rows(
        "SELECT id FROM tenant WHERE mode = %s AND status = 'ready' ORDER BY created_at LIMIT 1",
        mode,
    )
    return str(found["id"])


def _look(site: Site, mode: str) -> str:
    run: dict[str, Any] = site.api("olga").post(f"/v1/tenants/{_ready(site, mode)}/drift-checks")
    return str(run.get("run_id") or run["id"])
