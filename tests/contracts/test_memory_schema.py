"""The rules of the in-memory tables are those of the real ones."""

from __future__ import annotations

import pytest
from sqlalchemy import CheckConstraint, Table, UniqueConstraint

from control_plane.adapters.db import tables
from control_plane.adapters.db.mapping import MAPPED, Mapped
from control_plane.adapters.memory import schema

ENTITIES = [mapped for mapped in MAPPED if mapped.table is not tables.run_event]


def rules_of(table: Table) -> schema.TableRules:
    return next(rules for rules in schema.TABLES if rules.name == table.name)


@pytest.mark.parametrize("mapped", MAPPED, ids=lambda mapped: mapped.table.name)
def test_columns_are_the_fields_of_the_dataclass(mapped: Mapped[object]) -> None:
    assert tuple(mapped.table.columns.keys()) == mapped.names


def test_every_table_has_rules() -> None:
    assert {rules.name for rules in schema.TABLES} == {mapped.table.name for mapped in ENTITIES}


@pytest.mark.parametrize("mapped", ENTITIES, ids=lambda mapped: mapped.table.name)
def test_unique_facts_references_and_immutability_are_the_same(mapped: Mapped[object]) -> None:
    rules, table = rules_of(mapped.table), mapped.table
    unique = {str(c.name) for c in table.constraints if isinstance(c, UniqueConstraint)}
    unique |= {str(index.name) for index in table.indexes if index.unique}
    assert {rule.name for rule in rules.unique} == unique
    references = {
        (element.parent.name, element.column.table.name)
        for constraint in table.foreign_key_constraints
        for element in constraint.elements
    }
    assert set(rules.references) == references
    assert rules.immutable == (table in tables.IMMUTABLE)
    assert rules.entity is mapped.entity


@pytest.mark.parametrize("mapped", ENTITIES, ids=lambda mapped: mapped.table.name)
def test_checks_are_the_same_but_for_enumerations(mapped: Mapped[object]) -> None:
    """A member of an enumeration cannot be wrong in Python, so memory needs no check for it."""
    rules, table = rules_of(mapped.table), mapped.table
    known = {str(c.name) for c in table.constraints if isinstance(c, CheckConstraint)}
    named = {f"ck_{table.name}_{name}" for name, _ in rules.checks}
    assert named <= known
    left = {name.removeprefix(f"ck_{table.name}_") for name in known - named}
    fields = mapped.entity.__dataclass_fields__  # type: ignore[attr-defined]  # every entity is a dataclass
    enumerations = {name for name in left if "Status" in str(fields[name].type)}
    enumerations |= left & {"waiting_on", "kind", "blocked_on", "blocked_from", "rehearsal"}
    assert left == enumerations
