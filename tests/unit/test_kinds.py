"""Kinds of runs: which one it is, what it needs at least, what its spec binds."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from control_plane.domain.approval_rules import ApprovalRule, ApprovalRules
from control_plane.domain.canonical import digest
from control_plane.domain.deployment import DeploymentKind, Desired, spec_digest
from control_plane.domain.kinds import KINDS, kind_between
from control_plane.domain.risk import Prices
from control_plane.domain.run import CHANGING, LOOK_TRANSITIONS, RUN_TRANSITIONS, RunKind


@pytest.mark.parametrize(
    ("applied", "wanted", "kind"),
    [
        (None, Desired.PRESENT, RunKind.PROVISION),
        (Desired.ABSENT, Desired.PRESENT, RunKind.PROVISION),
        (Desired.PRESENT, Desired.PRESENT, RunKind.UPDATE),
        (Desired.PRESENT, Desired.ABSENT, RunKind.DESTROY),
        (None, Desired.ABSENT, RunKind.DESTROY),  # it was begun, and never verified
        (Desired.ABSENT, Desired.ABSENT, RunKind.DESTROY),
    ],
)
def test_a_kind_follows_from_two_specs(
    applied: Desired | None, wanted: Desired, kind: RunKind
) -> None:
    assert kind_between(applied, wanted) is kind
    assert KINDS[kind].desired is wanted


def test_every_kind_is_declared_under_its_name() -> None:
    assert set(KINDS) == set(RunKind)
    for name, kind in KINDS.items():
        assert kind.kind is name
        assert bool(kind.checks) is not kind.drafts  # what only plans makes nothing to check
        assert set(kind.means) == set(kind.transitions)
    assert KINDS[RunKind.REFRESH].transitions is LOOK_TRANSITIONS
    assert [name for name, kind in KINDS.items() if kind.looks] == [RunKind.REFRESH, RunKind.PLAN]
    assert [name for name, kind in KINDS.items() if kind.drafts] == [RunKind.PLAN]
    assert {name for name, kind in KINDS.items() if not kind.looks} == CHANGING
    assert KINDS[RunKind.DESTROY].transitions is RUN_TRANSITIONS


def test_what_is_removed_is_checked_by_other_checks_than_what_exists() -> None:
    present = {each for kind in KINDS.values() if kind.desired is Desired.PRESENT
               for each in kind.checks}  # fmt: skip
    assert not present & set(KINDS[RunKind.DESTROY].checks)


@pytest.mark.parametrize("given", [0, 1, 3])
def test_rules_ask_for_no_fewer_people_than_a_kind_needs(given: int) -> None:
    rule = ApprovalRule(
        id="lenient", deployments=frozenset(DeploymentKind), runs=frozenset(RunKind),
        needed=given, roles=("ops_approver",),
        expires_after=timedelta(hours=1), because="A test.",
    )  # fmt: skip
    prices = Prices(
        as_of=date(2026, 11, 1), currency="USD", monthly_limit=0, hourly={},
        storage_gb_month=Decimal(0),
    )  # fmt: skip
    rules, nothing = (
        ApprovalRules(
            digest="sha256:1", resumes_within=timedelta(hours=1), rules=each, prices=prices
        )
        for each in ((rule,), ())
    )
    for kind in (RunKind.PROVISION, RunKind.UPDATE):
        found = rules.terms(DeploymentKind.SLICE, kind)
        assert (found.needed, found.rule.id) == (given, "lenient")
        assert nothing.terms(DeploymentKind.SLICE, kind).needed == 1
    for each, least in ((rules, max(given, 2)), (nothing, 2)):
        found = each.terms(DeploymentKind.SLICE, RunKind.DESTROY)
        assert found.needed == least
        assert each.always_asks(DeploymentKind.SLICE, RunKind.DESTROY)


def test_a_plan_that_removes_is_never_bound_to_the_spec_that_builds() -> None:
    document = {"region": "eu-west-1"}
    assert spec_digest(document, Desired.PRESENT) == digest(document)  # as earlier releases took it
    assert spec_digest(document, Desired.ABSENT) != digest(document)
    marked = {"desired": "absent", "document": document}
    assert spec_digest(document, Desired.ABSENT) == digest(marked)
