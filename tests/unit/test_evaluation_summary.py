from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.domain.canonical import canonical_json
from control_plane.domain.evaluation import Evaluation, Violation

EVENT_BYTES = 60 * 1024
URN = (
    "urn:pulumi:a-rather-long-slug-of-a-tenant.production.b::tenantplane::tenantplane:components:"
    "PrivateNetwork$aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule::"
)


def violation(number: int = 0, **changes: str) -> Violation:
    facts = {
        "rule": ("missing_tags", "residency", "public_exposure")[number % 3],
        "address": f"{URN}rule-{number}",
        "path": "tags",
        "verdict": "violated",
        "enforcement": "mandatory" if number % 5 == 0 else "advisory",
        "reason": "has no tag tenantplane:tenant, tenantplane:mode",
        "remedy": "Add it to the default tags of the provider or to the resource.",
    }
    return Violation(**(facts | changes))


def evaluation(*violations: Violation) -> Evaluation:
    return Evaluation(ok=False, violations=violations, rules=("residency",), digest="sha256:1")


MANY = evaluation(*(violation(number) for number in range(350)))


def test_an_evaluation_is_the_same_after_its_document():
    assert Evaluation.from_document(MANY.to_document()) == MANY
    assert Violation.from_document(violation().to_document()) == violation()


def test_a_document_of_before_paths_and_verdicts_is_read():
    old = violation().to_document()
    del old["path"], old["verdict"]
    assert Violation.from_document(old) == violation(path="", verdict="")


def test_350_violations_fit_into_one_audit_event():
    summary = MANY.summary()
    assert len(canonical_json(summary, closed_keys=True)) <= EVENT_BYTES
    assert len(summary["violations"]) == 50
    assert summary["count"] == 350
    assert summary["rules"] == {"missing_tags": 117, "public_exposure": 116, "residency": 117}
    assert summary["violations_digest"] == MANY.digest_of_violations


def test_what_ends_a_run_is_named_first():
    named = MANY.summary(80)["violations"]
    assert [each["enforcement"] for each in named] == ["mandatory"] * 70 + ["advisory"] * 10
    assert len(MANY.mandatory) == 70


@settings(max_examples=30, deadline=None)
@given(text=st.text(min_size=1), times=st.integers(1, 3000), limit=st.integers(0, 400))
def test_a_summary_never_outgrows_the_event(text, times, limit):
    try:
        text.encode()
    except UnicodeEncodeError:
        text = "x"
    found = replace(
        MANY, violations=tuple(replace(each, address=text * times) for each in MANY.violations)
    )
    assert len(canonical_json(found.summary(limit), closed_keys=True)) <= EVENT_BYTES


def test_the_digest_covers_what_a_summary_leaves_out():
    last = MANY.violations[-1]
    other = replace(MANY, violations=(*MANY.violations[:-1], replace(last, reason="is elsewhere")))
    assert other.summary()["violations"] == MANY.summary()["violations"]
    assert other.digest_of_violations != MANY.digest_of_violations
    assert other.digest_of_violations.startswith("sha256:")


@pytest.mark.parametrize("limit", [0, 1])
def test_the_limit_holds(limit):
    assert len(MANY.summary(limit)["violations"]) == limit
