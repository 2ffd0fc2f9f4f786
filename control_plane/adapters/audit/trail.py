"""The port ``Trail``: the audit log as workflows and the API read it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.keys import load_public_key
from control_plane.adapters.audit.verify import verify
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.errors import NotFound

SETTLE_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05


class SqlTrail:
    """Reads as the auditor role: row level security shows only the tree that is asked for."""

    def __init__(self, engine: Engine, *, host: str, public_key: Path) -> None:
        """``public_key`` is the signer's public key file: not the database's word for it."""
        self._engine = engine
        self._host = host
        self._public_key = public_key

    @contextmanager
    def _on(self, *trees: str) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            reading.limit_to(connection, trees)
            yield connection

    def first_fault(self, tree: str | None) -> str:
        """Verify a tree, once what is committed is signed; returns the first fault, or ''."""
        name = tree or PLATFORM
        deadline = time.monotonic() + SETTLE_SECONDS
        while not self._is_settled(name):
            if time.monotonic() > deadline:
                return "events wait for the sequencer or the signer"
            time.sleep(_POLL_SECONDS)
        keys = [load_public_key(self._public_key)] if self._public_key.exists() else None
        (report,) = verify(self._engine, host=self._host, trees=[name], public_keys=keys).trees
        return "; ".join(f"{f.verdict}: {f.detail}" for f in report.findings[:1])

    def _is_settled(self, tree: str) -> bool:
        with self._on(tree) as connection:
            return reading.is_settled(connection, tree)

    def is_behind(self) -> str:
        """Return why mutations must wait, or ''."""
        with self._on(*reading.ALL_TREES) as connection:
            return reading.freshness(connection).problem() or ""

    def events(
        self, tree: str, *, after: int, limit: int, action: str | None
    ) -> Sequence[dict[str, Any]]:
        """Return {idx, leaf, header, body, is_covered} of entries with ``idx >= after``."""
        position = after - 1 if after > 0 else None
        with self._on(tree) as connection:
            page = reading.events_page(connection, tree, after=position, limit=limit, action=action)
        return [_as_json(event) for event in page.events]

    def checkpoint(self, tree: str) -> str | None:
        """Return the newest checkpoint note, or None."""
        with self._on(tree) as connection:
            newest = reading.newest_checkpoint(connection, tree)
        return None if newest is None else newest.note

    def proof(self, tree: str, idx: int) -> dict[str, Any]:
        """Return an inclusion proof under the newest checkpoint. Raises ``NotFound``."""
        with self._on(tree) as connection:
            proof = reading.inclusion(connection, tree, idx)
        if proof is None:
            raise NotFound("no checkpoint covers this entry yet")
        return {
            "idx": proof.idx,
            "size": proof.size,
            "leaf": proof.leaf.hex(),
            "hashes": [base64.b64encode(item).decode() for item in proof.hashes],
            "checkpoint": proof.checkpoint.note,
        }

    def tile(self, tree: str, path: str) -> bytes:
        """Return the bytes of a tlog-tiles path. Raises ``NotFound``."""
        with self._on(tree) as connection:
            content = reading.tile(connection, tree, path)
        if content is None:
            raise NotFound("there is no such tile")
        return content


def _as_json(event: reading.LoggedEvent) -> dict[str, Any]:
    return {
        "idx": event.idx,
        "leaf": event.leaf.hex(),
        "header": dict(event.header),
        "body": dict(event.body) if event.body is not None else None,
        "is_covered": event.is_covered,
    }
