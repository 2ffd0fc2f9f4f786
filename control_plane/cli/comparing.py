"""What a plan was not made over any more, and how a new plan differs from the one it replaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from control_plane.cli.output import GROUPING, say
from control_plane.cli.plans import SIGNS, change_of, lines_of, name_of, shown_value

_WHOLE: Final = {"missing": "not in the cloud", "unhealthy": "not healthy in the cloud"}

Item = Mapping[str, Any]


def show_differences(found: Sequence[Item]) -> None:
    """Show in what the cloud differs from what a plan was made over; nothing where it does not."""
    shown = ""
    for item in found:
        if item["urn"] != shown:
            say(f"  ! {name_of(item)}  {item['type']}")
            shown = item["urn"]
        for line in _difference(item):
            say(f"      {line}")


def show_comparison(found: Item) -> None:
    """Show how a plan differs from that of the run whose place it takes."""
    if found["earlier_run_id"] is None:
        say("it takes the place of no other plan")
        return
    say(f"takes the place of {found['earlier_run_id']}, plan {found['earlier_plan_id']}")
    if found["differences"]:
        say("which was stopped, since the cloud differed from what that plan was made over")
        show_differences(found["differences"])
    operations = list(_operations(found))
    outputs = [f"output {each['name']}: {change_of(each)}" for each in found["outputs"]]
    if not operations and not outputs:
        parts = ", ".join(found["parts"]) or "nothing"
        say(f"it does the same as that plan; of the digest differs: {parts}")
        return
    say("compared with that plan")
    for line in (*operations, *outputs):
        say(f"  {line}")


def _difference(item: Item) -> Iterator[str]:
    if item["kind"] != "changed":
        yield _WHOLE.get(item["kind"], str(item["kind"]))
        return
    before, after = (_or_none(item[side]) for side in ("in_plan", "in_cloud"))
    yield from lines_of(item["path"], f"{before} in the plan, {after} in the cloud")


def _operations(found: Item) -> Iterator[str]:
    for word, items in (("added", found["added"]), ("no longer", found["removed"])):
        for item in filter(_is_real, items):
            yield _head(word, item)
            yield from _changes(item)
    for each in found["changed"]:
        before, after = each["before"], each["after"]
        if not _is_real(after):
            continue
        yield _head("changed", after)
        if before["op"] != after["op"]:
            yield f"    {before['op']} before"
        yield from _changes(after, beside=before)
        for item in each["inputs"]:
            text = f"{_or_none(item['before'])} before, now {_or_none(item['after'])}"
            yield from (f"    {line}" for line in lines_of(item["path"], text))


def _changes(item: Item, *, beside: Item | None = None) -> Iterator[str]:
    """Yield the properties that an operation changes, without those that another changes alike."""
    alike = beside["changes"] if beside is not None else []
    for change in item["changes"]:
        if change not in alike:
            yield from (f"    {line}" for line in lines_of(change["path"], change_of(change)))


def _head(word: str, item: Item) -> str:
    sign = SIGNS.get(item["op"], "±")
    return f"{word:<9}  {sign} {item['op']}  {name_of(item)}  {item['type']}"


def _is_real(item: Item) -> bool:
    return not str(item["type"]).startswith(GROUPING)


def _or_none(value: Any) -> str:
    return "nothing" if value is None else shown_value(value)
