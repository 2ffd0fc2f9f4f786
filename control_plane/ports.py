"""Ports: what the core needs from the outside, as protocols.

Every port has implementations under ``control_plane/adapters`` and one contract suite under
``tests/contracts`` that all of them pass, the in-memory ones included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, Self, TypeVar

from control_plane.domain.approval import Approval, Barred, Decision
from control_plane.domain.audit import AuditEvent
from control_plane.domain.bundle import Bundle, DownloadLink, Handover, Receipt
from control_plane.domain.deployment import Account, Deployment
from control_plane.domain.hub import Hub
from control_plane.domain.plan import Plan
from control_plane.domain.run import Run, RunEvent
from control_plane.domain.tenant import Contract, ProvisioningRequest, Tenant

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

        For entities with a ``version`` the row must hold ``version - 1``; else ``Conflict``.
        """

    def find(self, **equals: Any) -> list[T]:
        """Return all rows whose fields equal the given values, oldest id first.

        A tuple, list, set or frozenset as a value means "one of"; None means "is null".
        """

    def count(self, **equals: Any) -> int:
        """Count what ``find`` would return."""

    def page(self, *, limit: int, before: str | None = None, **equals: Any) -> list[T]:
        """Return at most ``limit`` rows, newest id first, with ids smaller than ``before``."""


class RunEvents(Protocol):
    """The progress lines of runs; append only."""

    def append(self, *lines: RunEvent) -> None:
        """Insert lines of one run, all or none; their numbers must be its next, in order.

        Raises ``Conflict`` when they are not.
        """

    def after(self, run_id: str, seq: int, *, limit: int = 500) -> list[RunEvent]:
        """Return the lines of a run with numbers above ``seq``, in order."""

    def last_seq(self, run_id: str) -> int:
        """Return the highest number of a run, or 0."""


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


class UnitOfWork(Protocol):
    """One transaction. Leaving the block without ``commit`` rolls back."""

    tenants: Repository[Tenant]
    contracts: Repository[Contract]
    requests: Repository[ProvisioningRequest]
    hubs: Repository[Hub]
    accounts: Repository[Account]
    deployments: Repository[Deployment]
    runs: Repository[Run]
    run_events: RunEvents
    plans: Repository[Plan]
    approvals: Repository[Approval]
    barred: Repository[Barred]
    decisions: Repository[Decision]
    bundles: Repository[Bundle]
    handovers: Repository[Handover]
    links: Repository[DownloadLink]
    receipts: Repository[Receipt]
    idempotency: Repository[IdempotencyRecord]
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

    ``parts`` are the digests ``operations``, ``state``, ``program`` and ``versions``; the control
    plane adds ``spec`` and ``policies``. ``saved_plan`` is the engine's own plan file.
    """

    operations: Sequence[Json]
    resources: Sequence[Json]
    parts: Mapping[str, str]
    saved_plan: bytes
    stack_salt: str | None
    encrypted_key: str | None


@dataclass(frozen=True, kw_only=True)
class EngineResult:
    """What an apply did.

    ``outcome`` is ``applied``, ``stopped`` (the gate said stop; nothing was called), ``canceled``
    or ``failed``. ``error`` is {code, message, data}. ``state_digest`` is that of the state the
    call left. ``checks`` are the runner's own checks after an apply.
    """

    outcome: str
    outputs: Json = field(default_factory=dict)
    secret_outputs: Sequence[str] = ()
    state_digest: str | None = None
    resources: Sequence[Json] = ()
    summary: Mapping[str, int] = field(default_factory=dict)
    checks: Sequence[Json] = ()
    error: Json | None = None


@dataclass(frozen=True, kw_only=True)
class Leftovers:
    """What earlier calls left on a stack.

    ``locks`` are {id, ours, holder}; ``pending`` are {urn, type, operation}; ``state_digest`` is
    that of the present state, None when there is no stack. ``written_by`` is the id of the call
    whose update left exactly this state: proof that nobody else wrote since, also when the process
    that should have heard of it was dead by then.
    """

    locks: Sequence[Json] = ()
    pending: Sequence[Json] = ()
    state_digest: str | None = None
    history_digest: str | None = None  # newest update of the stack, whoever made it
    written_by: str | None = None


Gate = Callable[[EnginePlan], bool]  # True: proceed, False: stop
Happened = tuple[str, Json]  # kind, body
OnEvents = Callable[[Sequence[Happened]], None]  # what happened since it was called last, in order


class StackEngine(Protocol):
    """The Pulumi engine, one operating system process per call.

    All raise ``EngineUnavailable``, ``EngineFailed`` or ``ForeignLock``; a failed apply is a
    result with ``outcome="failed"``, since the cloud may have changed.
    """

    def plan(self, call: EngineCall, *, on_events: OnEvents) -> EnginePlan:
        """Preview; changes nothing."""

    def apply(
        self, call: EngineCall, *, gate: Gate, saved_plan: bytes | None, on_events: OnEvents
    ) -> EngineResult:
        """Preview, ask ``gate``, and apply with ``saved_plan``, or this preview's own plan."""

    def leftovers(self, call: EngineCall, *, known_locks: Sequence[str]) -> Leftovers:
        """Look, without changing anything, at what earlier calls left on the stack."""

    def clean_up(
        self, call: EngineCall, *, call_ids: Sequence[str], lock_ids: Sequence[str]
    ) -> Json:
        """End every process of ``call_ids``, then break exactly the locks ``lock_ids``.

        Returns what was ended and broken, for the audit log.
        """

    def resolve_pending(self, call: EngineCall, *, on_events: OnEvents) -> Sequence[Json]:
        """Import or clear interrupted creates; returns {urn, type, resolution, proof} each.

        Raises ``PendingUnresolved`` naming those that cannot be told.
        """

    def cancel(self, call_id: str) -> bool:
        """Ask a running call of this process to stop; tells whether there was one."""

    def stop_all(self) -> None:
        """Stop every running call of this process where it is, as its parent's death would."""

    def ready(self) -> str:
        """Return the engine's version. Raises ``EngineUnavailable``."""


