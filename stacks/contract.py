"""The messages between the control plane and the runner: JSON lines on stdin and stdout.

One call is one process. The first line on stdin is a ``Request``. Afterwards stdin carries
``proceed <digest>``, ``look <digest>`` or ``stop`` as the answer to a ``planned`` message, and
``cancel`` at any time; end of file means that the parent died: the runner stops the engine and
ends. On stdout come ``Event`` lines, at most one ``Planned`` line, at most one ``Applied`` line
when an apply has ended and before it is verified, and as the last line exactly one ``Result`` or
``Failure``. Nothing else is ever printed there; a traceback is never an answer.

The JSON Schemas under ``stacks/schemas`` are generated from these models by
``python -m stacks.schemas`` and read by the control plane as data.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # the engine's mark of a value not known yet


class Message(BaseModel):
    """A closed, immutable message."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Operation(StrEnum):
    """What a call does."""

    PREVIEW = "preview"
    UP = "up"  # preview, gate, apply, verify: one call
    LOOK = "look"  # verify what exists; change nothing
    COMPARE = "compare"  # what of the scope differs in the cloud; change nothing
    INSPECT = "inspect"  # locks, pending operations, digest of the state; change nothing
    CLEAN_UP = "clean_up"  # end dead calls' processes and break exactly the named locks
    RESOLVE = "resolve"  # settle what interrupted operations have left
    CONTENTS = "contents"  # count what the data stores hold; change nothing
    FORGET = "forget"  # delete the records of a stack that has nothing any more


class Desired(StrEnum):
    """Whether the stack's resources are to exist."""

    PRESENT = "present"
    ABSENT = "absent"  # none of them: the program is run as one with nothing in it


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
    BACKEND = "backend"  # the state backend, or what it holds, cannot be used as it is
    BACKEND_UNAVAILABLE = "backend_unavailable"  # it is out of order: the call may succeed later
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
    ENGINE_DIED = "engine_died"  # the CLI was ended by a signal, or vanished
    PROVIDER_DIED = "provider_died"  # the engine lost its provider plugin or its program
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
    """Seconds per phase; the engine is stopped, then ended, when one has passed."""

    plan_seconds: float = 300.0
    gate_seconds: float = 600.0
    apply_seconds: float = 3600.0
    verify_seconds: float = 300.0
    stop_seconds: float = 30.0


class Secrets(Message):
    """What must not be on a command line; sent on stdin.

    ``former`` is the passphrase under which an earlier release wrote the stack.
    """

    passphrase: str = Field(min_length=8)
    former: str | None = Field(default=None, min_length=8)
    hmac_key: str = Field(pattern=r"^[0-9a-f]{64}$")


class Request(Message):
    """The first line."""

    protocol: Literal[1] = 1
    operation: Operation
    call_id: str = Field(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")
    stack: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,98}[a-z0-9]$")
    program: Program
    spec: dict[str, Any] = Field(default_factory=dict)
    desired: Desired = Desired.PRESENT
    cloud: Cloud
    backend_url: str = Field(pattern=r"^(file|s3|postgres(ql)?)://")  # never Pulumi Cloud
    work_folder: str  # private folder of the call, mode 0700, made and removed by the runner
    cli: str  # path of the pulumi binary
    cli_version: str  # what it says of itself, such as v3.259.0
    secrets: Secrets
    has_state: bool = False  # the stack was applied before: a backend without it is another one
    gate: bool = False  # `up`: wait for the answer to `planned`
    verify: bool = True  # `up`: afterwards do what `look` does
    compare: bool = False  # `up`: look again at what the plan touches, before `planned` is sent
    # URNs: these alone are read again, planned over what was read, and applied
    scope: tuple[str, ...] = ()
    everywhere: bool = False  # `look`: search the other regions of the account too
    known: tuple[str, ...] = ()  # subjects that are known to differ: they fail no check
    deadlines: Deadlines = Deadlines()
    break_locks: tuple[str, ...] = ()  # clean_up: what a dead call of ours left
    end_calls: tuple[str, ...] = ()  # clean_up: call ids whose processes are ended first


