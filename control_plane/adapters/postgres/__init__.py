"""The embedded PostgreSQL server: a child of ours, on a private socket."""

from control_plane.adapters.postgres.server import SUPERUSER, EmbeddedPostgres

__all__ = ["SUPERUSER", "EmbeddedPostgres"]
