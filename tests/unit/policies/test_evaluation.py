from __future__ import annotations

import shutil
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import policies
from policies.code_digest import rules_code_digest
from policies.evaluation import evaluate
from policies.model import Enforcement, Operation, Resource, Stage
from policies.pulumi_plan import resources_from_plan
from policies.rules import RULES
from policies.state import resources_from_state
from tests.unit.policies.policy_scenarios import (
    FORMS,
    PARAMETERS,
    TAGS,
    Thing,
    Unknown,
    bucket,
    database,
    judged,
    key,
    log_group,
    pulumi_plan,
    resources,
    role,
    secret,
    table,
    whole_bucket,
)

SOUND = [*whole_bucket(), database(), table(), log_group(), secret(), key(), role()]
WRONG = [
    bucket("open", "acme-open"),
    database(publicly_accessible=True),
    role(permissions_boundary=""),
]
POOL = [*SOUND, *WRONG]


@pytest.mark.parametrize("form", FORMS)
def test_a_sound_stack_passes_every_rule(form):
    evaluation = judged(form, SOUND)
    assert evaluation.passed
    assert evaluation.violations == ()
    assert evaluation.rules == tuple(rule.id for rule in RULES)
    assert evaluation.judged == len(SOUND)


def test_every_violation_names_rule_resource_reason_and_remedy():
    for violation in judged("pulumi", WRONG).violations:
        assert all(getattr(violation, name) for name in ("rule", "address", "reason", "remedy"))


@given(st.permutations(POOL))
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_resources_does_not_matter(order):
    assert judged("pulumi", order) == judged("pulumi", POOL)


@given(st.lists(st.sampled_from(WRONG), unique_by=lambda thing: thing.address))
@settings(max_examples=20, deadline=None)
def test_what_is_wrong_alone_is_wrong_in_company(chosen):
    alone = {v for thing in chosen for v in judged("pulumi", [thing]).violations}
    assert alone <= set(judged("pulumi", [*chosen, *SOUND]).violations)


def test_violations_are_sorted_and_named_once():
    violations = judged("pulumi", POOL).violations
    keys = [(v.address, v.rule, v.path, v.reason) for v in violations]
    assert keys == sorted(set(keys))


def test_an_advisory_rule_ends_no_run():
    relaxed = replace(PARAMETERS, enforcement={"missing_boundary": Enforcement.ADVISORY})
    evaluation = judged("pulumi", [role(permissions_boundary="")], relaxed)
    assert evaluation.passed
    assert [v.enforcement for v in evaluation.violations] == [Enforcement.ADVISORY]


def test_a_rule_that_the_parameters_do_not_name_is_mandatory():
    silent = replace(PARAMETERS, enforcement={}, unknown_values={})
    assert not judged("pulumi", [role(permissions_boundary="")], silent).passed


@pytest.mark.parametrize("form", ["pulumi", "terraform"])
def test_what_is_deleted_is_not_judged_and_what_is_replaced_is(form):
    gone = replace(database(publicly_accessible=True), operation="delete")
    again = replace(database(publicly_accessible=True), operation="replace")
    assert judged(form, [gone]).judged == 0
    assert not judged(form, [again]).passed


def test_the_digest_of_the_parameters_follows_every_parameter():
    changes = {
        "allowed_regions": ("eu-west-1",),
        "tag_values": {"a": "b"},
        "account_id": "111122223333",
        "slice_short": "acme-a1b2c3",
        "unprotected": ("key.data",),
        "required_tags": ("a",),
        "forbidden_tags": (),
        "log_retention_days_min": 31,
        "encryption": {"aws_s3_bucket": "provider_key"},
        "access_log_bucket_encryption": "customer_key",
        "widest_ingress_prefix": {"ipv4": 16, "ipv6": 32},
        "internet_egress": "nat",
        "enforcement": {"residency": Enforcement.ADVISORY},
        "unknown_values": {},
    }
    assert set(changes) == {field.name for field in fields(PARAMETERS)}
    digests = {replace(PARAMETERS, **{name: value}).digest for name, value in changes.items()}
    assert len(digests | {PARAMETERS.digest}) == len(changes) + 1
    assert replace(PARAMETERS).digest == PARAMETERS.digest


