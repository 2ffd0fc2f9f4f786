"""Pages of the ten steps: read, saved, completed and opened again by the holder of a session.

What somebody typed is never lost: a form that cannot be taken comes back with it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from api.dependencies import Shared, SharedDep
from api.errors import STATUS
from api.pages.rendering import page
from api.pages.step_pages import Shown, kept_page, reopen_page, step_page
from api.pages.steps import read_answers
from api.pages.wording import TEXTS
from api.routes.portal import broken, caller_of, language_at, session_cookie, signed_out, welcome
from control_plane.domain.errors import DomainError, InvalidInput, NotFound
from control_plane.domain.onboarding_errors import (
    AnswersRefused,
    ResetsNotNamed,
    StepChanged,
    StepComplete,
    StepNotYet,
)
from control_plane.services import onboarding_portal as portal
from control_plane.services.onboarding_portal import Portal
from control_plane.services.performing import perform
from control_plane.workflows.onboarding_steps import LAUNCH

router = APIRouter(prefix="/portal", include_in_schema=False)
router.get("")(welcome)
_MOST_FIELDS: Final = 100
_OWN: Final = frozenset({"mark", "version", "act", "resets"})
Fields = Mapping[str, str]


async def posted(request: Request) -> Fields | None:
    """Return the fields of a form, None for anything else."""
    try:
        text = (await request.body()).decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=_MOST_FIELDS,
            errors="strict",
        )  # fmt: skip
    except ValueError:
        return None
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


FormDep = Annotated[Fields | None, Depends(posted)]


# --- pages ----------------------------------------------------------------------------------------
@router.get("/steps/{key}")
def see_step(request: Request, have: SharedDep, key: str) -> Response:
    """Show a step: its form, what was answered, or what comes before it."""
    return _with_step(request, have, key, lambda shown: step_page(shown, have.core.rules))


@router.get("/steps/{key}/reopen")
def ask_to_reopen(request: Request, have: SharedDep, key: str) -> Response:
    """Ask whether a step is opened again, naming what is open again with it."""
    return _with_step(request, have, key, reopen_page)


@router.post("/steps/{key}")
def save(request: Request, have: SharedDep, key: str, form: FormDep) -> Response:
    """Save a step, and complete it if that was asked."""
    return _posted(request, have, key, form, _save)


@router.post("/steps/{key}/reopen")
def reopen(request: Request, have: SharedDep, key: str, form: FormDep) -> Response:
    """Open a step again, with exactly the steps that its page named."""
    return _posted(request, have, key, form, _reopen)


# --- what a form does -----------------------------------------------------------------------------
def _save(request: Request, have: Shared, shown: Shown, form: Fields) -> Response:
    key, token = shown.step.rule.key, _token(request, have)
    answers = read_answers(shown.fields, form)
    version = _number(form.get("version", ""))
    caller = caller_of(request, writes=True)
    try:
        saved = perform(
            have.core, caller, portal.save_own, token, key, answers=answers, version=version
        )
    except (AnswersRefused, StepChanged, StepNotYet, StepComplete) as error:
        return step_page(shown, have.core.rules, error=error, entered=answers)
    if saved is None:
        return signed_out(shown.language)
    if form.get("act") != "complete":
        return _to(f"/portal/steps/{key}")
    try:
        perform(have.core, caller, portal.complete_own, token, key, version=saved.version)
    except (AnswersRefused, StepChanged, StepNotYet) as error:
        again = _shown(request, have, key)
        if again is None:
            return signed_out(shown.language)
        return step_page(again, have.core.rules, error=error, is_saved=True)
    return _to("/portal" if key == LAUNCH else _after(shown))


def _reopen(request: Request, have: Shared, shown: Shown, form: Fields) -> Response:
    key = shown.step.rule.key
    try:
        perform(
            have.core, caller_of(request, writes=True), portal.reopen_own, _token(request, have),
            key, resets=form.get("resets", "").split(), version=_number(form.get("version", "")),
            reason=form.get("reason", "")[:1000],
        )  # fmt: skip
    except (ResetsNotNamed, StepChanged, InvalidInput) as error:
        again = _shown(request, have, key)
        if again is None:
            return signed_out(shown.language)
        return reopen_page(again, error=error, reason=form.get("reason", ""))
    return _to(f"/portal/steps/{key}")


def _after(shown: Shown) -> str:
    """Return the page of the next step that is not complete, else the list."""
    keys = [each.rule.key for each in shown.portal.steps]
    place = keys.index(shown.step.rule.key) + 1
    return f"/portal/steps/{keys[place]}" if place < len(keys) else "/portal"


# --- what stands before them ----------------------------------------------------------------------
def _with_step(
    request: Request, have: Shared, key: str, show: Callable[[Shown], Response]
) -> Response:
    try:
        shown = _shown(request, have, key)
        return signed_out(language_at(request)) if shown is None else show(shown)
    except NotFound as error:
        return _message(request, STATUS[error.code], "missing_title", "missing_text")
    except DomainError as error:
        return broken(language_at(request), error)


def _posted(
    request: Request,
    have: Shared,
    key: str,
    form: Fields | None,
    do: Callable[[Request, Shared, Shown, Fields], Response],
) -> Response:
    """Let only a form of this session pass; what was typed into another one comes back."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    if form is None or site != "same-origin":
        return _message(request, 400, "broken_title", "form_stale")
    try:
        shown = _shown(request, have, key)
        kept = {name: value for name, value in form.items() if name not in {"mark", "act"}}
        if shown is None:
            return kept_page(language_at(request), request.url.path, kept, mark="", status=401)
        if not hmac.compare_digest(form.get("mark", "").encode(), shown.mark.encode()):
            return kept_page(shown.language, request.url.path, kept, mark=shown.mark, status=409)
        return do(request, have, shown, form)
    except NotFound as error:
        return _message(request, STATUS[error.code], "missing_title", "missing_text")
    except DomainError as error:
        return broken(language_at(request), error)


def _shown(request: Request, have: Shared, key: str) -> Shown | None:
    found: Portal | None = perform(
        have.core, caller_of(request, writes=True), portal.see_step, _token(request, have), key
    )
    if found is None:
        return None
    return Shown(
        portal=found,
        language=language_at(request, found.welcome.locale),
        mark=_mark(have, found.welcome.session.id),
    )


def _mark(have: Shared, session_id: str) -> str:
    """Return what a form of a session carries."""
    key = hashlib.sha256(b"portal form\0" + have.page_key).digest()
    return hmac.new(key, session_id.encode(), hashlib.sha256).hexdigest()


def _token(request: Request, have: Shared) -> str:
    return request.cookies.get(session_cookie(have), "")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _to(path: str) -> Response:
    return RedirectResponse(path, status_code=303, headers={"cache-control": "no-store"})


def _message(request: Request, status: int, title: str, text: str) -> Response:
    language = language_at(request)
    texts: Mapping[str, Any] = TEXTS[language]
    return page("message.html", language, status=status, title=texts[title], text=texts[text])
