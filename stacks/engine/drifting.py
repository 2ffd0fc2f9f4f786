"""How the cloud differs from what was applied: property by property, with both values.

Nothing secret is shown. A property that holds a secret anywhere is named, and masked as a
whole: where in it the secret is, is not the same on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stacks.contract import Drift, PropertyChange
from stacks.engine.changes import path_steps, property_changes
from stacks.engine.failures import type_of
from stacks.engine.things import Thing
from stacks.engine.values import SECRET_MASK, plain, secret_names

if TYPE_CHECKING:
    from stacks.engine.looking import Sight
    from stacks.engine.provider import Found

UNHEALTHY = "unhealthy"  # stands for a property where a provider says that something is not well
_TAGS, _ALL_TAGS = "tags", "tagsAll"

Properties = Mapping[str, Any]  # opened, see ``values``
Hide = Callable[[str], str]  # takes what is secret out of a text


def changed(
    kinds: Mapping[str, str], *, found: Found, inputs: Properties, outputs: Properties, hide: Hide
) -> tuple[PropertyChange, ...]:
    """Return what differs at the paths of ``kinds``: ``before`` is what there is, ``after`` what
    was applied.

    ``inputs`` and ``outputs`` are those of the state. A tag is named once, by its path in ``tags``.
    """
    there = (found.inputs, found.outputs)
    told: dict[str, PropertyChange] = {}
    for change in property_changes(kinds, there, [inputs]):
        name = str(path_steps(change.path)[0])
        values = {"before": plain(change.before, hide), "after": plain(change.after, hide)}
        path = change.path
        if any(secret_names({name: place.get(name)}) for place in (*there, inputs, outputs)):
            path, values = name, {side: _masked(value) for side, value in values.items()}
        told[path] = change.model_copy(update={"path": path, **values})
    return tuple(told[path] for path in sorted(_tags_once(told)))


def _tags_once(told: dict[str, PropertyChange]) -> dict[str, PropertyChange]:
    """Leave of the two properties that hold tags the one that holds all: the provider's, too."""
    for path in [p for p in told if path_steps(p)[0] == _ALL_TAGS]:
        change = told.pop(path)
        own = _TAGS + path.removeprefix(_ALL_TAGS)
        if own != _TAGS or not any(path_steps(p)[0] == _TAGS for p in told):
            told[own] = change.model_copy(update={"path": own})
    return told


def unwell(reasons: Sequence[str], hide: Hide) -> tuple[PropertyChange, ...]:
    """Return what a provider says of something that exists and is not well, as one property."""
    if not reasons:
        return ()
    text = hide("; ".join(reasons))
    return (PropertyChange(path=UNHEALTHY, kind="delete", before=text),)


def drift_of(sight: Sight, strange: Sequence[Thing]) -> tuple[Drift, ...]:
    """Return everything that a look found to be otherwise, and what no state has; each once."""
    found = [*_seen(sight), *map(foreign, strange)]
    return tuple({(each.kind, each.subject, each.path): each for each in found}.values())


def _seen(sight: Sight) -> Iterator[Drift]:
    for urn, all_seen in sorted(sight.seen.items()):
        kind = type_of(urn)
        if all_seen and all(seen.is_missing for seen in all_seen):
            yield Drift(kind="missing", subject=urn, type=kind)
        for seen in all_seen:
            for change in seen.changes:
                yield Drift(
                    kind="changed", subject=urn, type=kind,
                    path=change.path, expected=change.after, actual=change.before,
                )  # fmt: skip


def foreign(thing: Thing) -> Drift:
    """Return a thing that is in no state."""
    says = dict(thing.says) or None
    return Drift(kind="foreign", subject=str(thing), type=thing.kind, actual=says)


def _masked(value: Any) -> Any:
    return None if value is None else dict(SECRET_MASK)
