"""A provider process that serves all CLI starts of one call.

The engine starts new providers for each command, 0.5 s of two cores each time. A provider that is
given in PULUMI_DEBUG_PROVIDERS is attached to instead. ``Configure`` is per process, though: used
by two configurations it mixes them up. So it serves only one call, and only if the stack has no
provider yet: then every command of the call configures it in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from stacks.engine.guard import Guard

_START_SECONDS = 20.0
_POLL_SECONDS = 0.01


class WarmProvider:
    """The provider named ``aws``, as a child of the guard."""

    def __init__(
        self, guard: Guard, executable: Path, environment: Mapping[str, str], folder: Path
    ) -> None:
        self._port: str | None = None
        self._output = folder / "provider.out"
        guard.start_provider(executable, environment, folder, self._output)

    def attach(self) -> dict[str, str]:
        """Return what the engine's environment needs; nothing when the provider did not start.

        The engine then starts one itself and says what is wrong.
        """
        if self._port is None:
            self._port = self._read_port()
        return {"PULUMI_DEBUG_PROVIDERS": f"aws:{self._port}"} if self._port else {}

    def _read_port(self) -> str:
        """Read the line that a provider prints when it serves (the plugin protocol)."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            line = self._output.read_bytes() if self._output.exists() else b""
            if line.endswith(b"\n"):
                text = line.decode("ascii", "replace").strip()
                return text if text.isdigit() else ""
            time.sleep(_POLL_SECONDS)
        return ""
