"""A new signing key for all logs: announced under the old one, then in force from a size on.

The event that names the new key is in the platform's log, under a checkpoint of the old key. Then
one transaction ends the old key of each log after its newest checkpoint and puts the new one into
force, and only then the files change places. Whatever dies between any two steps is taken up by the
next start: what the database says is in force decides.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Engine, Text, func, literal, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.given import rows_given
from control_plane.adapters.audit.keys import (
    KeyFileSigner,
    KeyFileUnusable,
    create_key_file,
    load_key_file,
    load_public_key,
    public_key_path,
    retired_key_path,
)
from control_plane.adapters.audit.note import VerifierKey, tree_origin
from control_plane.adapters.audit.recorder import SqlAuditLog
from control_plane.adapters.db.audit_tables import (
    audit_checkpoint,
    audit_entry,
    audit_key,
    audit_pending,
)
from control_plane.adapters.private_files import create_once, sync_folder
from control_plane.domain.actor import Actor, ActorKind, system
from control_plane.domain.audit import AuditEvent, Stage, event_uuid
from control_plane.domain.canonical import digest_bytes
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.errors import AuditUnavailable
from control_plane.domain.ids import make_id

PURPOSE: Final = "audit checkpoints"
_PUBLIC_MODE: Final = 0o644


def next_key_path(path: Path) -> Path:
    """Return where the key lies that is to replace the key file ``path``."""
    return path.with_name(path.name + ".next")


def _order_path(path: Path) -> Path:
    return path.with_name(path.name + ".next.json")


@dataclass(frozen=True, kw_only=True)
class Order:
    """Who asked for a rotation, and whether the old key is in somebody else's hands."""

    user: str
    is_compromised: bool = False


def order_rotation(path: Path, order: Order) -> KeyFileSigner:
    """Make the key that replaces ``path``; the signer takes it at its next start.

    Raises ``KeyFileUnusable`` for a key file that is missing, and when one waits already.
    """
    load_key_file(path)
    if next_key_path(path).exists():
        raise KeyFileUnusable(
            f"{next_key_path(path).name} waits already: restart the signer to put it into force"
        )
    content = json.dumps({"user": order.user, "is_compromised": order.is_compromised})
    _order_path(path).unlink(missing_ok=True)  # of an order that ended before it made the key
    create_once(_order_path(path), content.encode())
    return create_key_file(next_key_path(path))


def finish_swap(path: Path) -> None:
    """Finish a change of files that a crash cut off: the new key is in its place already."""
    draft = public_key_path(next_key_path(path))
    if draft.exists() and path.exists() and not next_key_path(path).exists():
        draft.replace(public_key_path(path))
        _order_path(path).unlink(missing_ok=True)
        sync_folder(path.parent)


def waiting_rotation(engine: Engine, path: Path, old: KeyFileSigner, host: str) -> Rotation | None:
    """Return the rotation that somebody asked for. Raises ``KeyFileUnusable``."""
    if not next_key_path(path).exists():
        return None
    try:
        said = json.loads(_order_path(path).read_text(encoding="utf-8"))
        order = Order(user=str(said["user"]), is_compromised=bool(said["is_compromised"]))
    except (OSError, ValueError, KeyError, TypeError):
        order = Order(user="unknown")
    return Rotation(engine, path, old, load_key_file(next_key_path(path)), host, order)


