"""What every engine operation of a call needs, and the engine commands they are made of."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from stacks.contract import Code, Request
from stacks.engine.backend import (
    PROJECT,
    FileBackend,
    State,
    call_of_message,
    salt_of,
    update_message,
)
from stacks.engine.channel import Channel, Inbox
from stacks.engine.cli import Cli, Ended
from stacks.engine.failures import CallFailed, Said, classify
from stacks.engine.folder import CallFolder
from stacks.engine.guard import Guard
from stacks.engine.passphrase import Crypter, Hider
from stacks.engine.recorder import Recorder
from stacks.engine.sdk import VERSION, EngineHost
from stacks.engine.state import has_provider, state_digest
from stacks.engine.values import digest
from stacks.engine.warm import WarmProvider

_QUICK_SECONDS = 60.0  # for commands that only touch the backend


@dataclass(frozen=True)
class Done:
    """An engine command that ended well or not, with its events."""

    ended: Ended
    events: Recorder
    failure: CallFailed | None


class Call:
    """One call: its folder, its engine and what it knows of the stack."""

    def __init__(
        self,
        request: Request,
        channel: Channel,
        inbox: Inbox,
        folder: CallFolder,
        backend: FileBackend | None,
        guard: Guard,
    ) -> None:
        self.request = request
        self.channel = channel
        self.inbox = inbox
        self.folder = folder
        self.cli = Cli(request, folder, inbox)
        self.backend = backend  # None: only the engine reads it
        self.seconds: dict[str, float] = {}
        self.host: EngineHost | None = None
        self._guard = guard
        self._warm: WarmProvider | None = None
        self._crypters: dict[str | None, Crypter] = {}
        self._locks_told: set[str] = set()
        self._telling = threading.Lock()

    # --- progress ------------------------------------------------------------------------------
    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Tell the begin of a phase and its end, and count its seconds."""
        self.channel.event("phase", {"phase": name, "status": "started"})
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - started, 3)
            self.channel.event(
                "phase", {"phase": name, "status": "ended", "seconds": self.seconds[name]}
            )

    def tell_lock(self) -> bool:
        """Tell the id of the lock that the running CLI holds, once; True when it was told."""
        if self.backend is None:
            return True
        with self._telling:
            for lock in self.backend.locks():
                if lock.pid == self.cli.pid and lock.host == os.uname().nodename:
                    if lock.id not in self._locks_told:
                        self._locks_told.add(lock.id)
                        self.channel.event("lock", lock.model_dump(exclude={"ours"}))
                    return True
        return False

    # --- the engine ----------------------------------------------------------------------------
    def engine(
        self,
        phase: str,
        arguments: list[str],
        *,
        doing: str,
        seconds: float,
        program: bool = True,
        locks: bool = False,
    ) -> Done:
        """Run an engine command with its events recorded; its failure is returned, not raised.

        ``program`` serves the inline program to it; ``locks`` tells the lock that it takes.
        """
        host = self._host()
        events = Recorder(phase=phase, emit=self.channel.event)
        host.expect(events.take, self.tell_lock if locks else lambda: True)
        command = [*arguments, "--stack", self.request.stack, "--suppress-progress",
                   "--suppress-outputs", "--event-log", f"tcp://{host.address}"]  # fmt: skip
        if program:
            command += [f"--client={host.address}", "--exec-kind", "auto.inline"]
        ended = self.cli.run(
            command,
            seconds=seconds,
            extra=self._warm.attach() if self._warm is not None else {},
            look=self.tell_lock if locks else None,
        )
        if ended.code == 0 or events.started:
            host.wait_for_events()
        failure = None
        if ended.stopped is not None:
            failure = stopped_failure(ended.stopped, phase)
        elif ended.code != 0:
            failure = classify(
                Said(
                    exit_code=ended.code,
                    output=ended.output,
                    diagnostics=events.diagnostics,
                    failed=events.failed,
                    program_error=host.program_error,
                ),
                doing=doing,
            )
        return Done(ended=ended, events=events, failure=failure)

    def quick(self, arguments: list[str], *, doing: str) -> Ended:
        """Run a CLI command that only touches the backend. Raises ``CallFailed``."""
        ended = self.cli.run(arguments, seconds=_QUICK_SECONDS, look=self.tell_lock)
        self.check(ended, doing=doing)
        return ended

    def check(self, ended: Ended, *, doing: str) -> None:
        """Raise ``CallFailed`` unless a CLI process ended well."""
        if ended.stopped is not None:
            raise stopped_failure(ended.stopped, doing)
        if ended.code != 0:
            raise classify(Said(exit_code=ended.code, output=ended.output), doing=doing)

    def check_version(self) -> None:
        """Raise ``CallFailed`` unless the CLI is of the version that this code is written for."""
        refuse_version(self.quick(["version"], doing="tell its version").stdout.lstrip("v"))

    def warm_provider(self, state: State | None) -> None:
        """Start the provider for all commands of this call, where that is safe; see ``warm``."""
        if self.request.cloud.provider == "sandbox" and not has_provider(state):
            self._warm = WarmProvider(
                self._guard, self.folder.plugin, self.cli.environment, self.folder.root
            )

    def start_host(self) -> EngineHost:
        """Listen for the engine and import the program meanwhile."""
        if self.host is None:
            self.host = EngineHost(str(self.request.program))
        return self.host

    def _host(self) -> EngineHost:
        return self.start_host()

    # --- the stack -----------------------------------------------------------------------------
    def state(self) -> State | None:
        """Return the stack's state with secrets encrypted, None when there is no stack."""
        if self.backend is not None:
            return self.backend.state()
        exported = self._exported()
        if exported is None:
            return None
        deployment = exported.get("deployment")
        return deployment if isinstance(deployment, dict) else {}

    def write_state(self, state: State) -> None:
        """Replace the stack's state, through the engine, which takes the lock for it."""
        exported = self._exported() if self.backend is None else self.backend.export()
        path = self.folder.root / "state.json"
        path.write_text(json.dumps({**(exported or {}), "deployment": state}), encoding="utf-8")
        self.quick(
            ["stack", "import", "--file", str(path), "--stack", self.request.stack],
            doing="write the stack's state",
        )

    def _exported(self) -> dict[str, Any] | None:
        ended = self.cli.run(
            ["stack", "export", "--stack", self.request.stack], seconds=_QUICK_SECONDS
        )
        if ended.stopped is None and ended.code != 0 and "no stack named" in ended.output:
            return None
        self.check(ended, doing="read the stack's state")
        document = json.loads(ended.stdout)
        return document if isinstance(document, dict) else {}

    def history_digest(self) -> str | None:
        """Return the digest of the newest update of the stack, whoever made it."""
        if self.backend is not None:
            return self.backend.history_digest()
        newest = self._newest_update()
        return digest(newest) if newest else None

    def written_by(self, state: State | None) -> str | None:
        """Return the call whose update left exactly this state, None if it may be another's.

        Where the engine alone reads the backend, a state that was written after the end of the
        newest update is another's.
        """
        if self.backend is not None:
            return self.backend.written_by()
        newest = self._newest_update()
        written = _time((state or {}).get("manifest", {}).get("time"))
        ended = _time(newest.get("endTime"))
        if written is None or ended is None or written > ended + timedelta(seconds=1):
            return None
        return call_of_message(str(newest.get("message", "")))

    def _newest_update(self) -> Mapping[str, Any]:
        ended = self.quick(
            ["stack", "history", "--json", "--page-size", "1", "--stack", self.request.stack],
            doing="read the stack's history",
        )
        updates = json.loads(ended.stdout or "[]")
        return updates[0] if updates else {}

    def hider(self, state: State | None) -> Hider:
        """Return what hides the secrets of a state or of a plan made from it."""
        salt = salt_of(state) or self.request.stack_salt or self.folder.read_salt()
        secrets = self.request.secrets
        if salt not in self._crypters:  # deriving the key takes as long as a start of the CLI
            self._crypters[salt] = Crypter(secrets.passphrase, salt)
        return Hider(self._crypters[salt], secrets.hmac_key)

    def digest_of(self, state: State | None) -> str:
        """Return the digest of a state."""
        return state_digest(state, self.hider(state).hide)

    def salt(self) -> str | None:
        """Return the salt of the stack as it is now."""
        return self.folder.read_salt() or self.request.stack_salt

    def message(self) -> list[str]:
        """Return the arguments that write this call's id into the stack's history."""
        return ["--message", update_message(self.request.call_id)]

    def create_stack_arguments(self) -> list[str]:
        """Return the command that makes the stack."""
        return ["stack", "init", f"organization/{PROJECT}/{self.request.stack}",
                "--no-select", "--secrets-provider", "passphrase"]  # fmt: skip


def _time(text: object) -> datetime | None:
    """Read a time of the engine, whose fractions of a second have up to nine digits."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", str(text))
    return datetime.fromisoformat(match[1] + match[2]) if match else None


def refuse_version(version: str) -> None:
    """Raise ``CallFailed`` for a CLI of another version than the SDK's."""
    if version != VERSION:
        raise CallFailed(
            Code.CLI_VERSION,
            f"The pulumi command is version {version or 'unknown'}, {VERSION} is needed: run "
            "`make setup`, or set TENANTPLANE_PULUMI to one of that version.",
            data={"version": version, "needed": VERSION},
        )


def stopped_failure(reason: Code, phase: str) -> CallFailed:
    """Return the failure of a command that was stopped."""
    texts: dict[Code, str] = {
        Code.DEADLINE: f"The deadline of {phase} is over; the engine was stopped.",
        Code.CANCELED: f"The call was canceled during {phase}; the engine was stopped.",
        Code.PARENT_GONE: f"The parent process ended during {phase}; the engine was stopped.",
    }
    return CallFailed(reason, texts[reason], data={"phase": phase})
