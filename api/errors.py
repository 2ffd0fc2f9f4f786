"""Errors as ``application/problem+json`` (RFC 9457): the only place that knows HTTP statuses.

``type`` is ``/problems/<code>``, ``detail`` one sentence, ``remedy`` what to do, ``instance`` the
request's id. Nothing of the inside enters: no stack, SQL, path or value that was not sent.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from api import refusals
from api.sentences import sentence
from control_plane.domain import errors as facts
from control_plane.domain.errors import DomainError, InvalidInput
from control_plane.logging import get_logger

log = get_logger()
MEDIA_TYPE: Final = "application/problem+json"
# code of a fact -> status; a fact that is not here is a bug (tests/unit/api/test_errors.py)
STATUS: Final[dict[str, int]] = {
    "internal": 500,
    "invalid_input": 422,
    "unknown_region": 422,
    "invalid_page_token": 400,
    "not_authenticated": 401,
    "not_allowed": 403,
    "not_found": 404,
    "idempotency_key_missing": 400,
    "idempotency_key_reused": 422,
    "idempotency_key_in_flight": 409,
    "contract_already_used": 409,
    "company_has_tenant": 409,
    "precondition_failed": 412,
    "precondition_required": 428,
    "conflict": 409,
    "illegal_transition": 409,
    "run_superseded": 409,
    "stale_call": 409,
    "mode_conflict": 409,
    "mode_would_change": 409,
    "mode_unchanged": 409,
    "mode_downgrade": 409,
    "mode_confirmed": 409,
    "slice_holds_data": 409,
    "run_in_progress": 409,
    "downgrade_refused": 409,
    "amendment_refused": 409,
    "hub_too_small": 409,
    "hub_unavailable": 409,
    "no_account": 409,
    "answers_refused": 422,
    "step_changed": 409,
    "step_not_yet": 409,
    "step_complete": 409,
    "resets_not_named": 409,
    "link_not_now": 409,
    "link_too_soon": 429,
    "no_it_admin": 409,
    "on_hold": 409,
    "saga_in_progress": 409,
    "removal_in_progress": 409,
    "already_removed": 409,
    "removal_on_hold": 409,
    "retention_not_passed": 409,
    "hub_has_slices": 409,
    "tenant_drifted": 409,
    "export_missing": 409,
    "protection_not_named": 409,
    "account_has_served": 409,
    "certificate_not_signed": 503,
    "needs_another_person": 403,
    "two_people_needed": 403,
    "grant_not_valid": 409,
    "erasure_on_hold": 409,
    "erasure_changed": 409,
    "finding_gone": 409,
    "finding_not_decidable": 409,
    "stack_unsettled": 409,
    "plan_out_of_date": 409,
    "plan_moved": 409,
    "separation_of_duties": 403,
    "machine_may_not_decide": 403,
    "already_decided": 409,
    "not_acknowledged": 409,
    "apply_started": 409,
    "approval_expired": 409,
    "policy_violation": 409,
    "engine_unavailable": 503,
    "system_unavailable": 503,
    "system_refused": 409,
    "engine_failed": 502,
    "foreign_lock": 409,
    "pending_unresolved": 409,
    "verification_failed": 409,
    "terraform_unavailable": 409,
    "bundle_invalid": 409,
    "link_expired": 404,
    "receipt_mismatch": 409,
    "destroy_incomplete": 409,
    "import_differs": 409,
    "receipt_already_registered": 409,
    "audit_unavailable": 503,
    "unavailable": 503,
    "data_unreadable": 502,
    "data_differs": 409,
    "setting_invalid": 500,
    "signature_invalid": 401,
    "person_unavailable": 409,
    "delivery_unreadable": 422,
    "source_unknown": 409,
    "account_not_allowed": 409,
    "mapping_failed": 422,
    "contract_withdrawn": 409,
    "url_refused": 422,
    "receiver_failed": 502,
    "template_failed": 409,
    "secret_gone": 409,
    "sign_in_failed": 502,
    "signed_out": 401,
    "form_stale": 409,
    "form_refused": 403,
    "signature_needed": 409,
    "signature_refused": 409,
    "approver_key_refused": 409,
    "apply_not_signed": 409,
}
# what the protocol refuses before there is a fact: code, title, remedy
HTTP: Final = {
    400: ("invalid_request", "Malformed request", "See /openapi.json."),
    404: ("not_found", facts.NotFound.title, facts.NotFound.remedy),
    405: ("method_not_allowed", "Method not allowed for this path", "See /openapi.json."),
    408: (
        "request_timeout",
        "Timed out waiting for the request body",
        "Send the whole body within 20 seconds.",
    ),
    413: ("body_too_large", "The body is too large", "Send at most 256 KiB."),
    415: (
        "unsupported_media_type",
        "The body is not plain JSON",
        "Send JSON with `Content-Type: application/json`, not compressed.",
    ),
}
_SHOWN_FIELDS: Final = 50
_SHOWN_LETTERS: Final = 120


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
        is_signed = error.code == "signature_invalid"
        headers["WWW-Authenticate"] = "Signature" if is_signed else "Bearer"
    if status == 503:
        headers["Retry-After"] = "2"
    if status == 500:
        log.error("request.internal", code=error.code)
        error = DomainError()
    data = dict(error.data)
    if isinstance(error, InvalidInput) and "field" in data:
        data = {"fields": [{"field": data.pop("field"), "reason": error.message}], **data}
    return problem(
        request,
        status=status,
        code=error.code,
        title=error.title,
        detail=error.message,
        remedy=error.remedy,
        extra=data,
        headers=headers,
    )


def of_status(request: Request, status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the problem document of what the protocol refuses."""
    code, title, remedy = HTTP.get(status, HTTP[400])
    return problem(
        request,
        status=status,
        code=code,
        title=title,
        detail=title,
        remedy=remedy,
        headers=headers,
    )


