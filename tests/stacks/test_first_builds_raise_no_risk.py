"""What the programs build is no risk by itself: a birth in Mode A needs no person."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from control_plane.adapters.rules.loader import load_rules
from control_plane.adapters.rules.policies import read_signs
from control_plane.domain.deployment import DeploymentKind
from control_plane.domain.engine import Operation, PlannedResource, PropertyChange
from control_plane.domain.evaluation import Evaluation
from control_plane.domain.risk import RiskKind, kinds_of, risks_of
from control_plane.domain.run import RunKind
from tests.stacks.registrations import preview_of
from tests.stacks.sample_specs import PROGRAMS

RULES = load_rules(Path(__file__).parent.parent.parent / "rules").approvals
FINE = Evaluation(ok=True, digest="sha256:1")
KINDS = {
    "mode_a.hub": (DeploymentKind.HUB, 1),
    "mode_a.slice": (DeploymentKind.SLICE, 0),
    "mode_b": (DeploymentKind.DEDICATED, 1),
}


def planned(program: str) -> tuple[list[Operation], list[PlannedResource]]:
    resources = [
        PlannedResource.from_document(asdict(one) | {"operation": "create"})
        for one in preview_of(program, PROGRAMS[program]).registrations
    ]
    operations = [Operation(urn=r.urn, type=r.type, name=r.name, op="create") for r in resources]
    return operations, resources


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_first_build_needs_no_more_people_than_before(program: str) -> None:
    operations, resources = planned(program)
    risks = risks_of(operations, FINE, read_signs(operations, resources), RULES.prices)
    assert risks == ()
    kind, needed = KINDS[program]
    assert RULES.terms(kind, RunKind.PROVISION, kinds_of(risks)).needed == needed


def test_the_growth_of_a_database_has_a_price() -> None:
    """The sizes that a change of seats leads to are in the table of prices."""
    operations, resources = planned("mode_b")
    grown = PropertyChange(
        path="instanceClass", kind="update", before="db.t4g.medium", after="db.r6g.large"
    )
    (place,) = [n for n, each in enumerate(operations) if each.type.startswith("aws:rds/instance")]
    database = replace(
        resources[place],
        operation="update",
        inputs={**resources[place].inputs, "instanceClass": "db.r6g.large"},
    )
    operation = replace(operations[place], op="update", changes=(grown,))
    risks = risks_of([operation], FINE, read_signs([operation], [database]), RULES.prices)
    assert RiskKind.COST not in kinds_of(risks)
    dear = replace(RULES.prices, monthly_limit=100)
    (risk,) = risks_of([operation], FINE, read_signs([operation], [database]), dear)
    assert "a month more" in risk.detail
