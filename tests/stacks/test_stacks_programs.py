"""What the programs register, seen as the engine sees it in the preview of a new stack."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stacks.contract import UNKNOWN
from stacks.spec import HubOutputs
from tests.stacks import sample_specs
from tests.stacks.registrations import Preview, Registration, preview_of, unknown_paths
from tests.stacks.sample_specs import PROGRAMS

# type -> the input that is its physical name
NAMED = {
    "aws:cloudwatch/logGroup:LogGroup": "name",
    "aws:cloudwatch/metricAlarm:MetricAlarm": "name",
    "aws:dynamodb/table:Table": "name",
    "aws:ec2/securityGroup:SecurityGroup": "name",
    "aws:iam/policy:Policy": "name",
    "aws:iam/role:Role": "name",
    "aws:iam/rolePolicy:RolePolicy": "name",
    "aws:kms/alias:Alias": "name",
    "aws:rds/instance:Instance": "identifier",
    "aws:rds/parameterGroup:ParameterGroup": "name",
    "aws:rds/subnetGroup:SubnetGroup": "name",
    "aws:s3/bucket:Bucket": "bucket",
    "aws:secretsmanager/secret:Secret": "name",
    "aws:ssm/parameter:Parameter": "name",
}
NAMELESS = {  # AWS gives these an id and nothing else
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
    "aws:ec2/flowLog:FlowLog",
    "aws:ec2/routeTable:RouteTable",
    "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "aws:ec2/subnet:Subnet",
    "aws:ec2/vpc:Vpc",
    "aws:ec2/vpcEndpoint:VpcEndpoint",
    "aws:kms/key:Key",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
    "aws:s3/bucketLogging:BucketLogging",
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
    "aws:s3/bucketPolicy:BucketPolicy",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
    "aws:s3/bucketVersioning:BucketVersioning",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
}
TAGLESS = {
    "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:kms/alias:Alias",
} | {one for one in NAMELESS if one.startswith("aws:s3/")}
STATEFUL = {
    "aws:dynamodb/table:Table",
    "aws:kms/key:Key",
    "aws:rds/instance:Instance",
    "aws:s3/bucket:Bucket",
    "aws:secretsmanager/secret:Secret",
}
RULES = {
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
}
DOCUMENTS = ("policy", "assumeRolePolicy")
CHARACTERS_AT_MOST = {  # quotas of IAM and KMS, without white space
    "aws:iam/policy:Policy": 6_144,
    "aws:iam/rolePolicy:RolePolicy": 10_240,
    "aws:iam/role:Role": 2_048,
    "aws:kms/key:Key": 32_768,
}


@pytest.fixture(scope="module")
def previews() -> dict[str, Preview]:
    return {name: preview_of(name, spec) for name, spec in PROGRAMS.items()}


@pytest.fixture(params=sorted(PROGRAMS))
def preview(request: pytest.FixtureRequest, previews: dict[str, Preview]) -> Preview:
    return previews[request.param]


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def documents(preview: Preview) -> Iterator[tuple[Registration, Any]]:
    for one in preview.resources:
        for name in DOCUMENTS:
            if name in one.inputs:
                yield one, one.inputs[name]


def test_every_physical_name_is_explicit(preview: Preview) -> None:
    for one in preview.resources:
        assert one.type in NAMED or one.type in NAMELESS, one.type
        if one.type in NAMED:
            name = one.inputs.get(NAMED[one.type])
            assert name, one.urn
            assert not unknown_paths(name), one.urn
        assert not {"namePrefix", "bucketPrefix", "identifierPrefix"} & one.inputs.keys(), one.urn


def test_names_carry_the_deployment(preview: Preview, request: pytest.FixtureRequest) -> None:
    short = PROGRAMS[request.node.callspec.params["preview"]]["owner"]["short"]
    inside_something_named = {"aws:iam/rolePolicy:RolePolicy"}
    for one in preview.resources:
        if one.type in NAMED.keys() - inside_something_named:
            assert short in one.inputs[NAMED[one.type]], one.urn


def test_everything_taggable_says_its_name_and_how_sensitive_it_is(preview: Preview) -> None:
    for one in preview.resources:
        if one.type in TAGLESS:
            assert "tags" not in one.inputs
            continue
        tags = one.inputs["tags"]
        assert tags.keys() == {"Name", "tenantplane:data-class"}, one.urn
        assert tags["tenantplane:data-class"] in ("customer", "secret", "operational", "none")


def test_the_provider_adds_the_tags_of_the_deployment(preview: Preview) -> None:
    (provider,) = preview.of("pulumi:providers:aws")
    tags = json.loads(provider.inputs["defaultTags"])["tags"]
    assert {f"tenantplane:{name}" for name in ("tenant", "mode", "environment", "deployment")} < (
        tags.keys()
    )


def test_everything_is_made_by_the_one_provider(preview: Preview) -> None:
    (provider,) = preview.of("pulumi:providers:aws")
    for one in preview.resources:
        assert one.provider.startswith(f"{provider.urn}::"), one.urn


def test_exactly_what_holds_data_is_protected(preview: Preview) -> None:
    for one in preview.resources:
        assert one.protect == (one.type in STATEFUL), one.urn


def test_policy_documents_are_known_before_anything_exists(preview: Preview) -> None:
    found = list(documents(preview))
    assert found
    for one, text in found:
        assert UNKNOWN not in json.dumps(text), one.urn
        parsed = json.loads(text)
        assert parsed["Version"] == "2012-10-17"
        for statement in parsed["Statement"]:
            assert statement["Effect"] in ("Allow", "Deny")
            assert statement["Action"]


def test_no_role_may_do_everything_or_reach_everything(preview: Preview) -> None:
    for one in preview.of("aws:iam/rolePolicy:RolePolicy"):
        for statement in json.loads(one.inputs["policy"])["Statement"]:
            assert statement["Effect"] == "Allow"
            assert "*" not in "".join(statement["Action"]), one.urn
            assert "*" not in listed(statement["Resource"]), one.urn


def test_every_role_has_a_ceiling(preview: Preview) -> None:
    for one in preview.of("aws:iam/role:Role"):
        assert re.fullmatch(
            r"arn:aws:iam::\d{12}:policy/.+-boundary", one.inputs["permissionsBoundary"]
        )


def test_rules_of_security_groups_are_resources_of_their_own(preview: Preview) -> None:
    for type_ in (
        "aws:ec2/securityGroup:SecurityGroup",
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
    ):
        for one in preview.of(type_):
            assert not {"ingress", "egress"} & one.inputs.keys(), one.urn


def test_logical_names_are_the_same_for_every_tenant(preview: Preview) -> None:
    for spec in PROGRAMS.values():
        for one in preview.registrations:
            assert spec["owner"]["tenant"] not in one.name
            assert spec["owner"]["short"] not in one.name


def test_components_are_named_by_their_folder(preview: Preview) -> None:
    components = [one for one in preview.registrations if not one.custom]
    assert components
    for one in components:
        assert re.fullmatch(r"tenantplane:(components|mode_a|mode_b):[A-Z]\w+", one.type)
    known = {one.urn for one in components}
    for one in preview.resources:
        assert one.parent in known, f"{one.urn} belongs to no component"


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_two_previews_of_one_spec_are_equal(name: str, previews: dict[str, Preview]) -> None:
    again = preview_of(name, PROGRAMS[name])
    assert again.registrations == previews[name].registrations
    assert again.outputs == previews[name].outputs


def test_a_dedicated_hub_has_thirty_resources_that_matter(previews: dict[str, Preview]) -> None:
    resources = previews["mode_b"].resources
    lesser = RULES | {"aws:ec2/routeTableAssociation:RouteTableAssociation"}
    assert len([one for one in resources if one.type not in lesser]) >= 30
    types = {one.type for one in resources}
    assert types >= STATEFUL | {
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        "aws:ec2/flowLog:FlowLog",
        "aws:rds/subnetGroup:SubnetGroup",
        "aws:iam/policy:Policy",
    }


def test_the_hub_exports_exactly_what_a_slice_pins(previews: dict[str, Preview]) -> None:
    outputs = previews["mode_a.hub"].outputs
    assert outputs.keys() == HubOutputs.model_fields.keys()
    assert outputs["data_bucket"] == sample_specs.hub_outputs()["data_bucket"]
    assert outputs["boundary_arn"] == sample_specs.hub_outputs()["boundary_arn"]
    assert outputs["log_group_prefix"] == sample_specs.hub_outputs()["log_group_prefix"]


def test_every_output_of_a_tenant_is_described(previews: dict[str, Preview]) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    section = text.partition("| output | modes |")[2].partition("\n## ")[0]
    described: dict[str, set[str]] = {"A": set(), "B": set(), "B after an upgrade": set()}
    for row in section.splitlines()[2:]:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        for mode in cells[1].split(", ") if len(cells) > 1 else ():
            described[mode] |= set(re.findall(r"`(\w+)`", cells[0]))
    assert described["A"] == previews["mode_a.slice"].outputs.keys()
    assert described["B"] == previews["mode_b"].outputs.keys()


def test_a_slice_exports_what_its_application_needs(previews: dict[str, Preview]) -> None:
    outputs = previews["mode_a.slice"].outputs
    assert outputs["data_prefix"] == "tenants/acme-a1b2c3/"
    assert outputs["secret_names"] == {
        what: f"acme-a1b2c3/{what}" for what in ("app", "idp", "llm")
    }
    written = {
        one.inputs["name"].rsplit("/", 1)[1]: one.inputs["insecureValue"]
        for one in previews["mode_a.slice"].of("aws:ssm/parameter:Parameter")
    }
    assert written["data-prefix"] == outputs["data_prefix"]
    assert written["table"] == outputs["table_name"]


def test_two_slices_share_no_physical_name(previews: dict[str, Preview]) -> None:
    spec = sample_specs.slice_of(sample_specs.hub_outputs(), "zenith", "zenith-d4e5f6")

    def names(preview: Preview) -> set[str]:
        return {
            one.inputs[NAMED[one.type]]
            for one in preview.resources
            if one.type in NAMED and one.type != "aws:iam/rolePolicy:RolePolicy"
        }

    assert not names(previews["mode_a.slice"]) & names(preview_of("mode_a.slice", spec))


def test_the_longest_prefix_keeps_names_and_policies_within_the_limits_of_aws() -> None:
    longest = "a" * 25 + "-" + "b" * 6
    limits = {"aws:s3/bucket:Bucket": 63, "aws:rds/instance:Instance": 63, "aws:iam/role:Role": 64}
    for name, spec in PROGRAMS.items():
        changed = spec | {"owner": spec["owner"] | {"short": longest}}
        preview = preview_of(name, changed)
        for one in preview.resources:
            if one.type in limits:
                assert len(one.inputs[NAMED[one.type]]) <= limits[one.type], one.urn
        for one, text in documents(preview):
            assert len(text) <= CHARACTERS_AT_MOST.get(one.type, 20_480), one.urn


@pytest.mark.parametrize(
    ("cidr", "subnets"),
    [
        ("10.80.0.0/16", ["10.80.0.0/20", "10.80.16.0/20", "10.80.32.0/20"]),
        ("10.80.0.0/20", ["10.80.0.0/22", "10.80.4.0/22", "10.80.8.0/22"]),
    ],
)
def test_a_subnet_per_zone_is_cut_from_the_network(cidr: str, subnets: list[str]) -> None:
    spec = sample_specs.dedicated()
    preview = preview_of("mode_b", spec | {"network": spec["network"] | {"cidr": cidr}})
    cut = {
        one.inputs["availabilityZone"]: one.inputs["cidrBlock"]
        for one in preview.of("aws:ec2/subnet:Subnet")
    }
    assert cut == dict(zip(spec["network"]["zones"], subnets, strict=True))


@pytest.mark.parametrize(
    ("part", "value", "sentence"),
    [
        ("cidr", "10.80.0.0/24", "from /16 to /22"),
        ("cidr", "10.80.0.1/16", "host bits"),
        ("zones", ["us-east-1a", "us-east-1b"], "zones of eu-west-1"),
        ("zones", ["eu-west-1a", "eu-west-1a"], "different"),
        ("client_cidrs", ["0.0.0.0/0"], "/8 or narrower"),
    ],
)
def test_a_network_that_cannot_be_is_refused_before_anything_is_registered(
    part: str, value: object, sentence: str
) -> None:
    spec = sample_specs.hub()
    spec["network"] = spec["network"] | {part: value}
    with pytest.raises(ValidationError, match=sentence):
        preview_of("mode_a.hub", spec)


@pytest.mark.requirement("K-033")
def test_networks_of_clients_are_let_in_and_no_other() -> None:
    spec = sample_specs.dedicated()
    spec["network"] = spec["network"] | {"client_cidrs": ["10.20.0.0/16", "192.0.2.0/24"]}
    rules = preview_of("mode_b", spec).of(
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    )
    let_in = [rule.inputs for rule in rules if rule.inputs.get("cidrIpv4")]
    assert {each["cidrIpv4"] for each in let_in} == {"10.20.0.0/16", "192.0.2.0/24"}
    assert {(each["fromPort"], each["toPort"]) for each in let_in} == {(443, 443)}


@pytest.mark.parametrize("short", ["two--hyphens", "-first", "last-", "Upper", "a" * 33, "ab"])
def test_a_prefix_that_some_name_could_not_have_is_refused(short: str) -> None:
    spec = sample_specs.dedicated()
    spec["owner"] = spec["owner"] | {"short": short}
    with pytest.raises(ValidationError, match="short"):
        preview_of("mode_b", spec)


def test_log_lines_are_kept_for_a_period_that_aws_offers() -> None:
    spec = sample_specs.dedicated(retention={"log_days": 31})
    with pytest.raises(ValidationError, match="log_days"):
        preview_of("mode_b", spec)


def test_a_slice_loads_no_more_of_the_sdk_than_it_uses() -> None:
    """The time from request to ready begins with these imports."""
    program = (
        "import sys; from tests.stacks.registrations import preview_of;"
        "from tests.stacks.sample_specs import PROGRAMS;"
        "preview_of('mode_a.slice', PROGRAMS['mode_a.slice']);"
        "print(*(name for name in sys.modules if name.count('.') == 2))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    loaded = {name.split(".")[1] for name in ran.stdout.split() if name.startswith("pulumi_aws.")}
    assert loaded == {"cloudwatch", "iam", "kms", "secretsmanager", "ssm"}
