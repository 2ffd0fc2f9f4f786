"""From a playbook document to the playbook: what no schema can say is refused here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import time
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from control_plane.adapters.rules.documents import Document, nearest, read_text
from control_plane.domain.actions import ACTIONS, CHECKS, FACTS, OWNERS, TRIGGERS
from control_plane.domain.calendars.due import Due, DueUnit, Roll
from control_plane.domain.message_events import EVENTS, PERSONAS
from control_plane.domain.playbook import (
    Again,
    Anchor,
    Need,
    Playbook,
    Retries,
    Step,
    StepKind,
    Time,
    Unless,
    circles,
)
from control_plane.domain.team import TeamRole

Entry = Mapping[str, Any]
_SCHEMA: Final = "playbook"
_INVITED: Final = ".invited"  # of events about a meeting that people are invited to


def read_playbook(file: Path, schemas: Path) -> Playbook:
    """Return the playbook of a file; ``schemas`` is the folder of the schemas of rules.

    Raises ``SettingInvalid`` with one sentence that names file, line and what is wrong.
    """
    return parse_playbook(read_text(file, schemas / f"{_SCHEMA}.schema.json"))


def parse_playbook(document: Document) -> Playbook:
    """Return the playbook of a document that is valid under its schema.

    Raises ``SettingInvalid`` for a key that is there twice, a name that nothing has, steps that
    need one another, a way back to a step that does not lead here, and a time that has passed
    before it begins.
    """
    content = document.content
    head, applies = content["document"], content["applies_to"]
    _known(document, "applies_to.trigger", applies["trigger"], TRIGGERS)
    _require_keys(document)
    defaults = content.get("retries", {})
    steps = tuple(
        _step(document, index, entry, defaults) for index, entry in enumerate(content["steps"])
    )
    conditions = {name: applies[name] for name in applies if name != "trigger"}
    playbook = Playbook(
        key=head["key"],
        version=head["version"],
        digest=document.digest,
        title=content["title"],
        trigger=applies["trigger"],
        applies_to=_conditions(document, "applies_to", conditions),
        steps=steps,
        content=content,
    )
    _require_ways(document, playbook)
    return playbook


def _require_keys(document: Document) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(document.content["steps"]):
        if entry["key"] in seen:
            raise document.refused(
                f"steps.{index}.key", f"{entry['key']} is the key of another step"
            )
        seen.add(entry["key"])


def _step(document: Document, index: int, entry: Entry, defaults: Entry) -> Step:
    where = f"steps.{index}"
    keys = [each["key"] for each in document.content["steps"]]
    kind = StepKind(entry["kind"])
    _known(document, f"{where}.owner", entry["owner"], OWNERS)
    for number, need in enumerate(entry.get("needs", ())):
        named = need if isinstance(need, str) else need["step"]
        path = (
            f"{where}.needs.{number}" if isinstance(need, str) else f"{where}.needs.{number}.step"
        )
        _known(document, path, named, keys)
    _require_action(document, where, kind, entry)
    for number, check in enumerate(entry.get("checks", ())):
        if not check.startswith("person:"):
            _known(document, f"{where}.checks.{number}", check, CHECKS)
    if (kind is StepKind.GATE) != bool(entry.get("checks")):
        reason = "a gate has checks, and nothing else has"
        raise document.refused(f"{where}.checks" if "checks" in entry else f"{where}.kind", reason)
    step = Step(
        key=entry["key"],
        kind=kind,
        title=entry["title"],
        owner=entry["owner"],
        needs=tuple(_need(need) for need in entry.get("needs", ())),
        conditions=_conditions(document, f"{where}.when", entry.get("when", {})),
        unless=_unless(document, where, entry.get("unless"), keys),
        starts=_time(document, f"{where}.starts", entry.get("starts"), keys),
        due=_time(document, f"{where}.due", entry.get("due"), keys),
        action=entry.get("action"),
        arguments=entry.get("with", {}),
        undo=entry.get("undo"),
        retries=Retries(**{**defaults, **entry.get("retries", {})}),
        outcomes=tuple(entry.get("outcomes", ())),
        again=tuple(Again(**each) for each in entry.get("again", ())),
        instructions=entry.get("instructions", ""),
        checks=tuple(entry.get("checks", ())),
    )
    _require_order(document, where, step)
    return step


def _unless(document: Document, where: str, entry: Entry | None, keys: list[str]) -> Unless | None:
    if entry is None:
        return None
    _known(document, f"{where}.unless.step", entry["step"], keys)
    return Unless(**entry)


def _need(need: str | Entry) -> Need:
    return Need(step=need) if isinstance(need, str) else Need(**need)


def _require_action(document: Document, where: str, kind: StepKind, entry: Entry) -> None:
    """An action is named with exactly what it takes, and only a step that acts names one."""
    name = entry.get("action")
    if (kind is StepKind.ACTION) != (name is not None):
        at = f"{where}.action" if name is not None else f"{where}.kind"
        reason = "a step of the kind action names its action, and no other does"
        raise document.refused(at, reason)
    if name is None:
        for word in ("with", "undo", "retries"):
            if word in entry:
                raise document.refused(f"{where}.{word}", "only an action has that")
        return
    _known(document, f"{where}.action", name, ACTIONS)
    action, given = ACTIONS[name], entry.get("with", {})
    for word in given:
        _known(document, f"{where}.with.{word}", word, (*action.takes, *action.may_take))
    missing = [word for word in action.takes if word not in given]
    if missing:
        raise document.refused(where, f"{name} needs {', '.join(missing)} in `with`")
    _require_arguments(document, f"{where}.with", given)
    undo = entry.get("undo")
    if undo is not None and undo != action.undone_by:
        can = f"{action.undone_by} takes it back" if action.undone_by else "nothing takes it back"
        raise document.refused(f"{where}.undo", f"{name} is not undone by {undo}: {can}")


def _require_arguments(document: Document, where: str, given: Entry) -> None:
    """Refuse people, meetings and amounts that nothing knows; shapes are in the schema."""
    if "role" in given:
        _known(document, f"{where}.role", given["role"], TeamRole)
    for number, role in enumerate(given.get("attendees", ())):
        _known(document, f"{where}.attendees.{number}", role, (*TeamRole, *PERSONAS))
    if "meeting" in given:
        meetings = [each.removesuffix(_INVITED) for each in EVENTS if each.endswith(_INVITED)]
        _known(document, f"{where}.meeting", given["meeting"], meetings)
    if "within" in given:
        _due(document, f"{where}.within", given["within"])


def _conditions(document: Document, where: str, given: Entry) -> dict[str, tuple[str, ...]]:
    for name, among in given.items():
        _known(document, f"{where}.{name}", name, FACTS)
        for number, value in enumerate(among if FACTS[name] else ()):
            _known(document, f"{where}.{name}.{number}", value, FACTS[name])
    return {name: tuple(among) for name, among in given.items()}


def _time(document: Document, where: str, entry: Entry | None, keys: list[str]) -> Time | None:
    if entry is None:
        return None
    after = entry.get("after")
    if after is not None:
        _known(document, f"{where}.after", after, keys)
    anchor = entry.get("anchor")
    return Time(
        anchor=Anchor(anchor) if anchor is not None else None,
        after=after,
        due=_due(document, where, entry),
    )


def _due(document: Document, where: str, entry: Entry) -> Due:
    at = entry.get("at")
    try:
        return Due(
            amount=entry["amount"],
            unit=DueUnit(entry["unit"]),
            roll=Roll(entry.get("roll", Roll.NONE)),
            at=time.fromisoformat(at) if at is not None else None,
        )
    except ValueError as error:
        raise document.refused(where, str(error)) from error


def _require_order(document: Document, where: str, step: Step) -> None:
    """Refuse a step that is due before it begins, as far as the document says both alike."""
    starts, due = step.starts, step.due
    if starts is None or due is None or starts.due.unit != due.due.unit:
        return
    first, last = starts.due.amount, due.due.amount
    if (starts.anchor, starts.after) == (due.anchor, due.after) and last <= first:
        reason = f"it is due {last} {due.due.unit} after what it starts {first} after"
        raise document.refused(f"{where}.due", reason)


def _require_ways(document: Document, playbook: Playbook) -> None:
    """Refuse steps that need one another, outcomes that no step has, ways back to elsewhere."""
    places = {step.key: index for index, step in enumerate(playbook.steps)}
    needed = {step.key: tuple(need.step for need in step.needs) for step in playbook.steps}
    for circle in circles(needed):
        way = ", ".join(f"{one} needs {other}" for one, other in pairwise(circle))
        raise document.refused(f"steps.{places[circle[0]]}.needs", f"a circle: {way}")
    for index, step in enumerate(playbook.steps):
        for number, need in enumerate(step.needs):
            if need.outcome is not None:
                at = f"steps.{index}.needs.{number}.outcome"
                _known(document, at, need.outcome, playbook.by_key[need.step].outcomes)
        for number, again in enumerate(step.again):
            at = f"steps.{index}.again.{number}"
            _known(document, f"{at}.outcome", again.outcome, step.outcomes)
            _known(document, f"{at}.back_to", again.back_to, places)
            if step.key not in playbook.from_step(again.back_to):
                reason = f"{again.back_to} does not lead to {step.key}, so nothing would come back"
                raise document.refused(f"{at}.back_to", reason)
        _require_times(document, playbook, index, step)


def _require_times(document: Document, playbook: Playbook, index: int, step: Step) -> None:
    """Refuse times that count from a step which may end later, and what waits for itself."""
    if step.unless is not None and step.unless.step in playbook.from_step(step.key):
        reason = f"{step.unless.step} begins only when {step.key} has ended"
        raise document.refused(f"steps.{index}.unless.step", reason)
    for word, counted in (("starts", step.starts), ("due", step.due)):
        after = counted.after if counted is not None else None
        if after == step.key:
            raise document.refused(f"steps.{index}.{word}.after", "a step cannot follow itself")
        if after is not None and step.key not in playbook.from_step(after):
            reason = f"{step.key} does not need {after}, which may end later or never"
            raise document.refused(f"steps.{index}.{word}.after", reason)


def _known(document: Document, where: str, name: str, known: Iterable[str]) -> None:
    names = tuple(known)
    if name not in names:
        raise document.refused(where, f"there is no {name!r}{nearest(name, names)}")