# --- bundles ---------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class BundleOrder:
    """What a bundle is built from; everything inside the archive is determined by it."""

    bundle_id: str
    tenant_id: str
    tenant_slug: str
    number: int
    variables: Json  # terraform.tfvars.json without the content digest


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

    def build(self, order: BundleOrder, *, on_events: OnEvents) -> BuiltBundle:
        """Build, pack, sign and rehearse; ``on_events`` gets each ``check`` when it is done.

        Raises ``BundleInvalid`` naming the failed checks.
        """

    def check_variables(self, variables: Json) -> None:
        """Validate variables against their schema. Raises ``InvalidInput`` naming the field."""

    def stop_all(self) -> None:
        """End what builds of this process have running: the process is about to end."""


# --- objects and secrets ---------------------------------------------------------------------
class ObjectStore(Protocol):
    """Bytes under a key: saved plans (sealed), archives, attestations."""

    def put(self, key: str, content: bytes) -> None:
        """Store durably; an existing key with other content is refused with ``Conflict``."""

    def get(self, key: str) -> bytes:
        """Return the content. Raises ``NotFound``."""

    def exists(self, key: str) -> bool:
        """Tell whether the key is there."""


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
        """Check a spec against the schema of its program. Raises ``InvalidInput``."""


@dataclass(frozen=True, kw_only=True)
class PolicyScope:
    """What a plan is judged against: where it belongs and what it must carry."""

    region: str
    account_id: str
    zone: str | None  # residency zone the owner asked for
    strict: bool
    mode: str


class Policies(Protocol):
    """The policy rules over a plan or a resulting state."""

    def digest(self) -> str:
        """Return the digest of rules and parameters: a part of every plan digest."""

    def judge_plan(self, resources: Sequence[Json], scope: PolicyScope) -> Json:
        """Evaluate a Pulumi plan's resources.

        Returns {ok, violations: [{rule, address, enforcement, reason, remedy}], rules, digest}.
        """

    def judge_state(self, resources: Sequence[Json], scope: PolicyScope) -> Json:
        """Evaluate what exists after an apply, in the same form."""


# --- the audit log, read ---------------------------------------------------------------------
class Trail(Protocol):
    """What a workflow asks of the audit log it writes to."""

    def first_fault(self, tree: str | None) -> str:
        """Verify a tree (None: the platform's); returns the first fault in words, or ''."""

    def is_behind(self) -> str:
        """Return why mutations must wait (sequencer or signer down), or ''."""

    def events(self, tree: str, *, after: int, limit: int, action: str | None) -> Sequence[Json]:
        """Return {idx, leaf, header, body} of sequenced entries with ``idx >= after``."""

    def checkpoint(self, tree: str) -> str | None:
        """Return the newest checkpoint note, or None."""

    def proof(self, tree: str, idx: int) -> Json:
        """Return an inclusion proof under the newest checkpoint. Raises ``NotFound``."""

    def tile(self, tree: str, path: str) -> bytes:
        """Return the bytes of a tlog-tiles path. Raises ``NotFound``."""
