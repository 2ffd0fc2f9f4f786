"""What a resource type accepts: names, kinds, requirements, and which changes replace.

A table of `Field`s is read three ways: `problems` refuses inputs (Check), `planned` completes them
(preview), `compare.changes` finds out what an update has to do (Diff). Which inputs are required,
which AWS fills in when they are missing (`computed`) and which force a replacement (`replaces`) was
taken from the schema and plans of Terraform's AWS provider, which the official plugin wraps.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.policy_document import canonical_policy
from stacks.sandbox.provider.wire import Unknown


class Kind(StrEnum):
    """The basic type of a value."""

    TEXT = "string"
    INTEGER = "integer"
    NUMBER = "number"
    FLAG = "boolean"
    MAP = "map of strings"
    LIST = "list"
    SET = "set"
    BLOCK = "object"


@dataclass(frozen=True, kw_only=True)
class Field:
    """One input.

    kind: basic type of the value. item: what a LIST or SET holds. fields: what a BLOCK holds.
    required: refused when missing. replaces: a change makes a new resource. computed: AWS decides
    when it is missing, so a missing value does not change it. default: stands for a missing value.
    rule: further limits. form: returns what is equal for values that mean the same, where texts or
    lists may differ. secret: never shown. local: known to the provider only, AWS has no such
    attribute. named: a missing value is made from the resource's logical name.
    """

    kind: Kind = Kind.TEXT
    item: "Field | None" = None
    fields: Mapping[str, "Field"] = field(default_factory=dict)
    required: bool = False
    replaces: bool = False
    computed: bool = False
    default: Any = None
    rule: rules.Rule | None = None
    form: "Callable[[Any], Any] | None" = None
    secret: bool = False
    local: bool = False
    named: bool = False


Fields = Mapping[str, Field]


@dataclass(frozen=True)
class Problem:
    """Why an input is refused. Path as in a program, reason as the end of a sentence."""

    path: str
    reason: str


def text(**facts: Any) -> Field:
    """Return the field of a string."""
    return Field(kind=Kind.TEXT, **facts)


def policy_text(**facts: Any) -> Field:
    """Return the field of a JSON policy document, compared by meaning."""
    return Field(kind=Kind.TEXT, rule=rules.policy, form=canonical_policy, **facts)


def integer(**facts: Any) -> Field:
    """Return the field of a whole number."""
    return Field(kind=Kind.INTEGER, **facts)


def number(**facts: Any) -> Field:
    """Return the field of a number."""
    return Field(kind=Kind.NUMBER, **facts)


def flag(**facts: Any) -> Field:
    """Return the field of a boolean."""
    return Field(kind=Kind.FLAG, **facts)


def mapping(**facts: Any) -> Field:
    """Return the field of a map with string values."""
    return Field(kind=Kind.MAP, **facts)


def block(fields: Fields, **facts: Any) -> Field:
    """Return the field of an object with known members."""
    return Field(kind=Kind.BLOCK, fields=fields, **facts)


def list_of(item: Field, **facts: Any) -> Field:
    """Return the field of a list in which the order counts."""
    return Field(kind=Kind.LIST, item=item, **facts)


def set_of(item: Field, **facts: Any) -> Field:
    """Return the field of a list in which the order does not count."""
    return Field(kind=Kind.SET, item=item, **facts)


TAGS: Fields = {"tags": mapping()}
"""Of every type that can be tagged; `tagsAll` (with the provider's default tags) goes with it."""


def step(path: str, key: str | int) -> str:
    """Return the property path of a member of `path`, quoted where the engine needs it."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if not key.replace("_", "a").isalnum():
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        return f'{path}["{escaped}"]'
    return f"{path}.{key}" if path else key


def problems(fields: Fields, values: Mapping[str, Any], path: str = "") -> Iterator[Problem]:
    """Yield everything about `values` that these fields do not accept."""
    for name in values:
        if name not in fields and not name.startswith("__"):
            yield Problem(step(path, name), _unknown_name(name, fields))
    for name, known in fields.items():
        where, value = step(path, name), values.get(name)
        if value is None:
            if known.required:
                yield Problem(where, "is required and missing")
        elif not isinstance(value, Unknown):
            yield from _value_problems(known, value, where)


def _unknown_name(name: str, fields: Fields) -> str:
    if name == "region":
        return "is refused: the sandbox serves one region per provider; use one aws.Provider each"
    same = next((known for known in fields if known.lower() == name.lower()), None)
    hint = f"; did you mean {same}?" if same else ""
    return f"is not a known input of the sandbox provider{hint}"


_PYTHON_TYPES: Mapping[Kind, tuple[type, ...]] = {
    Kind.TEXT: (str,),
    Kind.INTEGER: (int,),
    Kind.NUMBER: (int, float),
    Kind.FLAG: (bool,),
    Kind.MAP: (dict,),
    Kind.LIST: (list,),
    Kind.SET: (list,),
    Kind.BLOCK: (dict,),
}


def _value_problems(known: Field, value: Any, where: str) -> Iterator[Problem]:
    wanted = _PYTHON_TYPES[known.kind]
    if type(value) not in wanted:
        article = "an" if known.kind[0] in "aeiou" else "a"
        yield Problem(where, f"must be {article} {known.kind}, got {_kind_name(value)}")
        return
    yield from _member_problems(known, value, where)
    if known.rule is not None and (wrong := known.rule(value)):
        yield Problem(where, wrong)


def _member_problems(known: Field, value: Any, where: str) -> Iterator[Problem]:
    if known.kind is Kind.BLOCK:
        yield from problems(known.fields, value, where)
    elif known.kind is Kind.MAP:
        for key, member in value.items():
            if not isinstance(member, str | Unknown):
                reason = f"must be a string, got {_kind_name(member)}"
                yield Problem(step(where, key), reason)
    elif known.item is not None:
        for index, item in enumerate(value):
            if item is None:
                yield Problem(step(where, index), "must not be null")
            elif not isinstance(item, Unknown):
                yield from _value_problems(known.item, item, step(where, index))


def _kind_name(value: Any) -> str:
    for kind in (Kind.FLAG, Kind.TEXT, Kind.INTEGER, Kind.NUMBER, Kind.LIST):
        if isinstance(value, _PYTHON_TYPES[kind]):
            return kind.value
    return "object"
