"""The application: routes, errors, and what every request passes through."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI

from api import errors
from api.dependencies import Shared
from api.edge import Edge
from api.routes import approvals, audit, bundles, health, hubs, provisioning, runs
from api.schemas.problems import Problem

_PROBLEM: Final[dict[str, Any]] = {
    "description": "What went wrong and what to do (RFC 9457).",
    "content": {errors.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


class Application(FastAPI):
    """FastAPI whose document names the problem documents."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document; the same object at every call."""
        document = super().openapi()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.setdefault("Problem", Problem.model_json_schema())
        return document


def create_app(shared: Shared) -> FastAPI:
    """Return the application over a core."""
    app = Application(
        title="tenantplane",
        version="1.0.0",
        summary="Tenant provisioning: requests, runs, approvals, bundles, audit logs.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        responses={"4XX": _PROBLEM, "5XX": _PROBLEM},
    )
    app.state.shared = shared
    for module in (provisioning, hubs, runs, approvals, bundles, audit, health):
        app.include_router(module.router)
    errors.install(app)
    app.add_middleware(Edge)
    return app
