"""Drives the real engine against the sandbox provider, and says what it did; for tests only.

The Automation API runs in one child process: of a program that fails the SDK leaves open event
loops and sockets behind, which must not trouble other tests. Programs are functions of a module
(or `functools.partial`s of them), so that the child can import them.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi import automation as auto
from pulumi.automation._stack import StackInitMode
from pulumi.automation.events import StepEventMetadata

from stacks.sandbox.provider import sdk_version, write_plugin

PROJECT = "conformance"
PASSPHRASE = "correct horse battery staple"
ACCOUNT = "123456789012"
CALL_SECONDS = 300
Program = Callable[[], None]


@dataclass
class Outcome:
    """What one call of the engine did.

    operations: logical name -> operations. diffs: logical name -> changed property paths.
    replaced_by: those of them that replace. text: all it printed. error: None or why it failed.
    """

    operations: dict[str, str] = field(default_factory=dict)
    diffs: dict[str, set[str]] = field(default_factory=dict)
    replaced_by: dict[str, set[str]] = field(default_factory=dict)
    text: str = ""
    error: str | None = None

    def note(self, event: auto.EngineEvent) -> None:
        """Take what an event of the engine says."""
        if event.resource_pre_event is not None:
            about = event.resource_pre_event.metadata
            name, operation = about.urn.rpartition("::")[2], about.op.value
            if operation not in {"replace", "refresh"}:
                known = self.operations.get(name)
                self.operations[name] = f"{known}, {operation}" if known else operation
                self._note_differences(name, about)
        elif event.res_outputs_event is not None:
            about = event.res_outputs_event.metadata
            if about.op.value not in {"same", "refresh"}:
                # of a refresh, only this event knows what it found
                self._note_differences(about.urn.rpartition("::")[2], about)

    def _note_differences(self, name: str, about: StepEventMetadata) -> None:
        for path, difference in (about.detailed_diff or {}).items():
            self.diffs.setdefault(name, set()).add(path)
            if difference.diff_kind.value.endswith("replace"):
                self.replaced_by.setdefault(name, set()).add(path)

    def only(self, operation: str) -> set[str]:
        """Return the logical names that had exactly this operation."""
        return {name for name, done in self.operations.items() if done == operation}

    @property
    def moved(self) -> dict[str, str]:
        """Everything that was not left as it is."""
        return {name: done for name, done in self.operations.items() if done != "same"}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the engine. `provider`: arguments of the program's `aws.Provider`."""

    stack: str
    folder: Path
    environment: dict[str, str]
    verb: str
    program: Program | None = None
    provider: dict[str, Any] = field(default_factory=dict)


class TerseStack(auto.Stack):
    """A stack that does not start the CLI three times more after each call to read what it did."""

    def outputs(self) -> auto.OutputMap:
        """Return nothing: the tests read the state."""
        return {}

    def info(self, show_secrets: bool = True) -> auto.UpdateSummary | None:
        """Return an empty summary: the tests read the events."""
        now = datetime.now(UTC)
        return auto.UpdateSummary("update", now, "", {}, {}, "succeeded", end_time=now)


class Driver:
    """The child's side: stacks of the Automation API, made when they are first asked for."""

    def __init__(self, root: Path) -> None:
        # the SDK asks the command for its version with the process's own environment
        os.environ["PULUMI_HOME"] = str(root / "home")
        self._command = auto.PulumiCommand(root=str(root / "cli"))
        self._stacks: dict[str, TerseStack] = {}

    def carry_out(self, call: Call) -> Outcome:
        """Make one call and return what it did."""
        outcome, lines = Outcome(), list[str]()
        stack = self._stack(call)
        stack.workspace.program = None if call.program is None else under_provider(call)
        try:
            getattr(stack, call.verb)(
                on_event=outcome.note, on_output=lines.append, on_error=lines.append
            )
        except auto.CommandError as error:
            outcome.error = str(error)
        outcome.text = "\n".join([*lines, outcome.error or ""])
        return outcome

    def _stack(self, call: Call) -> TerseStack:
        if call.stack not in self._stacks:
            workspace = auto.LocalWorkspace(
                work_dir=str(call.folder),
                pulumi_home=str(call.folder / "home"),
                pulumi_command=self._command,
                env_vars=call.environment,
                secrets_provider="passphrase",
            )
            made = TerseStack(call.stack, workspace, StackInitMode.CREATE)
            self._stacks[call.stack] = made
        stack = self._stacks[call.stack]
        stack.workspace.env_vars = call.environment
        return stack


