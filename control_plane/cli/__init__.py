"""``tenantctl``: the whole API from a terminal, and the processes of an installation."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; the commands are imported when it is called."""
    try:
        from control_plane.cli.app import run  # noqa: PLC0415 - starting a process needs few of them

        run()
    except KeyboardInterrupt:  # Ctrl-C while the commands were being imported
        sys.exit(130)
