"""What of a plan has a price by the hour or by its size: databases, with their storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from policies.catalog import KIND_OF_TOKEN
from policies.pulumi_plan import is_unknown

_DATABASE: Final = "aws_db_instance"
_NAMES: Final = ("instanceClass", "multiAz", "allocatedStorage")


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is paid for: ``count`` instances of a class, each with ``storage_gb``.

    ``instance_class`` is empty where it is not known.
    """

    instance_class: str
    count: int
    storage_gb: int


@dataclass(frozen=True, kw_only=True)
class Priced:
    """One resource whose size a plan changes; None is nothing."""

    address: str
    before: Size | None
    after: Size | None


def priced_of(
    operations: Sequence[Mapping[str, Any]], resources: Sequence[Mapping[str, Any]]
) -> tuple[Priced, ...]:
    """Return what a plan makes, changes or removes of what has a price."""
    inputs = {(str(r["urn"]), str(r["operation"])): r.get("inputs") or {} for r in resources}
    found = []
    for operation in operations:
        urn, op = str(operation["urn"]), str(operation["op"])
        if KIND_OF_TOKEN.get(str(operation["type"])) != _DATABASE or op in ("same", "read"):
            continue
        present = inputs.get((urn, op), {})
        changes = {str(c["path"]): c for c in operation.get("changes") or ()}
        earlier = {
            name: changes[name].get("before") if name in changes else present.get(name)
            for name in _NAMES
        }
        found.append(
            Priced(
                address=urn,
                before=None if op in ("create", "import") else _size(earlier),
                after=None if op == "delete" else _size(present),
            )
        )
    return tuple(each for each in found if each.before != each.after)


def _size(inputs: Mapping[str, Any]) -> Size:
    name, storage = inputs.get("instanceClass"), inputs.get("allocatedStorage")
    is_known = isinstance(name, str) and not is_unknown(name)
    is_sized = isinstance(storage, int | float) and not isinstance(storage, bool)
    return Size(
        instance_class=str(name) if is_known else "",
        count=2 if inputs.get("multiAz") is True else 1,
        storage_gb=int(storage) if is_sized and storage else 0,
    )
