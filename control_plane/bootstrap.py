"""The composition root: settings become ports, ports become the core of a process."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from control_plane import config, logging
from control_plane.adapters.audit.keys import public_key_path
from control_plane.adapters.audit.signer_process import SignerConfig, run_signer
from control_plane.adapters.audit.trail import SqlTrail
from control_plane.adapters.cache import cache_folder
from control_plane.adapters.db.engine import connect, driver_url
from control_plane.adapters.db.migrate import pending, upgrade
from control_plane.adapters.db.roles import APP
from control_plane.adapters.db.unit_of_work import SqlUnitOfWork
from control_plane.adapters.dbos.liveness import Liveness
from control_plane.adapters.identity.embedded import ISSUER, EmbeddedIssuer
from control_plane.adapters.objects.files import FileObjectStore
from control_plane.adapters.pulumi.engine import Cloud, PulumiEngine
from control_plane.adapters.pulumi.install import CliSources, ensure_cli
from control_plane.adapters.rules.loader import load_policy_parameters, load_rules
from control_plane.adapters.rules.policies import RulePolicies
from control_plane.adapters.secrets.files import FileSecretStore
from control_plane.adapters.specs import JsonSchemaSpecs
from control_plane.adapters.system import RandomIds, SystemClock
from control_plane.adapters.terraform.builder import TerraformBundleBuilder
from control_plane.config import Installation, Settings
from control_plane.domain.actor import system
from control_plane.domain.deployment import Account
from control_plane.domain.errors import DomainError, SettingInvalid
from control_plane.domain.rules import Rules
from control_plane.ports import UnitOfWork
from control_plane.workflows.core import Caller, Core, Limits
from control_plane.workflows.recording import record

if TYPE_CHECKING:
    from control_plane.adapters.dbos.executor import Executor

log = structlog.get_logger()
# the product's own files: programs, schemas, modules, rules
SOURCE: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Home:
    """The folder of what a process keeps on this machine; everything in it is mode 0700."""

    folder: Path

    def __post_init__(self) -> None:
        """Make the folder. Raises ``SettingInvalid`` when that is not possible."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise SettingInvalid(
                f"TENANTPLANE_HOME: the folder cannot be made ({error.strerror})"
            ) from None
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise SettingInvalid("TENANTPLANE_HOME: the folder is not writable by this user")

    def part(self, name: str) -> Path:
        """Return a path inside."""
        return self.folder / name


def read_settings(**overrides: object) -> Settings:
    """Return the settings. Raises ``SettingInvalid`` with one sentence."""
    return config.load(overrides)


