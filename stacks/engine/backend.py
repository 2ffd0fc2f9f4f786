"""A stack in its state backend: state, locks and history, read without the engine where possible.

Layout of a ``file://`` backend, from pulumi 3.259.0 (``pkg/backend/diy``), under ``.pulumi``:
``stacks/<project>/<stack>.json[.gz]``, ``locks/organization/<project>/<stack>/<uuid>.json``,
``history/<project>/<stack>/<stack>-<nanoseconds>.history.json``.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stacks.contract import Code, Lock
from stacks.engine.failures import CallFailed

PROJECT = "tenantplane"

_MESSAGE = "tenantplane call "

State = Mapping[str, Any]


@dataclass(frozen=True)
class FileBackend:
    """A stack in a ``file://`` backend."""

    root: Path
    stack: str

    def state(self) -> State | None:
        """Return the stack's deployment with secrets encrypted, None when there is no stack.

        Raises ``CallFailed`` when the file cannot be read as a state.
        """
        document = self._checkpoint()
        if document is None:
            return None
        latest = document.get("checkpoint", {}).get("latest")
        return latest if isinstance(latest, dict) else {}

    def export(self) -> dict[str, Any]:
        """Return what ``pulumi stack export`` prints: the state with its version, encrypted."""
        document = self._checkpoint() or {}
        more: dict[str, Any] = {k: v for k, v in document.items() if k in ("version", "features")}
        return {**more, "deployment": dict(self.state() or {})}

    def _checkpoint(self) -> dict[str, Any] | None:
        folder = self.root / "stacks" / PROJECT
        for name in (f"{self.stack}.json", f"{self.stack}.json.gz"):
            try:
                return _document(folder / name)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                raise CallFailed(
                    Code.BACKEND, "The state of the stack cannot be read from its backend."
                ) from error
        return None

    def locks(self) -> list[Lock]:
        """Return the locks that exist, oldest file first, none of them marked as ours."""
        found = []
        for path in sorted(self._locks().glob("*.json"), key=lambda p: p.name):
            content = _lock_content(path)
            if content is not None:
                found.append(Lock(id=path.stem, ours=False, **content))
        return found

    def break_lock(self, lock_id: str) -> bool:
        """Delete exactly this lock; tell whether it was there."""
        if not lock_id or not set(lock_id) <= set("0123456789abcdef-"):
            raise CallFailed(Code.BAD_REQUEST, f"{lock_id!r} is not the id of a lock.")
        path = self._locks() / f"{lock_id}.json"
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        path.with_name(f"{path.name}.attrs").unlink(missing_ok=True)  # the bucket's own notes
        return True

    def history_digest(self) -> str | None:
        """Return the digest of the newest update's record, None when there was no update."""
        record = self._newest_record()
        if record is None:
            return None
        return "sha256:" + hashlib.sha256(record.read_bytes()).hexdigest()

    def written_by(self) -> str | None:
        """Return the call that made the newest update, if the state is exactly what it left.

        The backend keeps a copy of the state beside the record of each update.
        """
        record = self._newest_record()
        if record is None:
            return None
        try:
            left = _document(record.with_name(record.name.replace(".history.", ".checkpoint.")))
            call_id = call_of_message(str(_document(record).get("message", "")))
        except (OSError, ValueError):
            return None
        return call_id if left.get("checkpoint", {}).get("latest") == self.state() else None

    def _newest_record(self) -> Path | None:
        folder = self.root / "history" / PROJECT / self.stack
        records = [p for p in folder.glob("*.history.json*") if p.suffix in (".json", ".gz")]
        return max(records, key=lambda p: p.name, default=None)

    def _locks(self) -> Path:
        return self.root / "locks" / "organization" / PROJECT / self.stack


def update_message(call_id: str) -> str:
    """Return the message under which an update of a call enters the stack's history."""
    return _MESSAGE + call_id


def call_of_message(message: str) -> str | None:
    """Return the call that an update's message names."""
    return message.removeprefix(_MESSAGE) if message.startswith(_MESSAGE) else None


def file_backend(url: str, stack: str) -> FileBackend | None:
    """Return the stack in a ``file://`` backend, None for backends that only the engine reads."""
    parsed = urllib.parse.urlparse(url)
    if parsed.scheme != "file":
        return None
    path = urllib.parse.unquote(parsed.netloc + parsed.path)
    return FileBackend(root=Path(path).expanduser().absolute() / ".pulumi", stack=stack)


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


def _document(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    document = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
    return document if isinstance(document, dict) else {}


def _lock_content(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None  # released meanwhile
    except (OSError, ValueError):
        return {}  # being written, or damaged: it is a lock nevertheless
    return {
        "pid": content.get("pid"),
        "host": content.get("hostname"),
        "user": content.get("username"),
        "time": content.get("timestamp"),
    }
