"""Drives the runner step by step and breaks it on purpose; for tests only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from stacks.engine.backend import Backend, backend_for
from stacks.engine.sdk import VERSION
from stacks.engine.sealing import Sealer
from stacks.sandbox.provider import PROCESS
from tests.stacks.sample_specs import ACCOUNT, REGION, hub_outputs, slice_of

ROOT = Path(__file__).resolve().parents[2]
CALL_SECONDS = 180.0
PASSPHRASE = "a passphrase for tests only"
STACK = "acme.production.a"

Message = dict[str, Any]


@dataclass
class Desk:
    """Makes calls for one stack: its backend, its work folders, its cloud."""

    root: Path
    cli: Path
    endpoint: str
    program: str = "mode_a.slice"
    stack: str = STACK
    spec: dict[str, Any] = field(default_factory=dict)
    source: Path = ROOT
    backend_url: str = ""  # a folder of the desk's own unless it is given
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.backend.mkdir(parents=True, exist_ok=True)
        self.work.mkdir(parents=True, exist_ok=True)
        if not self.spec:
            self.spec = slice_of(hub_outputs(), "acme", f"acme-{os.urandom(3).hex()}")

    @property
    def backend(self) -> Path:
        return self.root / "state"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def sealer(self) -> Sealer:
        """What opens the secrets of the stack's state."""
        return Sealer(PASSPHRASE, self.stack)

    @property
    def stored(self) -> Backend:
        """The stack in its backend, read and written beside the runner."""
        return backend_for(
            self.backend_url or f"file://{self.backend}",
            self.stack,
            engine=f"v{VERSION}",
            sealer=self.sealer,
            endpoint=self.endpoint,
        )

    @property
    def records(self) -> Path:
        """Where the records of the stack lie in a folder."""
        return self.backend / "stacks" / self.stack

    def state(self) -> Message:
        """Return the state as it lies in the backend."""
        return dict(self.stored.state() or {})

    def write_state(self, state: Message, *, call_id: str = "somebody.1") -> None:
        """Put another state into the backend, as an update of somebody."""
        self.stored.take(call_id).close("settled", state)

    def until_pending(self, *, within_seconds: float = 20, stays_seconds: float = 1) -> None:
        """Wait, in a cloud that is silent, until the state has steps that have begun and stay so.

        The engine says that a step begins before it lets the state know. What the cloud answered
        before it fell silent ends meanwhile, and something else begins.
        """
        deadline = time.monotonic() + within_seconds
        since, seen = time.monotonic(), None
        while not seen or time.monotonic() - since < stays_seconds:
            assert time.monotonic() < deadline, "no step has begun and stays so"
            time.sleep(0.05)
            found = self.state().get("pending_operations")
            if found != seen:
                since, seen = time.monotonic(), found

    def locks(self) -> list[str]:
        return [lock.id for lock in self.stored.locks()]

    def hold_lock(self, **changes: Any) -> str:
        """Take the stack as somebody of another host has it; return the lock's id."""
        return hold(self.stored, **changes)

    def request(self, operation: str, **changes: Any) -> Message:
        call_id = changes.pop("call_id", f"run_{os.urandom(4).hex()}.{next(self.numbers)}")
        return {
            "operation": operation,
            "call_id": call_id,
            "stack": self.stack,
            "program": self.program,
            "spec": self.spec,
            "cloud": {
                "provider": "sandbox",
                "region": REGION,
                "account_id": ACCOUNT,
                "endpoint": self.endpoint,
            },
            "backend_url": self.backend_url or f"file://{self.backend}",
            "work_folder": str(self.work / call_id),
            "cli": str(self.cli),
            "cli_version": f"v{VERSION}",
            "secrets": {"passphrase": PASSPHRASE, "hmac_key": "5e" * 32},
            **changes,
        }

    def start(self, operation: str, **changes: Any) -> RunnerCall:
        return RunnerCall(self.request(operation, **changes), source=self.source)

    def call(self, operation: str, **changes: Any) -> Outcome:
        """Make a call to its end, letting everything through the gate."""
        with self.start(operation, **changes) as running:
            return running.finish()

    def result(self, operation: str, **changes: Any) -> Message:
        outcome = self.call(operation, **changes)
        assert outcome.last["message"] == "result", outcome.last
        return outcome.last

    def failure(self, operation: str, **changes: Any) -> Message:
        outcome = self.call(operation, **changes)
        assert outcome.last["message"] == "failure", outcome.last
        assert outcome.code == 1
        return outcome.last

    def state_digest(self) -> str | None:
        digest: str | None = self.result("inspect")["state_digest"]
        return digest

    def plan(self, **changes: Any) -> Message:
        outcome = self.call("preview", **changes)
        assert outcome.planned is not None, outcome.last
        return outcome.planned


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a call ended."""

    code: int
    last: Message
    planned: Message | None
    applied: Message | None
    events: list[Message]
    noise: str
    seconds: float


class RunnerCall:
    """A running call; a context manager that leaves no process behind."""

    def __init__(self, request: Message, *, source: Path = ROOT) -> None:
        self.request = request
        self.call_id = str(request.get("call_id", ""))
        self.events: list[Message] = []
        self.planned: Message | None = None
        self.applied: Message | None = None
        self.last: Message = {}
        self._started = time.monotonic()
        self._noise: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stacks"],
            cwd=source,
            env=environment(self.call_id),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._overdue = threading.Timer(CALL_SECONDS, self.process.kill)
        self._overdue.start()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        self.send(json.dumps(request))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._overdue.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=30)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        self._reader.join(60)  # until the guard is done too
        assert self.process.stderr is not None
        self.process.stderr.close()

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # it is gone, or was hung up

    def hang_up(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def messages(self) -> Iterator[Message]:
        """Yield what the runner says, keeping it; nothing else may be on its output."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            if message["message"] == "event":
                self.events.append(message)
            elif message["message"] == "planned":
                self.planned = message
            elif message["message"] == "applied":
                self.applied = message
            else:
                self.last = message
            yield message

    def until(self, found: Callable[[Message], bool]) -> Message:
        """Read on until a message that ``found`` accepts."""
        for message in self.messages():
            if found(message):
                return message
        raise AssertionError(f"the call ended before: {self.last} {self.noise()}")

    def finish(self, answer: str | None = None) -> Outcome:
        """Read to the end; answer a plan with ``answer``, or let it through."""
        if self.planned is not None and self.request.get("gate"):
            self.send(answer or f"proceed {self.planned['digest']}")
        for message in self.messages():
            if message["message"] == "planned" and self.request.get("gate"):
                self.send(answer or f"proceed {message['digest']}")
        code = self.process.wait(timeout=60)
        assert self.last, f"no last word, exit code {code}: {self.noise()}"
        return Outcome(
            code=code,
            last=self.last,
            planned=self.planned,
            applied=self.applied,
            events=self.events,
            noise=self.noise(),
            seconds=time.monotonic() - self._started,
        )

    def engines(self) -> list[psutil.Process]:
        """Return the living commands of the engine that this call has started."""
        cli = Path(self.request["cli"])
        return [p for p in processes_of(self.call_id) if Path(p.exe()).samefile(cli)]

    def noise(self) -> str:
        return "".join(self._noise)

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        return [event["body"] for event in self.events if event["kind"] == kind]

    def _listen(self) -> None:
        assert self.process.stderr is not None
        self._noise.extend(self.process.stderr)


