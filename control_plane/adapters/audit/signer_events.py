"""The events that the signer writes about itself."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.recorder import record_alone
from control_plane.adapters.db.audit_tables import audit_key
from control_plane.domain.actor import system
from control_plane.domain.audit import AuditEvent, Stage
from control_plane.domain.canonical import digest_bytes
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.errors import AuditUnavailable
from control_plane.domain.ids import RANDOM_BYTES, make_id


class SignerEvents:
    """The events that the signer writes about itself, each once."""

    def __init__(self, engine: Engine, key_id: str, public_key: bytes) -> None:
        self._engine = engine
        self._key_id = key_id
        self._public_key = public_key
        self._is_started = False

    def started(self) -> None:
        """Record the start, and the key when it is new; retried until the database answers."""
        if self._is_started:
            return
        try:
            if self._is_new_key():
                self._record(
                    "key.created",
                    {
                        "key_id": self._key_id,
                        "algorithm": "ed25519",
                        "public_key_digest": digest_bytes(self._public_key),
                        "purpose": "audit checkpoints",
                    },
                )
            self._record("log.started", {"key_id": self._key_id})
        except (SQLAlchemyError, AuditUnavailable):
            return  # the tick that follows meets the same trouble and reports it
        self._is_started = True

    def stopped(self) -> bool:
        """Record the end and return whether that was possible."""
        if not self._is_started:
            return False
        try:
            self._record("log.stopped", {"key_id": self._key_id})
        except AuditUnavailable:
            return False
        return True

    def _is_new_key(self) -> bool:
        with self._engine.connect() as connection:
            reading.limit_to(connection, reading.ALL_TREES)
            query = select(audit_key.c.key_id).where(
                audit_key.c.tenant_id == PLATFORM, audit_key.c.key_id == self._key_id
            )
            return connection.execute(query).first() is None

    def _record(self, action: str, data: Mapping[str, Any]) -> None:
        now = datetime.now(UTC)
        event = AuditEvent(
            id=make_id("event", int(now.timestamp() * 1000), secrets.token_bytes(RANDOM_BYTES)),
            tree=PLATFORM,
            action=action,
            stage=Stage.COMPLETED,
            time=now,
            actor=system("signer"),
            targets=(("audit_key", self._key_id),),
            data=data,
        )
        record_alone(self._engine, event)
