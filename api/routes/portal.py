"""The door of the portal: pages for the holder of a one-time link, who has no access token.

A GET changes nothing that counts. A POST needs the cookie that the page of the same link gave, so
that neither another site nor a scanner without cookies can send one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from api.dependencies import Shared, SharedDep, address_of
from api.pages.home import home_page
from api.pages.rendering import language_of, page
from api.pages.wording import TEXTS, Language
from control_plane.domain.actor import Actor, ActorKind
from control_plane.domain.errors import DomainError
from control_plane.logging import get_logger
from control_plane.services import onboarding_portal as portal
from control_plane.services import onboarding_visits as visits
from control_plane.services.onboarding_visits import Outcome, Visit
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller

log = get_logger()
router = APIRouter(prefix="/onboarding", include_in_schema=False)


async def posted(request: Request) -> str:
    """Return the code of a form, or nothing."""
    try:
        fields = parse_qs((await request.body()).decode("ascii", "replace"), max_num_fields=5)
    except ValueError:  # more fields than the form has
        return ""
    return fields.get("code", [""])[0][:40]


CodeDep = Annotated[str, Depends(posted)]


# --- the session; before the routes of links, whose token could be any word -----------------------
@router.get("")
def welcome(request: Request, have: SharedDep) -> Response:
    """Show the portal to the person who is signed in."""
    language = language_at(request)
    token = request.cookies.get(session_cookie(have), "")
    try:
        found = perform(have.core, caller_of(request, writes=True), portal.see_steps, token)
    except DomainError as error:
        return broken(language, error)
    if found is None:
        return signed_out(language)
    return home_page(found, language_at(request, found.welcome.locale), have.core.clock.now())


@router.post("/sign-out")
def sign_out(request: Request, have: SharedDep) -> Response:
    """End the session."""
    name = session_cookie(have)
    try:
        perform(
            have.core, caller_of(request, writes=True), visits.sign_out,
            request.cookies.get(name, ""),
        )  # fmt: skip
    except DomainError as error:
        return broken(language_at(request), error)
    answer = RedirectResponse("/onboarding", status_code=303)
    answer.delete_cookie(
        name, path="/", secure=is_secure(have), httponly=True, samesite="strict"
    )  # fmt: skip
    return answer


# --- the link -------------------------------------------------------------------------------------
@router.get("/{token}")
def view_link(request: Request, have: SharedDep, token: str) -> Response:
    """Show the page of a link; opening it, however often, uses nothing up."""
    language = language_at(request)
    try:
        visit = perform(have.core, caller_of(request), visits.view_link, token)
    except DomainError as error:
        return broken(language, error)
    return _with_nonce(request, have, token, _shown(request, token, visit))


@router.post("/{token}")
def ask_again(request: Request, have: SharedDep, token: str) -> Response:
    """Send a new link to the registered mailbox, if that may be; the answer is always the same."""
    language = language_at(request)
    refused = _refused(request, have, token, language)
    if refused is not None:
        return refused
    try:
        perform(have.core, caller_of(request, writes=True), visits.ask_again, token)
    except DomainError as error:
        return broken(language, error)
    texts = TEXTS[language]
    return page("message.html", language, title=texts["asked_title"], text=texts["asked_text"])


@router.post("/{token}/code")
def send_code(request: Request, have: SharedDep, token: str) -> Response:
    """Send a code to the mailbox of the link, then show the page again."""
    language = language_at(request)
    refused = _refused(request, have, token, language)
    if refused is not None:
        return refused
    try:
        perform(have.core, caller_of(request, writes=True), visits.send_code, token)
    except DomainError as error:
        return broken(language, error)
    return _back_to(token)


@router.post("/{token}/redeem")
def redeem(request: Request, have: SharedDep, token: str, code: CodeDep) -> Response:
    """Use the link with its code: one caller gets a session."""
    language = language_at(request)
    refused = _refused(request, have, token, language)
    if refused is not None:
        return refused
    try:
        done = perform(have.core, caller_of(request, writes=True), visits.redeem, token, code)
        if done.outcome in {Outcome.NO_CODE, Outcome.WRONG_CODE}:
            visit = perform(have.core, caller_of(request), visits.view_link, token)
            error = "code_wrong" if done.outcome is Outcome.WRONG_CODE else "code_old"
            return _shown(request, token, visit, error=error)
    except DomainError as error_:
        return broken(language, error_)
    if done.token is None:
        return _back_to(token)
    answer = RedirectResponse("/onboarding", status_code=303)
    answer.headers["cache-control"] = "no-store"
    answer.set_cookie(
        session_cookie(have), done.token, path="/", secure=is_secure(have), httponly=True,
        samesite="strict",
    )  # fmt: skip
    return answer


def _shown(
    request: Request, token: str, visit: Visit | None, *, error: str | None = None
) -> Response:
    if visit is None:
        return page("unusable.html", language_at(request), status=410)
    language = language_at(request, visit.locale)
    return page(
        "link.html", language, status=200 if error is None else 422,
        token=token, company=visit.company, has_code=visit.has_code,
        error=TEXTS[language][error] if error else None,
    )  # fmt: skip


def _back_to(token: str) -> Response:
    return RedirectResponse(
        f"/onboarding/{token}", status_code=303, headers={"cache-control": "no-store"}
    )


# --- what stands before a POST --------------------------------------------------------------------
def _refused(request: Request, have: Shared, token: str, language: Language) -> Response | None:
    """Return the answer to a POST that is not let through, None for one that is."""
    texts = TEXTS[language]
    site = request.headers.get("sec-fetch-site", "same-origin")
    if site != "same-origin" or not _has_nonce(request, have, token):
        return page("message.html", language, status=400,
                    title=texts["broken_title"], text=texts["form_stale"])  # fmt: skip
    try:
        if perform(have.core, caller_of(request), visits.admit):
            return None
    except DomainError as error:
        return broken(language, error)
    slow = page("message.html", language, status=429,
                title=texts["slow_title"], text=texts["slow_text"])  # fmt: skip
    slow.headers["retry-after"] = "60"
    return slow


def _with_nonce(request: Request, have: Shared, token: str, answer: Response) -> Response:
    """Give the page's cookie; one that fits stays, so that two open pages both work."""
    if not _has_nonce(request, have, token):
        nonce = secrets.token_urlsafe(16)
        answer.set_cookie(
            _nonce_cookie(have), f"{nonce}.{_bound(have, nonce, token)}", path="/",
            secure=is_secure(have), httponly=True, samesite="strict",
        )  # fmt: skip
    return answer


