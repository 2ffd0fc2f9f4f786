"""The state that the keeper makes of the engine's journal is the one that the engine makes itself.

One program lives through everything twice: in calls of the runner, and with the plain command on
the engine's own folder. After each step the two states are compared, resource by resource.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stacks.engine.values import SECRET, SIGNATURE
from stacks.sandbox.provider import write_plugin
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.runner_calls import PASSPHRASE, Desk, Message, environment, tree_with_program
from tests.stacks.sample_specs import hub_outputs, slice_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MakeDesk = Callable[..., Desk]

HEAD = """
import pulumi
import pulumi_aws as aws


def build(spec, provider):
    short, secret = spec.owner.short, pulumi.Output.secret

    def opts(**more):
        return pulumi.ResourceOptions(provider=provider, **more)

    def parameter(name, called=None, value="v", kind="String", **more):
        return aws.ssm.Parameter(name, name=f"/{short}/{called or name}", type=kind, value=value,
                                 opts=opts(**more))

    class Part(pulumi.ComponentResource):
        def __init__(self, kind):
            super().__init__(f"tests:of:{kind}", "part", None, opts(
                aliases=[pulumi.Alias(type_="tests:of:Part")]))

"""


def program(*lines: str) -> str:
    return HEAD + "\n".join(f"    {line}" for line in lines) + "\n"


FIRST = (
    'one = parameter("one")',
    'two = parameter("two", value=one.arn, depends_on=[one])',
    'hidden = parameter("hidden", value=secret("canary"), kind="SecureString", protect=True)',
    'log = aws.cloudwatch.LogGroup("log", name=f"/{short}/a", retention_in_days=30, opts=opts())',
    'of_log = parameter("of-log", value=log.name)',
    'part = Part("Part")',
    'inside = parameter("inside", parent=part)',
    'beside = parameter("beside", deleted_with=one)',
    'read = aws.ssm.Parameter.get("read", one.id, opts=opts())',
    'return {"arn": two.arn, "token": secret("canary-2"), "log": log.name}',
)


def changed(*pairs: tuple[str, str], lines: tuple[str, ...] = FIRST) -> tuple[str, ...]:
    text = "\n".join(lines)
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return tuple(text.split("\n"))


UPDATED = changed(
    ('parameter("two", value=one.arn', 'parameter("two", value="other"'),
    ("retention_in_days=30", "retention_in_days=7"),
    ("canary-2", "canary-3"),
    (" protect=True)", ' protect=False, ignore_changes=["description"])'),
)
REPLACED = changed(
    ('name=f"/{short}/a"', 'name=f"/{short}/b"'),  # the new one is made first
    ('parameter("beside"', 'parameter("beside", called="other", delete_before_replace=True'),
    lines=UPDATED,
)
RENAMED = changed(
    ('Part("Part")', 'Part("Other")'),
    ('one = parameter("one")',
     'one = parameter("uno", called="one", aliases=[pulumi.Alias(name="one")])'),
    lines=REPLACED,
)  # fmt: skip
FAILING = changed(
    ("return {", 'parameter("taken", depends_on=[two, hidden, of_log, inside, beside]); return {'),
    ('value="other"', 'value="third"'),
    lines=RENAMED,
)  # fmt: skip
NOTHING = ('return {"arn": "gone"}',)

# What an operator does, with the SDK in the place of the CLI's language host.
PLAIN = """
import runpy, sys
from datetime import datetime
from pulumi import automation as auto
from pulumi.automation._stack import StackInitMode

verb, root, tools, work, stack = sys.argv[1:]


class Terse(auto.Stack):  # asks for nothing afterwards
    def outputs(self):
        return {}

    def info(self, show_secrets=True):
        now = datetime.now()
        return auto.UpdateSummary("update", now, "", {}, {}, "succeeded", end_time=now)


