"""The application: routes, errors, and what every request passes through."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors
from api.console.routers import CONSOLE
from api.dependencies import Shared
from api.edge import BODY_SECONDS, Edge, Traffic
from api.pages import assets
from api.routes import (
    accounts,
    approvals,
    approver_keys,
    audit,
    audit_quarantine,
    audit_status,
    bundles,
    changes,
    deliveries,
    drift,
    health,
    holds,
    hubs,
    intake_findings,
    journeys,
    messages,
    modes,
    onboarding,
    onboarding_steps,
    people,
    personal_values,
    portal,
    portal_steps,
    provisioning,
    queue,
    removals,
    runs,
    subscriptions,
    tenant_events,
    timelines,
)
from api.schemas.problems import Problem

_PROBLEM: Final[dict[str, Any]] = {
    "description": "What went wrong and what to do (RFC 9457).",
    "content": {errors.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_REQUIRED_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "idempotency-key": {"type": "string", "minLength": 1, "maxLength": 255},
    "if-match": {"type": "string"},
}


class Application(FastAPI):
    """FastAPI whose document names the problem documents."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document; the same object at every call."""
        document = super().openapi()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.setdefault("Problem", Problem.model_json_schema())
        for operations in document["paths"].values():
            for operation in operations.values():
                parameters = operation.get("parameters", [])
                if "dry_run" not in {parameter["name"] for parameter in parameters}:
                    _require_headers(parameters)
        return document


def _require_headers(parameters: list[dict[str, Any]]) -> None:
    """Say of headers that a call is refused without that they are required.

    The routes take them as optional, so that a missing one gets its own code. A route with a dry
    run takes one only without it.
    """
    for parameter in parameters:
        text = _REQUIRED_HEADERS.get(parameter["name"].lower())
        if text is not None:
            parameter.update(required=True, schema=text)


class Rehearsal:
    """Marks every answer of an installation that only rehearses production."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does, with the header ``tenantplane-rehearsal``."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["app"].state.shared.notice:
                MutableHeaders(scope=message)["Tenantplane-Rehearsal"] = "true"
            await send(message)

        await self._app(scope, receive, marked)


def create_app(shared: Shared | None, *, body_seconds: float = BODY_SECONDS) -> FastAPI:
    """Return the application over a core; a body has ``body_seconds`` to arrive."""
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
    for module in (
        provisioning, modes, changes, drift, holds, removals, hubs, accounts, runs, approvals,
        approver_keys,
        bundles, audit, audit_status, audit_quarantine,
        queue, deliveries, intake_findings, subscriptions,
        timelines, messages, journeys, onboarding, onboarding_steps, portal, portal_steps,
        people, personal_values, tenant_events, health, assets,
    ):  # fmt: skip
        app.include_router(module.router)
    for each in CONSOLE:
        app.include_router(each)
    errors.install(app)
    traffic = shared.traffic if shared is not None else Traffic()
    app.add_middleware(Edge, traffic=traffic, body_seconds=body_seconds)
    app.add_middleware(Rehearsal)
    return app
