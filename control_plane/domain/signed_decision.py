"""A decision as its approver signs it: one statement that says everything it is about.

The same text is compared by the API when it is given, by a worker before it applies, and by an
auditor who has the log alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from control_plane.domain.approver_errors import SignatureRefused
from control_plane.domain.canonical import NotCanonical, canonical_json, digest, parse_canonical
from control_plane.domain.documents import Documented

FORM: Final = "tenantplane/decision/1"
NAMESPACE: Final = "approval@tenantplane"
MAX_STATEMENT: Final = 2000  # letters; what a field of an event holds
SKEW: Final = timedelta(minutes=5)  # by which the approver's clock may be ahead
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_TIMES: Final = frozenset({"issued_at", "expires_at"})
_NONCE: Final = re.compile(r"[0-9a-f]{32}\Z")


@dataclass(frozen=True, kw_only=True)
class SignedStatement(Documented):
    """What an approver signed, with which key, and the salt of the reason's digest in it.

    ``signature`` is the base64 of the blob that ``ssh-keygen -Y sign`` makes; ``approver_key`` the
    key's fingerprint. ``kind`` has room for the assertion of a passkey.
    """

    statement: str
    signature: str
    approver_key: str
    nonce: str
    reason_salt: str
    kind: str = "sshsig"


def subject(
    *, host: str, tree: str, approval: Mapping[str, Any], parts: Mapping[str, str]
) -> dict[str, Any]:
    """Return what a decision is about: where, which run, which plan, by its parts.

    ``approval`` has ``id run_id stack region account_id plan_digest``, as the API shows it.
    """
    return {
        "form": FORM, "host": host, "tree": tree, "approval": approval["id"],
        "run": approval["run_id"], "stack": approval["stack"], "region": approval["region"],
        "account": approval["account_id"], "plan_digest": approval["plan_digest"],
        "parts": dict(parts),
    }  # fmt: skip


def verdict_facts(
    *, actor: str, approver_key: str, verdict: str, reason_digest: str, acknowledged: Sequence[str]
) -> dict[str, Any]:
    """Return what an approver says of a plan; of what was ticked the digest of the sorted URNs."""
    return {
        "actor": actor, "approver_key": approver_key, "verdict": verdict, "reason": reason_digest,
        "acknowledged": digest(sorted(acknowledged)),
    }  # fmt: skip


def shown_digest(
    operations: Sequence[Any], outputs: Sequence[Any], resources: Sequence[Any]
) -> str:
    """Return the digest of a plan as people read it: documents of operations, outputs, inputs."""
    return digest(
        {"operations": list(operations), "outputs": list(outputs), "resources": list(resources)}
    )


def written(facts: Mapping[str, Any], *, issued_at: datetime, expires_at: datetime) -> str:
    """Return the exact text that is signed. Raises ``SignatureRefused`` when it is too long."""
    times = {"issued_at": issued_at, "expires_at": expires_at}
    said = {name: time.astimezone(UTC).strftime(_TIME) for name, time in times.items()}
    text = canonical_json({**facts, **said}).decode()
    if len(text) > MAX_STATEMENT:
        raise SignatureRefused(f"the statement is longer than {MAX_STATEMENT} letters")
    return text


def read(statement: str, expected: Mapping[str, Any], *, more: Sequence[str]) -> dict[str, Any]:
    """Return what a statement says, once it says exactly what is ``expected``.

    It has ``more`` fields, its times and its nonce beside that and nothing else. Raises
    ``SignatureRefused`` naming the fields that differ.
    """
    try:
        said = parse_canonical(statement.encode())
    except (NotCanonical, UnicodeEncodeError):
        said = None
    if not isinstance(said, dict):
        raise SignatureRefused("the statement is not canonical JSON")
    known = {*expected, *more, *_TIMES, "nonce"}
    differing = sorted(known ^ said.keys()) or sorted(
        name for name, value in expected.items() if said[name] != value
    )
    if differing:
        raise SignatureRefused(
            f"the statement says something else of: {', '.join(differing)[:200]}",
            fields=differing[:20],
        )
    if not isinstance(said["nonce"], str) or not _NONCE.match(said["nonce"]):
        raise SignatureRefused("the nonce must have 32 hex digits")
    return said | {name: _time(said[name]) for name in _TIMES}


def require_in_time(said: Mapping[str, Any], now: datetime) -> None:
    """Refuse what was signed for a time that has passed, or is to come. ``SignatureRefused``."""
    if said["issued_at"] > now + SKEW:
        raise SignatureRefused("the statement is dated in the future; compare your clock")
    if now >= said["expires_at"]:
        raise SignatureRefused("the statement has expired")


def _time(text: Any) -> datetime:
    try:
        found = datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except (TypeError, ValueError):
        found = None
    if found is None or found.strftime(_TIME) != text:
        raise SignatureRefused("a time must be written as 2026-11-20T14:03:00Z")
    return found
