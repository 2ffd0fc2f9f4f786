"""What the runner's messages say, in the words of the domain."""

from __future__ import annotations

from typing import Final

from control_plane.domain.errors import DomainError, EngineFailed, EngineUnavailable, ForeignLock
from control_plane.ports import Json
from control_plane.ports.engine import EngineResult

_UNAVAILABLE: Final = frozenset({"cli_missing", "cli_version", "backend_unavailable"})
_NO_END: Final = frozenset(
    {"locked", "parent_gone", "engine_died", "provider_died", "backend_unavailable"}
)


def failed_of(failure: Json, *, begun: bool) -> EngineResult:
    """Return an apply that failed, or raise what is not the end of an apply.

    That is what happened before anything could be touched, and the death of a process or an outage
    of the state backend, after which nobody knows how far it came: the stack is settled first.
    """
    canceled = failure["code"] == "canceled"
    if failure["code"] in _NO_END or not (begun or canceled):
        raise error_of(failure)
    return EngineResult(
        outcome="canceled" if canceled else "failed",
        state_digest=failure["state_digest"],
        summary=failure["summary"],
        error={"code": failure["code"], "message": failure["text"], "data": failure["data"]},
        changed=failure["changed"],
    )


def error_of(failure: Json) -> DomainError:
    """Return the error that a failed call is."""
    code, text, data = failure["code"], failure["text"], failure["data"]
    if code == "locked":
        holders = data.get("holders") or [{}]
        return ForeignLock(text, holder=_holder(holders[0]), locks=holders)
    if code in _UNAVAILABLE:
        return EngineUnavailable(text)
    return EngineFailed(text, reason=code, details=data, changed=failure["changed"])


def _holder(lock: Json) -> str:
    user, host = lock.get("user") or "somebody", lock.get("host") or "somewhere"
    return f"{user}@{host}" + (f" (pid {lock['pid']})" if lock.get("pid") else "")
