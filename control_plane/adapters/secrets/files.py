"""Keys from a master secret in a file that only this user reads."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
import threading
from pathlib import Path

from control_plane.adapters.private_files import create_once
from control_plane.adapters.secrets import derived
from control_plane.domain.errors import SettingInvalid


class FileSecretStore:
    """The port ``SecretStore``: everything is derived from one file (``create_secret``).

    Losing the file means losing the states of all stacks: it belongs in the backup of secrets.
    Raises ``SettingInvalid`` at the first use, as ``read_secret`` does.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.absolute()
        self._lock = threading.Lock()
        self._kept: bytes | None = None

    def passphrase(self, deployment_id: str) -> str:
        """Return the engine's passphrase of a deployment's stack."""
        return derived.passphrase(self._master(), deployment_id)

    def hmac_key(self, deployment_id: str) -> bytes:
        """Return the 32-byte key that hides secrets in a deployment's state digest."""
        return derived.hmac_key(self._master(), deployment_id)

    def _master(self) -> bytes:
        with self._lock:
            if self._kept is None:
                self._kept = read_secret(self._file)
            return self._kept


def create_secret(file: Path) -> None:
    """Make a file with 32 random bytes. Raises ``FileExistsError``: one is never replaced."""
    create_once(file, base64.b64encode(secrets.token_bytes(derived.KEY_BYTES)) + b"\n")


def read_secret(file: Path) -> bytes:
    """Return the 32 bytes of a secret's file.

    Raises ``SettingInvalid`` when it is missing, can be read by others or is not whole.
    """
    try:
        stream = file.open("rb")
    except FileNotFoundError:
        raise SettingInvalid(
            f"there is no {file.name} in {file.parent}: mount the folder or restore its backup; a "
            "new installation makes it with `tenantctl keys create`"
        ) from None
    with stream:
        status = os.fstat(stream.fileno())
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingInvalid(
                f"the secret {file.name} can be read by others: run chmod 600 on it, and consider "
                f"who may have read it"
            )
        if status.st_uid not in {0, os.geteuid()}:
            raise SettingInvalid(f"the secret {file.name} belongs to another user")
        content = stream.read(1024)
    try:
        found = base64.b64decode(content.strip(), validate=True)
    except binascii.Error:
        found = b""
    if len(found) != derived.KEY_BYTES:
        raise SettingInvalid(
            f"the secret {file.name} is incomplete: restore it from its backup; a new one cannot "
            f"decrypt what the old one encrypted"
        )
    return found
