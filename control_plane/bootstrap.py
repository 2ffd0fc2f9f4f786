"""The composition root: settings become ports, ports become the core of a process.

A part is imported when it is made, so that a command which needs one waits for no other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from control_plane import config, logging
from control_plane.adapters.audit.keys import KeyFileUnusable, load_key_file, public_key_path
from control_plane.adapters.audit.quarantine import SqlQuarantine
from control_plane.adapters.audit.trail import SqlTrail
from control_plane.adapters.cache import cache_folder
from control_plane.adapters.db.engine import connect
from control_plane.adapters.db.listening import RunNews
from control_plane.adapters.db.migrate import pending_on, upgrade
from control_plane.adapters.db.pauses import standing_pause
from control_plane.adapters.db.roles import APP
from control_plane.adapters.db.unit_of_work import SqlUnitOfWork
from control_plane.adapters.dbos.liveness import Liveness, living_workers
from control_plane.adapters.home import Home, Key
from control_plane.adapters.intake.keys import FileProviderKeys
from control_plane.adapters.loopback import keep_loopback_direct
from control_plane.adapters.objects import open_store
from control_plane.adapters.parents import end_with, parent_of
from control_plane.adapters.secrets import FileSecretStore, read_secret
from control_plane.adapters.secrets.onboarding import DerivedOnboardingKeys
from control_plane.adapters.system import RandomIds, SystemClock
from control_plane.config import Installation, ProcessRole, Settings, used_by
from control_plane.domain.errors import DomainError, SettingInvalid
from control_plane.logging import get_logger
from control_plane.ports.rows import UnitOfWork
from control_plane.ports.stores import ObjectStore
from control_plane.production import refuse_recording
from control_plane.shown_settings import Shown, shown_settings

if TYPE_CHECKING:
    from control_plane.adapters.approvers import FileApprovers
    from control_plane.adapters.audit.signer_process import TickReport
    from control_plane.adapters.audit.trustpolicy import TrustPolicy
    from control_plane.adapters.dbos.executor import Executor
    from control_plane.adapters.http_guard import GuardedHttp
    from control_plane.adapters.identity.embedded import EmbeddedIssuer
    from control_plane.adapters.pulumi.engine import PulumiEngine
    from control_plane.adapters.rules.journeys import FolderPlaybooks
    from control_plane.adapters.rules.policies import RulePolicies
    from control_plane.adapters.systems.opening import Surroundings
    from control_plane.adapters.tenant_data.stores import AwsTenantData
    from control_plane.adapters.terraform.builder import TerraformBundleBuilder
    from control_plane.domain.rules import Rules
    from control_plane.ports.sign_in import LocalSignIn, SignIn
    from control_plane.ports.systems import Signatures, Systems
    from control_plane.workflows.core import Core

log = get_logger()
REHEARSAL: Final = "rehearsal on the emulated cloud: nothing here exists in AWS"
_STATES: Final = "state"  # folders of the home
_OBJECTS: Final = "objects"
_WATCHED: Final = config.PREFIX + "END_WITH_PARENT"
# the product's own files: programs, schemas, modules, rules
SOURCE: Final = Path(__file__).resolve().parent.parent


def read_settings(role: ProcessRole | None = None, **overrides: object) -> Settings:
    """Return the settings, of a role or of a command. Raises ``SettingInvalid``."""
    return config.load(overrides, role=role)


@dataclass(frozen=True)
class Parts:
    """The parts of one process, made when they are used first."""

    settings: Settings

    @property
    def shown_settings(self) -> Sequence[Shown]:
        """What the API reads of the settings in force, without what is secret in it."""
        return shown_settings(self.settings, used_by(ProcessRole.API))

    @cached_property
    def home(self) -> Home:
        """The home folder."""
        return Home(self.settings.home.absolute())

    @cached_property
    def objects(self) -> ObjectStore:
        """The store of bundles. Raises ``SettingInvalid``."""
        return open_store(self.settings.objects_url, folder=self.home.part(_OBJECTS))

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
        # what is opened beyond those that are kept is closed after one use: a start of a process
        return connect(self.app_url, name="tenantplane", connections=12, overflow=8)

    @cached_property
    def run_news(self) -> RunNews:
        """The source of news on which runs have new progress lines."""
        return RunNews(self.app_url)

    @cached_property
    def auditor_engine(self) -> Engine:
        """Connections of the role that reads the audit log."""
        return connect(
            self._url("database_auditor_url"), name="tenantplane audit", connections=4, overflow=0
        )

    @cached_property
    def trail(self) -> SqlTrail:
        """The audit log, read."""
        key = public_key_path(self.home.key(Key.AUDIT))
        return SqlTrail(
            lambda: self.auditor_engine, host=self.settings.audit_host, public_key=key,
            policy=lambda: self.witness_policy,
            exposed_limit=timedelta(minutes=self.settings.witness_minutes),
        )  # fmt: skip

    @cached_property
    def unit_of_work(self) -> Callable[[], UnitOfWork]:
        """What makes units of work."""
        from control_plane.adapters.dbos.queue import DbosQueue  # noqa: PLC0415 - the phases

        return partial(SqlUnitOfWork, self.app_engine, queue=DbosQueue)

    @cached_property
    def rules_folder(self) -> Path:
        """The folder of the rules documents; the product's own unless the setting says else."""
        from control_plane.adapters.rules.documents import found_folder  # noqa: PLC0415 - heavy

        return found_folder(self.settings.rules_folder)

    @cached_property
    def rules(self) -> Rules:
        """The rules documents. Raises ``SettingInvalid`` naming what is wrong."""
        from control_plane.adapters.rules.loader import load_rules  # noqa: PLC0415 - heavy

        return load_rules(self.rules_folder)

    @cached_property
    def playbooks(self) -> FolderPlaybooks:
        """The playbooks in force. Raises ``SettingInvalid`` naming what is wrong."""
        from control_plane.adapters.rules.journeys import load_playbooks  # noqa: PLC0415 - heavy

        return load_playbooks(self.rules_folder)

    @cached_property
    def policies(self) -> RulePolicies:
        """The policy rules with their parameters."""
        from control_plane.adapters.rules.loader import load_policy_parameters  # noqa: PLC0415 - heavy
        from control_plane.adapters.rules.policies import RulePolicies  # noqa: PLC0415 - heavy

        return RulePolicies(load_policy_parameters(self.rules_folder, self.rules.regions))

    @cached_property
    def core(self) -> Core:
        """Everything that use cases and phases need."""
        from control_plane.adapters.invitations import write_invitation  # noqa: PLC0415 - heavy
        from control_plane.adapters.public_holidays import LibraryHolidays  # noqa: PLC0415 - heavy
        from control_plane.adapters.secrets.sealing import MasterSealing  # noqa: PLC0415 - heavy
        from control_plane.adapters.specs import JsonSchemaSpecs  # noqa: PLC0415 - heavy
        from control_plane.adapters.time_zones import SystemTimeZones  # noqa: PLC0415 - heavy
        from control_plane.services.looking import look_at_source  # noqa: PLC0415 - heavy
        from control_plane.services.taking import take_delivery  # noqa: PLC0415 - heavy
        from control_plane.workflows.action_handlers import HANDLERS  # noqa: PLC0415 - heavy
        from control_plane.workflows.core import Core, Limits, Whereabouts  # noqa: PLC0415 - heavy

        settings = self.settings
        hours = settings.approval_hours
        return Core(
            uow=self.unit_of_work,
            clock=SystemClock(),
            ids=RandomIds(),
            engine=self.engine,
            builder=self.builder,
            objects=self.objects,
            secrets=self.secrets,
            data=self.data,
            policies=self.policies,
            specs=JsonSchemaSpecs(SOURCE / "stacks" / "schemas"),
            trail=self.trail,
            rules=self.rules,
            provider_keys=self.provider_keys,
            onboarding_keys=self.onboarding_keys,
            take_delivery=take_delivery,
            look_at_source=look_at_source,
            systems=self.systems,
            events=self.events,
            sealing=MasterSealing(lambda: read_secret(self.home.key(Key.MASTER))),
            playbooks=self.playbooks,
            actions=HANDLERS,
            holidays=LibraryHolidays(),
            zones=SystemTimeZones(),
            write_invitation=write_invitation,
            approvers=self.approvers,
            limits=Limits(
                approval_life=timedelta(hours=hours) if hours else None,
                link_life=timedelta(hours=settings.link_hours),
                details_life=timedelta(days=settings.run_details_days),
                look_every=timedelta(hours=settings.drift_hours) if settings.drift_hours else None,
                call_life=timedelta(seconds=self.engine.longest_seconds),
                apply_life=timedelta(seconds=self.engine.longest_apply_seconds),
            ),
            here=Whereabouts(worker=settings.worker_name, host=os.uname().nodename),
        )

    @cached_property
    def secrets(self) -> FileSecretStore:
        """The master secret and what is derived from it."""
        return FileSecretStore(self.home.key(Key.MASTER))

    @cached_property
    def provider_keys(self) -> FileProviderKeys:
        """The keys that providers sign deliveries with: of the API alone."""
        return FileProviderKeys(self.home.part("keys") / "intake")

    @cached_property
    def onboarding_keys(self) -> DerivedOnboardingKeys:
        """What one-time links are made with: the API verifies, the worker makes the mails."""
        return DerivedOnboardingKeys(self.home.key(Key.ONBOARDING), self.settings.base_url)

    @cached_property
    def approvers(self) -> FileApprovers:
        """What verifies signed decisions, with the keys of this process's own file."""
        from control_plane.adapters.approvers import FileApprovers  # noqa: PLC0415 - heavy

        return FileApprovers(host=self.settings.audit_host, file=self.settings.approver_keys)

    @cached_property
    def systems(self) -> Systems:
        """The systems outside in which journeys do something."""
        from control_plane.adapters.systems.opening import open_systems  # noqa: PLC0415 - heavy

        opened = open_systems(self.rules.systems, self.around_systems)
        return replace(opened, signatures=self.signatures)

    @cached_property
    def around_systems(self) -> Surroundings:
        """What clients of systems outside need: credentials are those of this process's home."""
        from control_plane.adapters.systems.credentials import FileCredentials  # noqa: PLC0415
        from control_plane.adapters.systems.opening import RECORDED, Surroundings  # noqa: PLC0415

        return Surroundings(
            credentials=FileCredentials(self.home.part("keys") / "systems"),
            folder=self.home.part(RECORDED),
            now=SystemClock().now,
        )

    def missing_credentials(self) -> tuple[str, ...]:
        """Return a sentence for each credential of a system that this process does not have."""
        has = self.around_systems.credentials.has
        return tuple(
            f"{entry.port}: {entry.system} needs the credential {entry.credential}, which is not "
            f"installed: run `tenantctl keys system {entry.credential}`"
            for entry in self.rules.systems
            if entry.credential is not None and not has(entry.credential)
        )

    @cached_property
    def signatures(self) -> Sequence[Signatures]:
        """What is asked which contracts were signed; their keys are in the home, not in rules."""
        from control_plane.adapters.intake.reading import signatures_of  # noqa: PLC0415 - heavy

        credentials = self.around_systems.credentials
        return signatures_of(
            self.rules.intake, lambda name: partial(credentials.read, name), SystemClock()
        )

    @cached_property
    def events(self) -> GuardedHttp:
        """What posts public events to URLs that somebody named."""
        from control_plane.adapters.http_guard import GuardedHttp  # noqa: PLC0415 - heavy

        return GuardedHttp(loopback=self.settings.events_to_loopback)

    @cached_property
    def data(self) -> AwsTenantData:
        """The stores of tenants, where a transfer reads and writes."""
        from control_plane.adapters.tenant_data.stores import AwsTenantData  # noqa: PLC0415 - heavy

        endpoint = self.settings.sandbox_url if self.settings.cloud == "sandbox" else None
        return AwsTenantData(endpoint=endpoint, secrets=self.secrets)

    def prepare_work(self) -> None:
        """Make the folders of states and objects, where they are in the home.

        Raises ``SettingInvalid`` unless a worker's keys are there and the folders that settings
        name: before any work, not in it.
        """
        read_secret(self.home.key(Key.MASTER))
        signed = [rule.id for rule in self.rules.approvals.rules if rule.signed]
        if self.approvers.known() is None and signed:
            raise SettingInvalid(
                f"the approval rule {signed[0]} asks for signed decisions, and "
                f"{config.PREFIX}APPROVER_KEYS names no file of approvers' keys; write one with "
                "`tenantctl approver key export` and compare each line with its owner",
                name=f"{config.PREFIX}APPROVER_KEYS",
            )
        try:
            load_key_file(self.home.key(Key.BUNDLE))
        except KeyFileUnusable as error:
            raise SettingInvalid(str(error)) from error
        state_url = self.settings.state_url
        given = {
            "STATE_URL": (state_url.get_secret_value() if state_url else None, _STATES),
            "OBJECTS_URL": (self.settings.objects_url, _OBJECTS),
        }
        for name, (url, part) in given.items():
            if url is None:
                self.home.part(part).mkdir(exist_ok=True, mode=0o700)
            elif url.startswith("file://") and not Path(urlsplit(url).path).is_dir():
                raise SettingInvalid(
                    f"{config.PREFIX}{name}: there is no folder {urlsplit(url).path}; create it, "
                    "or mount the volume that it is on",
                    name=f"{config.PREFIX}{name}",
                )

    @cached_property
    def page_key(self) -> bytes:
        """The key that page tokens are marked with, the same in every API process."""
        return read_secret(self.home.key(Key.PAGE))

    @cached_property
    def engine(self) -> PulumiEngine:
        """The Pulumi engine. The CLI is looked for when it is used first."""
        from control_plane.adapters.pulumi.engine import Cloud, PulumiEngine  # noqa: PLC0415 - heavy
        from control_plane.adapters.pulumi.runner_parent import RunnerParent  # noqa: PLC0415
        from control_plane.adapters.pulumi.runner_process import runner_environment  # noqa: PLC0415

        settings = self.settings
        given = settings.state_url
        state = given.get_secret_value() if given else f"file://{self.home.part(_STATES)}"
        light = settings.cloud == "sandbox" and settings.sandbox_provider == "light"
        return PulumiEngine(
            cli=self._cli,
            backend_url=state,
            calls_folder=self.home.part("calls"),
            schemas=SOURCE / "stacks" / "schemas",
            runners=RunnerParent(
                source=SOURCE,
                environment=runner_environment(sandbox=settings.cloud != "aws"),
                sandbox=light,
            ),
            secrets=self.secrets,
            cloud=Cloud(
                provider="sandbox" if light else "official",
                endpoint=settings.sandbox_url if settings.cloud == "sandbox" else None,
                is_aws=settings.cloud == "aws",
            ),
            plan_seconds=settings.plan_seconds,
            apply_seconds=settings.apply_seconds,
        )

    def _cli(self) -> Path:
        """Return the CLI; `make setup` has put it there, else this does."""
        from control_plane.adapters.pulumi.install import CliSources, ensure_cli  # noqa: PLC0415 - heavy

        chosen = self.settings.pulumi
        sources = replace(
            CliSources.from_environment(),
            program=chosen.expanduser().absolute() if chosen else None,
        )
        return ensure_cli(
            cache=cache_folder(), report=lambda line: log.info("cli", line=line), sources=sources
        )

    @cached_property
    def builder(self) -> TerraformBundleBuilder:
        """Terraform, packing and signing."""
        from control_plane.adapters.terraform.builder import TerraformBundleBuilder  # noqa: PLC0415 - heavy

        settings = self.settings
        return TerraformBundleBuilder(
            modules=SOURCE / "stacks" / "mode_c_modules",
            guide=SOURCE / "docs" / "mode-c.md",
            handover_tool=SOURCE / "stacks" / "mode_c_handover",
            variables_schema=SOURCE / "stacks" / "schemas" / "mode_c_variables.schema.json",
            key_file=self.home.key(Key.BUNDLE),
            work_folder=self.home.part("builds"),
            binary=settings.terraform,
            mirror=settings.terraform_mirror,
            judge=self.policies.evaluate_terraform,
        )

    @cached_property
    def issuer(self) -> str:
        """Whose tokens are taken."""
        from control_plane.adapters.identity.embedded import ISSUER  # noqa: PLC0415 - heavy

        return self.settings.issuer or ISSUER

    @cached_property
    def embedded_issuer(self) -> EmbeddedIssuer:
        """This installation's own issuer. Raises ``SettingInvalid`` in production."""
        from control_plane.adapters.identity.embedded import open_embedded_issuer  # noqa: PLC0415 - heavy

        settings = self.settings
        return open_embedded_issuer(
            self.home.key(Key.ISSUER),
            audience=settings.audience,
            is_used=settings.installation is Installation.EMBEDDED and settings.issuer is None,
        )

    @cached_property
    def local_sign_in(self) -> LocalSignIn | None:
        """The page of an embedded installation where people sign in to the console."""
        from control_plane.adapters.identity.embedded_sign_in import (  # noqa: PLC0415 - heavy
            EmbeddedSignIn,
        )

        return EmbeddedSignIn(self.embedded_issuer) if self.settings.issuer is None else None

    @cached_property
    def sign_in(self) -> SignIn | None:
        """Where people sign in to the console; None where the issuer knows no client of it."""
        settings, around = self.settings, self.around_systems
        if settings.issuer is None or settings.console_client_id is None:
            return self.local_sign_in
        from control_plane.adapters.identity.oidc import OidcClient, OidcSignIn  # noqa: PLC0415 - heavy

        client = OidcClient(
            issuer=settings.issuer,
            client_id=settings.console_client_id,
            scopes=settings.console_scopes,
            parameters=dict(parse_qsl(settings.console_parameters)),
        )
        name = settings.console_credential
        secret = None if name is None else partial(around.credentials.read, name)
        return OidcSignIn(client, secret=secret, now=around.now)

    def fetch_keys(self) -> dict[str, Any]:
        """Return the issuer's JWKS."""
        if self.settings.jwks_url is None:
            return self.embedded_issuer.keys()
        from control_plane.adapters.identity.jwks import fetch_jwks  # noqa: PLC0415 - heavy

        return fetch_jwks(self.settings.jwks_url)

    @cached_property
    def witness_policy(self) -> TrustPolicy | None:
        """Whom the root log is shown to; None without a policy. Raises ``SettingInvalid``."""
        path = self.settings.witness_policy
        if path is None:
            return None
        from control_plane.adapters.audit.trustpolicy import load_policy  # noqa: PLC0415 - seldom

        return load_policy(path, "TENANTPLANE_WITNESS_POLICY")

    @property
    def checks(self) -> Mapping[str, Callable[[], str]]:
        """What requests need, each with a question that returns what is wrong, or ''."""
        return {
            "database": lambda: _fault(self._schema_fault),
            "audit_log": lambda: _fault(lambda: self.trail.pressure().behind),
        }

    @property
    def background(self) -> Mapping[str, Callable[[], str]]:
        """What requests do without, each with a question as in ``checks``."""
        return {
            "worker": lambda: _fault(self._worker_fault),
            "queue": lambda: _fault(self._pause),
            "audit_verification": lambda: _fault(self.trail.first_fault),
            "audit_witnesses": lambda: _fault(self.trail.witness_problem),
            "audit_quarantine": lambda: _fault(self._quarantine_fault),
            "rules": lambda: "; ".join(self.overdue_rules()),
            "systems": self._systems_fault,
        }

    def _quarantine_fault(self) -> str:
        with self.app_engine.connect() as connection:
            found = SqlQuarantine(connection).found(None, limit=1)
        is_open = bool(found) and found[0].released_at is None
        return f"{found[0].tree} was set aside: {found[0].why}" if is_open else ""

    def _systems_fault(self) -> str:
        """Return what systems lack; in production that is in the home of a worker, not here."""
        if self.settings.installation is Installation.PRODUCTION:
            return ""
        return "; ".join(self.missing_credentials())

    def overdue_rules(self) -> tuple[str, ...]:
        """Return a sentence for each rules document that should have been reviewed by now."""
        return self.rules.overdue(SystemClock().now().date())

    def _worker_fault(self) -> str:
        with self.app_engine.connect() as connection:
            return "" if living_workers(connection) else "no worker is running, so runs wait"

    def _pause(self) -> str:
        with self.app_engine.connect() as connection:
            found = standing_pause(connection)
        if found is None:
            return ""
        since = f"{found.paused_at:%Y-%m-%d %H:%M:%SZ}"
        return f"the queue is paused since {since} by {found.paused_by}, so runs wait"

    @property
    def notice(self) -> str:
        """What every answer announces of this installation, or ''."""
        return REHEARSAL if self.settings.rehearsal else ""

    @cached_property
    def health_engine(self) -> Engine:
        """One connection for the question whether there is a database; requests do not wait."""
        return connect(
            self.app_url, name="tenantplane health", connections=1, overflow=0, wait_seconds=1.0
        )

    def _schema_fault(self) -> str:
        behind = pending_on(self.health_engine)
        return f"migrations are missing: {', '.join(behind)}" if behind else ""

    def liveness(self) -> Liveness:
        """The name of this worker."""
        return Liveness(self.app_url, self.settings.worker_name)

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
        )

    def sign_until_stopped(self, *, ready: Callable[[], None]) -> int:
        """Sequence and sign until SIGTERM; returns the exit code."""
        from control_plane.adapters.audit.signer_process import SignerConfig, run_signer  # noqa: PLC0415 - heavy

        told: list[bool] = []

        def tell(report: TickReport) -> None:
            if not told and report.is_working:
                told.append(True)
                ready()

        return run_signer(
            SignerConfig(
                database_url=self._url("database_sequencer_url"),
                key_path=self.home.key(Key.AUDIT),
                journal_path=self.home.part("keys") / "audit.signed",
                host=self.settings.audit_host,
                policy=self.witness_policy,
                witnesses_on_loopback=self.settings.installation is Installation.EMBEDDED,
                parent_pid=parent_of(os.environ, _WATCHED, parent=os.getppid()),
            ),
            on_tick=tell,
        )

    def end_with_parent(self, parent: int, end: Callable[[], None]) -> None:
        """Call ``end`` when the process that started this one is gone, if that is asked for."""
        end_with(parent_of(os.environ, _WATCHED, parent=parent), end)


