"""The shipped rules documents are valid and agree; wrong ones are refused clearly."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
import yaml
from moto import mock_aws

from control_plane.adapters.rules.documents import read_document
from control_plane.adapters.rules.loader import load_policy_parameters, load_rules
from control_plane.adapters.rules.policies import RulePolicies
from control_plane.domain.deployment import DeploymentKind
from control_plane.domain.engine import PlannedResource
from control_plane.domain.errors import InvalidInput, SettingInvalid, UnknownRegion
from control_plane.domain.evaluation import Evaluation
from control_plane.domain.facts import Facts, Subscription
from control_plane.domain.mode import resolve
from control_plane.domain.risk import RiskKind
from control_plane.domain.run import RunKind
from control_plane.domain.sizing import Sizing
from control_plane.ports.stores import Policies, PolicyScope
from policies.model import Enforcement
from policies.rules import RULES
from tests.unit.policies.policy_scenarios import FORMS, Thing, pulumi_plan, terraform_plan

FOLDER = Path(__file__).parents[2] / "rules"
NAMES = (
    "approval_rules", "calendars", "intake", "messages", "mode_rules", "onboarding",
    "policy_parameters", "regions", "slug_rules", "systems", "team", "versions",
)  # fmt: skip
SCOPE = PolicyScope(
    region="eu-west-1",
    account_id="123456789012",
    zone="eu",
    strict=False,
    mode="A",
    tenant="x",
    deployment="x",
    environment="x",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(FOLDER, tmp_path / "rules")
    return tmp_path / "rules"


def change(folder: Path, name: str, old: str, new: str) -> None:
    file = folder / f"{name}.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text, "the test would change nothing"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def load_all(folder: Path) -> None:
    load_policy_parameters(folder, load_rules(folder).regions)


# --- the shipped documents -------------------------------------------------------------------
def test_every_document_has_a_schema_and_the_other_way_round():
    assert {file.stem for file in FOLDER.glob("*.yaml")} == set(NAMES)
    schemas = {file.name.split(".")[0] for file in (FOLDER / "schemas").glob("*.json")}
    assert schemas == {*NAMES, "playbook", "template"}  # those of every document in folders


def test_the_mode_rules_are_m1_to_m11():
    assert [rule.id for rule in load_rules(FOLDER).mode.rules] == [f"M{n}" for n in range(1, 12)]


def test_every_region_that_the_aws_sdk_knows_is_in_a_zone():
    regions = load_rules(FOLDER).regions
    session = botocore.session.get_session()
    for partition in ("aws", "aws-cn", "aws-us-gov", "aws-eusc"):
        for name in session.get_available_regions("ec2", partition_name=partition):
            assert regions.zone_of(name).partition == partition, name


def test_every_region_of_the_standard_partition_has_policy_parameters():
    regions = load_rules(FOLDER).regions
    parameters = load_policy_parameters(FOLDER, regions)
    for zone in regions.zones.values():
        if zone.partition == "aws":
            assert set(parameters.allowed_regions[zone.name]) == set(zone.regions)


def test_every_policy_rule_has_its_enforcement():
    parameters = load_policy_parameters(FOLDER, load_rules(FOLDER).regions)
    assert set(parameters.common.enforcement) == {rule.id for rule in RULES}
    assert set(parameters.common.enforcement.values()) == {Enforcement.MANDATORY}


@pytest.mark.parametrize("run", [RunKind.PROVISION, RunKind.UPDATE, RunKind.DESTROY])
@pytest.mark.parametrize("deployment", [DeploymentKind.DEDICATED, DeploymentKind.HUB])
def test_mode_b_and_hubs_need_an_approval(deployment, run):
    terms = load_rules(FOLDER).approvals.terms(deployment, run)
    assert terms.needed == (2 if run is RunKind.DESTROY else 1)
    assert terms.roles == ("ops_approver",)
    assert terms.expires_after == timedelta(hours=72)


@pytest.mark.parametrize("run", [RunKind.PROVISION, RunKind.UPDATE])
def test_mode_a_goes_on_at_once_unless_its_plan_raises_a_risk(run):
    approvals = load_rules(FOLDER).approvals
    assert approvals.terms(DeploymentKind.SLICE, run).needed == 0
    for kind in RiskKind:
        needed = approvals.terms(DeploymentKind.SLICE, run, {kind}).needed
        assert needed == (0 if kind is RiskKind.REPLACEMENT else 1), kind


def test_a_slice_is_destroyed_only_by_decision():
    approvals = load_rules(FOLDER).approvals
    assert approvals.always_asks(DeploymentKind.SLICE, RunKind.DESTROY)


@pytest.mark.parametrize("deployment", list(DeploymentKind))
def test_a_run_that_no_rule_names_needs_a_decision(deployment):
    terms = load_rules(FOLDER).approvals.terms(deployment, RunKind.REFRESH)
    assert terms.rule.id == "unnamed"
    assert terms.needed == 1


def test_a_comment_does_not_change_a_digest_and_a_value_does(folder):
    before = load_rules(folder).mode.digest
    change(folder, "mode_rules", "# Which", "# Surely which")
    assert load_rules(folder).mode.digest == before
    change(folder, "mode_rules", "at_least: 200", "at_least: 201")
    assert load_rules(folder).mode.digest != before


# --- other documents -------------------------------------------------------------------------
def test_a_company_may_allow_shared_hubs_under_a_strict_residency(folder):
    document = yaml.safe_load((folder / "mode_rules.yaml").read_text("utf-8"))
    document["rules"] = [rule for rule in document["rules"] if rule["id"] != "M6"]
    (folder / "mode_rules.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    facts = Facts.from_document(
        {"subscription": "enterprise", "residency": {"zone": "eu", "strict": True}}
    )
    assert resolve(facts, load_rules(FOLDER).mode).mode == "B"
    assert resolve(facts, load_rules(folder).mode).mode == "A"


def test_a_threshold_is_data(folder):
    change(folder, "mode_rules", "at_least: 200", "at_least: 10")
    facts = Facts(subscription=Subscription.STANDARD, seats=10)
    assert resolve(facts, load_rules(folder).mode).mode == "B"


def test_every_form_of_condition_is_understood(folder):
    change(
        folder,
        "mode_rules",
        "when: {fact: customer_managed_key, is: true}",
        "when: {all: [{fact: cloud, in: [aws, azure]}, {any: [{fact: seats, at_least: 7}, "
        "{fact: segment, not_in_list: regulated_sectors}, "
        "{fact: current_mode, mode_above: A}]}]}",
    )
    rules = load_rules(folder).mode

    def fires(**stated):
        facts = Facts(subscription=Subscription.STANDARD, **stated)
        return "M4" in {each.rule for each in resolve(facts, rules).fired}

    assert not fires()
    assert not fires(cloud="aws")
    assert not fires(cloud="gcp", seats=7)
    assert fires(cloud="AWS", seats=7)
    assert fires(cloud="azure", segment="small")
    assert not fires(cloud="azure", segment="banking")


# --- wrong documents -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "old", "new", "where", "what"),
    [
        ("mode_rules", "min_mode: C", "min_mode: D", "rules.0.clauses.0.then", "D"),
        ("mode_rules", "is: true", "is: true, extra: 1", "rules.0.clauses.0.when", "extra"),
        ("mode_rules", "fact: seats", "fact: __class__", "rules.7.clauses.0.when", "__class__"),
        ("mode_rules", "in_list: regulated_sectors", "in_list: nothing", "in_list", "unknown list"),
        ("mode_rules", "- id: M2", "- id: M1", "rules.1.id", "M1 is the id of another rule"),
        ("mode_rules", "at_least: 200", "at_least: many", "rules.7.clauses.0.when", "many"),
        (
            "mode_rules",
            "when: {fact: customer_managed_key, is: true}",
            "when: {fact: candidate_mode, mode_above: A}",
            "rules.3.clauses.0.when",
            "candidate_mode is known only when",
        ),
        ("mode_rules", "title: Size", "title: Size\n    title: Big", "line", "duplicated"),
        ("mode_rules", "rules:\n", "rules: [\n", "line", ""),
        ("mode_rules", 'next_review: "2027-06-30"', 'next_review: "soon"', "document", "soon"),
        *(
            (name, "status: active", f"status: {status}", "document.status", f"is {status} is not")
            for name in NAMES
            for status in ("draft", "retired")
        ),
        ("regions", "regions: [eu-west-2]", "regions: [eu-west-1]", "zones.uk.regions", "zone eu"),
        (
            "regions",
            "offered: [eu-west-2]",
            "offered: [eu-west-1]",
            "zones.uk.offered",
            "not a region of the zone",
        ),
        ("regions", "default_region: eu-west-1", "default_region: sa-east-1", "default_region",
         "not offered"),
        ("regions", "default_region: eu-west-1", "default_region: eu-west-9", "default_region",
         "not offered"),
        ("regions", "regions: [eu-west-2]", "regions: [London]", "zones.uk.regions", "London"),
        ("approval_rules", "runs: [provision, update]", "runs: [dance]", "rules.0.runs", "dance"),
        ("approval_rules", "hours: 72", "hours: 0", "expires_after_hours", "0"),
        ("approval_rules", "- id: hub", "- id: dedicated", "rules.1.id", "another rule"),
        ("slug_rules", "reserved: [www", "reserved: [WWW", "reserved.0", "WWW"),
        ("policy_parameters", "uk: [eu-west-2]", "uk: [eu-west-1]", "allowed_regions.uk",
         "eu-west-1"),
        ("policy_parameters", "uk: [eu-west-2]", "uk: [eu-west-9]", "allowed_regions.uk",
         "eu-west-9"),
        ("policy_parameters", "missing_tags: mandatory", "missing_tag: mandatory",
         "enforcement.missing_tag", "unknown policy rule"),
        ("policy_parameters", "missing_tags: mandatory", "missing_tags: off",
         "enforcement.missing_tags", ""),
        ("policy_parameters", "encryption: {}", "encryption: {aws_vpc: provider_key}",
         "encryption.aws_vpc", "aws_vpc is not a type that can be encrypted"),
        ("policy_parameters", "encryption: {}", "encryption: {aws_db: provider_key}",
         "encryption.aws_db", "aws_db is not a type that can be encrypted"),
        ("policy_parameters", "ipv4: 8", "ipv4: 0", "widest_ingress_prefix.ipv4", "0"),
    ],
)  # fmt: skip
def test_a_wrong_document_is_refused_in_one_sentence_with_file_and_path(
    folder, name, old, new, where, what
):
    change(folder, name, old, new)
    with pytest.raises(SettingInvalid) as caught:
        load_all(folder)
    message = caught.value.message
    assert f"{name}.yaml" in message
    assert where in message
    assert what in message
    assert message.endswith("correct the file or set TENANTPLANE_RULES_FOLDER.")
    assert "\n" not in message
    assert str(folder) not in message


def test_a_missing_folder_or_document_is_named(folder, tmp_path):
    with pytest.raises(SettingInvalid, match="TENANTPLANE_RULES_FOLDER"):
        load_rules(tmp_path / "nothing")
    (folder / "slug_rules.yaml").unlink()
    with pytest.raises(SettingInvalid, match=r"slug_rules\.yaml"):
        load_rules(folder)


def test_a_document_that_is_no_text_is_refused(folder):
    (folder / "regions.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingInvalid, match=r"regions\.yaml"):
        read_document(folder, "regions")


def test_yaml_makes_no_objects(folder):
    change(
        folder, "regions", "default_region: eu-west-1", "default_region: !!python/name:os.system"
    )
    with pytest.raises(SettingInvalid, match=r"regions\.yaml"):
        read_document(folder, "regions")


# --- the policies of an installation ---------------------------------------------------------
@cache
def shipped() -> RulePolicies:
    return RulePolicies(load_policy_parameters(FOLDER, load_rules(FOLDER).regions))


def test_the_policies_answer_their_port():
    policies: Policies = shipped()
    answer = policies.evaluate_plan([], SCOPE)
    assert answer.ok
    assert answer.rules == tuple(rule.id for rule in RULES)
    assert policies.evaluate_state([], SCOPE).ok
    assert policies.digest().startswith("sha256:")


def test_the_digest_of_the_policies_follows_the_parameters(folder):
    change(folder, "policy_parameters", "log_retention_days_min: 30", "log_retention_days_min: 31")
    changed = RulePolicies(load_policy_parameters(folder, load_rules(folder).regions))
    assert changed.digest() != shipped().digest()
    assert shipped().digest() == shipped().digest()


def vpc(region: str, mode: str = "A"):
    provider = "urn:pulumi:s::p::pulumi:providers:aws::cloud"
    keys = ("tenant", "environment", "deployment", "data-class", "managed-by")
    tags = {f"tenantplane:{key}": "x" for key in keys} | {"tenantplane:mode": mode}
    return [
        {"urn": provider, "type": "pulumi:providers:aws", "name": "cloud", "operation": "create",
         "inputs": {"region": region}},
        {"urn": "urn:vpc", "type": "aws:ec2/vpc:Vpc", "name": "v", "operation": "create",
         "provider": f"{provider}::id", "inputs": {"cidrBlock": "10.0.0.0/16", "tags": tags}},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("region", "scope", "ok"),
    [
        ("eu-west-1", {"zone": "eu", "strict": True}, True),
        ("eu-central-1", {"zone": "eu", "strict": True}, False),
        ("eu-central-1", {"zone": "eu"}, True),
        ("us-east-1", {"zone": "eu"}, False),
        ("eu-central-1", {"zone": None}, True),  # the zone of the deployment's own region
        ("us-east-1", {"zone": None}, False),
    ],
)
def test_the_scope_says_where_a_plan_may_go(region, scope, ok):
    answer = shipped().evaluate_plan(typed(vpc(region)), replace(SCOPE, **scope))
    assert answer.ok is ok


def test_a_plan_of_another_mode_is_refused():
    answer = shipped().evaluate_plan(typed(vpc("eu-west-1", mode="B")), SCOPE)
    assert [each.path for each in answer.violations] == ["tags.tenantplane:mode"]


TAGS = {
    "tenantplane:tenant": "acme", "tenantplane:deployment": "dep_1",
    "tenantplane:environment": "production", "tenantplane:mode": "A",
    "tenantplane:data-class": "none", "tenantplane:managed-by": "tenantplane",
}  # fmt: skip


def typed(entries: list[dict[str, Any]]) -> list[PlannedResource]:
    """Return entries as the engine's answer has them, existing ones with outputs."""
    return [PlannedResource.from_document(each | {"outputs": each["inputs"]}) for each in entries]


