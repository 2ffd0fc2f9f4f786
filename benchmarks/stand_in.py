"""A worker whose engine only notes that it was called: ``python -m benchmarks.stand_in``.

Everything up to the call of the engine is the product's own: the notice, the claim, the phase with
its transactions. It notes ``<run> <seconds since 1970>`` in ``started`` in its home, holds the call
for ``BENCH_HOLD_SECONDS``, and fails it, so that the run ends.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

from control_plane import worker
from control_plane.adapters.pulumi.engine import PulumiEngine
from control_plane.bootstrap import Parts, start_process
from control_plane.domain.errors import EngineFailed
from control_plane.ports.engine import EngineCall

STARTED: Final = "started"
HOLD: Final = "BENCH_HOLD_SECONDS"


class Noting:
    """The port ``StackEngine`` as far as a plan is asked for."""

    longest_seconds = longest_apply_seconds = 600.0

    def __init__(self, notes: Path, hold_seconds: float) -> None:
        self._notes = notes
        self._hold_seconds = hold_seconds

    def plan(self, call: EngineCall, **_: Any) -> Any:
        """Note the call, hold it, and fail it."""
        with self._notes.open("a", encoding="ascii") as file:
            file.write(f"{call.run_id} {time.time()}\n")
        time.sleep(self._hold_seconds)
        raise EngineFailed("a stand-in plans nothing")

    def cancel(self, _call_id: str) -> bool:
        """Cancel nothing."""
        return False

    def stop_all(self) -> None:
        """Stop nothing."""


@dataclass(frozen=True)
class StandInParts(Parts):
    """The parts of a worker with that engine."""

    @cached_property
    def engine(self) -> PulumiEngine:
        """The engine that only notes."""
        noting = Noting(self.home.folder / STARTED, float(os.environ[HOLD]))
        return cast("PulumiEngine", noting)


def main() -> int:
    """Work until SIGTERM."""
    parts = start_process("worker")
    return worker.run(StandInParts(parts.settings), ready=_say_ready)


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
