"""Answering a repeated request with its first answer.

The semantics of the Idempotency-Key header draft (draft-ietf-httpapi-idempotency-key-header): a
key belongs to a principal and a route; the same body replays the stored answer, another one is
refused, a first one still in flight is waited for. Refusals are not stored: the caller may correct
the request and keep the key.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from control_plane.domain.canonical import digest
from control_plane.domain.errors import (
    IdempotencyKeyInFlight,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
)
from control_plane.ports.rows import IdempotencyRecord, UnitOfWork
from control_plane.services.performing import admitted, perform, perform_with
from control_plane.workflows.core import Act, Caller, Core

LIFE: Final = timedelta(hours=48)
STALE: Final = timedelta(seconds=60)  # an answer that takes longer died with its process
WAIT_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.05
_KEY_LENGTH: Final = 255


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a route answers: status, JSON body, headers; ``replayed`` when it was stored."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    replayed: bool = False


def key_digest(key: str | None) -> str:
    """Return the hex SHA-256 of a key. Raises ``IdempotencyKeyMissing`` for none or a long one."""
    if not key or len(key) > _KEY_LENGTH or not key.isprintable():
        raise IdempotencyKeyMissing("the Idempotency-Key header must have 1 to 255 characters")
    return hashlib.sha256(key.encode()).hexdigest()


def _principal(caller: Caller) -> str:
    """Return whose keys these are: a machine that acts for two people has keys for each."""
    actor = caller.actor
    own = f"{actor.issuer}|{actor.id}"
    return own if actor.on_behalf_of is None else f"{own}|{actor.on_behalf_of}"


def once(
    core: Core,
    caller: Caller,
    *,
    route: str,
    body: Mapping[str, Any],
    act: Callable[[Act], Answer],
    may: Callable[[Act], object],
) -> Answer:
    """Do ``act`` once per principal, route and key, and return its answer to every repetition.

    What ``act`` writes and its answer become durable together: a process that dies leaves both or
    neither. A repetition takes the right that the act takes, as it is now: ``may`` raises for
    callers that lost it. ``caller.idempotency_key_sha256`` must be set. Raises
    ``IdempotencyKeyReused`` and ``IdempotencyKeyInFlight``.
    """
    caller = admitted(core, caller)
    scope = f"{_principal(caller)}|{route}|{caller.idempotency_key_sha256}"
    record_id = hashlib.sha256(scope.encode()).hexdigest()
    mine = _new_record(core, record_id, digest(dict(body)))
    found = _claim(core, mine)
    if found is not None:
        perform(core, caller, may)
        return _first_answer(core, found, mine.body_digest)
    try:
        return perform_with(
            core, caller, act, add=lambda done, answer: _keep(done.uow, mine, answer)
        )
    except BaseException:
        _forget(core, mine)
        raise


def _keep(uow: UnitOfWork, mine: IdempotencyRecord, answer: Answer) -> None:
    """Keep the answer, if the key is still ours: a holder that is too slow loses it."""
    answered = replace(
        mine,
        response_status=answer.status,
        response_body=dict(answer.body),
        response_headers=dict(answer.headers),
    )
    if not uow.queries.answer_key(answered):
        raise IdempotencyKeyInFlight("timed out: a retry has taken over this request")


def _new_record(core: Core, record_id: str, body_digest: str) -> IdempotencyRecord:
    now = core.clock.now()
    return IdempotencyRecord(
        id=record_id,
        body_digest=body_digest,
        response_status=None,
        response_body=None,
        response_headers={},
        created_at=now,
        expires_at=now + LIFE,
    )


def _claim(core: Core, mine: IdempotencyRecord) -> IdempotencyRecord | None:
    """Take the key, or return who has it; a dead holder's key is taken over."""
    with core.uow() as uow:
        if uow.queries.claim_key(mine, dead_before=mine.created_at - STALE):
            return None
        found = uow.idempotency.get(mine.id)
    if found is None:  # its life ended just now
        raise IdempotencyKeyInFlight("the first request with this key has just been forgotten")
    return found


def _first_answer(core: Core, found: IdempotencyRecord, body_digest: str) -> Answer:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        if found.body_digest != body_digest:
            raise IdempotencyKeyReused("this Idempotency-Key was used with another body")
        if found.response_status is not None:
            return Answer(
                status=found.response_status,
                body=found.response_body or {},
                headers={k: str(v) for k, v in found.response_headers.items()},
                replayed=True,
            )
        if time.monotonic() > deadline:
            raise IdempotencyKeyInFlight("the first request with this key is still being processed")
        time.sleep(_POLL_SECONDS)
        with core.uow() as uow:
            again = uow.idempotency.get(found.id)
        if again is None or again.expires_at <= core.clock.now():  # the first one was refused
            raise IdempotencyKeyInFlight("the first request with this key has just been refused")
        found = again


def _forget(core: Core, mine: IdempotencyRecord) -> None:
    with core.uow() as uow:
        uow.queries.answer_key(replace(mine, expires_at=core.clock.now()))
        uow.commit()
