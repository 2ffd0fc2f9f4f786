"""Which Pulumi CLI this version of the project uses, and what its official archives must be.

The pins are data, in ``pins.json``; ``docs/decisions/0002-pulumi-cli.md`` says how to fill them.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_name("pins.json")
_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, kw_only=True)
class Pins:
    """The pinned CLI.

    Attributes:
        version: Without ``v``, such as ``3.259.0``.
        archive_base: URL of the folder that holds the official archives.
        archive_sha256: Digest of the archive by platform; None where it is not known.
    """

    version: str
    archive_base: str
    archive_sha256: Mapping[str, str | None]

    def archive_name(self, platform_name: str) -> str:
        """Return the file name of a platform's archive."""
        return f"pulumi-v{self.version}-{platform_name}.tar.gz"


def pinned() -> Pins:
    """Read ``pins.json``."""
    document = json.loads(_FILE.read_text(encoding="utf-8"))
    return Pins(
        version=document["version"],
        archive_base=document["archive_base"],
        archive_sha256=document["archive_sha256"],
    )


def this_platform() -> str:
    """Return this machine in the words of the archives, such as ``linux-x64``."""
    machine = platform.machine().lower()
    return f"{sys.platform}-{_MACHINES.get(machine, machine)}"
