"""What routes get handed: the core, the caller, paging."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.auth import Identity, TokenRefused
from control_plane.domain.actor import Actor, ActorKind
from control_plane.domain.audit import Stage
from control_plane.domain.errors import (
    AuditUnavailable,
    InvalidInput,
    InvalidPageToken,
    NotAuthenticated,
    PreconditionFailed,
    PreconditionRequired,
)
from control_plane.services.idempotency import key_digest
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.recording import record

MAX_PAGE: Final = 200
FAILURES_PER_MINUTE: Final = 30  # of authentication that are recorded one by one


@dataclass
class Shared:
    """What the application holds for its routes."""

    core: Core
    identity: Identity
    base_url: str
    page_key: bytes
    readiness: Callable[[], dict[str, str]]
    failures: list[float] = field(default_factory=list)


def shared(request: Request) -> Shared:
    """Return what the application holds."""
    state: Shared = request.app.state.shared
    return state


SharedDep = Annotated[Shared, Depends(shared)]


bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="An OIDC access token.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


def caller(request: Request, have: SharedDep, given: Credentials) -> Caller:
    """Return who calls. Raises ``NotAuthenticated``; a bad token leaves an event.

    Raises ``InvalidInput`` for a query parameter that the route has not: a filter with a slip in
    its name would show everything.
    """
    if given is None or not given.credentials:
        raise NotAuthenticated("a bearer token is needed")
    try:
        actor = have.identity.actor_of(given.credentials.strip())
    except TokenRefused as refused:
        _record_failure(request, have, refused)
        raise
    found = Caller(actor=actor, request_id=request.state.request_id)
    request.state.caller = found  # for the record of a refusal
    known = _query_parameters(request.scope["route"].dependant)
    for name in request.query_params:
        if name not in known:
            plain = _plain(name[:60])
            raise InvalidInput(f"there is no query parameter {plain} here", field=plain)
    return found


CallerDep = Annotated[Caller, Depends(caller)]


def writing_caller(have: SharedDep, who: CallerDep) -> Caller:
    """Return who calls a mutating route. Raises ``AuditUnavailable`` when the log is behind."""
    reason = have.core.trail.is_behind()
    if reason:
        raise AuditUnavailable(f"nothing was done: {reason}")
    return who


WriterDep = Annotated[Caller, Depends(writing_caller)]


def keyed_caller(who: WriterDep, idempotency_key: Annotated[str | None, Header()] = None) -> Caller:
    """Return who calls a creating route, with the digest of the key.

    Raises ``IdempotencyKeyMissing``.
    """
    return Caller(
        actor=who.actor,
        request_id=who.request_id,
        idempotency_key_sha256=key_digest(idempotency_key),
    )


KeyedDep = Annotated[Caller, Depends(keyed_caller)]


def _query_parameters(of: Dependant) -> set[str]:
    deeper = (_query_parameters(each) for each in of.dependencies)
    return {item.alias for item in of.query_params}.union(*deeper)


def _record_failure(request: Request, have: Shared, refused: TokenRefused) -> None:
    """Record a failed authentication; a flood of them leaves one event a time, not a flood."""
    now = time.monotonic()
    have.failures[:] = [at for at in have.failures if now - at < 60]
    if len(have.failures) >= FAILURES_PER_MINUTE:
        return
    have.failures.append(now)
    nobody = Caller(
        actor=Actor(id="unknown", kind=ActorKind.SERVICE), request_id=request.state.request_id
    )
    with have.core.uow() as uow:
        record(
            have.core, uow, nobody, "authn.failed",
            tree=None, stage=Stage.DENIED, code=refused.reason.lower()[:60],
            route=_plain(request.url.path[:200]),
            key_id=_plain((refused.key_id or "")[:60]) or None,
        )  # fmt: skip
        uow.commit()


def _plain(text: str) -> str:
    """Return what a stranger sent so that it is safe in a log."""
    return ascii(text)[1:-1]


def if_match(if_match: Annotated[str | None, Header()] = None) -> int:
    """Return the version that an edit was made from. Raises ``PreconditionRequired``."""
    if if_match is None:
        raise PreconditionRequired("an edit names the version it was made from in If-Match")
    text = if_match.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise PreconditionFailed("the ETag in If-Match is not one of this item")
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


def paging(
    request: Request,
    have: SharedDep,
    who: CallerDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    page_token: Annotated[str | None, Query(max_length=600)] = None,
) -> Paging:
    """Return the wanted page. Raises ``InvalidPageToken`` for one of another list or caller."""
    filters = sorted(
        (name, value)
        for name, value in request.query_params.multi_items()
        if name not in {"limit", "page_token"}
    )
    scope = hashlib.sha256(
        json.dumps([request.url.path, who.actor.id, filters]).encode()
    ).hexdigest()[:24]
    before = None if page_token is None else _opened(page_token, scope, have.page_key)
    return Paging(limit=limit, before=before, scope=scope, key=have.page_key)


PagingDep = Annotated[Paging, Depends(paging)]


def _opened(token: str, scope: str, key: bytes) -> str:
    fault = InvalidPageToken("the page token is not one of this list")
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
