"""The tables of who may read personal values of the log, and of their erasure."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, Table

from control_plane.adapters.db.columns import choice, json_list, key, moment, reference, words
from control_plane.adapters.db.metadata import metadata
from control_plane.domain.actor import ActorKind
from control_plane.domain.disclosure import ErasureScope, GrantKind

_ANOTHER: Final = (
    "{kind} = 'user' AND {more}NOT requesters ? {by} AND NOT requesters ? {person}"
    " AND NOT requested_by IN ({by}, {person})"
)

disclosure_grant = Table(
    "disclosure_grant",
    metadata,
    key(),
    reference("tenant_id", "tenant", nullable=True),
    choice("kind", GrantKind),
    json_list("items"),
    json_list("paths"),
    Column("first_idx", BigInteger, nullable=True),
    Column("last_idx", BigInteger, nullable=True),
    words("reason"),
    words("requested_by"),
    json_list("requesters"),
    moment("requested_at"),
    moment("expires_at"),
    words("granted_by", nullable=True),
    words("granted_person", nullable=True),
    choice("granted_kind", ActorKind, nullable=True),
    moment("granted_at", nullable=True),
    Column("version", Integer, nullable=False),
    CheckConstraint(
        "num_nulls(granted_by, granted_person, granted_kind, granted_at) IN (0, 4)",
        name="granted_by_somebody",
    ),
    CheckConstraint("coalesce(first_idx, 0) >= 0 AND first_idx <= last_idx", name="span"),
    CheckConstraint(
        "expires_at > requested_at AND expires_at <= requested_at"
        " + CASE kind WHEN 'opening' THEN interval '1 minute' ELSE interval '90 days' END",
        name="lasts",
    ),
    CheckConstraint(
        "kind <> 'opening' OR (granted_at IS NOT NULL AND jsonb_array_length(items) > 0)",
        name="opening",
    ),
    CheckConstraint(
        "kind <> 'export' OR granted_at IS NULL OR ("
        + _ANOTHER.format(kind="granted_kind", by="granted_by", person="granted_person", more="")
        + ")",
        name="two_people",
    ),
)
Index("ix_disclosure_grant_tenant_id", disclosure_grant.c.tenant_id, disclosure_grant.c.id)

erasure = Table(
    "erasure",
    metadata,
    key(),
    reference("tenant_id", "tenant", nullable=True),
    Column("is_everywhere", Boolean, nullable=False),
    choice("scope", ErasureScope),
    json_list("parts"),
    words("digest"),
    Column("count", Integer, nullable=False),
    words("reason"),
    words("legal_reference"),
    words("requested_by"),
    json_list("requesters"),
    moment("requested_at"),
    words("requested_event"),
    moment("expires_at"),
    words("confirmed_by", nullable=True),
    words("confirmed_person", nullable=True),
    choice("confirmed_kind", ActorKind, nullable=True),
    words("confirm_reason", nullable=True),
    moment("confirmed_at", nullable=True),
    json_list("done_events"),
    Column("version", Integer, nullable=False),
    CheckConstraint("NOT is_everywhere OR tenant_id IS NULL", name="everywhere"),
    CheckConstraint(
        "num_nulls(confirmed_by, confirmed_person, confirmed_kind, confirm_reason, confirmed_at)"
        " IN (0, 5)",
        name="confirmed_by_somebody",
    ),
    CheckConstraint(
        "confirmed_at IS NULL OR ("
        + _ANOTHER.format(
            kind="confirmed_kind", by="confirmed_by", person="confirmed_person",
            more="confirmed_at < expires_at AND ",
        )
        + ")",
        name="two_people",
    ),
    CheckConstraint("jsonb_array_length(parts) > 0 AND count > 0", name="names_values"),
    CheckConstraint(
        "CASE WHEN confirmed_at IS NULL THEN done_events = '[]'"
        " ELSE jsonb_array_length(done_events) = jsonb_array_length(parts) END",
        name="done",
    ),
)  # fmt: skip
Index("ix_erasure_tenant_id", erasure.c.tenant_id, erasure.c.id)
