"""The scripted engine where nothing of a stack is to exist, and what a stack holds."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from control_plane.domain.engine import Check, Drift, Look, Store
from control_plane.domain.errors import EngineFailed, ForeignLock
from tests.scripted_resources import SECRET
from tests.scripted_stacks import ScriptedStack

NOTHING: Final = ("nothing_in_state", "nothing_by_tag", "nothing_by_name")


def look_for_nothing(
    stack: ScriptedStack,
    *,
    left: tuple[Drift, ...],
    unanswered: str,
    failing: Collection[str],
    skipped: Collection[str],
) -> Look:
    """Tell what of a stack is still there; ``left`` is what no state has."""
    there = [item["name"] for urn, item in sorted(stack.resources.items())]
    found = ", ".join([*there, *(each.subject for each in left)])
    faults = {
        "nothing_in_state": ", ".join(there),
        "nothing_by_tag": unanswered,
        "nothing_by_name": "; ".join(filter(None, (found, unanswered))),
    } | dict.fromkeys(failing, "made to fail")
    return Look(
        checks=tuple(
            Check(name=name, ok=not faults.get(name), detail=faults.get(name, ""))
            for name in NOTHING
            if name not in skipped
        ),
        drift=left,
        unanswered=unanswered,
        resources=(),
        outputs=stack.outputs,
        state_digest=stack.state_digest(),
        remaining=tuple(kept for _, kept in sorted(stack.remaining.items())),
    )


def forgotten(stack: ScriptedStack) -> int:
    """Delete the records of a stack that has nothing any more, and return how many they were."""
    if stack.locks:
        raise ForeignLock("the stack is locked", holder="somebody")
    if stack.resources or stack.pending:
        raise EngineFailed("the state still has something", reason="backend")
    records, stack.updates, stack.written_by = stack.updates, 0, None
    stack.outputs.clear()
    return records


def stores_of(stack: ScriptedStack | None) -> tuple[Store, ...]:
    """Return the secrets of a stack, which have no value: what a program makes."""
    return tuple(
        Store(
            urn=urn,
            type=item["type"],
            name=item["name"],
            place=str(item["inputs"].get("name", "")),
            data_class="secret",
            items=0,
        )
        for urn, item in sorted(stack.resources.items() if stack else ())
        if item["type"] == SECRET
    )
