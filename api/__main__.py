"""``python -m api``: the API process."""

from __future__ import annotations

import os
import sys

import uvicorn

from api.app import create_app
from api.auth import Identity, TokenRules
from api.dependencies import Shared
from control_plane.bootstrap import Parts, start_process
from control_plane.domain.errors import DomainError, SettingInvalid


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    try:
        parts = start_process("api")
        if parts.settings.port == 0:
            raise SettingInvalid("links name the API's port: set TENANTPLANE_PORT to one above 0")
        app = create_app(_shared(parts))
    except DomainError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2 if error.code == "setting_invalid" else 5
    settings = parts.settings
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
            lifespan="off",
        )
    )
    parts.end_with_parent(os.getppid(), lambda: setattr(server, "should_exit", True))
    server.run()
    return 0 if server.started else 5


def _shared(parts: Parts) -> Shared:
    settings = parts.settings
    return Shared(
        core=parts.core,
        identity=Identity(
            rules=TokenRules(
                issuer=parts.issuer,
                audience=settings.audience,
                roles_claim=settings.roles_claim,
                tenants_claim=settings.tenants_claim,
            ),
            fetch=parts.fetch_keys,
        ),
        base_url=settings.base_url,
        page_key=parts.page_key,
        readiness=parts.readiness,
    )


if __name__ == "__main__":
    sys.exit(main())
