"""The keys of providers: one file each, which only this user reads.

They are read when they are used, so that a key is rotated without a restart.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from control_plane.adapters.private_files import create_once
from control_plane.domain.errors import SettingInvalid

LONGEST: Final = 1024
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")


class FileProviderKeys:
    """The port ``ProviderKeys`` over a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def read(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return the texts of those that are installed.

        Raises ``SettingInvalid`` for one that others can read, or that is not a line of text.
        """
        found = {}
        for name in names:
            try:
                with _file(self._folder, name).open("rb") as stream:
                    status = os.fstat(stream.fileno())
                    content = stream.read(LONGEST + 1)
            except FileNotFoundError:
                continue
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise SettingInvalid(
                    f"the provider key {name} can be read by others: run chmod 600 on it, and "
                    "consider who may have read it"
                )
            found[name] = _line(name, content)
        return found

    def install(self, name: str, content: bytes) -> None:
        """Keep a key under a name. Raises ``SettingInvalid``; one is never replaced."""
        text = _line(name, content)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        try:
            create_once(_file(self._folder, name), f"{text}\n".encode())
        except FileExistsError:
            raise SettingInvalid(
                f"there is a key {name} already: install a new one under a name of its own"
            ) from None


def _file(folder: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise SettingInvalid(
            "the name of a provider key has lower-case letters, digits and hyphens, 60 at most"
        )
    return folder / f"{name}.key"


def _line(name: str, content: bytes) -> str:
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable() or len(content) > LONGEST:
        raise SettingInvalid(f"the provider key {name} is not one line of plain text")
    return text
