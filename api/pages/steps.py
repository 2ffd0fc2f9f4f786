"""Steps of onboarding as pages show them: fields with values, and what is in the way, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from api.pages.wording import Language
from control_plane.domain.onboarding_answers import Fault
from control_plane.domain.onboarding_document import (
    Answers,
    Field,
    FieldType,
    OnboardingRules,
    Texts,
)
from control_plane.domain.onboarding_step import StepStatus
from control_plane.workflows.onboarding_steps import StepState

_INPUT: Final = {FieldType.EMAIL: "email", FieldType.URL: "url", FieldType.NUMBER: "number"}
_ROWS: Final = {FieldType.LONG: 4, FieldType.LINES: 6, FieldType.XML: 8}
_SHORT: Final = 400  # characters of a text that the review shows as they are
TONES: Final = {
    StepStatus.OPEN: "plain", StepStatus.SAVED: "wait", StepStatus.REOPENED: "wait",
    StepStatus.COMPLETE: "good",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Entered:
    """What was typed into a form of a step, before anything is checked."""

    answers: dict[str, Any] = field(default_factory=dict)
    version: int = 0


@dataclass(frozen=True, kw_only=True)
class FieldShown:
    """A field of a form in a language."""

    key: str
    type: str
    kind: str  # of an input
    label: str
    help: str
    value: str
    error: str
    is_required: bool
    is_ticked: bool
    rows: int
    options: Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Line:
    """An entry of the list of steps."""

    key: str
    number: int
    title: str
    who: str
    status: str
    tone: str
    is_done: bool
    is_open: bool  # whether it can be filled in, or read


def lines_of(
    steps: Sequence[StepState], mode: str | None, language: Language, texts: Mapping[str, str]
) -> list[Line]:
    """Return the list of steps in a language."""
    return [
        Line(
            key=each.rule.key,
            number=number,
            title=each.rule.title_for(mode)[language],
            who=texts[f"who_{each.rule.who}"],
            status=texts["status_waits" if _must_wait(each) else f"status_{each.status}"],
            tone="plain" if _must_wait(each) else TONES[each.status],
            is_done=each.status is StepStatus.COMPLETE,
            is_open=not _must_wait(each),
        )
        for number, each in enumerate(steps, 1)
    ]


def _must_wait(state: StepState) -> bool:
    return bool(state.waits_for) and state.status is not StepStatus.COMPLETE


def read_answers(fields: Sequence[Field], form: Mapping[str, str]) -> dict[str, Any]:
    """Return the answers of a form, each in the type of its field as far as it can be read."""
    return {
        each.key: _read(each, form.get(each.key))
        for each in fields
        if each.type is not FieldType.NOTICE and (each.key in form or each.type is FieldType.FLAG)
    }


def _read(each: Field, text: str | None) -> Any:
    if each.type is FieldType.FLAG:
        return text is not None
    text = text or ""
    if each.type is FieldType.LINES:
        return [line.strip() for line in text.splitlines() if line.strip()]
    if each.type is FieldType.NUMBER:
        digits = text.strip()
        return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else text
    return text


def fields_shown(
    fields: Sequence[Field], answers: Answers, faults: Sequence[Fault], rules: OnboardingRules,
    language: Language,
) -> list[FieldShown]:  # fmt: skip
    """Return the fields that these answers make questions, each with what is wrong with it."""
    says = {each.key: each.sentence(rules.faults, language) for each in reversed(faults)}
    return [
        FieldShown(
            key=each.key,
            type=str(each.type),
            kind=_INPUT.get(each.type, "text"),
            label=each.label[language],
            help=each.help[language] if each.help else "",
            value=as_text(answers.get(each.key)),
            error=says.get(each.key, ""),
            is_required=each.is_required,
            is_ticked=answers.get(each.key) is True,
            rows=_ROWS.get(each.type, 0),
            options=[(option.value, option.label[language]) for option in each.options],
        )
        for each in fields
        if each.is_asked(answers)
    ]


def as_text(value: Any) -> str:
    """Return a value as a field of a form has it."""
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return "" if value is None or isinstance(value, bool) else str(value)


def answered(
    fields: Sequence[Field], answers: Answers, language: Language, texts: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return each field that was asked with its answer in words, to be read."""
    return [
        (each.label[language], _in_words(each, answers.get(each.key), language, texts))
        for each in fields
        if each.type is not FieldType.NOTICE and each.is_asked(answers)
    ]


def _in_words(each: Field, value: Any, language: Language, texts: Mapping[str, str]) -> str:
    if isinstance(value, bool):
        return texts["step_yes" if value else "step_no"]
    chosen = {option.value: option.label[language] for option in each.options}
    text = chosen.get(value, "") if each.type is FieldType.CHOICE else as_text(value)
    if not text:
        return texts["step_empty"]
    if len(text) > _SHORT:
        return texts["step_hidden"].replace("COUNT", f"{len(text):,}")
    return text


def differences(
    fields: Sequence[Field], found: Sequence[Mapping[str, Any]], language: Language,
    texts: Mapping[str, str],
) -> list[tuple[str, str, str]]:  # fmt: skip
    """Return label, saved and entered value of what two people answered differently."""
    by_key = {each.key: each for each in fields}
    return [
        (
            by_key[each["field"]].label[language],
            _in_words(by_key[each["field"]], each["saved"], language, texts),
            _in_words(by_key[each["field"]], each["yours"], language, texts),
        )
        for each in found
        if each["field"] in by_key
    ]


def checks_shown(state: StepState, sentences: Mapping[Any, Texts], language: Language) -> list[str]:
    """Return in words each check of a step that does not hold."""
    return [sentences[each.check][language] for each in state.looked if not each.holds]
