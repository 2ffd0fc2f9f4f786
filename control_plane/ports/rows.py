"""Rows, the queue and the log of one transaction, and time and ids."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, Self, TypeVar

from control_plane.domain.amendment import Amendment
from control_plane.domain.approval import Approval, Decision, ExcludedApprover, Withdrawal
from control_plane.domain.approver_key import ApproverKey
from control_plane.domain.assignment import Assignment
from control_plane.domain.audit import AuditEvent
from control_plane.domain.bundle import Bundle, DownloadLink, Handover, Receipt
from control_plane.domain.calls import CallRecord
from control_plane.domain.console_session import ConsoleSession
from control_plane.domain.delivery import Delivery
from control_plane.domain.deployment import Account, Deployment, DeploymentSpec
from control_plane.domain.disclosure import DisclosureGrant, Erasure
from control_plane.domain.evidence import Evidence
from control_plane.domain.finding import Finding
from control_plane.domain.finding_decision import FindingDecision
from control_plane.domain.handover import ImportReport
from control_plane.domain.hold import Hold
from control_plane.domain.hub import Hub
from control_plane.domain.invitation import Meeting
from control_plane.domain.journey import Journey, JourneyStep
from control_plane.domain.message import Message
from control_plane.domain.onboarding_link import OnboardingLink, OnboardingSession
from control_plane.domain.onboarding_step import OnboardingStep, StepVersion
from control_plane.domain.plan import Plan, PlanHead
from control_plane.domain.playbook import KeptPlaybook
from control_plane.domain.queue_pause import QueuePause
from control_plane.domain.reconciling import IntakeFinding, IntakeLook
from control_plane.domain.removal import Certificate, RemovalDecision
from control_plane.domain.residence import Residence
from control_plane.domain.rules import LoadedDocument
from control_plane.domain.run import BlockedOn, Run, RunEvent
from control_plane.domain.saga import Saga, SagaStep
from control_plane.domain.stack_salt import StackSalt
from control_plane.domain.standing_counts import StandingCount
from control_plane.domain.subscription import EventSubscription
from control_plane.domain.suppression import Suppression
from control_plane.domain.sweep import Sweep
from control_plane.domain.task import Task
from control_plane.domain.tenant import Contract, ProvisioningRequest, RefusedRequest, Tenant
from control_plane.domain.timers import Timer, TimerKind
from control_plane.domain.transfer import Copied, Kind
from control_plane.domain.waiting import QueueSpot
from control_plane.ports import Json
from control_plane.ports.disclosures import Disclosures, PersonalRows
from control_plane.ports.events import Publications
from control_plane.ports.intake import Deliveries
from control_plane.ports.journeys import LateRows
from control_plane.ports.looks import Looks
from control_plane.ports.onboarding import Onboarding
from control_plane.ports.outbox import Outbox
from control_plane.ports.quarantine import Quarantine
from control_plane.ports.staffing import Staffing

T = TypeVar("T")


class Repository(Protocol[T]):
    """A table of one kind of entity, inside a unit of work.

    A row that a method refuses ends the transaction: it can only be left. A use case that
    looks again after a conflict adds its rows by ``UnitOfWork.add``.
    """

    def add(self, entity: T) -> None:
        """Insert. Raises ``Conflict`` with ``constraint`` when a unique fact exists already."""

    def get(self, entity_id: str, *, lock: bool = False) -> T | None:
        """Return the row; with ``lock`` nobody else changes it until this transaction ends."""

    def need(self, entity_id: str | None, *, lock: bool = False) -> T:
        """Return what ``get`` does, of an id that another row holds. Raises ``LookupError``."""

    def save(self, entity: T) -> None:
        """Replace the row with the same id.

        For entities with a ``version`` the row must hold ``version - 1``, or ``Conflict`` is
        raised.
        """

    def remove(self, entity_id: str) -> None:
        """Delete the row. Raises ``Conflict`` when it is gone, or others refer to it."""

    def find(self, **equals: Any) -> list[T]:
        """Return all rows whose fields equal the given values, oldest id first.

        A tuple, list, set or frozenset as a value means "one of"; None means "is null".
        """

    def count(self, **equals: Any) -> int:
        """Count what ``find`` would return."""

    def counts(self, field: str) -> Mapping[str, int]:
        """Count all rows by the values of a field; values that no row has are left out."""

    def page(self, *, limit: int, before: str | None = None, **equals: Any) -> list[T]:
        """Return at most ``limit`` rows, newest id first, with ids smaller than ``before``."""


class RunEvents(Protocol):
    """The progress lines of runs; append only while a run continues."""

    def append(self, run_id: str, time: datetime, *lines: tuple[str, Json]) -> None:
        """Add lines, each a kind and a body, numbered on from the run's last one, all or none.

        Raises ``Conflict`` when somebody else adds to the run now.
        """

    def after(self, run_id: str, seq: int, *, limit: int = 500) -> list[RunEvent]:
        """Return the lines of a run with numbers above ``seq``, in sequence."""

    def forget(self, run_id: str) -> int:
        """Delete the lines of a run that has ended; returns how many.

        Raises ``Conflict`` when it has not ended.
        """


@dataclass(frozen=True, kw_only=True)
class IdempotencyRecord:
    """The first answer to a key; ``response_status`` is None while it is in flight.

    ``id`` is the SHA-256 over principal, route and key.
    """

    id: str
    body_digest: str
    response_status: int | None
    response_body: Json | None
    response_headers: Json
    created_at: datetime
    expires_at: datetime


class AuditLog(Protocol):
    """The one function that records."""

    def record(self, event: AuditEvent) -> None:
        """Write the event in the caller's transaction, with all its others when it commits."""


