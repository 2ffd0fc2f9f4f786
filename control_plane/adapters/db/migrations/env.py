"""Alembic's environment: everything in one transaction on the connection that was handed in."""

from __future__ import annotations

from alembic import context

from control_plane.adapters.db.migrate import compared

context.configure(
    connection=context.config.attributes["connection"],
    transactional_ddl=True,
    **compared(),
)
with context.begin_transaction():
    context.run_migrations()
