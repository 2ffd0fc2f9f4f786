"""Ports: what the core needs from the outside, as protocols.

Every port has implementations under ``control_plane/adapters`` and one contract suite under
``tests/contracts`` that all of them pass.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol, Self, TypeVar

from control_plane.domain.approval import Approval, Decision, ExcludedApprover
from control_plane.domain.audit import AuditEvent
from control_plane.domain.bundle import Bundle, DownloadLink, Handover, Receipt
from control_plane.domain.calls import CallRecord
from control_plane.domain.deployment import Account, Deployment, DeploymentSpec
from control_plane.domain.engine import (
    CallMark,
    LockInfo,
    Look,
    Operation,
    OutputChange,
    PendingOperation,
    PlannedResource,
    Resolved,
)
from control_plane.domain.evaluation import Evaluation
from control_plane.domain.evidence import Evidence
from control_plane.domain.hub import Hub
from control_plane.domain.plan import Plan, PlanHead, is_empty
from control_plane.domain.rules import LoadedDocument
from control_plane.domain.run import BlockedOn, Run, RunEvent
from control_plane.domain.tenant import Contract, ProvisioningRequest, RefusedRequest, Tenant
from control_plane.domain.timers import Timer, TimerKind

Json = Mapping[str, Any]
T = TypeVar("T")


# --- rows ------------------------------------------------------------------------------------
class Repository(Protocol[T]):
    """A table of one kind of entity, inside a unit of work."""

    def add(self, entity: T) -> None:
        """Insert. Raises ``Conflict`` with ``constraint`` when a unique fact exists already."""

    def get(self, entity_id: str, *, lock: bool = False) -> T | None:
        """Return the row; with ``lock`` nobody else changes it until this transaction ends."""

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
    """The progress lines of runs; append only while a run goes on."""

    def append(self, *lines: RunEvent) -> None:
        """Insert lines of one run, all or none; their numbers must be its next, in sequence.

        Raises ``Conflict`` when they are not.
        """

    def after(self, run_id: str, seq: int, *, limit: int = 500) -> list[RunEvent]:
        """Return the lines of a run with numbers above ``seq``, in sequence."""

    def last_seq(self, run_id: str) -> int:
        """Return the highest number of a run, or 0."""

    def forget(self, run_id: str) -> int:
        """Delete the lines of a run that has ended; returns how many.

        Raises ``Conflict`` when it has not.
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
        """Write the event in the caller's transaction. Raises ``AuditUnavailable``."""


class RunQueue(Protocol):
    """The durable queue of phases."""

    def enqueue(self, phase: str, subject_id: str, *, partition: str, attempt: int = 1) -> None:
        """Enqueue a phase in the caller's transaction; phases are ``workflows.PHASES``.

        The same phase, subject and attempt are enqueued once. ``partition`` serialises: one phase
        of a partition runs at a time.
        """

    def holds(self, phase: str, subject_id: str, *, attempt: int) -> bool:
        """Tell whether this phase waits or runs, in whatever worker."""

    def forget(self, before: datetime, *, limit: int) -> int:
        """Delete what is kept of phases that ended before ``before``; returns how many."""


class Timers(Protocol):
    """What falls due. A timer is claimed by one worker and done at least once."""

    def set(self, kind: TimerKind, subject: str, due_at: datetime) -> None:
        """Let it fall due at ``due_at``, whenever it was due before."""

    def claim(self, now: datetime, *, until: datetime, limit: int) -> Sequence[Timer]:
        """Take timers that are due; if nothing becomes of it they fall due again at ``until``."""

    def finish(self, claimed: Timer) -> None:
        """Remove a claimed timer, unless it was set again meanwhile."""

    def cancel(self, kind: TimerKind, subject: str) -> None:
        """Remove a timer, if there is one."""


