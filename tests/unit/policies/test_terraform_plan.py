"""What is peculiar to the JSON of a Terraform plan: modules, instances, locals, masked values."""

from __future__ import annotations

import pytest

from policies.evaluation import evaluate
from policies.model import UNKNOWN, Operation
from policies.terraform_plan import resources_from_terraform
from policies.terraform_references import split_address
from tests.unit.policies.policy_scenarios import PARAMETERS


def change(address, inputs, *, unknown=None, sensitive=None, actions=("create",), **more):
    bare = split_address(address)[1]
    kind, _, name = bare.partition(".")
    return {
        "address": address, "mode": "managed", "type": kind, "name": name,
        "change": {"actions": list(actions), "before": None, "after": inputs,
                   "after_unknown": unknown or {}, "after_sensitive": sensitive or {}},
    } | more  # fmt: skip


def config(bare, **expressions):
    kind, _, name = bare.partition(".")
    return {"mode": "managed", "type": kind, "name": name, "provider_config_key": "aws",
            "expressions": expressions}  # fmt: skip


def refers(*names):
    return {"references": list(names)}


def plan(changes, resources=(), calls=None, outputs=None, **more):
    root = {"resources": list(resources), "module_calls": calls or {}, "outputs": outputs or {}}
    provider = {"aws": {"expressions": {"region": {"constant_value": "eu-west-1"}}}}
    return {
        "format_version": "1.2",
        "resource_changes": list(changes),
        "configuration": {"provider_config": provider, "root_module": root},
    } | more


def module(resources=(), outputs=None, calls=None, **expressions):
    return {
        "expressions": expressions,
        "module": {
            "resources": list(resources), "outputs": outputs or {}, "module_calls": calls or {}
        },
    }  # fmt: skip


LOG = config("aws_cloudwatch_log_group.app", kms_key_id=refers("var.key_arn"), name={})
LOG_CHANGE = change(
    "module.data.aws_cloudwatch_log_group.app",
    {"name": "/acme", "tags_all": {}},
    unknown={"kms_key_id": True},
)
KEY_CHANGE = change("module.keys.aws_kms_key.logs", {"tags_all": {}}, unknown={"arn": True})
KEY = config("aws_kms_key.logs")


def test_a_key_is_traced_through_module_inputs_and_outputs():
    document = plan(
        [LOG_CHANGE, KEY_CHANGE],
        calls={
            "data": module([LOG], key_arn=refers("module.keys.arns", "module.keys")),
            "keys": module(
                [KEY], {"arns": {"expression": refers("aws_kms_key.logs.arn", "aws_kms_key.logs")}}
            ),
        },
    )
    log, _ = resources_from_terraform(document)
    assert log.value("kms_key_id") is UNKNOWN
    assert log.origins("kms_key_id") == ("module.keys.aws_kms_key.logs",)
    found = evaluate(resources_from_terraform(document), PARAMETERS, rules_digest="x")
    assert "unencrypted_storage" not in {violation.rule for violation in found.violations}


@pytest.mark.parametrize(
    "origin",
    [
        refers("local.arns"),  # locals are not in the plan
        refers("each.value"),
        refers("module.keys.nothing"),
        refers("module.data.loop", "module.data"),
    ],
)
def test_what_cannot_be_traced_has_no_origin(origin):
    document = plan(
        [LOG_CHANGE, KEY_CHANGE],
        calls={
            "data": module(
                [LOG], {"loop": {"expression": refers("module.data.loop")}}, key_arn=origin
            ),
            "keys": module([KEY], {"arns": {"expression": refers("local.arns")}}),
        },
    )
    log, _ = resources_from_terraform(document)
    assert log.origins("kms_key_id") == ()
    found = evaluate(resources_from_terraform(document), PARAMETERS, rules_digest="x")
    assert ("unencrypted_storage", "unknown") in {
        (violation.rule, violation.verdict.value) for violation in found.violations
    }


def test_a_value_from_a_key_and_from_something_else_is_not_surely_a_key():
    resources = [
        config("aws_cloudwatch_log_group.app", name={}, kms_key_id=refers(
            "aws_kms_key.logs.arn", "aws_kms_key.logs", "aws_iam_role.x.arn", "aws_iam_role.x")),
        KEY,
    ]  # fmt: skip
    changes = [
        change("aws_cloudwatch_log_group.app", {"name": "/a"}, unknown={"kms_key_id": True}),
        change("aws_kms_key.logs", {}),
    ]
    found = evaluate(
        resources_from_terraform(plan(changes, resources)), PARAMETERS, rules_digest="x"
    )
    assert ("unencrypted_storage", "unknown") in {
        (v.rule, v.verdict.value) for v in found.violations
    }


