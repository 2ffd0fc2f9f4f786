"""The event of a verification by the command line."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Final

from sqlalchemy import Engine

from control_plane.adapters.audit.recorder import record_alone
from control_plane.adapters.audit.report import Report
from control_plane.domain.actor import Actor, ActorKind
from control_plane.domain.audit import AuditEvent, Stage
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.ids import RANDOM_BYTES, make_id

_NAMED: Final = 100


def record_verified(engine: Engine, report: Report, *, user: str, now: datetime) -> None:
    """Record in the platform's log what a verification found, and in which logs.

    ``engine`` is of the application's role, ``user`` the operator's name on this machine. The logs
    that were verified get nothing: one that is missing must stay missing. Raises
    ``AuditUnavailable``.
    """
    bad = [tree for tree in report.trees if not tree.is_ok]
    event = AuditEvent(
        id=make_id("event", int(now.timestamp() * 1000), secrets.token_bytes(RANDOM_BYTES)),
        tree=PLATFORM,
        action="log.verified",
        stage=Stage.FAILED if bad else Stage.COMPLETED,
        time=now,
        actor=Actor(id=f"local:{user}", kind=ActorKind.USER, tenants=("*",)),
        data={
            "count": len(report.trees),
            "verdict": report.verdict,
            "findings": sum(1 + item.more for tree in bad for item in tree.findings),
            "logs": [tree.tree for tree in bad[:_NAMED]],
        },
    )
    record_alone(engine, event)
