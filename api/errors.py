"""Errors as ``application/problem+json`` (RFC 9457): the only place that knows HTTP statuses.

``type`` is ``/problems/<code>``, ``detail`` one sentence, ``remedy`` what to do, ``instance`` the
request's id. Nothing of the inside enters: no stack, SQL, path or value that was not sent.
"""

from __future__ import annotations

from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from control_plane.domain import errors as facts
from control_plane.domain.errors import DomainError

log = structlog.get_logger()
MEDIA_TYPE: Final = "application/problem+json"
# code of a fact -> status; a fact that is not here is a bug (tests/unit/api/test_errors.py)
STATUS: Final[dict[str, int]] = {
    "internal": 500,
    "invalid_input": 422,
    "unknown_region": 422,
    "no_usable_slug": 422,
    "invalid_page_token": 400,
    "not_authenticated": 401,
    "not_allowed": 403,
    "not_found": 404,
    "idempotency_key_missing": 400,
    "idempotency_key_reused": 422,
    "idempotency_key_in_flight": 409,
    "contract_already_used": 409,
    "precondition_failed": 412,
    "precondition_required": 428,
    "conflict": 409,
    "illegal_transition": 409,
    "mode_conflict": 409,
    "hub_unavailable": 409,
    "no_account": 409,
    "plan_out_of_date": 409,
    "plan_moved": 409,
    "separation_of_duties": 403,
    "machine_may_not_decide": 403,
    "already_decided": 409,
    "approval_expired": 409,
    "policy_violation": 409,
    "engine_unavailable": 503,
    "engine_failed": 502,
    "foreign_lock": 409,
    "pending_unresolved": 409,
    "verification_failed": 409,
    "terraform_unavailable": 409,
    "bundle_invalid": 409,
    "link_expired": 404,
    "receipt_mismatch": 409,
    "receipt_already_registered": 409,
    "audit_unavailable": 503,
    "unavailable": 503,
    "setting_invalid": 500,
}
_HTTP: Final = {
    404: ("not_found", "There is no such thing", "Check the path; see /openapi.json."),
    405: ("method_not_allowed", "The path has no such method", "See /openapi.json."),
    413: ("body_too_large", "The body is too large", "Send at most 256 KiB."),
    415: ("unsupported_media_type", "The body is not JSON", "Send application/json."),
}


def problem(
    request: Request,
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    remedy: str = "",
    extra: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """Return one problem document."""
    reserved = {"type", "title", "status", "detail", "instance", "code", "remedy"}
    content: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": getattr(request.state, "request_id", None),
        "code": code,
    }
    if remedy:
        content["remedy"] = remedy
    content |= {key: value for key, value in (extra or {}).items() if key not in reserved}
    return JSONResponse(content, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def of_fact(request: Request, error: DomainError) -> JSONResponse:
    """Return the problem document of a fact."""
    status = STATUS[error.code]
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 503:
        headers["Retry-After"] = "2"
    if status == 500:
        log.error("request.internal", code=error.code)
        error = DomainError()
    return problem(
        request,
        status=status,
        code=error.code,
        title=error.title,
        detail=error.message,
        remedy=error.remedy,
        extra=dict(error.data),
        headers=headers,
    )


async def _domain_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, DomainError):
        raise TypeError from error
    return of_fact(request, error)


async def _validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise TypeError from error
    fields = [
        {"field": ".".join(str(part) for part in item["loc"][1:]), "reason": item["msg"]}
        for item in error.errors()
    ]
    first = fields[0] if fields else {"field": "", "reason": "not valid"}
    return problem(
        request,
        status=422,
        code=facts.InvalidInput.code,
        title=facts.InvalidInput.title,
        detail=f"{first['field'] or 'body'}: {first['reason']}",
        remedy=facts.InvalidInput.remedy,
        extra={"fields": fields[:50]},
    )


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise TypeError from error
    code, title, remedy = _HTTP.get(
        error.status_code, ("invalid_request", "The request cannot be understood", "")
    )
    return problem(
        request,
        status=error.status_code,
        code=code,
        title=title,
        detail=title,
        remedy=remedy,
        headers=dict(error.headers or {}),
    )


async def _bug(request: Request, error: Exception) -> Response:
    log.error("request.failed", path=request.url.path, exc_info=error)
    return of_fact(request, DomainError())


def install(app: FastAPI) -> None:
    """Give the application its handlers."""
    app.add_exception_handler(DomainError, _domain_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)
