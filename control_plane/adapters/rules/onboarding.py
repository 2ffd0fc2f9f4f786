"""From the onboarding document to its steps: what no schema can say is refused here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from string import Formatter
from typing import Any

from control_plane.adapters.rules.documents import Document, nearest
from control_plane.domain.onboarding_document import (
    FaultCode,
    Field,
    FieldType,
    OnboardingRules,
    Option,
    PilotRules,
    StepCheck,
    StepRule,
    Texts,
    Validator,
)

Entry = Mapping[str, Any]


def parse_onboarding(document: Document) -> OnboardingRules:
    """Return the steps of onboarding.

    Raises ``SettingInvalid`` naming the place of a key that is there twice, of a step or field that
    nothing has, of a step before those that it needs, of options where nothing is chosen, and of a
    sentence that is missing or names what its fault does not have.
    """
    content = document.content
    steps: list[StepRule] = []
    for index, entry in enumerate(content["steps"]):
        steps.append(_step(document, f"steps.{index}", entry, [each.key for each in steps]))
    _require_bounds(document)
    return OnboardingRules(
        digest=document.digest,
        steps=tuple(steps),
        pilot=PilotRules(**{name: _pair(each) for name, each in content["pilot"].items()}),
        hosted=tuple(content["hosted_identity_providers"]),
        checks={StepCheck(name): each for name, each in content["checks"].items()},
        faults=_faults(document),
    )


def _step(document: Document, where: str, entry: Entry, earlier: Sequence[str]) -> StepRule:
    every = [each["key"] for each in document.content["steps"]]
    if entry["key"] in earlier:
        raise document.refused(f"{where}.key", f"{entry['key']} is the key of another step")
    for number, need in enumerate(entry["needs"]):
        _known(document, f"{where}.needs.{number}", need, every)
        if need not in earlier:
            raise document.refused(
                f"{where}.needs.{number}", f"{need} has to come before this step"
            )
    fields: list[Field] = []
    for number, each in enumerate(entry["fields"]):
        fields.append(_field(document, f"{where}.fields.{number}", each, fields))
    keys = [each.key for each in fields]
    for number, group in enumerate(entry.get("one_of", ())):
        for place, key in enumerate(group):
            _known(document, f"{where}.one_of.{number}.{place}", key, keys)
    return StepRule(
        key=entry["key"],
        who=entry["who"],
        title=entry["title"],
        help=entry["help"],
        needs=tuple(entry["needs"]),
        checks=tuple(StepCheck(each) for each in entry["checks"]),
        fields=tuple(fields),
        titles=entry.get("titles", {}),
        one_of=tuple(tuple(each) for each in entry.get("one_of", ())),
    )


def _field(document: Document, where: str, entry: Entry, earlier: Sequence[Field]) -> Field:
    if entry["key"] in [each.key for each in earlier]:
        raise document.refused(f"{where}.key", f"{entry['key']} is the key of another field")
    found = Field(
        key=entry["key"],
        type=FieldType(entry["type"]),
        label=entry["label"],
        help=entry.get("help"),
        is_required=entry.get("required", False),
        modes=frozenset(entry["modes"]) if "modes" in entry else None,
        when=_when(document, f"{where}.when", entry.get("when"), earlier),
        validator=Validator(entry["validator"]) if "validator" in entry else None,
        options=tuple(Option(**each) for each in entry.get("options", ())),
        count=_pair(entry["count"]) if "count" in entry else None,
        span=_pair(entry["range"]) if "range" in entry else None,
        must_be=entry.get("must_be"),
    )
    for word, kind in (("options", FieldType.CHOICE), ("count", FieldType.LINES),
                       ("range", FieldType.NUMBER)):  # fmt: skip
        if (word in entry) != (found.type is kind):
            raise document.refused(where, f"a field of the type {kind} has `{word}`, no other has")
    if found.must_be is not None:
        values = [each.value for each in found.options]
        _known(document, f"{where}.must_be", found.must_be, values)
    return found


def _when(
    document: Document, where: str, entry: Entry | None, earlier: Sequence[Field]
) -> tuple[str, str] | None:
    if entry is None:
        return None
    by_key = {each.key: each for each in earlier if each.type is FieldType.CHOICE}
    _known(document, f"{where}.field", entry["field"], by_key)
    values = [each.value for each in by_key[entry["field"]].options]
    _known(document, f"{where}.is", entry["is"], values)
    return entry["field"], entry["is"]


# what each fault gives to its sentence
_GIVEN: Mapping[FaultCode, frozenset[str]] = {
    FaultCode.TEXT: frozenset({"most"}),
    FaultCode.NUMBER: frozenset({"least", "most"}),
    FaultCode.COUNT: frozenset({"least", "most", "count"}),
    FaultCode.TWICE: frozenset({"line"}),
    FaultCode.EMAIL: frozenset({"line"}),
    FaultCode.OTHER_DOMAIN: frozenset({"domain", "line"}),
    FaultCode.DOMAIN: frozenset({"line"}),
    FaultCode.OTHER_COMPANY: frozenset({"host", "domain"}),
    FaultCode.TOO_LARGE: frozenset({"most"}),
    FaultCode.TOO_MANY_KEYS: frozenset({"count", "most"}),
    FaultCode.CERTIFICATE_EXPIRED: frozenset({"day"}),
    FaultCode.NETWORK: frozenset({"line"}),
    FaultCode.REGION: frozenset({"line"}),
    FaultCode.REGION_OUTSIDE: frozenset({"line"}),
    FaultCode.OWN_REGION: frozenset({"region"}),
    FaultCode.COHORT_LINE: frozenset({"line", "domain"}),
    FaultCode.COHORT_SIZE: frozenset({"least", "most", "count"}),
}


def _faults(document: Document) -> Mapping[FaultCode, Texts]:
    """Return the sentences of faults; each names only what its fault knows."""
    found: dict[FaultCode, Texts] = {}
    for name, texts in document.content["faults"].items():
        code = FaultCode(name)
        for language, text in texts.items():
            where = f"faults.{name}.{language}"
            try:
                named = {part[1] for part in Formatter().parse(text) if part[1] is not None}
            except ValueError:
                raise document.refused(where, "has a brace without its other one") from None
            for each in sorted(named):
                _known(document, where, each, _GIVEN.get(code, frozenset()))
        found[code] = texts
    return found


def _require_bounds(document: Document) -> None:
    for name, bounds in document.content["pilot"].items():
        if bounds[0] > bounds[1]:
            raise document.refused(f"pilot.{name}", "the least is more than the most")


def _pair(bounds: Sequence[int]) -> tuple[int, int]:
    return bounds[0], bounds[1]


def _known(document: Document, where: str, name: str, known: Iterable[str]) -> None:
    names = tuple(known)
    if name not in names:
        raise document.refused(where, f"there is no {name!r}{nearest(name, names)}")