class PropertyChange(Message):
    """One input that changes; secrets are ``{"secret": true}``, unknown values the engine's mark.

    ``before_known`` is false where the property had a value that the engine does not report.
    """

    path: str
    kind: str  # add, update, delete, add-replace, update-replace, delete-replace
    before: Any = None
    after: Any = None
    before_known: bool = True


class OutputChange(Message):
    """One output of the stack that changes; values as in ``PropertyChange``."""

    name: str
    kind: Literal["add", "update", "delete"]
    before: Any = None
    after: Any = None


class PlannedOperation(Message):
    """One resource of the plan."""

    urn: str
    type: str
    name: str
    op: str  # same, create, update, replace, delete, read, import …
    diffs: dict[str, str] = Field(default_factory=dict)  # property path -> add, update, delete …
    changes: tuple[PropertyChange, ...] = ()  # the same, with values
    options: tuple[str, ...] = ()  # resource options that change: protect, retainOnDelete …
    replaces: tuple[str, ...] = ()  # property paths that force a replacement
    protect: bool = False
    secrets: tuple[str, ...] = ()  # names of secret properties
    holds_data: bool = False
    irreversible: bool = False  # it destroys what cannot be made again
    on_removal: str = ""  # of a delete: what becomes of what it holds, and what stays behind


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


class CloudDifference(Message):
    """Something in the cloud that is not as the state has it over which the plan was made.

    ``changed`` has the property with both values, secrets as ``{"secret": true}``, null where one
    side has none; ``missing`` and ``unhealthy`` are of the whole resource.
    """

    urn: str
    type: str
    name: str
    kind: Literal["changed", "missing", "unhealthy"]
    path: str = ""
    in_plan: Any = None
    in_cloud: Any = None


class PlannedParts(Message):
    """Digests, ``sha256:<hex>``, of the parts that the runner knows."""

    operations: str
    state: str
    program: str
    versions: str


class Event(Message):
    """Progress. ``kind``: phase, resource, diagnostic, detail, which is everything else."""

    message: Literal["event"] = "event"
    seq: int
    kind: str
    body: dict[str, Any] = Field(default_factory=dict)


class Planned(Message):
    """What would be done. ``digest`` is what ``proceed`` must quote.

    ``differences``: what the cloud has otherwise, of what the plan touches. No part of the digest.
    """

    message: Literal["planned"] = "planned"
    digest: str
    parts: PlannedParts
    versions: dict[str, str]  # cli, sdk, provider: name -> version, for people
    operations: tuple[PlannedOperation, ...]
    resources: tuple[PlannedResource, ...]
    outputs: tuple[OutputChange, ...] = ()
    differences: tuple[CloudDifference, ...] = ()  # with `compare`, sorted by URN and path


class Applied(Message):
    """An apply has ended well; sent before its verification begins."""

    message: Literal["applied"] = "applied"
    outputs: dict[str, Any] = Field(default_factory=dict)  # secrets masked
    secret_outputs: tuple[str, ...] = ()
    state_digest: str
    summary: dict[str, int] = Field(default_factory=dict)


class Check(Message):
    """A check of what exists: outputs_present, answers_in_cloud, as_applied, …"""

    name: str
    ok: bool
    detail: str = ""


class Drift(Message):
    """One thing in which the cloud is not as it was applied; secrets are ``{"secret": true}``.

    ``subject`` is a URN of the state; of ``foreign`` things, which are in no state, what AWS calls
    it and its id. ``path`` is that of the property of ``changed``. ``expected`` is what was
    applied, ``actual`` what is there, both null where there is nothing.
    """

    kind: Literal["changed", "missing", "foreign"]
    subject: str
    type: str
    path: str = ""
    expected: Any = None
    actual: Any = None


class Remaining(Message):
    """What a removal has to leave for a time: a key that waits for its deletion, a snapshot …

    ``kind`` as in ARNs. ``until``: ISO 8601 in UTC, None when somebody has to delete it.
    """

    kind: str
    id: str
    arn: str = ""
    until: str | None = None
    why: str