class Queries(Protocol):
    """Named questions, one indexed statement each."""

    def newest_run(self, deployment_id: str) -> Run | None:
        """Return the deployment's newest run."""

    def newest_runs(self, deployment_ids: Sequence[str]) -> Collection[str]:
        """Return the ids of the newest runs of some deployments."""

    def blocked_runs(
        self, on: BlockedOn, *, limit: int, region: str | None = None, hub_id: str | None = None
    ) -> Sequence[str]:
        """Return the ids of the runs that wait for ``on`` longest, of a region or Hub or of all."""

    def plan_heads(self, plan_ids: Sequence[str]) -> Mapping[str, PlanHead]:
        """Return what a list shows of some plans, without their resources."""

    def saved_plans(self, run_id: str) -> Sequence[str]:
        """Return the object keys of the engine's own plans that were saved for a run."""

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

    def newest_of_tenants(
        self, tenant_ids: Sequence[str]
    ) -> Mapping[str, tuple[str | None, str | None]]:
        """Return the ids of each tenant's newest run and newest bundle."""

    def forget_calls(self, deployment_id: str, *, below: int) -> int:
        """Delete ended engine calls of a deployment with numbers below ``below``; how many."""

    def forget_answers(self, now: datetime, *, limit: int) -> int:
        """Delete idempotent answers whose lifetime has ended; returns how many."""


class UnitOfWork(Protocol):
    """One transaction. Leaving the block without ``commit`` rolls back."""

    tenants: Repository[Tenant]
    contracts: Repository[Contract]
    requests: Repository[ProvisioningRequest]
    refusals: Repository[RefusedRequest]
    hubs: Repository[Hub]
    accounts: Repository[Account]
    deployments: Repository[Deployment]
    specs: Repository[DeploymentSpec]
    runs: Repository[Run]
    calls: Repository[CallRecord]
    evidence: Repository[Evidence]
    run_events: RunEvents
    plans: Repository[Plan]
    approvals: Repository[Approval]
    barred: Repository[ExcludedApprover]
    decisions: Repository[Decision]
    bundles: Repository[Bundle]
    handovers: Repository[Handover]
    links: Repository[DownloadLink]
    receipts: Repository[Receipt]
    idempotency: Repository[IdempotencyRecord]
    documents: Repository[LoadedDocument]
    timers: Timers
    queries: Queries
    audit: AuditLog
    queue: RunQueue

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def commit(self) -> None:
        """Make everything of the block durable, or nothing. Raises ``Conflict``."""

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
        """Return 32 random bytes, base64url: the secret part of a link."""


# --- the engine ------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class EngineCall:
    """What every call of the engine needs. ``call_id`` marks its processes and its lock."""

    call_id: str
    run_id: str
    deployment_id: str
    stack: str
    program: str  # "mode_a.hub", "mode_a.slice" or "mode_b"
    spec: Json
    region: str
    account_id: str
    role_arn: str | None = None
    external_id: str | None = None
    stack_salt: str | None = None
    encrypted_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class EnginePlan:
    """What the engine says it would do.

    ``outputs`` are the outputs of the stack that change. ``parts`` are the digests ``operations``,
    ``state``, ``program`` and ``versions``; the control plane adds its own. ``saved_plan`` is the
    engine's own plan file.
    """

    operations: tuple[Operation, ...]
    resources: tuple[PlannedResource, ...]
    outputs: tuple[OutputChange, ...]
    parts: Mapping[str, str]
    saved_plan: bytes
    stack_salt: str | None
    encrypted_key: str | None

    @property
    def is_empty(self) -> bool:
        """Whether the plan changes nothing."""
        return is_empty(self.operations, self.outputs)


