"""Check that the migrations give the tables in the code: ``python -m tools.check_migrations``.

Runs on a database of its own, on data that is thrown away. Exit code 1 with the differences.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from control_plane.adapters.db import migrate, roles
from control_plane.adapters.postgres import SUPERUSER, EmbeddedPostgres


def main() -> int:
    """Migrate an empty database and compare it."""
    with tempfile.TemporaryDirectory(prefix="tenantplane-") as made:
        folder = Path(made)
        with EmbeddedPostgres(folder / "pg", short_folder=folder, durable=False) as server:
            roles.bootstrap(server.url(SUPERUSER, SUPERUSER))
            try:
                migrate.check(server.url(roles.OWNER, roles.DATABASE))
            except migrate.SchemaDiffers as differs:
                sys.stderr.write(f"the migrations do not give the tables in the code: {differs}\n")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
