"""What a plan says of changes, made by the real engine, and that exactly that is applied."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from stacks.contract import UNKNOWN
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.runner_calls import Desk, Message, Outcome, tree_with_program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MakeDesk = Callable[..., Desk]

HEAD = """
import json

import pulumi
import pulumi_aws as aws


def build(spec, provider):
    def opts(**more):
        return pulumi.ResourceOptions(provider=provider, **more)

    def parameter(name, *, called=None, value="v", **more):
        return aws.ssm.Parameter(name, name=f"/{spec.owner.short}/{called or name}",
                                 type="String", value=value, **{"opts": opts(), **more})

    class Part(pulumi.ComponentResource):
        def __init__(self, name, options):
            super().__init__("tests:of:Part", name, None, options)

"""


def program(*lines: str) -> str:
    return HEAD + "\n".join(f"    {line}" for line in lines) + "\n"


class Tree:
    """A desk whose program changes from call to call."""

    def __init__(self, make_desk: MakeDesk, folder: Path) -> None:
        self.desk = make_desk()
        self._folder = folder
        self._number = 0

    def use(self, *lines: str) -> Desk:
        self._number += 1
        folder = self._folder / f"program-{self._number}"
        folder.mkdir()
        self.desk.source = tree_with_program(folder, program(*lines))
        return self.desk

    def use_two(self, planned: Sequence[str], applied: Sequence[str]) -> Desk:
        """Use a program that says one thing in its preview and another in its update."""
        return self.use(
            "if pulumi.runtime.is_dry_run():", *(f"    {line}" for line in planned),
            "else:", *(f"    {line}" for line in applied),
        )  # fmt: skip


@pytest.fixture
def tree(make_desk: MakeDesk, tmp_path: Path) -> Tree:
    return Tree(make_desk, tmp_path)


def named(planned: Message, name: str, op: str | None = None) -> Message:
    found = [o for o in planned["operations"] if o["name"] == name and op in (None, o["op"])]
    assert len(found) == 1, found
    return dict(found[0])


def changes(operation: Message) -> dict[str, tuple[Any, Any]]:
    return {c["path"]: (c["before"], c["after"]) for c in operation["changes"]}


def is_empty(planned: Message) -> bool:
    return not planned["outputs"] and all(
        o["op"] == "same" and not o["options"] for o in planned["operations"]
    )


def applied(desk: Desk) -> Outcome:
    """Plan, apply exactly that plan, and see that the checks hold and nothing is left to do."""
    approved = desk.plan()
    outcome = desk.call("up")
    assert outcome.last["message"] == "result", outcome.last
    assert outcome.planned is not None
    assert outcome.planned["digest"] == approved["digest"]
    assert [c for c in outcome.last["look"]["checks"] if not c["ok"]] == []
    assert is_empty(desk.plan())
    return outcome


POLICY = """json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Action": "sts:AssumeRole", "Principal": {"Service": "%s.amazonaws.com"}}]})"""


def test_a_change_has_the_value_before_and_after(tree: Tree) -> None:
    role = 'aws.iam.Role("role", name=f"{spec.owner.short}-r", assume_role_policy=%s, opts=opts())'
    applied(
        tree.use(
            'parameter("one", description="first", tags={"a.b": "1", "c[0]": "x", "gone": "g"})',
            role % POLICY % "ec2",
            "return {'x': 1}",
        )
    )
    desk = tree.use(
        'parameter("one", called="two", description="second",'
        ' tags={"a.b": "2", "c[0]": "y", "new.key": "n"})',
        role % POLICY % "lambda",
        "return {'x': 1}",
    )
    planned = desk.plan()
    one = changes(named(planned, "one"))
    short = desk.spec["owner"]["short"]
    assert one["name"] == (f"/{short}/one", f"/{short}/two")
    assert one["description"] == ("first", "second")
    assert one['tags["a.b"]'] == ("1", "2")
    assert one['tags["c[0]"]'] == ("x", "y")
    assert one["tags.gone"] == ("g", None)
    assert one['tags["new.key"]'] == (None, "n")
    kinds = {c["path"]: c["kind"] for c in named(planned, "one")["changes"]}
    assert kinds == named(planned, "one")["diffs"]
    assert all(c["before_known"] for c in named(planned, "one")["changes"])
    before, after = changes(named(planned, "role"))["assumeRolePolicy"]
    # in full, as the text that it is
    assert json.loads(before)["Statement"][0]["Principal"] == {"Service": "ec2.amazonaws.com"}
    assert json.loads(after)["Statement"][0]["Principal"] == {"Service": "lambda.amazonaws.com"}
    applied(desk)


