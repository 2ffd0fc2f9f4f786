"""What the runner relies on in the SDK and in the CLI, which both may change without notice."""

from __future__ import annotations

import importlib.metadata
import inspect
import subprocess
from pathlib import Path

import pytest

from stacks.engine.sdk import VERSION

pytestmark = pytest.mark.timeout(120)


def test_sdk_and_command_are_of_the_version_that_the_code_was_written_for(
    pulumi_cli: Path, tmp_path: Path
) -> None:
    assert importlib.metadata.version("pulumi") == VERSION
    variables = {"HOME": str(tmp_path), "PULUMI_HOME": str(tmp_path)}
    told = subprocess.run(
        [str(pulumi_cli), "version"],
        capture_output=True, text=True, timeout=60, check=True, env=variables,
    )  # fmt: skip
    assert told.stdout.strip() == f"v{VERSION}"


def test_a_program_is_run_by_these_functions() -> None:
    from pulumi.runtime import reset_options, run_in_stack, set_all_config

    assert set(inspect.signature(reset_options).parameters) >= {
        "project", "stack", "monitor_address", "engine_address", "parallel", "preview",
        "organization",
    }  # fmt: skip
    assert inspect.iscoroutinefunction(run_in_stack)
    assert list(inspect.signature(set_all_config).parameters) == ["config", "secret_keys"]


def test_runs_and_events_come_in_these_messages() -> None:
    from pulumi.runtime.proto import events_pb2, language_pb2

    fields = {f.name for f in language_pb2.RunRequest.DESCRIPTOR.fields}
    assert fields >= {
        "project", "stack", "args", "config", "configSecretKeys", "dryRun", "parallel",
        "monitor_address", "organization",
    }  # fmt: skip
    assert "error" in {f.name for f in language_pb2.RunResponse.DESCRIPTOR.fields}
    assert [f.name for f in events_pb2.EventRequest.DESCRIPTOR.fields][:1] == ["event"]


def test_the_runner_serves_these_methods() -> None:
    from pulumi.runtime.proto import events_pb2, language_pb2

    language = language_pb2.DESCRIPTOR.services_by_name["LanguageRuntime"]
    assert {"GetRequiredPackages", "GetRequiredPlugins", "GetPluginInfo", "Run"} <= {
        m.name for m in language.methods
    }
    events = events_pb2.DESCRIPTOR.services_by_name["Events"]
    assert [m.name for m in events.methods] == ["StreamEvents"]
    assert language.full_name == "pulumirpc.LanguageRuntime"


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("preview", ["--save-plan", "--event-log", "--skip-plugin-pre-install"]),
        ("up", ["--strict", "--event-log", "--skip-plugin-pre-install"]),
        ("refresh", ["--skip-preview", "--event-log", "--skip-plugin-pre-install"]),
    ],
)
def test_the_command_has_these_options(
    pulumi_cli: Path, tmp_path: Path, command: str, options: list[str]
) -> None:
    variables = {"PULUMI_DEBUG_COMMANDS": "true", "PULUMI_SKIP_UPDATE_CHECK": "true",
                 "HOME": str(tmp_path), "PULUMI_HOME": str(tmp_path)}  # fmt: skip
    told = subprocess.run(
        [str(pulumi_cli), command, "--help"],
        capture_output=True, text=True, timeout=60, check=True, env=variables,
    ).stdout  # fmt: skip
    assert [option for option in options if option not in told] == []
