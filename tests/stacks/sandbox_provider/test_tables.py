"""The tables of the provider against the installed SDK, and how they are compared."""

from __future__ import annotations

import importlib
import inspect
import json
import typing
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.sandbox.provider.catalogue import all_types
from stacks.sandbox.provider.compare import Act, changes
from stacks.sandbox.provider.policy_document import canonical_policy
from stacks.sandbox.provider.resource import ResourceType
from stacks.sandbox.provider.schema import (
    Fields,
    Kind,
    block,
    flag,
    integer,
    list_of,
    mapping,
    policy_text,
    set_of,
    text,
)
from stacks.sandbox.provider.wire import UNKNOWN, decode, encode

KINDS = list(all_types())


def sdk_module(kind: ResourceType) -> Any:
    package, _, rest = kind.urn_type.removeprefix("aws:").partition("/")
    name = rest.partition(":")[0]
    file = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    # The SDK's packages load lazily. Importing a module of one that is not loaded yet leaves a
    # package without that module's names behind, for the whole process.
    loaded = importlib.import_module(f"pulumi_aws.{package}")
    assert hasattr(loaded, kind.urn_type.rpartition(":")[2])
    return importlib.import_module(f"pulumi_aws.{package}.{file}")


def properties(declared: type) -> dict[str, Any]:
    """Return the properties of a class of the SDK under the names that travel."""
    return {
        getattr(member.fget, "_pulumi_name", name): member.fget.__annotations__["return"]
        for name, member in vars(declared).items()
        if isinstance(member, property) and member.fget is not None
    }


def sdk_inputs(kind: ResourceType) -> dict[str, Any]:
    module = sdk_module(kind)
    name = kind.urn_type.rpartition(":")[2]
    declared = getattr(module, f"{name}InitArgs", None) or getattr(module, f"{name}Args")
    return properties(declared)


def required_inputs(kind: ResourceType) -> set[str]:
    source = inspect.getsource(sdk_module(kind))
    names = [
        line.partition("Missing required property '")[2].partition("'")[0]
        for line in source.splitlines()
        if "Missing required property" in line
    ]
    inputs = {pulumi_name: pulumi_name for pulumi_name in sdk_inputs(kind)}
    snake = {
        "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name): name
        for name in inputs
    }
    return {snake[name] for name in names}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.urn_type)
def test_a_type_knows_inputs_and_outputs_of_the_sdk_only(kind: ResourceType) -> None:
    inputs = sdk_inputs(kind)
    assert kind.fields.keys() <= inputs.keys()
    outputs = properties(getattr(sdk_module(kind), kind.urn_type.rpartition(":")[2]))
    assert set(kind.outputs) <= outputs.keys()
    assert ("region" in outputs) == kind.regional
    assert ("tagsAll" in outputs) == kind.taggable


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.urn_type)
def test_what_the_sdk_requires_is_required(kind: ResourceType) -> None:
    required = {name for name, known in kind.fields.items() if known.required}
    assert required_inputs(kind) <= required


PYTHON_KINDS: dict[Kind, str] = {
    Kind.TEXT: "str",
    Kind.INTEGER: "int",
    Kind.NUMBER: "float",
    Kind.FLAG: "bool",
    Kind.MAP: "Mapping",
    Kind.LIST: "Sequence",
    Kind.SET: "Sequence",
    Kind.BLOCK: "Args",
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.urn_type)
def test_inputs_have_the_kinds_of_the_sdk(kind: ResourceType) -> None:
    inputs = sdk_inputs(kind)
    for name, known in kind.fields.items():
        alternatives = [str(inputs[name]), *map(str, typing.get_args(inputs[name]))]
        assert any(PYTHON_KINDS[known.kind] in told for told in alternatives), name


# Comparison

SHAPE: Fields = {
    "name": text(replaces=True),
    "size": integer(default=3),
    "on": flag(),
    "chosen": text(computed=True),
    "tags": mapping(),
    "policy": policy_text(),
    "ids": set_of(text()),
    "rules": list_of(block({"id": text(), "days": integer(), "fixed": text(replaces=True)})),
    "inner": block({"key": text(), "made": text(computed=True)}),
}


