"""What a look says of a property that differs: its path, both values, and nothing secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from stacks.engine.drifting import changed
from stacks.engine.provider import Found
from stacks.engine.values import SECRET, SIGNATURE
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.runner_calls import Desk

pytestmark = pytest.mark.timeout(400)

MASK = {"secret": True}
Shown = dict[str, tuple[Any, Any]]


def hidden(value: Any) -> dict[str, Any]:
    return {SIGNATURE: SECRET, "value": value}


def shown(
    kinds: dict[str, str],
    there: dict[str, Any],
    applied: dict[str, Any],
    outputs: dict[str, Any] | None = None,
) -> Shown:
    """Return what differs: by path, what was applied and what there is."""
    found = Found(id="1", inputs=there, outputs={"arn": "arn:x", **there})
    changes = changed(
        kinds, found=found, inputs=applied, outputs=outputs or applied,
        hide=lambda text: text.replace("canary", "[secret]"),
    )  # fmt: skip
    return {each.path: (each.after, each.before) for each in changes}


@pytest.mark.parametrize(
    ("kind", "there", "applied", "values"),
    [
        ("update", {"days": 7.0}, {"days": 30}, (30, 7)),
        ("update", {"share": 0.5}, {"share": 1}, (1, 0.5)),
        ("add", {}, {"days": 30}, (30, None)),
        ("delete", {"days": 7.0}, {}, (None, 7)),
    ],
)
def test_both_values_are_shown_and_a_side_that_has_none_is_empty(
    kind: str, there: dict[str, Any], applied: dict[str, Any], values: tuple[Any, Any]
) -> None:
    (name,) = {**there, **applied}
    assert shown({name: kind}, there, applied) == {name: values}


def test_a_tag_is_named_once_also_one_of_the_provider() -> None:
    there = {"tags": {"a.b": "2"}, "tagsAll": {"a.b": "2", "team": "x"}}
    applied = {"tags": {"a.b": "1"}, "tagsAll": {"a.b": "1", "team": "core"}}
    kinds = dict.fromkeys(('tags["a.b"]', 'tagsAll["a.b"]', "tagsAll.team"), "update")
    assert shown(kinds, there, applied) == {
        'tags["a.b"]': ("1", "2"), "tags.team": ("core", "x")
    }  # fmt: skip
    assert shown({"tagsAll": "update"}, there, applied) == {
        "tags": (applied["tagsAll"], there["tagsAll"])
    }


def test_a_property_that_holds_a_secret_on_any_side_is_masked_as_a_whole() -> None:
    secret = {"rules": [{"key": hidden("one")}, {"key": "two"}]}
    plain = {"rules": [{"key": "two"}, {"key": "other"}]}
    masked = {"rules": (MASK, MASK)}
    paths = {"rules[0].key": "update", "rules[1].key": "update"}
    assert shown(paths, plain, secret) == masked  # a provider that keeps no secrets
    assert shown(paths, secret, plain) == masked
    assert shown(paths, plain, plain, outputs=secret) == masked
    gone = shown({"rules": "add"}, {}, secret)
    assert gone == {"rules": (MASK, None)}


def test_a_known_secret_is_kept_out_of_the_text_of_another_property() -> None:
    found = shown({"text": "update"}, {"text": "with canary"}, {"text": "as made"})
    assert found == {"text": ("as made", "with [secret]")}


SECRETS = """
import pulumi
import pulumi_aws as aws


def build(spec, provider):
    one = aws.ssm.Parameter(
        "one", name=f"/{spec.owner.short}/one", type="SecureString",
        value=pulumi.Output.secret("canary as applied"), description="as made",
        tags={"a": "1"}, opts=pulumi.ResourceOptions(provider=provider))
    return {"one": one.arn}
"""


@pytest.mark.slow
def test_a_look_shows_what_was_changed_by_hand_and_neither_secret(
    make_desk: Callable[..., Desk], runner_cloud: CloudProcess
) -> None:
    desk = make_desk(program=SECRETS)
    made = desk.result("up")["look"]
    assert (made["drift"], made["unanswered"]) == ([], "")
    ssm, name = runner_cloud.client("ssm"), f"/{desk.spec['owner']['short']}/one"
    ssm.put_parameter(Name=name, Value="canary by hand", Description="by hand", Overwrite=True)
    ssm.add_tags_to_resource(
        ResourceType="Parameter", ResourceId=name, Tags=[{"Key": "a", "Value": "2"}]
    )
    outcome = desk.call("look")
    found = outcome.last["look"]["drift"]
    assert {(each["kind"], each["type"]) for each in found} == {
        ("changed", "aws:ssm/parameter:Parameter")
    }
    assert {each["path"]: (each["expected"], each["actual"]) for each in found} == {
        "description": ("as made", "by hand"), "tags.a": ("1", "2"), "value": (MASK, MASK)
    }  # fmt: skip
    said = json.dumps([outcome.last, *outcome.events]) + outcome.noise
    assert "canary" not in said
    ssm.delete_parameter(Name=name)
    (gone,) = desk.result("look")["look"]["drift"]
    assert (gone["kind"], gone["subject"].rpartition("::")[2]) == ("missing", "one")
