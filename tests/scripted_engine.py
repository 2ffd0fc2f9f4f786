"""The port ``StackEngine`` in memory, with the faults that a real engine has."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import Any, Final, Literal

from control_plane.domain.deployment import Desired
from control_plane.domain.engine import (
    Check,
    CloudDifference,
    Drift,
    LockInfo,
    Look,
    Place,
    Resolved,
    Store,
)
from control_plane.domain.errors import (
    EngineFailed,
    EngineUnavailable,
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
from tests.scripted_faults import Fault, ProcessDied
from tests.scripted_removal import forgotten, look_for_nothing, stores_of
from tests.scripted_resources import made, outputs_of, resources_of
from tests.scripted_scopes import drift_of, places_of, read, take_in, within
from tests.scripted_stacks import (
    ScriptedStack,
    canceled,
    carry_out,
    compare,
    described,
    differences_in,
    differences_of,
    failed,
    output_changes,
    plan_of,
    refuse_protected,
    refuse_unfit,
)

HOST: Final = "host-a"
PID: Final = 4711
CHECKS: Final = ("outputs_present", "answers_in_cloud", "as_applied", "nothing_unknown")


class ScriptedEngine:
    """Stacks in a dictionary. What a spec asks for comes from ``wanted``.

    ``faults`` happen one per apply, in order; ``outages`` are raised one per call of the engine.
    ``failing_checks`` are names of checks that a look finds wrong, ``skipped_checks`` of those that
    it does not make. ``drift`` is what a look finds to be otherwise, beside what was lost or
    changed, and ``unanswered`` why it cannot tell. ``places`` is what a look finds elsewhere, and
    ``unplaced`` why it cannot tell that. ``left`` is what a look for nothing finds, ``stores`` what
    the data stores hold, if it is not to be the secrets without values. ``program_version`` is part
    of every plan, as the program's files are of a real one. ``during`` is told what goes on: each
    call of the port, and of an apply ``compare``, ``change``, once the gate has let it through, and
    ``verify``.
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
        self.drift: tuple[Drift, ...] = ()
        self.unanswered = ""
        self.left: tuple[Drift, ...] = ()
        self.is_bare = False  # as after an update that took all protection away
        self.stores: tuple[Store, ...] | None = None
        self.places: tuple[Place, ...] = ()
        self.unplaced = ""
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
        self._stopped: set[str] = set()
        self._locks_taken = 0
        self._pids = count(PID)

    # --- for tests ---------------------------------------------------------------------------
    def copied(self) -> ScriptedEngine:
        """Return an engine with the same stacks, which has nothing else of what was set."""
        copied = ScriptedEngine(wanted=self._wanted, outputs=self._outputs)
        copied.stacks = copy.deepcopy(self.stacks)
        copied.calls = list(self.calls)
        copied._locks_taken = self._locks_taken
        copied._pids = copy.copy(self._pids)
        return copied

    def hold_lock(self, stack: str, holder: str = "somebody@elsewhere", pid: int = 1) -> str:
        """Lock a stack as somebody else does, and return the lock's id."""
        user, _, host = holder.partition("@")
        return self._take_lock(self._stack(stack), None, host=host, user=user, pid=pid)

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

    def change(self, stack: str, resource: str, **values: Any) -> None:
        """Change inputs of a resource, ``TYPE::NAME``, in the cloud behind the state's back."""
        for urn in self._stack(stack).resources:
            if urn.endswith(f"::{resource}"):
                self._stack(stack).changed.setdefault(urn, {}).update(values)

    def lose(self, stack: str, name: str) -> None:
        """Delete a resource in the cloud behind the state's back."""
        self._stack(stack).lost |= {
            urn for urn, item in self._stack(stack).resources.items() if item["name"] == name
        }

    # --- the port ----------------------------------------------------------------------------
    def plan(self, call: EngineCall, *, on_events: EventListener) -> EnginePlan:
        """Preview; changes nothing."""
        with self._called("plan", call):
            plan = self._preview(call, on_events)
            if call.call_id in self._canceled:
                raise EngineFailed("canceled during the plan", reason="canceled")
            return plan

    def apply(
        self,
        call: EngineCall,
        *,
        gate: Gate,
        on_applied: OnApplied,
        on_events: EventListener,
        compares: bool,
    ) -> EngineResult:
        """Preview, ask ``gate``, apply, and verify."""
        with self._called("apply", call):
            plan = self._preview(call, on_events)
            stack = self._stack(call.stack)
            if compares and not call.scope:
                self.during("compare", call)
                plan = replace(plan, differences=differences_of(stack, plan))
            if call.call_id in self._canceled:
                return canceled(stack, {})
            answer = gate(plan)
            if answer is GateAnswer.STOP:
                return EngineResult(outcome="stopped", state_digest=stack.state_digest())
            if answer is GateAnswer.LOOK:
                return self._verified(stack, call, "looked", on_events)
            fault = self.faults.popleft() if self.faults else None
            with self._locked(stack, call, on_events):
                result = self._carry_out(stack, call, plan, on_events, fault)
            if result.outcome != "applied":
                return result
            if fault is not None and fault.kind not in {"fails", "canceled_in_look"}:
                raise fault.death()
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
                self.cancel(call.call_id)
            return self._verified(
                stack, call, "applied", on_events,
                summary=result.summary, changed=not plan.is_empty,
            )  # fmt: skip

    def look(self, call: EngineCall, *, on_events: EventListener) -> Look:
        """Verify what exists by all checks; changes nothing."""
        with self._called("look", call) as stack:
            if stack is None and call.desired is Desired.PRESENT:
                raise EngineFailed("there is no such stack", reason="backend")
            found = stack or ScriptedStack()
            refuse_unfit(found)
            on_events([("phase", {"phase": "verify", "status": "started"})])
            return self._look(found, call)

    def contents(self, call: EngineCall) -> tuple[Store, ...]:
        """Count what the data stores of the stack hold; changes nothing."""
        with self._called("contents", call) as stack:
            return stores_of(stack) if self.stores is None else self.stores

    def forget(self, call: EngineCall) -> int:
        """Delete all that there is of a removed stack; what AWS keeps of it remains."""
        with self._called("forget", replace(call, has_state=False)) as stack:
            return 0 if stack is None else forgotten(stack)

    def inspect(self, call: EngineCall) -> StackInspection:
        """Tell, without changing anything, what earlier calls have left on the stack."""
        with self._called("inspect", call) as stack:
            if stack is None:
                return StackInspection()
            return StackInspection(
                locks=tuple(
                    replace(lock, alive=self.alive if lock.host == HOST else None)
                    for lock in stack.locks.values()
                ),
                state_digest=stack.state_digest() if stack.exists else None,
                written_by=stack.written_by,
            )

    def clean_up(
        self, call: EngineCall, *, end_calls: Sequence[str], break_locks: Sequence[str]
    ) -> CleanedUp:
        """Break exactly the locks ``break_locks``; there are no processes here."""
        with self._called("clean_up", call) as stack:
            locks = stack.locks if stack is not None else {}
            ended = [
                lock.pid for lock in locks.values() if self.alive and lock.call_id in end_calls
            ]
            broken = [lock for lock in break_locks if locks.pop(lock, None) is not None]
            return CleanedUp(ended_pids=tuple(ended), broken_locks=tuple(broken))

    def compare(self, call: EngineCall, *, on_events: EventListener) -> tuple[CloudDifference, ...]:
        """Tell in what the cloud differs from the state, but for what was interrupted."""
        del on_events
        with self._called("compare", call):
            stack = self._stack(call.stack)
            asked = [urn for urn in call.scope if urn in stack.resources]
            return differences_in(stack, [urn for urn in asked if urn not in stack.pending])

    def resolve(self, call: EngineCall, *, on_events: EventListener) -> tuple[Resolved, ...]:
        """Settle what interrupted operations have left, and make the state that of the cloud."""
        with self._called("resolve", call):
            stack = self._stack(call.stack)
            if self.ambiguous and stack.pending:
                raise PendingUnresolved(
                    "an interrupted create cannot be told", resources=sorted(stack.pending)
                )
            resolved = []
            for urn, item in sorted(stack.pending.items()):
                is_done = item.pop("created")
                if urn in stack.resources:
                    if is_done:
                        stack.deleted(urn)
                    found = ("cleared", "it was deleting: the cloud is read again")
                elif is_done:
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
            if resolved or stack.lost or stack.changed:
                stack.written_by = call.call_id
            take_in(stack, call.scope or (*stack.lost, *stack.changed))
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
        """Stop every running call before its next resource; its caller hears of nothing then."""
        with self._mutex:
            self._stopped |= self._running

    # --- inside ------------------------------------------------------------------------------
    @contextmanager
    def _called(self, what: str, call: EngineCall) -> Iterator[ScriptedStack | None]:
        if self.unavailable:
            raise EngineUnavailable
        with self._mutex:
            self.calls.append((what, call.stack))
            self._running.add(call.call_id)
        try:
            if self.outages:
                raise self.outages.popleft()
            self.during(what, call)
            stack = self.stacks.get(call.stack)
            if call.has_state and (stack is None or not stack.exists):
                raise EngineFailed("the state backend has nothing of this stack", reason="backend")
            yield stack
        finally:
            with self._mutex:
                self._running.discard(call.call_id)
                self._canceled.discard(call.call_id)
                self._stopped.discard(call.call_id)

    def _stack(self, name: str) -> ScriptedStack:
        with self._mutex:
            return self.stacks.setdefault(name, ScriptedStack())

    def _take_lock(
        self, stack: ScriptedStack, call_id: str | None, *, host: str, user: str, pid: int
    ) -> str:
        with self._mutex:
            self._locks_taken += 1
            lock = f"00000000-0000-4000-8000-{self._locks_taken:012d}"
            stack.locks[lock] = LockInfo(id=lock, call_id=call_id, host=host, pid=pid, user=user)
            return lock

    @contextmanager
    def _locked(
        self, stack: ScriptedStack, call: EngineCall, on_events: EventListener
    ) -> Iterator[None]:
        """Hold a stack for a change; a process that dies leaves its lock behind."""
        pid = next(self._pids)
        lock = self._take_lock(stack, call.call_id, host=HOST, user="us", pid=pid)
        is_dead = False
        try:
            self.during("change", call)
            yield
        except (ProcessDied, EngineFailed, EngineUnavailable):
            is_dead = call.call_id not in self._stopped
            raise
        finally:
            if not is_dead:
                stack.locks.pop(lock, None)
                stack.updates += 1

    def _preview(self, call: EngineCall, on_events: EventListener) -> EnginePlan:
        stack = self._stack(call.stack)
        refuse_unfit(stack)
        on_events([("phase", {"phase": "plan", "status": "started"})])
        if call.scope:
            wanted, exports = within(stack, call.scope, self._wanted(call)), stack.outputs
            plan = plan_of(read(stack, call.scope), call, wanted, exports, self.program_version)
            plan = replace(plan, parts={**plan.parts, "state": stack.state_digest()})
        else:
            wanted, exports = self._asked_for(call), self._exports(call)
            plan = plan_of(stack, call, wanted, exports, self.program_version)
        if not self.is_bare:
            refuse_protected(stack, plan)
        on_events([("phase", {"phase": "plan", "status": "ended"})])
        return plan

    def _asked_for(self, call: EngineCall) -> list[dict[str, Any]]:
        return [] if call.desired is Desired.ABSENT else self._wanted(call)

    def _exports(self, call: EngineCall) -> dict[str, Any]:
        if call.desired is Desired.ABSENT:
            return {}
        return self._outputs(call) | self.extra_outputs

    def _carry_out(
        self,
        stack: ScriptedStack,
        call: EngineCall,
        plan: EnginePlan,
        on_events: EventListener,
        fault: Fault | None,
    ) -> EngineResult:
        wanted = {str(item["urn"]): item for item in self._asked_for(call)}
        if call.scope:  # what was read enters the state with the first step
            take_in(stack, call.scope)
        summary: dict[str, int] = {}
        for operation in plan.operations:
            if operation.op not in CHANGING:
                if operation.options:
                    carry_out(stack, call.call_id, operation, wanted)
                continue
            if call.call_id in self._stopped:
                raise ProcessDied
            is_at = fault is not None and fault.after == sum(summary.values())
            if call.call_id in self._canceled or (
                is_at and fault is not None and fault.kind == "canceled"
            ):
                return canceled(stack, summary)
            if is_at and fault is not None and fault.kind != "canceled_in_look":
                item = wanted.get(operation.urn) or stack.resources.get(operation.urn)
                return self._break(stack, fault, item, summary)
            carry_out(stack, call.call_id, operation, wanted)
            summary[operation.op] = summary.get(operation.op, 0) + 1
            done = {"urn": operation.urn, "op": operation.op, "status": "done", "phase": "apply"}
            on_events([("resource", done)])
        stack.outputs = stack.outputs if call.scope else self._exports(call)
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
            return failed(stack, fault.code, fault.message, summary)
        if item is not None:
            stack.pending[str(item["urn"])] = {**item, "created": fault.created}
        raise fault.death()

    def _verified(
        self,
        stack: ScriptedStack,
        call: EngineCall,
        outcome: Literal["applied", "looked"],
        on_events: EventListener,
        **done: Any,
    ) -> EngineResult:
        on_events([("phase", {"phase": "verify", "status": "started"})])
        is_canceled = call.call_id in self._canceled
        return EngineResult(
            outcome="canceled" if is_canceled else outcome,
            state_digest=stack.state_digest(),
            look=None if is_canceled else self._look(stack, call, self._to_do(stack, call)),
            **done,
        )

    def _to_do(self, stack: ScriptedStack, call: EngineCall) -> list[str]:
        if call.scope:
            operations = compare(stack, within(stack, call.scope, self._wanted(call)))
            return [o.name for o in operations if o.op != "same"]
        operations = compare(stack, self._asked_for(call))
        outputs = output_changes(stack.outputs, self._exports(call))
        changing = [o.name for o in operations if o.op != "same" or o.options]
        return changing + [o.name for o in outputs]

    def _look(self, stack: ScriptedStack, call: EngineCall, planned: Sequence[str] = ()) -> Look:
        """Compare the cloud with the state; ``planned`` is what the call has not applied."""
        if call.desired is Desired.ABSENT:
            return look_for_nothing(
                stack,
                left=self.left,
                unanswered=self.unanswered,
                failing=self.failing_checks,
                skipped=self.skipped_checks,
            )

        def is_judged(subject: str) -> bool:
            return subject in call.scope if call.scope else subject not in call.known

        lost = [stack.resources[urn]["name"] for urn in sorted(stack.lost) if is_judged(urn)]
        missing = "not in the cloud: " + ", ".join(lost) if lost else ""
        differing = [
            f"{stack.resources[urn]['name']} ({', '.join(sorted(values))})"
            for urn, values in sorted(stack.changed.items())
            if is_judged(urn)
        ]
        changed = "differs from what was applied: " + ", ".join(differing) if differing else ""
        rest = "not applied: " + ", ".join(planned) if planned else ""
        by_hand = {
            kind: ", ".join(
                each.subject for each in self.drift if each.kind == kind and is_judged(each.subject)
            )
            for kind in ("changed", "foreign")
        }
        faults = {
            "as_applied": "; ".join(filter(None, (missing, by_hand["changed"], changed, rest))),
            "answers_in_cloud": "; ".join(filter(None, (missing, self.unanswered))),
            "nothing_unknown": by_hand["foreign"],
        } | dict.fromkeys(self.failing_checks, "made to fail")
        gone = [
            Drift(kind="missing", subject=urn, type=stack.resources[urn]["type"])
            for urn in sorted(stack.lost)
        ]
        return Look(
            checks=tuple(
                Check(name=name, ok=not faults.get(name), detail=faults.get(name, ""))
                for name in CHECKS
                if name not in self.skipped_checks
            ),
            drift=(*gone, *drift_of(stack), *self.drift),
            unanswered=self.unanswered,
            places=(*places_of(stack, call), *self.places),
            unplaced=self.unplaced,
            everywhere=call.everywhere,
            resources=tuple(described(item, "same") for _, item in sorted(stack.resources.items())),
            outputs=stack.outputs,
            state_digest=stack.state_digest(),
        )