@dataclass(frozen=True)
class Parts:
    """The parts of one process, made when they are used first."""

    settings: Settings

    @cached_property
    def home(self) -> Home:
        """The home folder."""
        return Home(self.settings.home.absolute())

    @cached_property
    def app_url(self) -> str:
        """The libpq URL of the application's role. Raises ``SettingInvalid``."""
        return self._url("database_url")

    def _url(self, name: str) -> str:
        secret = getattr(self.settings, name)
        if secret is None:
            raise SettingInvalid(
                f"{config.PREFIX}{name.upper()} is not set; `tenantctl serve` starts everything "
                "with an embedded database"
            )
        return str(secret.get_secret_value())

    @cached_property
    def app_engine(self) -> Engine:
        """Connections of the application's role."""
        return connect(self.app_url, name="tenantplane", connections=2, overflow=18)

    @cached_property
    def auditor_engine(self) -> Engine:
        """Connections of the role that reads the audit log."""
        return connect(
            self._url("database_auditor_url"), name="tenantplane audit", connections=1, overflow=3
        )

    @cached_property
    def trail(self) -> SqlTrail:
        """The audit log, read."""
        key = public_key_path(self.home.part("keys") / "audit.key")
        return SqlTrail(self.auditor_engine, host=self.settings.audit_host, public_key=key)

    @cached_property
    def unit_of_work(self) -> Callable[[], UnitOfWork]:
        """What makes units of work."""
        from control_plane.adapters.dbos.queue import (  # noqa: PLC0415 - 75 MB that not all need
            queue_factory,
        )

        queue = queue_factory(self.app_url)
        return partial(SqlUnitOfWork, self.app_engine, queue=queue)

    @cached_property
    def rules_folder(self) -> Path:
        """The folder of the rules documents; the product's own unless the setting says else."""
        folder = self.settings.rules_folder
        return folder if folder.is_absolute() or folder.exists() else SOURCE / folder

    @cached_property
    def rules(self) -> Rules:
        """The rules documents. Raises ``SettingInvalid`` naming what is wrong."""
        return load_rules(self.rules_folder)

    @cached_property
    def policies(self) -> RulePolicies:
        """The policy rules with their parameters."""
        return RulePolicies(load_policy_parameters(self.rules_folder, self.rules.regions))

    @cached_property
    def core(self) -> Core:
        """Everything that use cases and phases need."""
        settings = self.settings
        hours = settings.approval_hours
        return Core(
            uow=self.unit_of_work,
            clock=SystemClock(),
            ids=RandomIds(),
            engine=self.engine,
            builder=self.builder,
            objects=FileObjectStore(self.home.part("objects")),
            secrets=self.secrets,
            policies=self.policies,
            specs=JsonSchemaSpecs(SOURCE / "stacks" / "schemas"),
            trail=self.trail,
            rules=self.rules,
            limits=Limits(
                approval_life=timedelta(hours=hours) if hours else None,
                link_life=timedelta(hours=settings.link_hours),
            ),
        )

    @cached_property
    def secrets(self) -> FileSecretStore:
        """The master secret and what is derived from it."""
        return FileSecretStore(self.home.part("keys") / "master.key")

    @cached_property
    def page_key(self) -> bytes:
        """The key that page tokens are marked with, the same in every process."""
        return self.secrets.hmac_key("page-tokens")

    @cached_property
    def engine(self) -> PulumiEngine:
        """The Pulumi engine. The CLI is looked for when it is used first."""
        settings = self.settings
        state = settings.state_url or self._state_folder()
        return PulumiEngine(
            cli=self._cli,
            backend_url=state,
            calls_folder=self.home.part("calls"),
            schemas=SOURCE / "stacks" / "schemas",
            source=SOURCE,
            secrets=self.secrets,
            cloud=Cloud(
                provider="sandbox"
                if settings.cloud == "sandbox" and settings.sandbox_provider == "light"
                else "official",
                endpoint=settings.sandbox_url if settings.cloud == "sandbox" else None,
            ),
            plan_seconds=settings.plan_seconds,
            apply_seconds=settings.apply_seconds,
        )

    def _state_folder(self) -> str:
        folder = self.home.part("state")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return f"file://{folder}"

    def _cli(self) -> Path:
        """Return the CLI; `make setup` has put it there, else this does."""
        chosen = self.settings.pulumi
        sources = replace(
            CliSources.from_environment(), program=chosen.absolute() if chosen else None
        )
        return ensure_cli(
            cache=cache_folder(), report=lambda line: log.info("cli", line=line), sources=sources
        )

    @cached_property
    def builder(self) -> TerraformBundleBuilder:
        """Terraform, packing and signing."""
        settings = self.settings
        return TerraformBundleBuilder(
            modules=SOURCE / "stacks" / "mode_c_modules",
            guide=SOURCE / "docs" / "mode-c.md",
            variables_schema=SOURCE / "stacks" / "schemas" / "mode_c_variables.schema.json",
            key_file=self.home.part("keys") / "bundle.key",
            work_folder=self.home.part("builds"),
            binary=settings.terraform,
            mirror=settings.terraform_mirror,
            judge=self.policies.judge_terraform,
        )

    @cached_property
    def issuer(self) -> str:
        """Whose tokens are taken."""
        return self.settings.issuer or ISSUER

    @cached_property
    def embedded_issuer(self) -> EmbeddedIssuer:
        """This installation's own issuer. Raises ``SettingInvalid`` in production."""
        if self.settings.installation is Installation.PRODUCTION or self.settings.issuer:
            raise SettingInvalid(
                "the embedded issuer is not used here: tokens come from TENANTPLANE_ISSUER"
            )
        return EmbeddedIssuer(
            self.home.part("keys") / "issuer.pem", audience=self.settings.audience
        )

    def fetch_keys(self) -> dict[str, Any]:
        """Return the issuer's JWKS."""
        if self.settings.jwks_url is None:
            return self.embedded_issuer.keys()
        answer = httpx.get(self.settings.jwks_url, timeout=5.0)
        answer.raise_for_status()
        return dict(answer.json())

    def readiness(self) -> dict[str, str]:
        """Return each part with ``ok`` or what is wrong with it."""
        return {
            "database": _state(self._schema_fault),
            "audit_log": _state(self.trail.is_behind),
        }

    def _schema_fault(self) -> str:
        behind = pending(self.app_url)
        return f"migrations are missing: {', '.join(behind)}" if behind else ""

    def liveness(self) -> Liveness:
        """The name of this worker."""
        return Liveness(self.app_url, self.settings.worker_id)

    def executor(self, liveness: Liveness, phases: Mapping[str, Callable[[str], None]]) -> Executor:
        """What claims phases from the queue."""
        from control_plane.adapters.dbos.executor import (  # noqa: PLC0415 - the worker's alone
            Executor,
        )

        settings = self.settings
        return Executor(
            self.app_url,
            liveness=liveness,
            phases=phases,
            at_a_time=settings.workers,
            globally=settings.runs_globally,
            poll_seconds=settings.queue_poll_seconds,
        )

    def sign_until_stopped(self, *, ready: Callable[[], None]) -> int:
        """Sequence and sign until SIGTERM; returns the exit code."""
        told: list[bool] = []

        def tell(_: object) -> None:
            if not told:
                told.append(True)
                ready()

        watched = os.environ.get(config.PREFIX + "END_WITH_PARENT")
        return run_signer(
            SignerConfig(
                database_url=driver_url(self._url("database_sequencer_url")),
                key_path=self.home.part("keys") / "audit.key",
                journal_path=self.home.part("keys") / "audit.signed",
                host=self.settings.audit_host,
                parent_pid=os.getppid() if watched else None,
            ),
            on_tick=tell,
        )

    def end_with_parent(self, parent: int, end: Callable[[], None]) -> None:
        """Call ``end`` when the process that started this one is gone."""

        def watch() -> None:
            while os.getppid() == parent:
                time.sleep(0.5)
            end()

        if os.environ.get(config.PREFIX + "END_WITH_PARENT"):
            threading.Thread(target=watch, name="parent", daemon=True).start()


