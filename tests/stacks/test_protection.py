"""Protection is taken away by name, of exactly what is named; no engine, no cloud."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from control_plane.adapters.rules.loader import load_policy_parameters, load_rules
from control_plane.adapters.rules.policies import RulePolicies
from control_plane.domain import engine as domain
from control_plane.domain.engine import PlannedResource
from control_plane.ports.stores import PolicyScope
from policies import annotate
from policies.catalog import CATALOG, facts_of
from policies.removal import is_guarded, on_removal
from policies.resource_type import protected_name
from stacks.protection import PROTECTED
from stacks.schemas.__main__ import documents
from stacks.spec import load
from tests.stacks.registrations import Preview, Registration, preview_of
from tests.stacks.sample_specs import PROGRAMS

RULES = Path(__file__).parents[2] / "rules"
SCHEMAS = {"mode_a.hub": "hub", "mode_a.slice": "slice", "mode_b": "dedicated"}
EVERY = [(program, name) for program, names in PROTECTED.items() for name in names]


def name_of(resource: Registration) -> str:
    return protected_name(resource.type, resource.name)


@cache
def registered(program: str, *unprotect: str) -> Preview:
    return preview_of(program, {**PROGRAMS[program], "unprotect": list(unprotect)})


def without_dependencies(resource: Registration) -> dict[str, Any]:
    return asdict(replace(resource, dependencies=tuple(sorted(resource.dependencies))))


@pytest.mark.parametrize("program", list(PROGRAMS))
def test_the_names_are_those_of_what_a_program_protects(program: str) -> None:
    protected = [name_of(r) for r in registered(program).resources if r.protect]
    assert sorted(protected) == sorted(PROTECTED[program])
    assert not [r for r in registered(program, *PROTECTED[program]).resources if r.protect]
    must_be = {r.type for r in registered(program).resources if is_stateful(r.type)}
    assert {r.type for r in registered(program).resources if r.protect} == must_be


def is_stateful(kind: str) -> bool:
    facts = facts_of(kind)
    return facts is not None and facts.must_be_protected


@pytest.mark.parametrize(("program", "name"), EVERY)
def test_exactly_what_is_named_loses_its_protection(program: str, name: str) -> None:
    before = {r.urn: r for r in registered(program).resources}
    after = {r.urn: r for r in registered(program, name).resources}
    assert before.keys() == after.keys()
    changed = [
        urn
        for urn in before
        if without_dependencies(before[urn]) != without_dependencies(after[urn])
    ]
    assert [name_of(after[urn]) for urn in changed] == [name]
    (urn,) = changed
    assert (before[urn].protect, after[urn].protect) == (True, False)
    inputs = {
        key: value
        for key, value in after[urn].inputs.items()
        if before[urn].inputs.get(key) != value
    }
    kind = name.partition(".")[0]
    assert inputs == {
        "bucket": {"forceDestroy": True},
        "instance": {"deletionProtection": False},
        "table": {"deletionProtectionEnabled": False},
    }.get(kind, {})
    assert is_guarded(before[urn].type, before[urn].inputs) is (kind not in ("key", "secret"))
    assert not is_guarded(after[urn].type, after[urn].inputs)


@pytest.mark.parametrize("program", list(PROGRAMS))
@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["keys.data"], "the nearest name is key.data"),
        (["key.data", "secrets.ap"], "the entry 1 names no protected resource"),
        ([""], "the entry 0 names no protected resource"),
        ("key.data", "valid tuple"),
        ([1], "valid string"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(
    program: str, names: Any, says: str
) -> None:
    document = {**PROGRAMS[program], "unprotect": names}
    with pytest.raises(ValidationError) as refused:
        load(program, document)
    assert says in str(refused.value)
    schema = json_schema(program)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


def json_schema(program: str) -> Any:
    return json.loads(documents()[f"spec_{SCHEMAS[program]}.schema.json"])


@pytest.mark.parametrize("program", list(PROGRAMS))
def test_names_are_sorted_and_said_once(program: str) -> None:
    names = [*PROTECTED[program], *reversed(PROTECTED[program])]
    spec = load(program, {**PROGRAMS[program], "unprotect": names})
    assert spec.unprotect == tuple(sorted(PROTECTED[program]))
    jsonschema.validate({**PROGRAMS[program], "unprotect": names}, json_schema(program))


def test_the_last_snapshot_is_a_decision_of_the_spec() -> None:
    (kept,) = registered("mode_b").of("aws:rds/instance:Instance")
    assert kept.inputs["skipFinalSnapshot"] is False
    database = {**PROGRAMS["mode_b"]["database"], "skip_final_snapshot": True}
    preview = preview_of("mode_b", {**PROGRAMS["mode_b"], "database": database})
    (given_up,) = preview.of("aws:rds/instance:Instance")
    assert given_up.inputs["skipFinalSnapshot"] is True
    assert "is kept until" in on_removal(kept.type, kept.inputs)
    assert "without a last snapshot" in on_removal(given_up.type, given_up.inputs)


@pytest.mark.parametrize("program", list(PROGRAMS))
def test_a_deletion_says_of_all_that_holds_data_what_becomes_of_it(program: str) -> None:
    for resource in registered(program).resources:
        holds_data, irreversible = annotate(resource.type, "delete")
        assert holds_data is irreversible is bool(on_removal(resource.type, resource.inputs)), (
            resource.urn
        )


def test_every_type_of_the_catalogue_that_holds_data_has_a_sentence() -> None:
    for kind, facts in CATALOG.items():
        assert bool(on_removal(kind, {})) is facts.holds_data, kind
        assert on_removal(facts.token, {}) == on_removal(kind, {})


@pytest.mark.parametrize(
    ("kind", "inputs", "says"),
    [
        ("aws:kms/key:Key", {"deletionWindowInDays": 7}, "after 7 days"),
        ("aws:kms/key:Key", {}, "after 30 days"),
        ("aws:secretsmanager/secret:Secret", {"recoveryWindowInDays": 0}, "at once"),
        ("aws:secretsmanager/secret:Secret", {}, "after 30 days"),
        ("aws:s3/bucket:Bucket", {"forceDestroy": True}, "every object"),
        ("aws:s3/bucket:Bucket", {}, "Refused while"),
        ("aws:dynamodb/table:Table", {"pointInTimeRecovery": {"enabled": True}}, "35 days"),
        ("aws:dynamodb/table:Table", {}, "Deleted with its items."),
        ("aws:rds/instance:Instance", {"finalSnapshotIdentifier": "x-final"}, "x-final"),
        ("aws:cloudwatch/logGroup:LogGroup", {}, "Deleted with its lines."),
        ("aws:ec2/vpc:Vpc", {}, ""),
        ("aws:lambda/function:Function", {}, ""),
    ],
)
def test_what_a_removal_does(kind: str, inputs: dict[str, Any], says: str) -> None:
    found = on_removal(kind, inputs)
    assert says in found
    assert bool(found) is bool(says)


def test_the_domain_names_things_as_the_policies_do() -> None:
    for facts in CATALOG.values():
        assert domain.protected_name(facts.token, "x") == protected_name(facts.token, "x")


# --- what policies say ---------------------------------------------------------------------------
def scope(program: str, *unprotected: str) -> PolicyScope:
    spec = PROGRAMS[program]
    owner = spec["owner"]
    return PolicyScope(
        region=spec["region"], account_id=spec["account_id"], zone="eu", strict=True,
        mode=owner["mode"], tenant=owner["tenant"], deployment=owner["deployment"],
        environment=owner["environment"],
        slice_short=owner["short"] if program == "mode_a.slice" else None,
        unprotected=unprotected,
    )  # fmt: skip


@cache
def rules() -> RulePolicies:
    return RulePolicies(load_policy_parameters(RULES, load_rules(RULES).regions))


def planned(preview: Preview, operation: str) -> list[PlannedResource]:
    return [
        PlannedResource(
            urn=r.urn, type=r.type, name=r.name, operation=operation, custom=r.custom,
            inputs=r.inputs, protect=r.protect, parent=r.parent, provider=r.provider,
        )
        for r in preview.registrations
    ]  # fmt: skip


@pytest.mark.parametrize("program", list(PROGRAMS))
def test_a_spec_may_take_protection_away_and_nothing_else(program: str) -> None:
    names = PROTECTED[program]
    bare = planned(registered(program, *names), "update")
    assert rules().evaluate_plan(bare, scope(program, *names)).ok
    for name in names:
        others = [n for n in names if n != name]
        found = rules().evaluate_plan(bare, scope(program, *others))
        named = {v.address for v in found.violations if v.rule == "unprotected_stateful"}
        assert len(named) == 1, name
        assert not found.ok


@pytest.mark.parametrize("program", list(PROGRAMS))
def test_a_plan_that_only_deletes_is_judged_by_no_rule_on_what_exists(program: str) -> None:
    resources = planned(registered(program, *PROTECTED[program]), "delete")
    spoiled = [replace(r, inputs={}) for r in resources]
    for plan in (resources, spoiled):
        found = rules().evaluate_plan(plan, scope(program))
        assert (found.ok, found.violations) == (True, ())
    assert rules().evaluate_state((), scope(program)).ok


def test_what_stays_is_judged_beside_what_is_deleted() -> None:
    resources = planned(registered("mode_b"), "same")
    dropped = "aws:s3/bucketPolicy:BucketPolicy"
    left = [replace(r, operation="delete") if r.type == dropped else r for r in resources]
    before = rules().evaluate_plan(resources, scope("mode_b"))
    found = rules().evaluate_plan(left, scope("mode_b"))
    new = {v.rule for v in found.violations} - {v.rule for v in before.violations}
    assert (before.ok, found.ok, new) == (True, False, {"tls_not_enforced"})