def test_each_instance_is_linked_to_the_bucket_with_its_own_key():
    names = {'["a.b"]': "acme-a", '["c]"]': "acme-c"}
    changes = [
        *(change(f"aws_s3_bucket.this{key}", {"bucket": name}) for key, name in names.items()),
        *(change(f"aws_s3_bucket_policy.this{key}", {}, unknown={"bucket": True}) for key in names),
    ]
    resources = [
        config("aws_s3_bucket.this", bucket=refers("each.value")),
        config("aws_s3_bucket_policy.this", bucket=refers("aws_s3_bucket.this", "each.key")),
    ]
    found = resources_from_terraform(plan(changes, resources))
    assert [each.value("bucket") for each in found] == [*names.values(), *names.values()]


def test_an_instance_that_might_belong_to_several_buckets_belongs_to_none():
    changes = [
        change("aws_s3_bucket.this[0]", {"bucket": "acme-a"}),
        change("aws_s3_bucket.this[1]", {"bucket": "acme-b"}),
        change("aws_s3_bucket_policy.only", {}, unknown={"bucket": True}),
    ]
    resources = [
        config("aws_s3_bucket.this", bucket={}),
        config("aws_s3_bucket_policy.only", bucket=refers("aws_s3_bucket.this", "var.which")),
    ]
    policy = resources_from_terraform(plan(changes, resources))[2]
    assert policy.value("bucket") is UNKNOWN


def test_what_the_provider_computes_and_nobody_wrote_counts_as_absent():
    changes = [change("aws_s3_bucket.b", {}, unknown={"bucket": True, "acl": True})]
    (bucket,) = resources_from_terraform(plan(changes, [config("aws_s3_bucket.b")]))
    assert bucket.value("bucket") is None
    assert bucket.unknown == frozenset()


def test_sensitive_values_are_masked_and_not_known():
    changes = [
        change(
            "aws_ssm_parameter.p",
            {"name": "/a", "value": "hunter2", "list": [{"x": "hunter3"}]},
            sensitive={"value": True, "list": [{"x": True}], "tags_all": {}},
        )
    ]
    (parameter,) = resources_from_terraform(plan(changes))
    assert parameter.value("value") is UNKNOWN
    assert "hunter" not in repr(parameter)


def test_data_sources_deposed_objects_and_forgotten_resources_are_not_judged():
    changes = [
        change("data.aws_vpc.v", {}, mode="data"),
        change("aws_vpc.v", {}, deposed="abc"),
        change("aws_vpc.w", {}, actions=["forget"]),
        change("aws_vpc.x", {}, actions=["delete", "create"]),
    ]
    found = resources_from_terraform(plan(changes))
    assert [each.operation for each in found] == [Operation.READ, Operation.REPLACE]
    assert [each.is_judged for each in found] == [False, True]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "not a plan"),
        ({"format_version": "2.0"}, "not a plan"),
        (plan([], errored=True), "not complete"),
        (plan([change("aws_vpc.v", {}, actions=["dream"])]), "dream"),
    ],
)
def test_what_is_no_whole_plan_is_refused(document, message):
    with pytest.raises(ValueError, match=message):
        resources_from_terraform(document)


def test_a_region_that_the_plan_does_not_show_may_be_given():
    provider = {"aws": {"expressions": {"region": refers("local.region")}}}
    document = plan([change("aws_vpc.v", {})], [config("aws_vpc.v")])
    document["configuration"]["provider_config"] = provider
    assert resources_from_terraform(document)[0].region is None
    assert resources_from_terraform(document, region="eu-west-1")[0].region == "eu-west-1"


def test_a_module_inherits_the_provider_of_the_root():
    resource = config("aws_vpc.v") | {"provider_config_key": "module.net:aws"}
    document = plan([change("module.net.aws_vpc.v", {})], calls={"net": module([resource])})
    assert resources_from_terraform(document)[0].region == "eu-west-1"


def test_addresses_are_taken_apart_whatever_the_instance_keys_hold():
    address = 'module.a["x.y"].module.b[0].aws_s3_bucket.this["q\\"]."]'
    assert split_address(address) == (("a", "b"), "aws_s3_bucket.this")
