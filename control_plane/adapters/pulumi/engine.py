"""The port ``StackEngine`` over the runner: one process per call, JSON lines both ways."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from control_plane.adapters.pulumi.answers import error_of, failed_of
from control_plane.adapters.pulumi.install import cli_version
from control_plane.adapters.pulumi.runner_parent import RunnerParent
from control_plane.adapters.pulumi.runner_process import (
    CALL_FOLDER,
    DIED,
    Messages,
    RunnerProcess,
)
from control_plane.domain.engine import CloudDifference, Look, Resolved, Store
from control_plane.domain.errors import EngineFailed, EngineUnavailable, PendingUnresolved
from control_plane.domain.stack_salt import StackSalt
from control_plane.ports import Json
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
from control_plane.ports.stores import SecretStore

_STOP_SECONDS: Final = 30.0
_GATE_SECONDS: Final = 600.0
_SLACK_SECONDS: Final = 60.0  # beyond the runner's own deadlines
_MOMENT_SECONDS: Final = 0.1  # nobody sees it, and the lines of a busy engine become one write


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Where resources live. ``endpoint`` is that of the emulated cloud, None for AWS.

    Real credentials reach the engine only when ``is_aws`` says so.
    """

    provider: Literal["sandbox", "official"]
    endpoint: str | None = None
    is_aws: bool = False


