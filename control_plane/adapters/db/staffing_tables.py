"""The tables of assignments and meetings; a column is a field of the domain's dataclass."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, Table, text

from control_plane.adapters.db.columns import (
    Converted,
    choice,
    documents,
    json_list,
    key,
    moment,
    reference,
    words,
)
from control_plane.adapters.db.metadata import metadata
from control_plane.domain.cause import Cause
from control_plane.domain.invitation import MeetingStatus, Participant
from control_plane.domain.team import TeamRole

assignment = Table(
    "assignment",
    metadata,
    key(),
    reference("tenant_id", "tenant"),
    choice("role", TeamRole),
    words("person_key"),
    words("segment"),
    Column("weight", Integer, nullable=False),
    Column("capacity", Integer, nullable=False),
    Column("is_queue_owner", Boolean, nullable=False),
    words("reason"),
    json_list("explanation"),
    Column("cause", Converted(Cause.to_document, Cause.from_document), nullable=True),
    reference("previous_id", "assignment", nullable=True),
    words("assigned_by"),
    moment("since"),
    moment("until", nullable=True),
    words("ended_by", nullable=True),
    words("end_reason", nullable=True),
    Column("version", Integer, nullable=False),
    CheckConstraint("weight > 0 AND capacity > 0", name="points"),
    CheckConstraint("num_nulls(until, ended_by, end_reason) IN (0, 3)", name="ended_by_somebody"),
    CheckConstraint("until IS NULL OR until >= since", name="ends_after_its_start"),
)
Index(
    "uq_assignment_one_is_open",
    assignment.c.tenant_id,
    assignment.c.role,
    unique=True,
    postgresql_where=text("until IS NULL"),
)
Index("ix_assignment_tenant_id", assignment.c.tenant_id, assignment.c.id)
Index("ix_assignment_person_key", assignment.c.person_key, assignment.c.since)
Index("ix_assignment_previous_id", assignment.c.previous_id)

meeting = Table(
    "meeting",
    metadata,
    key(),
    reference("tenant_id", "tenant"),
    words("kind"),
    words("uid"),
    Column("sequence", Integer, nullable=False),
    choice("status", MeetingStatus),
    words("title"),
    moment("starts_at"),
    moment("ends_at"),
    words("zone"),
    documents("attendees", Participant),
    json_list("missing"),
    Column("cause", Converted(Cause.to_document, Cause.from_document), nullable=True),
    moment("created_at"),
    moment("updated_at"),
    Column("version", Integer, nullable=False),
    CheckConstraint("ends_at > starts_at", name="ends_after_its_start"),
    CheckConstraint("sequence >= 0", name="sequence"),
)
Index("uq_meeting_uid", meeting.c.uid, unique=True)
Index(
    "uq_meeting_one_is_open",
    meeting.c.tenant_id,
    meeting.c.kind,
    unique=True,
    postgresql_where=text("status = 'invited'"),
)
Index("ix_meeting_tenant_id", meeting.c.tenant_id, meeting.c.id)
Index("ix_meeting_ends_at", meeting.c.ends_at, postgresql_where=text("status = 'invited'"))
