"""The real AWS provider accepts what the programs register, and would refuse what is wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.stacks.fidelity.judge import Judge, running_judge
from tests.stacks.fidelity.plugin_protocol import Refused
from tests.stacks.fidelity.settled import settled
from tests.stacks.registrations import Preview, Registration, preview_of
from tests.stacks.sample_specs import PROGRAMS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

TAGS = {"tenantplane:tenant": "acme", "tenantplane:managed-by": "tenantplane"}


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    yield from running_judge(TAGS)


@pytest.fixture(scope="module")
def previews() -> dict[str, Preview]:
    return {name: preview_of(name, spec) for name, spec in PROGRAMS.items()}


def settled_all(preview: Preview) -> list[Registration]:
    """Return the resources with values made up for what is unknown."""
    return [replace(one, inputs=settled(one.inputs)) for one in preview.resources]


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_the_real_provider_accepts_every_resource(
    name: str, judge: Judge, previews: dict[str, Preview]
) -> None:
    resources = previews[name].resources
    assert judge.refusals(resources) == []
    assert judge.refusals(settled_all(previews[name])) == []


Change = Callable[[dict[str, Any]], object]

# what is done to the inputs of a resource that was accepted, and a word of the refusal
WRONG: list[tuple[str, str, Change, str]] = [
    (
        "aws:cloudwatch/logGroup:LogGroup",
        "a period that CloudWatch does not offer",
        lambda inputs: inputs.update(retentionInDays=31),
        "retention_in_days",
    ),
    (
        "aws:ec2/vpc:Vpc",
        "a network longer than an address",
        lambda inputs: inputs.update(cidrBlock="10.0.0.0/33"),
        "cidr_block",
    ),
    (
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        "a kind of endpoint that does not exist",
        lambda inputs: inputs.update(vpcEndpointType="Doorway"),
        "vpc_endpoint_type",
    ),
    (
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "a cipher that S3 does not have",
        lambda inputs: inputs["rules"][0]["applyServerSideEncryptionByDefault"].update(
            sseAlgorithm="rot13"
        ),
        "sse_algorithm",
    ),
    (
        "aws:s3/bucketVersioning:BucketVersioning",
        "a state that versioning does not have",
        lambda inputs: inputs["versioningConfiguration"].update(status="On"),
        "status",
    ),
    (
        "aws:iam/rolePolicy:RolePolicy",
        "a policy that is no JSON",
        lambda inputs: inputs.update(policy="{not json"),
        "policy",
    ),
    (
        "aws:iam/role:Role",
        "a name that is too long",
        lambda inputs: inputs.update(name="r" * 65),
        "name",
    ),
    (
        "aws:kms/key:Key",
        "a shorter wait than KMS allows",
        lambda inputs: inputs.update(deletionWindowInDays=6),
        "deletion_window_in_days",
    ),
    (
        "aws:rds/instance:Instance",
        "a password beside the one that AWS manages",
        lambda inputs: inputs.update(password="correct-horse-1"),
        "password",
    ),
    (
        "aws:rds/instance:Instance",
        "no class",
        lambda inputs: inputs.pop("instanceClass"),
        "instance_class",
    ),
    (
        "aws:dynamodb/table:Table",
        "an attribute without a type",
        lambda inputs: inputs["attributes"][0].pop("type"),
        "type",
    ),
    (
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        "a comparison that does not exist",
        lambda inputs: inputs.update(comparisonOperator="Near"),
        "comparison_operator",
    ),
]


def of_type(previews: dict[str, Preview], type_: str) -> dict[str, Any]:
    found = [one for preview in previews.values() for one in preview.of(type_)]
    return copy.deepcopy(settled(found[0].inputs))


@pytest.mark.parametrize(
    ("type_", "change", "word"),
    [(type_, change, word) for type_, _, change, word in WRONG],
    ids=[what for _, what, _, _ in WRONG],
)
def test_a_wrong_value_is_refused_by_name(
    type_: str, change: Change, word: str, judge: Judge, previews: dict[str, Preview]
) -> None:
    inputs = of_type(previews, type_)
    judge.judge(type_, inputs)
    change(inputs)
    with pytest.raises(Refused, match=word):
        judge.judge(type_, inputs)


def test_every_misspelt_input_is_refused(judge: Judge, previews: dict[str, Preview]) -> None:
    accepted = []
    tried = 0
    for preview in previews.values():
        for one in settled_all(preview):
            for name in one.inputs.keys() - {"__defaults"}:
                inputs = {key: value for key, value in one.inputs.items() if key != name}
                inputs[f"{name}X"] = one.inputs[name]
                tried += 1
                try:
                    judge.judge(one.type, inputs)
                except Refused:
                    continue
                accepted.append(f"{one.urn}: {name}X")
    assert tried > 500
    assert accepted == []


def test_every_value_of_a_wrong_type_is_refused(judge: Judge, previews: dict[str, Preview]) -> None:
    accepted = []
    for preview in previews.values():
        for one in settled_all(preview):
            for name, value in one.inputs.items():
                wrong: Any = {"a": {"b": "c"}} if not isinstance(value, dict) else "text"
                try:
                    judge.judge(one.type, one.inputs | {name: wrong})
                except Refused:
                    continue
                accepted.append(f"{one.urn}: {name} = {wrong}")
    assert accepted == []


def test_a_type_that_terraform_does_not_know_is_refused(judge: Judge) -> None:
    with pytest.raises(Refused, match="no counterpart"):
        judge.judge("aws:s3/cupboard:Cupboard", {})
