"""Signing in and out of the console.

The state of a sign-in is in a cookie for ten minutes; what proves that the same browser comes back
(the PKCE verifier) is derived from it, so that nothing is kept here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import replace
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from api.claims import TokenRefused
from api.console.rendering import page
from api.console.visiting import (
    EnteredDep,
    Form,
    PageRoute,
    cookie_name,
    is_from_here,
    is_secure,
    problem_page,
    require_mark,
    session_token,
    stranger,
)
from api.dependencies import Shared, SharedDep
from control_plane.domain.actor import Role
from control_plane.domain.console_errors import FormRefused, SignInFailed
from control_plane.domain.console_session import read_session
from control_plane.domain.errors import DomainError, NotFound
from control_plane.ports.sign_in import LOCAL_PAGE, LocalSignIn, SignIn
from control_plane.services import console
from control_plane.services.performing import perform
from control_plane.services.permission import within_budget

router = APIRouter(prefix="/console", include_in_schema=False, route_class=PageRoute)
_SECONDS: Final = 600
_HOME: Final = "/console"
_NEXT: Final = re.compile(r"/console(?:/[A-Za-z0-9_./-]*)?(?:\?[A-Za-z0-9_.=&%+:,-]*)?\Z")
_SUBJECT: Final = re.compile(r"[A-Za-z0-9_.@+-]{1,100}\Z")
Word = Annotated[str, Query(max_length=4000)]


@router.get("/sign-in")
def begin(request: Request, have: SharedDep, next: Word = _HOME, code: Word = "") -> Response:  # noqa: A002
    """Send a browser to where people sign in. ``code`` fills in the page of an embedded issuer."""
    state = secrets.token_urlsafe(24)
    try:
        url = _provider(have).url(
            state=state, verifier=_verifier(have, state), redirect_uri=_back(have)
        )
    except SignInFailed as error:
        return _refused(request, have, error)
    if code and url.startswith(LOCAL_PAGE):
        url += f"&{urlencode({'code': code})}"
    answer = RedirectResponse(url, status_code=303)
    wanted = next if _NEXT.match(next) else _HOME
    where = base64.urlsafe_b64encode(wanted.encode()).decode().rstrip("=")
    answer.set_cookie(
        cookie_name(have, "console-sign-in"), f"{state}.{where}", max_age=_SECONDS, path="/",
        secure=is_secure(have), httponly=True, samesite="lax",
    )  # fmt: skip
    return answer


@router.get("/signed-in")
def end(request: Request, have: SharedDep) -> Response:
    """Open a session for a person who comes back."""
    kept, _, where = request.cookies.get(cookie_name(have, "console-sign-in"), "").partition(".")
    try:
        opened = _opened(request, have, kept)
    except SignInFailed as error:
        return _refused(request, have, error)
    except DomainError as error:
        return problem_page(error)
    answer = RedirectResponse(_wanted(where), status_code=303)
    answer.headers["cache-control"] = "no-store"
    answer.set_cookie(
        cookie_name(have, "console"), opened, path="/",
        secure=is_secure(have), httponly=True, samesite="lax",
    )  # fmt: skip
    answer.delete_cookie(
        cookie_name(have, "console-sign-in"), path="/", secure=is_secure(have), httponly=True,
        samesite="lax",
    )  # fmt: skip
    return answer


def _opened(request: Request, have: Shared, state: str) -> str:
    """Return the token of a session for what the identity provider answered with.

    Raises ``SignInFailed``, and ``NotAllowed`` for somebody who has no role here.
    """
    given = dict(request.query_params)
    if not state or not hmac.compare_digest(given.get("state", "").encode(), state.encode()):
        raise SignInFailed("this sign-in was begun elsewhere, or more than ten minutes ago")
    token = _provider(have).redeem(given, verifier=_verifier(have, state), redirect_uri=_back(have))
    try:
        actor, until = have.identity.holder_of(token)
    except TokenRefused as refused:
        raise SignInFailed(
            f"the identity provider's token is not accepted here ({refused.reason})"
        ) from None
    caller = replace(stranger(request, writes=True), actor=actor)
    return perform(have.core, caller, console.sign_in, actor, until=until)


@router.post("/sign-out")
def sign_out(request: Request, have: SharedDep, given: EnteredDep) -> Response:
    """End the session."""
    token = session_token(request, have)
    read = read_session(token)
    if read is not None:
        require_mark(request, have, given, read[0])
        perform(have.core, stranger(request, writes=True), console.sign_out, token)
    answer = RedirectResponse("/console/signed-out", status_code=303)
    answer.delete_cookie(
        cookie_name(have, "console"), path="/", secure=is_secure(have), httponly=True,
        samesite="lax",
    )  # fmt: skip
    return answer


@router.get("/signed-out")
def signed_out() -> Response:
    """Say that the session has ended."""
    return page("signed_out.html")


# --- the page of an embedded issuer ---------------------------------------------------------------
@router.get("/who")
def ask(have: SharedDep, state: Word = "", challenge: Word = "", code: Word = "") -> Response:
    """Ask who somebody is; embedded installations alone."""
    _embedded(have)
    return _who(Form((("state", state), ("challenge", challenge), ("code", code))))


@router.post("/who")
def say(request: Request, have: SharedDep, given: EnteredDep) -> Response:
    """Sign somebody in who knows the code of this installation."""
    embedded = _embedded(have)
    if not is_from_here(request, have):
        raise FormRefused("the form was not sent from a page of the console")
    fault = _fault(embedded, given)
    if fault is not None:
        _note(request, have, "not_known", fault)
        return _who(given, error=fault, status=422)
    roles = [Role(each) for each in given.many("role")]
    made = embedded.code_for(given.text("name"), roles, ("*",), challenge=given.text("challenge"))
    back = urlencode({"code": made, "state": given.text("state")})
    return RedirectResponse(f"/console/signed-in?{back}", status_code=303)


def _fault(embedded: LocalSignIn, given: Form) -> str | None:
    """Return why somebody is not signed in."""
    roles = set(given.many("role"))
    if not embedded.is_secret(given.text("code")):
        return "This is not the code that tenantctl printed."
    if not _SUBJECT.match(given.text("name")):
        return "Enter a name of letters, digits and . _ @ + -"
    if not roles or not roles <= {str(role) for role in _people()}:
        return "Choose at least one role."
    return None


def _who(given: Form, *, error: str = "", status: int = 200) -> Response:
    return page(
        "who.html", status=status, error=error, roles=_people(), chosen=given.many("role"),
        state=given.text("state"), challenge=given.text("challenge"), code=given.text("code"),
        name=given.text("name"),
    )  # fmt: skip


def _people() -> list[Role]:
    return [role for role in Role if role is not Role.AUTOMATION]


# --- what they share ------------------------------------------------------------------------------
def _provider(have: Shared) -> SignIn:
    if have.sign_in is None:
        raise NotFound("the console has no client at the identity provider")
    return have.sign_in


def _embedded(have: Shared) -> LocalSignIn:
    if have.local_sign_in is None:
        raise NotFound("not found")
    return have.local_sign_in


def _verifier(have: Shared, state: str) -> str:
    key = hashlib.sha256(b"console sign-in\0" + have.page_key).digest()
    made = hmac.digest(key, state.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def _back(have: Shared) -> str:
    return f"{have.base_url}/console/signed-in"


def _wanted(where: str) -> str:
    try:
        text = base64.urlsafe_b64decode(where + "=" * (-len(where) % 4)).decode("ascii")
    except ValueError:
        return _HOME
    return text if _NEXT.match(text) else _HOME


def _refused(request: Request, have: Shared, error: SignInFailed) -> Response:
    _note(request, have, error.code, error.message)
    return problem_page(error)


def _note(request: Request, have: Shared, code: str, detail: str) -> None:
    nobody = stranger(request)

    def write() -> None:
        with have.core.act(nobody) as act:
            console.refuse_sign_in(act, code=code, detail=detail)
            act.uow.commit()

    within_budget(have.core, nobody, "console.refused", write)
