"""What the engine asks of a resource, in plain values: check, diff, create, read, update, delete.

`server` translates the gRPC messages into these calls and back.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stacks.sandbox.provider.aws import ApiError, Aws, CanceledError
from stacks.sandbox.provider.compare import Change, canonical, changes
from stacks.sandbox.provider.resource import ResourceType
from stacks.sandbox.provider.schema import Field, Kind, Problem
from stacks.sandbox.provider.tags import tag_change
from stacks.sandbox.provider.wire import UNKNOWN, Properties, has_unknown

_DEFAULTS = "__defaults"
_SUFFIX_DIGITS = 7


class RefusedError(Exception):
    """An operation failed and changed nothing."""


@dataclass(eq=False)
class IncompleteError(Exception):
    """An operation failed half-way: the resource exists, in this state.

    guessed: the state is what was asked for, because the real one cannot be read now.
    """

    identity: str
    state: Properties
    reason: str
    guessed: bool = False

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A resource as one request names it."""

    kind: ResourceType
    logical_name: str
    secrets: frozenset[str] = field(default_factory=frozenset)

    def failed(self, doing: str, about: Mapping[str, Any], error: Exception) -> str:
        """Return a message with label, name, operation and code, without secret values."""
        name = self.kind.shown_name(about, self.logical_name)
        reason = "canceled" if isinstance(error, CanceledError) else str(error)
        message = f"{doing} {self.kind.label} ({name}): {reason}"
        for secret in sorted(self.secrets, key=len, reverse=True):
            if len(secret) > 2:
                message = message.replace(secret, "[secret]")
        return message


def check(
    subject: Subject, old: Properties, new: Properties, seed: bytes, tags: Mapping[str, str]
) -> tuple[Properties, list[Problem]]:
    """Return the inputs with generated name and the provider's tags, and why they are refused.

    A name that nobody gave is listed under `__defaults`, as the official plugin does; it stays the
    same as long as the resource lives.
    """
    kind = subject.kind
    inputs = {name: value for name, value in new.items() if not name.startswith("__")}
    name_field = kind.name_field
    if name_field is not None and inputs.get(name_field) is None:
        generated = name_field in (old.get(_DEFAULTS) or []) and old.get(name_field)
        inputs[name_field] = generated or _generated_name(kind, subject.logical_name, seed)
        inputs[_DEFAULTS] = [name_field]
    if kind.taggable:
        inputs["tagsAll"] = _merged(tags, inputs.get("tags"))
    return inputs, list(kind.problems(inputs))


def _generated_name(kind: ResourceType, logical_name: str, seed: bytes) -> str:
    suffix = "-" + hashlib.sha256(seed).hexdigest()[:_SUFFIX_DIGITS]
    room = kind.name_limit - len(kind.name_prefix) - len(suffix)
    return kind.name_prefix + logical_name[:room] + suffix