class QueuePlace(StrEnum):
    """Where a phase is that has not ended."""

    WAITING = "waiting"
    TAKEN = "taken"  # up, by a worker that lives or not


class RunQueue(Protocol):
    """The durable queue of phases."""

    def enqueue(
        self, phase: str, subject_id: str, *, partition: str, owner: str, attempt: int = 1
    ) -> None:
        """Enqueue a phase in the caller's transaction; phases are ``workflows.PHASES``.

        The same phase, subject and attempt are enqueued once. ``partition`` serialises: one phase
        of a partition runs at a time. Of the phases that wait, that of the ``owner`` who had to
        wait longest since one of theirs started is next.
        """

    def place(self, phase: str, subject_id: str, *, attempt: int) -> QueuePlace | None:
        """Return where this phase is; None if it has ended, or was never enqueued."""

    def spots(self, phase: str, subjects: Mapping[str, int]) -> tuple[Mapping[str, QueueSpot], int]:
        """Return where the turns of subjects are in the queue, and how many workers live.

        ``subjects`` has the attempt of each. One that waits or is taken up has a spot.
        """

    def wake(self) -> None:
        """Let every worker look at the queue when the caller's transaction is committed."""

    def forget(self, before: datetime, *, limit: int) -> int:
        """Delete what is kept of phases that ended before ``before``; returns how many."""


class Timers(Protocol):
    """What falls due. A timer is claimed by one worker and done at least once."""

    def set(self, kind: TimerKind, subject: str, due_at: datetime) -> None:
        """Let it fall due at ``due_at``, whenever it was due before."""

    def due(self, kind: TimerKind, subjects: Sequence[str]) -> Mapping[str, datetime]:
        """Return when the timers of a kind of some subjects fall due, of those that have one."""

    def claim(self, now: datetime, *, until: datetime, limit: int) -> Sequence[Timer]:
        """Take timers that are due; if nothing becomes of it they fall due again at ``until``."""

    def finish(self, claimed: Timer) -> None:
        """Remove a claimed timer, unless it was set again meanwhile."""

    def cancel(self, kind: TimerKind, subject: str) -> None:
        """Remove a timer, if there is one."""


class Transfers(Protocol):
    """What was copied for a saga that moves a tenant's data, until the saga ends."""

    def put(self, saga_id: str, copied: Sequence[Copied]) -> None:
        """Keep what was copied; a thing that was copied again takes the place of its row."""

    def known(self, saga_id: str, kind: Kind) -> dict[str, Copied]:
        """Return what was copied of a kind, by name."""

    def forget(self, saga_id: str, kind: Kind, names: Sequence[str]) -> None:
        """Delete rows of things that are gone."""

    def forget_all(self, saga_id: str) -> None:
        """Delete every row of a saga."""

    def sums(self, saga_id: str) -> dict[Kind, tuple[int, int]]:
        """Return how many things and bytes were copied, by kind."""