def test_no_secret_is_in_a_change_whichever_side_has_it(tree: Tree) -> None:
    canaries = [f"canary-{name}" for name in ("old", "new", "marked", "open", "exported")]
    old, new, marked, opened, exported = canaries
    applied(
        tree.use(
            f'aws.ssm.Parameter("one", name=f"/{{spec.owner.short}}/one", type="SecureString",'
            f' value=pulumi.Output.secret("{old}"), opts=opts())',
            f'parameter("two", description="{marked}")',
            f'parameter("three", description=pulumi.Output.secret("{opened}"))',
            f'return {{"becomes": "{exported}", "stays": pulumi.Output.secret("{old}")}}',
        )
    )
    desk = tree.use(
        f'aws.ssm.Parameter("one", name=f"/{{spec.owner.short}}/one", type="SecureString",'
        f' value=pulumi.Output.secret("{new}"), opts=opts())',
        f'parameter("two", description=pulumi.Output.secret("{marked}"))',
        'parameter("three", description="in the open now")',
        f'return {{"becomes": pulumi.Output.secret("{exported}"),'
        f' "stays": pulumi.Output.secret("{new}")}}',
    )
    outcome = desk.call("preview")
    planned = outcome.planned
    assert planned is not None, outcome.last
    said = json.dumps([planned, outcome.events]) + outcome.noise
    assert [canary for canary in canaries if canary in said] == []
    mask = {"secret": True}
    assert changes(named(planned, "one")) == {"value": (mask, mask)}
    assert named(planned, "two")["options"] == ["secretness"]
    assert changes(named(planned, "two")) == {"description": (mask, mask)}
    assert changes(named(planned, "three"))["description"] == (mask, "in the open now")
    assert {o["name"]: (o["kind"], o["before"], o["after"]) for o in planned["outputs"]} == {
        "becomes": ("update", mask, mask),
        "stays": ("update", mask, mask),
    }
    applied(desk)


# What each resource of a stack gets by way of options, and how the plan names that.
OPTIONS = {
    "protected": ("protect=True", ["protect"]),
    "kept": ("retain_on_delete=True", ["retainOnDelete"]),
    "beside": ("deleted_with=base", ["deletedWith"]),
    "slow": ('custom_timeouts=pulumi.CustomTimeouts(create="5m")', ["customTimeouts"]),
    "hidden": ('additional_secret_outputs=["dataType"]', ["additionalSecretOutputs"]),
    "loose": ('ignore_changes=["description"]', ["ignoreChanges"]),
    "strict": ('replace_on_changes=["description"]', ["replaceOnChanges"]),
    "quiet": ('hide_diffs=["description"]', ["hideDiffs"]),
    "after": ("depends_on=[base]", ["dependsOn"]),
}


def with_options(*, given: bool, renamed: str) -> tuple[str, ...]:
    return (
        'base = parameter("base")',
        *(
            f'parameter("{name}", opts=opts({option if given else ""}))'
            for name, (option, _) in OPTIONS.items()
        ),
        f'part = Part("part", opts({"deleted_with=base" if given else ""}))',
        'parameter("child", opts=opts(parent=part))',
        renamed,
        "return {'x': 1}",
    )