def test_the_digest_of_the_rules_is_stable_and_stored_with_the_evaluation():
    assert rules_code_digest() == rules_code_digest()
    assert rules_code_digest().startswith("sha256:")
    evaluation = evaluate([], PARAMETERS, rules_digest=rules_code_digest())
    assert evaluation.rules_digest == rules_code_digest()


def test_an_operation_that_nobody_knows_is_refused():
    entry = {"urn": "u", "type": "aws:ec2/vpc:Vpc", "name": "v", "operation": "levitate"}
    with pytest.raises(ValueError, match="levitate"):
        resources_from_plan([entry])


@pytest.mark.parametrize(
    ("op", "operation"),
    [
        ("create-replacement", Operation.REPLACE),
        ("delete-replaced", Operation.DELETE),
        ("import", Operation.CREATE),
        ("read", Operation.READ),
        ("same", Operation.SAME),
    ],
)
def test_the_engine_s_operations_are_understood(op, operation):
    entry = {"urn": "u", "type": "aws:ec2/vpc:Vpc", "name": "v", "operation": op}
    assert resources_from_plan([entry])[0].operation is operation


def test_a_list_of_one_block_counts_as_that_block():
    inputs = {"a": [{"b": [{"c": 1}]}], "d": {"b": {"c": 2}}, "e": [{"c": 3}, {"c": 4}]}
    resource = Resource(address="x", kind="k", inputs=inputs)
    assert resource.value("a.b.c") == 1
    assert resource.value("d.b.c") == 2
    assert resource.value("e.c") is None
    assert resource.value("nothing.at.all") is None


def test_names_and_kinds_of_all_forms_agree():
    pulumi, terraform = resources("pulumi", SOUND), resources("terraform", SOUND)
    assert [each.kind for each in pulumi] == [each.kind for each in terraform]
    assert [each.name for each in pulumi] == [each.name for each in terraform]
    assert [each.region for each in pulumi] == [each.region for each in terraform]
    taggable = [index for index, thing in enumerate(SOUND) if thing.is_taggable]
    assert [pulumi[i].tags for i in taggable] == [terraform[i].tags for i in taggable]


def test_a_missing_provider_leaves_the_region_unknown():
    entry = {"urn": "u", "type": "aws:ec2/vpc:Vpc", "name": "v", "operation": "create"}
    assert resources_from_plan([entry])[0].region is None


def test_a_default_provider_is_found_by_its_urn_alone():
    urn = "urn:pulumi:s::p::pulumi:providers:aws::cloud"
    entries = [
        {"urn": urn, "type": "pulumi:providers:aws", "inputs": {"region": "eu-west-1"}},
        {"urn": "u", "type": "aws:ec2/vpc:Vpc", "name": "v", "operation": "create",
         "provider": urn},
    ]  # fmt: skip
    assert resources_from_plan(entries)[0].region == "eu-west-1"


def test_only_what_can_be_told_of_a_thing_is_told():
    assert judged("pulumi", [Thing("aws_vpc", "v", {}, tags=None)]).passed is False


# --- the digest of the rules ------------------------------------------------------------------
@pytest.fixture
def code(tmp_path: Path) -> Path:
    shutil.copytree(Path(policies.__file__).parent, tmp_path / "policies")
    return tmp_path / "policies"


