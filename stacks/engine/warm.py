"""Provider processes that the runner starts itself, as children of the guard.

The engine starts new providers for each command, 0.5 s of two cores each time. The guard forks the
sandbox's from what is imported already, and starts the official one. A provider that is
given in PULUMI_DEBUG_PROVIDERS is attached to instead. ``Configure`` is per process, though: used
by two configurations it mixes them up. So a warm one serves only one call, and only if the stack
has no provider yet: then every command of the call, and the look at its end, configures it in the
same way. Any other look has a process of its own, which looks of one call and configuration share.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from stacks.contract import Code
from stacks.engine.failures import CallFailed
from stacks.engine.guard import Guard

_START_SECONDS = 20.0
_POLL_SECONDS = 0.01
_NUMBERS = itertools.count(1)

Pause = Callable[[float], None]


class ProviderProcess:
    """A provider named ``aws``, the sandbox's or an executable; it ends with the call."""

    def __init__(
        self, guard: Guard, executable: Path | None, environment: Mapping[str, str], folder: Path
    ) -> None:
        self._port: str | None = None
        self._output = folder / f"provider-{next(_NUMBERS)}.out"
        guard.start_provider(executable, environment, folder, self._output)

    def attach(self) -> dict[str, str]:
        """Return what the engine's environment needs; nothing when the provider did not start.

        The engine then starts one itself and says what is wrong.
        """
        try:
            return {"PULUMI_DEBUG_PROVIDERS": f"aws:{self.port(time.sleep)}"}
        except CallFailed:
            return {}

    def port(self, pause: Pause) -> str:
        """Return the port that it serves, waiting for it by ``pause``, which takes seconds.

        Raises ``CallFailed`` when it does not start.
        """
        end = time.monotonic() + _START_SECONDS
        while self._port is None:
            # in this order: what it said before it ended counts
            is_gone = self.is_gone()
            line, is_whole, _ = _text(self._output).partition("\n")
            if is_whole and line.strip().isdigit():
                self._port = line.strip()
            elif is_whole or is_gone:
                raise CallFailed(Code.PROVIDER_DIED, "The provider exited at its start.")
            elif time.monotonic() >= end:
                raise CallFailed(Code.ENGINE, "The provider did not start in time.")
            else:
                pause(_POLL_SECONDS)
        return self._port

    def is_gone(self) -> bool:
        """Whether the process has ended."""
        pid = _text(self._output.with_suffix(".pid"))
        try:
            return bool(pid) and psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
        except psutil.Error:
            return True


def _text(path: Path) -> str:
    return path.read_bytes().decode("ascii", "replace") if path.exists() else ""