@dataclass(frozen=True)
class Newest:
    """The newest run and the newest bundle of a tenant, each with its error, if there are any."""

    run_id: str | None
    run_error: Json | None
    bundle_id: str | None
    bundle_error: Json | None


@dataclass(frozen=True, kw_only=True)
class EnvelopeHistory:
    """What became of an envelope before: its contract, and its refusals, newest first."""

    contract_id: str | None
    refusals: Sequence[str]


@dataclass(frozen=True)
class Dependent:
    """A tenant with a slice on a Hub."""

    tenant_id: str
    slug: str


@dataclass(frozen=True, kw_only=True)
class PlacedRun:
    """A run and what it is for; ``tenant`` is None for a Hub of the platform."""

    run: Run
    deployment: Deployment
    tenant: Tenant | None
    is_newest: bool  # of those of its deployment that change something


class Queries(Protocol):
    """Named questions, one indexed statement each."""

    def newest_run(self, deployment_id: str) -> Run | None:
        """Return the deployment's newest run of a kind that changes something."""

    def run_before(self, deployment_id: str, number: int) -> Run | None:
        """Return the newest run with a number below ``number`` that changes something."""

    def open_look(self, deployment_id: str) -> Run | None:
        """Return the look at a deployment that has not ended."""

    def last_number(self, deployment_id: str) -> int:
        """Return the number of the run of a deployment that was requested last, 0 if none was."""

    def newest_runs(self, deployment_ids: Sequence[str]) -> Collection[str]:
        """Return the ids of the newest runs of some deployments, as ``newest_run`` does."""

    def placed_runs(self, run_ids: Sequence[str]) -> Mapping[str, PlacedRun]:
        """Return some runs by id, each with its deployment and tenant."""

    def newest_bundles(self, deployment_ids: Sequence[str]) -> Collection[str]:
        """Return the ids of the newest bundles of some deployments."""

    def blocked_runs(
        self,
        on: BlockedOn,
        *,
        limit: int | None,
        region: str | None = None,
        hub_id: str | None = None,
        is_placed: bool | None = None,
    ) -> Sequence[str]:
        """Return the ids of the runs that wait for ``on`` longest, of a region or Hub or of all.

        ``is_placed``: whether their deployments have a Hub already.
        """

    def plan_heads(self, plan_ids: Sequence[str]) -> Mapping[str, PlanHead]:
        """Return what a list shows of some plans, without their resources."""

    def newest_call(self, deployment_id: str) -> CallRecord | None:
        """Return the engine call that owns the deployment's stack."""

    def calls_of(self, deployment_id: str, *, limit: int) -> Sequence[CallRecord]:
        """Return the newest engine calls of a deployment, newest first."""

    def calls_to_stop(self, worker: str) -> Sequence[str]:
        """Return the worker's open calls whose runs somebody canceled before they were applied."""

    def newest_bundle(self, deployment_id: str) -> Bundle | None:
        """Return the deployment's newest bundle."""

    def was_applied(self, deployment_id: str) -> bool:
        """Tell whether the customer applied some version of the deployment's bundle."""

    def slices(self, hub_ids: Sequence[str]) -> Mapping[str, int]:
        """Return the number of slices on each of some Hubs."""

    def dependents(self, hub_ids: Sequence[str]) -> Mapping[str, Sequence[Dependent]]:
        """Return the tenants that have a slice on each of some Hubs, by slug."""

    def outdated_slices(self, hub_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the slices of each of some Hubs that were made over other outputs than it has."""

    def live_tenants(self, domain: str) -> Mapping[str, str]:
        """Return the slugs of a company's tenants that are not deprovisioned, by id."""

    def envelope(self, provider: str, envelope_id: str, *, refusals: int) -> EnvelopeHistory:
        """Return what became of an envelope before, with at most so many refusals."""

    def count_tenants(self, tenant_ids: Sequence[str] | None) -> Sequence[StandingCount]:
        """Return where tenants stand, counted; of all that are not removed without ids."""

    def newest_of_tenants(self, tenant_ids: Sequence[str]) -> Mapping[str, Newest]:
        """Return each tenant's newest run, as ``newest_run`` does, and newest bundle."""

    def claim_key(self, mine: IdempotencyRecord, *, dead_before: datetime) -> bool:
        """Take a key that nobody has, that has expired, or whose holder died; tell whether.

        A holder without an answer that took it before ``dead_before`` has died. It is durable at
        once, so it comes first in its unit of work.
        """

    def answer_key(self, answered: IdempotencyRecord) -> bool:
        """Keep the answer of a key if it is still that of ``answered``; tell whether it is."""

    def forget_calls(self, deployment_id: str, *, below: int) -> int:
        """Delete ended engine calls of a deployment with numbers below ``below``; how many."""

    def forget_answers(self, now: datetime, *, limit: int) -> int:
        """Delete idempotent answers whose lifetime has ended; returns how many."""


class UnitOfWork(Protocol):
    """One transaction. Leaving the block without ``commit`` rolls back."""

    tenants: Repository[Tenant]
    contracts: Repository[Contract]
    amendments: Repository[Amendment]
    requests: Repository[ProvisioningRequest]
    refusals: Repository[RefusedRequest]
    deliveries: Repository[Delivery]
    intake_findings: Repository[IntakeFinding]
    intake_looks: Repository[IntakeLook]
    messages: Repository[Message]
    suppressions: Repository[Suppression]
    approver_keys: Repository[ApproverKey]
    onboarding_links: Repository[OnboardingLink]
    onboarding_sessions: Repository[OnboardingSession]
    onboarding_steps: Repository[OnboardingStep]
    step_versions: Repository[StepVersion]
    console_sessions: Repository[ConsoleSession]
    assignments: Repository[Assignment]
    meetings: Repository[Meeting]
    hubs: Repository[Hub]
    holds: Repository[Hold]
    sagas: Repository[Saga]
    saga_steps: Repository[SagaStep]
    removal_decisions: Repository[RemovalDecision]
    certificates: Repository[Certificate]
    import_reports: Repository[ImportReport]
    accounts: Repository[Account]
    deployments: Repository[Deployment]
    specs: Repository[DeploymentSpec]
    runs: Repository[Run]
    calls: Repository[CallRecord]
    evidence: Repository[Evidence]
    findings: Repository[Finding]
    run_events: RunEvents
    finding_decisions: Repository[FindingDecision]
    sweeps: Repository[Sweep]
    residences: Repository[Residence]
    plans: Repository[Plan]
    approvals: Repository[Approval]
    barred: Repository[ExcludedApprover]
    decisions: Repository[Decision]
    withdrawals: Repository[Withdrawal]
    bundles: Repository[Bundle]
    handovers: Repository[Handover]
    links: Repository[DownloadLink]
    receipts: Repository[Receipt]
    idempotency: Repository[IdempotencyRecord]
    pauses: Repository[QueuePause]
    documents: Repository[LoadedDocument]
    salts: Repository[StackSalt]
    event_subscriptions: Repository[EventSubscription]
    playbooks: Repository[KeptPlaybook]
    journeys: Repository[Journey]
    journey_steps: Repository[JourneyStep]
    tasks: Repository[Task]
    grants: Repository[DisclosureGrant]
    erasures: Repository[Erasure]
    timers: Timers
    transfers: Transfers
    queries: Queries
    looks: Looks
    intake: Deliveries
    publications: Publications
    late: LateRows
    outbox: Outbox
    onboarding: Onboarding
    staffing: Staffing
    disclosures: Disclosures
    quarantine: Quarantine
    personal_rows: PersonalRows
    audit: AuditLog
    queue: RunQueue

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def commit(self) -> None:
        """Make everything of the block durable, or nothing.

        Raises ``Conflict``, and ``AuditUnavailable`` when its events cannot be written.
        """

    def add(self, *entities: object) -> None:
        """Insert entities of whatever kinds together: all of them or none.

        Raises ``Conflict`` as ``Repository.add`` does, but the transaction continues.
        """

    def begin_with(self, *entities: object) -> None:
        """Do as ``add`` in a transaction that has written and locked nothing yet, which costs less.

        With ``Conflict`` that transaction is over, and what follows is in a new one.
        """

    def serialize_on(self, name: str) -> None:
        """Wait until no other transaction holds ``name``; released at the end of this one."""


UnitOfWorkFactory = Callable[[], UnitOfWork]


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """Return the present time, aware, UTC."""


class Ids(Protocol):
    """New ids."""

    def new(self, kind: str) -> str:
        """Return a new id of a kind of ``domain.ids.PREFIXES``."""

    def secret(self) -> str:
        """Return 32 random bytes, base64url: the secret part of a link, or the salt of a stack."""