workspace = auto.LocalWorkspace(
    work_dir=work, pulumi_command=auto.PulumiCommand(root=tools), secrets_provider="passphrase",
    program=lambda: runpy.run_path(f"{root}/stacks/program.py", run_name="__main__"),
)
chosen = Terse(stack, workspace, StackInitMode.CREATE_OR_SELECT)
getattr(chosen, verb)(on_output=print)
"""


class Plain:
    """The same stack on the engine's own folder, by the plain command."""

    def __init__(self, desk: Desk, folder: Path, spec: Message) -> None:
        self._desk, self._spec = desk, spec
        self._project, tools = folder / "project", folder / "tools"
        self._tools = tools
        for path in (self._project, tools / "bin", folder / "backend"):
            path.mkdir(parents=True)
        (tools / "bin" / "pulumi").symlink_to(desk.cli)
        self._environ = {
            **environment("by-hand"),
            "PATH": f"{write_plugin(folder / 'plugin').parent}:{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": desk.endpoint,
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_BACKEND_URL": f"file://{folder / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }

    def run(self, verb: str, tree: Path, *, fails: bool = False) -> None:
        # Pulumi.yaml may not name the tree that it is run from: the SDK registers what this runs
        (self._project / "Pulumi.yaml").write_text("name: tenantplane\nruntime: python\n")
        settings = self._project / f"Pulumi.{self._desk.stack}.yaml"
        if not settings.exists():
            spec = json.dumps(self._spec)
            config = {"tenantplane:program": self._desk.program, "tenantplane:spec": spec}
            settings.write_text(json.dumps({"config": config}))
        done = subprocess.run(
            [sys.executable, "-c", PLAIN, verb, str(tree), str(self._tools), str(self._project),
             self._desk.stack],
            cwd=tree, env=self._environ, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) is fails, done.stdout[-3000:] + done.stderr[-3000:]

    def state(self) -> Message:
        """Return the state with its secrets in the open."""
        command = ["stack", "export", "--show-secrets", "--stack", self._desk.stack]
        done = subprocess.run(
            [str(self._desk.cli), "--non-interactive", *command],
            cwd=self._project, env=self._environ, capture_output=True, timeout=60, check=True,
        )  # fmt: skip
        state: Message = json.loads(done.stdout)["deployment"]
        return state


def opened(value: Any, desk: Desk) -> Any:
    """Return a state with its secrets in the open, as the engine exports it."""
    if isinstance(value, list):
        return [opened(each, desk) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get(SIGNATURE) == SECRET:
        return {SIGNATURE: SECRET, "plaintext": desk.sealer.decrypt(value["ciphertext"]).decode()}
    return {key: opened(each, desk) for key, each in value.items()}


# times, places in the source (which the runner leaves out), and what a resource's own id is
APART = ("created", "modified", "sourcePosition", "stackTrace")


def comparable(state: Message, short: str) -> Mapping[str, Any]:
    """Return the resources of a state by name, without what differs from one stack to another."""
    kept = [{k: v for k, v in r.items() if k not in APART} for r in state.get("resources") or ()]
    text = json.dumps(kept).replace(short, "short")
    for resource in kept:
        if resource["type"].startswith("pulumi:providers:"):
            text = text.replace(resource["id"], "the-provider")
    found: dict[str, Any] = {}
    for resource in json.loads(text):
        for key in ("dependencies", "additionalSecretOutputs"):
            if key in resource:
                resource[key].sort()  # in which the program's tasks happened to run
        for depended in (resource.get("propertyDependencies") or {}).values():
            depended.sort()
        name = f"{resource['urn']}{' (to be deleted)' if resource.get('delete') else ''}"
        assert name not in found
        found[name] = resource
    pending = state.get("pending_operations") or ()
    return {**found, "pending": sorted((p["type"], p["resource"]["urn"]) for p in pending)}


def test_a_stack_that_lives_through_everything_has_the_state_that_the_engine_makes(
    make_desk: MakeDesk, runner_cloud: CloudProcess, tmp_path: Path
) -> None:
    desk = make_desk()
    ours, theirs = (f"twin-{which}-{os.urandom(3).hex()}" for which in "ab")
    desk.spec = slice_of(hub_outputs(), "acme", ours)
    plain = Plain(desk, tmp_path / "plain", slice_of(hub_outputs(), "acme", theirs))
    ssm = runner_cloud.client("ssm")
    number = 0

    def tree_of(lines: tuple[str, ...]) -> Path:
        nonlocal number
        number += 1
        folder = tmp_path / f"program-{number}"
        folder.mkdir()
        return tree_with_program(folder, program(*lines))

    def agreed() -> Mapping[str, Any]:
        mine = comparable(opened(desk.state(), desk), ours)
        other = comparable(plain.state(), theirs)
        assert list(mine) != []
        for name in {*mine, *other}:
            assert mine.get(name) == other.get(name), name
        return mine

    def applied(lines: tuple[str, ...], *, fails: bool = False) -> Mapping[str, Any]:
        tree = tree_of(lines)
        last = replace(desk, source=tree).call("up", verify=False).last
        assert (last["message"] == "failure") is fails, last
        plain.run("up", tree, fails=fails)
        return agreed()

    def names(found: Mapping[str, Any]) -> set[str]:
        return {name.rsplit("::", 1)[-1] for name in found}

    made = applied(FIRST)
    assert {"one", "two", "hidden", "log", "of-log", "part", "inside", "beside"} <= names(made)
    assert "canary" in json.dumps(made)
    assert "canary" not in json.dumps(desk.state())
    assert b"canary" not in b"".join(base64.b64decode(s) for s in sealed(desk.state()))
    applied(UPDATED)
    applied(REPLACED)
    renamed = applied(RENAMED)
    assert {"uno", "one"} & names(renamed) == {"uno"}
    assert [name for name in renamed if "tests:of:Part" in name] == []

    # somebody deletes a thing on which others depend, and the cloud is read again
    for short in (ours, theirs):
        ssm.delete_parameter(Name=f"/{short}/one")
        ssm.put_parameter(Name=f"/{short}/inside", Value="by hand", Overwrite=True)
    tree = tree_of(RENAMED)
    replace(desk, source=tree).result("resolve")
    plain.run("refresh", tree)
    refreshed = agreed()
    assert "uno" not in names(refreshed)
    (two,) = [r for name, r in refreshed.items() if name.endswith("::two")]
    assert two.get("dependencies") is None
    applied(RENAMED)

    # what is to be made last is somebody else's
    for short in (ours, theirs):
        ssm.put_parameter(Name=f"/{short}/taken", Value="mine", Type="String")
    failed = applied(FAILING, fails=True)
    assert ("taken" in names(failed), failed["pending"]) == (False, [])
    applied(changed(('value="other"', 'value="third"'), lines=RENAMED))
    assert names(applied(NOTHING)) == {f"tenantplane-{desk.stack}", "cloud", "pending"}


def sealed(value: Any) -> list[str]:
    """Return the ciphertexts of a state."""
    if isinstance(value, list):
        return [each for one in value for each in sealed(one)]
    if not isinstance(value, dict):
        return []
    if value.get(SIGNATURE) == SECRET:
        return [value["ciphertext"]]
    return [each for one in value.values() for each in sealed(one)]
