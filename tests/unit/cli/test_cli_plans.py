"""What somebody reads before deciding: every value of a plan, in the API's answer and the terminal.

What is a secret is masked where the engine runs; here it is shown as one.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

import pytest

from control_plane.domain.actor import Role
from control_plane.ports.engine import EngineCall
from control_plane.services.performing import perform
from control_plane.services.starting import request_run
from tests.scripted_engine import ScriptedEngine
from tests.scripted_resources import resources_of
from tests.unit.cli.terminal import Terminal
from tests.world import ADMIN

OPS: Final = Role.OPS_APPROVER
SECRET: Final = {"secret": True}
DOCUMENT: Final = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": [f"s3:Action{number}" for number in range(40)],
         "Resource": f"arn:aws:s3:::bucket-{each}/*"}
        for each in range(3)
    ],
}  # fmt: skip
PARAMETER: Final = "aws:ssm/parameter:Parameter"
POLICY: Final = "aws:iam/rolePolicy:RolePolicy"


class Wanted:
    """What the program asks for: the usual resources, and two whose values a test knows."""

    def __init__(self) -> None:
        self.value = "small"
        self.extra: dict[str, Any] = {}

    def __call__(self, call: EngineCall) -> list[dict[str, Any]]:
        usual = resources_of(call)
        tags = usual[0]["inputs"]["tags"]
        return [
            *usual,
            self._made(call, PARAMETER, "size", {
                "name": "/size", "type": "SecureString", "value": self.value, "tags": tags,
                "password": SECRET, "flag": True, "count": 3, "empty": "", **self.extra,
            }),
            self._made(call, POLICY, "reach", {"role": "app", "policy": json.dumps(DOCUMENT)}),
        ]  # fmt: skip

    def _made(
        self, call: EngineCall, kind: str, name: str, inputs: dict[str, Any]
    ) -> dict[str, Any]:
        urn = f"urn:pulumi:{call.stack}::tenantplane::{kind}::{name}"
        return {"urn": urn, "type": kind, "name": name, "inputs": inputs, "protect": False}


class Reader:
    """A Mode B run that waits for a decision, and who reads its plan."""

    def __init__(self, tenantctl: Terminal) -> None:
        self.tenantctl = tenantctl
        self.world = tenantctl.world
        self.wanted = Wanted()
        self.world.engine = ScriptedEngine(wanted=self.wanted)
        self.world.core = replace(self.world.core, engine=self.world.engine)
        tenantctl.server.app.state.shared = tenantctl.server.shared(self.world)
        self.run_id = str(tenantctl.submit("B")["run_id"])

    def updated(self) -> None:
        """Apply it, and let the program ask for other values in a run of their own."""
        self.world.approve(self.run_id)
        self.wanted.value, self.wanted.extra = "large", {"tier": "Advanced"}
        with self.world.core.uow() as uow:
            deployment = uow.deployments.get(self.world.run(self.run_id).deployment_id)
        assert deployment is not None
        self.run_id = perform(self.world.core, ADMIN, request_run, deployment).id
        self.world.work()

    def answer(self) -> Any:
        """Return the body of ``GET /v1/runs/{id}/plan``."""
        return self.tenantctl("run", "plan", self.run_id, "--json", who=OPS).json

    def page(self, command: str, *more: str) -> list[str]:
        """Return the lines of ``run plan`` or ``approval show``."""
        subject = self.run_id if command == "run plan" else self.world.run(self.run_id).approval_id
        return self.tenantctl(*command.split(), subject, *more, who=OPS).out.splitlines()


PAGES: Final = ("run plan", "approval show")


@pytest.fixture
def reader(tenantctl: Terminal) -> Reader:
    return Reader(tenantctl)


def of(lines: list[str], head: str) -> list[str]:
    """Return the lines of one operation, without their indentation."""
    start = next(number for number, line in enumerate(lines) if line.startswith(head))
    found = []
    for line in lines[start + 1 :]:
        if not line.startswith("      "):
            break
        found.append(line[6:])
    return found


def head(sign: str, name: str, kind: str, lines: list[str]) -> str:
    """Return the beginning of an operation's line."""
    return next(line for line in lines if line.split()[:3] == [sign, name, kind])


def test_the_answer_holds_the_inputs_of_every_resource(reader: Reader) -> None:
    found = reader.answer()
    inputs = {(item["type"], item["name"]): item["inputs"] for item in found["resources"]}
    assert inputs[PARAMETER, "size"]["value"] == "small"
    assert inputs[PARAMETER, "size"]["password"] == SECRET
    assert json.loads(inputs[POLICY, "reach"]["policy"]) == DOCUMENT
    assert {item["urn"] for item in found["resources"]} == {
        item["urn"] for item in found["operations"]
    }
    outputs = {item["name"]: (item["kind"], item["after"]) for item in found["outputs"]}
    assert outputs["region"] == ("add", "eu-west-1")


def test_the_answer_says_what_each_property_was_and_will_be(reader: Reader) -> None:
    reader.updated()
    (changed,) = [item for item in reader.answer()["operations"] if item["op"] != "same"]
    assert changed["name"] == "size"
    changes = {item["path"]: item for item in changed["changes"]}
    assert set(changes) == {"value", "tier"}
    assert (changes["value"]["before"], changes["value"]["after"]) == ("small", "large")
    assert (changes["tier"]["kind"], changes["tier"]["after"]) == ("add", "Advanced")


@pytest.mark.parametrize("command", PAGES)
def test_a_page_shows_every_value_of_what_is_created(reader: Reader, command: str) -> None:
    lines = reader.page(command)
    shown = of(lines, head("+", "size", PARAMETER, lines))
    assert shown == [
        "count: 3", "flag: true", "name: /size", "password: (secret)", "type: SecureString",
        "value: small",
    ]  # fmt: skip
    assert "  output region: eu-west-1" in lines


@pytest.mark.parametrize("command", PAGES)
def test_a_page_shows_policy_documents_in_full(reader: Reader, command: str) -> None:
    lines = reader.page(command)
    shown = of(lines, head("+", "reach", POLICY, lines))
    assert shown[0] == "policy:"
    assert shown[-1] == "role: app"
    said = len(DOCUMENT["Statement"])  # each in a sentence too
    assert json.loads("\n".join(shown[1 : -1 - said])) == DOCUMENT
    for number, sentence in enumerate(shown[-1 - said : -1]):
        assert sentence.startswith("  after: allows s3:Action0, s3:Action1")
        assert sentence.endswith(f" on arn:aws:s3:::bucket-{number}/*")


@pytest.mark.parametrize("command", PAGES)
def test_a_page_shows_what_each_property_was_and_will_be(reader: Reader, command: str) -> None:
    reader.updated()
    lines = reader.page(command)
    shown = of(lines, head("~", "size", PARAMETER, lines))
    assert shown == ["tier: Advanced", "value: small -> large"]


@pytest.mark.parametrize("command", PAGES)
def test_a_brief_page_leaves_the_values_out(reader: Reader, command: str) -> None:
    lines = reader.page(command, "--brief")
    assert of(lines, head("+", "reach", POLICY, lines)) == []
    assert "s3:Action0" not in "\n".join(lines)
