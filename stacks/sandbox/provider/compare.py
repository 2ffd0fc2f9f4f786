"""What a change of inputs means for a resource: nothing, an update, or a replacement.

The comparison is between what the resource *is* (its outputs) and what is wanted (its inputs), as
Terraform's providers do it: a missing optional input stands for its default, or for "whatever AWS
chose" when the field is computed. It depends on its arguments only, because a refresh asks with
old and new exchanged.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stacks.sandbox.provider.schema import Field, Fields, Kind, step
from stacks.sandbox.provider.wire import UNKNOWN, has_unknown


class Act(StrEnum):
    """How a property changes."""

    ADD = "add"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True)
class Change:
    """A property that changes: top-level name, exact path, how, and whether that replaces."""

    name: str
    path: str
    act: Act
    replaces: bool


def changes(
    fields: Fields, old: Mapping[str, Any], new: Mapping[str, Any], ignored: Collection[str] = ()
) -> list[Change]:
    """Return what must change for a resource that is `old` to become `new`.

    `ignored` are property paths of the `ignoreChanges` option, `*` in brackets being any index.
    """
    patterns = [_ignoring(path) for path in ignored]
    return [
        Change(name, path, act, replaces)
        for name, known in fields.items()
        for path, act, replaces in _compare(known, old.get(name), new.get(name), name)
        if not any(pattern.match(path) for pattern in patterns)
    ]


def _ignoring(path: str) -> re.Pattern[str]:
    exact = re.escape(path).replace(r"\[\*\]", r"\[[^]]*\]").replace(r"\*", ".*")
    return re.compile(rf"{exact}(?:$|[.\[])")


_Found = tuple[str, Act, bool]


def _compare(known: Field, old: Any, new: Any, path: str) -> Iterator[_Found]:
    if new is None and known.computed:
        return
    if new is UNKNOWN:
        yield path, Act.UPDATE if old is not None else Act.ADD, known.replaces
    elif known.kind is Kind.BLOCK:
        yield from _members(known.fields, old or {}, new or {}, path, replaces=known.replaces)
    elif known.kind is Kind.MAP:
        members = {key: Field() for key in sorted({**(old or {}), **(new or {})})}
        yield from _members(members, old or {}, new or {}, path, replaces=known.replaces)
    elif known.kind is Kind.LIST and len(old or []) == len(new or []) and known.item is not None:
        for index, (before, after) in enumerate(zip(old or [], new or [], strict=True)):
            for where, act, replaces in _compare(known.item, before, after, step(path, index)):
                yield where, act, replaces or known.replaces
    else:
        before, after = canonical(known, old), canonical(known, new)
        if before != after or has_unknown(new):
            yield path, _act(before, after), known.replaces


def _members(
    fields: Fields, old: Mapping[str, Any], new: Mapping[str, Any], path: str, *, replaces: bool
) -> Iterator[_Found]:
    for name, known in fields.items():
        for where, act, own in _compare(known, old.get(name), new.get(name), step(path, name)):
            yield where, act, own or replaces


def _act(before: Any, after: Any) -> Act:
    if _empty(before):
        return Act.ADD
    return Act.DELETE if _empty(after) else Act.UPDATE


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)


_ZERO: Mapping[Kind, Any] = {
    Kind.TEXT: "",
    Kind.INTEGER: 0,
    Kind.NUMBER: 0,
    Kind.FLAG: False,
    Kind.MAP: {},
    Kind.LIST: [],
    Kind.SET: [],
    Kind.BLOCK: {},
}


def canonical(known: Field, value: Any) -> Any:
    """Return a form of `value` that is equal for values which are the same to AWS.

    A missing value becomes the field's default, else the zero value of its kind.
    """
    if value is None:
        value = _ZERO[known.kind] if known.default is None else known.default
    if has_unknown(value):
        return value
    if known.form is not None and value:
        return known.form(value)
    if known.kind is Kind.BLOCK:
        return {name: canonical(member, value.get(name)) for name, member in known.fields.items()}
    if known.item is not None:
        items = [canonical(known.item, item) for item in value]
        return sorted(items, key=_order) if known.kind is Kind.SET else items
    return value


def _order(item: Any) -> str:
    return json.dumps(item, sort_keys=True, default=str)
