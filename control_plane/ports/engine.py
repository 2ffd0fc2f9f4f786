"""The Pulumi engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Literal, Protocol

from control_plane.domain.deployment import Desired
from control_plane.domain.documents import Documented, Readers, tuple_of
from control_plane.domain.engine import (
    CloudDifference,
    LockInfo,
    Look,
    Operation,
    OutputChange,
    PlannedResource,
    Resolved,
    Store,
)
from control_plane.domain.plan import is_empty
from control_plane.domain.stack_salt import StackSalt
from control_plane.ports import Json


@dataclass(frozen=True, kw_only=True)
class EngineCall:
    """What every call of the engine needs. ``call_id`` marks its processes and its lock.

    With ``desired`` absent the program is one with nothing in it, so that everything that the stack
    has is deleted, and a look asks whether nothing is left. ``spec`` is then the one that ends.
    """

    call_id: str
    run_id: str
    deployment_id: str
    stack: str
    program: str  # "mode_a.hub", "mode_a.slice" or "mode_b"
    spec: Json
    desired: Desired = Desired.PRESENT
    region: str
    account_id: str
    role_arn: str | None = None
    external_id: str | None = None
    has_state: bool = False  # it was applied before: a backend without its state is another one
    # URNs: these alone are read again, planned over what was read, and applied; empty: everything
    scope: tuple[str, ...] = ()
    everywhere: bool = False  # a look searches the other regions of the account too
    known: tuple[str, ...] = ()  # subjects that are known to differ: they fail no check
    salt: StackSalt | None = None  # what the key of the stack is made from; None: it has none


@dataclass(frozen=True, kw_only=True)
class EnginePlan(Documented):
    """What the engine says it would do.

    ``outputs`` are the outputs of the stack that change. ``differences`` is in what the cloud
    differs from the state, where that was asked for. ``parts`` are the digests ``operations``,
    ``state``, ``program`` and ``versions``; the control plane adds its own.
    """

    _readers: ClassVar[Readers] = {
        "operations": tuple_of(Operation),
        "resources": tuple_of(PlannedResource),
        "outputs": tuple_of(OutputChange),
        "differences": tuple_of(CloudDifference),
    }

    operations: tuple[Operation, ...]
    resources: tuple[PlannedResource, ...]
    outputs: tuple[OutputChange, ...]
    parts: Mapping[str, str]
    differences: tuple[CloudDifference, ...] = ()

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
class Applied(Documented):
    """What an apply that ended well has left, before its verification. Secrets are masked."""

    _readers: ClassVar[Readers] = {"secret_outputs": tuple}

    outputs: Json
    secret_outputs: tuple[str, ...]
    state_digest: str
    summary: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class EngineResult(Documented):
    """How an apply ended.

    ``outcome`` is ``applied`` or ``looked`` (``look`` says what the verification found),
    ``stopped`` (the gate said stop; nothing was called), ``canceled`` (also during the verification
    after an apply that ended well) or ``failed``. ``error`` is {code, message, data}. ``changed``
    says whether the call changed a resource, an option of one or an output; after a failure,
    whether the cloud may have changed. ``state_digest`` is that of the state the call left.
    """

    _readers: ClassVar[Readers] = {"look": lambda look: look and Look.from_document(look)}

    outcome: Literal["applied", "looked", "stopped", "canceled", "failed"]
    state_digest: str | None = None
    summary: Mapping[str, int] = field(default_factory=dict)
    look: Look | None = None
    error: Json | None = None
    changed: bool = False


@dataclass(frozen=True, kw_only=True)
class StackInspection(Documented):
    """What earlier calls have left on a stack.

    ``state_digest`` is that of the current state, None when there is no stack. ``written_by`` is
    the id of the call whose update left exactly this state: proof that nobody else wrote since,
    also when the process that should have heard of it was dead by then. It is None for a state
    that somebody edited where it is stored.
    """

    _readers: ClassVar[Readers] = {"locks": tuple_of(LockInfo)}

    locks: tuple[LockInfo, ...] = ()
    state_digest: str | None = None
    written_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class CleanedUp(Documented):
    """What a clean-up ended and broke, for the audit log."""

    _readers: ClassVar[Readers] = {"ended_pids": tuple, "broken_locks": tuple}

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
        on_applied: OnApplied,
        on_events: EventListener,
        compares: bool,
    ) -> EngineResult:
        """Preview, ask ``gate``, apply exactly what was previewed, and verify.

        The stack is locked from the preview to the end of the apply. With ``compares``, for a
        plan that was made in an earlier call, what it touches is read again from the cloud before
        ``gate`` is asked.

        ``on_applied`` is called when the apply has ended well, before the verification begins.
        Whatever ``gate``, ``on_applied`` or ``on_events`` raises stops the call and is raised.
        """

    def compare(self, call: EngineCall, *, on_events: EventListener) -> tuple[CloudDifference, ...]:
        """Tell in what the cloud differs from the state, of what the scope of the call names.

        What a call was interrupted in is left out. Changes nothing.
        """

    def look(self, call: EngineCall, *, on_events: EventListener) -> Look:
        """Verify what exists by all checks; changes nothing."""

    def contents(self, call: EngineCall) -> tuple[Store, ...]:
        """Count what the data stores of the stack hold; changes nothing."""

    def forget(self, call: EngineCall) -> int:
        """Delete all that the state backend has of a removed stack; returns how many records.

        A stack that still has something, or is held, is refused. Repeating it deletes nothing more.
        """

    def inspect(self, call: EngineCall) -> StackInspection:
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
