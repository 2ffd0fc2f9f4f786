"""What routes are given: the core, the caller, paging."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from api.auth import Identity
from api.claims import TokenRefused
from api.edge import Traffic
from api.figures import figures_of
from api.recent import Recent
from api.streams import Streams
from control_plane.domain.actor import Actor, ActorKind
from control_plane.domain.audit import Stage
from control_plane.domain.errors import (
    InvalidInput,
    InvalidPageToken,
    NotAuthenticated,
    PreconditionFailed,
    PreconditionRequired,
)
from control_plane.ports.sign_in import LocalSignIn, SignIn
from control_plane.services.idempotency import key_digest
from control_plane.services.permission import within_budget
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.recording import record

MAX_PAGE: Final = 200
FIGURES_SECONDS: Final = 2.0


@dataclass
class Shared:
    """What the application holds for its routes."""

    core: Core
    identity: Identity
    base_url: str
    page_key: bytes
    readiness: Callable[[], dict[str, str]]
    background: Callable[[], dict[str, str]] = dict  # parts that requests do without
    traffic: Traffic = field(default_factory=Traffic)
    local_sign_in: LocalSignIn | None = None  # of an embedded installation
    sign_in: SignIn | None = None  # to the console; None: it has no client
    notice: str = ""  # what every answer announces
    settings: Sequence[tuple[str, str | None, str]] = ()  # variable, value shown, meaning
    streams: Streams = field(default_factory=Streams)
    figures: Recent[str] = field(init=False)

    def __post_init__(self) -> None:
        """Keep the figures for a moment: a caller may ask for them at any rate."""
        self.figures = Recent(lambda: figures_of(self.core), life_seconds=FIGURES_SECONDS)


# What waits for nothing is a coroutine: any other dependency costs each request a thread.
async def shared(request: Request) -> Shared:
    """Return what the application holds."""
    state: Shared = request.app.state.shared
    return state


SharedDep = Annotated[Shared, Depends(shared)]


bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="An OIDC access token.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


async def caller(request: Request, have: SharedDep, given: Credentials) -> Caller:
    """Return who calls. Raises ``NotAuthenticated``; a bad token leaves an event.

    Raises ``InvalidInput`` for an unknown query parameter: a filter with a typo in its name would
    show everything. Raises ``Unavailable`` while no token can be checked.
    """
    found = await authenticated(request, have, given)
    _require_known_parameters(request)
    return found


def caller_in_thread(request: Request, have: Shared, given: Credentials) -> Caller:
    """Return who calls, as ``caller`` does, to a route that does not always ask."""
    found = authenticate(request, have, given)
    _require_known_parameters(request)
    return found


def _require_known_parameters(request: Request) -> None:
    known = _query_parameters(request.scope["route"].dependant) if request.query_params else ()
    for name in request.query_params:
        if name not in known:
            plain = _plain(name[:60])
            raise InvalidInput(f"unknown query parameter {plain}", field=plain)


async def authenticated(request: Request, have: Shared, given: Credentials) -> Caller:
    """Return who calls, once per request: a route may ask before it reads a body.

    Raises as ``caller`` does. A token whose key is here is checked on the spot: that takes less
    than handing it to a thread.
    """
    known = getattr(request.state, "caller", None)
    if isinstance(known, Caller):
        return known
    actor = have.identity.known(given.credentials.strip()) if given is not None else None
    if actor is not None:
        return _caller(request, actor)
    return await run_in_threadpool(authenticate, request, have, given)


def authenticate(request: Request, have: Shared, given: Credentials) -> Caller:
    """Return who calls. Raises as ``caller`` does; may wait for the issuer and the database."""
    if given is None or not given.credentials:
        raise NotAuthenticated("a bearer token is required")
    try:
        actor = have.identity.actor_of(given.credentials.strip())
    except TokenRefused as refused:
        _record_failure(request, have, refused)
        raise
    return _caller(request, actor)


def _caller(request: Request, actor: Actor) -> Caller:
    found = Caller(actor=actor, request_id=request.state.request_id, address=address_of(request))
    request.state.caller = found  # for the record of a refusal
    return found


def is_guarded(of: Dependant) -> bool:
    """Tell whether a route asks who calls."""
    return of.call is caller or any(is_guarded(each) for each in of.dependencies)


def address_of(request: Request) -> str:
    """Return where a request comes from, as refusals are counted.

    The owner of an IPv6 address has all of its network of 64 bits, so that is one source.
    """
    host = request.client.host if request.client else "unknown"
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


CallerDep = Annotated[Caller, Depends(caller)]


async def writing_caller(who: CallerDep) -> Caller:
    """Return who calls a mutating route: ``perform`` asks first whether the log takes changes."""
    return replace(who, writes=True)


WriterDep = Annotated[Caller, Depends(writing_caller)]


async def keyed_caller(
    who: WriterDep, idempotency_key: Annotated[str | None, Header()] = None
) -> Caller:
    """Return who calls a creating route, with the digest of the key.

    Raises ``IdempotencyKeyMissing``.
    """
    return replace(who, idempotency_key_sha256=key_digest(idempotency_key))


KeyedDep = Annotated[Caller, Depends(keyed_caller)]


def _query_parameters(of: Dependant) -> set[str]:
    deeper = (_query_parameters(each) for each in of.dependencies)
    return {item.alias for item in of.query_params}.union(*deeper)


def _record_failure(request: Request, have: Shared, refused: TokenRefused) -> None:
    """Record a failed authentication, within the budget for those of its address."""
    nobody = Caller(
        actor=Actor(id="unknown", kind=ActorKind.SERVICE),
        request_id=request.state.request_id,
        address=address_of(request),
    )

    def write() -> None:
        with have.core.act(nobody) as act:
            record(
                act, "authn.failed",
                tree=None, stage=Stage.DENIED, code=refused.reason.lower()[:60],
                route=_plain(request.url.path[:200]),
                key_id=_plain((refused.key_id or "")[:60]) or None,
            )  # fmt: skip
            act.uow.commit()

    within_budget(have.core, nobody, "authn.failed", write)


def _plain(text: str) -> str:
    """Return what a stranger sent so that it is safe in a log."""
    return ascii(text)[1:-1]


async def if_match(if_match: Annotated[str | None, Header()] = None) -> int:
    """Return the version that an edit was made from. Raises ``PreconditionRequired``."""
    if if_match is None:
        raise PreconditionRequired("an edit must name the version it is based on in If-Match")
    text = if_match.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise PreconditionFailed("the ETag in If-Match does not match this item")
    return int(text)


IfMatchDep = Annotated[int, Depends(if_match)]


@dataclass(frozen=True, kw_only=True)
class Paging:
    """Where a page begins and how long it is."""

    limit: int
    before: str | None
    scope: str
    key: bytes

    def token(self, ids: Iterable[str]) -> str | None:
        """Return the token of the page after ``ids``, or None when this one was not full."""
        listed = list(ids)
        if len(listed) < self.limit:
            return None
        content = json.dumps([self.scope, listed[-1]]).encode()
        mark = hmac.new(self.key, content, hashlib.sha256).digest()[:16]
        return base64.urlsafe_b64encode(mark + content).decode().rstrip("=")


async def paging(
    request: Request,
    have: SharedDep,
    who: CallerDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    page_token: Annotated[str | None, Query(max_length=600)] = None,
) -> Paging:
    """Return the wanted page. Raises ``InvalidPageToken`` for one of another list or caller."""
    scope = scope_of(request, who.actor)
    before = None if page_token is None else opened_token(page_token, scope, have.page_key)
    return Paging(limit=limit, before=before, scope=scope, key=have.page_key)


PagingDep = Annotated[Paging, Depends(paging)]


def scope_of(request: Request, actor: Actor) -> str:
    """Return what a page token belongs to: a list with its filters, and who looks at it."""
    filters = sorted(
        (name, value)
        for name, value in request.query_params.multi_items()
        if name not in {"limit", "page_token", "page"}
    )
    content = json.dumps([request.url.path, actor.id, filters]).encode()
    return hashlib.sha256(content).hexdigest()[:24]


def opened_token(token: str, scope: str, key: bytes) -> str:
    """Return after which id a page begins. Raises ``InvalidPageToken``."""
    fault = InvalidPageToken("the page token does not belong to this list")
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError as error:
        raise fault from error
    mark, content = raw[:16], raw[16:]
    if not hmac.compare_digest(mark, hmac.new(key, content, hashlib.sha256).digest()[:16]):
        raise fault
    found: Any = json.loads(content)
    if found[0] != scope:
        raise fault
    return str(found[1])