def take_over(desk: Desk, dead: RunnerCall) -> None:
    """Do what a control plane does before it resolves: end what is left, break our own locks."""
    left = desk.result("inspect")
    assert {lock["call_id"] for lock in left["locks"]} <= {dead.call_id}
    locks = [lock["id"] for lock in left["locks"]]
    cleaned = desk.result("clean_up", break_locks=locks, end_calls=[dead.call_id])
    assert cleaned["broken_locks"] == locks


def hold(backend: Backend, **changes: Any) -> str:
    """Take a stack as somebody of another host has it; return the lock's id."""
    number = backend.newest + 1
    record = {
        "record": "open",
        "call": None,
        "host": "elsewhere",
        "pid": 4242,
        "user": "joe",
        "time": "2026-11-20T08:00:00Z",
        "key": backend.sealer.mark,
        **changes,
    }
    assert backend.add(number, record)
    return str(number)


def environment(call_id: str) -> dict[str, str]:
    """Return what the control plane gives a runner."""
    return {
        **{name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ},
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "TENANTPLANE_CALL_ID": call_id,
    }


def is_provider(process: psutil.Process) -> bool:
    """Tell whether it is a provider of the sandbox; it says so itself as it starts."""
    return process.name() == PROCESS


def processes_of(call_id: str) -> list[psutil.Process]:
    """Return the living processes that carry a call's mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.status() != psutil.STATUS_ZOMBIE
                and process.environ().get("TENANTPLANE_CALL_ID", "").strip() == call_id
            ):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def gone(call_id: str, *, within_seconds: float) -> bool:
    """Tell whether all processes of a call end within the time."""
    end = time.monotonic() + within_seconds
    while processes_of(call_id):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def kill_everything(call_id: str) -> None:
    """Kill engine, providers, runner and guard of a call at one go: a machine that lost power.

    All are stopped before, the engine first: told of a dead provider, it would write that nothing
    was created, and a keeper that outlives the guard would give the stack back.
    """
    found = sorted(processes_of(call_id), key=lambda p: "pulumi" not in _name_of(p))
    for act in (psutil.Process.suspend, psutil.Process.kill):
        for process in found:
            with suppress(psutil.Error):
                act(process)


def _name_of(process: psutil.Process) -> str:
    """Return its name, '' when it has ended meanwhile."""
    with suppress(psutil.Error):
        return str(process.name())
    return ""


def begun(message: Message, resource_type: str = "aws:", *, phase: str = "apply") -> bool:
    """Tell whether a message says that the creation of such a resource has begun."""
    if message.get("kind") != "resource":
        return False
    body = message["body"]
    started = (body["phase"], body["status"]) == (phase, "started")
    return bool(started and str(body["type"]).startswith(resource_type))


def phase_begins(message: Message, phase: str) -> bool:
    begin = {"phase": phase, "status": "started"}
    return message.get("kind") == "phase" and bool(message["body"] == begin)


def tree_with_program(folder: Path, source: str) -> Path:
    """Copy what the runner is made of and put ``source`` in the place of the slice's program."""
    tree = tree_in(folder)
    (tree / "stacks" / "mode_a" / "slice.py").write_text(source)
    return tree


def tree_in(folder: Path) -> Path:
    """Copy what the runner is made of."""
    tree = folder / "tree"
    for package in ("stacks", "policies"):
        shutil.copytree(
            ROOT / package,
            tree / package,
            # compiled files hold for copies, which keep their times; unfinished ones have a number
            ignore=shutil.ignore_patterns("*.pyc.*", "mode_c_modules"),
        )
    shutil.copy(ROOT / "requirements.lock", tree)
    return tree
