"""The port ``StackEngine`` over the runner: one process per call, JSON lines both ways."""

from __future__ import annotations

import base64
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from control_plane.adapters.pulumi.install import cli_version
from control_plane.adapters.pulumi.runner_process import (
    CALL_FOLDER,
    DIED,
    Messages,
    RunnerProcess,
    runner_environment,
)
from control_plane.domain.errors import (
    DomainError,
    EngineFailed,
    EngineUnavailable,
    ForeignLock,
    PendingUnresolved,
)
from control_plane.ports import (
    EngineCall,
    EnginePlan,
    EngineResult,
    Gate,
    Happened,
    Json,
    Leftovers,
    OnEvents,
    SecretStore,
)

_STOP_SECONDS: Final = 30.0
_GATE_SECONDS: Final = 600.0
_SLACK_SECONDS: Final = 60.0  # beyond the runner's own deadlines
_MOMENT_SECONDS: Final = 0.1  # nobody sees it, and the lines of a busy engine become one write
_UNAVAILABLE: Final = frozenset({"cli_missing", "cli_version"})


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Where resources live. ``endpoint`` is that of the emulated cloud, None for AWS."""

    provider: Literal["sandbox", "official"]
    endpoint: str | None = None


class PulumiEngine:
    """The real engine.

    ``cli`` finds the pulumi command (it may raise ``EngineUnavailable``), ``calls_folder`` is where
    calls have their private folders, ``schemas`` holds the messages' JSON Schemas, ``source`` is
    the folder from which ``python -m stacks`` starts.
    """

    def __init__(
        self,
        *,
        cli: Callable[[], Path],
        backend_url: str,
        calls_folder: Path,
        schemas: Path,
        source: Path,
        secrets: SecretStore,
        cloud: Cloud,
        plan_seconds: float = 300.0,
        apply_seconds: float = 3600.0,
        stop_seconds: float = _STOP_SECONDS,
    ) -> None:
        self._find_cli = cli
        self._backend_url = backend_url
        self._calls_folder = calls_folder
        self._messages = Messages(schemas)
        self._source = source
        self._secrets = secrets
        self._cloud = cloud
        self._deadlines = {
            "plan_seconds": plan_seconds,
            "gate_seconds": _GATE_SECONDS,
            "apply_seconds": apply_seconds,
            "verify_seconds": plan_seconds,
            "stop_seconds": stop_seconds,
        }
        self._running: dict[str, RunnerProcess] = {}
        self._mutex = threading.Lock()
        self._stopping = threading.Event()
        self._found: tuple[Path, str] | None = None

    # --- the port ------------------------------------------------------------------------------
    def plan(self, call: EngineCall, *, on_events: OnEvents) -> EnginePlan:
        """Preview; changes nothing."""
        plans: list[EnginePlan] = []

        def keep(planned: Json) -> str | None:
            plans.append(_plan(planned))
            return None

        last = self._call(call, "preview", on_events=on_events, on_planned=keep)
        if last["message"] == "failure":
            raise _error(last)
        if not plans:
            raise EngineFailed("the runner gave no plan", reason="protocol")
        return plans[0]

    def apply(
        self, call: EngineCall, *, gate: Gate, saved_plan: bytes | None, on_events: OnEvents
    ) -> EngineResult:
        """Preview, ask ``gate``, and apply with ``saved_plan``, or this preview's own plan."""
        let_through: list[bool] = []

        def ask(planned: Json) -> str:
            let_through.append(gate(_plan(planned)))
            return f"proceed {planned['digest']}" if let_through[0] else "stop"

        last = self._call(
            call,
            "up",
            on_events=on_events,
            on_planned=ask,
            gate=True,
            saved_plan=base64.b64encode(saved_plan).decode() if saved_plan is not None else None,
        )
        if last["message"] == "failure":
            return _failed(last, begun=True in let_through)
        return EngineResult(
            outcome=last["outcome"],
            outputs=last["outputs"],
            secret_outputs=last["secret_outputs"],
            state_digest=last["state_digest"],
            resources=last["resources"],
            summary=last["summary"],
            checks=last["checks"],
        )

    def leftovers(self, call: EngineCall, *, known_locks: Sequence[str]) -> Leftovers:
        """Look, without changing anything, at what earlier calls left on the stack."""
        last = self._result(call, "export", on_events=_ignore, known_locks=list(known_locks))
        return Leftovers(
            locks=[
                {"id": lock["id"], "ours": lock["ours"], "holder": _holder(lock)}
                for lock in last["locks"]
            ],
            pending=last["pending"],
            state_digest=last["state_digest"],
            history_digest=last["history_digest"],
            written_by=last["written_by"],
        )

    def clean_up(
        self, call: EngineCall, *, call_ids: Sequence[str], lock_ids: Sequence[str]
    ) -> Json:
        """End every process of ``call_ids``, then break exactly the locks ``lock_ids``."""
        others = [call_id for call_id in call_ids if call_id != call.call_id]
        last = self._result(
            call, "clean_up", on_events=_ignore, end_calls=others, break_locks=list(lock_ids)
        )
        for call_id in others:
            shutil.rmtree(self._folder(call_id), ignore_errors=True)
        return {"ended_pids": last["ended_pids"], "broken_locks": last["broken_locks"]}

    def resolve_pending(self, call: EngineCall, *, on_events: OnEvents) -> Sequence[Json]:
        """Import or clear interrupted creates; returns {urn, type, resolution, proof} each."""
        last = self._call(call, "resolve_pending", on_events=on_events)
        if last["message"] == "failure":
            if last["code"] == "pending_unresolved":
                raise PendingUnresolved(last["text"], resources=last["data"].get("resources", []))
            raise _error(last)
        return list(last["resolved"])

    def cancel(self, call_id: str) -> bool:
        """Ask a running call of this process to stop; tells whether there was one."""
        with self._mutex:
            runner = self._running.get(call_id)
        if runner is not None:
            runner.send("cancel")
        return runner is not None

    def stop_all(self) -> None:
        """Stop every running call of this process where it is, and wait until it has stopped.

        Whoever waits for one of them goes on waiting for ever: this process is about to end, and
        what it would record about an apply that was cut is less true than the rows are.
        """
        self._stopping.set()
        with self._mutex:
            running = list(self._running.values())
        for runner in running:
            runner.hang_up()
        for runner in running:
            runner.wait_for_guard(self._deadlines["stop_seconds"] + _SLACK_SECONDS)

    def ready(self) -> str:
        """Return the engine's version. Raises ``EngineUnavailable``."""
        return self._cli()[1]

    # --- one call --------------------------------------------------------------------------------
    def _result(
        self, call: EngineCall, operation: str, *, on_events: OnEvents, **more: Any
    ) -> Json:
        last = self._call(call, operation, on_events=on_events, **more)
        if last["message"] == "failure":
            raise _error(last)
        return last

    def _call(
        self,
        call: EngineCall,
        operation: str,
        *,
        on_events: OnEvents,
        on_planned: Callable[[Json], str | None] = lambda _: None,
        **more: Any,
    ) -> Json:
        """Make one call and return its last line.

        Whatever a listener or a gate raises stops the call first, and is raised then.
        """
        request = self._request(call, operation, more)
        self._messages.check_request(request)
        with self._runner(call.call_id) as runner:
            runner.send(json.dumps(request))
            raised: list[BaseException] = []
            last: Json | None = None
            for messages in self._heard(runner):
                if messages[-1]["message"] in ("result", "failure"):
                    last = messages.pop()
                if messages and not raised:
                    answer = partial(self._answer, messages, on_events, on_planned)
                    _guarded(answer, runner, raised)
            if self._stopping.is_set():
                threading.Event().wait()
            if raised:
                raise raised[0]
            if last is None:
                runner.wait_for_guard(self._deadlines["stop_seconds"] + _SLACK_SECONDS)
                runner.log_noise(call.call_id)
                raise EngineFailed("the engine's process ended without an answer", reason=DIED)
            if last["message"] == "failure" and last["code"] == "engine":
                runner.log_noise(call.call_id)
            return last

    def _heard(self, runner: RunnerProcess) -> Iterator[list[Json]]:
        """Yield the runner's messages until it closes its output, those of a moment together.

        What somebody waits for ends the moment. Raises ``EngineFailed`` (reason ``deadline``) for a
        runner that says nothing: it keeps its own deadlines, so it hangs.
        """
        end = time.monotonic() + sum(self._deadlines.values()) + _SLACK_SECONDS
        messages: list[Json] = []
        moment = end
        while (line := runner.line(seconds=min(moment, end) - time.monotonic())) != b"":
            if line is not None:
                messages.append(self._messages.parse(line))
                if len(messages) == 1:
                    moment = time.monotonic() + _MOMENT_SECONDS
                if not _waited_for(messages[-1]) and time.monotonic() < moment:
                    continue
            elif not messages:
                raise EngineFailed("the runner does not answer", reason="deadline")
            yield messages
            messages, moment = [], end
        if messages:
            yield messages

    @staticmethod
    def _answer(
        messages: Sequence[Json], on_events: OnEvents, on_planned: Callable[[Json], str | None]
    ) -> str | None:
        events = [(m["kind"], m["body"]) for m in messages if m["message"] == "event"]
        if events:
            on_events(events)
        last = messages[-1]
        return on_planned(last) if last["message"] == "planned" else None

    @contextmanager
    def _runner(self, call_id: str) -> Iterator[RunnerProcess]:
        environment = runner_environment(call_id, sandbox=self._cloud.endpoint is not None)
        command = [sys.executable, "-m", "stacks"]
        try:
            with RunnerProcess(command, cwd=self._source, environment=environment) as runner:
                with self._mutex:
                    self._running[call_id] = runner
                yield runner
        finally:
            with self._mutex:
                self._running.pop(call_id, None)
            # The runner or its guard has removed it, unless both were killed.
            shutil.rmtree(self._folder(call_id), ignore_errors=True)

    def _request(self, call: EngineCall, operation: str, more: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "operation": operation,
            "call_id": call.call_id,
            "stack": call.stack,
            "program": call.program,
            "spec": dict(call.spec),
            "cloud": {
                "provider": self._cloud.provider,
                "region": call.region,
                "account_id": call.account_id,
                "role_arn": call.role_arn,
                "external_id": call.external_id,
                "endpoint": self._cloud.endpoint,
            },
            "backend_url": self._backend_url,
            "work_folder": str(self._folder(call.call_id)),
            "cli": str(self._cli()[0]),
            "secrets": {
                "passphrase": self._secrets.passphrase(call.deployment_id),
                "hmac_key": self._secrets.hmac_key(call.deployment_id).hex(),
            },
            "stack_salt": call.stack_salt,
            "encrypted_key": call.encrypted_key,
            "deadlines": self._deadlines,
            **more,
        }

    def _folder(self, call_id: str) -> Path:
        return self._calls_folder.absolute() / f"{CALL_FOLDER}{call_id}"

    def _cli(self) -> tuple[Path, str]:
        """Return the command and its version; looked for once, and again when it vanished."""
        with self._mutex:
            if self._found is None or not self._found[0].exists():
                path = self._find_cli()
                version = cli_version(path)
                if version is None:
                    raise EngineUnavailable("the pulumi command does not tell its version")
                self._found = (path, version)
            return self._found


