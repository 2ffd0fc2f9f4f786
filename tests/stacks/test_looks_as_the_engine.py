"""A look asks the provider what the engine asks it for a refresh, and finds what the engine finds.

``resolve`` has the engine do both: ``preview --refresh``, which also runs the program, and
``refresh``. So a provider that writes down what it is asked tells whether the runner's own look is
the engine's, for every resource of every program, also with the official plugin in its place.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.stacks.cloud_process import CloudProcess
from tests.stacks.made_stacks import World
from tests.stacks.recorded_provider import Asked, Recording, recording
from tests.stacks.runner_calls import Desk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MakeDesk = Callable[..., Desk]

# What steers the engine: secrets, ignored changes, times, protection, something read, a component.
OPTIONS = """
import pulumi
import pulumi_aws as aws


def build(spec, provider):
    short = spec.owner.short
    plain = pulumi.ResourceOptions(provider=provider)
    group = pulumi.ComponentResource("tests:x:Group", "group", None, plain)
    one = aws.ssm.Parameter(
        "one", name=f"/{short}/one", type="SecureString",
        value=pulumi.Output.secret("canary & <secret>"),
        tags={"a": pulumi.Output.secret("canary-tag"), "b": "2"},
        opts=pulumi.ResourceOptions(
            provider=provider, parent=group, protect=True, ignore_changes=["description"],
            additional_secret_outputs=["version"],
            custom_timeouts=pulumi.CustomTimeouts(create="7m", update="8m"),
        ),
    )
    two = aws.ssm.Parameter(
        "two", name=f"/{short}/two", type="String", value="2", description="as made",
        opts=pulumi.ResourceOptions(provider=provider, ignore_changes=["value", "description"]),
    )
    aws.ssm.Parameter.get("three", two.id, opts=plain)
    pulumi.ComponentResource("tests:x:Empty", "empty", None, plain)
    return {"one": one.arn, "two": two.arn}
"""


def copied(desk: Desk, root: Path, source: Path) -> Desk:
    """Return a desk for the same stack in a backend of its own."""
    shutil.copytree(desk.backend, root / "state")
    return replace(desk, root=root, source=source)


def agreed(desk: Desk, tape: Recording) -> tuple[Asked, set[str]]:
    """Hold a look against the engine's refresh.

    Returns what it asked, and what a preview asks beside it for its program: it compares each
    resource again with what the program registers.
    """
    desk.call("look")
    (ours,) = tape.asked()
    desk.result("resolve")
    preview, refresh = tape.asked()
    assert ours == refresh
    assert set(ours) <= set(preview)
    assert max(ours.values()) == 1
    return ours, set(preview) - set(ours)


@pytest.mark.parametrize("program", ["mode_a.hub", "mode_a.slice", "mode_b"])
def test_every_program_is_looked_at_as_the_engine_looks(
    program: str, world: World, tmp_path: Path
) -> None:
    tape = recording(tmp_path / "tape")
    desk = copied(world.of(program).desk, tmp_path / "desk", tape.tree)
    ours, more = agreed(desk, tape)
    assert more == set()
    asked = methods(ours)
    resources = [r for r in desk.state()["resources"] if r["custom"]]
    assert asked == {"Configure": 1, "Read": len(resources) - 1, "Diff": len(resources) - 1}
    # over what the engine has refreshed, the program plans only the same
    planned = desk.plan()
    assert {(o["op"], o["options"] == []) for o in planned["operations"]} == {("same", True)}
    assert planned["outputs"] == []


def methods(asked: Asked) -> dict[str, int]:
    return dict(Counter(text.split()[0] for text in asked.elements()))


@pytest.mark.parametrize("plain", [False, True])
def test_options_and_secrets_are_sent_as_the_engine_sends_them(
    make_desk: MakeDesk, runner_cloud: CloudProcess, tmp_path: Path, plain: bool
) -> None:
    tape = recording(tmp_path / "tape", program=OPTIONS, plain=plain)
    desk = make_desk(source=tape.tree)
    outcome = desk.call("up")
    assert [c for c in outcome.last["look"]["checks"] if not c["ok"]] == []
    # what this provider logs as it reads is told without the secrets, which the engine would not do
    said = [e["body"] for e in outcome.events if e["body"].get("phase") == "verify"]
    told = {"kind": "diagnostic", "severity": "info", "text": "[secret] in two"}
    assert [e for e in outcome.events if told.items() <= {**e["body"], "kind": e["kind"]}.items()]
    assert "canary &" not in json.dumps([outcome.last, said]) + outcome.noise
    tape.asked()
    for drift in (None, "changed by hand"):
        if drift is not None:
            short = desk.spec["owner"]["short"]
            ssm = runner_cloud.client("ssm")
            for name in ("one", "two"):
                ssm.put_parameter(Name=f"/{short}/{name}", Value=drift, Description=drift,
                                  Overwrite=True)  # fmt: skip
        ours, _ = agreed(desk, tape)
        # what the stack only reads is read and not compared
        assert methods(ours) == {"Configure": 1, "Read": 3, "Diff": 2}
        (diff,) = [text for text in ours if text.startswith("Diff") and "::one" in text]
        assert "canary-tag" in diff
        assert ("1b47061264138c4ac30d75fd1eb44270" in diff) is not plain  # the mark of a secret
        assert '"ignoreChanges": ["description"]' in diff


def test_what_is_still_to_be_deleted_or_made_is_asked_about_as_the_engine_does(
    make_desk: MakeDesk, tmp_path: Path
) -> None:
    tape = recording(tmp_path / "tape", program=THINGS)
    desk = make_desk(source=tape.tree)
    desk.result("up", verify=False)
    state = desk.state()
    resources = state["resources"]
    (old,) = [dict(r) for r in resources if r["urn"].endswith("::two")]
    (waiting,) = [r for r in resources if r["urn"].endswith("::log")]
    waiting |= {"delete": True, "pendingReplacement": True}
    resources.append({**old, "delete": True})
    desk.write_state(state)
    tape.asked()
    look = desk.result("look")["look"]
    assert {c["name"]: c["detail"] for c in look["checks"] if not c["ok"]} == {
        "as_applied": "not applied: log (create), log (delete), two (delete)"
    }
    (ours,) = tape.asked()
    desk.call("resolve")
    preview = tape.asked()[0]
    assert set(ours) <= set(preview)
    reads = Counter({text: n for text, n in ours.items() if text.startswith("Read")})
    assert reads == Counter({text: n for text, n in preview.items() if text.startswith("Read")})
    assert [text for text in reads if "::log" in text] == []
    (of_two,) = [text for text in reads if "::two" in text]
    assert reads[of_two] == 2


# --- verdicts --------------------------------------------------------------------------------
THINGS = """
import pulumi
import pulumi_aws as aws