OWNER = replace(SCOPE, tenant="acme", deployment="dep_1", environment="production")


def judged(form: str, tags: dict[str, str], scope: PolicyScope) -> Evaluation:
    """Judge a network with these tags as a Pulumi plan, a state or a Terraform plan."""
    things = [Thing("aws_vpc", "v", {"cidr_block": "10.0.0.0/16"}, tags=None)]
    if form == "terraform":
        plan = terraform_plan(things, region=scope.region, default_tags=tags)
        return shipped().evaluate_terraform(plan, scope)
    entries = pulumi_plan(things, region=scope.region, default_tags=tags)
    if form == "pulumi":
        return shipped().evaluate_plan(typed(entries), scope)
    return shipped().evaluate_state(typed(entries), scope)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tag", ["tenant", "deployment", "environment", "mode"])
def test_the_tags_of_another_owner_are_refused(form, tag):
    assert judged(form, TAGS, OWNER).ok
    answer = judged(form, TAGS | {f"tenantplane:{tag}": "other"}, OWNER)
    assert not answer.ok
    assert [each.path for each in answer.mandatory] == [f"tags.tenantplane:{tag}"]


@pytest.mark.requirement("J-045")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("zone", "strict", "region", "ok"),
    [
        ("eu", True, "eu-west-1", True),
        ("eu", True, "eu-central-1", False),
        ("eu", False, "eu-central-1", True),
        ("us", False, "eu-central-1", False),
    ],
)
def test_zone_and_strictness_bind_every_form_of_plan(form, zone, strict, region, ok):
    things = [Thing("aws_subnet", "s", {"availability_zone": f"{region}a"}, tags=None)]
    scope = replace(OWNER, zone=zone, strict=strict)
    if zone == "us":
        scope = replace(scope, region="us-east-1")
    if form == "terraform":
        plan = terraform_plan(things, region=scope.region, default_tags=TAGS)
        assert shipped().evaluate_terraform(plan, scope).ok is ok
    else:
        entries = typed(pulumi_plan(things, region=scope.region, default_tags=TAGS))
        judge = shipped().evaluate_plan if form == "pulumi" else shipped().evaluate_state
        assert judge(entries, scope).ok is ok


