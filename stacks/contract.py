"""The messages between the control plane and the runner: JSON lines on stdin and stdout.

One call is one process. The first line on stdin is a ``Request``. Afterwards stdin carries
``proceed <digest>`` or ``stop`` as the answer to a ``planned`` message, and ``cancel`` at any time;
end of file means that the parent died: the runner stops the engine and ends. On stdout come
``Event`` lines, at most one ``Planned`` line, and as the last line exactly one ``Result`` or
``Failure``. Nothing else is ever printed there; a traceback is never an answer.

The JSON Schemas under ``stacks/schemas`` are generated from these models by
``python -m stacks.schemas`` and read by the control plane as data.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

PROTOCOL = 1
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # the engine's mark of a value not known yet


class Message(BaseModel):
    """A closed, immutable message."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Operation(StrEnum):
    """What a call does."""

    PREVIEW = "preview"
    UP = "up"  # preview, gate, apply, verify: one call
    REFRESH = "refresh"
    DESTROY = "destroy"
    EXPORT = "export"  # the state's resources with secrets masked, locks, pending operations
    CLEAN_UP = "clean_up"  # end a dead call's processes and break exactly the named locks
    RESOLVE_PENDING = "resolve_pending"


class Program(StrEnum):
    """The programs; each has one spec schema."""

    HUB = "mode_a.hub"
    SLICE = "mode_a.slice"
    DEDICATED = "mode_b"


class Code(StrEnum):
    """Why a call failed."""

    BAD_REQUEST = "bad_request"  # the request is no valid message
    BAD_SPEC = "bad_spec"  # the spec does not fit its schema
    CLI_MISSING = "cli_missing"
    CLI_VERSION = "cli_version"
    BACKEND = "backend"  # the state backend cannot be reached or read
    LOCKED = "locked"  # somebody holds the stack's lock; data names holder
    PASSPHRASE = "passphrase"  # noqa: S105 - the code of a failure, not a secret
    PROGRAM = "program"  # the program raised; data names file and line
    PROVIDER = "provider"  # the cloud refused; data names resource, aws_code
    PROTECTED = "protected"  # protected resources would be deleted; data names them
    PLAN_VIOLATED = "plan_violated"  # an operation outside the saved plan
    POLICY = "policy"
    DEADLINE = "deadline"
    CANCELED = "canceled"
    PARENT_GONE = "parent_gone"
    PENDING_UNRESOLVED = "pending_unresolved"
    ENGINE = "engine"  # anything else the engine says


class Cloud(Message):
    """Where the resources live. Credentials come in the environment, never in a message."""

    provider: Literal["sandbox", "official"] = "sandbox"
    region: str
    account_id: str = Field(pattern=r"^[0-9]{12}$")
    role_arn: str | None = None
    external_id: str | None = None
    endpoint: str | None = None  # http://127.0.0.1:PORT of the emulated cloud, None for AWS


class Deadlines(Message):
    """Seconds per phase; the engine is stopped, then ended, when one is over."""

    plan_seconds: float = 300.0
    gate_seconds: float = 600.0
    apply_seconds: float = 3600.0
    verify_seconds: float = 300.0
    stop_seconds: float = 30.0


class Secrets(Message):
    """What must not be on a command line; sent on stdin."""

    passphrase: str = Field(min_length=8)
    hmac_key: str = Field(pattern=r"^[0-9a-f]{64}$")


class Request(Message):
    """The first line."""

    protocol: Literal[1] = 1
    operation: Operation
    call_id: str = Field(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")
    stack: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,98}[a-z0-9]$")
    program: Program
    spec: dict[str, Any] = Field(default_factory=dict)
    cloud: Cloud
    backend_url: str = Field(pattern=r"^(file|s3|postgres)://")  # never Pulumi Cloud
    work_folder: str  # private folder of the call, mode 0700, made and removed by the runner
    cli: str  # path of the pulumi binary
    secrets: Secrets
    stack_salt: str | None = None
    encrypted_key: str | None = None
    gate: bool = False  # `up`: wait for `proceed <digest>` after `planned`
    saved_plan: str | None = None  # base64 of the approved plan; None: this preview's own plan
    verify: bool = True  # `up`: afterwards look at every resource and preview again
    deadlines: Deadlines = Deadlines()
    break_locks: tuple[str, ...] = ()  # clean_up: uuids that a dead call of ours left
    end_calls: tuple[str, ...] = ()  # clean_up: call ids whose processes are ended first
    known_locks: tuple[str, ...] = ()  # export: which lock uuids are ours


