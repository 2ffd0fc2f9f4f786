"""A stack in its state backend: a log of records that are only ever added.

The records of a stack are numbered files below ``stacks/<stack>/``. Each is made at the next number
unless that is taken, so of two that write at the same time one is refused, and an update that
somebody has written past can write no more: the number is the fencing token. An update deletes the
records that its last one makes needless, so who takes a stack looks again whether its own is the
newest. There are three kinds:

- ``open``: a call has taken the stack, and which process holds it;
- ``entries``: steps of the engine's journal, recorded before it continues (``journal.py``);
- ``close``: the state that the update has left, which gives the stack back.

Who takes the stack from a dead holder writes the ``close`` that it did not write, with the state
made from its entries.

What a record says of the stack is sealed with the stack's key, so that a copy of it says nothing
once that key is destroyed. One in the open, of an earlier release or written by hand, is read too.

A record is signed with that key, over its number too. One that is not, or was edited, is read as
well, but belongs to no call: nobody can say who has written it.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

from stacks.contract import Code, Lock
from stacks.engine.failures import CallFailed, locked_failure
from stacks.engine.journal import Entry, begins_in_the_cloud, replay
from stacks.engine.sealing import Sealer
from stacks.engine.stores import Store, store_for

PROJECT = "tenantplane"

UPDATES_KEPT = 50  # of a stack: an older state is a thing for a backup

State = Mapping[str, Any]
Record = Mapping[str, Any]
Result = Literal["succeeded", "failed", "canceled", "settled", "broken"]

_SIGNED = re.compile(rb'\{"mac":"([0-9a-f]{64})",')  # how a record begins
_DIGITS = 12
_TRIES = 5
_KEYS = {
    "open": {"call", "time", "key", "host", "pid", "user"},
    "entries": {"call", "opened", "key", "entries"},
    "close": {"call", "time", "key", "state", "result"},
}
_HIDDEN = {"state", "entries"}
HOLDER = {"id", "host", "pid", "user", "time"}


@dataclass(frozen=True)
class Backend:
    """A stack in a store. Every method raises ``CallFailed`` when the store cannot be used.

    ``engine`` is the version of the engine that writes, ``sealer`` has the key of the stack.
    """

    store: Store
    stack: str
    engine: str
    sealer: Sealer

    def state(self) -> State | None:
        """Return the stack's deployment with secrets encrypted, None when there is no stack.

        It is what an update under way has left so far. Raises ``CallFailed`` when the records
        cannot be read, or when the secrets in them were sealed with another key.
        """
        return self._log().state

    def locks(self) -> list[Lock]:
        """Return who holds the stack, if anybody does; nothing says yet whether they live."""
        holder = self._log().holder
        return [] if holder is None else [_lock(*holder)]

    def take(self, call_id: str) -> Update:
        """Take the stack for an update, which ends with this process at the latest.

        Raises ``CallFailed`` when somebody else holds it.
        """
        for _ in range(_TRIES):
            log = self._log()
            if log.holder is not None:
                raise locked_failure([_lock(*log.holder).model_dump(include=HOLDER)])
            record = {
                "record": "open",
                "call": call_id,
                "time": _now(),
                "key": self.sealer.mark,
                "host": os.uname().nodename,
                "pid": os.getpid(),
                "user": _user(),
            }
            if self.add(log.last + 1, record):
                # an update of somebody else may have come and gone, and deleted its records
                if self.newest == log.last + 1:
                    return Update(self, record, opened=log.last + 1, base=log.state)
                self.delete([log.last + 1])
        raise CallFailed(Code.LOCKED, "Others write the stack all the time: try again.")

    def break_lock(self, lock_id: str, *, by: str) -> bool:
        """Take the stack from the holder of exactly this lock; return whether it was held.

        The state is then what the holder's update has left, under the name of its call.
        """
        for _ in range(_TRIES):
            log = self._log()
            if log.holder is None or lock_id != _lock(*log.holder).id:
                return False
            record = self.closed(log.holder[1]["call"], log.state, "broken", by=by)
            if self.add(log.last + 1, record):
                return True
        raise CallFailed(Code.LOCKED, "The holder of the stack is still writing.")

    def closed(
        self, call_id: str | None, state: State | None, result: Result, **more: Any
    ) -> Record:
        """Return the record that gives the stack back."""
        written = {"record": "close", "call": call_id, "time": _now(), "result": result}
        left = self.sealer.resealed(dict(state or {}))
        return {**written, **more, "key": self.sealer.mark, "state": left}

    # --- its history ---------------------------------------------------------------------------
    def history(self) -> tuple[str | None, str | None]:
        """Return the digest of the newest update's record, and its call if it left this state."""
        log = self._log()
        if log.closed is None:
            return None, None
        digest = "sha256:" + hashlib.sha256(_bytes(log.closed)).hexdigest()
        return digest, None if log.holder else log.closed["call"]

    def trim(self, keep: int = UPDATES_KEPT) -> None:
        """Delete the records before the newest ``keep`` states.

        What an update under way has recorded is not counted: its last state stays.
        """
        closed = self._log().closed_at
        ended = [n for n in self.store.names(self._folder) if _number(n) <= closed]
        self.store.delete([f"{self._folder}/{name}" for name in ended[:-keep]])

    def forget(self) -> int:
        """Delete every record; returns how many. The oldest go first.

        So one that is interrupted leaves the newest state, and is repeated.
        """
        names = self.store.names(self._folder)
        self.store.delete([f"{self._folder}/{name}" for name in names])
        return len(names)

    @property
    def newest(self) -> int:
        """The number of the newest record, 0 when there is none."""
        found = self.store.newest(self._folder)
        return 0 if found is None else _number(found[0])

    # --- the records ---------------------------------------------------------------------------
    def add(self, number: int, record: Record) -> bool:
        """Make the record of this number unless there is one; return whether that is ours now."""
        path, content = self._path(number), self._signed(number, record)
        # one whose answer was lost has been made although it seems to be somebody else's
        return self.store.create(path, content) or self.store.read(path) == content

    def read(self, number: int) -> Record | None:
        """Return the record of this number."""
        content = self.store.read(self._path(number))
        return None if content is None else self._record(number, content)

    def delete(self, numbers: Sequence[int]) -> None:
        """Delete records of updates that have ended."""
        self.store.delete([self._path(number) for number in numbers])

    def _log(self) -> _Log:
        for _ in range(_TRIES):
            records = self._records()
            if not records or records[0][0] == 1 or records[0][1]["record"] == "close":
                break
            # the update has ended meanwhile and deleted what it had recorded
        else:
            raise CallFailed(Code.BACKEND, f"Records of the stack {self.stack} are missing.")
        if not all(self.sealer.knows(record["key"]) for _, record in records):
            raise CallFailed(
                Code.PASSPHRASE,
                f"The state of {self.stack} was written with a different key: it is that of a "
                "different stack, or this installation has a different master key.",
            )
        return _Log(engine=self.engine, records=records)

    def _records(self) -> list[tuple[int, Record]]:
        """Return the records from the last state on, as far as they are there."""
        found = self.store.newest(self._folder)
        if found is None:
            return []
        number = _number(found[0])
        record = self._record(number, found[1])
        records = [(number, record)]
        while record["record"] != "close" and number > 1:
            before = self.read(number - 1)
            if before is None:
                break
            number, record = number - 1, before
            records.insert(0, (number, record))
        return records

    def _signed(self, number: int, record: Record) -> bytes:
        hidden = {name: self.sealer.wrap(record[name]) for name in _HIDDEN & record.keys()}
        content = _bytes({**record, **hidden})
        mac = self.sealer.sign(b"%d\n%b" % (number, content))
        return b'{"mac":"%b",%b' % (mac.encode(), content[1:])

    def _record(self, number: int, content: bytes) -> Record:
        try:
            record = _parsed(content)
        except ValueError as error:
            raise _damaged(self._path(number)) from error
        mac = str(record.pop("mac", ""))
        found = _SIGNED.match(content)
        signed = b"%d\n{%b" % (number, content[found.end() :] if found else b"")
        if not self.sealer.has_signed(signed, mac):
            record["call"] = None
        for name in _HIDDEN & record.keys():
            # under another key it stays as it is: ``_log`` says so
            if isinstance(record[name], str) and self.sealer.knows(record["key"]):
                record[name] = self.sealer.unwrap(record[name])
        return record

    def _path(self, number: int) -> str:
        return f"{self._folder}/{number:0{_DIGITS}}.json"

    @property
    def _folder(self) -> str:
        return f"stacks/{self.stack}"