def under_provider(call: Call) -> Program:
    """Return the whole program of a call: one explicit provider, everything made by it."""

    def main() -> None:
        arguments = {"region": "eu-west-1", "allowed_account_ids": [ACCOUNT], **call.provider}
        chosen = aws.Provider("aws", **arguments)

        def by_it(
            args: pulumi.ResourceTransformationArgs,
        ) -> pulumi.ResourceTransformationResult | None:
            if not args.type_.startswith("aws:"):
                return None
            options = pulumi.ResourceOptions(provider=chosen)
            merged = pulumi.ResourceOptions.merge(args.opts, options)
            return pulumi.ResourceTransformationResult(args.props, merged)

        pulumi.runtime.register_stack_transformation(by_it)
        if call.program is not None:
            call.program()

    return main


def drive(calls: Connection, root: Path) -> None:
    """Serve calls until told to end; the child's main function."""
    log = os.open(root / "driver.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, sys.stderr.fileno())
    driver = Driver(root)
    while (call := calls.recv()) is not None:
        calls.send(driver.carry_out(call))


class Engine:
    """A Pulumi CLI with a home, a file backend and the sandbox provider of its own."""

    def __init__(self, root: Path, cli: Path, cloud: Mapping[str, str]) -> None:
        self.root = root
        self.cli = cli
        self.plugin = write_plugin(root / "plugin")
        (root / "cli" / "bin").mkdir(parents=True)
        (root / "cli" / "bin" / "pulumi").symlink_to(cli)
        self.backend = root / "backend"
        self.backend.mkdir()
        self.environment = {
            "PULUMI_BACKEND_URL": self.backend.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
            **cloud,
        }
        spawning = multiprocessing.get_context("spawn")
        self._calls, theirs = spawning.Pipe()
        self._child = spawning.Process(target=drive, args=(theirs, root), daemon=True)
        self._child.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """The process whose children are the CLI's."""
        assert self._child.pid is not None
        return self._child.pid

    def close(self) -> None:
        """End the child."""
        self._calls.send(None)
        self._child.join(timeout=30)
        if self._child.is_alive():
            os.kill(self.pid, signal.SIGKILL)
            self._child.join()
        self._child.close()
        self._calls.close()

    def carry_out(self, call: Call) -> Outcome:
        """Have the child make one call."""
        self._calls.send(call)
        if not self._calls.poll(CALL_SECONDS):
            raise TimeoutError(f"{call.verb} of {call.stack} took more than {CALL_SECONDS} s")
        outcome: Outcome = self._calls.recv()
        return outcome

    def stack(self, name: str) -> Stack:
        """Return a new stack with a project folder of its own."""
        folder = self.root / "work" / name
        folder.mkdir(parents=True)
        plugin = {"name": "aws", "path": str(self.plugin.parent), "version": sdk_version()}
        project = {"name": PROJECT, "runtime": "python", "plugins": {"providers": [plugin]}}
        (folder / "Pulumi.yaml").write_text(json.dumps(project))
        settings = {"config": {"pulumi:disable-default-providers": ["*"]}}
        (folder / f"Pulumi.{name}.yaml").write_text(json.dumps(settings))
        return Stack(self, name, folder)


class Stack:
    """One stack of the conformance project."""

    def __init__(self, engine: Engine, name: str, folder: Path) -> None:
        self.engine = engine
        self.name = name
        self.folder = folder
        self.environment = dict(engine.environment)

    def up(self, program: Program, **provider: Any) -> Outcome:
        """Apply."""
        return self._call("up", program, provider)

    def preview(self, program: Program, **provider: Any) -> Outcome:
        """Preview."""
        return self._call("preview", program, provider)

    def refresh(self) -> Outcome:
        """Refresh from the state alone."""
        return self._call("refresh", None, {})

    def destroy(self) -> Outcome:
        """Destroy everything."""
        return self._call("destroy", None, {})

    def _call(self, verb: str, program: Program | None, provider: dict[str, Any]) -> Outcome:
        call = Call(
            stack=self.name,
            folder=self.folder,
            environment=self.environment,
            verb=verb,
            program=program,
            provider=provider,
        )
        return self.engine.carry_out(call)

    @property
    def _checkpoint(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.state_text)["checkpoint"].get("latest") or {}
        return found

    @property
    def state(self) -> dict[str, dict[str, Any]]:
        """The resources of the state file, by logical name, secrets as they are stored."""
        resources = self._checkpoint.get("resources") or []
        return {item["urn"].rpartition("::")[2]: item for item in resources}

    @property
    def pending(self) -> list[dict[str, Any]]:
        """The operations of the state that began and did not end."""
        return self._checkpoint.get("pending_operations") or []

    @property
    def state_file(self) -> Path:
        """Where the backend keeps the state."""
        return self.engine.backend / ".pulumi" / "stacks" / PROJECT / f"{self.name}.json"

    @property
    def state_text(self) -> str:
        """The whole state file."""
        return self.state_file.read_text()
