"""A plan as people read it: of each resource the properties, with what they were and will be.

Values are those of the plan, which its digest binds. Long ones are cut, with their length and
digest; letters that would steer a terminal or turn the direction of a line are written out.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Self

from api.schemas.views import PlanView, View
from control_plane.domain.engine import Operation, PropertyChange
from control_plane.domain.plan import CHANGING, Plan
from control_plane.domain.risk import Risk, RiskKind
from control_plane.domain.run import Run
from policies.reading import document_words, inline_rule_words, is_network_rule, rule_words

LONGEST: Final = 600  # characters of a value
UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # the engine's mark of a value it awaits
_SECRET: Final = {"secret": True}
_AWAITED: Final = "(known after the apply)"


class PropertyReading(View):
    """One property: ``before`` and ``after`` are texts, null where there is no value.

    ``statements_before`` and ``statements_after`` say a policy document or the rules of a network
    in sentences; ``widened`` says what of it lets more through than before.
    """

    path: str
    kind: str
    before: str | None
    after: str | None
    statements_before: list[str]
    statements_after: list[str]
    widened: list[str]


class ResourceReading(View):
    """What a plan does with one resource; ``widened`` is of the resource as a whole."""

    urn: str
    parent: str | None
    type: str
    name: str
    op: str
    irreversible: bool
    on_removal: str
    options: list[str]
    rule_before: str | None
    rule_after: str | None
    widened: list[str]
    properties: list[PropertyReading]


def readings_of(plan: Plan) -> list[ResourceReading]:
    """Return how each resource changes, what cannot be undone first, then by URN."""
    inputs = {(each.urn, each.operation): each.inputs for each in plan.resources}
    parents = {each.urn: each.parent for each in plan.resources}
    found = [
        _reading(each, inputs.get((each.urn, each.op), {}), parents.get(each.urn), plan.risks)
        for each in plan.operations
        if each.op in CHANGING or each.options or each.changes
    ]
    return sorted(found, key=lambda each: not each.irreversible)


def shown(value: object) -> str:
    """Return a value as a text: secrets and what is not known yet as such, a long one cut."""
    if value == _SECRET:
        return "(secret)"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = text.replace('{"secret": true}', "(secret)").replace(UNKNOWN, _AWAITED)
    if len(text) > LONGEST:
        digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
        text = f"{text[:LONGEST]} … ({len(text)} characters in all, sha256:{digest})"
    return visible(text)


def visible(text: str) -> str:
    """Return a text with every letter that is not seen written out, but for ends of lines."""
    return "".join(
        f"\\u{ord(letter):04x}"
        if letter not in "\n\t" and unicodedata.category(letter) in ("Cc", "Cf", "Cs")
        else letter
        for letter in text
    )


def _reading(
    operation: Operation, inputs: Mapping[str, Any], parent: str | None, risks: Sequence[Risk]
) -> ResourceReading:
    wider = [
        risk for risk in risks
        if risk.urn == operation.urn and risk.kind in (RiskKind.WIDENING, RiskKind.ACCOUNT_WIDE)
    ]  # fmt: skip
    properties = list(_properties(operation, inputs, wider))
    placed = {detail for each in properties for detail in each.widened}
    before, after = _rules(operation, inputs)
    return ResourceReading.like(
        operation,
        parent=parent,
        options=list(operation.options),
        rule_before=before,
        rule_after=after,
        widened=[risk.detail for risk in wider if risk.detail not in placed],
        properties=properties,
    )


def _properties(
    operation: Operation, inputs: Mapping[str, Any], wider: Sequence[Risk]
) -> Iterator[PropertyReading]:
    changes: Sequence[PropertyChange] = operation.changes
    if operation.op in ("create", "import") and not changes:
        changes = tuple(
            PropertyChange(path=name, kind="add", after=value)
            for name, value in sorted(inputs.items())
            if not name.startswith("__") and value not in (None, "", [], {})
        )
    for each in changes:
        is_added = each.kind.startswith("add")
        is_gone = each.kind.startswith("delete")
        before = None if is_added else shown(each.before) if each.before_known else "(not reported)"
        yield PropertyReading(
            path=each.path,
            kind=each.kind,
            before=before,
            after=None if is_gone else shown(each.after),
            statements_before=_statements(each.path, each.before),
            statements_after=_statements(each.path, each.after),
            widened=[risk.detail for risk in wider if risk.path == each.path],
        )


def _statements(path: str, value: object) -> list[str]:
    return [
        visible(each.replace(UNKNOWN, _AWAITED))
        for each in (document_words(value) or inline_rule_words(path, value))
    ]


def _rules(operation: Operation, inputs: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return a rule of a security group before and after, None where there is none."""
    if not is_network_rule(operation.type):
        return None, None
    after = dict(inputs)
    before = {**after, **{each.path: each.before for each in operation.changes}}
    words = [
        visible(rule_words(operation.type, each).replace(UNKNOWN, _AWAITED))
        for each in (before, after)
    ]
    return (
        None if operation.op in ("create", "import") else words[0],
        None if operation.op == "delete" else words[1],
    )


class PlanReadingView(PlanView):
    """A plan with ``changes``: each resource that changes, in texts and sentences."""

    changes: list[ResourceReading]

    @classmethod
    def of(cls, plan: Plan, replaced: Run | None) -> Self:
        """Return the view of a plan."""
        found = PlanView.of(plan, replaced)
        return cls.like(found, changes=readings_of(plan))
