"""Settings: environment variables ``TENANTPLANE_*``, read once by the composition root.

A wrong one is refused at start with the name of its variable and what is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from control_plane.domain.errors import SettingInvalid

PREFIX = "TENANTPLANE_"


class Installation(StrEnum):
    """Where the control plane runs."""

    EMBEDDED = "embedded"  # everything on this machine, own database, emulated cloud
    PRODUCTION = "production"


class Settings(BaseSettings):
    """Every setting, with its default of the embedded mode."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    installation: Installation = Field(
        default=Installation.EMBEDDED, description="embedded or production"
    )
    home: Path = Field(default=Path("var/embedded"), description="folder of the embedded data")
    host: str = Field(default="127.0.0.1", description="address the API listens on")
    port: int = Field(
        default=8080,
        ge=0,
        le=65535,
        description="port of the API; 0 for any free one, with `serve` alone",
    )
    public_url: str | None = Field(default=None, description="URL under which links are given out")

    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL URL of the application role; none: embedded server"
    )
    database_owner_url: SecretStr | None = Field(
        default=None, description="PostgreSQL URL of the owner, for migrations"
    )
    database_sequencer_url: SecretStr | None = Field(
        default=None, description="PostgreSQL URL of the audit sequencer"
    )
    database_auditor_url: SecretStr | None = Field(
        default=None, description="PostgreSQL URL of the audit reader"
    )

    cloud: str = Field(default="sandbox", pattern="^(sandbox|aws)$", description="sandbox or aws")
    sandbox_provider: str = Field(
        default="light",
        pattern="^(light|official)$",
        description="provider plugin against the emulated cloud: light or official",
    )
    sandbox_url: str | None = Field(
        default=None, description="endpoint of a running emulated cloud; none: serve starts one"
    )
    state_url: str | None = Field(
        default=None, description="state backend: file://, s3:// or postgres://; none: a folder"
    )
    accounts: str = Field(
        default="123456789012",
        description="account pool: ids, or id=role_arn|external_id, separated by commas",
    )
    accounts_shared: bool = Field(
        default=True, description="the pool's accounts serve many deployments (small installations)"
    )
    rules_folder: Path = Field(default=Path("rules"), description="folder of the rules documents")

    workers: int = Field(default=2, ge=1, le=16, description="runs one worker applies at a time")
    runs_globally: int = Field(default=8, ge=1, description="runs all workers apply at a time")
    worker_id: str = Field(
        default="worker-1", pattern=r"^[A-Za-z0-9_.-]{3,60}$", description="this worker's name"
    )
    queue_poll_seconds: float = Field(default=0.1, ge=0.02, le=10, description="queue polling")
    plan_seconds: float = Field(default=300, gt=0, description="deadline of a preview")
    apply_seconds: float = Field(default=3600, gt=0, description="deadline of an apply")
    approval_hours: float | None = Field(
        default=None, gt=0, description="overrides the approval rules' expiry"
    )
    link_hours: float = Field(default=72, gt=0, le=24 * 30, description="life of a download link")

    audit_host: str = Field(
        default="localhost", pattern=r"^[a-z0-9.-]+$", description="host in the audit log's origin"
    )
    issuer: str | None = Field(default=None, description="OIDC issuer; none: the embedded issuer")
    jwks_url: str | None = Field(default=None, description="JWKS of the issuer")
    audience: str = Field(default="tenantplane", description="audience of access tokens")
    roles_claim: str = Field(default="roles", description="claim with the roles")
    tenants_claim: str = Field(default="tenants", description="claim with the tenants seen")

    pulumi: Path | None = Field(default=None, description="path of the pulumi binary")
    terraform: str = Field(default="terraform", description="terraform or tofu binary")
    terraform_mirror: Path | None = Field(default=None, description="provider mirror folder")
    log_level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="debug … error"
    )
    log_format: str = Field(default="console", pattern="^(console|json)$", description="log lines")

    @field_validator(
        "database_url", "database_owner_url", "database_sequencer_url", "database_auditor_url"
    )
    @classmethod
    def _is_postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        if url and not url.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("a database URL starts with postgresql://")
        return url

    @model_validator(mode="after")
    def _production_names_its_parts(self) -> Self:
        if self.installation is Installation.PRODUCTION:
            needed = ("database_url", "database_sequencer_url", "state_url", "issuer", "jwks_url")
            missing = [PREFIX + name.upper() for name in needed if getattr(self, name) is None]
            if missing:
                raise ValueError(f"production needs {', '.join(missing)}")
        return self

    @property
    def base_url(self) -> str:
        """The URL that callers use."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


def load(overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings from the environment.

    ``overrides`` win, for the command line's options. Raises ``SettingInvalid`` with one sentence
    that names the variable. A ``TENANTPLANE_*`` variable that no setting has is refused too: a
    misspelt name would silently do nothing.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields} | READ_ELSEWHERE
    for name in os.environ:
        if name.startswith(PREFIX) and name not in known:
            raise SettingInvalid(
                f"{name} is no setting; `tenantctl settings` lists them", name=name
            )
    try:
        return Settings(**dict(overrides or {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = PREFIX + str(first["loc"][0]).upper() if first["loc"] else PREFIX + "INSTALLATION"
        message = str(first["msg"]).removeprefix("Value error, ")
        raise SettingInvalid(f"{where}: {message}", name=where) from None


READ_ELSEWHERE = frozenset(
    {
        f"{PREFIX}CACHE",  # the cache folder, read by the set-up before there are settings
        f"{PREFIX}PULUMI_ARCHIVES",  # base URL of the CLI's download
        f"{PREFIX}PULUMI_PLUGINS",  # folder with the official plugins, read by the runner
        f"{PREFIX}END_WITH_PARENT",  # set by serve for the processes it starts
        f"{PREFIX}CALL_ID",  # the mark on processes of an engine call
        f"{PREFIX}TOKEN",  # the caller's token, read by the command line
        f"{PREFIX}URL",  # the API's URL, read by the command line
    }
)