class PlannedOperation(Message):
    """One resource of the plan."""

    urn: str
    type: str
    name: str
    op: str  # same, create, update, replace, delete, read, import, refresh …
    diffs: dict[str, str] = Field(default_factory=dict)  # property path -> add, update, delete …
    replaces: tuple[str, ...] = ()  # property paths that force a replacement
    protect: bool = False
    secrets: tuple[str, ...] = ()  # names of secret properties


class PlannedResource(Message):
    """What the policies read: inputs with secrets masked as {"secret": true}."""

    urn: str
    type: str
    name: str
    operation: str
    custom: bool = True
    inputs: dict[str, Any] = Field(default_factory=dict)
    outputs: dict[str, Any] = Field(default_factory=dict)  # of a state: what exists
    protect: bool = False
    parent: str | None = None
    provider: str | None = None


class PlannedParts(Message):
    """Digests, ``sha256:<hex>``, of the parts that the runner knows."""

    operations: str
    state: str
    program: str
    versions: str


class Event(Message):
    """Progress. ``kind``: phase, resource, diagnostic, lock, engine."""

    message: Literal["event"] = "event"
    seq: int
    kind: str
    body: dict[str, Any] = Field(default_factory=dict)


class Planned(Message):
    """What would be done. ``digest`` is what ``proceed`` must quote."""

    message: Literal["planned"] = "planned"
    digest: str
    parts: PlannedParts
    versions: dict[str, str]  # cli, sdk, provider: name -> version, for people
    operations: tuple[PlannedOperation, ...]
    resources: tuple[PlannedResource, ...]
    outputs: dict[str, Any] = Field(default_factory=dict)
    saved_plan: str  # base64
    stack_salt: str | None
    encrypted_key: str | None


class Check(Message):
    """A check after an apply: answers_in_cloud, plans_only_same, outputs_present."""

    name: str
    ok: bool
    detail: str = ""


class Lock(Message):
    """A lock file of the stack."""

    id: str
    ours: bool
    pid: int | None = None
    host: str | None = None
    user: str | None = None
    time: str | None = None


class Pending(Message):
    """An interrupted operation in the state."""

    urn: str
    type: str
    operation: str


class Resolved(Message):
    """How an interrupted create was resolved: imported, cleared."""

    urn: str
    type: str
    resolution: Literal["imported", "cleared"]
    proof: str


class Result(Message):
    """The last line of a call that did what it was asked."""

    message: Literal["result"] = "result"
    outcome: Literal["planned", "applied", "stopped", "exported", "cleaned", "resolved"]
    outputs: dict[str, Any] = Field(default_factory=dict)  # secrets masked
    secret_outputs: tuple[str, ...] = ()
    state_digest: str | None = None
    history_digest: str | None = None
    written_by: str | None = None  # export: the call whose update left exactly this state
    resources: tuple[PlannedResource, ...] = ()
    summary: dict[str, int] = Field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    locks: tuple[Lock, ...] = ()
    pending: tuple[Pending, ...] = ()
    resolved: tuple[Resolved, ...] = ()
    ended_pids: tuple[int, ...] = ()
    broken_locks: tuple[str, ...] = ()
    stack_salt: str | None = None
    encrypted_key: str | None = None
    seconds: dict[str, float] = Field(default_factory=dict)


class Failure(Message):
    """The last line of a call that failed; ``changed`` tells whether the cloud may have changed."""

    message: Literal["failure"] = "failure"
    code: Code
    text: str
    changed: bool = False
    data: dict[str, Any] = Field(default_factory=dict)
    state_digest: str | None = None
    summary: dict[str, int] = Field(default_factory=dict)


Line = Annotated[Event | Planned | Result | Failure, Field(discriminator="message")]