class GateAnswer(StrEnum):
    """What a gate decides on a plan."""

    PROCEED = "proceed"  # apply it, then verify
    LOOK = "look"  # apply nothing, verify what exists
    STOP = "stop"  # do nothing more


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What an apply that ended well has left, before its verification. Secrets are masked."""

    outputs: Json
    secret_outputs: tuple[str, ...]
    state_digest: str
    summary: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class EngineResult:
    """How an apply ended.

    ``outcome`` is ``applied`` or ``looked`` (``look`` says what the verification found),
    ``stopped`` (the gate said stop; nothing was called), ``canceled`` (also during the verification
    after an apply that ended well) or ``failed``. ``error`` is {code, message, data}. ``changed``
    says whether the call changed a resource, an option of one or an output; after a failure,
    whether the cloud may have changed. ``state_digest`` is that of the state the call left.
    """

    outcome: Literal["applied", "looked", "stopped", "canceled", "failed"]
    state_digest: str | None = None
    summary: Mapping[str, int] = field(default_factory=dict)
    look: Look | None = None
    error: Json | None = None
    changed: bool = False


@dataclass(frozen=True, kw_only=True)
class StackInspection:
    """What earlier calls have left on a stack.

    ``state_digest`` is that of the current state, None when there is no stack. ``written_by`` is
    the id of the call whose update left exactly this state: proof that nobody else wrote since,
    also when the process that should have heard of it was dead by then.
    """

    locks: tuple[LockInfo, ...] = ()
    pending: tuple[PendingOperation, ...] = ()
    state_digest: str | None = None
    written_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class CleanedUp:
    """What a clean-up ended and broke, for the audit log."""

    ended_pids: tuple[int, ...] = ()
    broken_locks: tuple[str, ...] = ()


Gate = Callable[[EnginePlan], GateAnswer]
OnApplied = Callable[[Applied], None]
EngineEvent = tuple[str, Json]  # kind, body
EventListener = Callable[
    [Sequence[EngineEvent]], None
]  # what happened since it was called last, in order


class StackEngine(Protocol):
    """The Pulumi engine, one operating system process per call.

    All raise ``EngineUnavailable``, ``EngineFailed`` or ``ForeignLock``; a failed apply is a result
    with ``outcome="failed"``, since the cloud may have changed. When a process of the call died, so
    that nobody can say how it ended, they raise ``EngineFailed`` with the reason ``runner_died``,
    ``engine_died`` or ``provider_died``: clean up, resolve, and continue.
    """

    def plan(self, call: EngineCall, *, on_events: EventListener) -> EnginePlan:
        """Preview; changes nothing."""

    def apply(
        self,
        call: EngineCall,
        *,
        gate: Gate,
        saved_plan: bytes | None,
        on_applied: OnApplied,
        on_events: EventListener,
    ) -> EngineResult:
        """Preview, ask ``gate``, apply with ``saved_plan`` or this preview's own plan, and verify.

        ``on_applied`` is called when the apply has ended well, before the verification begins.
        Whatever ``gate``, ``on_applied`` or ``on_events`` raises stops the call and is raised.
        """

    def look(self, call: EngineCall, *, on_events: EventListener) -> Look:
        """Verify what exists by all checks; changes nothing."""

    def inspect(self, call: EngineCall, *, marks: Sequence[CallMark]) -> StackInspection:
        """Tell, without changing anything, what earlier calls have left on the stack."""

    def clean_up(
        self, call: EngineCall, *, end_calls: Sequence[str], break_locks: Sequence[str]
    ) -> CleanedUp:
        """End every process of the calls ``end_calls``, then break exactly ``break_locks``."""

    def resolve(self, call: EngineCall, *, on_events: EventListener) -> tuple[Resolved, ...]:
        """Settle what interrupted operations have left, and read the whole stack from the cloud.

        Raises ``PendingUnresolved`` naming those whose outcome is unknown.
        """

    def cancel(self, call_id: str) -> bool:
        """Ask a running call of this process to stop; returns whether there was one."""

    def stop_all(self) -> None:
        """Stop every running call of this process where it is, as its parent's death would."""


# --- bundles ---------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class BundleOrder:
    """What a bundle is built from; everything inside the archive is determined by it."""

    bundle_id: str
    tenant_id: str
    tenant_slug: str
    number: int
    variables: Json  # terraform.tfvars.json without the content digest
    zone: str | None = None  # residency zone that the tenant asked for, for the policies
    strict: bool = False  # whether the tenant's data must stay there


@dataclass(frozen=True, kw_only=True)
class BuiltBundle:
    """A built, signed and rehearsed bundle; ``files`` are those beside the archive."""

    archive_name: str
    archive: bytes
    archive_digest: str
    content_digest: str
    rehearsal: str  # none, quick, full
    checks: Sequence[Json]  # {name, ok, detail, seconds}
    files: Mapping[str, bytes]  # name -> bytes: signature, public key, attestation, evidence


