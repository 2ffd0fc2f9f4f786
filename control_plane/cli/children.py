"""The processes that `tenantctl serve` starts, and starts again when they end by themselves."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from control_plane.domain.errors import Unavailable

READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 40.0
RESTARTS: Final = 5  # of one part within RESTART_SECONDS; one more ends the installation
RESTART_SECONDS: Final = 600.0
LARGEST_LOG: Final = 10 * 1024 * 1024  # bytes
_LONGEST_PAUSE_SECONDS: Final = 16.0


@dataclass
class Restarts:
    """How often one part exited unexpectedly, and whether and when it may start again."""

    clock: Callable[[], float] = time.monotonic
    _ends: list[float] = field(default_factory=list)

    def note_end(self) -> float | None:
        """Note an end; returns the seconds to pause before a start, None when it was one too many.

        The pauses double, so that an outage of a few seconds does not use up every start.
        """
        now = self.clock()
        self._ends = [end for end in self._ends if now - end < RESTART_SECONDS]
        self._ends.append(now)
        if len(self._ends) > RESTARTS:
            return None
        return (
            0.0
            if len(self._ends) == 1
            else min(2.0 ** (len(self._ends) - 2), _LONGEST_PAUSE_SECONDS)
        )

    def __len__(self) -> int:
        """Return how many ends count now."""
        return len(self._ends)


@dataclass
class Child:
    """A process of ours. It says a line on its stdout when it is ready, or ``answers`` says so."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    folder: Path
    answers: Callable[[], bool] | None = None
    restarts: Restarts = field(default_factory=Restarts)
    start_at: float | None = None  # when it is to be started again
    is_ready: bool = False
    line: str = ""
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its stderr goes to the log, its stdin is a pipe that we never write to."""
        self.is_ready, self.start_at = False, None
        with self.log.open("ab") as stream:
            self._process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C reaches only us; we stop it gracefully
            )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process, started last."""
        if self._process is None:
            raise RuntimeError("the process was not started")
        return self._process

    def has_ended(self) -> bool:
        """Tell whether it exited unexpectedly and waits for no new start."""
        return self.start_at is None and self.process.poll() is not None

    def look(self, seconds: float = 0.0) -> bool:
        """Wait at most so long; return whether it became ready just now."""
        if self.is_ready or self.process.poll() is not None:
            return False
        if self.answers is not None:
            self.is_ready = self.answers()
        elif self.process.stdout is not None and _has_more(self.process.stdout, seconds):
            self.line = self.process.stdout.readline().decode().strip()
            self.is_ready = bool(self.line)
        return self.is_ready

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait for it. Raises ``Unavailable`` with the last thing it said."""
        deadline = time.monotonic() + seconds
        while not self.is_ready:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Unavailable(f"{self.name} did not start: {self.last_line()}")
            if not self.look(0.05):
                time.sleep(0.02)

    def last_line(self) -> str:
        """Return the last thing it wrote to its log."""
        text = ""
        with suppress(FileNotFoundError):
            text = self.log.read_text(errors="replace")
        lines = [line for line in text.splitlines() if line.strip()]
        return lines[-1][-400:] if lines else "no output"

    def rotate_log(self) -> None:
        """Start a new log when it has become long; the one before it is kept.

        The process keeps its file open, for appending, so that the file itself is emptied.
        """
        with suppress(FileNotFoundError):  # somebody removed it; the next start makes a new one
            if self.log.stat().st_size > LARGEST_LOG:
                shutil.copyfile(self.log, self.log.with_name(f"{self.log.name}.1"))
                os.truncate(self.log, 0)

    def stop(self) -> None:
        """Ask it to end, and end it when it does not."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _has_more(stream: IO[bytes], seconds: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        return bool(selector.select(seconds))