def test_a_region_that_no_parameter_allows_is_refused():
    with pytest.raises(InvalidInput, match="allow no region"):
        shipped().evaluate_plan([], replace(SCOPE, zone="cn", region="cn-north-1"))
    with pytest.raises(InvalidInput, match="allow no region"):
        shipped().evaluate_plan([], replace(SCOPE, zone="us", strict=True))


# --- availability zones ----------------------------------------------------------------------
def _zones_of_the_emulated_cloud(session: boto3.Session, region: str) -> set[str]:
    found = session.client("ec2", region_name=region).describe_availability_zones()[
        "AvailabilityZones"
    ]
    return {zone["ZoneName"] for zone in found if zone["ZoneType"] == "availability-zone"}


def test_the_zones_that_a_hub_takes_exist_in_every_region() -> None:
    regions = load_rules(FOLDER).regions
    assert len(regions.letters) > 35
    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x")
    with mock_aws():
        known = {r: _zones_of_the_emulated_cloud(session, r) for r in regions.letters}
    for region, zones in known.items():
        named = regions.availability_zones(region)
        assert set(named[:2]) <= zones, region
        assert zones <= set(named), region


def test_a_region_that_can_be_built_in_has_zones(folder: Path) -> None:
    change(folder, "regions", "  ap-northeast-1: acd\n", "")
    with pytest.raises(SettingInvalid, match="ap-northeast-1 is missing"):
        load_all(folder)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("  ap-northeast-1: acd\n", "  ap-northeast-1: aa\n", "names a zone twice"),
        ("  ap-northeast-1: acd\n", "  ap-northeast-1: acd\n  xx-north-1: ab\n", "not in any zone"),
    ],
)
def test_zones_that_mean_nothing_are_refused(
    folder: Path, old: str, new: str, sentence: str
) -> None:
    change(folder, "regions", old, new)
    with pytest.raises(SettingInvalid, match=sentence):
        load_all(folder)


