"""The memory of the emulated cloud: a journal of requests, repeated at the next start.

File format, one JSON object a line. Line 1 is the header: format, moto version, account. Every
other line is one request that changed something: number, time (Unix seconds), seed, private keys
generated, status and digest of the answer, the request itself (WSGI environment, body in base64).
A line is on the disk before its request is answered, so a torn last line was never acknowledged.

The journal holds secrets and keys of the emulated cloud in clear: the file has mode 0600.
Nothing compacts it; a reset of the cloud is an entry like any other.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import Any

FORMAT = 1


class JournalLocked(Exception):
    """Another process has the journal open."""


class JournalUnusable(Exception):
    """The file is damaged, or was written by another version or for another account."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One request that changed the cloud, and what is needed to repeat it."""

    number: int
    time: float
    seed: str
    keys: tuple[str, ...]
    status: str
    answer: str
    environ: Mapping[str, Any]
    body: bytes

    def to_line(self) -> bytes:
        """Return the entry as a line of the journal."""
        document = {
            "n": self.number,
            "t": self.time,
            "r": self.seed,
            "k": self.keys,
            "s": self.status,
            "h": self.answer,
            "e": self.environ,
            "b": base64.b64encode(self.body).decode(),
        }
        return json.dumps(document, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Entry:
        """Read a line. Raises ValueError when it is not a whole entry."""
        if not line.endswith(b"\n"):
            raise ValueError("the line is incomplete")
        document = json.loads(line)
        try:
            return cls(
                number=int(document["n"]),
                time=float(document["t"]),
                seed=str(document["r"]),
                keys=tuple(document["k"]),
                status=str(document["s"]),
                answer=str(document["h"]),
                environ=document["e"],
                body=base64.b64decode(document["b"], validate=True),
            )
        except (KeyError, TypeError, binascii.Error) as error:
            raise ValueError("the line is not an entry") from error


class Journal:
    """An open, locked journal file. Read all entries first, then append."""

    def __init__(self, path: Path, *, moto_version: str, account: str) -> None:
        """Open or create the file.

        Raises:
            JournalLocked: another process has it open.
            JournalUnusable: its header is not the one expected, or the file cannot be opened.
        """
        self.path = path
        self._header = {"format": FORMAT, "moto": moto_version, "account": account}
        self._file = self._open_locked()
        try:
            self._check_header()
        except BaseException:
            self._file.close()
            raise

    def _open_locked(self) -> BufferedRandom:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise JournalUnusable(
                f"The journal {self.path} cannot be opened ({error.strerror}): "
                "name a file in a writable folder."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise JournalLocked(
                f"The journal {self.path} is in use by another emulated cloud: "
                "stop that one or name another journal."
            ) from error
        return os.fdopen(descriptor, "r+b")

    def _check_header(self) -> None:
        line = self._file.readline()
        header = json.dumps(self._header).encode() + b"\n"
        if line != header and header.startswith(line):  # new, or its very first write was torn
            self._file.truncate(0)
            self._write(header)
            return
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if found != self._header:
            raise JournalUnusable(
                f"The journal {self.path} was not written by this version and account "
                f"(it says {line[:120].decode(errors='replace').strip()}): "
                "move it away to start with an empty cloud."
            )

    def entries(self) -> Iterator[Entry]:
        """Yield every entry from the first; cut a torn last line off.

        Raises:
            JournalUnusable: a line that is not the last one is damaged. Nothing is cut then.
        """
        self._file.seek(0)
        end = len(self._file.readline())
        self._file.seek(end)
        number = 1
        while line := self._file.readline():
            number += 1
            try:
                entry = Entry.from_line(line)
            except ValueError as error:
                if self._file.read(1):
                    raise JournalUnusable(
                        f"Line {number} of the journal {self.path} is damaged: restore the file "
                        "from a copy, or move it away to start with an empty cloud."
                    ) from error
                break
            end += len(line)
            yield entry
        self._file.seek(end)
        self._file.truncate()

    def append(self, entry: Entry) -> None:
        """Write an entry and wait until it is on the disk."""
        self._write(entry.to_line())

    def _write(self, line: bytes) -> None:
        self._file.seek(0, os.SEEK_END)
        self._file.write(line)
        self._file.flush()
        # macOS has no fdatasync
        getattr(os, "fdatasync", os.fsync)(self._file.fileno())

    def close(self) -> None:
        """Give up the lock."""
        self._file.close()
