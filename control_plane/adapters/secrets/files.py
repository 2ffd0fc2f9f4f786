"""Keys from a master secret in a file of this user alone."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
import threading
from contextlib import suppress
from pathlib import Path

from control_plane.adapters.secrets import derived
from control_plane.domain.errors import SettingInvalid


class FileSecretStore:
    """The port ``SecretStore``: everything is derived from one file, made at its first use.

    Whoever loses the file loses the states of all stacks: it belongs into the backup of secrets.
    Raises ``SettingInvalid`` at the first use when others can read it, or it is not whole.
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

    def seal(self, content: bytes, *, context: str) -> bytes:
        """Encrypt with authentication; ``context`` is bound."""
        return derived.seal(self._master(), content, context)

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """Decrypt what ``seal`` made with the same context. Raises ``Conflict`` otherwise."""
        return derived.unseal(self._master(), sealed, context)

    def _master(self) -> bytes:
        with self._lock:
            if self._kept is None:
                if not self._file.exists():
                    self._create()
                self._kept = self._read()
            return self._kept

    def _create(self) -> None:
        """Make the file under another name first: of two processes, one wins and both read it."""
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = self._file.with_name(f"{self._file.name}.{secrets.token_hex(8)}")
        file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(file, "wb") as stream:
                stream.write(base64.b64encode(secrets.token_bytes(derived.KEY_BYTES)) + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            with suppress(FileExistsError):
                os.link(made, self._file)
            folder = os.open(self._file.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        finally:
            made.unlink(missing_ok=True)

    def _read(self) -> bytes:
        with self._file.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise SettingInvalid(
                    "the file of the master secret can be read by others: run chmod 600 on it, and"
                    " think of who may have read it"
                )
            if status.st_uid not in {0, os.geteuid()}:
                raise SettingInvalid("the file of the master secret belongs to another user")
            content = stream.read(1024)
        try:
            master = base64.b64decode(content.strip(), validate=True)
        except binascii.Error:
            master = b""
        if len(master) != derived.KEY_BYTES:
            raise SettingInvalid(
                "the file of the master secret is not whole: restore it from its backup; a new one"
                " opens no existing stack"
            )
        return master