class PulumiEngine:
    """The real engine.

    ``cli`` finds the pulumi command (it may raise ``EngineUnavailable``), ``calls_folder`` is where
    calls have their private folders, ``schemas`` holds the messages' JSON Schemas, ``runners``
    starts the runner of each call.
    """

    def __init__(
        self,
        *,
        cli: Callable[[], Path],
        backend_url: str,
        calls_folder: Path,
        schemas: Path,
        runners: RunnerParent,
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
        self._runners = runners
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
        self._canceled: set[str] = set()  # of the running calls
        self._mutex = threading.Lock()
        self._stopping = threading.Event()
        self._found: _Command | None = None
        # a lock of its own: the CLI may be built, and calls are canceled meanwhile
        self._finding = threading.Lock()

    # --- the port ------------------------------------------------------------------------------
    def plan(self, call: EngineCall, *, on_events: EventListener) -> EnginePlan:
        """Preview; changes nothing."""
        plans: list[EnginePlan] = []
        listener = _Listener(
            on_events=on_events, on_planned=lambda m: plans.append(EnginePlan.from_document(m))
        )
        self._result(call, "preview", listener)
        if not plans:
            raise EngineFailed("the runner returned no plan", reason="protocol")
        return plans[0]

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

        With ``compares`` what the plan touches is read again from the cloud before.

        ``on_applied`` is called when the apply has ended well, before the verification begins.
        Whatever ``gate``, ``on_applied`` or ``on_events`` raises stops the call and is raised.
        """
        answers: list[GateAnswer] = []

        def ask(planned: Json) -> str:
            answers.append(gate(EnginePlan.from_document(planned)))
            return "stop" if answers[0] is GateAnswer.STOP else f"{answers[0]} {planned['digest']}"

        last = self._call(
            call,
            "up",
            _Listener(
                on_events=on_events,
                on_planned=ask,
                on_applied=lambda message: on_applied(Applied.from_document(message)),
            ),
            gate=True,
            compare=compares,
        )
        if last["message"] == "failure":
            return failed_of(last, begun=GateAnswer.PROCEED in answers)
        return EngineResult.from_document(last)

    def compare(self, call: EngineCall, *, on_events: EventListener) -> tuple[CloudDifference, ...]:
        """Tell in what the cloud differs from the state, of what the scope of the call names."""
        last = self._result(call, "compare", _Listener(on_events=on_events))
        return tuple(CloudDifference.from_document(each) for each in last["differences"])

    def look(self, call: EngineCall, *, on_events: EventListener) -> Look:
        """Verify what exists by all checks; changes nothing."""
        last = self._result(call, "look", _Listener(on_events=on_events))
        return Look.from_document(last["look"])

    def contents(self, call: EngineCall) -> tuple[Store, ...]:
        """Count what the data stores of the stack hold; changes nothing."""
        last = self._result(call, "contents", _Listener())
        return tuple(Store.from_document(each) for each in last["stores"])

    def forget(self, call: EngineCall) -> int:
        """Delete all that the state backend has of a removed stack; returns how many records."""
        return int(self._result(call, "forget", _Listener())["records"])

    def inspect(self, call: EngineCall) -> StackInspection:
        """Tell, without changing anything, what earlier calls have left on the stack."""
        last = self._result(call, "inspect", _Listener())
        return StackInspection.from_document(last)

    def clean_up(
        self, call: EngineCall, *, end_calls: Sequence[str], break_locks: Sequence[str]
    ) -> CleanedUp:
        """End every process of the calls ``end_calls``, then break exactly ``break_locks``."""
        others = [call_id for call_id in end_calls if call_id != call.call_id]
        last = self._result(
            call, "clean_up", _Listener(), end_calls=others, break_locks=list(break_locks)
        )
        for call_id in others:
            shutil.rmtree(self._folder(call_id), ignore_errors=True)
        return CleanedUp.from_document(last)

    def resolve(self, call: EngineCall, *, on_events: EventListener) -> tuple[Resolved, ...]:
        """Settle what interrupted operations have left, and read the whole stack from the cloud.

        Raises ``PendingUnresolved`` naming those whose outcome is unknown.
        """
        last = self._call(call, "resolve", _Listener(on_events=on_events))
        if last["message"] == "failure":
            if last["code"] == "pending_unresolved":
                raise PendingUnresolved(last["text"], resources=last["data"].get("resources", []))
            raise error_of(last)
        return tuple(Resolved.from_document(each) for each in last["resolved"])

    def command(self) -> Path:
        """Return the pulumi command."""
        return self._cli().path

    def order_to_read(
        self, deployment_id: str, stack: str, salt: StackSalt | None
    ) -> dict[str, Any]:
        """Return what a keeper needs to serve a stack's state; see ``reader.served``."""
        keys = self._secrets.stack_keys(deployment_id, salt)
        return {
            "call_id": "",
            "stack": stack,
            "backend_url": self._backend_url,
            "endpoint": self._cloud.endpoint,
            "engine": self._cli().version,
            "passphrase": keys.passphrase,
            "former": keys.former,
        }

    def cancel(self, call_id: str) -> bool:
        """Ask a running call of this process to stop, once; returns whether there was one."""
        with self._mutex:
            runner = self._running.get(call_id)
            is_first = call_id not in self._canceled
            if runner is not None:
                self._canceled.add(call_id)
        if runner is not None and is_first:
            runner.send("cancel")
        return runner is not None

    def stop_all(self) -> None:
        """Stop every running call of this process where it is, and wait until it has stopped.

        A caller that waits for one of them waits forever: this process is about to end, and what it
        would record about an apply that was cut is less true than the rows are.
        """
        self._stopping.set()
        with self._mutex:
            running = list(self._running.values())
        for runner in running:
            runner.hang_up()
        for runner in running:
            runner.wait_for_guard(self._deadlines["stop_seconds"] + _SLACK_SECONDS)

    def close(self) -> None:
        """End what is kept warm for the next call; there must be none under way."""
        self._runners.close()

    @property
    def longest_seconds(self) -> float:
        """How long a call can take at most, its orderly stop included."""
        return sum(self._deadlines.values()) + _SLACK_SECONDS

    @property
    def longest_apply_seconds(self) -> float:
        """How long a call can take from the moment when its apply begins."""
        rest = ("apply_seconds", "verify_seconds", "stop_seconds")
        return sum(self._deadlines[name] for name in rest) + _SLACK_SECONDS

    # --- one call --------------------------------------------------------------------------------
    def _result(self, call: EngineCall, operation: str, listener: _Listener, **more: Any) -> Json:
        last = self._call(call, operation, listener, **more)
        if last["message"] == "failure":
            raise error_of(last)
        return last

    def _call(self, call: EngineCall, operation: str, listener: _Listener, **more: Any) -> Json:
        """Make one call and return its last line.

        Whatever the listener raises stops the call first, and is raised then.
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
                    _guarded(partial(listener.hear, messages), runner, raised)
            if self._stopping.is_set():
                threading.Event().wait()
            if raised:
                raise raised[0]
            if last is None:
                runner.wait_for_guard(self._deadlines["stop_seconds"] + _SLACK_SECONDS)
                runner.log_noise(call.call_id)
                raise EngineFailed("the engine process exited without an answer", reason=DIED)
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
                raise EngineFailed("the runner does not respond", reason="deadline")
            yield messages
            messages, moment = [], end
        if messages:
            yield messages

    @contextmanager
    def _runner(self, call_id: str) -> Iterator[RunnerProcess]:
        try:
            with RunnerProcess(self._runners.start(call_id)) as runner:
                with self._mutex:
                    self._running[call_id] = runner
                yield runner
        finally:
            with self._mutex:
                self._running.pop(call_id, None)
                self._canceled.discard(call_id)
            # The runner or its guard has removed it, unless both were killed.
            shutil.rmtree(self._folder(call_id), ignore_errors=True)

    def _request(self, call: EngineCall, operation: str, more: Mapping[str, Any]) -> dict[str, Any]:
        command = self._cli()
        keys = self._secrets.stack_keys(call.deployment_id, call.salt)
        return {
            "operation": operation,
            "call_id": call.call_id,
            "stack": call.stack,
            "program": call.program,
            "spec": dict(call.spec),
            "desired": str(call.desired),
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
            "cli": str(command.path),
            "cli_version": command.version,
            "secrets": {
                "passphrase": keys.passphrase,
                "former": keys.former,
                "hmac_key": keys.hmac_key.hex(),
            },
            "has_state": call.has_state,
            "scope": list(call.scope),
            "known": list(call.known),
            "everywhere": call.everywhere,
            "deadlines": self._deadlines,
            **more,
        }

    def _folder(self, call_id: str) -> Path:
        return self._calls_folder.absolute() / f"{CALL_FOLDER}{call_id}"

    def _cli(self) -> _Command:
        """Return the command; looked for once, and again when it vanished or was replaced."""
        with self._finding:
            if self._found is None or _identity(self._found.path) != self._found.identity:
                path = self._find_cli()
                identity, version = _identity(path), cli_version(path)
                if version is None:
                    raise EngineUnavailable("the pulumi command does not report its version")
                self._found = _Command(path=path, version=version, identity=identity)
            return self._found


@dataclass(frozen=True, kw_only=True)
class _Command:
    """The pulumi command. ``identity`` tells whether the file is still the one that was asked."""

    path: Path
    version: str
    identity: tuple[int, ...] | None


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(frozen=True, kw_only=True)
class _Listener:
    """Who hears what a call says; ``on_planned`` may return an answer for the runner."""

    on_events: EventListener | None = None
    on_planned: Callable[[Json], str | None] | None = None
    on_applied: Callable[[Json], None] | None = None

    def hear(self, messages: Sequence[Json]) -> str | None:
        """Pass on messages that came together; only the last can be other than an event."""
        events = [(m["kind"], m["body"]) for m in messages if m["message"] == "event"]
        if events and self.on_events is not None:
            self.on_events(events)
        last = messages[-1]
        if last["message"] == "planned" and self.on_planned is not None:
            return self.on_planned(last)
        if last["message"] == "applied" and self.on_applied is not None:
            self.on_applied(last)
        return None


def _waited_for(message: Json) -> bool:
    """Tell whether somebody waits for an answer."""
    return bool(message["message"] != "event")


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
