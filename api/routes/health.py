"""Health, readiness and metrics."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse

from api.dependencies import SharedDep
from api.strict_json import StrictRoute

router = APIRouter(tags=["health"], route_class=StrictRoute)


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Report that the process is alive."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz")
def readyz(have: SharedDep) -> JSONResponse:
    """Report which components are ready; 503 when one that requests need is not."""
    parts = {**have.readiness(), "identity": have.identity.keys.problem() or "ok"}
    ready = all(state == "ok" for state in parts.values())
    content: dict[str, object] = {
        "status": "ready" if ready else "not_ready",
        "parts": parts,
        "background": have.background(),  # what waits without them is not lost
    }
    if have.notice:
        content["notice"] = have.notice
    if ready:
        return JSONResponse(content)
    return JSONResponse(content, status_code=503, headers={"Retry-After": "5"})


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(have: SharedDep) -> str:
    """Show metrics in the Prometheus text format; they are a few seconds old at most."""
    return have.figures.get()
