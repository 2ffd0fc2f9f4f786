"""Keys from a master secret in a file that only this user reads."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
import threading
from pathlib import Path
from typing import Final

from control_plane.adapters.private_files import create_once
from control_plane.adapters.secrets import derived
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.stack_salt import StackSalt
from control_plane.ports.stores import StackKeys

_ERASED: Final = b"erased"


class FileSecretStore:
    """The port ``SecretStore``: everything is derived from one file (``create_secret``) and from
    the salts of stacks.

    Losing the file means losing the states of all stacks: it belongs in the backup of secrets.
    Raises ``SettingInvalid`` at the first use, as ``read_secret`` does.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.absolute()
        self._lock = threading.Lock()
        self._kept: bytes | None = None

    def stack_keys(self, deployment_id: str, salt: StackSalt | None) -> StackKeys:
        """Return the keys of a deployment's stack; None is one that never had a salt.

        The digest of a state that an earlier release wrote stays what it was.
        """
        master, value = self._master(), _value(salt)
        is_late = salt is not None and salt.is_late
        unsalted = derived.passphrase(master, deployment_id)
        return StackKeys(
            passphrase=derived.passphrase(master, deployment_id, value),
            former=unsalted if salt is not None and is_late and salt.salt is not None else None,
            hmac_key=derived.hmac_key(master, deployment_id, None if is_late else value),
        )

    def hmac_key(self, deployment_id: str) -> bytes:
        """Return the 32-byte key that hides secrets in digests of a deployment's data."""
        return derived.hmac_key(self._master(), deployment_id)

    def _master(self) -> bytes:
        with self._lock:
            if self._kept is None:
                self._kept = read_secret(self._file)
            return self._kept


def _value(salt: StackSalt | None) -> bytes | None:
    if salt is None:
        return None
    # a look at what remains of a removed stack has a key too: one that opens nothing
    return _ERASED if salt.salt is None else salt.salt.encode()


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
