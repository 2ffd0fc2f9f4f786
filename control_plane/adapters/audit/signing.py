"""Signing tree heads under the rule of a witness: never two histories.

Before a head is signed it must be shown to extend the last one that was signed, and it is written
to the signer's own journal, outside the database, before the signature exists. So a database that
was rolled back or rewritten gets no signature, not even for its administrator.
"""

from __future__ import annotations

import base64
import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from control_plane.adapters.audit.merkle import HASH_BYTES, verify_consistency
from control_plane.adapters.audit.note import (
    Checkpoint,
    NoteInvalid,
    Signer,
    VerifierKey,
    open_checkpoint,
)
from control_plane.adapters.private_files import sync_folder

COMPACT_AT_LINES: Final = 20_000


class JournalUnusable(Exception):
    """The signer's journal cannot be used; the sentence says why and what to do."""


class SigningRefused(Exception):
    """A tree head does not extend the last one that was signed. ``origin`` names the tree."""

    def __init__(self, origin: str, why: str) -> None:
        super().__init__(f"{origin}: {why}")
        self.origin = origin
        self.why = why


@dataclass(frozen=True, kw_only=True)
class SigningRequest:
    """A head to be signed and the consistency proof from the last signed one, if there is one."""

    head: Checkpoint
    proof: tuple[bytes, ...] = ()


class SigningJournal:
    """The last signed head of every tree, in a file: one line ``origin size root`` per signature.

    Lines are appended and made durable before the signatures are made. A line that a crash cut off
    was never signed and is dropped. Only one process at a time has it open.
    """

    def __init__(self, path: Path, *, compact_at: int = COMPACT_AT_LINES) -> None:
        """``compact_at`` is how many lines it has at least before it is rewritten."""
        self._path = path
        self._compact_at = compact_at
        self._last: dict[str, Checkpoint] = {}
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise JournalUnusable(
                f"the signing journal {path.name} cannot be opened ({exc.strerror})"
            ) from exc
        try:
            self._lock()
            self._lines = self._read()
            self._compact_if_long()
            sync_folder(path.parent)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the journal back."""
        os.close(self._file)

    def last(self, origin: str) -> Checkpoint | None:
        """Return the head of a tree that was signed last."""
        return self._last.get(origin)

    def append(self, heads: Sequence[Checkpoint]) -> None:
        """Make heads durable, all with one flush."""
        _write(self._file, heads)
        os.fdatasync(self._file)
        self._last.update((head.origin, head) for head in heads)
        self._lines += len(heads)
        if self._compact_if_long():
            sync_folder(self._path.parent)

    def _compact_if_long(self) -> bool:
        """Rewrite the file when most of its lines are of older heads; return whether it was."""
        if self._lines <= max(self._compact_at, 2 * len(self._last)):
            return False
        self._compact()
        self._lines = len(self._last)
        return True

    def _lock(self) -> None:
        """Take the file, unless somebody has it, or replaced it since it was opened."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_current = os.fstat(self._file).st_ino == self._path.stat().st_ino
        except BlockingIOError:
            is_current = False
        if not is_current:
            raise JournalUnusable("another signer uses this journal; stop it first")

    def _read(self) -> int:
        """Load the file, cut off a torn last line and return the number of lines."""
        with os.fdopen(os.dup(self._file), "rb") as file:
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.decode("utf-8", "replace").splitlines()
        for number, line in enumerate(lines, 1):
            head = _parse_line(line)
            if head is None:
                raise JournalUnusable(
                    f"line {number} of the signing journal {self._path.name} is damaged; restore "
                    "the file from a copy, or remove it to trust the newest checkpoint of each tree"
                )
            self._last[head.origin] = head
        os.ftruncate(self._file, len(whole))
        os.lseek(self._file, len(whole), os.SEEK_SET)
        return len(lines)

    def _compact(self) -> None:
        """Rewrite the file with one line per tree, in one step."""
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        fresh = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        _write(fresh, list(self._last.values()))
        os.fsync(fresh)
        fcntl.flock(fresh, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.replace(self._path)
        os.close(self._file)
        self._file = fresh


class CheckpointSigner:
    """Signs heads that extend what it signed before, and nothing else."""

    def __init__(
        self, signer: Signer, journal: SigningJournal, *, earlier: Sequence[bytes] = ()
    ) -> None:
        """``earlier`` are public keys that this signer had before, whose heads it takes over."""
        self._signer = signer
        self._journal = journal
        self._earlier = tuple(earlier)

    def key(self, origin: str) -> VerifierKey:
        """Return the key under the name of a tree."""
        return VerifierKey(name=origin, public_key=self._signer.public_key)

    def keys(self, origin: str) -> list[VerifierKey]:
        """Return the keys under the name of a tree: this one and those before it."""
        earlier = (VerifierKey(name=origin, public_key=item) for item in self._earlier)
        return [self.key(origin), *earlier]

    def last(self, origin: str) -> Checkpoint | None:
        """Return the head of a tree that was signed last."""
        return self._journal.last(origin)

    def adopt(self, note: str, origin: str, proof: tuple[bytes, ...]) -> Checkpoint:
        """Take over a checkpoint that this key signed and the journal does not know.

        That is the case after the journal was lost or the key moved to another machine. Raises
        ``SigningRefused`` for a note of another key or tree, and for one that does not extend what
        the journal knows, as ``proof`` must show.
        """
        try:
            head = open_checkpoint(note, self.keys(origin))
        except NoteInvalid as exc:
            raise SigningRefused(origin, f"its newest checkpoint is not ours: {exc}") from exc
        if head.origin != origin:
            raise SigningRefused(origin, "its newest checkpoint is that of another tree")
        self._check(SigningRequest(head=head, proof=proof))
        self._journal.append([head])
        return head

    def sign(
        self, requests: Sequence[SigningRequest]
    ) -> tuple[dict[str, str], list[SigningRefused]]:
        """Return the signed notes by origin, and what was refused.

        All heads are checked, then journaled with one flush, then signed.
        """
        accepted: list[Checkpoint] = []
        refused: list[SigningRefused] = []
        for request in requests:
            try:
                self._check(request)
            except SigningRefused as refusal:
                refused.append(refusal)
            else:
                accepted.append(request.head)
        if accepted:
            self._journal.append(accepted)
        return {head.origin: head.signed(self._signer) for head in accepted}, refused

    def _check(self, request: SigningRequest) -> None:
        head = request.head
        last = self._journal.last(head.origin)
        if last is None:
            return
        if head.size < last.size:
            raise SigningRefused(
                head.origin, f"it has {head.size} entries, but {last.size} are already signed"
            )
        if not verify_consistency(last.size, head.size, last.root, head.root, request.proof):
            raise SigningRefused(
                head.origin, f"its first {last.size} entries are not the signed ones"
            )


def _write(file: int, heads: Sequence[Checkpoint]) -> None:
    content = "".join(map(_line, heads)).encode()
    while content:
        content = content[os.write(file, content) :]


def _line(head: Checkpoint) -> str:
    return f"{head.origin} {head.size} {base64.b64encode(head.root).decode()}\n"


def _parse_line(line: str) -> Checkpoint | None:
    parts = line.split(" ")
    if len(parts) != 3 or not parts[1].isascii() or not parts[1].isdigit():
        return None
    try:
        root = base64.b64decode(parts[2], validate=True)
    except ValueError:
        return None
    if len(root) != HASH_BYTES:
        return None
    return Checkpoint(origin=parts[0], size=int(parts[1]), root=root)