class Rotation:
    """A rotation that is under way; ``step`` is called before each tick."""

    def __init__(
        self,
        engine: Engine,
        path: Path,
        old: KeyFileSigner,
        new: KeyFileSigner,
        host: str,
        order: Order,
    ) -> None:
        self._engine = engine
        self._path = path
        self._old = old
        self._new = new
        self._host = host
        self._order = order

    def step(self) -> bool:
        """Do what is next, and tell whether the new key is in its place now.

        Between two calls the signer ticks with the old key. Without a database nothing happens.
        """
        try:
            with self._engine.begin() as connection:
                in_force = self._in_force(connection)
                if self._vkey(self._new, PLATFORM) not in in_force:
                    is_ours = self._vkey(self._old, PLATFORM) in in_force
                    if in_force and not (is_ours and self._is_announced(connection)):
                        return False  # not yet, or these are logs of another key
                    self._put_into_force(connection)
        except (SQLAlchemyError, AuditUnavailable):
            return False
        self._swap()
        return True

    def _vkey(self, key: KeyFileSigner, tree: str) -> str:
        name = tree_origin(self._host, tree)
        return str(VerifierKey(name=name, public_key=key.public_key))

    def _key_id(self, key: KeyFileSigner) -> str:
        name = tree_origin(self._host, PLATFORM)
        return VerifierKey(name=name, public_key=key.public_key).id.hex()

    def _in_force(self, connection: Connection) -> set[str]:
        query = select(audit_key.c.vkey).where(
            audit_key.c.tenant_id == PLATFORM, audit_key.c.to_size.is_(None)
        )
        return set(connection.execute(query).scalars())

    def _is_announced(self, connection: Connection) -> bool:
        """Tell whether a checkpoint covers the event; record it where it is missing.

        Its id follows from both keys, so that it is there once whatever crashed.
        """
        event = self._rotated()
        key = event_uuid(event.id)
        idx = connection.execute(
            select(audit_entry.c.idx).where(audit_entry.c.event_id == key)
        ).scalar_one_or_none()
        if idx is not None:
            covering = reading.newest_checkpoint(connection, PLATFORM, at_least=idx + 1)
            return covering is not None
        is_waiting = select(audit_pending.c.id).where(audit_pending.c.event_id == key)
        if connection.execute(is_waiting).first() is None:
            SqlAuditLog(connection).record(event)
        return False

    def _put_into_force(self, connection: Connection) -> None:
        """End the old key of each log after its newest checkpoint; the new one signs from there."""
        newest = (
            select(audit_checkpoint.c.size)
            .where(audit_checkpoint.c.tenant_id == audit_key.c.tenant_id)
            .order_by(audit_checkpoint.c.size.desc())
            .limit(1)
            .lateral("newest")
        )
        query = (
            select(audit_key.c.tenant_id, audit_key.c.vkey, func.coalesce(newest.c.size, 0) + 1)
            .select_from(audit_key.outerjoin(newest, true()))
            .where(audit_key.c.to_size.is_(None))
        )
        rows = [
            (tree, vkey, size)
            for tree, vkey, size in connection.execute(query)
            if vkey == self._vkey(self._old, tree)
        ]
        if rows:
            self._end_and_begin(connection, rows)
        if self._order.is_compromised:
            SqlAuditLog(connection).record(self._revoked())

    def _end_and_begin(self, connection: Connection, rows: Sequence[tuple[str, str, int]]) -> None:
        ended = rows_given(rows, tree=Text, vkey=Text, size=BigInteger)
        values: dict[str, Any] = {"to_size": ended.c.size}
        if self._order.is_compromised:
            values["reason"] = "revoked"
        connection.execute(
            update(audit_key)
            .where(audit_key.c.tenant_id == ended.c.tree, audit_key.c.vkey == ended.c.vkey)
            .values(values)
        )
        begun = []
        for tree, _, size in rows:
            name = tree_origin(self._host, tree)
            key = VerifierKey(name=name, public_key=self._new.public_key)
            begun.append((tree, name, key.id.hex(), str(key), size))
        named = rows_given(begun, tree=Text, name=Text, id=Text, vkey=Text, size=BigInteger)
        columns = ["tenant_id", "key_name", "key_id", "vkey", "from_size", "reason"]
        chosen = select(*(named.c[each] for each in ("tree", "name", "id", "vkey", "size")),
                        literal("rotated"))  # fmt: skip
        connection.execute(insert(audit_key).from_select(columns, chosen))

    def _rotated(self) -> AuditEvent:
        made = next_key_path(self._path).stat().st_mtime
        actor = system("signer")
        if self._order.user != "unknown":
            actor = Actor(id=f"local:{self._order.user}", kind=ActorKind.USER, tenants=("*",))
        return self._event(
            "key.rotated", made, actor,
            {"key_id": self._key_id(self._old), "new_key_id": self._key_id(self._new),
             "public_key_digest": digest_bytes(self._new.public_key), "purpose": PURPOSE},
        )  # fmt: skip

    def _revoked(self) -> AuditEvent:
        now = datetime.now(UTC).timestamp()
        data = {"key_id": self._key_id(self._old), "purpose": PURPOSE}
        return self._event("key.revoked", now, system("signer"), data)

    def _event(self, action: str, at: float, actor: Actor, data: Mapping[str, Any]) -> AuditEvent:
        keys = action.encode() + self._old.public_key + self._new.public_key
        return AuditEvent(
            id=make_id("event", int(at * 1000), hashlib.sha256(keys).digest()[:10]),
            tree=PLATFORM,
            action=action,
            stage=Stage.COMPLETED,
            time=datetime.fromtimestamp(at, UTC),
            actor=actor,
            targets=(("audit_key", str(data["key_id"])),),
            data=data,
        )

    def _swap(self) -> None:
        """Put the new files into their places; the old private key is gone then."""
        public = public_key_path(self._path)
        if load_public_key(public) == self._old.public_key:
            retired = retired_key_path(self._path, self._old.public_key)
            if not retired.exists():
                create_once(retired, public.read_bytes(), _PUBLIC_MODE)
        next_key_path(self._path).replace(self._path)
        sync_folder(self._path.parent)
        finish_swap(self._path)
