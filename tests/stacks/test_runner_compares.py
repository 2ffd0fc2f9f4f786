"""What a plan touches, looked at again before the gate: what is read, named, masked, left open."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.stacks.cloud_process import CloudProcess, silent
from tests.stacks.recorded_provider import Recording, recording
from tests.stacks.runner_calls import (
    Desk,
    Message,
    RunnerCall,
    gone,
    is_provider,
    phase_begins,
    processes_of,
    tree_with_program,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MakeDesk = Callable[..., Desk]

# Three parameters that are there from the start: one changes, one is what it depends on, one stays.
# ``more`` are lines of the next version of the program.
HEAD = """
import pulumi
import pulumi_aws as aws


def build(spec, provider):
    def parameter(name, **given):
        options = pulumi.ResourceOptions(provider=provider, **given.pop("opts", {}))
        given = {"type": "String", "value": "v", **given}
        return aws.ssm.Parameter(name, name=f"/{spec.owner.short}/{name}", opts=options, **given)

    base = parameter("base")
    parameter("apart")
"""
MASK = {"secret": True}  # the SDK says that the value of every parameter is one
FIRST = ('parameter("one", opts={"depends_on": [base]})',)
CHANGED = ('parameter("one", value="w", opts={"depends_on": [base]})',)
SECRET = (
    'parameter("one", type="SecureString", value=pulumi.Output.secret("%s"),'
    ' description="d%s", tags={"key": pulumi.Output.secret("canary-tag")})'
)


def program(*lines: str) -> str:
    return HEAD + "".join(f"    {line}\n" for line in (*lines, 'return {"x": 1}'))


class Changing:
    """A desk whose program changes, with a provider that writes down what it is asked."""

    def __init__(self, make_desk: MakeDesk, cloud: CloudProcess, folder: Path) -> None:
        self._make_desk, self._cloud, self._folder = make_desk, cloud, folder
        self._number = 0
        self.tape: Recording
        self.desk: Desk = make_desk(source=self.tree(*FIRST))

    def tree(self, *lines: str) -> Path:
        self._number += 1
        self.tape = recording(self._folder / f"tape-{self._number}", program=program(*lines))
        return self.tape.tree

    def use(self, *lines: str) -> None:
        self.desk.source = self.tree(*lines)

    def made(self) -> None:
        """Apply the first program."""
        self.desk.result("up", verify=False)
        self.tape.asked()

    def planned(self, *, compare: bool = True) -> Message:
        """Return the plan that the gate is asked about, which lets nothing be applied."""
        with self.desk.start("up", gate=True, compare=compare, verify=False) as running:
            outcome = running.finish(answer="stop")
        assert outcome.last["outcome"] == "stopped", outcome.last
        assert outcome.planned is not None
        return outcome.planned

    def ssm(self) -> Any:
        return self._cloud.client("ssm")

    def by_hand(self, name: str, **changes: str) -> None:
        given = {"Value": "by hand", **changes}
        self.ssm().put_parameter(Name=self.path(name), Overwrite=True, **given)

    def path(self, name: str) -> str:
        return f"/{self.desk.spec['owner']['short']}/{name}"


@pytest.fixture
def changing(make_desk: MakeDesk, runner_cloud: CloudProcess, tmp_path: Path) -> Changing:
    return Changing(make_desk, runner_cloud, tmp_path)


def reads(tape: Recording) -> tuple[int, list[str]]:
    """Return how many processes were asked since the last time, and the names that were read."""
    asked = tape.asked()
    every: Counter[str] = sum(asked, Counter())
    found = [json.loads(text.removeprefix("Read ")) for text in every if text.startswith("Read ")]
    assert all(every[text] == 1 for text in every if text.startswith("Read "))
    return len(asked), sorted(each["name"] for each in found)


def told(planned: Message) -> list[tuple[Any, ...]]:
    names = ("name", "kind", "path", "in_plan", "in_cloud")
    return [tuple(each[name] for name in names) for each in planned["differences"]]


def test_a_first_build_reads_nothing_and_starts_no_other_provider(changing: Changing) -> None:
    found = {}
    for compare in (False, True):
        planned = changing.planned(compare=compare)
        assert {o["op"] for o in planned["operations"]} == {"create"}
        assert planned["differences"] == []
        found[compare] = reads(changing.tape)
    assert found[True] == found[False] == (1, [])


def test_all_looks_of_an_apply_have_one_provider(changing: Changing) -> None:
    changing.made()
    changing.use(*CHANGED)
    result = changing.desk.result("up", gate=True, compare=True)
    assert result["outcome"] == "applied"
    assert len(changing.tape.asked()) == 3  # two of the engine's own, and that of both looks


def test_what_an_interrupted_apply_touches_is_compared_by_itself(changing: Changing) -> None:
    changing.made()
    changing.by_hand("one")
    changing.by_hand("apart")
    before = changing.desk.state_digest()
    urns = {
        each["urn"].rpartition("::")[2]: each["urn"] for each in changing.desk.state()["resources"]
    }
    result = changing.desk.result("compare", scope=[urns["one"], urns["base"], "urn:of:nothing"])
    assert result["outcome"] == "compared"
    assert told(result) == [("one", "changed", "value", MASK, MASK)]
    assert changing.desk.state_digest() == before == result["state_digest"]
    assert changing.desk.result("compare", scope=[])["differences"] == []


def test_what_a_call_was_interrupted_in_is_not_compared(changing: Changing) -> None:
    changing.made()
    changing.by_hand("one")
    state = changing.desk.state()
    (one,) = [each for each in state["resources"] if each["urn"].endswith("::one")]
    pending = {"pending_operations": [{"type": "updating", "resource": one}]}
    changing.desk.write_state({**state, **pending})
    assert changing.desk.result("compare", scope=[one["urn"]])["differences"] == []


def test_a_plan_that_creates_alone_reads_what_the_new_depends_on(changing: Changing) -> None:
    changing.made()
    changing.use(*FIRST, 'parameter("more")')
    assert changing.planned()["differences"] == []
    assert reads(changing.tape) == (1, [])  # the engine's own
    changing.use(*FIRST, 'parameter("more", description=base.arn)')
    changing.by_hand("apart")
    assert changing.planned()["differences"] == []
    assert reads(changing.tape) == (2, ["base"])


def test_what_the_plan_touches_is_read_with_what_it_depends_on(changing: Changing) -> None:
    changing.made()
    changing.use(*CHANGED)
    assert changing.planned(compare=False)["differences"] == []
    assert reads(changing.tape) == (1, [])
    assert changing.planned()["differences"] == []
    assert reads(changing.tape) == (2, ["base", "one"])
    changing.by_hand("base")
    changing.by_hand("one", Description="by hand")
    changing.by_hand("apart")
    approved = changing.desk.plan()
    planned = changing.planned()
    assert told(planned) == [
        ("base", "changed", "value", MASK, MASK),
        ("one", "changed", "description", "", "by hand"),
        ("one", "changed", "value", MASK, MASK),
    ]
    # the digest is that of the plan alone: the cloud is a part beside it
    assert (planned["digest"], planned["parts"]) == (approved["digest"], approved["parts"])


def test_what_is_gone_is_named_also_where_it_would_be_deleted(changing: Changing) -> None:
    changing.made()
    changing.use()
    changing.ssm().delete_parameter(Name=changing.path("one"))
    assert told(changing.planned()) == [("one", "missing", "", None, None)]


def test_a_plan_of_an_option_or_an_output_alone_looks_at_what_changes(changing: Changing) -> None:
    changing.made()
    changing.use('parameter("one", opts={"depends_on": [base], "protect": True})')
    changing.by_hand("one")
    assert told(changing.planned()) == [("one", "changed", "value", MASK, MASK)]


def test_a_resource_with_a_new_name_is_looked_at_by_the_one_it_had(changing: Changing) -> None:
    changing.made()
    renamed = 'aws.ssm.Parameter("new", name=f"/{spec.owner.short}/one", type="String", value="w", '
    changing.use(
        renamed + "opts=pulumi.ResourceOptions(provider=provider, depends_on=[base],"
        ' aliases=[pulumi.Alias(name="one")]))'
    )
    changing.by_hand("one")
    assert told(changing.planned()) == [("one", "changed", "value", MASK, MASK)]


def test_a_secret_is_masked_on_both_sides(changing: Changing) -> None:
    changing.use(SECRET % ("canary-old", "1"))
    changing.made()
    changing.use(SECRET % ("canary-old", "2"))
    changing.by_hand("one", Value="canary-new", Description="with canary-old in it")
    name = changing.path("one")
    changing.ssm().remove_tags_from_resource(
        ResourceType="Parameter", ResourceId=name, TagKeys=["key"]
    )
    with changing.desk.start("up", gate=True, compare=True) as running:
        outcome = running.finish(answer="stop")
    assert outcome.planned is not None
    found = {(path, str(old), str(new)) for _, _, path, old, new in told(outcome.planned)}
    assert ("value", str(MASK), str(MASK)) in found
    assert ("description", "d1", "with [secret] in it") in found
    assert {path.partition(".")[0] for path, _, _ in found} == {
        "value", "description", "tags", "tagsAll"
    }  # fmt: skip
    said = json.dumps([outcome.planned, outcome.events, outcome.last]) + outcome.noise
    assert "canary" not in said.replace("canary & <secret>", "")  # what the recording provider logs


def test_what_cannot_be_read_is_no_answer_and_applies_nothing(
    changing: Changing, runner_cloud: CloudProcess
) -> None:
    changing.made()
    changing.use(*CHANGED)
    before = changing.desk.state_digest()
    with changing.desk.start("up", gate=True, compare=True) as running:
        running.until(lambda m: phase_begins(m, "compare"))
        with silent(runner_cloud):
            running.send("cancel")
            last = running.finish().last
    assert (last["code"], last["changed"], last["data"]["phase"]) == ("canceled", False, "compare")
    assert running.planned is None
    assert gone(running.call_id, within_seconds=10)
    late = {"verify_seconds": 0.5}
    with changing.desk.start("up", gate=True, compare=True, deadlines=late) as running:
        running.until(lambda m: phase_begins(m, "compare"))
        with silent(runner_cloud):
            last = running.finish().last
    assert (last["code"], last["changed"]) == ("deadline", False)
    assert changing.desk.locks() == []
    assert changing.desk.state_digest() == before


def phase_ends(message: Message, phase: str) -> bool:
    body = message.get("body", {})
    return (body.get("phase"), body.get("status")) == (phase, "ended")


def newest_provider(running: RunnerCall, known: set[int]) -> psutil.Process:
    """Return a provider of the call that was not there before, as soon as there is one."""
    while True:
        for process in processes_of(running.call_id):
            with contextlib.suppress(psutil.Error):
                if is_provider(process) and process.pid not in known:
                    return process


@pytest.mark.parametrize("who", ["engine", "provider"])
def test_a_process_that_dies_meanwhile_has_done_nothing(
    changing: Changing, runner_cloud: CloudProcess, who: str
) -> None:
    changing.made()
    changing.use(*CHANGED)
    with changing.desk.start("up", gate=True, compare=True) as running:
        running.until(lambda m: phase_ends(m, "plan"))
        of_the_preview = {p.pid for p in processes_of(running.call_id) if is_provider(p)}
        running.until(lambda m: phase_begins(m, "compare"))
        with silent(runner_cloud):
            if who == "engine":
                for engine in running.engines():
                    engine.kill()
            else:
                newest_provider(running, of_the_preview).kill()
        last = running.finish().last
    assert (last["code"], last["changed"]) == (f"{who}_died", False), last
    assert changing.desk.locks() == []


BROKEN = """

class Provider(Provider):
    def Read(self, request, context):
        if request.name == "one":
            _abort(context, "reading one: An error occurred (Throttling) when calling GetParameter")
        return super().Read(request, context)
"""


def test_a_resource_that_cannot_be_read_is_named(make_desk: MakeDesk, tmp_path: Path) -> None:
    desk = make_desk(program=program(*FIRST))
    desk.result("up", verify=False)
    other = tmp_path / "other"
    other.mkdir()
    desk.source = tree_with_program(other, program(*CHANGED))
    server = desk.source / "stacks" / "sandbox" / "provider" / "server.py"
    server.write_text(server.read_text() + BROKEN)
    refused = desk.failure("up", compare=True)
    assert (refused["code"], refused["changed"]) == ("provider", False)
    assert (refused["data"]["name"], refused["data"]["aws_code"]) == ("one", "Throttling")
