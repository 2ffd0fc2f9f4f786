"""Is it there, can it work, how is it doing."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse

from api.dependencies import SharedDep
from api.strict_json import StrictRoute
from control_plane.domain.run import RunStatus

router = APIRouter(tags=["health"], route_class=StrictRoute)


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Tell that the process answers."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz")
def readyz(have: SharedDep) -> JSONResponse:
    """Tell which parts can work; 503 when one that requests need cannot."""
    parts = have.readiness()
    ready = all(state == "ok" for state in parts.values())
    content = {"status": "ready" if ready else "not_ready", "parts": parts}
    return JSONResponse(content, status_code=200 if ready else 503)


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(have: SharedDep) -> str:
    """Show figures in the Prometheus text format."""
    lines = ["# HELP tenantplane_runs Runs by status.", "# TYPE tenantplane_runs gauge"]
    with have.core.uow() as uow:
        for status in RunStatus:
            count = uow.runs.count(status=status)
            lines.append(f'tenantplane_runs{{status="{status}"}} {count}')
    behind = 1 if have.core.trail.is_behind() else 0
    lines += [
        "# HELP tenantplane_audit_behind Whether mutations wait for the audit log.",
        "# TYPE tenantplane_audit_behind gauge",
        f"tenantplane_audit_behind {behind}",
    ]
    return "\n".join(lines) + "\n"
