"""The home folder of a process: its keys, its work, and the mark that it is the right folder.

Keys are made by a command, never by the process that misses one: a folder that is not mounted, or
was only partly restored, would otherwise start a second installation with keys that nobody knows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from control_plane.adapters.private_files import create_once
from control_plane.domain.errors import SettingInvalid

MARK: Final = ".tenantplane-home"
_MARK_TEXT: Final = b"A home folder of tenantplane, made by `tenantctl keys create`.\n"


class Key(StrEnum):
    """The keys of an installation; each is one file in the folder ``keys``."""

    MASTER = "master"  # passphrases of stacks: the worker
    BUNDLE = "bundle"  # signs Mode C bundles: the worker
    AUDIT = "audit"  # signs the audit logs: the signer
    PAGE = "page"  # marks page tokens: the API
    ONBOARDING = "onboarding"  # makes one-time links: the API and the worker
    ISSUER = "issuer"  # signs access tokens: embedded installations alone


_FILES: Final = {
    Key.MASTER: "master.key",
    Key.BUNDLE: "bundle.key",
    Key.AUDIT: "audit.key",
    Key.PAGE: "page.key",
    Key.ONBOARDING: "onboarding.key",
    Key.ISSUER: "issuer.pem",
}


@dataclass(frozen=True)
class Home:
    """A home folder, by its absolute path; everything that is made in it is only for its user."""

    folder: Path

    def part(self, name: str) -> Path:
        """Return a path inside."""
        return self.folder / name

    def key(self, key: Key) -> Path:
        """Return where a key lies."""
        return self.folder / "keys" / _FILES[key]

    @property
    def is_marked(self) -> bool:
        """Whether `keys create` was run for this folder."""
        return (self.folder / MARK).is_file()

    def make(self) -> None:
        """Make the folder. Raises ``SettingInvalid`` when that is not possible."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise SettingInvalid(
                f"TENANTPLANE_HOME: the folder cannot be created ({error.strerror})"
            ) from None
        self._require_writable()

    def require(self, *, is_written: bool = True) -> None:
        """Raise ``SettingInvalid`` unless this is a folder that `keys create` has made.

        ``is_written`` says that the process works in it; otherwise it may be mounted read-only.
        """
        if not self.is_marked:
            raise SettingInvalid(
                f"TENANTPLANE_HOME: {self.folder} is not a home folder (it has no {MARK}): is the "
                "volume mounted? A new installation creates it with `tenantctl keys create`"
            )
        if is_written:
            self._require_writable()

    def create_keys(self, keys: Iterable[Key]) -> list[Key]:
        """Make the folder, its mark and those of the keys that are missing; returns the new ones.

        Existing keys are kept. Raises ``SettingInvalid``.
        """
        self.make()
        made = []
        self.part("keys").mkdir(mode=0o700, exist_ok=True)
        try:
            for key in keys:
                if not self.key(key).exists():
                    _create(key, self.key(key))
                    made.append(key)
            if not self.is_marked:
                create_once(self.part(MARK), _MARK_TEXT)
        except FileExistsError:
            raise SettingInvalid(
                "another process is creating keys in this folder; try again"
            ) from None
        return made

    def _require_writable(self) -> None:
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise SettingInvalid("TENANTPLANE_HOME: the folder is not writable by this user")


def _create(key: Key, file: Path) -> None:
    """Make one key. What it takes is loaded here: most commands only look where keys lie."""
    from control_plane.adapters.audit.keys import (  # noqa: PLC0415 - see above
        KeyFileUnusable,
        create_key_file,
    )
    from control_plane.adapters.identity.embedded import create_issuer_key  # noqa: PLC0415
    from control_plane.adapters.secrets.files import create_secret  # noqa: PLC0415

    makers: dict[Key, Callable[[Path], object]] = {
        Key.MASTER: create_secret,
        Key.BUNDLE: create_key_file,
        Key.AUDIT: create_key_file,
        Key.PAGE: create_secret,
        Key.ONBOARDING: create_secret,
        Key.ISSUER: create_issuer_key,
    }
    try:
        makers[key](file)
    except KeyFileUnusable as error:
        raise SettingInvalid(str(error)) from error
