"""Settings: environment variables ``TENANTPLANE_*``, read once by the composition root.

A wrong one is refused at start with the name of its variable and what is allowed. A process has a
role and reads its own settings: it refuses to start without those it needs, and with a secret that
belongs to another role.
"""

from __future__ import annotations

import hashlib
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
from control_plane.production import refuse_in_production, refuse_open_transport

PREFIX = "TENANTPLANE_"
STATE_SCHEMES: Final = ("file://", "s3://", "postgres://", "postgresql://")
OBJECTS_SCHEMES: Final = ("file:///", "s3://")
_LONGEST_NAME: Final = 60
_WORKER_ID: Final = rf"^[A-Za-z0-9_.-]{{3,{_LONGEST_NAME}}}$"
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
_AUDITING: Final = (_API, _WORKER, _SIGNER)


def _setting(default: Any, description: str, *used_by: ProcessRole, **limits: Any) -> Any:
    """Declare a setting with the roles that use it; without one only `serve` and commands do."""
    return Field(
        default=default,
        description=description,
        json_schema_extra={"used_by": [str(role) for role in used_by]},
        **limits,
    )


class Settings(BaseSettings):
    """Every setting, with its default of the embedded mode."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", frozen=True, env_ignore_empty=True
    )

    installation: Installation = _setting(
        Installation.EMBEDDED, "embedded or production", *ProcessRole
    )
    rehearsal: bool = _setting(
        False,
        "run a production installation on the emulated cloud; every answer announces it",
        *_SERVING,
    )
    home: Path = _setting(Path("var/embedded"), "folder of keys and working files", *_WITH_HOME)
    host: str = _setting("127.0.0.1", "address the API listens on", _API)
    port: int = _setting(
        8080, "port of the API; 0 for any free port, only with `serve`", _API, ge=0, le=65535
    )
    public_url: str | None = _setting(
        None, "URL that download links and the onboarding portal begin with", *_SERVING
    )
    objects_url: str | None = _setting(
        None,
        "store of bundles: file:// or s3://; unset: a folder in the home",
        *_SERVING,
    )

    database_url: SecretStr | None = _setting(
        None, "PostgreSQL URL of the application role; unset: the embedded server", *_SERVING
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
        "provider plugin for the emulated cloud: light or official",
        _WORKER,
        pattern="^(light|official)$",
    )
    sandbox_url: str | None = _setting(
        None, "endpoint of a running emulated cloud; unset: `serve` starts one", _WORKER
    )
    state_url: SecretStr | None = _setting(
        None, "state backend: file://, s3:// or postgres://; unset: a folder in the home", _WORKER
    )
    accounts: str = _setting(
        "123456789012",
        "initial account pool of `serve`: ids or id=role_arn|external_id, comma-separated",
    )
    accounts_shared: bool = _setting(
        True, "whether each account of that pool serves many deployments"
    )
    rules_folder: Path = _setting(Path("rules"), "folder of the rules documents", *_SERVING)

    workers: int = _setting(2, "runs that one worker processes at a time", _WORKER, ge=1, le=16)
    runs_globally: int = _setting(8, "runs that all workers process at a time", _WORKER, ge=1)
    worker_id: str | None = _setting(
        None, "name of this worker; unset: derived from the host name", _WORKER, pattern=_WORKER_ID
    )
    plan_seconds: float = _setting(300, "timeout of a plan", _WORKER, gt=0)
    apply_seconds: float = _setting(3600, "timeout of an apply", _WORKER, gt=0)
    approval_hours: float | None = _setting(
        None, "overrides the approval rules' expiry", *_SERVING, gt=0
    )
    drift_hours: float = _setting(
        24,
        "hours between two looks at a deployment, whether it drifted; 0 turns them off",
        *_SERVING,
        ge=0,
        le=24 * 30,
    )
    run_details_days: float = _setting(
        90, "days that progress lines outlive a run", *_SERVING, ge=1, le=3650
    )
    events_to_loopback: bool = _setting(
        False,
        "let event subscriptions post to this machine, also without TLS; not in production",
        _API, _WORKER,
    )  # fmt: skip
    link_hours: float = _setting(72, "lifetime of a download link", _API, gt=0, le=24 * 30)

    audit_host: str = _setting(
        "localhost", "host in the audit log's origin", *_AUDITING, pattern=r"^[a-z0-9.-]+$"
    )
    approver_keys: Path | None = _setting(
        None,
        "approvers' keys that this worker trusts (allowed_signers of OpenSSH); unset: none",
        _WORKER,
    )
    witness_policy: Path | None = _setting(
        None,
        "trust policy (C2SP tlog-policy): witnesses of the root log, and their quorum; unset: none",
        _API,
        _SIGNER,
    )
    witness_minutes: float = _setting(
        15,
        "minutes that a signed head may wait for the quorum before /readyz warns",
        _API,
        gt=0,
        le=24 * 60 * 30,
    )
    issuer: str | None = _setting(None, "OIDC issuer; unset: the embedded issuer", _API)
    jwks_url: str | None = _setting(None, "URL of the issuer's JWKS", _API)
    audience: str = _setting("tenantplane", "audience of access tokens", _API)
    roles_claim: str = _setting("roles", "claim with the roles", _API)
    tenants_claim: str = _setting("tenants", "claim with the tenants that the token covers", _API)
    person_claim: str = _setting(
        "sub", "claim that identifies the person behind several accounts", _API, min_length=1
    )
    person_evidence: str = _setting(
        "amr,auth_time",
        "claims, comma-separated; a person's token has at least one of them",
        _API,
    )
    accept_id_style_tokens: bool = _setting(
        False, "accept tokens whose header type is not `at+jwt`; see docs/operations.md", _API
    )
    token_hours: float = _setting(
        24, "longest lifetime of an access token, in hours", _API, gt=0, le=24 * 7
    )
    console_client_id: str | None = _setting(
        None, "client of the console at the OIDC issuer; unset: no console with that issuer", _API
    )
    console_credential: str | None = _setting(
        None, "name of the installed credential of that client; unset: it is a public client", _API
    )
    console_scopes: str = _setting("openid", "scopes that the console asks for", _API)
    console_parameters: str = _setting(
        "",
        "more parameters of that request, such as `audience=tenantplane`, separated by &",
        _API,
    )
    trusted_proxies: str | None = _setting(
        None, "addresses whose X-Forwarded-For is trusted, comma-separated", _API
    )

    pulumi: Path | None = _setting(None, "path of the pulumi program", _WORKER)
    terraform: str = _setting("terraform", "terraform or tofu, by name or path", _WORKER)
    terraform_mirror: Path | None = _setting(
        None, "folder of the provider mirror for Mode C", _WORKER
    )
    log_level: str = _setting(
        "info",
        "debug, info, warning or error",
        *ProcessRole,
        pattern="^(debug|info|warning|error)$",
    )
    log_format: str = _setting(
        "console", "format of log lines: console or json", *ProcessRole, pattern="^(console|json)$"
    )

    @field_validator(
        "database_url", "database_owner_url", "database_sequencer_url", "database_auditor_url"
    )
    @classmethod
    def _is_postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        if url and not url.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("a database URL must start with postgresql://")
        return url

    @field_validator("state_url")
    @classmethod
    def _is_a_backend(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None or url.get_secret_value().startswith(STATE_SCHEMES):
            return url
        raise ValueError(f"a state backend must start with one of {', '.join(STATE_SCHEMES)}")

    @field_validator("objects_url")
    @classmethod
    def _is_a_store(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(OBJECTS_SCHEMES):
            raise ValueError("an object store must be file:///folder or s3://bucket/prefix")
        return url

    @model_validator(mode="after")
    def _holds_in_production(self) -> Self:
        """Refuse what is wrong in production, in any process."""
        if self.installation is not Installation.PRODUCTION:
            if self.rehearsal:
                raise ValueError(f"{PREFIX}REHEARSAL needs {PREFIX}INSTALLATION=production")
            return self
        refuse_in_production(self, PREFIX)
        refuse_open_transport(self, secret_settings(), PREFIX)
        return self

    @model_validator(mode="after")
    def _knows_its_issuer(self) -> Self:
        """Refuse an issuer whose keys nobody could ask for; production needs both anyway."""
        if self.installation is Installation.PRODUCTION:
            return self
        if (self.issuer is None) != (self.jwks_url is None):
            raise ValueError(f"{PREFIX}ISSUER and {PREFIX}JWKS_URL must be set together")
        if self.jwks_url is not None and urlsplit(self.jwks_url).scheme not in ("http", "https"):
            raise ValueError(f"{PREFIX}JWKS_URL must be an https:// URL")
        return self

    @field_validator("person_evidence")
    @classmethod
    def _is_evidence(cls, text: str) -> str:
        names = {name.strip() for name in text.split(",")} - {""}
        if not names:
            raise ValueError("name at least one claim that only people's tokens have")
        void = sorted(names & _CLAIMS_OF_EVERYBODY)
        if void:
            raise ValueError(f"{void[0]} is in machines' tokens too, so it proves nothing")
        return text

    @property
    def base_url(self) -> str:
        """The URL that callers use."""
        return (self.public_url or f"http://{authority(self.host)}:{self.port}").rstrip("/")

    @property
    def worker_name(self) -> str:
        """The worker's name: as set, by default ``worker-1`` embedded and else the host's name."""
        if self.worker_id is not None or self.installation is Installation.EMBEDDED:
            return self.worker_id or "worker-1"
        return _worker_name(socket.gethostname())


def authority(host: str) -> str:
    """Return how a URL names the host of a listener: loopback for one on every address."""
    every = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not listened on
    bare = host.strip("[]")
    reached = every.get(bare, bare)
    return f"[{reached}]" if ":" in reached else reached


def _worker_name(host: str) -> str:
    """Return a name of at most 60 characters that no other host has: a long one ends in a hash."""
    name = "worker-" + re.sub(r"[^A-Za-z0-9_.-]", "-", host)
    if len(name) <= _LONGEST_NAME and name == f"worker-{host}":
        return name
    return f"{name[: _LONGEST_NAME - 9]}-{hashlib.sha256(host.encode()).hexdigest()[:8]}"


_ALWAYS_NEEDED: Final = {
    _API: ("database_url", "database_auditor_url"),
    _WORKER: ("database_url", "database_auditor_url"),
    _SIGNER: ("database_sequencer_url",),
    _MIGRATE: ("database_owner_url",),
}
_NEEDED_IN_PRODUCTION: Final = {
    _API: ("home", "audit_host", "objects_url", "public_url", "issuer", "jwks_url"),
    _WORKER: ("home", "audit_host", "objects_url", "cloud", "state_url", "public_url"),
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
        message = str(first["msg"]).removeprefix("Value error, ").replace("Input should", "must")
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
                f"{PREFIX}{name.upper()} must not be set for the {role} process; remove it from "
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
            "engine would call AWS itself",
            name=f"{PREFIX}SANDBOX_URL",
        )


_SERVE_HINT: Final = "; `tenantctl serve` starts everything with an embedded database"

READ_ELSEWHERE = frozenset(
    {
        f"{PREFIX}APPROVER_KEY",  # the approver's own SSH key, read by `tenantctl approval`
        f"{PREFIX}CACHE",  # the cache folder, read by the set-up before there are settings
        f"{PREFIX}PULUMI_ARCHIVES",  # base URL of the CLI's download
        f"{PREFIX}PULUMI_PLUGINS",  # folder with the official plugins, read by the runner
        f"{PREFIX}END_WITH_PARENT",  # set by serve for the processes it starts
        f"{PREFIX}CALL_ID",  # the mark on processes of an engine call
        f"{PREFIX}TOKEN",  # the caller's token, read by the command line
        f"{PREFIX}URL",  # the API's URL, read by the command line
    }
)
