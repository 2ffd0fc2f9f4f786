"""What a production installation does not accept of its settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from control_plane.domain.errors import SettingInvalid

if TYPE_CHECKING:
    from control_plane.config import Settings

_HTTPS: Final = ("issuer", "jwks_url", "public_url")


def refuse_in_production(settings: Settings, prefix: str) -> None:
    """Raise ``ValueError`` with a sentence that names the variable, in any process."""
    given = settings.model_fields_set
    for name in _HTTPS:
        url = getattr(settings, name)
        if url is not None and not (url.startswith("https://") and urlsplit(url).hostname):
            raise ValueError(f"in production {prefix}{name.upper()} must be an https:// URL")
    if "home" in given and not settings.home.is_absolute():
        raise ValueError(f"in production {prefix}HOME must be an absolute path")
    if "audit_host" in given and settings.audit_host == "localhost":
        raise ValueError(f"in production {prefix}AUDIT_HOST must be your host name, not localhost")
    if settings.events_to_loopback:
        raise ValueError(f"in production {prefix}EVENTS_TO_LOOPBACK must not be set")
    if "accounts" in given:
        raise ValueError(
            f"{prefix}ACCOUNTS is only for `serve`; in production fill the pool with "
            "`tenantctl account add`"
        )
    if "cloud" in given and settings.cloud != "aws" and not settings.rehearsal:
        raise ValueError(
            f"in production {prefix}CLOUD must be aws; the emulated cloud needs "
            f"{prefix}REHEARSAL=true"
        )


def refuse_recording(ports: Sequence[str]) -> None:
    """Raise ``SettingInvalid`` for systems that would only write down what they are to do.

    Customers would wait for what was never sent.
    """
    if ports:
        raise SettingInvalid(
            f"in production rules/systems.yaml must name a real system, or none, for "
            f"{', '.join(ports)}: `record` only writes down what it would do"
        )


def refuse_open_transport(settings: Settings, names: list[str], prefix: str) -> None:
    """Raise ``ValueError`` for a database on another machine without encryption on the way.

    ``names`` are the settings that hold URLs of databases.
    """
    from control_plane.adapters.db.transport import (  # noqa: PLC0415 - most commands have no URL
        is_open_on_the_network,
    )

    for name in names:
        secret = getattr(settings, name)
        if secret is not None and is_open_on_the_network(secret.get_secret_value()):
            raise ValueError(
                f"in production {prefix}{name.upper()} must ask for TLS: add "
                "?sslmode=verify-full (or verify-ca, or require) to the URL"
            )