class Update:
    """A stack that is taken. Every write raises ``CallFailed`` once somebody wrote past it."""

    def __init__(
        self, backend: Backend, record: Record, *, opened: int, base: State | None
    ) -> None:
        """``record`` is the one that has taken the stack, ``opened`` its number."""
        self._backend = backend
        self._record = record
        self._call_id = str(record["call"])
        self._opened = opened
        self._base = base
        self._next = opened + 1
        self._entries: list[Entry] = []
        self._unwritten: list[Entry] = []
        self._in_the_cloud: set[int] = set()  # operations
        self.is_open = True

    @property
    def state(self) -> State | None:
        """The state so far."""
        return _replayed(self._base, self._entries, self._backend.engine)

    def record(self, entries: Sequence[Entry]) -> None:
        """Record entries of the journal. Those of a failed attempt are written with the next.

        What is of the state alone waits for what is of the cloud: a resource that stays the same is
        not worth a write, and an update that was planned and then not made leaves no trace.
        """
        self._entries += entries
        self._unwritten += entries
        self._in_the_cloud |= {e["operationID"] for e in entries if begins_in_the_cloud(e)}
        if any(each.get("operationID") in self._in_the_cloud for each in self._unwritten):
            self._write()

    def close(self, result: Result, state: State | None = None) -> None:
        """Give the stack back with the state that the entries say, or with this one."""
        if not self.is_open:
            return
        left = self.state if state is None else state
        self._write(self._backend.closed(self._call_id, left, result, opened=self._opened))
        self.is_open = False
        with suppress(CallFailed):  # they are trimmed later
            self._backend.delete(range(self._opened, self._next - 1))

    def give_back(self) -> None:
        """Give the stack back; an update in which no step began leaves no trace."""
        if not self.is_open:
            return
        if self._in_the_cloud:
            self.close("broken")
            return
        # its number may be somebody else's by now, when the answer to the first try was lost
        opened = self._backend.read(self._opened)
        if opened is not None and opened == self._record:
            self._backend.delete([self._opened])
        self.is_open = False

    def _write(self, closing: Record | None = None) -> None:
        while True:
            record = closing or {
                "record": "entries",
                "call": self._call_id,
                "opened": self._opened,
                "entries": self._unwritten,
                "key": self._backend.sealer.mark,
            }
            if not self._backend.add(self._next, record):
                # one whose answer was lost is this update's, though it says less by now
                record = self._own(self._backend.read(self._next))
            self._next += 1
            if record["record"] == "close":
                return
            self._unwritten = self._unwritten[len(record["entries"]) :]
            if closing is None and not self._unwritten:
                return

    def _own(self, record: Record | None) -> Record:
        """Return a record of this update. Raises unless it is one."""
        if record is None or record.get("opened") != self._opened or (
            record["call"] != self._call_id
        ):  # fmt: skip
            self.is_open = False
            raise CallFailed(Code.LOCKED, "Somebody else has taken over the stack.")
        return record


