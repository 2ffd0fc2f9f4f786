"""The onboarding document: complete as shipped, refused with line and reason where it is wrong."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from control_plane.adapters.rules.documents import read_document
from control_plane.adapters.rules.loader import load_rules
from control_plane.adapters.rules.onboarding import parse_onboarding
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.onboarding_answers import examine
from control_plane.domain.onboarding_document import (
    LANGUAGES,
    FaultCode,
    FieldType,
    OnboardingRules,
    StepCheck,
)
from control_plane.domain.onboarding_values import About
from tests.onboarding_answers import COMPANY, ORDER, answers_to

FOLDER = Path(__file__).parents[2] / "rules"
RULES: OnboardingRules = load_rules(FOLDER).onboarding
MODES = ("A", "B", "C")


def test_the_ten_steps_are_in_the_order_of_their_needs():
    assert tuple(each.key for each in RULES.steps) == ORDER
    needs = {each.key: set(each.needs) for each in RULES.steps}
    assert needs["residency_and_legal"] == {"confirm_tenant_and_mode"}
    for key in ORDER[3:8]:
        assert needs[key] == {"residency_and_legal"}
    assert needs["pilot_cohort"] == {"scim"}
    assert needs["review_and_launch"] == set(ORDER[3:9])


def test_a_step_that_is_opened_again_takes_with_it_what_needs_it():
    assert RULES.dependants("residency_and_legal") == ORDER[3:]
    assert RULES.dependants("scim") == ("pilot_cohort", "review_and_launch")
    assert RULES.dependants("review_and_launch") == ()


def test_every_text_is_there_in_every_language():
    for step in RULES.steps:
        fields = [text for each in step.fields for text in (each.label, each.help) if text]
        options = [option.label for each in step.fields for option in each.options]
        for text in (step.title, step.help, *fields, *options):
            assert set(text) == set(LANGUAGES)
    assert set(RULES.faults) == set(FaultCode)
    assert set(RULES.checks) == set(StepCheck)


@pytest.mark.parametrize("mode", MODES)
def test_a_step_has_its_variant_of_a_mode(mode: str) -> None:
    keys = {each.key for each in RULES.by_key["network_and_hub"].variant(mode)}
    assert keys == {
        "A": {"space_confirmed"}, "B": {"networks", "key_choice", "key_arn"},
        "C": {"endpoint", "receipt"},
    }[mode]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("key", ORDER)
def test_the_schema_of_a_step_takes_what_can_be_saved(mode: str, key: str) -> None:
    step = RULES.by_key[key]
    schema = step.schema(mode)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    answers = answers_to(key, mode=mode)
    about = About(
        domain=COMPANY, mode=mode, region="eu-west-1", now=datetime(2026, 11, 23, tzinfo=UTC),
        known_regions=frozenset({"eu-west-1"}),
    )  # fmt: skip
    assert list(validator.iter_errors(answers)) == []
    examined = examine(RULES, step, answers, about)
    assert examined.faults == ()
    assert list(validator.iter_errors(examined.answers)) == []
    for name in answers:  # what the schema refuses the product refuses too
        other = {**answers, name: {"an": "object"}}
        assert list(validator.iter_errors(other))
        faults = [each for each in examine(RULES, step, other, about).faults if each.key == name]
        assert [each.code for each in faults] == [FaultCode.KIND]
    assert list(validator.iter_errors({**answers, "other": 1}))


def test_no_field_asks_for_a_secret() -> None:
    asked = [
        each.key
        for step in RULES.steps
        for each in step.fields
        if each.type is not FieldType.NOTICE
    ]
    assert not [key for key in asked if "secret" in key or "token" in key or "credential" in key]
    told = {each.key for step in RULES.steps for each in step.fields} - set(asked)
    assert {"client_secret", "token", "credential"} <= told


# --- wrong documents ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("needs: [verify_identity]", "needs: [verify_identiti]", "did you mean 'verify_identity'"),
        ("needs: [verify_identity]", "needs: [scim]", "scim has to come before this step"),
        ("  - key: scim\n", "  - key: sso\n", "sso is the key of another step"),
        ("validator: issuer", "validator: isuer", "did you mean 'issuer'"),
        ("checks: [link_redeemed]", "checks: [link_redemed]", "did you mean 'link_redeemed'"),
        ("{field: protocol, is: oidc}", "{field: protokol, is: oidc}", "did you mean 'protocol'"),
        ("{field: protocol, is: oidc}", "{field: protocol, is: odic}", "did you mean 'oidc'"),
        ("one_of: [[metadata,", "one_of: [[metadatum,", "did you mean 'metadata'"),
        ('must_be: "yes"', 'must_be: "yess"', "did you mean 'yes'"),
        ("people: [10, 30]", "people: [31, 30]", "the least is more than the most"),
        ("range: [30, 3650]", "count: [30, 3650]", "a field of the type lines has `count`"),
        ("from {least} to {most}.", "from {lest} to {most}.", "did you mean 'least'"),
        ("from {least} to {most}.", "from {least to {most}.", "has a brace"),
    ],
)  # fmt: skip
def test_a_wrong_document_is_refused_with_line_and_reason(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    folder = tmp_path / "rules"
    shutil.copytree(FOLDER, folder)
    file = folder / "onboarding.yaml"
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(SettingInvalid) as refused:
        parse_onboarding(read_document(folder, "onboarding"))
    assert says in refused.value.message
    assert "(line " in refused.value.message
