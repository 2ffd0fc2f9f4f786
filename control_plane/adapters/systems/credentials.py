"""Credentials for systems outside: one file each, which only this user reads.

They are read when they are used, so that one is replaced without a restart.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from control_plane.adapters.private_files import create_once
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.system_errors import SystemRefused

LONGEST: Final = 16 * 1024  # a private key in PEM has some 3 KiB
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")

Credential = Callable[[], str]  # reads it


class FileCredentials:
    """The credentials in a folder, by their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def file(self, name: str) -> Path:
        """Return where a credential lies. Raises ``SettingInvalid`` for what is not a name."""
        if not _NAME.fullmatch(name):
            raise SettingInvalid(
                "the name of a credential has lower-case letters, digits and hyphens, 60 at most"
            )
        return self._folder / f"{name}.key"

    def has(self, name: str) -> bool:
        """Tell whether it is installed."""
        return self.file(name).is_file()

    def read(self, name: str) -> str:
        """Return a credential.

        Raises ``SettingInvalid`` when it is not installed, when others can read it, or when it is
        not text.
        """
        try:
            with self.file(name).open("rb") as stream:
                status = os.fstat(stream.fileno())
                content = stream.read(LONGEST + 1)
        except FileNotFoundError:
            raise SettingInvalid(
                f"the credential {name} is not installed: run `tenantctl keys system {name}`"
            ) from None
        except OSError as error:
            raise SettingInvalid(
                f"the credential {name} cannot be read ({error.strerror})"
            ) from None
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingInvalid(
                f"the credential {name} can be read by others: run chmod 600 on it, and consider "
                "who may have read it"
            )
        return _text(name, content)

    def install(self, name: str, content: bytes, *, replaces: bool = False) -> None:
        """Keep a credential under a name; an installed one stays unless ``replaces``.

        Raises ``SettingInvalid``.
        """
        text = _text(name, content)
        file = self.file(name)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not replaces:
            try:
                create_once(file, f"{text}\n".encode())
            except FileExistsError:
                raise SettingInvalid(
                    f"the credential {name} is installed already: --replace installs another"
                ) from None
            return
        draft = file.with_name(f"{name}.{os.urandom(8).hex()}.new")
        create_once(draft, f"{text}\n".encode())
        draft.replace(file)


def for_system(system: str, credentials: FileCredentials, name: str) -> Credential:
    """Return what reads a credential when it is used; ``SystemRefused`` says what is wrong."""

    def read() -> str:
        try:
            return credentials.read(name)
        except SettingInvalid as error:
            raise SystemRefused(error.message, system=system, reason="credential") from error

    return read


def _text(name: str, content: bytes) -> str:
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    is_plain = all(line.isprintable() for line in text.splitlines())
    if not text or not is_plain or len(content) > LONGEST:
        raise SettingInvalid(f"the credential {name} is not plain text of at most 16 KiB")
    return text