@dataclass(frozen=True)
class _Log:
    """The newest records of a stack with their numbers, from the last state on."""

    engine: str
    records: Sequence[tuple[int, Record]]

    @property
    def last(self) -> int:
        """The number of the newest record, 0 when there is none."""
        return self.records[-1][0] if self.records else 0

    @property
    def holder(self) -> tuple[int, Record] | None:
        """The record by which the stack was taken, with its number, while it is.

        Its call is None unless all that was recorded since is that call's.
        """
        since = [each for each in self.records if each[1]["record"] != "close"]
        opened = [each for each in since if each[1]["record"] == "open"]
        if not opened or self.records[-1][1]["record"] == "close":
            return None
        number, record = opened[-1]
        is_whole = all(each["call"] is not None for _, each in since)
        return number, record if is_whole else {**record, "call": None}

    @property
    def closed_at(self) -> int:
        """The number of the record with the last state, 0 when there is none."""
        return next((number for number, r in self.records if r["record"] == "close"), 0)

    @property
    def closed(self) -> Record | None:
        """The record with the last state."""
        return next((r for _, r in self.records if r["record"] == "close"), None)

    @cached_property
    def state(self) -> State | None:
        """The last state, with what was recorded since."""
        base = self.closed["state"] if self.closed else None
        entries = [e for _, r in self.records for e in r.get("entries") or ()]
        return _replayed(base, entries, self.engine)


def backend_for(
    url: str, stack: str, *, engine: str, sealer: Sealer, endpoint: str | None = None
) -> Backend:
    """Return the stack in the state backend of this URL; ``endpoint`` as in ``store_for``.

    Raises ``CallFailed`` for a URL that cannot be supported.
    """
    store = store_for(url, endpoint=endpoint)
    return Backend(store=store, stack=stack, engine=engine, sealer=sealer)


def _replayed(base: State | None, entries: Sequence[Entry], engine: str) -> State | None:
    if not entries:
        return base
    try:
        return replay(base, entries, engine=engine)
    except ValueError as error:
        raise CallFailed(
            Code.BACKEND, "The steps that were recorded last do not fit the state before them."
        ) from error


def _lock(number: int, record: Record) -> Lock:
    return Lock(
        id=str(number),
        call_id=record["call"],
        host=record["host"],
        pid=record["pid"],
        user=record["user"],
        time=record["time"],
    )


def _number(name: str) -> int:
    try:
        return int(name.removesuffix(".json"))
    except ValueError as error:
        raise _damaged(name) from error


def _parsed(content: bytes) -> dict[str, Any]:
    """Return a record. Raises ``ValueError`` for what is none."""
    try:
        record: dict[str, Any] = json.loads(content)
        is_whole = _KEYS[record["record"]] <= record.keys()
    except (TypeError, KeyError) as error:
        raise ValueError("not a record") from error
    if not is_whole:
        raise ValueError("not a whole record")
    return record


def _bytes(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _damaged(path: str) -> CallFailed:
    return CallFailed(
        Code.BACKEND,
        f"The record {path} of the state backend is damaged: restore it from a backup.",
    )


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user need not have a name
        return str(os.getuid())
