"""A stack in its state backend: state, locks and history, read and written without the engine.

Layout, from pulumi 3.259.0 (``pkg/backend/diy``), below ``.pulumi`` of any store:
``stacks/<project>/<stack>.json[.gz]``, ``locks/organization/<project>/<stack>/<uuid>.json``,
``history/<project>/<stack>/<stack>-<nanoseconds>.history.json`` and the same ``.checkpoint.json``.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stacks.contract import Code, Lock
from stacks.engine.failures import CallFailed
from stacks.engine.stores import Store, store_for

PROJECT = "tenantplane"

UPDATES_KEPT = 50  # of a stack: an older state is a thing for a backup

_ROOT = ".pulumi"
_MESSAGE = "tenantplane call "
_CHECKPOINT_VERSION = 3

State = Mapping[str, Any]


@dataclass(frozen=True)
class Backend:
    """A stack in a store. Every method raises ``CallFailed`` when the store cannot be used."""

    store: Store
    stack: str

    # --- the state -----------------------------------------------------------------------------
    def state(self) -> State | None:
        """Return the stack's deployment with secrets encrypted, None when there is no stack.

        Raises ``CallFailed`` when the file cannot be read as a state.
        """
        found = self._checkpoint()
        if found is None:
            return None
        latest = found[1].get("checkpoint", {}).get("latest")
        return latest if isinstance(latest, dict) else {}

    @property
    def is_laid_out(self) -> bool:
        """Whether the engine has used this store before, and has marked its layout there."""
        return self.store.read(f"{_ROOT}/meta.yaml") is not None

    def create(self) -> None:
        """Make the stack, empty, unless it is there; the store must be laid out."""
        checkpoint = {"stack": f"organization/{PROJECT}/{self.stack}"}
        content = {"version": _CHECKPOINT_VERSION, "checkpoint": checkpoint}
        self.store.create(f"{_ROOT}/stacks/{PROJECT}/{self.stack}.json", _packed("", content))

    def write_state(self, state: State, *, call_id: str) -> None:
        """Replace the stack's state, and sign it in the history as an update of ``call_id``.

        The caller must hold the stack's lock: a process that dies in between leaves a lock that
        says whose the state is. The engine's own ``stack import`` would forget every interrupted
        operation and would leave no trace in the history.
        """
        found = self._checkpoint()
        if found is None:
            raise CallFailed(Code.BACKEND, "The stack does not exist in the state backend.")
        path, document = found
        checkpoint = {**document.get("checkpoint", {}), "latest": dict(state)}
        content = _packed(path, {**document, "checkpoint": checkpoint})
        self.store.write(f"{path}.bak", _packed(path, document))
        self.store.write(path, content)
        now = time.time_ns()
        record = f"{self._history}/{self.stack}-{now}"
        self.store.write(
            f"{record}.checkpoint.json", _packed("", {**document, "checkpoint": checkpoint})
        )
        self.store.write(f"{record}.history.json", _packed("", _update(call_id, now // 10**9)))

    def _checkpoint(self) -> tuple[str, dict[str, Any]] | None:
        for name in (f"{self.stack}.json", f"{self.stack}.json.gz"):
            path = f"{_ROOT}/stacks/{PROJECT}/{name}"
            content = self.store.read(path)
            if content is None:
                continue
            try:
                return path, _document(path, content)
            except (OSError, ValueError, EOFError) as error:
                raise CallFailed(
                    Code.BACKEND, "The state of the stack could not be read from its backend."
                ) from error
        return None

    # --- its locks -----------------------------------------------------------------------------
    def locks(self) -> list[Lock]:
        """Return the locks that exist, sorted by id; nothing says yet whose they are."""
        found = []
        for name in self.store.names(self._locks):
            if not name.endswith(".json"):
                continue
            content = self.store.read(f"{self._locks}/{name}")
            if content is not None:  # None: released meanwhile
                found.append(_lock(name.removesuffix(".json"), content))
        return found

    def put_lock(self, lock: Lock) -> None:
        """Write a lock as the engine does; taking it is the business of ``locks.hold``."""
        content = {
            "pid": lock.pid, "username": lock.user, "hostname": lock.host, "timestamp": lock.time
        }  # fmt: skip
        self.store.write(f"{self._locks}/{lock.id}.json", json.dumps(content).encode())

    def break_lock(self, lock_id: str) -> bool:
        """Delete exactly this lock; return whether it was there."""
        if not lock_id or not set(lock_id) <= set("0123456789abcdef-"):
            raise CallFailed(Code.BAD_REQUEST, f"{lock_id!r} is not a lock id.")
        return self.store.delete(f"{self._locks}/{lock_id}.json")

    @property
    def _locks(self) -> str:
        return f"{_ROOT}/locks/organization/{PROJECT}/{self.stack}"

    # --- its history ---------------------------------------------------------------------------
    def history_digest(self) -> str | None:
        """Return the digest of the newest update's record, None when there was no update."""
        name = self._newest_record()
        content = None if name is None else self.store.read(f"{self._history}/{name}")
        return None if content is None else "sha256:" + hashlib.sha256(content).hexdigest()

    def written_by(self) -> str | None:
        """Return the call that made the newest update, if the state is exactly what it left.

        The backend keeps a copy of the state beside the record of each update.
        """
        name = self._newest_record()
        if name is None:
            return None
        record = self._history_document(name)
        left = self._history_document(name.replace(".history.", ".checkpoint."))
        call_id = call_of_message(str(record.get("message", "")))
        return call_id if left.get("checkpoint", {}).get("latest") == self.state() else None

    def trim_history(self, keep: int = UPDATES_KEPT) -> None:
        """Delete the records of all updates but the newest ``keep``, and their copies of the state.

        The engine deletes none, and reads the newest alone.
        """
        of_updates: dict[str, list[str]] = {}
        for name in self.store.names(self._history):
            update = name.partition(".history.")[0].partition(".checkpoint.")[0]
            of_updates.setdefault(update, []).append(name)
        for update in sorted(of_updates)[:-keep]:
            for name in of_updates[update]:
                self.store.delete(f"{self._history}/{name}")

    def _history_document(self, name: str) -> dict[str, Any]:
        content = self.store.read(f"{self._history}/{name}")
        try:
            return {} if content is None else _document(name, content)
        except (OSError, ValueError, EOFError):
            return {}

    def _newest_record(self) -> str | None:
        names = self.store.names(self._history)
        records = [n for n in names if n.endswith((".history.json", ".history.json.gz"))]
        return max(records, default=None)

    @property
    def _history(self) -> str:
        return f"{_ROOT}/history/{PROJECT}/{self.stack}"