class Place(Message):
    """Where something is: ``subject`` in ``region``, ``global`` for what is in none.

    ``shared`` are the stores of the Hub that a slice keeps its data in; ``of`` is the subject that
    a copy is of.
    """

    subject: str
    type: str
    what: Literal["resource", "replica", "backup", "shared"]
    region: str
    of: str = ""


class Look(Message):
    """What a verification found; ``unanswered`` says why ``drift`` may not be all there is, and
    ``unplaced`` why ``places`` may not.

    ``remaining`` is what a look for nothing found that has to remain.
    """

    checks: tuple[Check, ...]
    drift: tuple[Drift, ...] = ()
    unanswered: str = ""
    places: tuple[Place, ...] = ()
    unplaced: str = ""
    everywhere: bool = False  # whether other regions were searched
    resources: tuple[PlannedResource, ...]
    outputs: dict[str, Any] = Field(default_factory=dict)  # secrets masked
    secret_outputs: tuple[str, ...] = ()
    state_digest: str
    remaining: tuple[Remaining, ...] = ()


class Store(Message):
    """What a data store holds: ``place`` is what AWS calls it, with the part of it that counts.

    ``urn`` is empty where another stack has the store: a slice has a part of its Hub's. ``items``
    and ``bytes`` are None where they cannot be counted; ``countable`` is that of ``items``, and
    ``detail`` says why not, or what is counted.
    """

    urn: str = ""
    type: str
    name: str
    place: str
    data_class: str = ""  # customer, secret, operational
    items: int | None = None
    bytes: int | None = None
    countable: bool = True
    detail: str = ""


class Lock(Message):
    """Who holds the stack: the call, and its process that writes the state.

    ``alive`` says whether the process that holds it exists, None when that is unknown.
    """

    id: str
    call_id: str | None = None
    host: str | None = None
    pid: int | None = None
    user: str | None = None
    time: str | None = None
    alive: bool | None = None


class Pending(Message):
    """An interrupted operation in the state."""

    urn: str
    type: str
    operation: str


class Resolved(Message):
    """How something that an interrupted call has left was resolved."""

    urn: str
    type: str
    resolution: Literal["imported", "adopted", "completed", "cleared"]
    proof: str


class Result(Message):
    """The last line of a call that did what it was asked.

    ``canceled`` is an apply that ended well, or a plan without changes, whose verification was
    canceled. ``look`` is there when a verification was made to its end.
    """

    message: Literal["result"] = "result"
    outcome: Literal[
        "planned", "applied", "looked", "stopped", "canceled", "inspected", "cleaned", "resolved",
        "counted", "forgotten", "compared",
    ]  # fmt: skip
    state_digest: str | None = None
    summary: dict[str, int] = Field(default_factory=dict)
    changed: bool = False  # whether the call changed a resource, an option of one or an output
    look: Look | None = None
    history_digest: str | None = None
    written_by: str | None = None  # inspect: the call whose update left exactly this state
    locks: tuple[Lock, ...] = ()
    pending: tuple[Pending, ...] = ()
    resolved: tuple[Resolved, ...] = ()
    differences: tuple[CloudDifference, ...] = ()  # compare
    ended_pids: tuple[int, ...] = ()
    broken_locks: tuple[str, ...] = ()
    stores: tuple[Store, ...] = ()  # contents
    records: int = 0  # forget: how many were deleted
    seconds: dict[str, float] = Field(default_factory=dict)


class Failure(Message):
    """The last line of a call that failed; ``changed`` says whether the cloud may have changed."""

    message: Literal["failure"] = "failure"
    code: Code
    text: str
    changed: bool = False
    data: dict[str, Any] = Field(default_factory=dict)
    state_digest: str | None = None
    summary: dict[str, int] = Field(default_factory=dict)


Line = Annotated[Event | Planned | Applied | Result | Failure, Field(discriminator="message")]
