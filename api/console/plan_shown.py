"""A plan as its page shows it: what happens to each resource, with the values before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain.plan_words import (
    SIGNS,
    TAGS,
    common_tags,
    name_of,
    named_by,
    shown_value,
)

_GROUPING: Final = ("tenantplane:", "pulumi:")  # types that exist in no cloud
PARTS: Final = {
    "operations": "what is done to each resource",
    "policies": "the policies and their parameters",
    "program": "the program that describes the resources",
    "rules": "the rules for approvals",
    "spec": "what the tenant or Hub is to have",
    "state": "what exists, as the engine knows it",
    "versions": "the versions of engine and provider",
}
_DONE: Final = {"create": "created", "update": "changed", "delete": "deleted", "same": "kept"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A property before and after; None is a value that is not there."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True)
class Item:
    """What a plan does with one resource."""

    sign: str
    done: str
    name: str
    type: str
    marks: Sequence[str]
    rows: Sequence[Row]
    on_removal: str


@dataclass(frozen=True, kw_only=True)
class ShownPlan:
    """A plan; ``same`` counts the resources that stay as they are."""

    digest: str
    parts: Sequence[tuple[str, str, str]]  # name, meaning, digest
    summary: Mapping[str, int]
    items: Sequence[Item]
    tags: Mapping[str, Any]
    outputs: Sequence[Row]
    violations: Sequence[Mapping[str, Any]]
    risks: Sequence[tuple[str, str]]  # of what, what it is
    same: int


def shown_plan(plan: Mapping[str, Any]) -> ShownPlan:
    """Return what a page shows of a plan, as the API gives it."""
    inputs = {(each["urn"], each["operation"]): each["inputs"] for each in plan["resources"]}
    common = common_tags(plan["resources"])
    real = [
        item for item in plan["operations"]
        if (item["op"] != "same" or item["options"] or item["changes"])
        and (item["holds_data"] or not item["type"].startswith(_GROUPING))
    ]  # fmt: skip
    return ShownPlan(
        digest=plan["digest"],
        parts=[(name, PARTS.get(name, ""), value) for name, value in sorted(plan["parts"].items())],
        summary=plan["summary"],
        items=[
            Item(
                sign=SIGNS.get(item["op"], "±"),
                done=_DONE.get(item["op"], item["op"].replace("-", " ")),
                name=name_of(item),
                type=item["type"],
                marks=_marks(item),
                rows=list(_rows(item, inputs.get((item["urn"], item["op"]), {}), common)),
                on_removal=str(item.get("on_removal") or ""),
            )
            for item in real
        ],
        tags=common,
        outputs=[_row(each["name"], each) for each in plan["outputs"]],
        violations=plan["evaluation"].get("violations", []),
        risks=[(named_by(each["urn"]), each["detail"]) for each in plan["risks"]],
        same=sum(item["op"] == "same" for item in plan["operations"]),
    )


def _marks(item: Mapping[str, Any]) -> list[str]:
    marks = ["cannot be undone"] if item["irreversible"] else []
    marks += [f"option {option} changes" for option in item["options"]]
    marks += ["protected"] if item["protect"] else []
    return marks + (["replaced"] if item["replaces"] else [])


def _rows(
    item: Mapping[str, Any], inputs: Mapping[str, Any], common: Mapping[str, Any]
) -> Iterator[Row]:
    if item["op"] != "create":
        for change in item["changes"]:
            yield _row(change["path"], change)
        return
    for name, value in sorted(inputs.items()):
        own = value
        if name in TAGS and isinstance(value, Mapping):
            own = {key: tag for key, tag in value.items() if common.get(key) != tag}
        if not name.startswith("__") and own not in (None, "", [], {}):
            yield Row(path=name, before=None, after=shown_value(own))


def _row(path: str, change: Mapping[str, Any]) -> Row:
    kind = change["kind"].removesuffix("-replace")
    before = shown_value(change["before"]) if change.get("before_known", True) else "(not reported)"
    replaces = " (forces a replacement)" if change["kind"].endswith("-replace") else ""
    return Row(
        path=path + replaces,
        before=None if kind == "add" else before,
        after=None if kind == "delete" else shown_value(change["after"]),
    )