class BundleBuilder(Protocol):
    """Terraform, packing and signing."""

    def build(self, order: BundleOrder, *, on_events: EventListener) -> BuiltBundle:
        """Build, pack, sign and rehearse; ``on_events`` gets each ``check`` when it is done.

        Raises ``BundleInvalid`` naming the failed checks.
        """

    def check_variables(self, variables: Json, *, is_draft: bool = False) -> None:
        """Validate variables against their schema; in a draft ``account_id`` may be empty.

        Raises ``InvalidInput`` that names every wrong field.
        """

    def stop_all(self) -> None:
        """End what builds of this process have running: the process is about to end."""


# --- objects and secrets ---------------------------------------------------------------------
class ObjectStore(Protocol):
    """Bytes under a key: saved plans (sealed), archives, attestations."""

    def put(self, key: str, content: bytes) -> None:
        """Store durably; an existing key with other content is refused with ``Conflict``."""

    def get(self, key: str) -> bytes:
        """Return the content. Raises ``NotFound``."""

    def remove(self, key: str) -> None:
        """Remove the object, if there is one."""


class SecretStore(Protocol):
    """Keys that never leave the process."""

    def passphrase(self, deployment_id: str) -> str:
        """Return the engine's passphrase of a deployment's stack."""

    def hmac_key(self, deployment_id: str) -> bytes:
        """Return the 32-byte key that hides secrets in a deployment's state digest."""

    def seal(self, content: bytes, *, context: str) -> bytes:
        """Encrypt with authentication; ``context`` is bound."""

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """Decrypt what ``seal`` made with the same context. Raises ``Conflict`` otherwise."""


# --- rules -----------------------------------------------------------------------------------
class Specs(Protocol):
    """The closed schemas of specs."""

    def validate(self, program: str, spec: Json) -> None:
        """Check a spec against the schema of its program. Raises ``InvalidInput``.

        ``receipt`` is checked in the same way.
        """


@dataclass(frozen=True, kw_only=True)
class PolicyScope:
    """What a plan is judged against: where it belongs and what it must carry.

    ``tenant``, ``deployment`` and ``environment`` are the values of the tags. ``slice_short`` is
    the short name of a slice of a shared Hub, None for anything else.
    """

    region: str
    account_id: str
    zone: str | None  # residency zone the owner asked for
    strict: bool
    mode: str
    tenant: str
    deployment: str
    environment: str
    slice_short: str | None = None


class Policies(Protocol):
    """The policy rules over a plan or a resulting state."""

    def digest(self) -> str:
        """Return the digest of rules and parameters: a part of every plan digest."""

    def evaluate_plan(self, resources: Sequence[PlannedResource], scope: PolicyScope) -> Evaluation:
        """Evaluate a Pulumi plan's resources."""

    def evaluate_state(
        self, resources: Sequence[PlannedResource], scope: PolicyScope
    ) -> Evaluation:
        """Evaluate what exists after an apply."""


# --- the audit log, read ---------------------------------------------------------------------
class AuditReader(Protocol):
    """What a workflow asks of the audit log it writes to."""

    def first_fault(self) -> str:
        """Return the first fault that the logs are known to have, or ''; it reads no log."""

    def is_behind(self) -> str:
        """Return why all mutations must wait (sequencer or signer down), or ''."""

    def held(self) -> Mapping[str, str]:
        """Return the trees whose own mutations must wait, each with the reason."""

    def events(self, tree: str, *, after: int, limit: int, action: str | None) -> Sequence[Json]:
        """Return {idx, leaf, header, body} of sequenced entries with ``idx >= after``."""

    def checkpoint(self, tree: str) -> str | None:
        """Return the newest checkpoint note, or None."""

    def proof(self, tree: str, idx: int) -> Json:
        """Return an inclusion proof under the newest checkpoint. Raises ``NotFound``."""

    def tile(self, tree: str, path: str) -> bytes:
        """Return the bytes of a tlog-tiles path. Raises ``NotFound``."""
