"""Examining answers to a step: what was entered becomes one spelling, or a fault beside its field.

Pure: what has to be known of the tenant comes as ``About``, and nothing asks a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from control_plane.domain.onboarding_document import (
    UNFINISHED,
    Answers,
    FaultCode,
    Field,
    FieldType,
    OnboardingRules,
    StepRule,
    Texts,
    Validator,
)
from control_plane.domain.onboarding_validators import VALIDATORS
from control_plane.domain.onboarding_values import About, Wrong, typed

_F: Final = FaultCode


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why the answer of the field ``key`` is not taken; ``given`` fills the sentence."""

    key: str
    code: FaultCode
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_unfinished(self) -> bool:
        """Whether the answers can be saved with it, though the step is not complete."""
        return self.code in UNFINISHED

    def sentence(self, sentences: Mapping[FaultCode, Texts], language: str = "en") -> str:
        """Return it in words; a fault without a line names none."""
        text = sentences[self.code][language]
        if "line" not in self.given:
            text = _without_line(text)
        return text.format(**self.given)

    def to_document(self, sentences: Mapping[FaultCode, Texts]) -> dict[str, Any]:
        """Return it as plain JSON; ``given`` is what another language fills its sentence with."""
        return {
            "field": self.key,
            "code": str(self.code),
            "detail": self.sentence(sentences),
            "given": dict(self.given),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the fault of its document."""
        return cls(key=document["field"], code=FaultCode(document["code"]), given=document["given"])


@dataclass(frozen=True, kw_only=True)
class Examined:
    """Answers in one spelling, those without a fault, and the faults in the order of the fields."""

    answers: dict[str, Any]
    faults: tuple[Fault, ...]


def examine(rules: OnboardingRules, step: StepRule, answers: Answers, about: About) -> Examined:
    """Examine answers to a step, as far as its fields are asked in this mode."""
    fields = [each for each in step.variant(about.mode) if each.type is not FieldType.NOTICE]
    known = {each.key for each in fields}
    faults = [Fault(key=key, code=_F.UNKNOWN) for key in answers if key not in known]
    found: dict[str, Any] = {}
    for each in fields:
        if not each.is_asked({**answers, **found}) or _is_empty(answers.get(each.key)):
            continue
        try:
            found[each.key] = typed(each, answers[each.key])
        except Wrong as wrong:
            faults.append(Fault(key=each.key, code=wrong.code, given=wrong.given))
    # domains come first: other fields are checked with them
    for each in sorted(fields, key=lambda each: each.validator is not Validator.DOMAIN):
        validate = VALIDATORS.get(each.validator) if each.validator is not None else None
        if validate is None or each.key not in found:
            continue
        try:
            found[each.key] = validate(rules, found[each.key], found, about)
        except Wrong as wrong:
            faults.append(Fault(key=each.key, code=wrong.code, given=wrong.given))
    faulty = {each.key for each in faults}
    faults += _missing(step, fields, found, faulty)
    faults += _pilot_size(rules, fields, found, faulty)
    order = {each.key: number for number, each in enumerate(fields)}
    unfinished = {each.key for each in faults if not each.is_unfinished}
    return Examined(
        answers={key: value for key, value in found.items() if key not in unfinished},
        faults=tuple(sorted(faults, key=lambda each: order.get(each.key, -1))),
    )


def _missing(
    step: StepRule, fields: list[Field], found: Mapping[str, Any], faulty: set[str]
) -> list[Fault]:
    """Return what has to be added before the step is complete."""
    faults = []
    for each in fields:
        if each.key in faulty or not each.is_asked(found):
            continue
        value = found.get(each.key)
        if each.type is FieldType.FLAG and each.is_required and value is not True:
            faults.append(Fault(key=each.key, code=_F.ACCEPT))
        elif each.is_required and _is_empty(value):
            faults.append(Fault(key=each.key, code=_F.REQUIRED))
        elif each.must_be is not None and value != each.must_be:
            faults.append(Fault(key=each.key, code=_F.NOT_AGREED))
    asked = {each.key for each in fields if each.is_asked(found)}
    faults += [
        Fault(key=keys[0], code=_F.ONE_OF)
        for keys in step.one_of
        if asked.issuperset(keys) and not any(key in found or key in faulty for key in keys)
    ]
    return faults


def _pilot_size(
    rules: OnboardingRules, fields: list[Field], found: Mapping[str, Any], faulty: set[str]
) -> list[Fault]:
    """Return the fault of a pilot group of another size, unless somebody says why."""
    least, most = rules.pilot.people
    return [
        Fault(key=each.key, code=_F.COHORT_SIZE,
              given={"least": least, "most": most, "count": len(found[each.key])})
        for each in fields
        if each.validator is Validator.COHORT and each.key in found and each.key not in faulty
        and not least <= len(found[each.key]) <= most and not found.get("size_reason")
    ]  # fmt: skip


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or value == []


def _without_line(text: str) -> str:
    for mark in (" (line {line})", " (Zeile {line})", " (riga {line})"):
        text = text.replace(mark, "")
    return text