def found(old: Mapping[str, Any], new: Mapping[str, Any], *ignored: str) -> dict[str, Any]:
    return {
        change.path: (change.act.value, change.replaces)
        for change in changes(SHAPE, old, new, ignored)
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"size": 3}, {}),
        ({}, {"size": 3}),
        ({"on": False, "tags": {}, "ids": [], "name": ""}, {}),
        ({"chosen": "by AWS"}, {}),
        ({"ids": ["a", "b"]}, {"ids": ["b", "a"]}),
        ({"inner": {"key": "k", "made": "m"}}, {"inner": {"key": "k"}}),
    ],
)
def test_what_means_the_same_is_no_change(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert found(old, new) == {}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"name": "a"}, {"name": "b"}, {"name": ("update", True)}),
        ({"name": "a"}, {"name": UNKNOWN}, {"name": ("update", True)}),
        ({}, {"size": 4}, {"size": ("update", False)}),
        ({"size": 4}, {}, {"size": ("update", False)}),
        ({}, {"ids": ["a"]}, {"ids": ("add", False)}),
        ({"ids": ["a"]}, {}, {"ids": ("delete", False)}),
        ({"ids": ["a"]}, {"ids": ["a", UNKNOWN]}, {"ids": ("update", False)}),
        (
            {"tags": {"a": "1", "b.c": "2"}},
            {"tags": {"a": "3"}},
            {"tags.a": ("update", False), 'tags["b.c"]': ("delete", False)},
        ),
        (
            {"rules": [{"id": "a", "days": 1}]},
            {"rules": [{"id": "a", "days": 2}]},
            {"rules[0].days": ("update", False)},
        ),
        (
            {"rules": [{"id": "a", "fixed": "x"}]},
            {"rules": [{"id": "a", "fixed": "y"}]},
            {"rules[0].fixed": ("update", True)},
        ),
        ({"rules": [{"id": "a"}]}, {"rules": []}, {"rules": ("delete", False)}),
        ({"inner": {"key": "k"}}, {"inner": {"key": "l"}}, {"inner.key": ("update", False)}),
    ],
)
def test_a_change_names_its_path_and_what_it_does(
    old: dict[str, Any], new: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert found(old, new) == expected


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("tags", {"rules[0].days"}),
        ('tags["b.c"]', {"tags.a", "rules[0].days"}),
        ("rules[*].days", {"tags.a", 'tags["b.c"]'}),
        ("rules", {"tags.a", 'tags["b.c"]'}),
        ("rule", {"tags.a", 'tags["b.c"]', "rules[0].days"}),
    ],
)
def test_ignored_paths_are_no_change(path: str, left: set[str]) -> None:
    old = {"tags": {"a": "1", "b.c": "2"}, "rules": [{"id": "a", "days": 1}]}
    new = {"tags": {"a": "2"}, "rules": [{"id": "a", "days": 2}]}
    assert found(old, new, path).keys() == left


def test_the_comparison_can_be_turned_round() -> None:
    old = {"size": 4, "tags": {"a": "1"}, "ids": ["x"]}
    new = {"tags": {"b": "1"}}
    there, back = found(old, new), found(new, old)
    assert there.keys() == back.keys()
    turned = {Act.ADD: Act.DELETE, Act.DELETE: Act.ADD, Act.UPDATE: Act.UPDATE}
    assert {path: turned[Act(act)] for path, (act, _) in there.items()} == {
        path: Act(act) for path, (act, _) in back.items()
    }


ROOT = "arn:aws:iam::123456789012:root"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"Action": "s3:Get*"}, {"Action": ["s3:Get*"]}),
        ({"Action": ["a:B", "a:A"]}, {"Action": ["a:A", "a:B"]}),
        ({"Principal": {"AWS": ROOT}}, {"Principal": {"AWS": ["123456789012"]}}),
        ({"Principal": "*"}, {"Principal": {"AWS": "*"}}),
        (
            {"Condition": {"Bool": {"aws:SecureTransport": False}}},
            {"Condition": {"Bool": {"aws:SecureTransport": ["false"]}}},
        ),
    ],
)
def test_policies_of_one_meaning_are_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    first = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", **one}})
    second = json.dumps({"Statement": [{**other, "Effect": "Allow"}], "Version": "2012-10-17"})
    assert canonical_policy(first) == canonical_policy(second)
    denied = second.replace("Allow", "Deny")
    assert canonical_policy(first) != canonical_policy(denied)


# What travels

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.just(UNKNOWN),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def without_nulls(value: Any) -> Any:
    """Return a value as it comes back: members without a value are not sent."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(), plain))
def test_values_come_back_as_they_were_sent(values: dict[str, Any]) -> None:
    back, secrets = decode(encode(values))
    assert back == without_nulls(values)
    assert secrets == frozenset()


@given(st.dictionaries(st.text(min_size=1), st.text(), min_size=1), st.data())
def test_secrets_come_back_secret(tags: dict[str, str], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(tags)))
    back, secrets = decode(encode({"tags": tags}, frozenset({("tags", key)})))
    assert back == {"tags": tags}
    assert secrets == {("tags", key)}


def test_a_secret_in_a_list_or_lost_makes_its_whole_property_secret() -> None:
    given_paths = frozenset({("rules", 1, "value"), ("gone", "x"), ("tags", "no")})
    values = {"rules": [{"value": "a"}, {"value": "b"}], "tags": {"yes": "1"}}
    assert decode(encode(values, given_paths))[1] == {("rules",), ("tags",)}


def test_outputs_and_resources_are_taken_as_values() -> None:
    signature = "4dabf18193072939515e22adb298388d"
    output = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
    sent = encode(
        {
            "known": {signature: output, "value": "v", "secret": True, "dependencies": []},
            "open": {signature: output},
            "resource": {signature: "5cf8f73096256a8f31e491e813e4eb8e", "urn": "u", "id": "i"},
        }
    )
    back, secrets = decode(sent)
    assert back == {"known": "v", "open": UNKNOWN, "resource": "i"}
    assert secrets == {("known",)}


def test_the_engine_sees_secret_inputs_of_the_sdk_as_such() -> None:
    for kind in KINDS:
        marked = {name for name, known in kind.fields.items() if known.secret}
        source = inspect.getsource(sdk_module(kind))
        if "additional_secret_outputs" in source:
            told = source.partition("additional_secret_outputs=[")[2].partition("]")[0]
            names = {name.strip().strip('"') for name in told.split(",")}
            assert names & kind.fields.keys() <= marked, kind.urn_type
