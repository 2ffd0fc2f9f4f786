"""One start of the Pulumi CLI: its environment, its end, and how it is stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stacks.contract import Code, Request
from stacks.engine import processes
from stacks.engine.channel import Inbox
from stacks.engine.failures import CallFailed
from stacks.engine.folder import CallFolder

# What the engine and its providers may see of the environment of the caller.
_PASSED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE",
           "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy",
           "no_proxy", "ALL_PROXY", "all_proxy")  # fmt: skip
_PASSED_PREFIXES = ("AWS_",)  # credentials and endpoints of the cloud

_SECOND_INTERRUPT_SECONDS = 5.0

HELD = ("held",)  # entry of the inbox: the engine has previewed and waits

REASONS = {
    "cancel": Code.CANCELED,
    "parent_gone": Code.PARENT_GONE,
    "backend_gone": Code.BACKEND_UNAVAILABLE,
}


@dataclass(frozen=True)
class Ended:
    """How a CLI process ended. ``stopped`` says why it was stopped, None when it was not."""

    code: int
    output: str
    stdout: str
    stopped: Code | None

    @property
    def errors(self) -> str:
        """What it wrote to standard error."""
        return self.output.removeprefix(self.stdout).strip()


class Cli:
    """Starts the CLI of a call. Must be used by one thread that lives as long as the call."""

    def __init__(self, request: Request, folder: CallFolder, inbox: Inbox) -> None:
        self._request = request
        self._folder = folder
        self._inbox = inbox
        self.environment = environment(request, folder)
        self._starts = 0
        self.spared: set[int] = set()  # children that are not the engine's
        self._was_stopped = False
        if not (os.path.isfile(request.cli) and os.access(request.cli, os.X_OK)):  # noqa: PTH113
            raise CallFailed(
                Code.CLI_MISSING,
                "The pulumi command was not found at the given path: run `make setup`, or set "
                "TENANTPLANE_PULUMI.",
            )

    def run(
        self,
        arguments: Sequence[str],
        *,
        seconds: float,
    ) -> Ended:
        """Run the CLI to its end, or stop it when the parent says so or ``seconds`` are over."""
        return self.wait(self.start(arguments), seconds=seconds)

    def start(
        self, arguments: Sequence[str], *, extra: Mapping[str, str] | None = None
    ) -> CliProcess:
        """Start the CLI without waiting for it; ``extra`` is added to its environment."""
        self._starts += 1
        return CliProcess(
            [self._request.cli, "--non-interactive", "--color", "never", *arguments],
            folder=self._folder,
            number=self._starts,
            environment={**self.environment, **(extra or {})},
            inbox=self._inbox,
        )

    def wait(self, process: CliProcess, *, seconds: float) -> Ended:
        """Wait for the end of a started CLI; see ``run``.

        A call is stopped once: what runs afterwards, to read what was left, runs to its end however
        often it is asked to stop.
        """
        entry = self._next(seconds, ("exit", process.pid))
        if isinstance(entry, Code):
            self._stop(process)
            return process.ended(entry)
        return process.ended(None)

    def wait_until_held(self, process: CliProcess, *, seconds: float) -> Ended | None:
        """Wait until a started CLI is held, which returns None, or for its end.

        It has changed nothing until then, so one that is to stop is killed.
        """
        entry = self._next(seconds, ("exit", process.pid), HELD)
        if entry == HELD:
            return None
        if isinstance(entry, Code):
            process.kill()
            return process.ended(entry)
        return process.ended(None)

    def _next(self, seconds: float, *wanted: tuple[Any, ...]) -> tuple[Any, ...] | Code:
        """Wait for one of the wanted entries of the inbox; return it, or why to stop instead."""
        end = time.monotonic() + seconds
        while (patience := end - time.monotonic()) > 0:
            entry = self._inbox.get(patience)
            if entry in wanted:
                return entry
            if entry is not None and entry[0] in REASONS and not self._was_stopped:
                self._was_stopped = True
                return REASONS[entry[0]]
        self._was_stopped = True
        return Code.DEADLINE

    def _stop(self, process: CliProcess) -> None:
        """Interrupt, wait, interrupt again, wait, kill the whole tree."""
        patience = self._request.deadlines.stop_seconds
        for wait in (patience, min(patience, _SECOND_INTERRUPT_SECONDS)):
            process.interrupt()
            if process.join(wait):
                return
        process.kill()
        processes.end_descendants(spare=self.spared)
        process.join(_SECOND_INTERRUPT_SECONDS)


class CliProcess:
    """A running CLI. Its end arrives in the inbox as ("exit", pid)."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: CallFolder,
        number: int,
        environment: Mapping[str, str],
        inbox: Inbox,
    ) -> None:
        self._out = folder.root / f"cli-{number}.out"
        self._err = folder.root / f"cli-{number}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            try:
                self._process = subprocess.Popen(
                    command,
                    cwd=folder.project,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise CallFailed(
                    Code.CLI_MISSING, "The pulumi command could not be started: is it executable?"
                ) from error
        self.pid = self._process.pid
        self._done = threading.Event()
        threading.Thread(target=self._wait, args=(inbox,), name="cli", daemon=True).start()

    def interrupt(self) -> None:
        """Ask the engine to finish the steps in progress and to end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End the engine at once, leaving its providers to the caller."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def join(self, seconds: float) -> bool:
        """Wait for the end; return whether it came within ``seconds``."""
        return self._done.wait(seconds)

    def ended(self, stopped: Code | None) -> Ended:
        """Return how the process ended; it must have."""
        self._done.wait()
        stdout, stderr = (_text(path) for path in (self._out, self._err))
        return Ended(
            code=self._process.returncode,
            output=f"{stdout}\n{stderr}",
            stdout=stdout,
            stopped=stopped,
        )

    def _wait(self, inbox: Inbox) -> None:
        self._process.wait()
        self._done.set()
        inbox.put("exit", self.pid)


def environment(request: Request, folder: CallFolder) -> dict[str, str]:
    """Return the whole environment of the CLI: what is named here, and nothing else."""
    passed = {k: v for k, v in os.environ.items() if k in _PASSED or k.startswith(_PASSED_PREFIXES)}
    if request.cloud.endpoint:
        passed["AWS_ENDPOINT_URL"] = request.cloud.endpoint
    return {
        **passed,
        processes.CALL_ID: request.call_id,
        "PULUMI_HOME": str(folder.home),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_DISABLE_REGISTRY_RESOLVE": "true",
        "PULUMI_AUTOMATION_API": "true",
        "PULUMI_DEBUG_COMMANDS": "true",  # --event-log exists only with it
        # The engine waits until a step is recorded, and gathers entries of the journal meanwhile;
        # its own 50 ms are for a service far away. With 10 a no-op of 200 resources takes a tenth
        # less of the engine's processor time, and an apply of 21 a seventh longer.
        "PULUMI_JOURNALING_BATCH_PERIOD": "1",
        # A start of the CLI is mostly the set-up of libraries that it does not use; with fewer
        # collections meanwhile it takes 0.19 s instead of 0.29. The limit takes 40 MB off a run at
        # its largest, and costs nothing that can be measured, also with 65 resources.
        "GOGC": "400",
        "GOMEMLIMIT": "64MiB",
    }


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace").strip()
