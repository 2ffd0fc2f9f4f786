"""The checks after a removal: that nothing is left, and what has to remain for a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stacks.contract import Check, Code, Look
from stacks.engine.backend import State
from stacks.engine.drifting import foreign
from stacks.engine.failures import CallFailed, name_of
from stacks.engine.leftovers import Leftovers, leftovers
from stacks.engine.state import outputs_of, pending_of, resources_of
from stacks.engine.things import Thing

if TYPE_CHECKING:
    from stacks.engine.call import Call

_DOING = "look for what is left"
_NAMED = 10  # things named in the detail of a check


def look_for_nothing(call: Call, state: State | None) -> Look:
    """Return what is left of a stack: in its state, and in the cloud by tag and by name.

    A service that did not answer fails the check that needs it. Raises ``CallFailed`` when the
    call was canceled.
    """
    with call.phase("verify"):
        found, failure = _searched(call)
    resources = resources_of(state)
    outputs, secret_outputs = outputs_of(state)
    things = {str(thing): thing for thing in (*found.by_tag, *found.by_name)}
    unanswered = {text: None for texts in found.unanswered.values() for text in texts}
    return Look(
        checks=(
            _nothing_in_state([name_of(r.urn) for r in resources], state),
            _nothing("nothing_by_tag", found.by_tag, found.unanswered.get("by_tag", ()), failure),
            _nothing(
                "nothing_by_name", found.by_name, found.unanswered.get("by_name", ()), failure
            ),
        ),
        drift=tuple(foreign(thing) for _, thing in sorted(things.items())),
        unanswered="; ".join(filter(None, (_no_answer(list(unanswered)), failure))),
        resources=tuple(resources),
        outputs=outputs,
        secret_outputs=secret_outputs,
        state_digest=call.digest_of(state),
        remaining=tuple(found.remaining),
    )


def _searched(call: Call) -> tuple[Leftovers, str]:
    """Search, and say why there was no search."""
    until = time.monotonic() + call.request.deadlines.verify_seconds

    def heed(seconds: float) -> bool:
        try:
            call.heed(until=until, doing=_DOING, seconds=seconds)
        except CallFailed as failed:
            if failed.code is not Code.DEADLINE:
                raise
            return False
        return True

    try:
        return leftovers(call.request, heed=heed), ""
    except CallFailed as failed:
        if failed.code is not Code.PROVIDER:
            raise
        return Leftovers(), failed.text


def _nothing_in_state(names: Sequence[str], state: State | None) -> Check:
    pending = [f"{name_of(p.urn)} ({p.operation})" for p in pending_of(state)]
    found = [*names, *pending]
    return Check(
        name="nothing_in_state",
        ok=not found,
        detail=f"still in the state: {_listed(found)}" if found else "nothing in the state",
    )


def _nothing(name: str, things: Sequence[Thing], unanswered: Sequence[str], failure: str) -> Check:
    found = f"still in the cloud: {_listed([*map(str, things)])}" if things else ""
    problems = [*filter(None, (found, _no_answer(unanswered), failure))]
    return Check(name=name, ok=not problems, detail="; ".join(problems) or "nothing found")


def _no_answer(unanswered: Sequence[str]) -> str:
    return f"did not respond: {_listed(unanswered)}" if unanswered else ""


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts[:_NAMED]) + (" and more" if len(texts) > _NAMED else "")
