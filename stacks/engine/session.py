"""Plan and apply in one engine command, held in between.

``up --strict`` previews, and then constrains its update to exactly what it previewed. The language
host is ours: it does not begin the second run of the program, the one that may register something,
before the gate has judged the first. The stack is taken from the preview to the end, so the state
cannot change in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from stacks.contract import Code
from stacks.engine.backend import State
from stacks.engine.cli import HELD
from stacks.engine.failures import CallFailed, type_of
from stacks.engine.state import ids_of

if TYPE_CHECKING:
    from stacks.engine.call import Call, Done

_UP = ["up", "--yes", "--strict", "--skip-plugin-pre-install"]


def reads_scope(scope: Sequence[str], state: State | None) -> bool:
    """Tell whether the resources of a scope are read again as a command plans.

    The engine refuses to read what is not in the state: some of it was taken out by settling then,
    which has read all of it.
    """
    return bool(scope) and all(ids_of(state, type_of(urn), urn=urn) for urn in scope)


def within(scope: Sequence[str], state: State | None) -> list[str]:
    """Return the arguments that limit a command to some resources, none for the whole stack.

    They are read again first, in the plan and once more in the update that it constrains: what
    differs in the cloud is then a change of the plan. What was read enters the state together with
    the first step that changes something, so that a plan which is not applied leaves no trace.
    """
    return [*(["--refresh"] if reads_scope(scope, state) else []), *targets(scope)]


def targets(scope: Sequence[str]) -> list[str]:
    """Return the arguments that name the resources of a scope."""
    return [part for urn in scope for part in ("--target", urn)]


class Session:
    """One engine command. Use as a context: what was not applied then leaves nothing behind."""

    def __init__(self, call: Call, state: State | None) -> None:
        """Start it over the state that the call's stack has."""
        self._call = call
        self._planning, self._applying = call.recorder("plan"), call.recorder("apply")
        self._is_applied = False
        self._process = call.start_engine(
            [*_UP, *within(call.request.scope, state)],
            self._planning,
            self._applying,
            updates=True,
            on_held=partial(call.inbox.put, *HELD),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End an engine whose plan was not applied. It waits and has done nothing.

        Asked to end it would write an update into the history that never was.
        """
        if self._is_applied:
            return
        self._process.kill()
        self._process.ended(None)
        with suppress(CallFailed):  # it is tried again as the call ends
            self._call.give_back()

    def preview(self, *, seconds: float) -> Done:
        """Wait for the preview; the engine is held when it succeeded."""
        ended = self._call.cli.wait_until_held(self._process, seconds=seconds)
        done = self._call.done(ended, self._planning, doing="plan the changes")
        if done.ended is not None and done.failure is None:
            raise CallFailed(Code.ENGINE, "The engine ended without asking for the program again.")
        return done

    @property
    def has_ended(self) -> bool:
        """Whether the engine ended while it was held."""
        return self._process.join(0)

    def lost(self) -> CallFailed:
        """Return the failure of an engine that ended while it was held."""
        done = self._call.done(
            self._process.ended(None), self._applying, doing="wait for the decision", operation=1
        )
        if done.failure is None:
            raise TypeError("a held engine does not end well")
        return done.failure

    def is_exit(self, entry: tuple[object, ...]) -> bool:
        """Tell whether an entry of the inbox is the end of this engine."""
        return entry == ("exit", self._process.pid)

    def apply(self, *, seconds: float) -> Done:
        """Apply what was previewed, and wait for the end."""
        self._is_applied = True
        self._call.start_host().release()
        ended = self._call.cli.wait(self._process, seconds=seconds)
        return self._call.done(ended, self._applying, doing="apply the plan", operation=1)
