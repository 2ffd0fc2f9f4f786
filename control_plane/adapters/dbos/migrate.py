"""DBOS's own tables, in the schema ``dbos`` of the same database."""

from __future__ import annotations

import logging

from dbos import DBOS

from control_plane.adapters.db.engine import driver_url
from control_plane.adapters.dbos.queue import SCHEMA


def migrate(owner_url: str, *, application_role: str) -> None:
    """Create or upgrade DBOS's tables as the owner, and let the application use them."""
    logging.getLogger("dbos").setLevel(logging.WARNING)
    DBOS.migrate(driver_url(owner_url), schema=SCHEMA, application_role=application_role)