def start_process(part: str, **overrides: object) -> Parts:
    """Read settings and set up logs for a process. Raises ``SettingInvalid``."""
    settings = read_settings(**overrides)
    logging.configure(level=settings.log_level, style=settings.log_format, part=part)
    return Parts(settings)


def prepare_database(owner_url: str) -> None:
    """Bring our tables and those of the queue to this release, as the owner."""
    from control_plane.adapters.dbos.migrate import migrate  # noqa: PLC0415 - heavy, used once

    upgrade(owner_url)
    migrate(owner_url, application_role=APP)


def prepare_accounts(parts: Parts) -> int:
    """Put the accounts of the settings into the pool; returns how many were new."""
    core, added = parts.core, 0
    with core.uow() as uow:
        known = {account.account_id for account in uow.accounts.find()}
        for number, role, external in _pool(parts.settings.accounts):
            if number in known:
                continue
            account = Account(
                id=core.ids.new("account"),
                account_id=number,
                role_arn=role,
                external_id=external,
                shared=parts.settings.accounts_shared,
                claimed_by=None,
                created_at=core.clock.now(),
            )
            uow.accounts.add(account)
            record(
                core, uow, Caller(actor=system("setup")), "account.added",
                tree=None, account=number, shared=account.shared,
            )  # fmt: skip
            added += 1
        uow.commit()
    return added


def _pool(text: str) -> list[tuple[str, str | None, str | None]]:
    """Parse ``id`` and ``id=role_arn|external_id``. Raises ``SettingInvalid``."""
    found = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        number, _, rest = entry.partition("=")
        role, _, external = rest.partition("|")
        if not re.fullmatch(r"[0-9]{12}", number):
            raise SettingInvalid("TENANTPLANE_ACCOUNTS: an account id has 12 digits")
        found.append((number, role or None, external or None))
    return found


def _state(ask: Callable[[], str]) -> str:
    try:
        return ask() or "ok"
    except (DomainError, SQLAlchemyError) as error:
        return error.message if isinstance(error, DomainError) else "cannot be reached"