def build(spec, provider):
    short = spec.owner.short
    opts = pulumi.ResourceOptions(provider=provider)
    vpc = aws.ec2.Vpc("vpc", cidr_block="10.9.0.0/16", opts=opts)
    inside = {"protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_blocks": ["10.9.0.0/16"]}
    aws.ec2.SecurityGroup("inline", vpc_id=vpc.id, name=f"{short}-y", description="y",
                          ingress=[inside], opts=opts)
    group = aws.ec2.SecurityGroup("group", vpc_id=vpc.id, name=f"{short}-x", description="x",
                                  opts=opts)
    aws.vpc.SecurityGroupIngressRule("rule", security_group_id=group.id, ip_protocol="tcp",
                                     from_port=443, to_port=443, cidr_ipv4="10.9.0.0/16", opts=opts)
    aws.ssm.Parameter("one", name=f"/{short}/one", type="String", value="1",
                      tags={"a": "1", "b": "2"}, opts=opts)
    aws.ssm.Parameter("two", name=f"/{short}/two", type="String", value="2", opts=opts)
    aws.cloudwatch.LogGroup("log", name=f"/{short}", retention_in_days=30, opts=opts)
    return {"vpc": vpc.id}
"""
OPEN = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


@dataclass(frozen=True)
class Hand:
    """Somebody who changes things past the engine."""

    client: Callable[[str], Any]
    ids: dict[str, str]

    def nothing(self) -> None:
        """Change nothing."""

    def property(self) -> None:
        self.client("logs").put_retention_policy(logGroupName=self.ids["log"], retentionInDays=7)

    def tag(self) -> None:
        self.client("ssm").remove_tags_from_resource(
            ResourceType="Parameter", ResourceId=self.ids["one"], TagKeys=["b"]
        )

    def deletion(self) -> None:
        self.client("ssm").delete_parameter(Name=self.ids["two"])

    def inline_group(self) -> None:
        self.open("inline")

    def group(self) -> None:
        self.open("group")

    def rule(self) -> None:
        self.client("ec2").revoke_security_group_ingress(
            GroupId=self.ids["group"], SecurityGroupRuleIds=[self.ids["rule"]]
        )

    def open(self, name: str) -> None:
        self.client("ec2").authorize_security_group_ingress(
            GroupId=self.ids[name], IpPermissions=OPEN
        )


def found_by_look(desk: Desk) -> dict[str, Any]:
    """Return by name the paths at which a look finds a difference, None for what is missing."""
    look = desk.result("look")["look"]
    checks = {c["name"]: c for c in look["checks"]}
    assert look["unanswered"] == ""
    assert checks["as_applied"]["ok"] or checks["as_applied"]["detail"]
    found: dict[str, Any] = {}
    for problem in () if checks["as_applied"]["ok"] else checks["as_applied"]["detail"].split("; "):
        kind, _, names = problem.partition(": ")
        if kind == "not in the cloud":
            found |= dict.fromkeys(names.split(", "))
        else:
            assert kind == "differs from what was applied"
            found |= {
                name: set(paths.split(", "))
                for name, paths in re.findall(r"(\w+) \((.*?)\)", names)
            }
    assert checks["answers_in_cloud"]["ok"] is (None not in found.values())
    return found


def found_by_engine(desk: Desk) -> dict[str, Any]:
    """Return the same as the engine finds it: it refreshes the state and plans again."""
    desk.result("resolve")
    return {
        o["name"]: set(o["diffs"]) if o["op"] != "create" else None
        for o in desk.plan()["operations"]
        if o["op"] != "same"
    }


def test_a_look_finds_what_the_engine_finds(
    make_desk: MakeDesk, runner_cloud: CloudProcess
) -> None:
    desk = make_desk(program=THINGS)
    wanted = {
        "nothing": {},
        "property": {"log": {"retentionInDays"}},
        "tag": {"one": {"tags.b", "tagsAll.b"}},
        "deletion": {"two": None},
        "inline_group": {"inline": {"ingress"}},
        "group": {},  # rules that are resources of their own are not compared
        "rule": {"rule": None},
    }
    for what, found in wanted.items():
        made = desk.result("up")
        assert [c for c in made["look"]["checks"] if not c["ok"]] == [], what
        ids = {r["urn"].rsplit("::", 1)[1]: r["id"] for r in desk.state()["resources"] if "id" in r}
        getattr(Hand(runner_cloud.client, ids), what)()
        by_look = found_by_look(desk)
        assert by_look == found_by_engine(desk), what
        assert by_look == found, what
        if what == "group":  # the engine leaves it: it is in no state
            ec2 = runner_cloud.client("ec2")
            ec2.revoke_security_group_ingress(GroupId=ids["group"], IpPermissions=OPEN)