def edited(code: Path, file: str, old: str, new: str) -> str:
    text = (code / file).read_text(encoding="utf-8")
    assert old in text, "the test would change nothing"
    (code / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    return rules_code_digest(code)


# What one Python writes otherwise than the next: fields that are new, f-strings, odd letters.
SYNTAX = r'''
"""Left out."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """Left out."""

    name: str
    width: int = 3

    async def cell(self, *rest: object, key=None, **more: object) -> str:
        """Left out."""
        match rest:
            case [str() as one, *_] if not (one == "it's \u0378"):
                return f"{one!r:<{self.width}}" f"{self.name:>{self.width}}|" "end"
            case _:
                return f"{len(rest)}{key=}" + b"\xff".hex() + str({**more, "a": (1, 2.5, ...)})
'''


def test_the_digest_is_the_same_on_every_python(tmp_path):
    (tmp_path / "syntax.py").write_text(SYNTAX, encoding="utf-8")
    digest = "sha256:3858e2fc58f0fdbdc74859b251678df38ef7da7f168cf88b1a87d003a5a71914"
    assert rules_code_digest(tmp_path) == digest


def test_the_digest_of_a_copy_is_that_of_the_rules(code):
    assert rules_code_digest(code) == rules_code_digest()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("rules/residency.py", "# Words for people", "# Any words for people"),
        ("rules/residency.py", '"""Everything stays', '"""All of it stays'),
        ("rules/residency.py", '    """Yield every place', '    """Give every place'),
        ("rules/residency.py", "\n\n\n", "\n\n\n\n"),
        ("rules/residency.py", '"description", "tags"', '"description",  "tags"'),
        ("confinement.py", '"""What is one slice', '"""What belongs to a slice'),
    ],
)
def test_a_reworded_comment_invalidates_no_approval(code, file, old, new):
    assert edited(code, file, old, new) == rules_code_digest()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("rules/residency.py", '"alarm_description"', '"other_description"'),
        ("rules/public_exposure.py", "block.value(path)", "block.value(path + '')"),
        ("rules/public_exposure.py", "< parameters.widest", "<= parameters.widest"),
        ("catalog.py", 'guard="deletion_protection"', 'guard="iam_protection"'),
        ("rules/isolation.py", 'id="isolation"', 'id="confined"'),
    ],
)
def test_another_constant_or_comparison_is_another_digest(code, file, old, new):
    assert edited(code, file, old, new) != rules_code_digest()


def test_a_rule_under_another_name_is_another_digest(code):
    (code / "rules" / "residency.py").rename(code / "rules" / "places.py")
    assert rules_code_digest(code) != rules_code_digest()


# --- what is not known is said once -----------------------------------------------------------
def test_what_is_not_known_is_one_finding_per_resource_and_one_sentence_per_rule():
    unknown = Unknown()
    things = [
        database(kms_key_id=unknown, master_user_secret_kms_key_id=unknown),
        table(server_side_encryption={"enabled": True, "kms_key_arn": unknown}),
        log_group(kms_key_id=unknown),
        secret(kms_key_id=unknown),
    ]
    found = judged("pulumi", things).violations
    assert len(found) == len(things)
    assert len({(each.rule, each.enforcement, each.reason, each.remedy) for each in found}) == 1
    (of_database,) = [each for each in found if "rds" in each.address]
    assert of_database.path == "kms_key_id, master_user_secret_kms_key_id"


# --- what a failed replacement has left -------------------------------------------------------
def test_what_is_left_of_a_failed_replacement_is_judged_as_long_as_it_exists():
    living, left = database(), database(publicly_accessible=True)
    entries = pulumi_plan([living, left], region="eu-west-1", default_tags=TAGS)
    assert entries[-1]["urn"] == entries[-2]["urn"]
    entries[-1] |= {"operation": "delete", "delete": True}
    state = [each | {"outputs": each["inputs"]} for each in entries]
    found = evaluate(
        resources_from_state(state), PARAMETERS, rules_digest="sha256:0", stage=Stage.STATE
    )
    assert found.judged == 2
    assert [each.rule for each in found.violations] == ["public_exposure"]


def test_the_plan_that_deletes_it_judges_the_living_one_alone():
    living, left = database(publicly_accessible=True), database()
    entries = pulumi_plan([living, left], region="eu-west-1", default_tags=TAGS)
    entries[-2] |= {"operation": "same"}
    entries[-1] |= {"operation": "delete"}
    planned = resources_from_plan(entries)
    assert [each.operation for each in planned] == [Operation.SAME, Operation.DELETE]
    found = evaluate(planned, PARAMETERS, rules_digest="sha256:0")
    assert found.judged == 1
    assert [each.rule for each in found.violations] == ["public_exposure"]
