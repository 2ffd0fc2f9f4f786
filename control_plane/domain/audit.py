"""The audit event: what happened, in one closed form that is hashed as it is stored.

``encode_body`` gives the bytes that the business transaction writes and that nobody touches again:
the leaf of the Merkle tree is a hash over exactly these bytes (``docs/audit-log.md``). The envelope
takes its names from CloudEvents 1.0. Personal values do not enter the body: each is replaced by
``SHA-256("tenantplane/field/v1" || 0x00 || salt || JCS(value))``, and value and salt are kept
beside the log where they can be erased without changing a single hash.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from control_plane.domain.actor import Actor
from control_plane.domain.audit_catalogue import ACTIONS, BODY_VERSION, DataKind, Stage
from control_plane.domain.canonical import NotCanonical, canonical_json
from control_plane.domain.ids import is_id

__all__ = ["ACTIONS", "AuditEvent", "AuditEventInvalid", "Stage", "check_body", "commitment"]

SOURCE: Final = "tenantplane"
MAX_BODY_BYTES: Final = 60 * 1024  # larger content goes into the log as its digest
SALT_BYTES: Final = 32
COMMITMENT_PREFIX: Final = b"tenantplane/field/v1\x00"
_LISTED_BYTES: Final = 40 * 1024  # of all lists of an event together
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_AS_DIGITS: Final = str.maketrans(_CROCKFORD, "0123456789abcdefghijklmnopqrstuv")
_MAX_TEXT: Final = 2000

_EVENT_ID: Final = re.compile(r"evt_[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
_TREE: Final = re.compile(r"(platform|ten_[0-9A-HJKMNP-TV-Z]{26})\Z")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}\Z")
_HEX_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")
_WORD: Final = re.compile(r"[a-z][a-z0-9_]*\Z")
_PATH: Final = re.compile(r"[a-z][a-z0-9_.]*\Z")
_TRACE: Final = re.compile(r"[0-9A-Za-z_.:-]{1,128}\Z")


class AuditEventInvalid(ValueError):
    """An event does not fit its schema; the message names the field and never quotes a value."""


@dataclass(frozen=True, kw_only=True)
class AuditEvent:
    """One event, before it is written.

    ``tree`` is a tenant id or ``platform``. ``targets`` are (type, id) pairs. ``cause`` is the id
    of the event that led to this one. ``decision`` holds ``policy_sha256 input_sha256 result
    rules`` and ``approval`` holds ``approval_id decision_id plan_digest approver signature``.
    ``idempotency_key_sha256`` is 64 hex digits. ``personal`` maps a path such as
    ``contacts.0.email`` to its clear value. Raises ``AuditEventInvalid`` when it does not fit the
    schema of its action.
    """

    id: str
    tree: str
    action: str
    stage: Stage
    time: datetime
    actor: Actor
    targets: tuple[tuple[str, str], ...] = ()
    run: str | None = None
    step: str | None = None
    cause: str | None = None
    decision: Mapping[str, Any] | None = None
    approval: Mapping[str, str] | None = None
    idempotency_key_sha256: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    personal: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise AuditEventInvalid("action: not in the catalogue")
        if self.time.utcoffset() != timedelta(0):
            raise AuditEventInvalid("time: must be aware and in UTC")
        check_body(_body(self, dict.fromkeys(self.personal, "sha256:" + "0" * 64)))
        _check_against_catalogue(self)


def fitted(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return data fields with lists that one event can hold.

    Each list keeps as many of its first entries as fit into its share. ``count`` says how many
    there were of the longest that was cut, unless the event counts by itself.
    """
    lists = {name: value for name, value in data.items() if isinstance(value, list | tuple)}
    kept = {name: _first(value, _LISTED_BYTES // len(lists)) for name, value in lists.items()}
    cut = [len(value) for name, value in lists.items() if len(kept[name]) < len(value)]
    return {**({"count": max(cut)} if cut else {}), **data, **kept}


def _first(entries: Sequence[Any], size: int) -> list[Any]:
    kept: list[Any] = []
    for entry in entries:
        size -= len(json.dumps(entry)) + 1  # never shorter than the canonical form
        if size < 0:
            break
        kept.append(entry)
    return kept


def encode_body(event: AuditEvent, salts: Mapping[str, bytes]) -> bytes:
    """Return the canonical bytes of the event, with commitments for its personal values.

    ``salts`` gives 32 random bytes for each path of ``event.personal``. Raises
    ``AuditEventInvalid`` when they do not match or the body exceeds 60 KiB.
    """
    if set(salts) != set(event.personal):
        raise AuditEventInvalid("pii: one salt for each personal path is needed")
    pii = {path: commitment(salts[path], value) for path, value in event.personal.items()}
    try:
        content = canonical_json(_body(event, pii), closed_keys=True)
    except NotCanonical as exc:
        raise AuditEventInvalid(f"body: {exc}") from exc
    if len(content) > MAX_BODY_BYTES:
        raise AuditEventInvalid("body: larger than 60 KiB; record a digest of large content")
    return content


def commitment(salt: bytes, value: Any) -> str:
    """Return ``sha256:<hex>``, which binds to ``value`` and reveals nothing without the salt."""
    if len(salt) != SALT_BYTES:
        raise AuditEventInvalid("pii: a salt has 32 bytes")
    try:
        clear = canonical_json(value)
    except NotCanonical as exc:
        raise AuditEventInvalid(f"pii: {exc}") from exc
    return f"sha256:{hashlib.sha256(COMMITMENT_PREFIX + salt + clear).hexdigest()}"


def event_uuid(event_id: str) -> UUID:
    """Return the 128 bits of an event id as a UUID, the form its columns have."""
    if not _EVENT_ID.match(event_id):
        raise AuditEventInvalid("id: must be evt_ and a ULID")
    return UUID(int=int(event_id[4:].translate(_AS_DIGITS), 32))


def event_id(uuid: UUID) -> str:
    """Return the event id whose 128 bits ``uuid`` holds."""
    digits = (_CROCKFORD[uuid.int >> 5 * place & 31] for place in reversed(range(26)))
    return "evt_" + "".join(digits)


def rfc3339(time: datetime) -> str:
    """Return an aware time as RFC 3339 in UTC with six digits."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _body(event: AuditEvent, pii: Mapping[str, str]) -> dict[str, Any]:
    schema = ACTIONS[event.action]
    optional = {
        "run": event.run,
        "step": event.step,
        "cause": event.cause,
        "decision": event.decision,
        "approval": event.approval,
        "idempotency_key_sha256": event.idempotency_key_sha256,
        "request_id": event.request_id,
        "trace_id": event.trace_id,
    }
    return {
        "specversion": BODY_VERSION,
        "id": event.id,
        "source": SOURCE,
        "type": f"{SOURCE}.{event.action}",
        "time": rfc3339(event.time),
        "tenant": event.tree,
        "schema": {"name": schema.name, "version": schema.version, "sha256": schema.digest},
        "stage": str(event.stage),
        "actor": _actor(event.actor),
        "action": event.action,
        "target": [{"type": kind, "id": target_id} for kind, target_id in event.targets],
        "pii": dict(pii),
        "data": event.data,
        **{key: value for key, value in optional.items() if value is not None},
    }


def _actor(actor: Actor) -> dict[str, Any]:
    auth: dict[str, Any] = {}
    if actor.issuer is not None:
        auth["iss"] = actor.issuer
    if actor.methods:
        auth["amr"] = list(actor.methods)
    body: dict[str, Any] = {"type": str(actor.kind), "id": actor.id}
    if actor.roles:
        body["roles"] = [str(role) for role in actor.roles]
    if actor.session is not None:
        body["session"] = actor.session
    if auth:
        body["auth"] = auth
    if actor.on_behalf_of is not None:
        body["on_behalf_of"] = actor.on_behalf_of
    return body


# --- the closed form --------------------------------------------------------------------------
Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_TEXT


def _any_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_TEXT


def _texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(_any_text(item) for item in value)


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _one_of(*words: str) -> Check:
    return lambda value: isinstance(value, str) and value in words


def _like(pattern: re.Pattern[str]) -> Check:
    return lambda value: isinstance(value, str) and pattern.match(value) is not None


# loops, not generators: each event has dozens of values, and each mutation some events
def _closed(required: Mapping[str, Check], optional: Mapping[str, Check]) -> Check:
    fields = {**required, **optional}

    def check(value: Any) -> bool:
        if not isinstance(value, Mapping) or not required.keys() <= value.keys():
            return False
        for key, item in value.items():
            found = fields.get(key)
            if found is None or not found(item):
                return False
        return True

    return check


def _map(key: re.Pattern[str], item: Check) -> Check:
    @lru_cache(maxsize=4096)  # the names are few, and come again with each event
    def is_name(name: Any) -> bool:
        return isinstance(name, str) and key.match(name) is not None

    def check(value: Any) -> bool:
        if not isinstance(value, Mapping):
            return False
        for name, content in value.items():  # noqa: SIM110 - see above
            if not is_name(name) or not item(content):
                return False
        return True

    return check


def _list(item: Check) -> Check:
    def check(value: Any) -> bool:
        if not isinstance(value, list | tuple):
            return False
        for content in value:  # noqa: SIM110 - see above
            if not item(content):
                return False
        return True

    return check


def _fact(value: Any) -> bool:
    return value is None or isinstance(value, bool) or _integer(value) or _any_text(value) or (
        _texts(value)
    )  # fmt: skip


_facts: Final = _map(_PATH, _fact)
_KINDS: Final[Mapping[DataKind, Check]] = {
    DataKind.TEXT: _any_text,
    DataKind.INTEGER: _integer,
    DataKind.BOOLEAN: lambda value: isinstance(value, bool),
    DataKind.TEXTS: _texts,
    DataKind.FACTS: _facts,
    DataKind.ROWS: _list(_facts),
}


def _any_kind(value: Any) -> bool:
    for check in _KINDS.values():  # noqa: SIM110 - see above
        if check(value):
            return True
    return False


_REQUIRED: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "specversion": lambda value: value == BODY_VERSION,
        "id": _like(_EVENT_ID),
        "source": lambda value: value == SOURCE,
        "type": _like(_PATH),
        "time": _like(_TIME),
        "tenant": _like(_TREE),
        "schema": _closed(
            {"name": _like(_PATH), "version": _integer, "sha256": _like(_DIGEST)}, {}
        ),
        "stage": _one_of(*Stage),
        "actor": _closed(
            {"type": _one_of("user", "service", "system"), "id": _text},
            {
                "roles": _list(_like(_WORD)),
                "session": _text,
                "auth": _closed({}, {"iss": _text, "amr": _texts}),
                "on_behalf_of": _text,
            },
        ),
        "action": _like(_PATH),
        "target": _list(_closed({"type": _like(_WORD), "id": _text}, {})),
        "pii": _map(_PATH, _like(_DIGEST)),
        "data": _map(_PATH, _any_kind),
    }
)
_OPTIONAL: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "run": lambda value: isinstance(value, str) and is_id("run", value),
        "step": _text,
        "cause": _like(_EVENT_ID),
        "decision": _closed(
            {"result": _text},
            {"policy_sha256": _like(_DIGEST), "input_sha256": _like(_DIGEST), "rules": _texts},
        ),
        "approval": _closed(
            {},
            dict.fromkeys(("approval_id", "decision_id", "approver", "signature"), _text)
            | {"plan_digest": _like(_DIGEST)},
        ),
        "idempotency_key_sha256": _like(_HEX_DIGEST),
        "request_id": _like(_TRACE),
        "trace_id": _like(_TRACE),
    }
)


def check_body(body: Any) -> None:
    """Refuse a body that is not of the closed form, no matter who wrote it.

    Unknown and missing keys, wrong types and forms raise ``AuditEventInvalid`` naming the key. The
    fields of ``data`` are checked against the catalogue when an event is made, since the catalogue
    of a later release may know others.
    """
    if not isinstance(body, Mapping):
        raise AuditEventInvalid("body: must be an object")
    for key in body:
        if key not in _REQUIRED and key not in _OPTIONAL:
            raise AuditEventInvalid("body: has an unknown key")
    for key, check in _REQUIRED.items():
        if key not in body:
            raise AuditEventInvalid(f"{key}: is missing")
        if not check(body[key]):
            raise AuditEventInvalid(f"{key}: is malformed")
    for key, check in _OPTIONAL.items():
        if key in body and not check(body[key]):
            raise AuditEventInvalid(f"{key}: is malformed")
    if body["type"] != f"{SOURCE}.{body['action']}" or body["schema"]["name"] != body["action"]:
        raise AuditEventInvalid("type: action, type and schema do not match")


def _check_against_catalogue(event: AuditEvent) -> None:
    schema = ACTIONS[event.action]
    if event.stage not in schema.stages:
        raise AuditEventInvalid(f"stage: {event.action} is never {event.stage}")
    for key, value in event.data.items():
        kind = schema.data.get(key)
        if kind is None:
            raise AuditEventInvalid(f"data.{key}: {event.action} has no such field")
        if not _KINDS[kind](value):
            raise AuditEventInvalid(f"data.{key}: must be {kind}")
    for path in event.personal:
        if path.split(".")[0] not in schema.personal:
            raise AuditEventInvalid(f"personal.{path}: {event.action} has no such field")
