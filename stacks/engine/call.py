"""What every engine operation of a call needs, and the engine commands they are made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stacks.contract import Code, Desired, Operation, Request
from stacks.engine.backend import PROJECT, Backend, State, Update
from stacks.engine.channel import Channel, Inbox
from stacks.engine.cli import REASONS, Cli, CliProcess, Ended
from stacks.engine.failures import CallFailed, Said, classify
from stacks.engine.folder import CallFolder
from stacks.engine.guard import Guard
from stacks.engine.keeping import Keeping
from stacks.engine.protocol import OWNER
from stacks.engine.recorder import Recorder
from stacks.engine.sdk import VERSION, EngineHost, ProgramRun
from stacks.engine.sealing import Hider, Sealer
from stacks.engine.state import has_provider, state_digest
from stacks.engine.warm import ProviderProcess


@dataclass(frozen=True)
class Done:
    """An operation of the engine that ended well or not, with its events.

    ``ended`` is None for one after which the command is held. ``run`` is what the program
    registered.
    """

    ended: Ended | None
    events: Recorder
    failure: CallFailed | None
    run: ProgramRun


class Call:
    """One call: its folder, its engine and what it knows of the stack."""

    def __init__(
        self,
        request: Request,
        channel: Channel,
        inbox: Inbox,
        folder: CallFolder,
        backend: Backend,
        guard: Guard,
        sealer: Sealer,
    ) -> None:
        self.request = request
        self.channel = channel
        self.inbox = inbox
        self.folder = folder
        self.cli = Cli(request, folder, inbox)
        self.backend = backend
        self.seconds: dict[str, float] = {}
        self.host: EngineHost | None = None
        self._guard = guard
        self._warm: ProviderProcess | None = None
        self._looking: dict[str, ProviderProcess] = {}  # by their configuration
        self._keeping: Keeping | None = None
        self.sealer = sealer
        self.hider = Hider(sealer, request.secrets.hmac_key)
        self._phase = "start"

    # --- progress ------------------------------------------------------------------------------
    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Report when a phase starts and ends, and count its seconds."""
        self._phase = name
        self.channel.event("phase", {"phase": name, "status": "started"})
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - started, 3)
            self.channel.event(
                "phase", {"phase": name, "status": "ended", "seconds": self.seconds[name]}
            )

    def heed(self, *, until: float, doing: str, seconds: float = 0.0) -> None:
        """Wait so long, for what is done without the engine, and look whether it is to stop.

        Raises ``CallFailed`` when somebody asks for it or ``until``, a time of the monotonic clock,
        has come; ``doing`` as in ``classify``.
        """
        end = min(time.monotonic() + seconds, until)
        while (entry := self.inbox.get(max(end - time.monotonic(), 0.0))) is not None:
            if entry[0] in REASONS:
                raise stopped_failure(REASONS[entry[0]], phase=self._phase, doing=doing)
        if time.monotonic() >= until:
            raise stopped_failure(Code.DEADLINE, phase=self._phase, doing=doing)

    # --- the engine ----------------------------------------------------------------------------
    def engine(
        self,
        phase: str,
        arguments: list[str],
        *,
        doing: str,
        seconds: float,
        program: bool = True,
        updates: bool = False,
    ) -> Done:
        """Run an engine command with its events recorded; its failure is returned, not raised.

        ``program`` serves the inline program to it; ``updates`` takes the stack for it.
        """
        events = self.recorder(phase)
        process = self.start_engine(arguments, events, program=program, updates=updates)
        return self.done(self.cli.wait(process, seconds=seconds), events, doing=doing)

    def recorder(self, phase: str) -> Recorder:
        """Return what takes the events of one operation of the engine."""
        # Without its backend the engine tries to save each step, one by one.
        return Recorder(
            phase=phase, emit=self.channel.event, stop=partial(self.inbox.put, "backend_gone")
        )

    def start_engine(
        self,
        arguments: list[str],
        *operations: Recorder,
        program: bool = True,
        updates: bool = False,
        on_held: Callable[[], None] | None = None,
    ) -> CliProcess:
        """Start an engine command that does ``operations`` one after the other.

        ``program`` and ``updates`` as in ``engine``, ``on_held`` as in ``EngineHost.expect``.
        Raises ``CallFailed`` when the stack cannot be taken.
        """
        keeping = self.keeping()
        environment = {**keeping.environment, **self._attached()}
        if keeping.pid is not None:
            self.cli.spared.add(keeping.pid)
        if updates:
            keeping.take()
        host = self.start_host()
        host.expect(*(each.take for each in operations), on_held=on_held)
        stack = f"{OWNER}/{PROJECT}/{self.request.stack}"
        command = [*arguments, "--stack", stack, "--suppress-progress",
                   "--suppress-outputs", "--event-log", f"tcp://{host.address}"]  # fmt: skip
        if program:
            command += [f"--client={host.address}", "--exec-kind", "auto.inline"]
        return self.cli.start(command, extra=environment)

    def done(
        self, ended: Ended | None, events: Recorder, *, doing: str, operation: int = 0
    ) -> Done:
        """Return how an operation of a command ended, with all its events.

        ``operation`` is its place among those of the command, ``ended`` None when that is held.
        """
        host = self.start_host()
        if ended is None or ended.code == 0 or events.started:
            host.wait_for_events(operation)
        failure = None
        if ended is None:
            pass
        elif ended.stopped is Code.BACKEND_UNAVAILABLE and events.outage is not None:
            failure = events.outage
        elif ended.stopped is not None:
            failure = stopped_failure(ended.stopped, phase=events.phase, doing=doing)
        elif ended.code != 0:
            failure = classify(
                Said(
                    exit_code=ended.code,
                    output=ended.errors,
                    diagnostics=events.diagnostics,
                    failed=events.failed,
                    program_error=host.run.error,
                ),
                doing=doing,
            )
        return Done(ended=ended, events=events, failure=failure, run=host.run)

    def check_version(self) -> None:
        """Raise ``CallFailed`` unless the CLI is of the version that this code is written for."""
        version = self.request.cli_version.removeprefix("v")
        if version != VERSION:
            raise CallFailed(
                Code.CLI_VERSION,
                f"The pulumi command has version {version or 'unknown'}, but {VERSION} is "
                "required: run `make setup`, or set TENANTPLANE_PULUMI to one of that version.",
                data={"version": version, "needed": VERSION},
            )

    def warm_provider(self, state: State | None) -> None:
        """Start the provider for all commands of this call, where that is safe; see ``warm``."""
        if self.request.cloud.provider == "sandbox" and not has_provider(state):
            self._warm = self._start_provider(None)

    def provider_process(self, version: str, configuration: str) -> ProviderProcess:
        """Return a provider for a look of this call: the warm one, or one for all of its looks.

        Looks with another ``configuration`` have another one.
        """
        warm, self._warm = self._warm, None
        found = warm or self._looking.get(configuration)
        if found is None or found.is_gone():
            found = self._start_provider(self.folder.provider(version))
        self._looking[configuration] = found
        return found

    def _start_provider(self, executable: Path | None) -> ProviderProcess:
        return ProviderProcess(self._guard, executable, self.cli.environment, self.folder.root)

    def _attached(self) -> dict[str, str]:
        return self._warm.attach() if self._warm is not None else {}

    def start_host(self) -> EngineHost:
        """Listen for the engine and import the program meanwhile, if it is to be run."""
        if self.host is None:
            # what a dead call had begun to make is looked up by its program, whatever is wanted now
            has_program = not self.removes or self.request.operation is Operation.RESOLVE
            self.host = EngineHost(str(self.request.program) if has_program else None)
        return self.host

    @property
    def removes(self) -> bool:
        """Whether nothing of the stack is to exist."""
        return self.request.desired is Desired.ABSENT

    # --- the stack -----------------------------------------------------------------------------
    def state(self) -> State | None:
        """Return the stack's state with secrets encrypted, None when there is no stack.

        Raises ``CallFailed`` when there must be one.
        """
        state = self.backend.state()
        if state is None and self.request.has_state:
            raise CallFailed(
                Code.BACKEND,
                "The state backend has nothing of this stack, which was applied before: does "
                "TENANTPLANE_STATE_URL name another one? A state that an earlier release wrote "
                "is taken over by `tenantctl stack convert`.",
            )
        return state

    @contextmanager
    def taken(self) -> Iterator[Update]:
        """Take the stack for an update that this process makes itself. Raises ``CallFailed``."""
        update = self.backend.take(self.request.call_id)
        try:
            yield update
        finally:
            update.give_back()

    def digest_of(self, state: State | None) -> str:
        """Return the digest of a state."""
        return state_digest(state, self.hider.hide)

    def keeping(self) -> Keeping:
        """Have the state served to the engine."""
        if self._keeping is None:
            self._keeping = Keeping(self._guard, self.request, self.folder.root)
        return self._keeping

    def give_back(self) -> None:
        """Give the stack back if it is still taken: what was started must have ended."""
        if self._keeping is not None:
            self._keeping.give_back()


def stopped_failure(reason: Code, *, phase: str, doing: str) -> CallFailed:
    """Return the failure of a command that was stopped; ``doing`` as in ``classify``."""
    texts: dict[Code, str] = {
        Code.DEADLINE: f"The engine timed out trying to {doing} and was stopped.",
        Code.CANCELED: f"The engine was canceled while trying to {doing}.",
        Code.PARENT_GONE: f"The control plane's process ended before the engine could {doing}.",
        Code.BACKEND_UNAVAILABLE: f"The state backend failed as the engine tried to {doing}.",
    }
    return CallFailed(reason, texts[reason], data={"phase": phase})
