"""Who looks at a page, and forms that were sent from one.

Cookies are SameSite=Lax, since people come back from the identity provider by a link. So a form is
taken only with the mark of its session in it, and only from a page of ours: browsers say from where
(Sec-Fetch-Site, or Origin).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from api import errors
from api.console.menu import PLACES
from api.console.rendering import page
from api.dependencies import Shared, SharedDep, address_of
from control_plane.domain.actor import Actor, ActorKind
from control_plane.domain.console_errors import FormRefused, FormStale, SignedOut
from control_plane.domain.console_session import ConsoleSession
from control_plane.domain.errors import DomainError, InvalidInput
from control_plane.logging import get_logger
from control_plane.services import console
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller

log = get_logger()
MOST_FIELDS: Final = 400
MARK: Final = "csrf"
_TYPED: Final = frozenset({"reason", "answer"})  # fields in which people write sentences
_NOBODY: Final = Actor(id="visitor", kind=ActorKind.SERVICE)


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Somebody who is signed in. ``reading`` and ``writing`` call services in their name."""

    have: Shared
    session: ConsoleSession
    request_id: str
    address: str
    path: str

    @property
    def actor(self) -> Actor:
        """Who it is."""
        return self.session.actor

    @property
    def reading(self) -> Caller:
        """The caller of what changes nothing."""
        return Caller(actor=self.actor, request_id=self.request_id, address=self.address)

    @property
    def writing(self) -> Caller:
        """The caller of what changes something: the log is asked first whether it takes changes."""
        return Caller(
            actor=self.actor, request_id=self.request_id, address=self.address, writes=True
        )

    @property
    def csrf(self) -> str:
        """The mark of forms of this session."""
        return mark_of(self.have, self.session.id)

    def page(self, template: str, *, here: str = "", status: int = 200, **given: Any) -> Response:
        """Return a page for them."""
        return page(
            template, actor=self.actor, csrf=self.csrf, places=PLACES, here=here, status=status,
            **given,
        )  # fmt: skip


@dataclass(frozen=True)
class Form:
    """The fields of a form, each with its last value; ``many`` has all of one name."""

    fields: tuple[tuple[str, str], ...] = field(default=())

    def text(self, name: str) -> str:
        """Return a field without blanks around it, '' when it is not there."""
        found = [value for each, value in self.fields if each == name]
        return found[-1].strip() if found else ""

    def many(self, name: str) -> tuple[str, ...]:
        """Return every value of a name, such as those of boxes that are ticked."""
        return tuple(value for each, value in self.fields if each == name)

    def without_mark(self) -> tuple[tuple[str, str], ...]:
        """Return what the person entered."""
        return tuple(each for each in self.fields if each[0] != MARK)


# --- cookies --------------------------------------------------------------------------------------
def is_secure(have: Shared) -> bool:
    """Tell whether the console is reached by HTTPS."""
    return have.base_url.startswith("https://")


def cookie_name(have: Shared, name: str) -> str:
    """Return the name of a cookie; ``__Host-`` binds it to HTTPS and to this host alone."""
    return f"__Host-{name}" if is_secure(have) else name


def session_token(request: Request, have: Shared) -> str:
    """Return the token of the caller's session, '' without one."""
    return request.cookies.get(cookie_name(have, "console"), "")


def mark_of(have: Shared, session_id: str) -> str:
    """Return what a form of a session carries."""
    key = hashlib.sha256(b"console form\0" + have.page_key).digest()
    return hmac.new(key, session_id.encode(), hashlib.sha256).hexdigest()


def stranger(request: Request, *, writes: bool = False) -> Caller:
    """Return the caller of somebody who is not signed in."""
    return Caller(
        actor=_NOBODY, request_id=request.state.request_id, address=address_of(request),
        writes=writes,
    )  # fmt: skip


# --- what routes are given ------------------------------------------------------------------------
def visitor(request: Request, have: SharedDep) -> Visitor:
    """Return who is signed in. Raises ``SignedOut``."""
    token = session_token(request, have)
    found = perform(have.core, stranger(request), console.visit, token) if token else None
    if found is None:
        raise SignedOut("you are not signed in, or your session has ended")
    return Visitor(
        have=have, session=found, request_id=request.state.request_id,
        address=address_of(request), path=request.url.path,
    )  # fmt: skip


VisitorDep = Annotated[Visitor, Depends(visitor)]