def backend_for(url: str, stack: str, *, endpoint: str | None = None) -> Backend:
    """Return the stack in the state backend of this URL; ``endpoint`` as in ``store_for``.

    Raises ``CallFailed`` for a URL that cannot be supported.
    """
    return Backend(store=store_for(url, endpoint=endpoint), stack=stack)


def update_message(call_id: str) -> str:
    """Return the message under which an update of a call enters the stack's history."""
    return _MESSAGE + call_id


def call_of_message(message: str) -> str | None:
    """Return the call that an update's message names."""
    return message.removeprefix(_MESSAGE) if message.startswith(_MESSAGE) else None


def engine_url(url: str) -> str:
    """Return the backend's URL as the engine gets it.

    A ``file://`` backend keeps notes beside each file (``<name>.attrs``) that nobody needs, and
    writes them in place: killed at that moment the engine leaves an empty one, and then cannot read
    the state beside it ("failed to load checkpoint: EOF"). So it keeps none.
    """
    parsed = urllib.parse.urlparse(url)
    if parsed.scheme != "file":
        return url
    options = dict(urllib.parse.parse_qsl(parsed.query)) | {"metadata": "skip"}
    return parsed._replace(query=urllib.parse.urlencode(options)).geturl()


def salt_of(state: State | None) -> str | None:
    """Return the passphrase salt that a state was encrypted with."""
    provider = (state or {}).get("secrets_providers") or {}
    if provider.get("type") != "passphrase":
        return None
    salt = (provider.get("state") or {}).get("salt")
    return salt if isinstance(salt, str) else None


def _update(call_id: str, seconds: int) -> dict[str, Any]:
    """Return a record of the history, of the kind that the engine writes for an import."""
    return {
        "kind": "resource-import",
        "startTime": seconds,
        "message": update_message(call_id),
        "environment": {},
        "config": {},
        "version": 0,
        "result": "succeeded",
        "endTime": seconds,
        "resourceChanges": {},
    }


def _document(name: str, content: bytes) -> dict[str, Any]:
    document = json.loads(gzip.decompress(content) if name.endswith(".gz") else content)
    return document if isinstance(document, dict) else {}


def _packed(name: str, document: Mapping[str, Any]) -> bytes:
    content = json.dumps(document, ensure_ascii=False).encode()
    return gzip.compress(content) if name.endswith(".gz") else content


def _lock(lock_id: str, content: bytes) -> Lock:
    try:
        fields = json.loads(content)
        return Lock(
            id=lock_id,
            host=fields.get("hostname"),
            pid=fields.get("pid"),
            user=fields.get("username"),
            time=fields.get("timestamp"),
        )
    except (ValueError, AttributeError):  # being written, or damaged: it is a lock nevertheless
        return Lock(id=lock_id)