def _has_nonce(request: Request, have: Shared, token: str) -> bool:
    nonce, _, mark = request.cookies.get(_nonce_cookie(have), "").partition(".")
    return hmac.compare_digest(mark.encode(), _bound(have, nonce, token).encode())


def _bound(have: Shared, nonce: str, token: str) -> str:
    key = hashlib.sha256(b"onboarding nonce\0" + have.page_key).digest()
    return hmac.new(key, f"{nonce}\0{token}".encode(), hashlib.sha256).hexdigest()


def is_secure(have: Shared) -> bool:
    """Tell whether the portal is reached by HTTPS."""
    return have.base_url.startswith("https://")


def _nonce_cookie(have: Shared) -> str:
    return "__Host-onboarding-page" if is_secure(have) else "onboarding-page"


def session_cookie(have: Shared) -> str:
    """Return the name of the cookie that has the token of a session."""
    return "__Host-onboarding" if is_secure(have) else "onboarding"


def caller_of(request: Request, *, writes: bool = False) -> Caller:
    """Return the caller of somebody who is known by their address alone."""
    return Caller(
        actor=Actor(id="visitor", kind=ActorKind.SERVICE),
        request_id=request.state.request_id,
        address=address_of(request),
        writes=writes,
    )


def language_at(request: Request, known: str | None = None) -> Language:
    """Return the language of an answer; ``known`` is that of the contact."""
    return language_of(request.headers.get("accept-language"), known)


def signed_out(language: Language) -> Response:
    """Return the page for somebody who has no session."""
    texts = TEXTS[language]
    return page("message.html", language, status=401,
                title=texts["out_title"], text=texts["out_text"])  # fmt: skip


def broken(language: Language, error: DomainError) -> Response:
    """Return the page for what does not work at the moment."""
    log.warning("onboarding.page_failed", code=error.code)
    texts = TEXTS[language]
    return page("message.html", language, status=503,
                title=texts["broken_title"], text=texts["broken_text"])  # fmt: skip
