"""The scripted engine for several workers: a stack is a file, so that it outlives its worker."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from control_plane.domain.engine import CloudDifference, Look, Resolved, Store
from control_plane.ports.engine import (
    Applied,
    CleanedUp,
    EngineCall,
    EnginePlan,
    EngineResult,
    EventListener,
    Gate,
    OnApplied,
    StackInspection,
)
from tests.scripted_engine import ScriptedEngine


class KeptEngine:
    """The port ``StackEngine``: each call is one of a scripted engine over the kept stack.

    A worker that is killed in an apply leaves the stack locked, and changed or not.
    """

    longest_seconds = longest_apply_seconds = 600.0

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._open: dict[str, ScriptedEngine] = {}

    def plan(self, call: EngineCall, *, on_events: EventListener) -> EnginePlan:
        with self._opened(call) as engine:
            return engine.plan(call, on_events=on_events)

    def apply(
        self, call: EngineCall, *, gate: Gate, on_applied: OnApplied, on_events: EventListener,
        compares: bool,
    ) -> EngineResult:  # fmt: skip
        with self._writing(call) as engine:
            engine.during = lambda what, _: self._keep(call, engine) if what == "change" else None

            def applied(found: Applied) -> None:
                self._keep(call, engine)
                on_applied(found)

            return engine.apply(
                call, gate=gate, on_applied=applied, on_events=on_events, compares=compares
            )

    def look(self, call: EngineCall, *, on_events: EventListener) -> Look:
        with self._opened(call) as engine:
            return engine.look(call, on_events=on_events)

    def compare(self, call: EngineCall, *, on_events: EventListener) -> tuple[CloudDifference, ...]:
        with self._opened(call) as engine:
            return engine.compare(call, on_events=on_events)

    def contents(self, call: EngineCall) -> tuple[Store, ...]:
        with self._opened(call) as engine:
            return engine.contents(call)

    def forget(self, call: EngineCall) -> int:
        with self._writing(call) as engine:
            return engine.forget(call)

    def inspect(self, call: EngineCall) -> StackInspection:
        with self._opened(call) as engine:
            return engine.inspect(call)

    def clean_up(
        self, call: EngineCall, *, end_calls: Sequence[str], break_locks: Sequence[str]
    ) -> CleanedUp:
        with self._writing(call) as engine:
            return engine.clean_up(call, end_calls=end_calls, break_locks=break_locks)

    def resolve(self, call: EngineCall, *, on_events: EventListener) -> tuple[Resolved, ...]:
        with self._writing(call) as engine:
            return engine.resolve(call, on_events=on_events)

    def cancel(self, call_id: str) -> bool:
        return any(engine.cancel(call_id) for engine in list(self._open.values()))

    def stop_all(self) -> None:
        for engine in list(self._open.values()):
            engine.stop_all()

    # --- inside ------------------------------------------------------------------------------
    @contextmanager
    def _opened(self, call: EngineCall) -> Iterator[ScriptedEngine]:
        engine, file = ScriptedEngine(), self._file(call)
        if file.exists():
            writer, stack = pickle.loads(file.read_bytes())  # noqa: S301 - we wrote it
            engine.stacks[call.stack] = stack
            engine.alive = writer != os.getpid() and psutil.pid_exists(writer)
        self._open[call.call_id] = engine
        try:
            yield engine
        finally:
            del self._open[call.call_id]

    @contextmanager
    def _writing(self, call: EngineCall) -> Iterator[ScriptedEngine]:
        with self._opened(call) as engine:
            try:
                yield engine
            finally:
                self._keep(call, engine)

    def _keep(self, call: EngineCall, engine: ScriptedEngine) -> None:
        """Write the stack, whole or not at all."""
        file = self._file(call)
        stack = engine.stacks.get(call.stack)
        if stack is None:
            file.unlink(missing_ok=True)
            return
        draft = file.with_suffix(f".{call.call_id}")
        draft.write_bytes(pickle.dumps((os.getpid(), stack)))
        draft.replace(file)

    def _file(self, call: EngineCall) -> Path:
        return self._folder / f"{call.stack}.pickle"
