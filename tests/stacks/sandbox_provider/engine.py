"""Drives the real engine against the sandbox provider, and says what it did; for tests only."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
Program = Callable[[], None]


@dataclass
class Outcome:
    """What one call of the engine did.

    operations: logical name -> operation. diffs: logical name -> changed property paths.
    text: all it printed. error: None or the exception's text.
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
            if event.res_outputs_event.metadata.op.value not in {"same", "refresh"}:
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


class TerseStack(auto.Stack):
    """A stack that does not start the CLI three times more after each call to read what it did."""

    def outputs(self) -> auto.OutputMap:
        """Return nothing: the tests read the state."""
        return {}

    def info(self, show_secrets: bool = True) -> auto.UpdateSummary | None:
        """Return an empty summary: the tests read the events."""
        now = datetime.now(UTC)
        return auto.UpdateSummary("update", now, "", {}, {}, "succeeded", end_time=now)


class Stack:
    """One stack of the conformance project."""

    def __init__(self, stack: auto.Stack, state_file: Path) -> None:
        self._stack = stack
        self._state_file = state_file

    def run(self, program: Program, **provider: Any) -> Callable[[], None]:
        """Return the Pulumi program: one explicit provider, the resources of `program` below."""

        def main() -> None:
            arguments = {"region": "eu-west-1", "allowed_account_ids": [ACCOUNT], **provider}
            chosen = aws.Provider("aws", **arguments)

            def transform(
                args: pulumi.ResourceTransformArgs,
            ) -> pulumi.ResourceTransformResult | None:
                if args.custom and args.type_.startswith("aws:"):
                    options = pulumi.ResourceOptions.merge(
                        args.opts, pulumi.ResourceOptions(provider=chosen)
                    )
                    return pulumi.ResourceTransformResult(args.props, options)
                return None

            pulumi.runtime.register_resource_transform(transform)
            program()

        return main

    def up(self, program: Program, *, plan: Path | None = None, **provider: Any) -> Outcome:
        """Apply."""
        return self._call("up", program, provider, plan=str(plan) if plan else None)

    def preview(self, program: Program, **provider: Any) -> Outcome:
        """Preview."""
        return self._call("preview", program, provider)

    def refresh(self) -> Outcome:
        """Refresh from the state alone."""
        return self._call("refresh", None, {})

    def destroy(self) -> Outcome:
        """Destroy everything."""
        return self._call("destroy", None, {})

    def _call(
        self, verb: str, program: Program | None, provider: Mapping[str, Any], **more: Any
    ) -> Outcome:
        outcome = Outcome()
        if program is not None:
            self._stack.workspace.program = self.run(program, **provider)
        given = {name: value for name, value in more.items() if value is not None}
        lines: list[str] = []
        try:
            getattr(self._stack, verb)(
                on_event=outcome.note, on_output=lines.append, on_error=lines.append, **given
            )
        except auto.CommandError as error:
            outcome.error = str(error)
        outcome.text = "\n".join([*lines, outcome.error or ""])
        return outcome

    @property
    def state(self) -> dict[str, dict[str, Any]]:
        """The resources of the state file, by logical name, secrets as they are stored."""
        document = json.loads(self._state_file.read_text())
        resources = document["checkpoint"]["latest"].get("resources") or []
        return {item["urn"].rpartition("::")[2]: item for item in resources}

    @property
    def state_text(self) -> str:
        """The whole state file."""
        return self._state_file.read_text()


class Engine:
    """A Pulumi CLI with a home, a file backend and the sandbox provider of its own."""

    def __init__(self, root: Path, cli: Path, cloud: Mapping[str, str]) -> None:
        self.root = root
        self.plugin = write_plugin(root / "plugin")
        (root / "cli" / "bin").mkdir(parents=True)
        (root / "cli" / "bin" / "pulumi").symlink_to(cli)
        self.command = auto.PulumiCommand(root=str(root / "cli"))
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

    def folder(self, name: str) -> Path:
        """Make the project folder of a stack."""
        folder = self.root / "work" / name
        folder.mkdir(parents=True)
        project = {
            "name": PROJECT,
            "runtime": "python",
            "plugins": {
                "providers": [
                    {"name": "aws", "path": str(self.plugin.parent), "version": sdk_version()}
                ]
            },
        }
        (folder / "Pulumi.yaml").write_text(json.dumps(project))
        settings = {"config": {"pulumi:disable-default-providers": ["*"]}}
        (folder / f"Pulumi.{name}.yaml").write_text(json.dumps(settings))
        return folder

    def stack(self, name: str) -> Stack:
        """Create a stack."""
        workspace = auto.LocalWorkspace(
            work_dir=str(self.folder(name)),
            pulumi_home=str(self.root / "home" / name),
            pulumi_command=self.command,
            env_vars=self.environment,
            secrets_provider="passphrase",
        )
        created = TerseStack(name, workspace, StackInitMode.CREATE)
        return Stack(created, self.backend / ".pulumi" / "stacks" / PROJECT / f"{name}.json")


@contextmanager
def children_of(pid: int) -> Iterator[list[int]]:
    """Yield the ids of the processes below a process, as they are now."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    yield found


def alive(pid: int) -> bool:
    """Tell whether a process runs (a zombie does not)."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return Path("/proc").exists() is False