def test_every_option_that_changes_is_in_the_plan_and_is_applied(tree: Tree) -> None:
    old, new = 'parameter("old", called="new")', 'parameter("new")'
    alias = 'parameter("new", opts=opts(aliases=[pulumi.Alias(name="old")]))'
    wanted = {name: options for name, (_, options) in OPTIONS.items()}
    wanted |= {"part": ["deletedWith"], "child": ["deletedWith"]}
    applied(tree.use(*with_options(given=False, renamed=old)))
    for given, renamed, moved in ((True, alias, {"new": ["aliases"]}), (False, new, {})):
        desk = tree.use(*with_options(given=given, renamed=renamed))
        planned = desk.plan()
        found = {o["name"]: o["options"] for o in planned["operations"] if o["options"]}
        assert found == wanted | moved
        assert {o["op"] for o in planned["operations"]} == {"same"}
        assert planned["outputs"] == []
        before = desk.state_digest()
        applied(desk)
        assert desk.state_digest() != before


def test_outputs_that_change_are_in_the_plan_and_are_applied(tree: Tree) -> None:
    applied(tree.use('one = parameter("one")', 'return {"a": "1", "gone": "g", "v": one.version}'))
    desk = tree.use(
        'one = parameter("one", value="other")', 'return {"a": "2", "more": "m", "v": one.version}'
    )
    planned = desk.plan()
    assert {o["name"]: (o["kind"], o["before"], o["after"]) for o in planned["outputs"]} == {
        "a": ("update", "1", "2"),
        "gone": ("delete", "g", None),
        "more": ("add", None, "m"),
        "v": ("update", 1, UNKNOWN),
    }
    outcome = applied(desk)
    assert outcome.last["look"]["outputs"] == {"a": "2", "more": "m", "v": 2}
    # an output alone is a plan too
    desk = tree.use('one = parameter("one", value="other")', 'return {"a": "3"}')
    alone = desk.plan()
    assert {o["op"] for o in alone["operations"]} == {"same"}
    assert [o["name"] for o in alone["outputs"]] == ["a", "more", "v"]
    assert applied(desk).last["look"]["outputs"] == {"a": "3"}


def test_what_a_failed_replacement_left_is_shown_as_the_deletion_that_comes(
    tree: Tree, runner_cloud: CloudProcess
) -> None:
    applied(tree.use('parameter("one", called="first")', "return {'x': 1}"))
    desk = tree.use(
        'one = parameter("one", called="second")',
        'parameter("two", called="taken", opts=opts(depends_on=[one]))',
        "return {'x': 1}",
    )
    short = desk.spec["owner"]["short"]
    ssm = runner_cloud.client("ssm")
    ssm.put_parameter(Name=f"/{short}/taken", Value="mine", Type="String")
    assert desk.failure("up")["data"]["name"] == "two"
    desk = tree.use('one = parameter("one", called="second")', "return {'x': 1}")
    planned = desk.plan()
    assert [(o["name"], o["op"]) for o in planned["operations"] if o["op"] != "same"] == [
        ("one", "delete")
    ]
    assert named(planned, "one", "same")["replaces"] == []
    judged = {
        (r["name"], r["operation"]): r["inputs"].get("name")
        for r in planned["resources"]
        if r["name"] == "one"
    }
    assert judged == {("one", "delete"): f"/{short}/first", ("one", "same"): f"/{short}/second"}
    looked = desk.result("look")["look"]["checks"]
    assert {c["name"]: c["detail"] for c in looked if not c["ok"]} == {
        "as_applied": "not applied: one (delete)"
    }
    applied(desk)
    left = ssm.get_parameters(Names=[f"/{short}/first", f"/{short}/second"])["Parameters"]
    assert [p["Name"] for p in left] == [f"/{short}/second"]


