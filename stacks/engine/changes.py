"""What of a resource changes: properties at the paths that the engine names, with their values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stacks.contract import PropertyChange
from stacks.engine.values import SECRET_MASK, is_secret, secret_names

_ABSENT = object()
_STEP = re.compile(
    r"""\["(?P<quoted>(?:[^"\\]|\\.)*)"\]   # ["a name with dots"]
      | \[(?P<index>\d+)\]                  # [0]
      | \.?(?P<name>[^.\[\]"]+)             # a name
    """,
    re.VERBOSE,
)

Values = Mapping[str, Any]
Diffs = Mapping[str, str]  # property path -> kind of its change


def property_changes(
    diffs: Diffs, before: Sequence[Values], after: Sequence[Values]
) -> tuple[PropertyChange, ...]:
    """Return the changes at the paths of ``diffs``, sorted by path, with their values.

    ``before`` and ``after`` are where values are looked for, the first that has one wins: inputs,
    then outputs, since a provider also names what it computes. What becomes a secret is masked on
    the side before too: it may have been the same value in the open.
    """
    return tuple(_change(path, diffs[path], before, after) for path in sorted(diffs))


def secretness_changes(before: Values, after: Values) -> tuple[PropertyChange, ...]:
    """Return the inputs that become secret, or cease to be, and otherwise are what they were."""
    both = secret_names(before) ^ secret_names(after)
    paths = [p for p in both if _at(p, before) is not _ABSENT and _at(p, after) is not _ABSENT]
    return property_changes(dict.fromkeys(paths, "update"), [before], [after])


def values_at(path: str, some: Sequence[Values], others: Sequence[Values]) -> tuple[Any, Any]:
    """Return the values at a path on two sides, None where a side has none.

    Each side is where its value is looked for, the first place that has one wins. What is secret
    anywhere is masked on both.
    """
    every = list(_found(path, (*some, *others)))
    found = (_first(path, some), _first(path, others))
    first, second = (None if v is _ABSENT else _veiled(v, every) for v in found)
    return first, second


def path_steps(path: str) -> list[str | int]:
    """Return the steps of a property path such as ``rules[0].tags["a.b"]``.

    A text that is not a path is the name of a property.
    """
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        found = _STEP.match(path, position)
        if found is None:
            return [path]
        if found["index"] is not None:
            steps.append(int(found["index"]))
        elif found["quoted"] is not None:
            steps.append(re.sub(r"\\(.)", r"\1", found["quoted"]))
        else:
            steps.append(found["name"])
        position = found.end()
    return steps


def _change(
    path: str, kind: str, before: Sequence[Values], after: Sequence[Values]
) -> PropertyChange:
    is_added, is_deleted = kind.startswith("add"), kind.startswith("delete")
    old = _ABSENT if is_added else _first(path, before)
    new = _ABSENT if is_deleted else _first(path, after)
    return PropertyChange(
        path=path,
        kind=kind,
        before=None if old is _ABSENT else _veiled(old, list(_found(path, (*before, *after)))),
        after=None if new is _ABSENT else _veiled(new, list(_found(path, after))),
        before_known=is_added or old is not _ABSENT,
    )


def _veiled(value: Any, others: Sequence[Any]) -> Any:
    """Return the value with everything masked that is a secret in it or in one of ``others``."""
    if is_secret(value) or any(map(is_secret, others)):
        return dict(SECRET_MASK)
    if isinstance(value, Mapping):
        maps = [other for other in others if isinstance(other, Mapping)]
        return {k: _veiled(v, [m[k] for m in maps if k in m]) for k, v in value.items()}
    if isinstance(value, list):
        lists = [other for other in others if isinstance(other, list)]
        return [_veiled(v, [x[i] for x in lists if i < len(x)]) for i, v in enumerate(value)]
    return value


def _first(path: str, places: Sequence[Values]) -> Any:
    return next(_found(path, places), _ABSENT)


def _found(path: str, places: Sequence[Values]) -> Iterator[Any]:
    for place in places:
        value = _at(path, place)
        if value is not _ABSENT:
            yield value


def _at(path: str, properties: Values) -> Any:
    """Return the value at a path; what lies in a secret is that secret."""
    value: Any = properties
    for step in path_steps(path):
        if is_secret(value):
            break
        if not isinstance(value, Mapping if isinstance(step, str) else list):
            return _ABSENT
        try:
            value = value[step]  # type: ignore[index] # the step fits, as was just seen
        except LookupError:
            return _ABSENT
    return value
