"""Alembic migrations; ``migrate.upgrade`` runs them as the owner."""