def test_what_holds_data_and_what_destroys_it_is_marked(tree: Tree) -> None:
    group = 'aws.cloudwatch.LogGroup("log", name=f"/{spec.owner.short}/%s", opts=opts())'
    applied(tree.use(group % "a", 'parameter("one")', "return {'x': 1}"))
    for lines, op in (((group % "b",), "replace"), ((), "delete")):
        planned = tree.use(*lines, "return {'x': 1}").plan()
        log, one = named(planned, "log"), named(planned, "one")
        assert (log["op"], log["holds_data"], log["irreversible"]) == (op, True, True)
        assert (one["op"], one["holds_data"], one["irreversible"]) == ("delete", False, False)


def test_an_output_that_differs_from_the_plan_is_a_violation_that_names_it(tree: Tree) -> None:
    one = 'one = parameter("one")'
    desk = tree.use_two(
        (one, 'return {"a": "canary-1", "gone": 1, "same": [1], "arn": one.arn}'),
        (one, 'return {"a": "canary-2", "more": 1, "same": [1], "arn": one.arn}'),
    )
    outcome = desk.call("up")
    assert outcome.last["code"] == "plan_violated", outcome.last
    assert outcome.last["data"] == {"resources": [], "outputs": ["a", "gone", "more"]}
    assert outcome.last["changed"]  # the resources were made before
    assert "canary" not in json.dumps(outcome.last)
    assert outcome.applied is None


def test_a_secret_output_that_differs_from_the_plan_is_named_too(tree: Tree) -> None:
    secret = 'return {"a": "1", "hidden": pulumi.Output.secret("%s")}'
    outcome = tree.use_two((secret % "canary-one",), (secret % "canary-two",)).call("up")
    assert outcome.last["code"] == "plan_violated", outcome.last
    assert outcome.last["data"]["outputs"] == ["hidden"]
    assert "canary" not in json.dumps([outcome.last, *outcome.events]) + outcome.noise


PROTECTED = 'parameter("one", opts=opts(protect=True)%s)'
# one call after the other; an option and an output count as `same` in the engine's summary
STEPS = [
    ('parameter("one")', "return {'x': 1}", True),
    ('parameter("one")', "return {'x': 1}", False),
    (PROTECTED % "", "return {'x': 1}", True),
    (PROTECTED % "", "return {'x': 2}", True),
    (PROTECTED % ', value="w"', "return {'x': 2}", True),
]


def test_an_apply_tells_whether_it_changed_anything(tree: Tree) -> None:
    for line, outputs, is_changed in STEPS:
        last = tree.use(line, outputs).result("up", verify=False)
        assert (last["outcome"], last["changed"]) == ("applied", is_changed), (line, outputs)


VIOLATIONS = {
    "property": ('parameter("one", description="canary-b\\ncanary-c", value="canary-d")', "one"),
    "option": ('parameter("one", description="canary-a", opts=opts(protect=True))', "one"),
    "operation": (
        'parameter("one", description="canary-a"); parameter("two", description="canary-e")',
        "two",
    ),
    "absence": ("pass", "one"),
}


@pytest.mark.parametrize("kind", sorted(VIOLATIONS))
def test_a_violated_plan_names_resources_and_never_a_value(tree: Tree, kind: str) -> None:
    line, culprit = VIOLATIONS[kind]
    outcome = tree.use_two(
        ('parameter("one", description="canary-a")', "return {'x': 1}"), (line, "return {'x': 1}")
    ).call("up")
    assert outcome.last["code"] == "plan_violated", outcome.last
    assert [urn.rsplit("::", 1)[1] for urn in outcome.last["data"]["resources"]] == [culprit]
    assert f"{culprit} (aws:ssm/parameter:Parameter)" in outcome.last["text"]
    during = [e for e in outcome.events if e["body"].get("phase") == "apply"]
    assert during
    assert "canary" not in json.dumps([outcome.last, *outcome.events]) + outcome.noise