def _waited_for(message: Json) -> bool:
    """Tell whether somebody waits: for an answer, or for a lock to be known as ours."""
    return bool(message["message"] != "event" or message["kind"] == "lock")


def _guarded(
    answer: Callable[[], str | None], runner: RunnerProcess, raised: list[BaseException]
) -> None:
    """Send what ``answer`` returns; if it raises, stop the call and keep what was raised."""
    try:
        said = answer()
    except BaseException as error:  # noqa: BLE001 - raised again when the runner has stopped
        raised.append(error)
        said = "cancel"
    if said is not None:
        runner.send(said)


def _plan(planned: Json) -> EnginePlan:
    return EnginePlan(
        operations=planned["operations"],
        resources=planned["resources"],
        parts=planned["parts"],
        saved_plan=base64.b64decode(planned["saved_plan"]),
        stack_salt=planned["stack_salt"],
        encrypted_key=planned["encrypted_key"],
    )


def _failed(failure: Json, *, begun: bool) -> EngineResult:
    """Return an apply that failed, or raise what happened before anything could be touched."""
    canceled = failure["code"] == "canceled"
    if failure["code"] in ("locked", "parent_gone") or not (begun or canceled):
        raise _error(failure)
    return EngineResult(
        outcome="canceled" if canceled else "failed",
        state_digest=failure["state_digest"],
        summary=failure["summary"],
        error={"code": failure["code"], "message": failure["text"], "data": failure["data"]},
    )


def _error(failure: Json) -> DomainError:
    code, text, data = failure["code"], failure["text"], failure["data"]
    if code == "locked":
        holders = data.get("holders") or [{}]
        return ForeignLock(text, holder=_holder(holders[0]), locks=holders)
    if code in _UNAVAILABLE:
        return EngineUnavailable(text)
    return EngineFailed(text, reason=code, details=data, changed=failure["changed"])


def _holder(lock: Json) -> str:
    user, host = lock.get("user") or "somebody", lock.get("host") or "somewhere"
    return f"{user}@{host}" + (f" (pid {lock['pid']})" if lock.get("pid") else "")


def _ignore(events: Sequence[Happened]) -> None:
    del events  # nobody follows the progress of a look
