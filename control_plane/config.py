"""Settings: environment variables ``TENANTPLANE_*``, read once by the composition root.

A wrong one is refused at start with the name of its variable and what is allowed. A process has a
role and reads its own settings: it refuses to start without those it needs, and with a secret that
belongs to another role.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from control_plane.domain.errors import SettingInvalid

PREFIX = "TENANTPLANE_"
STATE_SCHEMES: Final = ("file://", "s3://", "postgres://")
OBJECTS_SCHEMES: Final = ("file:///", "s3://")
_WORKER_ID: Final = r"^[A-Za-z0-9_.-]{3,60}$"
# what access tokens of people and of machines have alike (RFC 9068, section 2.2)
_CLAIMS_OF_EVERYBODY = frozenset(
    {"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "azp", "scope", "scp", "roles"}
)


class Installation(StrEnum):
    """Where the control plane runs."""

    EMBEDDED = "embedded"  # everything on this machine, own database, emulated cloud
    PRODUCTION = "production"


class ProcessRole(StrEnum):
    """What a process does, and so which settings are its own."""

    API = "api"
    WORKER = "worker"
    SIGNER = "signer"
    MIGRATE = "migrate"


_API: Final = ProcessRole.API
_WORKER: Final = ProcessRole.WORKER
_SIGNER: Final = ProcessRole.SIGNER
_MIGRATE: Final = ProcessRole.MIGRATE
_SERVING: Final = (_API, _WORKER)
_WITH_HOME: Final = (_API, _WORKER, _SIGNER)


def _setting(default: Any, description: str, *used_by: ProcessRole, **limits: Any) -> Any:
    """Declare a setting with the roles that use it; none means `serve` and the commands alone."""
    return Field(
        default=default,
        description=description,
        json_schema_extra={"used_by": [str(role) for role in used_by]},
        **limits,
    )


class Settings(BaseSettings):
    """Every setting, with its default of the embedded mode."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    installation: Installation = _setting(
        Installation.EMBEDDED, "embedded or production", *ProcessRole
    )
    rehearsal: bool = _setting(
        False, "a production installation on the emulated cloud, which it announces", *_SERVING
    )
    home: Path = _setting(Path("var/embedded"), "folder of keys and work", *_WITH_HOME)
    host: str = _setting("127.0.0.1", "address the API listens on", _API)
    port: int = _setting(
        8080, "port of the API; 0 for any free one, with `serve` alone", _API, ge=0, le=65535
    )
    public_url: str | None = _setting(None, "URL under which links are given out", _API)
    objects_url: str | None = _setting(
        None, "store of bundles and saved plans: file:// or s3://; none: a folder", *_SERVING
    )

    database_url: SecretStr | None = _setting(
        None, "PostgreSQL URL of the application role; none: embedded server", *_SERVING
    )
    database_owner_url: SecretStr | None = _setting(
        None, "PostgreSQL URL of the owner, for migrations", _MIGRATE
    )
    database_sequencer_url: SecretStr | None = _setting(
        None, "PostgreSQL URL of the audit sequencer", _SIGNER
    )
    database_auditor_url: SecretStr | None = _setting(
        None, "PostgreSQL URL of the audit reader", *_SERVING
    )

    cloud: str = _setting("sandbox", "sandbox or aws", _WORKER, pattern="^(sandbox|aws)$")
    sandbox_provider: str = _setting(
        "light",
        "provider plugin against the emulated cloud: light or official",
        _WORKER,
        pattern="^(light|official)$",
    )
    sandbox_url: str | None = _setting(
        None, "endpoint of a running emulated cloud; none: serve starts one", _WORKER
    )
    state_url: SecretStr | None = _setting(
        None, "state backend: file://, s3:// or postgres://; none: a folder", _WORKER
    )
    accounts: str = _setting(
        "123456789012",
        "account pool that `serve` starts with: ids, or id=role_arn|external_id, with commas",
    )
    accounts_shared: bool = _setting(
        True, "whether an account of that pool serves many deployments"
    )
    rules_folder: Path = _setting(Path("rules"), "folder of the rules documents", *_SERVING)

    workers: int = _setting(2, "runs one worker applies at a time", _WORKER, ge=1, le=16)
    runs_globally: int = _setting(8, "runs all workers apply at a time", _WORKER, ge=1)
    worker_id: str | None = _setting(
        None, "this worker's name; none: made from the host's", _WORKER, pattern=_WORKER_ID
    )
    queue_poll_seconds: float = _setting(
        0.1, "how often the queue is asked while there is work", _WORKER, ge=0.02, le=10
    )
    plan_seconds: float = _setting(300, "deadline of a preview", _WORKER, gt=0)
    apply_seconds: float = _setting(3600, "deadline of an apply", _WORKER, gt=0)
    approval_hours: float | None = _setting(
        None, "overrides the approval rules' expiry", *_SERVING, gt=0
    )
    run_details_days: float = _setting(
        90, "days that progress lines and saved plans outlive a run", *_SERVING, ge=1, le=3650
    )
    link_hours: float = _setting(72, "life of a download link", _API, gt=0, le=24 * 30)

    audit_host: str = _setting(
        "localhost", "host in the audit log's origin", *_WITH_HOME, pattern=r"^[a-z0-9.-]+$"
    )
    issuer: str | None = _setting(None, "OIDC issuer; none: the embedded issuer", _API)
    jwks_url: str | None = _setting(None, "JWKS of the issuer", _API)
    audience: str = _setting("tenantplane", "audience of access tokens", _API)
    roles_claim: str = _setting("roles", "claim with the roles", _API)
    tenants_claim: str = _setting("tenants", "claim with the tenants seen", _API)
    person_claim: str = _setting(
        "sub", "claim that identifies the human behind accounts", _API, min_length=1
    )
    person_evidence: str = _setting(
        "amr,auth_time",
        "claims of which a person's token has at least one, separated by commas",
        _API,
    )
    accept_id_style_tokens: bool = _setting(
        False, "take tokens whose header does not say `at+jwt`; see operations", _API
    )
    token_hours: float = _setting(
        24, "longest life of an access token, in hours", _API, gt=0, le=24 * 7
    )
    trusted_proxies: str | None = _setting(
        None, "addresses whose X-Forwarded-For is believed, separated by commas", _API
    )

    pulumi: Path | None = _setting(None, "path of the pulumi binary", _WORKER)
    terraform: str = _setting("terraform", "terraform or tofu binary", _WORKER)
    terraform_mirror: Path | None = _setting(None, "provider mirror folder", _WORKER)
    log_level: str = _setting(
        "info", "debug … error", *ProcessRole, pattern="^(debug|info|warning|error)$"
    )
    log_format: str = _setting("console", "log lines", *ProcessRole, pattern="^(console|json)$")

    @field_validator(
        "database_url", "database_owner_url", "database_sequencer_url", "database_auditor_url"
    )
    @classmethod
    def _is_postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        if url and not url.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("a database URL starts with postgresql://")
        return url

    @field_validator("state_url")
    @classmethod
    def _is_a_backend(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None or url.get_secret_value().startswith(STATE_SCHEMES):
            return url
        if url.get_secret_value().startswith("postgresql://"):
            raise ValueError(
                "the engine takes a URL that starts with postgresql:// for one of its cloud "
                "service; write postgres://"
            )
        raise ValueError(f"a state backend starts with {', '.join(STATE_SCHEMES)}")

    @field_validator("objects_url")
    @classmethod
    def _is_a_store(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(OBJECTS_SCHEMES):
            raise ValueError("an object store is file:///folder or s3://bucket/prefix")
        return url

    @model_validator(mode="after")
    def _holds_in_production(self) -> Self:
        """Refuse what is wrong in production whatever the process does."""
        if self.installation is not Installation.PRODUCTION:
            if self.rehearsal:
                raise ValueError(f"{PREFIX}REHEARSAL is for an installation that is production")
            return self
        for name in ("issuer", "jwks_url", "public_url"):
            url = getattr(self, name)
            if url is not None and not (url.startswith("https://") and urlsplit(url).hostname):
                raise ValueError(f"in production {PREFIX}{name.upper()} is an https:// URL")
        if "home" in self.model_fields_set and not self.home.is_absolute():
            raise ValueError(f"in production {PREFIX}HOME is an absolute path")
        if "audit_host" in self.model_fields_set and self.audit_host == "localhost":
            raise ValueError(f"in production {PREFIX}AUDIT_HOST is a name of yours, not localhost")
        if "accounts" in self.model_fields_set:
            raise ValueError(
                f"{PREFIX}ACCOUNTS is what `serve` starts with; in production the pool is filled "
                "with `tenantctl account add`"
            )
        if "cloud" in self.model_fields_set and self.cloud != "aws" and not self.rehearsal:
            raise ValueError(
                f"in production {PREFIX}CLOUD is aws; the emulated cloud is for an installation "
                f"with {PREFIX}REHEARSAL=true"
            )
        return self

    @field_validator("person_evidence")
    @classmethod
    def _is_evidence(cls, text: str) -> str:
        names = {name.strip() for name in text.split(",")} - {""}
        if not names:
            raise ValueError("name at least one claim that only tokens of people have")
        void = sorted(names & _CLAIMS_OF_EVERYBODY)
        if void:
            raise ValueError(f"{void[0]} is in the tokens of machines too, so it shows no person")
        return text

    @property
    def base_url(self) -> str:
        """The URL that callers use."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def worker_name(self) -> str:
        """The worker's name: the one given, else ``worker-1`` embedded and the host's name."""
        if self.worker_id is not None or self.installation is Installation.EMBEDDED:
            return self.worker_id or "worker-1"
        host = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())
        return f"worker-{host}"[:60]


_ALWAYS_NEEDED: Final = {
    _API: ("database_url", "database_auditor_url"),
    _WORKER: ("database_url", "database_auditor_url"),
    _SIGNER: ("database_sequencer_url",),
    _MIGRATE: ("database_owner_url",),
}
_NEEDED_IN_PRODUCTION: Final = {
    _API: ("home", "audit_host", "objects_url", "public_url", "issuer", "jwks_url"),
    _WORKER: ("home", "audit_host", "objects_url", "cloud", "state_url"),
    _SIGNER: ("home", "audit_host"),
    _MIGRATE: (),
}


def used_by(role: ProcessRole) -> list[str]:
    """Return the names of the settings that a role reads."""
    return [name for name in Settings.model_fields if role in _roles_of(name)]


def _roles_of(name: str) -> list[str]:
    extra = Settings.model_fields[name].json_schema_extra
    found = extra.get("used_by") if isinstance(extra, dict) else None
    return [str(role) for role in found] if isinstance(found, list) else []


def secret_settings() -> list[str]:
    """Return the names of the settings that hold a secret."""
    return [
        name
        for name, field in Settings.model_fields.items()
        if field.annotation == SecretStr | None
    ]


def foreign_secrets(role: ProcessRole) -> list[str]:
    """Return the secrets that a role must not hold: those it does not use."""
    own = set(used_by(role))
    return [name for name in secret_settings() if name not in own]


def load(
    overrides: Mapping[str, Any] | None = None, *, role: ProcessRole | None = None
) -> Settings:
    """Read the settings from the environment, for a process of a role or for a command.

    ``overrides`` win, for the command line's options. Raises ``SettingInvalid`` with one sentence
    that names the variable. A ``TENANTPLANE_*`` variable that no setting has is refused too: a
    misspelt name would silently do nothing.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields} | READ_ELSEWHERE
    for name in os.environ:
        if name.startswith(PREFIX) and name not in known:
            raise SettingInvalid(
                f"{name} is not a setting; `tenantctl settings` lists them", name=name
            )
    try:
        settings = Settings(**dict(overrides or {}))
    except ValidationError as error:
        first = error.errors()[0]
        message = str(first["msg"]).removeprefix("Value error, ")
        if not first["loc"]:  # a rule over several settings, whose sentence names them
            named = re.search(rf"{PREFIX}[A-Z_]+", message)
            raise SettingInvalid(message, name=named[0] if named else PREFIX) from None
        where = PREFIX + str(first["loc"][0]).upper()
        raise SettingInvalid(f"{where}: {message}", name=where) from None
    if role is not None:
        check_role(settings, role)
    return settings


def check_role(settings: Settings, role: ProcessRole) -> None:
    """Raise ``SettingInvalid`` when a role lacks a setting or holds a secret of another one."""
    for name in foreign_secrets(role):
        if getattr(settings, name) is not None:
            raise SettingInvalid(
                f"{PREFIX}{name.upper()} does not belong in the {role} process; take it out of "
                "its environment",
                name=PREFIX + name.upper(),
            )
    needed = list(_ALWAYS_NEEDED[role])
    if settings.installation is Installation.PRODUCTION:
        needed += _NEEDED_IN_PRODUCTION[role]
    missing = [
        PREFIX + name.upper()
        for name in needed
        if name not in settings.model_fields_set or getattr(settings, name) is None
    ]
    if missing:
        hint = "" if settings.installation is Installation.PRODUCTION else _SERVE_HINT
        raise SettingInvalid(
            f"the {role} process needs {', '.join(missing)}{hint}", name=missing[0]
        )
    if role is _WORKER and settings.cloud == "sandbox" and settings.sandbox_url is None:
        raise SettingInvalid(
            f"{PREFIX}SANDBOX_URL is not set: without the endpoint of the emulated cloud the "
            "calls would go to AWS itself",
            name=f"{PREFIX}SANDBOX_URL",
        )


_SERVE_HINT: Final = "; `tenantctl serve` starts everything with an embedded database"

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
