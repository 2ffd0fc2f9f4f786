"""Tables of journeys. As in ``tables.py``, a column is a field of the domain's dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, UniqueConstraint, text

from control_plane.adapters.db.columns import (
    Converted,
    choice,
    json_object,
    key,
    moment,
    one_of,
    quoted,
    reference,
    words,
)
from control_plane.adapters.db.metadata import metadata
from control_plane.domain.actions import OWNERS
from control_plane.domain.cause import Cause
from control_plane.domain.journey import ENDED, MOVING, JourneyStatus, StepStatus
from control_plane.domain.playbook import StepKind
from control_plane.domain.task import TaskStatus


def _kept(anchors: Mapping[str, datetime]) -> dict[str, str]:
    return {name: instant.isoformat() for name, instant in anchors.items()}


def _read(anchors: Mapping[str, Any]) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(instant) for name, instant in anchors.items()}


playbook_document = Table(
    "playbook_document",
    metadata,
    key(),
    words("key"),
    Column("version", Integer, nullable=False),
    json_object("content"),
    moment("kept_at"),
)

journey = Table(
    "journey",
    metadata,
    key(),
    reference("tenant_id", "tenant"),
    reference("contract_ref", "contract"),
    words("playbook_key"),
    Column("playbook_version", Integer, nullable=False),
    reference("playbook_digest", "playbook_document"),
    choice("status", JourneyStatus),
    Column("anchors", Converted(_kept, _read), nullable=False),
    words("reason", nullable=True),
    Column("turn", Integer, nullable=False),
    moment("started_at"),
    moment("ended_at", nullable=True),
    moment("updated_at"),
    Column("version", Integer, nullable=False),
    UniqueConstraint("contract_ref", "playbook_key"),
    CheckConstraint(f"(status IN ({quoted(MOVING)})) = (ended_at IS NULL)", name="ended"),
    CheckConstraint(
        "status NOT IN ('canceled', 'canceling') OR reason IS NOT NULL",
        name="canceled_for_a_reason",
    ),
)
Index("ix_journey_tenant_id", journey.c.tenant_id, journey.c.id)
Index("ix_journey_status", journey.c.status, journey.c.id)
Index("ix_journey_playbook_digest", journey.c.playbook_digest)

_ENDED: Final = quoted(ENDED)
journey_step = Table(
    "journey_step",
    metadata,
    key(),
    reference("journey_id", "journey"),
    reference("tenant_id", "tenant"),
    words("key"),
    choice("kind", StepKind),
    words("owner"),
    Column("round", Integer, nullable=False),
    choice("status", StepStatus),
    words("outcome", nullable=True),
    words("reason", nullable=True),
    moment("due_at", nullable=True),
    moment("wakes_at", nullable=True),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    moment("tried_at", nullable=True),
    json_object("error", nullable=True),
    json_object("result"),
    moment("started_at", nullable=True),
    moment("ended_at", nullable=True),
    moment("undone_at", nullable=True),
    moment("updated_at"),
    Column("version", Integer, nullable=False),
    UniqueConstraint("journey_id", "key"),
    one_of("owner", OWNERS),
    CheckConstraint(f"(status IN ({_ENDED})) = (ended_at IS NOT NULL)", name="ended"),
    CheckConstraint("status <> 'failed' OR error IS NOT NULL", name="failed_with_its_error"),
    CheckConstraint("status <> 'skipped' OR reason IS NOT NULL", name="skipped_for_a_reason"),
    CheckConstraint("status <> 'scheduled' OR wakes_at IS NOT NULL", name="scheduled_for_a_time"),
    CheckConstraint(
        "tried_at IS NULL OR status IN ('canceled', 'done', 'working')", name="tried_at_work"
    ),
    CheckConstraint("undone_at IS NULL OR status IN ('canceled', 'done')", name="undone_if_done"),
    CheckConstraint("round > 0 AND attempts >= 0 AND failures >= 0", name="counted"),
)
Index("ix_journey_step_tenant_id", journey_step.c.tenant_id)
STEP_IS_OPEN: Final = text(f"status NOT IN ({_ENDED}) AND due_at IS NOT NULL")
Index(
    "ix_journey_step_due_at",
    journey_step.c.due_at,
    journey_step.c.journey_id,
    postgresql_where=STEP_IS_OPEN,
)

task = Table(
    "task",
    metadata,
    key(),
    reference("tenant_id", "tenant", nullable=True),
    words("about_kind"),
    words("about_id"),
    words("owner"),
    words("assignee", nullable=True),
    words("title"),
    words("instructions"),
    moment("due_at", nullable=True),
    choice("status", TaskStatus),
    json_object("answer", nullable=True),
    Column("cause", Converted(Cause.to_document, Cause.from_document), nullable=True),
    words("dedupe_key"),
    moment("created_at"),
    moment("ended_at", nullable=True),
    words("ended_by", nullable=True),
    Column("version", Integer, nullable=False),
    one_of("owner", OWNERS),
    CheckConstraint("(status = 'open') = (ended_at IS NULL)", name="ended"),
    CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name="ended_by_somebody"),
)
Index(
    "uq_task_one_is_open",
    task.c.dedupe_key,
    unique=True,
    postgresql_where=text("status = 'open'"),
)
Index(
    "ix_task_due_at",
    task.c.due_at,
    task.c.id,
    postgresql_where=text("status = 'open' AND due_at IS NOT NULL"),
)
Index("ix_task_tenant_id", task.c.tenant_id, task.c.id)
Index("ix_task_status", task.c.status, task.c.owner, task.c.id)
Index("ix_task_about_id", task.c.about_id, task.c.id)
