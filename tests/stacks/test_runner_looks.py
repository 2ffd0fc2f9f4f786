"""Verification: what is known before it begins, what it finds, and what leaves it open."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from stacks.sandbox.provider import sdk_version, write_plugin
from tests.stacks.cloud_process import CloudProcess, silent
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

CHECKS = {"outputs_present", "answers_in_cloud", "as_applied", "nothing_unknown"}

# A parameter whose value, options and exports differ from one version of the program to another.
ONE = """
import pulumi
import pulumi_aws as aws


def build(spec, provider):
    one = aws.ssm.Parameter("one", name=f"/{spec.owner.short}/one", type="String", value="1",
                            opts=pulumi.ResourceOptions(provider=provider%s))
    return {"arn": one.arn, "text": "%s"}
"""


def failed(look: Message) -> dict[str, str]:
    return {c["name"]: c["detail"] for c in look["checks"] if not c["ok"]}


def test_what_was_applied_is_told_before_its_verification_begins(desk: Desk) -> None:
    order: list[str] = []
    with desk.start("up") as running:
        for message in running.messages():
            if message["message"] in ("planned", "applied", "result"):
                order.append(message["message"])
            elif phase_begins(message, "verify"):
                order.append("verify")
        last, applied = running.last, running.applied
    assert order == ["planned", "applied", "verify", "result"]
    assert applied is not None
    assert last["outcome"] == "applied"
    assert {c["name"] for c in last["look"]["checks"]} == CHECKS
    for key in ("outputs", "secret_outputs", "state_digest"):
        assert applied[key] == last["look"][key]
    assert applied["summary"] == last["summary"]


def test_a_look_verifies_what_exists_and_changes_nothing(
    desk: Desk, runner_cloud: CloudProcess
) -> None:
    made = desk.result("up")
    history = desk.result("inspect")["history_digest"]
    looked = desk.result("look")
    assert (looked["outcome"], looked["changed"]) == ("looked", False)
    assert failed(looked["look"]) == {}
    assert {c["name"] for c in looked["look"]["checks"]} == CHECKS
    assert looked["look"]["outputs"] == made["look"]["outputs"]
    assert looked["look"]["resources"] == made["look"]["resources"]
    name = f"/tenantplane/{desk.spec['owner']['short']}/table"
    runner_cloud.client("ssm").delete_parameter(Name=name)
    found = failed(desk.result("look")["look"])
    assert found == {
        "answers_in_cloud": "not in the cloud: table",
        "as_applied": "not in the cloud: table",
    }
    assert desk.state_digest() == made["state_digest"]
    assert desk.result("inspect")["history_digest"] == history


def test_the_gate_may_answer_to_verify_without_applying(desk: Desk) -> None:
    made = desk.result("up")
    history = desk.result("inspect")["history_digest"]
    with desk.start("up", gate=True) as running:
        planned = running.until(lambda m: m["message"] == "planned")
        outcome = running.finish(answer=f"look {planned['digest']}")
    assert outcome.last["outcome"] == "looked"
    assert not outcome.last["changed"]
    assert failed(outcome.last["look"]) == {}
    assert outcome.applied is None
    assert outcome.last["state_digest"] == made["state_digest"]
    assert desk.result("inspect")["history_digest"] == history


def test_a_look_at_another_digest_is_refused(desk: Desk) -> None:
    with desk.start("up", gate=True) as running:
        outcome = running.finish(answer="look sha256:" + "0" * 64)
    assert outcome.last["code"] == "bad_request"


def test_there_is_nothing_to_look_at_before_the_first_apply(desk: Desk) -> None:
    refused = desk.failure("look")
    assert refused["code"] == "backend"
    assert "does not exist" in refused["text"]


def test_options_and_outputs_that_differ_fail_the_verification(
    make_desk: MakeDesk, tmp_path: Path
) -> None:
    desk = make_desk(program=ONE % ("", "as made"))
    desk.result("up")
    for number, (options, text, planned) in enumerate((
        (", protect=True, retain_on_delete=True", "as made", "one (protect, retainOnDelete)"),
        ("", "other", "output text (update)"),
    )):  # fmt: skip
        other = tmp_path / f"other-{number}"
        other.mkdir()
        desk.source = tree_with_program(other, ONE % (options, text))
        with desk.start("up", gate=True) as running:
            planned_now = running.until(lambda m: m["message"] == "planned")
            last = running.finish(answer=f"look {planned_now['digest']}").last
        assert failed(last["look"]) == {"as_applied": f"not applied: {planned}"}


def test_a_thing_that_the_state_does_not_know_fails_the_verification(
    desk: Desk, runner_cloud: CloudProcess
) -> None:
    desk.result("up")
    owner = desk.spec["owner"]
    runner_cloud.client("ssm").put_parameter(
        Name=f"/made/by/hand/{owner['short']}", Value="1", Type="String",
        Tags=[{"Key": "tenantplane:deployment", "Value": owner["deployment"]}],
    )  # fmt: skip
    found = failed(desk.result("look")["look"])
    assert set(found) == {"nothing_unknown"}
    assert f"/made/by/hand/{owner['short']}" in found["nothing_unknown"]


def test_a_cloud_that_does_not_answer_fails_every_check_that_asks_it(desk: Desk) -> None:
    desk.result("up")
    desk.endpoint = "http://127.0.0.1:1"
    looked = desk.result("look", deadlines={"verify_seconds": 60.0})
    assert set(failed(looked["look"])) == {"answers_in_cloud", "as_applied", "nothing_unknown"}


def test_an_installed_plugin_of_the_states_version_is_asked(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / ".pulumi" / "plugins" / f"resource-aws-v{sdk_version()}"
    write_plugin(installed)
    monkeypatch.setenv("HOME", str(tmp_path))
    cloud = {**desk.request("look")["cloud"], "provider": "official"}
    assert failed(desk.result("up", cloud=cloud)["look"]) == {}
    looked = desk.result("look", cloud=cloud)
    assert failed(looked["look"]) == {}
    installed.rename(installed.with_name("resource-aws-v1.0.0"))
    found = failed(desk.result("look", cloud=cloud)["look"])
    assert set(found) == {"answers_in_cloud", "as_applied"}
    for detail in found.values():
        assert detail.endswith(f"The provider aws {sdk_version()} is not installed.")


def verifying(running: RunnerCall) -> None:
    """Read on until the call verifies."""
    running.until(lambda m: phase_begins(m, "verify"))


def test_a_verification_that_is_canceled_keeps_what_was_applied(
    desk: Desk, runner_cloud: CloudProcess
) -> None:
    with desk.start("up") as running:
        verifying(running)
        with silent(runner_cloud):
            running.send("cancel")
            outcome = running.finish()
    assert outcome.code == 0
    assert outcome.last["outcome"] == "canceled"
    assert outcome.last["changed"]
    assert outcome.last["look"] is None
    assert outcome.applied is not None
    assert outcome.last["state_digest"] == outcome.applied["state_digest"]
    assert outcome.last["summary"] == outcome.applied["summary"]
    assert desk.state_digest() == outcome.last["state_digest"]
    assert failed(desk.result("look")["look"]) == {}


@pytest.mark.parametrize(("stop", "code"), [("cancel", "canceled"), ("hang_up", "parent_gone")])
def test_a_look_that_is_stopped_is_no_verdict(
    desk: Desk, runner_cloud: CloudProcess, stop: str, code: str
) -> None:
    desk.result("up", verify=False)
    with desk.start("look") as running:
        verifying(running)
        with silent(runner_cloud):
            running.hang_up() if stop == "hang_up" else running.send(stop)
            outcome = running.finish()
    assert (outcome.last["message"], outcome.last["code"]) == ("failure", code)
    assert not outcome.last["changed"]
    assert gone(running.call_id, within_seconds=10)


def test_a_verification_that_takes_too_long_fails_its_checks(
    desk: Desk, runner_cloud: CloudProcess
) -> None:
    with desk.start("up", deadlines={"verify_seconds": 3.0}) as running:
        verifying(running)
        with silent(runner_cloud):
            last = running.finish().last
    assert last["outcome"] == "applied"
    found = failed(last["look"])
    assert set(found) == {"answers_in_cloud", "as_applied", "nothing_unknown"}
    assert "timed out" in found["answers_in_cloud"]
    assert gone(running.call_id, within_seconds=10)


def provider_of(running: RunnerCall) -> psutil.Process:
    """Return the provider of a call, as soon as it has one."""
    while True:
        for process in processes_of(running.call_id):
            with contextlib.suppress(psutil.Error):
                if is_provider(process):
                    return process


@contextlib.contextmanager
def no_living_provider(running: RunnerCall) -> Iterator[None]:
    """Kill each provider of a call as it appears: one that dies before it is asked is replaced."""
    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(0.02):
            for process in processes_of(running.call_id):
                with contextlib.suppress(psutil.Error):
                    if is_provider(process):
                        process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        ended.set()
        killer.join()


@pytest.mark.parametrize("operation", ["up", "look"])  # its warm provider, and one of its own
def test_the_death_of_the_provider_is_no_verdict(
    desk: Desk, runner_cloud: CloudProcess, operation: str
) -> None:
    if operation == "look":
        desk.result("up", verify=False)
    with desk.start(operation) as running:
        verifying(running)
        with silent(runner_cloud), no_living_provider(running):
            last: dict[str, Any] = running.finish().last
    assert (last["message"], last["code"]) == ("failure", "provider_died"), last
    assert last["changed"] is (operation == "up")
    if operation == "up":
        assert last["state_digest"] == desk.state_digest()
    assert gone(running.call_id, within_seconds=10)


def test_a_provider_that_hangs_fails_the_checks_at_the_deadline(desk: Desk) -> None:
    desk.result("up", verify=False)
    with desk.start("look", deadlines={"verify_seconds": 4.0}) as running:
        verifying(running)
        provider_of(running).suspend()
        last = running.finish().last
    found = failed(last["look"])
    assert set(found) == {"answers_in_cloud", "as_applied"}
    assert found["answers_in_cloud"].startswith("not checked: ")
    assert gone(running.call_id, within_seconds=10)
