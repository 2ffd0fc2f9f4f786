"""The port ``StackEngine`` in memory, with the faults that a real engine has."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from control_plane.domain.engine import (
    CallMark,
    Check,
    LockInfo,
    Look,
    PendingOperation,
    Resolved,
)
from control_plane.domain.errors import (
    EngineFailed,
    EngineUnavailable,
    ForeignLock,
    PendingUnresolved,
)
from control_plane.domain.plan import CHANGING
from control_plane.ports.engine import (
    Applied,
    CleanedUp,
    EngineCall,
    EnginePlan,
    EngineResult,
    EventListener,
    Gate,
    GateAnswer,
    OnApplied,
    StackInspection,
)
from tests.scripted_resources import made, outputs_of, resources_of
from tests.scripted_stacks import (
    ScriptedStack,
    carry_out,
    compare,
    described,
    plan_of,
)

HOST: Final = "host-a"
PID: Final = 4711
CHECKS: Final = ("outputs_present", "answers_in_cloud", "plans_only_same", "nothing_unknown")


class ProcessDied(BaseException):
    """The process that called the engine is killed here: no ``except Exception`` sees it."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong in an apply once ``after`` resources are done.

    ``fails``: the cloud refuses the next one. ``runner_dies``, ``engine_dies``, ``provider_dies``
    and ``worker_dies``: that process is killed while it creates the next one, which leaves lock and
    interrupted create; ``created`` tells whether the cloud made it all the same. When ``after`` is
    beyond the last resource, all is done and unlocked, and only the answer is lost.
    ``backend_gone``: the state cannot be written any more. ``canceled``: somebody cancels it there.
    ``canceled_in_look``: while it is verified.
    """

    kind: Literal[
        "fails", "runner_dies", "engine_dies", "provider_dies", "worker_dies", "canceled",
        "canceled_in_look", "backend_gone",
    ]  # fmt: skip
    after: int = 1
    created: bool = True
    code: str = "provider"
    message: str = "the cloud refused the resource"


class ScriptedEngine:
    """Stacks in a dictionary. What a spec asks for comes from ``wanted``.

    ``faults`` happen one per apply, in order; ``outages`` are raised one per call of the engine.
    ``failing_checks`` are names of checks that a look finds wrong, ``skipped_checks`` of those that
    it does not make. ``program_version`` is part of every plan, as the program's files are of a
    real one. ``during`` is told what goes on: each call of the port, and of an apply also
    ``change``, once the gate has let it through, and ``verify``.
    """

    def __init__(
        self,
        *,
        wanted: Callable[[EngineCall], list[dict[str, Any]]] = resources_of,
        outputs: Callable[[EngineCall], dict[str, Any]] = outputs_of,
    ) -> None:
        self.stacks: dict[str, ScriptedStack] = {}
        self.faults: deque[Fault] = deque()
        self.outages: deque[Exception] = deque()
        self.failing_checks: set[str] = set()
        self.skipped_checks: set[str] = set()
        self.ambiguous = False  # interrupted creates cannot be told to be ours
        self.alive: bool | None = False  # of processes that hold locks of ours
        self.unavailable = False
        self.program_version = "1"
        self.extra_outputs: dict[str, Any] = {}
        self.calls: list[tuple[str, str]] = []  # what was called, on which stack
        self.during: Callable[[str, EngineCall], None] = lambda what, call: None
        self._wanted = wanted
        self._outputs = outputs
        self._mutex = threading.RLock()
        self._running: set[str] = set()
        self._canceled: set[str] = set()
        self._locks_taken = 0

    # --- for tests ---------------------------------------------------------------------------
    def hold_lock(self, stack: str, holder: str = "somebody@elsewhere") -> str:
        """Lock a stack as somebody else does, and return the lock's id."""
        user, _, host = holder.partition("@")
        return self._take_lock(self._stack(stack), None, host=host, user=user)

    def touch(self, stack: str) -> None:
        """Change a stack as no run of ours does."""
        found = self._stack(stack)
        urn = f"urn:pulumi:{stack}::tenantplane::aws:ssm/parameter:Parameter::touched"
        found.resources[urn] = made(
            {"urn": urn, "type": "aws:ssm/parameter:Parameter", "name": "touched",
             "inputs": {"value": str(found.updates)}, "protect": False}
        )  # fmt: skip
        found.updates += 1
        found.written_by = None

    def lose(self, stack: str, name: str) -> None:
        """Delete a resource in the cloud behind the state's back."""
        self._stack(stack).lost |= {
            urn for urn, item in self._stack(stack).resources.items() if item["name"] == name
        }

    # --- the port ----------------------------------------------------------------------------
    def plan(self, call: EngineCall, *, on_events: EventListener) -> EnginePlan:
        """Preview; changes nothing."""
        with self._called("plan", call) as stack:
            on_events([("phase", {"phase": "plan", "status": "started"})])
            plan = self._preview(stack, call)
            on_events([("phase", {"phase": "plan", "status": "ended"})])
            if call.call_id in self._canceled:
                raise EngineFailed("canceled during the plan", reason="canceled")
            return plan

    def apply(
        self,
        call: EngineCall,
        *,
        gate: Gate,
        saved_plan: bytes | None,
        on_applied: OnApplied,
        on_events: EventListener,
    ) -> EngineResult:
        """Preview, ask ``gate``, apply with ``saved_plan`` or this preview's own, and verify."""
        with self._called("apply", call) as stack:
            plan = self._preview(stack, call)
            if call.call_id in self._canceled:
                raise EngineFailed("canceled during the plan", reason="canceled")
            answer = gate(plan)
            if answer is GateAnswer.STOP:
                return EngineResult(outcome="stopped", state_digest=stack.state_digest())
            if answer is GateAnswer.LOOK:
                return EngineResult(
                    outcome="looked",
                    state_digest=stack.state_digest(),
                    look=self._look(stack, call),
                )
            allowed = json.loads(saved_plan if saved_plan is not None else plan.saved_plan)
            outside = [
                operation.urn for operation in plan.operations
                if operation.op in CHANGING and allowed.get(operation.urn) != operation.op
            ]  # fmt: skip
            if outside:
                return self._failed(stack, "plan_violated", f"outside the plan: {outside[0]}", {})
            on_events([("engine", {"pid": PID, "host": HOST})])
            lock = self._take_lock(stack, call.call_id, host=HOST, user="us")
            self.during("change", call)
            fault = self.faults.popleft() if self.faults else None
            result = self._carry_out(stack, call, plan, on_events, fault)
            stack.locks.pop(lock, None)
            stack.updates += 1
            if result.outcome != "applied":
                return result
            if fault is not None and fault.kind not in {"fails", "canceled_in_look"}:
                raise _death(fault)
            on_applied(
                Applied(
                    outputs=stack.outputs,
                    secret_outputs=(),
                    state_digest=stack.state_digest(),
                    summary=result.summary,
                )
            )
            self.during("verify", call)
            if fault is not None and fault.kind == "canceled_in_look":
                return EngineResult(
                    outcome="canceled", state_digest=stack.state_digest(),
                    changed=not plan.is_empty,
                    error={"code": "canceled", "message": "canceled during verify", "data": {}},
                )  # fmt: skip
            return EngineResult(
                outcome="applied", state_digest=stack.state_digest(), summary=result.summary,
                look=self._look(stack, call), changed=not plan.is_empty,
            )  # fmt: skip

    def look(self, call: EngineCall, *, on_events: EventListener) -> Look:
        """Verify what exists by all checks; changes nothing."""
        with self._called("look", call) as stack:
            on_events([("phase", {"phase": "verify", "status": "started"})])
            return self._look(stack, call)

    def inspect(self, call: EngineCall, *, marks: Sequence[CallMark]) -> StackInspection:
        """Tell, without changing anything, what earlier calls have left on the stack."""
        known = {mark.call_id for mark in marks if PID in mark.pids}
        with self._called("inspect", call) as stack:
            return StackInspection(
                locks=tuple(
                    LockInfo(
                        id=lock.id,
                        call_id=lock.call_id if lock.call_id in known else None,
                        host=lock.host,
                        pid=lock.pid,
                        user=lock.user,
                        alive=self.alive if lock.host == HOST else None,
                    )
                    for lock in stack.locks.values()
                ),
                pending=tuple(
                    PendingOperation(urn=urn, type=item["type"], operation="creating")
                    for urn, item in stack.pending.items()
                ),
                state_digest=stack.state_digest(),
                written_by=stack.written_by,
            )

    def clean_up(
        self, call: EngineCall, *, end_calls: Sequence[str], break_locks: Sequence[str]
    ) -> CleanedUp:
        """Break exactly the locks ``break_locks``; there are no processes here."""
        with self._called("clean_up", call) as stack:
            broken = [lock for lock in break_locks if stack.locks.pop(lock, None) is not None]
            ended = [PID] if self.alive and end_calls else []
            return CleanedUp(ended_pids=tuple(ended), broken_locks=tuple(broken))

    def resolve(self, call: EngineCall, *, on_events: EventListener) -> tuple[Resolved, ...]:
        """Settle what interrupted operations have left, and make the state that of the cloud."""
        with self._called("resolve", call) as stack:
            if self.ambiguous and stack.pending:
                raise PendingUnresolved(
                    "an interrupted create cannot be told", resources=sorted(stack.pending)
                )
            resolved = []
            for urn, item in sorted(stack.pending.items()):
                if item.pop("created"):
                    stack.resources[urn] = made(item)
                    found = ("imported", "found by its name and tags")
                else:
                    found = ("cleared", "the cloud has nothing of this name")
                resolved.append(
                    Resolved.from_document(
                        {"urn": urn, "type": item["type"], "resolution": found[0],
                         "proof": found[1]}
                    )
                )  # fmt: skip
                on_events([("diagnostic", {"text": f"{found[0]} {urn}"})])
            for urn in stack.lost:
                stack.resources.pop(urn, None)
            if resolved or stack.lost:
                stack.written_by = call.call_id
            stack.lost.clear()
            stack.pending.clear()
            return tuple(resolved)

    def cancel(self, call_id: str) -> bool:
        """Ask a running call to stop before its next resource; tells whether there was one."""
        with self._mutex:
            if call_id not in self._running:
                return False
            self._canceled.add(call_id)
            return True

    def stop_all(self) -> None:
        """Stop every running call before its next resource."""
        with self._mutex:
            self._canceled |= self._running

    # --- inside ------------------------------------------------------------------------------
    @contextmanager
    def _called(self, what: str, call: EngineCall) -> Iterator[ScriptedStack]:
        if self.unavailable:
            raise EngineUnavailable
        with self._mutex:
            self.calls.append((what, call.stack))
            self._running.add(call.call_id)
        try:
            if self.outages:
                raise self.outages.popleft()
            self.during(what, call)
            yield self._stack(call.stack)
        finally:
            with self._mutex:
                self._running.discard(call.call_id)
                self._canceled.discard(call.call_id)

    def _stack(self, name: str) -> ScriptedStack:
        with self._mutex:
            return self.stacks.setdefault(name, ScriptedStack())

    def _take_lock(self, stack: ScriptedStack, call_id: str | None, *, host: str, user: str) -> str:
        with self._mutex:
            self._locks_taken += 1
            lock = f"00000000-0000-4000-8000-{self._locks_taken:012d}"
            stack.locks[lock] = LockInfo(id=lock, call_id=call_id, host=host, pid=PID, user=user)
            return lock

    def _preview(self, stack: ScriptedStack, call: EngineCall) -> EnginePlan:
        if stack.locks:
            holder = next(iter(stack.locks.values()))
            name = f"{holder.user}@{holder.host}"
            raise ForeignLock(f"the stack is locked by {name}", holder=name)
        if stack.pending:
            raise EngineFailed("the state has interrupted operations", reason="pending_unresolved")
        return plan_of(stack, call, self._wanted(call), self._exports(call), self.program_version)

    def _exports(self, call: EngineCall) -> dict[str, Any]:
        return self._outputs(call) | self.extra_outputs

    def _carry_out(
        self,
        stack: ScriptedStack,
        call: EngineCall,
        plan: EnginePlan,
        on_events: EventListener,
        fault: Fault | None,
    ) -> EngineResult:
        wanted = {str(item["urn"]): item for item in self._wanted(call)}
        summary: dict[str, int] = {}
        for operation in plan.operations:
            if operation.op not in CHANGING:
                continue
            is_at = fault is not None and fault.after == sum(summary.values())
            if call.call_id in self._canceled or (
                is_at and fault is not None and fault.kind == "canceled"
            ):
                return EngineResult(
                    outcome="canceled", state_digest=stack.state_digest(), summary=summary,
                    error={"code": "canceled", "message": "stopped as asked", "data": {}},
                    changed=bool(summary),
                )  # fmt: skip
            if is_at and fault is not None and fault.kind != "canceled_in_look":
                return self._break(stack, fault, wanted.get(operation.urn), summary)
            carry_out(stack, call.call_id, operation, wanted)
            summary[operation.op] = summary.get(operation.op, 0) + 1
            done = {"urn": operation.urn, "op": operation.op, "status": "done", "phase": "apply"}
            on_events([("resource", done)])
        stack.outputs = self._exports(call)
        stack.written_by = call.call_id
        return EngineResult(outcome="applied", state_digest=stack.state_digest(), summary=summary)

    def _break(
        self,
        stack: ScriptedStack,
        fault: Fault,
        item: dict[str, Any] | None,
        summary: dict[str, int],
    ) -> EngineResult:
        if fault.kind == "fails":
            return self._failed(stack, fault.code, fault.message, summary)
        if item is not None:
            stack.pending[str(item["urn"])] = {**item, "created": fault.created}
        raise _death(fault)

    def _look(self, stack: ScriptedStack, call: EngineCall) -> Look:
        rest = [op.name for op in compare(stack, self._wanted(call)) if op.op != "same"]
        lost = [stack.resources[urn]["name"] for urn in sorted(stack.lost)]
        faults = {
            "plans_only_same": "planned: " + ", ".join([*rest, *lost]) if rest or lost else "",
            "answers_in_cloud": "not in the cloud: " + ", ".join(lost) if lost else "",
        } | dict.fromkeys(self.failing_checks, "made to fail")
        return Look(
            checks=tuple(
                Check(name=name, ok=not faults.get(name), detail=faults.get(name, ""))
                for name in CHECKS
                if name not in self.skipped_checks
            ),
            resources=tuple(described(item, "same") for _, item in sorted(stack.resources.items())),
            outputs=stack.outputs,
            state_digest=stack.state_digest(),
        )

    def _failed(
        self, stack: ScriptedStack, code: str, message: str, summary: dict[str, int]
    ) -> EngineResult:
        return EngineResult(
            outcome="failed",
            state_digest=stack.state_digest(),
            summary=summary,
            error={"code": code, "message": message, "data": {}},
            changed=bool(summary),
        )


def _death(fault: Fault) -> BaseException:
    if fault.kind == "worker_dies":
        return ProcessDied()
    if fault.kind == "backend_gone":
        return EngineUnavailable("the state backend is not available")
    who = fault.kind.removesuffix("_dies")
    return EngineFailed(f"the {who}'s process died", reason=f"{who}_died")
