"""moto's server application with the corrections applied, and a silent request handler."""

from __future__ import annotations

from typing import Any

from moto.backends import SERVICE_NAMES
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)

from stacks.sandbox import offerings
from stacks.sandbox.corrections import Corrector


class QuietHandler(MotoRequestHandler):
    """Does not write a line per request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def corrected_moto() -> DomainDispatcherApplication:
    """Return moto as a WSGI application; each service is loaded, then corrected, at first use."""
    offerings.skip_at_import()
    corrector = Corrector()

    def create_app(service: SERVICE_NAMES) -> Any:
        # not earlier: it imports IAM, S3 and STS, which an idle cloud does not need
        from stacks.sandbox import authorization  # noqa: PLC0415 # see above

        authorization.install()
        application = create_backend_app(service)
        corrector.apply_to_loaded()
        offerings.read_on_demand()
        return application

    return DomainDispatcherApplication(create_app)