def _merged(defaults: Mapping[str, str], own: Any) -> Any:
    if own is UNKNOWN:
        return UNKNOWN
    return {**defaults, **own} if isinstance(own, dict) else dict(defaults)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What an update would change, and whether the old must go before the new one comes."""

    changes: list[Change]
    delete_first: bool


def diff(
    kind: ResourceType, old: Properties, new: Properties, ignored: Collection[str] = ()
) -> Difference:
    """Compare what a resource is with what is wanted."""
    found = changes(kind.compared, old, new, ignored)
    name = kind.name_field
    # Two of one explicit name cannot exist side by side.
    fixed = name is not None and name not in (new.get(_DEFAULTS) or [])
    renamed = any(change.name == name for change in found)
    replaces = any(change.replaces for change in found)
    return Difference(changes=found, delete_first=replaces and fixed and not renamed)


def create(
    subject: Subject, aws: Aws, inputs: Properties, tags: Mapping[str, str]
) -> tuple[str, Properties]:
    """Create a resource; returns its id and outputs.

    Raises RefusedError when nothing was made, IncompleteError when something was.
    """
    kind = subject.kind
    given = kind.defaulted(inputs)
    try:
        identity = kind.create(aws, given)
    except (ApiError, CanceledError) as error:
        raise RefusedError(subject.failed("creating", inputs, error)) from error
    try:
        kind.finish(aws, identity, given)
        found = _read(kind, aws, identity, given, tags)
    except (ApiError, CanceledError) as error:
        reason = subject.failed("creating", inputs, error)
        state = _read_if_possible(kind, aws, identity, given, tags)
        if state is None:
            asked = kind.complete(given, given, aws)
            raise IncompleteError(identity, asked, reason, guessed=True) from error
        raise IncompleteError(identity, state, reason) from error
    if found is None:
        reason = subject.failed("creating", inputs, ApiError("Read", "", "it cannot be found"))
        raise IncompleteError(identity, kind.complete(given, given, aws), reason, guessed=True)
    return found


def _read(
    kind: ResourceType, aws: Aws, identity: str, known: Properties, tags: Mapping[str, str]
) -> tuple[str, Properties] | None:
    read = kind.read(aws, identity, known)
    if read is None:
        return None
    state = kind.complete(read, known, aws)
    kind.split_tags(state, known, tags)
    for name, declared in kind.fields.items():
        # What means the same keeps the wording and the order it was given.
        told = known.get(name)
        free = declared.form is not None or declared.kind is Kind.SET
        if free and told is not None and _same(declared, told, state.get(name)):
            state[name] = told
    return str(read.get("id", identity)), state


def _same(declared: Field, one: Any, other: Any) -> bool:
    return not has_unknown(one) and canonical(declared, one) == canonical(declared, other)


def _read_if_possible(
    kind: ResourceType, aws: Aws, identity: str, known: Properties, tags: Mapping[str, str]
) -> Properties | None:
    try:
        found = _read(kind, aws, identity, known, tags)
    except (ApiError, CanceledError):
        return None
    return None if found is None else found[1]


def read(
    subject: Subject,
    aws: Aws,
    identity: str,
    known: Properties,
    old_inputs: Properties | None,
    tags: Mapping[str, str],
) -> tuple[str, Properties, Properties] | None:
    """Return id, outputs and inputs of a resource, None when it is gone.

    known, old_inputs: what the engine remembers; empty and None for an import.
    """
    try:
        found = _read(subject.kind, aws, identity, known, tags)
    except (ApiError, CanceledError) as error:
        raise RefusedError(subject.failed("reading", known, error)) from error
    if found is None:
        return None
    current, state = found
    return current, state, subject.kind.inputs_of(state, old_inputs)


def update(
    subject: Subject,
    aws: Aws,
    identity: str,
    old: Properties,
    new: Properties,
    tags: Mapping[str, str],
    ignored: Iterable[str] = (),
) -> Properties:
    """Make the calls that turn `old` into `new`; returns the outputs.

    Raises RefusedError when nothing was changed, IncompleteError when something was.
    """
    kind = subject.kind
    changed = frozenset(change.name for change in changes(kind.compared, old, new, list(ignored)))
    given = kind.defaulted(new)
    try:
        if "tagsAll" in changed:
            kind.retag(aws, identity, old, tag_change(old.get("tagsAll"), new.get("tagsAll")))
        rest = changed - {"tags", "tagsAll"}
        if rest:
            kind.update(aws, identity, old, given, rest)
        found = _read(kind, aws, identity, given, tags)
    except (ApiError, CanceledError) as error:
        reason = subject.failed("updating", new, error)
        current = _read_if_possible(kind, aws, identity, old, tags)
        if current is None or not changes(kind.compared, old, current):
            raise RefusedError(reason) from error
        raise IncompleteError(identity, current, reason) from error
    if found is None:
        raise RefusedError(subject.failed("updating", new, ApiError("Read", "", "it is gone")))
    return found[1]


def delete(
    subject: Subject, aws: Aws, identity: str, state: Properties, say: Callable[[str], None]
) -> None:
    """Delete a resource; says so when it was gone already, which is success."""
    try:
        if not subject.kind.delete(aws, identity, state):
            name = subject.kind.shown_name(state, subject.logical_name)
            say(f"{subject.kind.label} ({name}) was gone already")
    except (ApiError, CanceledError) as error:
        raise RefusedError(subject.failed("deleting", state, error)) from error
