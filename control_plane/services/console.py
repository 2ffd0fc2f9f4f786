"""Visits of the console: signing in with a verified identity, and every page after that."""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime
from typing import Final

from control_plane.domain.actor import Actor, ActorKind
from control_plane.domain.audit import Stage
from control_plane.domain.console_session import SESSION_LIFE, ConsoleSession, read_session
from control_plane.domain.errors import NotAllowed
from control_plane.services.permission import refused
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record

_NOTHING: Final = "0" * 64


def sign_in(act: Act, actor: Actor, *, until: datetime) -> str:
    """Open a session for a person whose access token was verified; returns what opens it.

    ``until`` is the end of that token: a session never outlives it. Raises ``NotAllowed`` for a
    machine and for somebody without a role.
    """
    if actor.kind is not ActorKind.USER or not actor.roles:
        why = (
            "your account has no role of this installation: ask the administrator of the identity "
            "provider" if actor.kind is ActorKind.USER else "the console is for people: programs "
            "use the API"
        )  # fmt: skip
        raise refused(
            act, "console.refused", NotAllowed(why), tree=None, subject=actor.id,
            kind=str(actor.kind),
        )  # fmt: skip
    now, secret = act.now(), secrets.token_urlsafe(32)
    session_id = act.new_id("console_session")
    session = ConsoleSession(
        id=session_id,
        actor=actor,
        secret_hmac=_hidden(act, session_id, secret),
        started_at=now,
        seen_at=now,
        expires_at=min(until, now + SESSION_LIFE),
    )
    act.uow.console_sessions.add(session)
    record(
        act, "console.signed_in",
        tree=None, targets=(("console_session", session_id),), session=session_id,
    )  # fmt: skip
    return f"{session_id}.{secret}"


def visit(act: Act, token: str) -> ConsoleSession | None:
    """Return the session that a token opens, and note now and then that it is used."""
    session = _session(act, token)
    if session is None or not session.is_open(act.now()):
        return None
    if session.is_seen_late(act.now()):
        session = session.seen(act.now())
        act.uow.console_sessions.save(session)
    return session


def is_open(act: Act, token: str) -> bool:
    """Tell whether a token opens a session; asking does not count as a use of it."""
    session = _session(act, token)
    return session is not None and session.is_open(act.now())


def sign_out(act: Act, token: str) -> None:
    """End a session; one that has ended stays so."""
    session = _session(act, token)
    if session is None or session.ended_at is not None:
        return
    act.uow.console_sessions.save(session.ended(act.now()))
    record(
        act, "console.signed_out",
        tree=None, targets=(("console_session", session.id),), session=session.id,
    )  # fmt: skip


def refuse_sign_in(act: Act, *, code: str, detail: str) -> None:
    """Record that somebody could not sign in, in words of the code alone."""
    record(act, "console.refused", tree=None, stage=Stage.DENIED, code=code, why=detail[:120])


def _session(act: Act, token: str) -> ConsoleSession | None:
    read = read_session(token)
    if read is None:
        return None
    session = act.uow.console_sessions.get(read[0])
    hidden = _hidden(act, *read)
    is_right = hmac.compare_digest(hidden, session.secret_hmac if session else _NOTHING)
    return session if is_right else None


def _hidden(act: Act, session_id: str, secret: str) -> str:
    return act.core.onboarding_keys.hidden("console", f"{session_id}.{secret}")
