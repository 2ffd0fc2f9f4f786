"""A child process that lives as long as this process, whichever thread started it."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path


class Child:
    """Starts a command in a session of its own and waits for it in a thread.

    Linux sends the parent-death signal when the *thread* that made the child ends. The thread here
    ends after the child, so the signal means what its name says. The session of its own keeps the
    terminal's interrupt away: the parent decides when its database stops.
    """

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
        self._command = list(command)
        self._env = dict(env)
        self._log = log
        self._started = threading.Event()
        self._ended = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: OSError | None = None
        threading.Thread(target=self._live, name="postgres", daemon=True).start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def pid(self) -> int:
        """The process id."""
        if self._process is None:
            raise RuntimeError("the child was not started")
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._ended.is_set()

    def send(self, number: int) -> None:
        """Send a signal; nothing happens when the process has ended."""
        if self._process is not None and not self.ended:
            self._process.send_signal(number)

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the end and tell whether it came."""
        return self._ended.wait(timeout_seconds)

    def _live(self) -> None:
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            self._failure = error
            return
        finally:
            os.close(log)
            self._started.set()
        self._process.wait()
        self._ended.set()