async def _domain_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, DomainError):
        raise TypeError from error
    return await _answered(request, error, of_fact(request, error))


async def _validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise TypeError from error
    found = list(error.errors())
    if getattr(request.state, "body_fault", ""):
        found = [{"loc": ("body",), "msg": request.state.body_fault}]
    elif _is_no_json(request, found):
        return await _answered(request, facts.InvalidInput(), of_status(request, 415))
    fields = [
        {"field": _field(item["loc"]), "reason": sentence(item)[:_SHOWN_LETTERS]} for item in found
    ]
    first = fields[0] if fields else {"field": "", "reason": "not valid"}
    fact = facts.InvalidInput(
        f"{first['field'] or 'body'}: {first['reason']}", fields=fields[:_SHOWN_FIELDS]
    )
    return await _answered(request, fact, of_fact(request, fact), error.body)


def _field(path: tuple[str | int, ...]) -> str:
    """Return ``contract.seats`` for its path; a name of the caller's making is cut short."""
    return ".".join(str(part)[:_SHOWN_LETTERS] for part in path[1:])


def _is_no_json(request: Request, found: list[Any]) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = kind == "application/json" or (kind.startswith("application/") and "+json" in kind)
    return not is_json and any(
        item["loc"] == ("body",) and item["type"] != "missing" for item in found
    )


async def _answered(
    request: Request, error: DomainError, answer: Response, body: object = None
) -> Response:
    """Return the answer once the refusal is in the log; that may fail, and is the answer then."""
    if answer.status_code < 500 and refusals.is_kept(request, error):
        try:
            await asyncio.to_thread(refusals.keep, request, error, body)
        except DomainError as failed:
            return of_fact(request, failed)
    return answer


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise TypeError from error
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == 405:
        known = {method.strip() for method in headers.get("allow", "").split(",")}
        headers["allow"] = ", ".join(sorted((known | _methods(request)) - {""}))
    return of_status(request, error.status_code, headers)


def _methods(request: Request) -> set[str]:
    """Return every method of the path; the router itself would name those of one route."""
    return {
        method.upper()
        for path, operations in request.app.openapi()["paths"].items()
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", path), request.url.path)
        for method in operations
    }


def install(app: FastAPI) -> None:
    """Give the application its handlers; a bug is answered by ``Edge``."""
    app.add_exception_handler(DomainError, _domain_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