def test_zones_of_an_unknown_region_are_a_sentence() -> None:
    with pytest.raises(UnknownRegion, match="eusc-de-east-1"):
        load_rules(FOLDER).regions.availability_zones("eusc-de-east-1")


# --- reviews and ends ------------------------------------------------------------------------
@pytest.mark.requirement("F-095")
def test_a_document_is_due_the_day_after_its_review() -> None:
    rules = load_rules(FOLDER)
    files = {file.relative_to(FOLDER).as_posix() for file in FOLDER.rglob("*.yaml")}
    assert set(rules.reviews) == files
    first = min(rules.reviews.values())
    assert rules.overdue(first) == ()
    due = rules.overdue(first + timedelta(days=1))
    assert due
    assert all("was due for review on" in sentence for sentence in due)
    assert len(rules.overdue(max(rules.reviews.values()) + timedelta(days=1))) == len(files)


def test_the_default_version_of_the_database_is_one_of_the_document() -> None:
    rules = load_rules(FOLDER)
    version = Sizing().engine_version
    assert version in rules.versions.postgres
    assert rules.versions.warnings({"database": {"engine_version": "15"}}, date(2027, 1, 1))
    inputs = {"database": {"engine_version": version}}
    assert rules.versions.warnings(inputs, date(2027, 1, 1)) == ()
