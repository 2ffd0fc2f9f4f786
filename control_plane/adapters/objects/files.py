"""Objects as files of one folder."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from control_plane.adapters.objects.keys import check_key
from control_plane.adapters.private_files import sync_folder
from control_plane.domain.errors import Conflict, NotFound, Unavailable


class FileObjectStore:
    """The port ``ObjectStore``: files of mode 0600 in folders of mode 0700; ``folder`` must exist.

    A file appears under its name when all its bytes are on disk; after a power cut it is there
    whole or not at all.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def put(self, key: str, content: bytes) -> None:
        """Store durably; an existing key with other content is refused with ``Conflict``."""
        path = self._path(key)
        with self._available():
            self._put(path, content)

    def _put(self, path: Path, content: bytes) -> None:
        self._make_folder(path.parent)
        written = path.with_name(f".{secrets.token_hex(8)}.part")  # no key starts with a dot
        try:
            _write(written, content)
            with self._one_writer():
                if not path.exists():
                    written.replace(path)
                    sync_folder(path.parent)
                elif path.read_bytes() != content:
                    raise Conflict(
                        "an object with this key and other content already exists",
                        constraint="object",
                    )
        finally:
            written.unlink(missing_ok=True)

    def get(self, key: str) -> bytes:
        """Return the content. Raises ``NotFound``."""
        path = self._path(key)
        with self._available():
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                if self._folder.is_dir():
                    raise NotFound("object not found") from None
                raise

    def remove(self, key: str) -> None:
        """Remove the object, if there is one."""
        path = self._path(key)
        with self._available():
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / check_key(key)

    @contextmanager
    def _available(self) -> Iterator[None]:
        """Turn what a disk or a missing volume raises into a sentence; it may pass."""
        try:
            yield
        except OSError as error:
            raise Unavailable(f"the object store is unavailable: {error.strerror}") from error

    def _make_folder(self, folder: Path) -> None:
        missing = [folder]
        while missing[-1].parent != self._folder and not missing[-1].parent.exists():
            missing.append(missing[-1].parent)
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
            sync_folder(path.parent)

    @contextmanager
    def _one_writer(self) -> Iterator[None]:
        lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _write(path: Path, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