def start_process(part: str) -> Parts:
    """Read the settings of a role, check its home and set up logs. Raises ``SettingInvalid``."""
    keep_loopback_direct(os.environ)
    settings = read_settings(ProcessRole(part))
    parts = Parts(settings)
    parts.home.require(is_written=part != ProcessRole.API)
    if part == ProcessRole.WORKER:
        parts.prepare_work()
    elif settings.witness_policy is not None:
        _ = parts.witness_policy  # one that cannot be read is said now
    logging.configure(level=settings.log_level, style=settings.log_format, part=part)
    if part in (ProcessRole.API, ProcessRole.WORKER):
        for sentence in parts.overdue_rules():
            log.warning("rules.review_due", reason=sentence)
        if settings.installation is Installation.PRODUCTION and not settings.rehearsal:
            refuse_recording(parts.rules.systems.recorded)
    if part == ProcessRole.WORKER:
        for sentence in parts.missing_credentials():
            log.warning("systems.credential_missing", reason=sentence)
    if settings.rehearsal:
        log.warning("rehearsal", notice=REHEARSAL)
    return parts


def prepare_database(owner_url: str) -> None:
    """Bring our tables and those of the queue to this release, as the owner."""
    from control_plane.adapters.dbos.migrate import migrate  # noqa: PLC0415 - heavy, used once

    upgrade(owner_url)
    migrate(owner_url, application_role=APP)


def _fault(ask: Callable[[], str]) -> str:
    """Ask what is wrong with a part; once more where the connection was lost meanwhile.

    Somebody may have ended that one session, and a new one answers.
    """
    try:
        return ask()
    except (DomainError, SQLAlchemyError) as error:
        if not _was_lost(error):
            return _in_words(error)
    try:
        return ask()
    except (DomainError, SQLAlchemyError) as error:
        return _in_words(error)


def _was_lost(error: Exception) -> bool:
    cause = error.__cause__ if isinstance(error, DomainError) else error
    return isinstance(cause, DBAPIError) and cause.connection_invalidated


def _in_words(error: Exception) -> str:
    return error.message if isinstance(error, DomainError) else "cannot be reached"
