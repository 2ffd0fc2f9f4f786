"""The port ``StackEngine`` in memory, with the faults that a real engine has."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from control_plane.adapters.memory.resources import made, outputs_of, resources_of
from control_plane.adapters.memory.stacks import (
    VERSION,
    MemoryStack,
    carry_out,
    compare,
    described,
    plan_of,
)
from control_plane.domain.errors import (
    EngineFailed,
    EngineUnavailable,
    ForeignLock,
    PendingUnresolved,
)
from control_plane.domain.plan import CHANGING
from control_plane.ports import (
    EngineCall,
    EnginePlan,
    EngineResult,
    Gate,
    Json,
    Leftovers,
    OnEvents,
)


class ProcessDied(BaseException):
    """The process that called the engine is killed here: no ``except Exception`` sees it."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong in an apply once ``after`` resources are done.

    ``fails``: the cloud refuses the next one. ``runner_dies`` and ``worker_dies``: the engine's
    process, or its caller's too, is killed while it creates the next one, which leaves lock and
    interrupted create; ``created`` tells whether the cloud made it all the same. When ``after`` is
    beyond the last resource, all is done and unlocked, and only the answer is lost.
    """

    kind: Literal["fails", "runner_dies", "worker_dies"]
    after: int = 1
    created: bool = True
    code: str = "provider"
    message: str = "the cloud refused the resource"


class MemoryEngine:
    """Stacks in a dictionary. What a spec asks for comes from ``wanted``.

    ``faults`` happen one per apply, in order. ``failing_checks`` are names of checks after an
    apply. ``program_version`` is part of every plan, as the program's files are of a real one.
    """

    def __init__(
        self,
        *,
        wanted: Callable[[EngineCall], list[dict[str, Any]]] = resources_of,
        outputs: Callable[[EngineCall], dict[str, Any]] = outputs_of,
    ) -> None:
        self.stacks: dict[str, MemoryStack] = {}
        self.faults: deque[Fault] = deque()
        self.failing_checks: set[str] = set()
        self.ambiguous = False  # interrupted creates cannot be told to be ours
        self.unavailable = False
        self.program_version = "1"
        self.calls: list[tuple[str, str]] = []  # what was called, on which stack
        self._wanted = wanted
        self._outputs = outputs
        self._mutex = threading.RLock()
        self._running: set[str] = set()
        self._canceled: set[str] = set()
        self._locks_taken = 0

    # --- for tests ---------------------------------------------------------------------------
    def hold_lock(self, stack: str, holder: str = "somebody@elsewhere") -> str:
        """Lock a stack as somebody else does, and return the lock's id."""
        return self._take_lock(self._stack(stack), holder)

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

    # --- the port ----------------------------------------------------------------------------
    def plan(self, call: EngineCall, *, on_events: OnEvents) -> EnginePlan:
        """Preview; changes nothing."""
        with self._called("plan", call) as stack:
            on_events([("phase", {"phase": "plan", "status": "started"})])
            plan = self._preview(stack, call)
            on_events([("phase", {"phase": "plan", "status": "ended"})])
            return plan

    def apply(
        self, call: EngineCall, *, gate: Gate, saved_plan: bytes | None, on_events: OnEvents
    ) -> EngineResult:
        """Preview, ask ``gate``, and apply with ``saved_plan``, or this preview's own plan."""
        with self._called("apply", call) as stack:
            plan = self._preview(stack, call)
            if not gate(plan):
                return EngineResult(outcome="stopped", state_digest=stack.state_digest())
            allowed = json.loads(saved_plan if saved_plan is not None else plan.saved_plan)
            outside = [
                operation["urn"] for operation in plan.operations
                if operation["op"] in CHANGING
                and allowed.get(operation["urn"]) != operation["op"]
            ]  # fmt: skip
            if outside:
                return self._failed(stack, "plan_violated", f"outside the plan: {outside[0]}", {})
            lock = self._take_lock(stack, call.call_id)
            on_events([("lock", {"id": lock})])
            fault = self.faults.popleft() if self.faults else None
            result = self._carry_out(stack, call, plan, on_events, fault)
            stack.locks.pop(lock, None)
            stack.updates += 1
            if result.outcome == "applied" and fault is not None and fault.kind != "fails":
                raise _death(fault)
            return result

    def leftovers(self, call: EngineCall, *, known_locks: Sequence[str]) -> Leftovers:
        """Look, without changing anything, at what earlier calls left on the stack."""
        with self._called("leftovers", call) as stack:
            return Leftovers(
                locks=[
                    {"id": lock, "ours": lock in known_locks, "holder": holder}
                    for lock, holder in stack.locks.items()
                ],
                pending=[
                    {"urn": urn, "type": item["type"], "operation": "creating"}
                    for urn, item in stack.pending.items()
                ],
                state_digest=stack.state_digest(),
                history_digest=stack.history_digest(),
                written_by=stack.written_by,
            )

    def clean_up(
        self, call: EngineCall, *, call_ids: Sequence[str], lock_ids: Sequence[str]
    ) -> Json:
        """Break exactly the locks ``lock_ids``; there are no processes here."""
        with self._called("clean_up", call) as stack:
            del call_ids
            broken = [lock for lock in lock_ids if stack.locks.pop(lock, None) is not None]
            return {"ended_pids": [], "broken_locks": broken}

    def resolve_pending(self, call: EngineCall, *, on_events: OnEvents) -> Sequence[Json]:
        """Import or clear interrupted creates; returns {urn, type, resolution, proof} each."""
        with self._called("resolve_pending", call) as stack:
            if self.ambiguous and stack.pending:
                raise PendingUnresolved(
                    "an interrupted create cannot be told", resources=sorted(stack.pending)
                )
            resolved = []
            for urn, item in sorted(stack.pending.items()):
                if item.pop("created"):
                    stack.resources[urn] = made(item)
                    resolution, proof = "imported", "found by its name and tags"
                else:
                    resolution, proof = "cleared", "the cloud has nothing of this name"
                resolved.append(
                    {"urn": urn, "type": item["type"], "resolution": resolution, "proof": proof}
                )
                on_events([("engine", {"text": f"{resolution} {urn}"})])
                stack.written_by = call.call_id
            stack.pending.clear()
            return resolved

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

    def ready(self) -> str:
        """Return the engine's version. Raises ``EngineUnavailable``."""
        if self.unavailable:
            raise EngineUnavailable
        return VERSION

    # --- inside ------------------------------------------------------------------------------
    @contextmanager
    def _called(self, what: str, call: EngineCall) -> Iterator[MemoryStack]:
        self.ready()
        with self._mutex:
            self.calls.append((what, call.stack))
            self._running.add(call.call_id)
        try:
            yield self._stack(call.stack)
        finally:
            with self._mutex:
                self._running.discard(call.call_id)
                self._canceled.discard(call.call_id)

    def _stack(self, name: str) -> MemoryStack:
        with self._mutex:
            return self.stacks.setdefault(name, MemoryStack())

    def _take_lock(self, stack: MemoryStack, holder: str) -> str:
        with self._mutex:
            self._locks_taken += 1
            lock = f"00000000-0000-4000-8000-{self._locks_taken:012d}"
            stack.locks[lock] = holder
            return lock

    def _preview(self, stack: MemoryStack, call: EngineCall) -> EnginePlan:
        if stack.locks:
            holder = next(iter(stack.locks.values()))
            raise ForeignLock(f"the stack is locked by {holder}", holder=holder)
        if stack.pending:
            raise EngineFailed("the state has interrupted operations", reason="pending_unresolved")
        return plan_of(stack, call, self._wanted(call), self.program_version)

    def _carry_out(
        self,
        stack: MemoryStack,
        call: EngineCall,
        plan: EnginePlan,
        on_events: OnEvents,
        fault: Fault | None,
    ) -> EngineResult:
        wanted = {str(item["urn"]): item for item in self._wanted(call)}
        summary: dict[str, int] = {}
        for operation in plan.operations:
            if operation["op"] not in CHANGING:
                continue
            if call.call_id in self._canceled:
                result = self._failed(stack, "canceled", "stopped as asked", summary)
                return EngineResult(**{**vars(result), "outcome": "canceled"})
            if fault is not None and fault.after == sum(summary.values()):
                return self._break(stack, fault, wanted.get(operation["urn"]), summary)
            carry_out(stack, call.call_id, operation, wanted)
            summary[operation["op"]] = summary.get(operation["op"], 0) + 1
            done = {"urn": operation["urn"], "op": operation["op"], "status": "done"}
            on_events([("resource", done)])
        return self._applied(stack, call, summary)

    def _break(
        self, stack: MemoryStack, fault: Fault, item: Json | None, summary: dict[str, int]
    ) -> EngineResult:
        if fault.kind == "fails":
            return self._failed(stack, fault.code, fault.message, summary)
        if item is not None:
            stack.pending[str(item["urn"])] = {**item, "created": fault.created}
        raise _death(fault)

    def _applied(
        self, stack: MemoryStack, call: EngineCall, summary: dict[str, int]
    ) -> EngineResult:
        rest = [op for op in compare(stack, self._wanted(call)) if op["op"] != "same"]
        faults = {
            "plans_only_same": "a second preview shows changes" if rest else ""
        } | dict.fromkeys(self.failing_checks, "made to fail")
        return EngineResult(
            outcome="applied",
            outputs=self._outputs(call),
            state_digest=stack.state_digest(),
            resources=[described(item, "same") for _, item in sorted(stack.resources.items())],
            summary=summary,
            checks=[
                {"name": name, "ok": not faults.get(name), "detail": faults.get(name, "")}
                for name in ("outputs_present", "answers_in_cloud", "plans_only_same")
            ],
        )

    def _failed(
        self, stack: MemoryStack, code: str, message: str, summary: dict[str, int]
    ) -> EngineResult:
        return EngineResult(
            outcome="failed",
            state_digest=stack.state_digest(),
            resources=[described(item, "same") for _, item in sorted(stack.resources.items())],
            summary=summary,
            error={"code": code, "message": message, "data": {}},
        )


def _death(fault: Fault) -> BaseException:
    if fault.kind == "runner_dies":
        return EngineFailed("the engine's process died", reason="runner_died")
    return ProcessDied()
