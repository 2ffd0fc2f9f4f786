"""The checks on one log, fed with its checkpoints and entries in sequence.

Nothing here reads a database: what is fed may come from anywhere. The entries are hashed as they
are stored; they are parsed only to check their form.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from control_plane.adapters.audit.merkle import Frontier, leaf_hash
from control_plane.adapters.audit.note import (
    Checkpoint,
    NoteInvalid,
    VerifierKey,
    parse_checkpoint,
    parse_note,
)
from control_plane.adapters.audit.reading import UNSIGNED_LIMIT
from control_plane.adapters.audit.report import Finding, Verdict
from control_plane.adapters.audit.rootleaf import RootLeaves
from control_plane.adapters.audit.sequencer import (
    MAX_HEADER_BYTES,
    SEQ_TIME,
    parse_leniently,
    pointer_keys,
)
from control_plane.domain.audit import AuditEventInvalid, check_body
from control_plane.domain.audit_catalogue import is_known_schema
from control_plane.domain.canonical import NotCanonical, parse_canonical

_LISTED: Final = 10  # findings of one verdict that are listed; the others are counted
_BLOCK: Final = 1024
CLOCKS_DIFFER: Final = timedelta(minutes=5)  # at most, between the hosts of an installation


@dataclass(frozen=True, kw_only=True)
class KeyInForce:
    """A key and the sizes it signs: from ``from_size`` up to, not including, ``to_size``."""

    key: VerifierKey
    from_size: int = 0
    to_size: int | None = None

    def signs(self, size: int) -> bool:
        """Tell whether the key is in force for a checkpoint of that size."""
        return self.from_size <= size and (self.to_size is None or size < self.to_size)


@dataclass(frozen=True, kw_only=True)
class StoredEntry:
    """An entry as it is stored; ``event_id`` and ``leaf`` are what its row claims."""

    idx: int
    event_id: str
    entry: bytes
    leaf: bytes


class Findings:
    """Collects findings; many of one kind are listed partly and counted."""

    def __init__(self) -> None:
        self._listed: list[Finding] = []
        self._counts: Counter[Verdict] = Counter()

    def add(
        self, verdict: Verdict, detail: str, *, idx: int | None = None, size: int | None = None
    ) -> None:
        """Add a finding."""
        self._counts[verdict] += 1
        if self._counts[verdict] <= _LISTED:
            self._listed.append(Finding(verdict=verdict, detail=detail, idx=idx, size=size))

    def result(self) -> list[Finding]:
        """Return what is listed; the last of each kind counts the rest."""
        last = {item.verdict: n for n, item in enumerate(self._listed)}
        return [
            replace(item, more=max(self._counts[item.verdict] - _LISTED, 0))
            if last[item.verdict] == n
            else item
            for n, item in enumerate(self._listed)
        ]


def check_checkpoint(
    note: str, origin: str, keys: Sequence[KeyInForce], size: int | None = None
) -> Checkpoint:
    """Return the head of a note, if it is this log's and a key in force signed it (check 1).

    ``size`` is what its row claims. Raises ``NoteInvalid`` with the reason.
    """
    parsed = parse_note(note)
    head = parse_checkpoint(parsed.text)
    if head.origin != origin:
        raise NoteInvalid("it belongs to another log")
    if size is not None and head.size != size:
        raise NoteInvalid(f"it is stored as size {size} and says {head.size}")
    signed_by = parsed.verified([item.key for item in keys])
    in_force = [item for item in keys if item.key in signed_by and item.signs(head.size)]
    if not in_force:
        raise NoteInvalid("its key was not in force at that size")
    return head


class LogCheck:
    """Walks through the entries of a log and compares with its heads.

    ``heads`` are the valid checkpoints, ``pins`` those that the verifying party brought along. Feed
    every entry to ``add`` in the order of its index, then call ``finish`` once. ``now`` is the time
    of the verifying machine. ``start`` is the end of what was verified before: the first entry is
    the one after it, and no header is checked for what it points back to. ``covered`` is the size
    of the newest checkpoint, where it is not among the heads. ``rooted`` are the heads of this log
    that the root log has, None when there is no root log; ``leaves`` takes the entries of the root
    log itself.
    """

    def __init__(
        self,
        tree: str,
        heads: Iterable[Checkpoint],
        pins: Iterable[Checkpoint],
        findings: Findings,
        *,
        now: datetime,
        start: Frontier | None = None,
        covered: int | None = None,
        rooted: Sequence[Checkpoint] | None = None,
        leaves: RootLeaves | None = None,
    ) -> None:
        self._tree = tree
        self._now = now
        self._heads = sorted(heads, key=lambda head: head.size)
        self._pins = sorted(pins, key=lambda head: head.size)
        self._findings = findings
        self._rooted = rooted
        self._leaves = leaves
        known = [*self._heads, *self._pins, *(rooted or ())]
        self._wanted = sorted({head.size for head in known}, reverse=True)
        self._roots: dict[int, bytes] = {}
        self._frontier = start or Frontier()
        self._is_whole = self._frontier.size == 0
        largest = max((head.size for head in self._heads), default=0)
        self._covered = largest if covered is None else covered
        self._unsigned_at: int | None = None  # the first entry that waits too long for a signature
        self._unrooted_at: int | None = None  # the first that is in no head of the root log so long
        self._in_root = max((head.size for head in rooted or ()), default=0)
        self._block: list[bytes] = []  # leaves that are not in the frontier yet
        self._gap_at: int | None = None
        self._newest: dict[tuple[str, str], int] = {}
        self.entries = 0
        self.next_idx = self._frontier.size
        self.last_seq_time: str | None = None
        self.first_time: str | None = None
        self.last_time: str | None = None

    def add(self, stored: StoredEntry) -> None:
        """Check one entry (checks 3, 6 and 7)."""
        if stored.idx != self.next_idx:
            last = stored.idx - 1
            missing = str(last) if last == self.next_idx else f"{self.next_idx} to {last}"
            self._findings.add(Verdict.GAP, f"entry {missing} is missing", idx=self.next_idx)
            if self._gap_at is None:
                self._gap_at = self.next_idx
        self.next_idx = stored.idx + 1
        self.entries += 1
        leaf = leaf_hash(stored.entry)
        if leaf != stored.leaf:
            self._findings.add(
                Verdict.TAMPERED,
                f"entry {stored.idx} does not have the hash it was logged with",
                idx=stored.idx,
            )
        if self._gap_at is None:
            self._extend(leaf)
        try:
            self._check_form(stored)
        except (NotCanonical, AuditEventInvalid) as exc:
            self._findings.add(Verdict.MALFORMED, f"entry {stored.idx}: {exc}", idx=stored.idx)

    @property
    def frontier(self) -> Frontier:
        """The end of what was added, once it is finished."""
        return self._frontier

    def finish(self) -> bytes | None:
        """Compare all heads (checks 3, 4 and 5); return the root over all entries."""
        self._flush()
        if self._unsigned_at is not None:
            self._findings.add(
                Verdict.UNSIGNED,
                f"entries from {self._unsigned_at} to {self.next_idx - 1} are under no valid "
                f"checkpoint, {_minutes(UNSIGNED_LIMIT)} after they were logged",
                idx=self._unsigned_at,
            )
        matching = [head.size for head in self._heads if self._roots.get(head.size) == head.root]
        largest = max(matching, default=0)
        for head in self._heads:
            if head.size in self._roots and self._roots[head.size] == head.root:
                continue
            self._add_mismatch(head, matching, largest)
        self._compare_rooted(largest)
        for pin in self._pins:
            if self._roots.get(pin.size) != pin.root:
                self._findings.add(
                    Verdict.REWRITTEN,
                    f"before size {pin.size}: the log does not extend the given checkpoint",
                    size=pin.size,
                )
        return self._frontier.root if self.entries and self._gap_at is None else None

    def _compare_rooted(self, largest: int) -> None:
        """Compare with the heads that the root log has of this log."""
        if self._unrooted_at is not None:
            self._findings.add(
                Verdict.UNROOTED,
                f"entries from {self._unrooted_at} to {self._covered - 1} are under no head that "
                f"the root log has, {_minutes(UNSIGNED_LIMIT)} after they were logged",
                idx=self._unrooted_at,
            )
        for head in self._rooted or ():
            found = self._roots.get(head.size)
            if found == head.root or (found is None and self._gap_at is not None):
                continue
            if found is None:
                said = f"the root log has its head of size {head.size}, but the log ends at "
                self._findings.add(Verdict.GAP, f"{said}{self.next_idx}", size=head.size)
            elif head.size <= largest:
                said = f"its head of size {head.size} in the root log contradicts the checkpoint"
                self._findings.add(
                    Verdict.FORKED, f"{said} of size {largest}, and both are signed", size=head.size
                )
            else:
                said = f"entries before {head.size} are not those of its head in the root log"
                self._findings.add(Verdict.TAMPERED, said, size=head.size)

    def _add_mismatch(self, head: Checkpoint, matching: Sequence[int], largest: int) -> None:
        if head.size < largest:
            self._findings.add(
                Verdict.FORKED,
                f"the checkpoint of size {head.size} contradicts that of size {largest}, and both "
                "are signed",
                size=head.size,
            )
            return
        start = max((size for size in matching if size < head.size), default=0)
        missing = "are missing or" if head.size not in self._roots else "are"
        self._findings.add(
            Verdict.TAMPERED,
            f"entries from {start} to {head.size - 1} {missing} not the signed ones",
            size=head.size,
        )

    def _extend(self, leaf: bytes) -> None:
        self._block.append(leaf)
        at = self._frontier.size + len(self._block)
        if self._wanted and at == self._wanted[-1]:
            self._flush()
            self._roots[at] = self._frontier.root
            self._wanted.pop()
        elif len(self._block) >= _BLOCK:
            self._flush()

    def _flush(self) -> None:
        self._frontier = self._frontier.extend(self._block)
        self._block = []

    def _check_form(self, stored: StoredEntry) -> None:
        line, separator, content = stored.entry.partition(b"\n")
        if not separator or len(line) > MAX_HEADER_BYTES:
            raise AuditEventInvalid("header: is missing or too long")
        try:
            body = parse_canonical(content, closed_keys=True)
        except NotCanonical:
            self._expected_prev(stored.idx, parse_leniently(content))  # it is pointed back to
            raise
        expected = self._expected_prev(stored.idx, body)
        header = parse_canonical(line, closed_keys=True)
        if self._leaves is not None:
            self._leaves.add(stored.idx, body, stored.event_id)
            self._check_header(header, stored.idx, {})
            self._check_times(stored.idx, header["seq_time"], header["seq_time"])
            self.first_time = self.first_time or header["seq_time"]
            self.last_time = header["seq_time"]
            return
        check_body(body)
        self._check_event(stored, body)
        self._check_header(header, stored.idx, expected)
        self._check_times(stored.idx, header["seq_time"], body["time"])
        self.first_time = self.first_time or body["time"]
        self.last_time = body["time"]

    def _check_event(self, stored: StoredEntry, body: Any) -> None:
        schema = body["schema"]
        if not is_known_schema(schema["name"], schema["version"], schema["sha256"]):
            raise AuditEventInvalid("schema: no release wrote events of this schema")
        if body["tenant"] != self._tree:
            raise AuditEventInvalid("tenant: the event belongs to another log")
        if body["id"] != stored.event_id:
            raise AuditEventInvalid("id: the row names another event")

    def _expected_prev(self, idx: int, body: Any) -> dict[str, int]:
        keys = pointer_keys(body)
        prev = {kind: self._newest[kind, value] for kind, value in keys.items()
                if (kind, value) in self._newest}  # fmt: skip
        self._newest.update(((kind, value), idx) for kind, value in keys.items())
        return prev

    def _check_header(self, header: Any, idx: int, prev: dict[str, int]) -> None:
        if not isinstance(header, dict) or header.keys() != {"idx", "prev", "seq_time"}:
            raise AuditEventInvalid("header: has missing or unknown keys")
        if header["idx"] != idx:
            raise AuditEventInvalid("header: names another index")
        if header["prev"] != prev and self._gap_at is None and self._is_whole:
            raise AuditEventInvalid("header: points back to the wrong entries")
        if not isinstance(header["seq_time"], str) or not SEQ_TIME.match(header["seq_time"]):
            raise AuditEventInvalid("header: its time is malformed")

    def _check_times(self, idx: int, seq_time: str, time: str) -> None:
        """Compare the times of an entry with the one before, the clock and each other."""
        at = _moment(seq_time)
        if self.last_seq_time is not None and seq_time < self.last_seq_time:
            self._misdated(idx, f"was logged at {seq_time}, before the entry that it follows")
        elif at > self._now + CLOCKS_DIFFER:
            self._misdated(idx, f"was logged at {seq_time}, which is in the future")
        elif _moment(time) > at + CLOCKS_DIFFER:
            self._misdated(idx, f"is dated {time}, after it was logged")
        self.last_seq_time = max(seq_time, self.last_seq_time or "")
        if at >= self._now - UNSIGNED_LIMIT:
            return
        if idx >= self._covered and self._unsigned_at is None:
            self._unsigned_at = idx
        is_unrooted = self._rooted is not None and self._in_root <= idx < self._covered
        if is_unrooted and self._unrooted_at is None:
            self._unrooted_at = idx

    def _misdated(self, idx: int, why: str) -> None:
        self._findings.add(Verdict.MISDATED, f"entry {idx} {why}", idx=idx)


def _moment(text: str) -> datetime:
    """Return a time of the one form that the log has. Raises ``AuditEventInvalid``."""
    try:
        return datetime.fromisoformat(text)
    except ValueError as exc:
        raise AuditEventInvalid("header: its time is invalid") from exc


def _minutes(length: timedelta) -> str:
    return f"{length // timedelta(minutes=1)} minutes"