async def entered(request: Request) -> Form:
    """Return what was entered, from any sender. Raises ``InvalidInput``."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidInput("a form of the console is expected", field="body")
    try:
        text = (await request.body()).decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=MOST_FIELDS,
            errors="strict",
        )  # fmt: skip
    except ValueError:
        raise InvalidInput("the form cannot be read", field="body") from None
    if any(control(value) for _, value in pairs):
        raise InvalidInput("a field contains a control character", field="body")
    return Form(tuple((name, value.replace("\r\n", "\n")) for name, value in pairs))


def control(text: str) -> bool:
    """Tell whether a text has control characters other than those of lines."""
    return any(ord(letter) < 32 and letter not in "\r\n\t" for letter in text)


EnteredDep = Annotated[Form, Depends(entered)]


def is_from_here(request: Request, have: Shared) -> bool:
    """Tell whether a browser says that a form was sent from a page of this host."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = urlsplit(request.headers.get("origin", ""))
    here = urlsplit(have.base_url)
    return (origin.scheme, origin.netloc) == (here.scheme, here.netloc)


def require_mark(request: Request, have: Shared, form: Form, session_id: str) -> None:
    """Let only forms of this session pass. Raises ``FormRefused`` and ``FormStale``."""
    if not is_from_here(request, have):
        raise FormRefused("the form was not sent from a page of the console")
    if not hmac.compare_digest(form.text(MARK).encode(), mark_of(have, session_id).encode()):
        raise FormStale("the page was of an earlier session; nothing was done")


async def form(request: Request, have: SharedDep, given: EnteredDep, who: VisitorDep) -> Form:
    """Return a form that may be carried out. Raises ``FormRefused`` and ``FormStale``."""
    require_mark(request, have, given, who.session.id)
    return given


FormDep = Annotated[Form, Depends(form)]


# --- errors as pages ------------------------------------------------------------------------------
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class PageRoute(APIRoute):
    """A route whose errors are pages too; what somebody entered is never lost with one."""

    def get_route_handler(self) -> Handler:
        """Return the handler with its errors turned into pages."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except DomainError as error:
                return await _failed(request, error)
            except RequestValidationError:
                return await _failed(request, InvalidInput("the address cannot be read"))
            except HTTPException as error:
                return _plain_page(error.status_code, "This cannot be answered", str(error.detail))

        return answer


async def _failed(request: Request, error: DomainError) -> Response:
    have: Shared = request.app.state.shared
    if isinstance(error, SignedOut) and request.method == "GET":
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/console/sign-in?next={quote(here, safe='')}", status_code=303)
    status = errors.STATUS.get(error.code, 500)
    if isinstance(error, SignedOut | FormStale) and is_from_here(request, have):
        return await _to_send_again(request, have, error, status)
    try:
        who = await run_in_threadpool(visitor, request, have)
    except DomainError:
        return _plain_page(status, error.title, error.message, error.remedy)
    given = await _typed(request)
    return who.page("failed.html", status=status, error=error, given=given, back=_back(request))


async def _typed(request: Request) -> list[tuple[str, str]]:
    """Return the texts that somebody typed into a form that was refused."""
    if request.method != "POST":
        return []
    try:
        given = await entered(request)
    except DomainError:
        return []
    return [(name, value) for name, value in given.without_mark() if name in _TYPED and value]


def _back(request: Request) -> str:
    """Return the page of ours from which a form was sent, '' where that is not known."""
    found = urlsplit(request.headers.get("referer", ""))
    here = urlsplit(request.app.state.shared.base_url)
    is_ours = (found.scheme, found.netloc) == (here.scheme, here.netloc)
    return found.path if is_ours and found.path.startswith("/console") else ""


async def _to_send_again(
    request: Request, have: Shared, error: DomainError, status: int
) -> Response:
    """Show what was entered with a button that sends it again; nothing was done with it."""
    try:
        given = await entered(request)
    except DomainError:
        given = Form()
    mark = ""
    if isinstance(error, FormStale):
        mark = (await run_in_threadpool(visitor, request, have)).csrf
    return page(
        "again.html", status=status, error=error, action=request.url.path,
        fields=given.without_mark(), csrf=mark,
    )  # fmt: skip


def _plain_page(status: int, title: str, text: str, remedy: str = "") -> Response:
    return page("message.html", status=status, title=title, text=text, remedy=remedy)


def problem_page(error: DomainError) -> Response:
    """Return a page for an error of somebody who is not signed in."""
    log.info("console.failed", code=error.code)
    return _plain_page(errors.STATUS.get(error.code, 500), error.title, error.message, error.remedy)


def fields_of(given: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of an address that say something."""
    return {name: value for name, value in given.items() if value != ""}
