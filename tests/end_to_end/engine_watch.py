"""Watches the engine processes of an installation from outside, on whichever host they run.

Every process of an engine call carries the call's id in its environment. What is counted here is
read from the kernel's list of processes, not from what the product says of itself.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import psutil

_LOOK_SECONDS: Final = 0.05
_YOUNG_SECONDS: Final = 5.0  # a process younger than this may still become an engine (exec)
_CHANGING: Final = frozenset({"up", "refresh", "destroy", "import"})
_COMMAND: Final = 4  # pulumi --non-interactive --color never COMMAND …


@dataclass(frozen=True)
class Engine:
    """A pulumi process of an engine call."""

    process: psutil.Process
    call_id: str
    host: str
    stack: str  # '' unless it changes one

    @property
    def lives(self) -> bool:
        """Whether it exists and is no zombie; stopped ones live."""
        try:
            return bool(self.process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False


@dataclass
class EngineWatch:
    """Looks twenty times a second; a context manager.

    ``most`` is how many engines of a changing command lived at one moment, by stack, and
    ``overlap`` for how many seconds at a time there was more than one: an engine that is refused
    for another one's lock, or has given its own back, is still a process. ``last_seen`` is when an
    engine of a call was seen last, by call, in seconds since the epoch. ``seen`` are the numbers of
    a call's processes on their host, runner and engines.
    """

    homes: Path  # of the workers, each named like its host
    most: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    overlap: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    last_seen: dict[str, float] = field(default_factory=dict)
    seen: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    _engines: dict[int, Engine] = field(default_factory=dict)
    _alone_at: dict[str, float] = field(default_factory=dict)  # stack -> when it was so last
    _others: set[int] = field(default_factory=set)  # that are no engines and too old to become one
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, name="engine-watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def changing(self, run_id: str) -> list[Engine]:
        """Return the living engines of a run that change its stack."""
        return [
            engine
            for engine in list(self._engines.values())
            if engine.stack and engine.call_id.startswith(f"{run_id}.") and engine.lives
        ]

    def _watch(self) -> None:
        while not self._end.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        present = set(psutil.pids())
        self._others &= present
        for pid in present - self._others - self._engines.keys():
            self._meet(pid)
        living: dict[str, int] = defaultdict(int)
        for pid, engine in list(self._engines.items()):
            if pid not in present or not engine.lives:
                del self._engines[pid]
                continue
            # each was in the list and lives after it was made: at one moment all of them lived
            self.last_seen[engine.call_id] = time.time()
            if engine.stack:
                living[engine.stack] += 1
        for stack, number in living.items():
            self.most[stack] = max(self.most[stack], number)
            if number == 1:
                self._alone_at[stack] = time.monotonic()
            together = time.monotonic() - self._alone_at.get(stack, time.monotonic())
            self.overlap[stack] = max(self.overlap[stack], together)

    def _meet(self, pid: int) -> None:
        with suppress(psutil.Error, OSError, ValueError, KeyError):
            process = psutil.Process(pid)
            environment, words = process.environ(), process.cmdline()
            call_id = environment.get("TENANTPLANE_CALL_ID", "").strip()
            if call_id:
                self.seen[call_id].add(_pid_on_host(pid))
            if call_id and words and Path(words[0]).name == "pulumi":
                home = Path(environment["PULUMI_HOME"]).relative_to(self.homes)
                self._engines[pid] = Engine(process, call_id, home.parts[0], _stack(words))
                return
            if time.time() - process.create_time() < _YOUNG_SECONDS:
                return
        self._others.add(pid)


def _stack(words: list[str]) -> str:
    changes = len(words) > _COMMAND and words[_COMMAND] in _CHANGING
    named = words[words.index("--stack") + 1] if changes and "--stack" in words else ""
    return named.rpartition("/")[2]  # organization/project/stack


def _pid_on_host(pid: int) -> int:
    """Return the number that a process has in its own namespace."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return pid
