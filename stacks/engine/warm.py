"""A provider process that serves all CLI starts of one call.

The engine starts providers anew for each command, 0.5 s of two cores each time. A provider that
is given in PULUMI_DEBUG_PROVIDERS is attached to instead. ``Configure`` is per process, though:
used by two configurations it mixes them up. So it serves one call alone, and only if the stack has
no provider yet: then every command of the call configures it in the same way.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

_START_SECONDS = 20.0


class WarmProvider:
    """The provider named ``aws``, started and used by this process alone."""

    def __init__(self, executable: Path, environment: Mapping[str, str], folder: Path) -> None:
        self._port: str | None = None
        with (folder / "provider.err").open("wb") as err:
            self._process = subprocess.Popen(
                [str(executable)],
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=err,
                start_new_session=True,
            )

    def attach(self) -> dict[str, str]:
        """Return what the engine's environment needs; nothing when the provider did not start.

        The engine then starts one itself and says what is wrong.
        """
        if self._port is None:
            self._port = self._read_port()
        return {"PULUMI_DEBUG_PROVIDERS": f"aws:{self._port}"} if self._port else {}

    def _read_port(self) -> str:
        """Read the line that a provider prints when it serves (the plugin protocol)."""
        if self._process.stdout is None:
            return ""
        pipe, line = self._process.stdout.fileno(), b""
        end = time.monotonic() + _START_SECONDS
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([pipe], [], [], max(end - time.monotonic(), 0.0))
            piece = os.read(pipe, 100) if readable else b""
            if not piece:
                return ""
            line += piece
        text = line.decode("ascii", "replace").strip()
        return text if text.isdigit() else ""
