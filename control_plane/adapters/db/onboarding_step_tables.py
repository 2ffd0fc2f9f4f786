"""The tables of steps of onboarding and their versions; a column is a field of its dataclass."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table

from control_plane.adapters.db.columns import (
    KEY,
    choice,
    json_object,
    key,
    moment,
    reference,
    words,
)
from control_plane.adapters.db.metadata import metadata
from control_plane.domain.onboarding_step import StepAct, StepStatus

onboarding_step = Table(
    "onboarding_step",
    metadata,
    key(),
    reference("tenant_id", "tenant"),
    Column("key", KEY, nullable=False),
    words("document"),
    choice("status", StepStatus),
    json_object("answers"),
    words("changed_by"),
    moment("changed_at"),
    Column("version", Integer, nullable=False),
    CheckConstraint("jsonb_typeof(answers) = 'object'", name="answers"),
)
Index("uq_onboarding_step_key", onboarding_step.c.tenant_id, onboarding_step.c.key, unique=True)

onboarding_step_version = Table(
    "onboarding_step_version",
    metadata,
    key(),
    reference("step_id", "onboarding_step"),
    reference("tenant_id", "tenant"),
    Column("number", Integer, nullable=False),
    choice("act", StepAct),
    choice("status", StepStatus),
    words("document"),
    json_object("answers"),
    words("made_by"),
    moment("made_at"),
    CheckConstraint(
        "status = CASE act WHEN 'saved' THEN 'saved' WHEN 'completed' THEN 'complete' "
        "WHEN 'reopened' THEN 'reopened' ELSE 'open' END",
        name="leads_to",
    ),
)
Index(
    "uq_onboarding_step_version_number",
    onboarding_step_version.c.step_id,
    onboarding_step_version.c.number,
    unique=True,
)
Index(
    "ix_onboarding_step_version_tenant_id",
    onboarding_step_version.c.tenant_id,
    onboarding_step_version.c.id,
)
