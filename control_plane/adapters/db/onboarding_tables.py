"""The tables of one-time links, of the sessions they open, and of attempts."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, text

from control_plane.adapters.db.columns import (
    KEY,
    Converted,
    Moment,
    choice,
    key,
    moment,
    reference,
    words,
)
from control_plane.adapters.db.metadata import metadata
from control_plane.domain.cause import Cause
from control_plane.domain.onboarding_link import EndReason, LinkStatus

onboarding_link = Table(
    "onboarding_link",
    metadata,
    key(),
    reference("tenant_id", "tenant"),
    words("recipient_hmac"),
    words("nonce", nullable=True),
    words("secret_hmac"),
    choice("status", LinkStatus),
    words("issued_by"),
    moment("issued_at"),
    moment("expires_at"),
    Column("cause", Converted(Cause.to_document, Cause.from_document), nullable=True),
    moment("first_viewed_at", nullable=True),
    Column("code_number", Integer, nullable=False),
    words("code_hmac", nullable=True),
    moment("code_sent_at", nullable=True),
    moment("code_expires_at", nullable=True),
    Column("failures", Integer, nullable=False),
    moment("used_at", nullable=True),
    words("used_from", nullable=True),
    moment("replayed_at", nullable=True),
    moment("ended_at", nullable=True),
    choice("end_reason", EndReason, nullable=True),
    words("ended_by", nullable=True),
    Column("version", Integer, nullable=False),
    CheckConstraint("(status = 'issued') = (nonce IS NOT NULL)", name="nonce_while_valid"),
    CheckConstraint("(status = 'issued') = (ended_at IS NULL)", name="ended"),
    CheckConstraint("(code_hmac IS NULL) = (code_expires_at IS NULL)", name="code_expires"),
    CheckConstraint("status = 'issued' OR code_hmac IS NULL", name="code_while_valid"),
    CheckConstraint("num_nulls(used_at, used_from) IN (0, 2)", name="used_from_somewhere"),
    CheckConstraint(
        "CASE status WHEN 'used' THEN used_at IS NOT NULL WHEN 'revoked' THEN true "
        "ELSE used_at IS NULL END",
        name="used",
    ),
    CheckConstraint("(status = 'revoked') = (end_reason IS NOT NULL)", name="revoked_for_a_reason"),
    CheckConstraint("(end_reason IS NULL) = (ended_by IS NULL)", name="revoked_by_somebody"),
    CheckConstraint("code_number BETWEEN 0 AND 5", name="codes"),
    CheckConstraint("failures BETWEEN 0 AND 5", name="failures"),
    CheckConstraint("expires_at = issued_at + interval '24 hours'", name="one_day"),
)
Index("ix_onboarding_link_tenant_id", onboarding_link.c.tenant_id, onboarding_link.c.id)
Index(
    "uq_onboarding_link_one_valid",
    onboarding_link.c.tenant_id,
    unique=True,
    postgresql_where=text("status = 'issued'"),
)

onboarding_session = Table(
    "onboarding_session",
    metadata,
    key(),
    reference("link_id", "onboarding_link"),
    reference("tenant_id", "tenant"),
    words("role"),
    words("secret_hmac"),
    moment("started_at"),
    moment("seen_at"),
    moment("expires_at"),
    moment("ended_at", nullable=True),
    Column("version", Integer, nullable=False),
    CheckConstraint("role = 'it_admin'", name="role"),
    CheckConstraint("expires_at = started_at + interval '8 hours'", name="eight_hours"),
)
# a link opens one
Index("uq_onboarding_session_link_id", onboarding_session.c.link_id, unique=True)
Index("ix_onboarding_session_tenant_id", onboarding_session.c.tenant_id)
Index("ix_onboarding_session_expires_at", onboarding_session.c.expires_at)

onboarding_attempt = Table(
    "onboarding_attempt",
    metadata,
    Column("source", KEY, primary_key=True),
    Column("minute", Moment, primary_key=True),
    Column("attempts", Integer, nullable=False),
    CheckConstraint("attempts > 0", name="counts"),
)
